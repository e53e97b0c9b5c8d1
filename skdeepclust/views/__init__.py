"""Random views of a batch; every draw comes from a given torch.Generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, TypeAlias

import torch
from torch import Tensor

from .callables import SeededCallable
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


Augmentation: TypeAlias = Literal["auto"] | Callable[[Tensor], Tensor] | Views | None


def make_views(augmentation: Augmentation, input_shape: Sequence[int]) -> Views | None:
    """Choose the random views for samples of a shape.

    "auto" means, for images with one channel, small rotations, shifts and changes of
    scale (never flips, which change the meaning of digits and letters); for other
    images resized crops, flips, brightness, contrast and, with three channels, gray;
    for tables feature masking and noise. A callable batch -> batch may draw from the
    global generators, as kornia and torchvision do: it becomes a `SeededCallable`.
    """
    shape = tuple(input_shape)
    if len(shape) not in (1, 3):
        raise ValueError(
            "input_shape must be (n_features,) or (channels, height, width), got "
            f"{shape}."
        )
    if augmentation is None or isinstance(augmentation, SeededCallable):
        return augmentation
    if isinstance(augmentation, str) and augmentation == "auto":
        if len(shape) == 1:
            return TableViews()
        if shape[0] == 1:
            return ImageViews()
        crop = (0.4, 1.0)
        return ImageViews(0.0, 0.0, 0.0, crop=crop, flip=True, jitter=0.4, gray=0.2)
    if isinstance(augmentation, ImageViews | TableViews):
        n_dims = 3 if isinstance(augmentation, ImageViews) else 1
        if len(shape) != n_dims:
            raise ValueError(
                f"augmentation {type(augmentation).__name__} does not fit samples of "
                f"shape {shape}."
            )
        return augmentation
    if not callable(augmentation):
        raise ValueError(
            "augmentation must be 'auto', None or a callable batch -> batch, got "
            f"{augmentation!r}."
        )
    # Whatever else is callable takes a batch alone; the type checker cannot tell it
    # from a `Views`, which takes a generator too.
    return SeededCallable(augmentation)  # type: ignore[arg-type]
