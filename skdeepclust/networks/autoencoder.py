"""Autoencoders: fully connected, convolutional, residual, or around a module.

Layers are initialized from torch's global generator: build them within `OwnDraws`.
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
from .convolutional import check_images, conv_decoder, conv_encoder, is_image

_DEFAULT_N_COMPONENTS = 20
_MAX_NARROW = 500  # values per sample up to which narrow layers do
_NARROW, _WIDE = (256, 256), (500, 500, 1000)
_LARGEST_SMALL_SIDE = 64  # pixels, up to which a ResNet-18 has the small stem


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

    - "mlp": fully connected layers of `hidden_layer_sizes`, mirrored in the decoder;
      "auto" is (256, 256), or (500, 500, 1000) of more than 500 values per sample.
    - "conv": 3x3 convolutions; images of at least 8 x 8 pixels.
    - "resnet18": a `ResNet18` and a linear layer; the decoder is that of "conv".
    - "auto": "conv" where it is possible, else "mlp".
    - a module: a copy in float32, flattened; a linear layer follows where its outputs
      are not `n_components`. The decoder is fully connected.
    - a `Frozen` module: likewise, but fully connected layers of `hidden_layer_sizes`
      follow, and the decoder of images of at least 8 x 8 pixels is that of "conv".

    None for `n_components` is a module's own output size, else 20. None for
    `n_outputs`, the outputs per sample of a module, finds out by a dry run.
    """
    shape = tuple(int(size) for size in input_shape)
    if len(shape) not in (1, 3) or min(shape) < 1:
        raise ValueError(
            "input_shape must be (n_features,) or (channels, height, width) "
            f"with positive sizes, got {shape}."
        )
    if n_components is not None and n_components < 1:
        raise ValueError(f"n_components must be at least 1, got {n_components}.")
    if isinstance(hidden_layer_sizes, str) and hidden_layer_sizes == "auto":
        hidden_layer_sizes = _NARROW if math.prod(shape) <= _MAX_NARROW else _WIDE
    hidden = tuple(hidden_layer_sizes)
    if not all(isinstance(size, Integral) and size >= 1 for size in hidden):
        raise ValueError(
            "hidden_layer_sizes must be 'auto' or integers of at least 1, got "
            f"{hidden_layer_sizes!r}."
        )
    if isinstance(encoder, nn.Module):
        return _around(encoder, shape, n_components, hidden, n_outputs)
    if encoder == "auto":
        encoder = "conv" if is_image(shape) else "mlp"
    d = n_components or _DEFAULT_N_COMPONENTS
    if encoder == "mlp":
        flatten = [] if len(shape) == 1 else [nn.Flatten()]
        encode = nn.Sequential(*flatten, *_mlp([math.prod(shape), *hidden, d]))
        return Autoencoder(encode, _mlp_decoder(shape, d, hidden), d)
    if encoder in ("conv", "resnet18"):
        check_images(encoder, shape)
        encode = (conv_encoder if encoder == "conv" else _resnet_encoder)(shape, d)
        network = Autoencoder(encode, conv_decoder(shape, d), d)
        # A CPU vectorizes over channels. `Tensor.contiguous` would leave kernels of one
        # channel as they are, which decide the layout of all that follows.
        # torch documents this call, but its types do not know it.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network
    raise (ValueError if isinstance(encoder, str) else TypeError)(
        "encoder must be 'auto', 'mlp', 'conv', 'resnet18' or an instance of "
        f"torch.nn.Module, got {encoder!r}."
    )


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
    given = encoder.module if isinstance(encoder, Frozen) else encoder
    is_frozen, own = given is not encoder, _copied(given)
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
    if is_frozen and is_image(shape):
        decoder = conv_decoder(shape, n_components)
    else:
        decoder = _mlp_decoder(shape, n_components, hidden)
    return Autoencoder(around, decoder, n_components)


class _Around(nn.Sequential):
    """A user's module and our layers; its outputs stay as many as in the dry run."""

    n_outputs: int

    def forward(self, x: Tensor) -> Tensor:
        own, *layers = self
        h: Tensor = own(x)
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
        return h


def _copied(module: nn.Module) -> nn.Module:
    """Copy a user's module, which must have a state of tensors alone."""
    own = copied_in_float32("encoder", module, torch.device("cpu"))
    for name, value in own.state_dict().items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"encoder {type(module).__name__} has a state that is no tensor, "
                f"{name}: keep it in buffers instead of get_extra_state."
            )
    return own


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
            f"encoder {name} must map a batch of shape {batch} to (2, n_outputs), got "
            f"{tuple(output.shape)}. The first dimension is that of the samples."
        )
    return output.numel() // 2
