"""Where the computation runs."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch.backends import cudnn

from skdeepclust._utils.threads import SharedSetting


def available_devices() -> list[str]:
    """Return the names that `device` accepts here: "cpu", then each accelerator."""
    names = ["cpu"]
    if torch.cuda.is_available():
        names += ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device that is named; "auto" is the first accelerator, or the CPU."""
    names = available_devices()
    if device == "auto":
        return torch.device(names[1] if len(names) > 1 else "cpu")
    name = "cpu" if str(device) == "cpu:0" else str(device)
    if name not in names:
        raise ValueError(
            f"device={name!r} is not available on this machine: "
            f"pass 'auto' or one of {names}."
        )
    return torch.device(name)


def _set_cudnn(deterministic: bool, benchmark: bool) -> None:
    cudnn.deterministic, cudnn.benchmark = deterministic, benchmark


_CUDNN = SharedSetting(
    lambda: (cudnn.deterministic, cudnn.benchmark),
    lambda found: _set_cudnn(True, False),
    lambda found, is_last: _set_cudnn(*found) if is_last else None,
)


def repeatable(device: torch.device) -> AbstractContextManager[None]:
    """Return a scope in which convolutions on a GPU are bit-identical every time."""
    # Some of cuDNN's add up gradients in the order in which they come, and it may
    # choose among them by the time they take.
    return _CUDNN.scope() if device.type == "cuda" else nullcontext()


@contextmanager
def default_settings() -> Iterator[None]:
    """Make layers on the CPU and in float32, whatever a caller has set as default."""
    found = torch.get_default_dtype()
    # The usual case touches nothing that other threads see.
    changes = found != torch.float32
    if changes:
        torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        if changes:
            torch.set_default_dtype(found)


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether the CPU or a GPU has run out of memory."""
    # The allocator of the CPU has no error of its own.
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    )


@contextmanager
def telling_memory(name: str, hint: str) -> Iterator[None]:
    """Turn errors that memory has run out into a MemoryError that says what to do."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise MemoryError(f"{name} ran out of memory: {hint}. {error}") from error
        raise


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Return a scope in which `precision` counts, not a caller's `torch.autocast`."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
