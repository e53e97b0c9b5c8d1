"""Random views of a batch; every draw comes from a given torch.Generator."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import torch
from torch import Tensor

from skdeepclust._utils.random import seeded_globals

from .images import ImageViews
from .tables import TableViews

__all__ = [
    "Augmentation",
    "ImageViews",
    "SeededCallable",
    "TableViews",
    "Views",
    "make_views",
]


class Views(Protocol):
    """A callable that returns one random view of each sample of a batch."""

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return a view of the shape, dtype and device of `x`, which is not changed."""
        ...


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
            raise TypeError(
                f"augmentation must return a float tensor; got {got}: convert what it "
                "returns."
            )
        if view.shape != x.shape:
            raise ValueError(
                "augmentation must return a batch of the shape it was given, "
                f"{tuple(x.shape)}; got {tuple(view.shape)}: keep the shape."
            )
        return view.to(device=x.device, dtype=x.dtype)


Augmentation: TypeAlias = (
    Literal["auto"] | Callable[[Tensor], Tensor] | ImageViews | TableViews | None
)


def make_views(augmentation: Augmentation, shape: tuple[int, ...]) -> Views | None:
    """Choose the random views for samples of a shape."""
    if augmentation is None or isinstance(augmentation, SeededCallable):
        return augmentation
    if isinstance(augmentation, str) and augmentation == "auto":
        if len(shape) == 1:
            return TableViews()
        if shape[0] == 1:
            return ImageViews()  # Flips would change the meaning of digits.
        crop = (0.4, 1.0)
        return ImageViews(0.0, 0.0, 0.0, crop=crop, flip=True, jitter=0.4, gray=0.2)
    if isinstance(augmentation, ImageViews | TableViews):
        if isinstance(augmentation, ImageViews) != (len(shape) == 3):
            raise ValueError(
                f"augmentation {type(augmentation).__name__} does not fit samples of "
                f"shape {shape}: pass ImageViews for images, TableViews for rows."
            )
        return augmentation
    return SeededCallable(augmentation)
