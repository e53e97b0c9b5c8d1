"""Convolutional encoders and decoders, and the layout in memory they are fast in."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

_MIN_SIDE = 8
_MIN_LARGE_SIDE = 16
_CHANNELS = {"small": (16, 32, 64), "large": (8, 32, 64)}
_MAX_CHANNELS = 128

Module = TypeVar("Module", bound=nn.Module)
Sizes = list[tuple[int, int]]


def _conv_plan(height: int, width: int) -> tuple[list[int], Sizes, Sizes]:
    """Choose the blocks of the convolutional encoder of images.

    Returned are the output channels of each convolution, the pooling after each, (1, 1)
    for none, and the image size before each, then the final one.

    Each side is halved while it stays at least 4 pixels long. Three convolutions do up
    to 64 pixels; larger images get more until no side is longer than 8, so that the
    flattened size stays moderate. The first convolution costs the most in images of
    many pixels, and gets fewer channels there.
    """
    first = _CHANNELS["large" if min(height, width) >= _MIN_LARGE_SIDE else "small"]
    channels: list[int] = []
    pools: Sizes = []
    sizes = [(height, width)]
    while len(channels) < len(first) or max(sizes[-1]) > 8:
        h, w = sizes[-1]
        pool = (2 if h >= 8 else 1, 2 if w >= 8 else 1)
        channels.append(
            first[len(channels)]
            if len(channels) < len(first)
            else min(2 * channels[-1], _MAX_CHANNELS)
        )
        pools.append(pool)
        sizes.append((h // pool[0], w // pool[1]))
    return channels, pools, sizes


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
    height, width = shape[1:]
    if min(height, width) < _MIN_SIDE:
        raise ValueError(
            f"encoder={encoder!r} needs images of at least {_MIN_SIDE} x "
            f"{_MIN_SIDE} pixels, got {height} x {width}. Use encoder='mlp'."
        )


def channels_last(module: Module) -> Module:
    """Lay out a module, in place, and its activations with channels last.

    Pooling and convolutions vectorize over the channels, which is faster on a CPU.
    Inputs may have any layout.
    """
    # Not by the parameters' own `contiguous`, which leaves the strides of kernels with
    # one channel as they are, and those decide the layout of all that follows.
    # torch documents this call, but its types do not know it.
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module


class _PixelRows(nn.Module):
    """Flatten images pixel by pixel, which is how they lie in memory.

    Nothing is copied, and gradients come back in the layout of the convolutions:
    from another one, the whole way back to the first of them is slower.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


def conv_encoder(shape: tuple[int, ...], n_components: int) -> nn.Sequential:
    """Build the convolutional encoder of images of a shape."""
    channels, pools, sizes = _conv_plan(*shape[1:])
    down: list[nn.Module] = []
    depths = [shape[0], *channels]
    for (n_in, n_out), pool in zip(pairwise(depths), pools, strict=True):
        # No bias: batch normalization subtracts it again.
        down.append(nn.Conv2d(n_in, n_out, 3, padding=1, bias=False))
        if pool != (1, 1):
            # Pooling first leaves normalization a quarter of the pixels.
            down.append(nn.MaxPool2d(pool))
        down += [nn.BatchNorm2d(n_out), nn.ReLU()]
    n_flat = channels[-1] * math.prod(sizes[-1])
    return nn.Sequential(*down, _PixelRows(), nn.Linear(n_flat, n_components))


def conv_decoder(shape: tuple[int, ...], n_components: int) -> nn.Sequential:
    """Build a mirror of the convolutional encoder."""
    channels, _, sizes = _conv_plan(*shape[1:])
    depths = [shape[0], *channels]
    flat_shape = (channels[-1], *sizes[-1])
    up: list[nn.Module] = [
        nn.Linear(n_components, math.prod(flat_shape)),
        nn.ReLU(),
        nn.Unflatten(1, flat_shape),
    ]
    for level in reversed(range(len(channels))):
        if sizes[level] != sizes[level + 1]:
            # To a size, not by a factor: it undoes the rounding of odd sides.
            up.append(nn.Upsample(size=sizes[level], mode="nearest"))
        n_in, n_out, is_last = depths[level + 1], depths[level], level == 0
        up.append(nn.Conv2d(n_in, n_out, 3, padding=1, bias=is_last))
        if not is_last:
            up += [nn.BatchNorm2d(n_out), nn.ReLU()]
    return nn.Sequential(*up)
