"""Autoencoders: fully connected, convolutional, residual, or around a module.

Every layer is initialised from torch's global generator. The caller decides
on the seed, and wraps the construction in ``torch.random.fork_rng``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from numbers import Integral

import torch
from torch import Tensor, nn

from .backbone import Frozen, resnet18_for

_MIN_CONV_SIDE = 8
_DEFAULT_N_COMPONENTS = 20
_CHANNELS = (16, 32, 64)
_MAX_CHANNELS = 128
_CHOICES = (
    "encoder must be 'auto', 'mlp', 'conv', 'resnet18' or an instance of "
    "torch.nn.Module"
)


class Autoencoder(nn.Module):
    """An encoder f and a decoder g, trained to make g(f(x)) close to x.

    Parameters
    ----------
    encoder : torch.nn.Module
        Maps (n_samples, *input_shape) to (n_samples, n_components).
    decoder : torch.nn.Module
        Maps (n_samples, n_components) to (n_samples, *input_shape). Its last
        layer is linear, so that inputs of any range can be reconstructed.
    input_shape : tuple of int
        Shape of one sample: (n_features,) or (channels, height, width).
    n_components : int
        Number of latent dimensions.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        input_shape: Sequence[int],
        n_components: int,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.input_shape = tuple(int(size) for size in input_shape)
        self.n_components = int(n_components)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Encode and reconstruct a batch.

        Parameters
        ----------
        x : Tensor of shape (n_samples, *input_shape)
            The batch.

        Returns
        -------
        h : Tensor of shape (n_samples, n_components)
            Latent representation f(x).
        x_hat : Tensor of shape (n_samples, *input_shape)
            Reconstruction g(f(x)).
        """
        h = self.encoder(x)
        return h, self.decoder(h)


def build_autoencoder(
    encoder: str | nn.Module,
    input_shape: Sequence[int],
    n_components: int | None,
    hidden_layer_sizes: Iterable[int] = (500, 500, 1000),
    *,
    encoder_trainable: bool = True,
) -> Autoencoder:
    """Build the autoencoder that `encoder` asks for.

    Parameters
    ----------
    encoder : {"auto", "mlp", "conv", "resnet18"} or torch.nn.Module
        - "mlp": fully connected, with `hidden_layer_sizes` between the
          (flattened) input and the latent space.
        - "conv": 3x3 convolutions; images of at least 8 x 8 pixels.
        - "resnet18": a ResNet-18 and a linear layer, see `ResNet18`; images of at
          least 8 x 8 pixels. The decoder is that of "conv".
        - "auto": "conv" where it is possible, else "mlp".
        - a module: a deep copy in float32 is used and the original is left as
          it is. Its output is flattened to (n_samples, n_outputs); a linear
          layer follows when n_outputs is not `n_components`. The decoder is
          fully connected.
    input_shape : tuple of int
        Shape of one sample: (n_features,) or (channels, height, width).
    n_components : int or None
        Number of latent dimensions. None stands for the module's own output
        size, and for 20 with the built-in encoders and with a module that is not
        trained.
    hidden_layer_sizes : iterable of int, default=(500, 500, 1000)
        Sizes of the hidden fully connected layers, from the input on. The
        decoder mirrors them. Not used by "conv" and "resnet18".
    encoder_trainable : bool, default=True
        False for a module that has learnt before and stays as it is, see `Frozen`:
        fully connected layers of `hidden_layer_sizes` follow, and are trained. The
        decoder for images of at least 8 x 8 pixels is then that of "conv".

    Returns
    -------
    autoencoder : Autoencoder
        On the CPU, in training mode, with fresh weights.

    Raises
    ------
    ValueError
        If `encoder` is unknown, does not fit `input_shape`, or has learnt nothing and
        is not to be trained.
    TypeError
        If `encoder` is neither a string nor a module, or if the module does
        not return a float32 tensor.
    """
    shape = tuple(int(size) for size in input_shape)
    if len(shape) not in (1, 3) or min(shape) < 1:
        raise ValueError(
            "input_shape must be (n_features,) or (channels, height, width) "
            f"with positive sizes, got {shape}."
        )
    if n_components is not None and n_components < 1:
        raise ValueError(f"n_components must be at least 1, got {n_components}.")
    hidden = tuple(hidden_layer_sizes)
    if not all(isinstance(size, Integral) and size >= 1 for size in hidden):
        raise ValueError(
            f"hidden_layer_sizes must be integers of at least 1, got {hidden}."
        )

    if isinstance(encoder, nn.Module):
        around = _around_module if encoder_trainable else _around_frozen_module
        return around(encoder, shape, n_components, hidden)
    if not isinstance(encoder, str):
        raise TypeError(f"{_CHOICES}, got {encoder!r}.")
    if not encoder_trainable:
        raise ValueError(
            f"encoder_trainable=False cannot go with encoder={encoder!r}, which has "
            "learnt nothing yet; pass a torch.nn.Module that has."
        )
    if encoder == "auto":
        encoder = "conv" if _is_image(shape) else "mlp"
    d = _DEFAULT_N_COMPONENTS if n_components is None else n_components
    if encoder == "mlp":
        layers = _mlp([math.prod(shape), *hidden, d])
        flatten = [] if len(shape) == 1 else [nn.Flatten()]
        return Autoencoder(
            nn.Sequential(*flatten, *layers), _mlp_decoder(shape, d, hidden), shape, d
        )
    if encoder == "conv":
        return _conv_autoencoder(shape, d)
    if encoder == "resnet18":
        return _resnet_autoencoder(shape, d)
    raise ValueError(f"{_CHOICES}, got {encoder!r}.")


def _mlp(sizes: Sequence[int]) -> list[nn.Module]:
    """Linear layers through `sizes`, ReLU between them, the last one linear."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return layers[:-1]


def _mlp_decoder(
    shape: tuple[int, ...], n_components: int, hidden: tuple[int, ...]
) -> nn.Sequential:
    """Decode latent vectors to samples of `shape`, hidden sizes mirrored."""
    layers = _mlp([n_components, *reversed(hidden), math.prod(shape)])
    if len(shape) > 1:
        layers.append(nn.Unflatten(1, shape))
    return nn.Sequential(*layers)


def _conv_plan(
    height: int, width: int
) -> tuple[list[int], list[tuple[int, int]], list[tuple[int, int]]]:
    """Choose channels, pooling and image sizes of the convolutional encoder.

    Each side is halved while it stays at least 4 pixels long. Three
    convolutions suffice up to 64 pixels; larger images get more of them until
    no side is longer than 8, so that the flattened size stays moderate.

    Returns
    -------
    channels : list of int, length n_blocks
        Output channels of each convolution.
    pools : list of (int, int), length n_blocks
        Pooling after each convolution, (1, 1) for none.
    sizes : list of (int, int), length n_blocks + 1
        Image size before each convolution, then the final one.
    """
    channels: list[int] = []
    pools: list[tuple[int, int]] = []
    sizes = [(height, width)]
    while len(channels) < len(_CHANNELS) or max(sizes[-1]) > 8:
        h, w = sizes[-1]
        pool = (2 if h >= 8 else 1, 2 if w >= 8 else 1)
        channels.append(
            _CHANNELS[len(channels)]
            if len(channels) < len(_CHANNELS)
            else min(2 * channels[-1], _MAX_CHANNELS)
        )
        pools.append(pool)
        sizes.append((h // pool[0], w // pool[1]))
    return channels, pools, sizes


def _is_image(shape: tuple[int, ...]) -> bool:
    """Say whether samples are images large enough for convolutions."""
    return len(shape) == 3 and min(shape[1:]) >= _MIN_CONV_SIDE


def _check_images(encoder: str, shape: tuple[int, ...]) -> None:
    """Raise unless samples are images that `encoder` can take."""
    if len(shape) != 3:
        raise ValueError(
            f"encoder={encoder!r} needs images of shape (channels, height, width), got "
            f"samples of shape {shape}. Give image_shape, or use encoder='mlp'."
        )
    height, width = shape[1:]
    if min(height, width) < _MIN_CONV_SIDE:
        raise ValueError(
            f"encoder={encoder!r} needs images of at least {_MIN_CONV_SIDE} x "
            f"{_MIN_CONV_SIDE} pixels, got {height} x {width}. Use encoder='mlp'."
        )


def _channels_last(autoencoder: Autoencoder) -> Autoencoder:
    # Pooling and convolutions vectorise over the channels, which is faster on a CPU.
    # Inputs may have any layout. Not by the parameters' own `contiguous`, which leaves
    # the strides of kernels with one channel as they are, and those decide the layout
    # of all that follows. torch documents this call, but its types do not know it.
    return autoencoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class _PixelRows(nn.Module):
    """Flatten images pixel by pixel, which is how they lie in memory.

    Nothing is copied, and gradients come back in the layout of the convolutions:
    from another one, the whole way back to the first of them is slower.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


def _conv_autoencoder(shape: tuple[int, ...], n_components: int) -> Autoencoder:
    """Build the convolutional encoder and its mirror for images of `shape`."""
    _check_images("conv", shape)
    channels, pools, sizes = _conv_plan(*shape[1:])
    down: list[nn.Module] = []
    depths = [shape[0], *channels]
    for (n_in, n_out), pool in zip(pairwise(depths), pools, strict=True):
        # No bias: batch normalisation subtracts it again.
        down.append(nn.Conv2d(n_in, n_out, 3, padding=1, bias=False))
        if pool != (1, 1):
            # Pooling first leaves normalisation a quarter of the pixels.
            down.append(nn.MaxPool2d(pool))
        down += [nn.BatchNorm2d(n_out), nn.ReLU()]
    n_flat = channels[-1] * math.prod(sizes[-1])
    encoder = nn.Sequential(*down, _PixelRows(), nn.Linear(n_flat, n_components))
    decoder = _conv_decoder(shape, n_components)
    return _channels_last(Autoencoder(encoder, decoder, shape, n_components))


def _conv_decoder(shape: tuple[int, ...], n_components: int) -> nn.Sequential:
    """Mirror the convolutional encoder for images of `shape`."""
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
        is_last = level == 0
        up.append(
            nn.Conv2d(depths[level + 1], depths[level], 3, padding=1, bias=is_last)
        )
        if not is_last:
            up += [nn.BatchNorm2d(depths[level]), nn.ReLU()]
    return nn.Sequential(*up)


def _resnet_autoencoder(shape: tuple[int, ...], n_components: int) -> Autoencoder:
    """Build a ResNet-18 and the convolutional decoder for images of `shape`."""
    _check_images("resnet18", shape)
    backbone = resnet18_for(shape)
    encoder = nn.Sequential(backbone, nn.Linear(backbone.n_features, n_components))
    decoder = _conv_decoder(shape, n_components)
    return _channels_last(Autoencoder(encoder, decoder, shape, n_components))


def _around_module(
    module: nn.Module,
    shape: tuple[int, ...],
    n_components: int | None,
    hidden: tuple[int, ...],
) -> Autoencoder:
    """Build an autoencoder around a copy of a user's module."""
    own, n_outputs = _copied(module, shape)
    d = n_outputs if n_components is None else n_components
    layers: list[nn.Module] = [own, nn.Flatten()]
    if n_outputs != d:
        layers.append(nn.Linear(n_outputs, d))
    encoder = _Around(*layers)
    encoder.n_outputs = n_outputs
    return Autoencoder(encoder, _mlp_decoder(shape, d, hidden), shape, d)


def _around_frozen_module(
    module: nn.Module,
    shape: tuple[int, ...],
    n_components: int | None,
    hidden: tuple[int, ...],
) -> Autoencoder:
    """Build an autoencoder whose encoder starts with a copy that is not trained."""
    own, n_outputs = _copied(module, shape)
    d = _DEFAULT_N_COMPONENTS if n_components is None else n_components
    layers = [Frozen(own), nn.Flatten(), *_mlp([n_outputs, *hidden, d])]
    # Such modules often come with large photographs, for which fully connected layers
    # would have more weights than the module.
    decoder = (
        _conv_decoder(shape, d) if _is_image(shape) else _mlp_decoder(shape, d, hidden)
    )
    encoder = _Around(*layers)
    encoder.n_outputs = n_outputs
    return Autoencoder(encoder, decoder, shape, d)


class _Around(nn.Sequential):
    """A user's module and our layers; its outputs stay as many as in the dry run."""

    n_outputs: int

    def forward(self, x: Tensor) -> Tensor:
        own, *layers = self
        h = own(x)
        if h.shape[:1] != x.shape[:1] or h.numel() != len(x) * self.n_outputs:
            raise ValueError(
                f"encoder {type(own).__name__} maps a batch of shape {tuple(x.shape)} "
                f"to {tuple(h.shape)}, and gave {self.n_outputs} values per sample "
                "before; the size of its output must not change."
            )
        for layer in layers:
            h = layer(h)
        return h


def _copied(module: nn.Module, shape: tuple[int, ...]) -> tuple[nn.Module, int]:
    """Copy a user's module; return it with its number of outputs per sample."""
    try:
        own = copy.deepcopy(module).to(device="cpu", dtype=torch.float32)
    except Exception as error:
        raise ValueError(
            f"encoder {type(module).__name__} cannot be copied: {error}"
        ) from error
    return own, _count_outputs(own, shape)


def _count_outputs(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Run a module on two samples of zeros; return its outputs per sample."""
    name = type(module).__name__
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            output = module(torch.zeros(2, *shape))
    except Exception as error:
        raise ValueError(
            f"encoder {name} fails on a batch of shape {(2, *shape)} (n_samples, "
            f"*input_shape): {error}"
        ) from error
    finally:
        for part, training in modes.items():
            part.training = training
    if not isinstance(output, Tensor) or output.dtype != torch.float32:
        got = output.dtype if isinstance(output, Tensor) else type(output).__name__
        raise TypeError(
            f"encoder {name} must return a float32 tensor for input_shape {shape}, "
            f"got {got}."
        )
    if output.ndim < 2 or output.shape[0] != 2 or output.numel() == 0:
        raise ValueError(
            f"encoder {name} must map a batch of shape {(2, *shape)} to "
            f"(2, n_outputs), got {tuple(output.shape)}. The first dimension is "
            "that of the samples."
        )
    return output.numel() // 2
