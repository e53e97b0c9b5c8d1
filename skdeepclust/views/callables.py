"""A user's own augmentation, made reproducible."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

# NPY002 bans NumPy's legacy generator. Here it is meant: augmentation libraries draw
# from it, so it is seeded, kept and put back.

# Threads share the global generators. Reentrant, for scopes lie within each other.
_LOCK = threading.RLock()


def _unlock() -> None:
    # A process that is forked while another thread holds the lock would wait for ever.
    global _LOCK
    _LOCK = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_unlock)


@contextmanager
def seeded_globals(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators, and give them back as they were found.

    One thread at a time: the others wait, and find the generators as they were.

    Parameters
    ----------
    seed : int
        For torch (the CPU and `device`), NumPy and Python.
    device : torch.device
        Where the computation runs; other devices are left alone.

    Yields
    ------
    None
        The scope.
    """
    cuda = [device] if device.type == "cuda" else []
    with _LOCK:
        python_state = random.getstate()
        numpy_state = np.random.get_state()  # noqa: NPY002
        try:
            with torch.random.fork_rng(devices=cuda):
                # Not through torch.manual_seed: it would also seed the devices
                # that are not forked.
                torch.default_generator.manual_seed(seed)
                for used in cuda:
                    with torch.cuda.device(used):
                        torch.cuda.manual_seed(seed)
                random.seed(seed)
                # RandomState makes its state without the global one.
                np.random.set_state(np.random.RandomState(seed).get_state())  # noqa: NPY002
                yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002


def global_states(device: torch.device) -> dict[str, Any]:
    """Return the states of the generators that `seeded_globals` seeds.

    Parameters
    ----------
    device : torch.device
        As for `seeded_globals`.

    Returns
    -------
    dict
        Tensors, arrays and numbers.
    """
    version, numbers, gauss = random.getstate()
    states: dict[str, Any] = {
        "python": (version, np.array(numbers, dtype=np.int64), gauss),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_global_states(states: dict[str, Any], device: torch.device) -> None:
    """Put back what `global_states` has returned.

    Parameters
    ----------
    states : dict
        The states.
    device : torch.device
        As for `seeded_globals`.
    """
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers.tolist()), gauss))
    np.random.set_state(states["numpy"])  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


@dataclass(frozen=True)
class SeededCallable:
    """Random views by a callable that draws from the global generators.

    The callable runs without gradients on a copy of the batch, while the global
    generators of torch (CPU and the batch's device), NumPy and Python hold a
    state that the given generator decides. Afterwards they are as before.

    Parameters
    ----------
    function : callable batch -> batch
        For example a kornia or torchvision module. It takes and returns a float
        tensor of one shape, (n_samples, n_features) or (n_samples, channels,
        height, width).
    """

    function: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return one random view of the batch.

        Parameters
        ----------
        x : Tensor of shape (n_samples, ...)
            The batch.
        generator : torch.Generator
            Source of the seed.

        Returns
        -------
        view : Tensor of shape (n_samples, ...)
            What the callable returns, in the dtype and on the device of `x`.

        Raises
        ------
        TypeError
            If the callable does not return a float tensor.
        ValueError
            If it returns another shape.
        """
        draw = torch.randint(
            2**32, (), generator=generator, device=generator.device, dtype=torch.int64
        )
        with torch.no_grad(), seeded_globals(int(draw), x.device):
            # A copy, for some transforms work in place and x is needed again.
            view = self.function(x.clone())
        if not isinstance(view, Tensor) or not view.is_floating_point():
            got = view.dtype if isinstance(view, Tensor) else type(view).__name__
            raise TypeError(f"augmentation must return a float tensor, got {got}.")
        if view.shape != x.shape:
            raise ValueError(
                "augmentation must return a batch of the shape it was given, "
                f"{tuple(x.shape)}, got {tuple(view.shape)}."
            )
        return view.to(device=x.device, dtype=x.dtype)
