"""Autoencoders: fully connected, convolutional, residual, or around a module.

Layers are initialized from torch's global generator: build them within `OwnDraws`.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from numbers import Integral
from typing import Literal

import torch
from torch import Tensor, nn

from .backbone import Frozen, ResNet18, copied_in_float32

_DEFAULT_N_COMPONENTS = 20
_MAX_NARROW = 500  # values per sample up to which narrow layers do
_NARROW, _WIDE = (256, 256), (500, 500, 1000)
_LARGEST_SMALL_SIDE = 64  # pixels, up to which a ResNet-18 has the small stem
_MIN_SIDE, _MIN_LARGE_SIDE = 8, 16  # pixels, of images for convolutions
_LAST_CHANNELS = 64  # from the third convolution on


class Autoencoder(nn.Module):
    """An encoder f and a decoder g, trained to make g(f(x)) close to x.

    f maps (n, *input_shape) to (n, n_components); the last layer of g is linear.
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, n_components: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.n_components = int(n_components)

    def hidden(self, x: Tensor) -> Tensor:
        """Return the input of the encoder's last layer, (n, n_hidden).

        Of a module that no layer follows it is the output.
        """
        encoder = self.encoder
        assert isinstance(encoder, nn.Sequential)
        body = encoder.hidden if isinstance(encoder, _Around) else encoder[:-1]
        h: Tensor = body(x)
        return h

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return f(x) and g(f(x))."""
        h = self.encoder(x)
        return h, self.decoder(h)


def build_autoencoder(
    encoder: str | nn.Module,
    shape: tuple[int, ...],
    n_components: int | None,
    hidden_layer_sizes: Iterable[int] | Literal["auto"] = "auto",
    *,
    n_outputs: int | None = None,
) -> Autoencoder:
    """Build the autoencoder for samples of a shape, on the CPU, with fresh weights.

    `encoder` and `hidden_layer_sizes` are those of an estimator. None for
    `n_components` is a module's own output size, else 20. None for `n_outputs`, the
    outputs per sample of a module, finds out by a dry run.
    """
    if isinstance(hidden_layer_sizes, str) and hidden_layer_sizes == "auto":
        hidden_layer_sizes = _NARROW if math.prod(shape) <= _MAX_NARROW else _WIDE
    hidden = tuple(hidden_layer_sizes)
    if not all(isinstance(size, Integral) and size >= 1 for size in hidden):
        raise ValueError(
            "hidden_layer_sizes must be 'auto' or integers of at least 1; got "
            f"{hidden_layer_sizes!r}: pass (256, 256), for instance."
        )
    if isinstance(encoder, nn.Module):
        return _around(encoder, shape, n_components, hidden, n_outputs)
    if encoder == "auto":
        encoder = "conv" if _is_image(shape) else "mlp"
    d = n_components or _DEFAULT_N_COMPONENTS
    if encoder == "mlp":
        flatten = [] if len(shape) == 1 else [nn.Flatten()]
        encode = nn.Sequential(*flatten, *_mlp([math.prod(shape), *hidden, d]))
        return Autoencoder(encode, _mlp_decoder(shape, d, hidden), d)
    if len(shape) != 3:
        raise ValueError(
            f"encoder={encoder!r} needs images of shape (channels, height, width); got "
            f"samples of shape {shape}: set image_shape, or encoder='mlp'."
        )
    if not _is_image(shape):
        height, width = shape[1:]
        raise ValueError(
            f"encoder={encoder!r} needs images of at least {_MIN_SIDE} x "
            f"{_MIN_SIDE} pixels; got {height} x {width}: set encoder='mlp'."
        )
    if encoder == "conv":
        encode = _conv_encoder(shape, d)
    else:
        stem = "small" if max(shape[1:]) <= _LARGEST_SMALL_SIDE else "large"
        backbone = ResNet18(shape[0], stem=stem)
        encode = nn.Sequential(backbone, nn.Linear(backbone.n_features, d))
    network = Autoencoder(encode, _conv_decoder(shape, d), d)
    # A CPU vectorizes over channels. `Tensor.contiguous` would leave kernels of one
    # channel as they are, which decide the layout of all that follows.
    # torch documents this call, but its types do not know it.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


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


def _around(
    encoder: nn.Module,
    shape: tuple[int, ...],
    n_components: int | None,
    hidden: tuple[int, ...],
    n_outputs: int | None,
) -> Autoencoder:
    """Build an autoencoder around a copy of a user's module."""
    given = encoder.module if isinstance(encoder, Frozen) else encoder
    own = copied_in_float32("encoder", given, torch.device("cpu"))
    for name, value in own.state_dict().items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"encoder {type(given).__name__} has a state that is no tensor, "
                f"{name}: keep it in buffers instead of get_extra_state."
            )
    is_frozen = given is not encoder
    n_outputs = n_outputs or _count_outputs(own, shape)
    n_components = n_components or (_DEFAULT_N_COMPONENTS if is_frozen else n_outputs)
    if is_frozen:
        own = Frozen(own).train().requires_grad_(False)
        layers = _mlp([n_outputs, *hidden, n_components])
    else:
        fits = n_outputs == n_components
        layers = [] if fits else [nn.Linear(n_outputs, n_components)]
    around = _Around(own, nn.Flatten(), *layers)
    around.n_outputs = n_outputs
    # Frozen modules often come with large photographs, for which fully connected layers
    # would have more weights than the module.
    if is_frozen and _is_image(shape):
        decoder = _conv_decoder(shape, n_components)
    else:
        decoder = _mlp_decoder(shape, n_components, hidden)
    return Autoencoder(around, decoder, n_components)


class _Around(nn.Sequential):
    """A user's module and our layers; its outputs stay as many as in the dry run."""

    n_outputs: int

    def forward(self, x: Tensor) -> Tensor:
        h = self.hidden(x)
        last: Tensor = self[-1](h) if len(self) > 2 else h
        return last

    def hidden(self, x: Tensor) -> Tensor:
        """Return the input of the last of our layers; without any, the output."""
        own, flatten, *layers = self
        h: Tensor = own(x)
        n = x.shape[0]
        if n == 1 and h.numel() == self.n_outputs:
            h = h.reshape(1, -1)  # a module may squeeze a batch of one
        if h.shape[:1] != x.shape[:1] or h.numel() != n * self.n_outputs:
            raise ValueError(
                f"encoder {type(own).__name__} maps a batch of shape {tuple(x.shape)} "
                f"to {tuple(h.shape)}, and gave {self.n_outputs} values per sample "
                "before: let it give as many for every batch."
            )
        h = flatten(h)
        for layer in layers[:-1]:
            h = layer(h)
        return h


def _count_outputs(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Run a module on two samples of zeros; return its outputs per sample."""
    name, batch = type(module).__name__, (2, *shape)
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with (
            torch.no_grad(),
            torch.autocast("cpu", enabled=False),
            torch.random.fork_rng(devices=[]),
        ):
            output = module(torch.zeros(batch, dtype=torch.float32, device="cpu"))
    except Exception as error:
        raise ValueError(
            f"encoder {name} fails on a batch of shape {batch} (n_samples, "
            f"*input_shape), which it has to take: {error}"
        ) from error
    finally:
        for part, training in modes.items():
            part.training = training
    if not isinstance(output, Tensor) or output.dtype != torch.float32:
        got = output.dtype if isinstance(output, Tensor) else type(output).__name__
        raise TypeError(
            f"encoder {name} must return a float32 tensor for input_shape {shape}; "
            f"got {got}: change what its forward returns."
        )
    if output.ndim < 2 or output.shape[0] != 2 or output.numel() == 0:
        raise ValueError(
            f"encoder {name} must map a batch of shape {batch} to (2, n_outputs); got "
            f"{tuple(output.shape)}: keep the first dimension, that of the samples."
        )
    return output.numel() // 2


def _conv_plan(height: int, width: int) -> tuple[list[int], list[tuple[int, int]]]:
    """Return the channels after each convolution, and the image size before and after.

    Each side is halved while it stays at least 4 pixels long: by three convolutions, or
    more until none is longer than 8. The first two layers of images of many pixels,
    where most of the time goes, have half the channels.
    """
    sizes = [(height, width)]
    while len(sizes) < 4 or max(sizes[-1]) > 8:
        h, w = sizes[-1]
        sizes.append((h // 2 if h >= 8 else h, w // 2 if w >= 8 else w))
    first = 8 if min(height, width) >= _MIN_LARGE_SIDE else 16
    return [first, 2 * first, *[_LAST_CHANNELS] * (len(sizes) - 3)], sizes


def _is_image(shape: tuple[int, ...]) -> bool:
    """Say whether samples of a shape are images large enough for convolutions."""
    return len(shape) == 3 and min(shape[1:]) >= _MIN_SIDE


class _PixelRows(nn.Module):
    """Flatten images pixel by pixel, as they lie in memory; so do their gradients."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


def _conv_encoder(shape: tuple[int, ...], n_components: int) -> nn.Sequential:
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


def _conv_decoder(shape: tuple[int, ...], n_components: int) -> nn.Sequential:
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
