"""Where the computation runs."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn


def available_devices() -> list[str]:
    """Return the names that ``device`` accepts on this machine.

    Returns
    -------
    list of str
        ``"cpu"`` first, then each accelerator.
    """
    names = ["cpu"]
    if torch.cuda.is_available():
        names.append("cuda")
        names += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names


def resolve_device(device: str | torch.device) -> torch.device:
    """Turn the parameter ``device`` into a torch device that exists here.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"`` takes the first accelerator if there is one, else the CPU.

    Returns
    -------
    torch.device
        The device.

    Raises
    ------
    ValueError
        If this machine has no such device; the message names those it has.
    """
    if device == "auto":
        names = available_devices()
        return torch.device(names[1] if len(names) > 1 else "cpu")
    names = available_devices()
    if str(device) == "cpu:0":
        device = "cpu"
    if str(device) not in names:
        raise ValueError(
            f"device={str(device)!r} is not available on this machine; "
            f"use 'auto' or one of {names}."
        )
    return torch.device(device)


class _CudnnScopes:
    """The scopes that want cuDNN repeatable: its settings are the whole process's."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_open = 0

    def enter(self) -> None:
        cudnn = torch.backends.cudnn
        with self.lock:
            if self.n_open == 0:
                self.found = cudnn.deterministic, cudnn.benchmark
                cudnn.deterministic, cudnn.benchmark = True, False
            self.n_open += 1

    def leave(self) -> None:
        cudnn = torch.backends.cudnn
        with self.lock:
            self.n_open -= 1
            if self.n_open == 0:
                cudnn.deterministic, cudnn.benchmark = self.found


_SCOPES = _CudnnScopes()


def _open_anew() -> None:
    # Another thread may have held the lock while the process was forked.
    global _SCOPES
    _SCOPES = _CudnnScopes()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_open_anew)


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Let convolutions on a GPU give the same digits every time.

    Some of cuDNN's add up gradients in the order in which they come, and which ones
    it takes may hang on the time they take: the same seed would give other labels.

    Parameters
    ----------
    device : torch.device
        Where the computation runs.

    Yields
    ------
    None
        The scope, which several threads may be in. After the last one the settings
        are as the first one found them.
    """
    if device.type != "cuda":
        yield
        return
    _SCOPES.enter()
    try:
        yield
    finally:
        _SCOPES.leave()


@contextmanager
def default_settings() -> Iterator[None]:
    """Put the default device and type of torch back to the CPU and float32.

    Layers are made where, and draw their weights in what, a caller has set.

    Yields
    ------
    None
        The scope.
    """
    found = torch.get_default_dtype()
    with torch.device("cpu"):
        if found == torch.float32:
            # The usual case touches nothing that other threads see.
            yield
            return
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(found)


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error is that memory has run out.

    Parameters
    ----------
    error : BaseException
        Any.

    Returns
    -------
    bool
        Of the CPU or of a GPU.
    """
    # The allocator of the CPU has no error of its own.
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    )


@contextmanager
def telling_memory(name: str, hint: str) -> Iterator[None]:
    """Turn what says that memory has run out into a MemoryError that says what to do.

    Parameters
    ----------
    name : str
        What has run out of memory.
    hint : str
        What to do.

    Yields
    ------
    None
        The scope.

    Raises
    ------
    MemoryError
        If memory runs out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise MemoryError(f"{name} ran out of memory: {hint}. {error}") from error
        raise


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Return the scope that a caller's ``torch.autocast`` does not reach into.

    Parameters
    ----------
    device : torch.device
        Where the computation runs.

    Returns
    -------
    context manager
        `precision` alone says in it what is computed in.
    """
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def compiled(module: nn.Module, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Compile what a module computes; the module itself stays as it is.

    Parameters
    ----------
    module : torch.nn.Module
        Its weights stay shared.
    device : torch.device
        Where it is.

    Returns
    -------
    callable
        Computes what `module` does. It is compiled when it is first called.

    Raises
    ------
    ValueError
        If there is no compiler for `device`.
    """
    try:
        torch.compile(_successor)(torch.zeros(1, device=device))
    except Exception as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise ValueError(
            f"compile=True fails on device {str(device)!r} ({reason}): install a C++ "
            "compiler such as g++ (on CUDA also triton), or set compile=False."
        ) from error
    function: Callable[[Tensor], Tensor] = torch.compile(lambda x: module(x))
    return function


def _successor(x: Tensor) -> Tensor:
    return x + 1
