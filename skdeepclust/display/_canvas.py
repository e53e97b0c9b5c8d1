"""Images laid out in one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._shared import as_numpy, check_finite

DARK = 128  # bytes: images with none as large could hardly be seen


def check_images(name: str, images: Any, image_shape: Any) -> NDArray[Any]:
    """Return images without a channel, or with three in front."""
    array = as_numpy(name, images)
    check_finite(name, array)
    is_table = array.ndim == 2
    if is_table:
        array = _from_rows(name, array, image_shape)
    if array.ndim not in (3, 4) or (not is_table and _is_channels_last(array)):
        raise ValueError(
            f"{name} must have shape (n_samples, height, width) or (n_samples, "
            f"channels, height, width); got shape {array.shape}: move the channels to "
            "the second place."
        )
    if array.size == 0:
        raise ValueError(
            f"{name} must hold an image or more; got shape {array.shape}: pass some."
        )
    if array.ndim == 3 or array.shape[1] == 3:
        return array
    mean: NDArray[Any] = array[:, 0] if array.shape[1] == 1 else array.mean(axis=1)
    # The type says what is black and what is white.
    return mean.round().astype(np.uint8) if array.dtype == np.uint8 else mean


def _from_rows(name: str, rows: NDArray[Any], image_shape: Any) -> NDArray[Any]:
    if image_shape is None:
        raise ValueError(
            f"{name} must be images; got rows of shape {rows.shape}: pass "
            "image_shape, (height, width) or (channels, height, width)."
        )
    shape = tuple(image_shape)
    if len(shape) not in (2, 3) or np.prod(shape) != rows.shape[1]:
        raise ValueError(
            f"image_shape={shape} must have two or three sizes and as many values as "
            f"the rows of {name}; got {rows.shape[1]}: pass the shape they had."
        )
    return rows.reshape(len(rows), *shape)


def _is_channels_last(images: NDArray[Any]) -> bool:
    if images.ndim != 4 or images.shape[1] in (1, 3):
        return False
    n_last = images.shape[3]
    return n_last in (1, 3) or n_last <= 4 < min(images.shape[1:3])


def compose(
    images: NDArray[Any], groups: Sequence[Sequence[NDArray[Any]]], n_columns: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Lay the images out in one; return it, and the middles of clusters and groups.

    Each group has so many columns at most. Further images go to the next lines of their
    cluster.
    """
    low, high = _range(images)
    height, width = images.shape[-2:]
    gap = max(1, round(height / 10))
    step_y, step_x = height + gap, width + gap
    counts = np.array([[len(samples) for samples in group] for group in groups])
    n_across = np.clip(counts.max(axis=1), 1, n_columns)
    n_down = np.maximum(1, -(-counts.max(axis=0) // n_columns))
    between = max(2, width // 2)
    # Lines of one cluster are closer to each other than to those of the next.
    apart = 0 if n_down.max() == 1 else max(2, height // 2)
    lefts = np.append(0, np.cumsum(n_across * step_x + between))
    tops = np.append(0, np.cumsum(n_down * step_y + apart))
    # The last sums are the size.
    shape = (tops[-1] - apart - gap, lefts[-1] - between - gap)
    canvas = np.full(shape, np.nan) if images.ndim == 3 else np.zeros((*shape, 4))
    for left, group in zip(lefts, groups, strict=False):
        for top, samples in zip(tops, group, strict=False):
            for i, sample in enumerate(samples):
                line, column = divmod(i, n_columns)
                y, x = top + line * step_y, left + column * step_x
                tile = (images[sample].astype(float) - low) / (high - low)
                if images.ndim == 4:
                    tile = np.dstack([*tile, np.ones((height, width))])
                canvas[y : y + height, x : x + width] = tile
    rows = tops[:-1] + (n_down * step_y - gap - 1) / 2
    columns = lefts[:-1] + (n_across * step_x - gap - 1) / 2
    return canvas, rows, columns


def _range(images: NDArray[Any]) -> tuple[float, float]:
    """Return what is black and what is white, as when fitting."""
    low, high = float(images.min()), float(images.max())
    if images.dtype == np.uint8:
        return 0.0, 255.0 if high >= DARK else max(high, 1.0)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return low, high if high > low else low + abs(low)
