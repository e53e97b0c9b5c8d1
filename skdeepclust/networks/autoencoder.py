"""Autoencoders: fully connected, convolutional, residual, or around a module.

Every layer is initialized from torch's global generator. The caller decides on the
seed, and builds within `OwnDraws`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from numbers import Integral
from typing import Literal

import torch
from torch import Tensor, nn

from .backbone import Frozen, ResNet18, copied_in_float32
from .convolutional import (
    channels_last,
    check_images,
    conv_decoder,
    conv_encoder,
    is_image,
)

_DEFAULT_N_COMPONENTS = 20
_MAX_NARROW = 500  # values per sample up to which narrow layers do
_NARROW, _WIDE = (256, 256), (500, 500, 1000)
_LARGEST_SMALL_SIDE = 64  # pixels, up to which a ResNet-18 has the small stem
_CHOICES = (
    "encoder must be 'auto', 'mlp', 'conv', 'resnet18' or an instance of "
    "torch.nn.Module"
)


class Autoencoder(nn.Module):
    """An encoder f and a decoder g, trained to make g(f(x)) close to x.

    f maps (n, *input_shape) to (n, n_components), and g back. The last layer of g is
    linear, so that inputs of any range can be reconstructed.
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, n_components: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.n_components = int(n_components)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return f(x) and g(f(x))."""
        h = self.encoder(x)
        return h, self.decoder(h)


def build_autoencoder(
    encoder: str | nn.Module,
    input_shape: Sequence[int],
    n_components: int | None,
    hidden_layer_sizes: Iterable[int] | Literal["auto"] = "auto",
    *,
    n_outputs: int | None = None,
) -> Autoencoder:
    """Build the autoencoder that `encoder` asks for, on the CPU, with fresh weights.

    - "mlp": fully connected layers of `hidden_layer_sizes` between the flattened input
      and the latent space, mirrored in the decoder. "auto" sizes are (256, 256), or
      (500, 500, 1000) with more than 500 values per sample.
    - "conv": 3x3 convolutions; images of at least 8 x 8 pixels.
    - "resnet18": a `ResNet18` and a linear layer; the decoder is that of "conv".
    - "auto": "conv" where it is possible, else "mlp".
    - a module: a deep copy in float32, flattened; a linear layer follows where its
      outputs are not `n_components`. The decoder is fully connected.
    - a `Frozen` module: likewise, but fully connected layers of `hidden_layer_sizes`
      follow, and the decoder of images of at least 8 x 8 pixels is that of "conv".

    None for `n_components` is the module's own output size, and 20 with the built-in
    encoders and with `Frozen`. None for `n_outputs`, the outputs per sample of a
    module, finds out by a dry run, which may draw from the global generators.
    """
    shape = tuple(int(size) for size in input_shape)
    if len(shape) not in (1, 3) or min(shape) < 1:
        raise ValueError(
            "input_shape must be (n_features,) or (channels, height, width) "
            f"with positive sizes, got {shape}."
        )
    if n_components is not None and n_components < 1:
        raise ValueError(f"n_components must be at least 1, got {n_components}.")
    if isinstance(hidden_layer_sizes, str):
        if hidden_layer_sizes != "auto":
            raise ValueError(
                "hidden_layer_sizes must be 'auto' or integers, got "
                f"{hidden_layer_sizes!r}."
            )
        hidden_layer_sizes = _NARROW if math.prod(shape) <= _MAX_NARROW else _WIDE
    hidden = tuple(hidden_layer_sizes)
    if not all(isinstance(size, Integral) and size >= 1 for size in hidden):
        raise ValueError(
            f"hidden_layer_sizes must be integers of at least 1, got {hidden}."
        )

    if isinstance(encoder, nn.Module):
        return _around(encoder, shape, n_components, hidden, n_outputs)
    if not isinstance(encoder, str):
        raise TypeError(f"{_CHOICES}, got {encoder!r}.")
    if encoder == "auto":
        encoder = "conv" if is_image(shape) else "mlp"
    d = _DEFAULT_N_COMPONENTS if n_components is None else n_components
    if encoder == "mlp":
        flatten = [] if len(shape) == 1 else [nn.Flatten()]
        encode = nn.Sequential(*flatten, *_mlp([math.prod(shape), *hidden, d]))
        return Autoencoder(encode, _mlp_decoder(shape, d, hidden), d)
    if encoder in ("conv", "resnet18"):
        check_images(encoder, shape)
        encode = (conv_encoder if encoder == "conv" else _resnet_encoder)(shape, d)
        return channels_last(Autoencoder(encode, conv_decoder(shape, d), d))
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


def _resnet_encoder(shape: tuple[int, ...], n_components: int) -> nn.Sequential:
    """Build a ResNet-18, with the stem that suits the images, and a linear layer."""
    stem = "small" if max(shape[1:]) <= _LARGEST_SMALL_SIDE else "large"
    backbone = ResNet18(shape[0], stem=stem)
    return nn.Sequential(backbone, nn.Linear(backbone.n_features, n_components))


def _around(
    encoder: nn.Module,
    shape: tuple[int, ...],
    n_components: int | None,
    hidden: tuple[int, ...],
    n_outputs: int | None,
) -> Autoencoder:
    """Build an autoencoder around a copy of a user's module."""
    if isinstance(encoder, Frozen):
        own, n_outputs = _copied(encoder.module, shape, n_outputs)
        d = _DEFAULT_N_COMPONENTS if n_components is None else n_components
        layers = [Frozen(own).train().requires_grad_(False), nn.Flatten()]
        layers += _mlp([n_outputs, *hidden, d])
        # Frozen modules often come with large photographs, for which fully connected
        # layers would have more weights than the module.
        convolutional = is_image(shape)
    else:
        own, n_outputs = _copied(encoder, shape, n_outputs)
        d = n_outputs if n_components is None else n_components
        layers = [own, nn.Flatten()]
        if n_outputs != d:
            layers.append(nn.Linear(n_outputs, d))
        convolutional = False
    decode = conv_decoder(shape, d) if convolutional else _mlp_decoder(shape, d, hidden)
    around = _Around(*layers)
    around.n_outputs = n_outputs
    return Autoencoder(around, decode, d)


class _Around(nn.Sequential):
    """A user's module and our layers; its outputs stay as many as in the dry run."""

    n_outputs: int

    def forward(self, x: Tensor) -> Tensor:
        own, *layers = self
        h = own(x)
        n = x.shape[0]
        if n == 1 and h.numel() == self.n_outputs:
            h = h.reshape(1, -1)  # a module may squeeze a batch of one
        if h.shape[:1] != x.shape[:1] or h.numel() != n * self.n_outputs:
            raise ValueError(
                f"encoder {type(own).__name__} maps a batch of shape {tuple(x.shape)} "
                f"to {tuple(h.shape)}, and gave {self.n_outputs} values per sample "
                "before; the size of its output must not change."
            )
        for layer in layers:
            h = layer(h)
        embedding: Tensor = h
        return embedding


def _copied(
    module: nn.Module, shape: tuple[int, ...], n_outputs: int | None
) -> tuple[nn.Module, int]:
    """Copy a user's module; return it with its number of outputs per sample."""
    own = copied_in_float32("encoder", module, torch.device("cpu"))
    for name, value in own.state_dict().items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"encoder {type(module).__name__} has a state that is no tensor, "
                f"{name}, which a pickle of the estimator could not hold; keep it in "
                "buffers instead of get_extra_state."
            )
    return own, n_outputs or _count_outputs(own, shape)


def _count_outputs(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Run a module on two samples of zeros; return its outputs per sample."""
    name = type(module).__name__
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with (
            torch.no_grad(),
            torch.autocast("cpu", enabled=False),
            torch.random.fork_rng(devices=[]),
        ):
            x = torch.zeros(2, *shape, dtype=torch.float32, device="cpu")
            output = module(x)
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
