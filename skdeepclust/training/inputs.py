"""What a user may pass as X, brought to rows and one shape per sample."""

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch

from skdeepclust._arrays import as_array


def as_rows(X: Any, *, image_shape: Any = None) -> tuple[Any, tuple[int, ...] | None]:
    """Flatten images to rows and bring tensors to NumPy.

    Parameters
    ----------
    X : array-like or Tensor
        A table, or images of shape (n_samples, height, width) or
        (n_samples, channels, height, width).
    image_shape : sequence of int, default=None
        The parameter. Images of just this shape are taken whatever they look like.

    Returns
    -------
    X : array-like
        Images are of shape (n_samples, channels * height * width); anything
        else is left for scikit-learn to validate.
    shape : tuple of int or None
        ``(channels, height, width)``, None for a table.

    Raises
    ------
    ValueError
        If `X` has masked values, more than four dimensions, or images that look as
        if the channels came last.
    TypeError
        If it is a tensor that has no dense values.
    """
    if isinstance(X, torch.Tensor):
        X = as_array("X", X)
    if isinstance(X, list | tuple):
        X = _images_of_lists(X)
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        raise ValueError(
            "X is a masked array with masked values; fill or impute them first."
        )
    n_dims = getattr(X, "ndim", 2)
    if n_dims > 4:
        raise ValueError(
            f"Found array with dim {n_dims}, expected 2 (a table), 3 (grey images) or "
            "4 (n_samples, channels, height, width)."
        )
    if n_dims < 3:
        return X, None
    shape = (1, *X.shape[1:]) if n_dims == 3 else tuple(X.shape[1:])
    named = () if image_shape is None else tuple(image_shape)
    if n_dims == 4 and shape[2] <= 4 < min(shape[:2]) and shape != named:
        raise ValueError(
            f"X of shape {tuple(X.shape)} looks like images with the channels last; "
            "pass (n_samples, channels, height, width), for instance with "
            "np.moveaxis(X, -1, 1). Flatten images that are that narrow and have that "
            f"many channels, or name image_shape={shape}."
        )
    return X.reshape(X.shape[0], math.prod(shape)), shape


def _images_of_lists(X: Any) -> Any:
    """Return nested lists of images as an array; tables are left to scikit-learn."""
    X = [as_array("X", row) if isinstance(row, torch.Tensor) else row for row in X]
    try:
        array = np.asarray(X)
    except (ValueError, TypeError):
        # Of unequal lengths, which scikit-learn says in its own words.
        return X
    return array if array.ndim > 2 else X


def sample_shape(
    n_features: int,
    array_shape: tuple[int, ...] | None,
    image_shape: Sequence[int] | None,
) -> tuple[int, ...]:
    """Settle the shape of one sample.

    Parameters
    ----------
    n_features : int
        Columns of the flattened data.
    array_shape : tuple of int or None
        The shape of the images in X, if they came as images.
    image_shape : sequence of int or None
        The parameter: (height, width) or (channels, height, width).

    Returns
    -------
    tuple of int
        ``(n_features,)`` or ``(channels, height, width)``.

    Raises
    ------
    ValueError
        If `image_shape` fits neither the columns nor the images.
    """
    if image_shape is None:
        return array_shape or (n_features,)
    wanted = tuple(image_shape)
    if len(wanted) == 2:
        wanted = (1, *wanted)
    whole = all(isinstance(side, Integral) and side >= 1 for side in wanted)
    if len(wanted) != 3 or not whole:
        raise ValueError(
            f"image_shape={tuple(image_shape)} must be (channels, height, width) or "
            "(height, width), integers of at least 1."
        )
    wanted = tuple(map(int, wanted))
    if array_shape is not None and array_shape != wanted:
        raise ValueError(
            f"image_shape={wanted} differs from the shape {array_shape} of the images "
            "in X; leave image_shape=None for images that are not flattened."
        )
    if math.prod(wanted) != n_features:
        raise ValueError(
            f"image_shape={wanted} has {math.prod(wanted)} values per image, but X has "
            f"{n_features} features."
        )
    return wanted
