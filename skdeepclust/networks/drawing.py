"""Weights drawn without the global generators, which belong to all threads."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

_DRAW = {
    *(torch.rand, torch.randn, torch.randint, torch.randperm),
    *(torch.bernoulli, torch.multinomial, torch.normal),
    *(Tensor.uniform_, Tensor.normal_, Tensor.random_, Tensor.bernoulli_),
    *(Tensor.bernoulli, Tensor.multinomial, Tensor.exponential_),
    *(init.uniform_, init.normal_, init.trunc_normal_, init.orthogonal_),
    *(init.kaiming_uniform_, init.kaiming_normal_),
    *(init.xavier_uniform_, init.xavier_normal_),
}
"""What draws, and takes a generator."""


class OwnDraws(TorchFunctionMode):
    """A scope of this thread in which modules draw from a generator of their own.

    The numbers are those that the global generator of the CPU would give after
    ``torch.manual_seed(seed)``, which nothing has to wait for or to put back.

    Parameters
    ----------
    seed : int
        Of the generator.
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
