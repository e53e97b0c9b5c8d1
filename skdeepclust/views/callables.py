"""A user's own augmentation, made reproducible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from skdeepclust._utils.random import seeded_globals


@dataclass(frozen=True)
class SeededCallable:
    """Random views by a callable batch -> batch that draws from global generators.

    It runs without gradients on a copy of the batch. The given generator seeds those of
    torch, NumPy and Python, which are restored afterwards.
    """

    function: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return one random view of the batch, in its dtype and on its device."""
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
