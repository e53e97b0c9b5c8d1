"""Convolutional encoders and decoders of images."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn

_MIN_SIDE = 8
_MIN_LARGE_SIDE = 16


def _conv_plan(height: int, width: int) -> tuple[list[int], list[tuple[int, int]]]:
    """Return the channels after each convolution, and the image size before and after.

    Each side is halved while it stays at least 4 pixels long. Three convolutions do up
    to 64 pixels; larger images get more until no side is longer than 8. The first one
    costs the most in images of many pixels, and gets fewer channels there.
    """
    sizes = [(height, width)]
    while len(sizes) < 4 or max(sizes[-1]) > 8:
        h, w = sizes[-1]
        sizes.append((h // 2 if h >= 8 else h, w // 2 if w >= 8 else w))
    first = 8 if min(height, width) >= _MIN_LARGE_SIDE else 16
    return [first, 32, 64, *[128] * (len(sizes) - 4)], sizes


def is_image(shape: tuple[int, ...]) -> bool:
    """Say whether samples of a shape are images large enough for convolutions."""
    return len(shape) == 3 and min(shape[1:]) >= _MIN_SIDE


def check_images(encoder: str, shape: tuple[int, ...]) -> None:
    """Raise unless samples of a shape are images that `encoder` can take."""
    if len(shape) != 3:
        raise ValueError(
            f"encoder={encoder!r} needs images of shape (channels, height, width), got "
            f"samples of shape {shape}. Give image_shape, or use encoder='mlp'."
        )
    if not is_image(shape):
        height, width = shape[1:]
        raise ValueError(
            f"encoder={encoder!r} needs images of at least {_MIN_SIDE} x "
            f"{_MIN_SIDE} pixels, got {height} x {width}. Use encoder='mlp'."
        )


class _PixelRows(nn.Module):
    """Flatten images pixel by pixel, as they lie in memory; so do their gradients."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


def conv_encoder(shape: tuple[int, ...], n_components: int) -> nn.Sequential:
    """Build the convolutional encoder of images of a shape."""
    channels, sizes = _conv_plan(*shape[1:])
    down: list[nn.Module] = []
    depths = pairwise([shape[0], *channels])
    for (n_in, n_out), (size, (h, w)) in zip(depths, pairwise(sizes), strict=True):
        # No bias: batch normalization subtracts it again.
        down.append(nn.Conv2d(n_in, n_out, 3, padding=1, bias=False))
        if size != (h, w):
            # Pooling first leaves normalization a quarter of the pixels.
            down.append(nn.MaxPool2d((size[0] // h, size[1] // w)))
        down += [nn.BatchNorm2d(n_out), nn.ReLU()]
    n_flat = channels[-1] * math.prod(sizes[-1])
    return nn.Sequential(*down, _PixelRows(), nn.Linear(n_flat, n_components))


def conv_decoder(shape: tuple[int, ...], n_components: int) -> nn.Sequential:
    """Build a mirror of the convolutional encoder."""
    channels, sizes = _conv_plan(*shape[1:])
    depths = [shape[0], *channels]
    flat_shape = (channels[-1], *sizes[-1])
    flat = nn.Linear(n_components, math.prod(flat_shape))
    up: list[nn.Module] = [flat, nn.ReLU(), nn.Unflatten(1, flat_shape)]
    for level in reversed(range(len(channels))):
        if sizes[level] != sizes[level + 1]:
            # To a size, not by a factor: it undoes the rounding of odd sides.
            up.append(nn.Upsample(size=sizes[level], mode="nearest"))
        n_in, n_out, is_last = depths[level + 1], depths[level], level == 0
        up.append(nn.Conv2d(n_in, n_out, 3, padding=1, bias=is_last))
        if not is_last:
            up += [nn.BatchNorm2d(n_out), nn.ReLU()]
    return nn.Sequential(*up)
