"""Random views of a batch; every draw comes from a given torch.Generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from .callables import (
    SeededCallable,
    global_states,
    seeded_globals,
    set_global_states,
)
from .images import ImageViews
from .tables import TableViews

__all__ = [
    "ImageViews",
    "SeededCallable",
    "TableViews",
    "Views",
    "global_states",
    "make_views",
    "seeded_globals",
    "set_global_states",
]


class Views(Protocol):
    """A callable that returns one random view of a batch."""

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return a view of `x`, of the same shape, dtype and device.

        Parameters
        ----------
        x : Tensor of shape (n_samples, ...)
            The batch, which is not changed in place.
        generator : torch.Generator
            The only source of randomness.

        Returns
        -------
        view : Tensor of shape (n_samples, ...)
            Each sample transformed by draws of its own.
        """
        ...


def make_views(
    augmentation: str | Callable[[Tensor], Tensor] | Views | None,
    input_shape: Sequence[int],
) -> Views | None:
    """Choose the random views for samples of a shape.

    Parameters
    ----------
    augmentation : "auto", callable or None
        - "auto", images with one channel: small rotations, shifts and changes
          of scale; never flips, which change the meaning of digits and letters.
        - "auto", other images: resized crops, flips, brightness, contrast, and
          (with three channels) grey.
        - "auto", tables: feature masking and noise.
        - a callable batch -> batch, which may draw from the global generators
          (kornia, torchvision): see `SeededCallable`.
        - an `ImageViews` or `TableViews` of one's own.
        - None: no views.
    input_shape : tuple of int
        Shape of one sample: (n_features,) or (channels, height, width).

    Returns
    -------
    views : callable (x, generator) -> Tensor, or None
        The views.

    Raises
    ------
    ValueError
        If `augmentation` is none of these, or does not fit `input_shape`.
    """
    shape = tuple(input_shape)
    if len(shape) not in (1, 3):
        raise ValueError(
            "input_shape must be (n_features,) or (channels, height, width), got "
            f"{shape}."
        )
    if augmentation is None:
        return None
    if isinstance(augmentation, str):
        if augmentation != "auto":
            raise ValueError(
                "augmentation must be 'auto', None or a callable batch -> batch, got "
                f"{augmentation!r}."
            )
        if len(shape) == 1:
            return TableViews()
        if shape[0] == 1:
            return ImageViews()
        return ImageViews(
            degrees=0.0,
            shift=0.0,
            scale=0.0,
            crop=(0.4, 1.0),
            flip=True,
            jitter=0.4,
            grey=0.2,
        )
    if isinstance(augmentation, ImageViews | TableViews):
        n_dims = 3 if isinstance(augmentation, ImageViews) else 1
        if len(shape) != n_dims:
            raise ValueError(
                f"augmentation {type(augmentation).__name__} does not fit samples of "
                f"shape {shape}."
            )
        return augmentation
    if isinstance(augmentation, SeededCallable):
        return augmentation
    if not callable(augmentation):
        raise ValueError(
            "augmentation must be 'auto', None or a callable batch -> batch, got "
            f"{augmentation!r}."
        )
    # Whatever else is callable takes a batch alone; the type checker cannot tell it
    # from a `Views`, which takes a generator too.
    return SeededCallable(augmentation)  # type: ignore[arg-type]
