"""Random numbers: the only code that seeds, keeps and puts back generators.

A user's module may draw from the global ones: it runs in `seeded_globals`. Our own
networks draw from a generator of their own, in `OwnDraws`.
"""

import os
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

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
    """Seed Python's, NumPy's and torch's generators; give them back as they were.

    One thread at a time: the others wait.
    """
    with _LOCK:
        found = global_states(device)
        try:
            # Not through torch.manual_seed: it would also seed the other devices.
            torch.default_generator.manual_seed(seed)
            if device.type == "cuda":
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
            random.seed(seed)
            # RandomState makes its state without the global one.
            np.random.set_state(np.random.RandomState(seed).get_state())  # noqa: NPY002
            yield
        finally:
            set_global_states(found, device)


def draw_seed(generator: torch.Generator) -> int:
    """Draw a seed for NumPy and scikit-learn, from 0 and below 2**31 - 1."""
    device = generator.device
    return int(torch.randint(2**31 - 1, (1,), generator=generator, device=device))


def global_states(device: torch.device) -> dict[str, Any]:
    """Return the states of what `seeded_globals` seeds: tensors, arrays, numbers."""
    states: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_global_states(states: dict[str, Any], device: torch.device) -> None:
    """Put back what `global_states` has returned."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


# What draws, and takes a generator.
_DRAW = {
    *(torch.rand, torch.randn, torch.randint, torch.randperm),
    *(torch.bernoulli, torch.multinomial, torch.normal),
    *(Tensor.uniform_, Tensor.normal_, Tensor.random_, Tensor.bernoulli_),
    *(Tensor.bernoulli, Tensor.multinomial, Tensor.exponential_),
    *(init.uniform_, init.normal_, init.trunc_normal_, init.orthogonal_),
    *(init.kaiming_uniform_, init.kaiming_normal_),
    *(init.xavier_uniform_, init.xavier_normal_),
}


class OwnDraws(TorchFunctionMode):
    """A scope of this thread in which modules draw from a generator of their own.

    The numbers are those of the CPU after ``torch.manual_seed(seed)``.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator("cpu").manual_seed(seed)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call `func`, with the generator if it draws."""
        told = dict(kwargs or {})
        if func in _DRAW and told.get("generator") is None:
            told["generator"] = self._generator
        return func(*args, **told)
