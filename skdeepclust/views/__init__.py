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


Augmentation: TypeAlias = (
    Literal["auto"] | Callable[[Tensor], Tensor] | ImageViews | TableViews | None
)


def make_views(augmentation: Augmentation, input_shape: Sequence[int]) -> Views | None:
    """Choose the random views for samples of a shape.

    "auto": for images with one channel small rotations, shifts and changes of scale
    (flips would change the meaning of digits and letters); for others resized crops,
    flips, brightness, contrast and gray; for tables feature masking and noise. A
    callable batch -> batch becomes a `SeededCallable`.
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
        if isinstance(augmentation, ImageViews) != (len(shape) == 3):
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
    return SeededCallable(augmentation)
