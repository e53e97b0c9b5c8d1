"""Autoencoders: fully connected, convolutional, residual, or around a module.

Every layer is initialised from torch's global generator. The caller decides
on the seed, and builds within `OwnDraws`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from numbers import Integral
from typing import Literal

import torch
from torch import Tensor, nn

from .backbone import Frozen, copied_in_float32, resnet18_for
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
    hidden_layer_sizes: Iterable[int] | Literal["auto"] = "auto",
    *,
    encoder_trainable: bool = True,
    n_outputs: int | None = None,
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
    hidden_layer_sizes : iterable of int or "auto", default="auto"
        Sizes of the hidden fully connected layers, from the input on. The
        decoder mirrors them. Not used by "conv" and "resnet18". "auto" stands for
        (256, 256), or for (500, 500, 1000) with more than 500 values per sample.
    encoder_trainable : bool, default=True
        False for a module that has learnt before and stays as it is, see `Frozen`:
        fully connected layers of `hidden_layer_sizes` follow, and are trained. The
        decoder for images of at least 8 x 8 pixels is then that of "conv".
    n_outputs : int, default=None
        Outputs per sample of a module. None finds out by a dry run, which may draw from
        the global generators.

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
        around = _around_module if encoder_trainable else _around_frozen_module
        return around(encoder, shape, n_components, hidden, n_outputs)
    if not isinstance(encoder, str):
        raise TypeError(f"{_CHOICES}, got {encoder!r}.")
    if not encoder_trainable:
        raise ValueError(
            f"encoder_trainable=False cannot go with encoder={encoder!r}, which has "
            "learnt nothing yet; pass a torch.nn.Module that has."
        )
    if encoder == "auto":
        encoder = "conv" if is_image(shape) else "mlp"
    d = _DEFAULT_N_COMPONENTS if n_components is None else n_components
    if encoder == "mlp":
        layers = _mlp([math.prod(shape), *hidden, d])
        flatten = [] if len(shape) == 1 else [nn.Flatten()]
        return Autoencoder(
            nn.Sequential(*flatten, *layers), _mlp_decoder(shape, d, hidden), shape, d
        )
    if encoder == "conv":
        check_images(encoder, shape)
        network = Autoencoder(conv_encoder(shape, d), conv_decoder(shape, d), shape, d)
        return channels_last(network)
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


def _resnet_autoencoder(shape: tuple[int, ...], n_components: int) -> Autoencoder:
    """Build a ResNet-18 and the convolutional decoder for images of `shape`."""
    check_images("resnet18", shape)
    backbone = resnet18_for(shape)
    encoder = nn.Sequential(backbone, nn.Linear(backbone.n_features, n_components))
    decoder = conv_decoder(shape, n_components)
    return channels_last(Autoencoder(encoder, decoder, shape, n_components))


def _around_module(
    module: nn.Module,
    shape: tuple[int, ...],
    n_components: int | None,
    hidden: tuple[int, ...],
    n_outputs: int | None,
) -> Autoencoder:
    """Build an autoencoder around a copy of a user's module."""
    own, n_outputs = _copied(module, shape, n_outputs)
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
    n_outputs: int | None,
) -> Autoencoder:
    """Build an autoencoder whose encoder starts with a copy that is not trained."""
    own, n_outputs = _copied(module, shape, n_outputs)
    d = _DEFAULT_N_COMPONENTS if n_components is None else n_components
    layers = [Frozen(own), nn.Flatten(), *_mlp([n_outputs, *hidden, d])]
    # Such modules often come with large photographs, for which fully connected layers
    # would have more weights than the module.
    decoder = (
        conv_decoder(shape, d) if is_image(shape) else _mlp_decoder(shape, d, hidden)
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


def _copied(
    module: nn.Module, shape: tuple[int, ...], n_outputs: int | None
) -> tuple[nn.Module, int]:
    """Copy a user's module; return it with its number of outputs per sample."""
    own = copied_in_float32("encoder", module, torch.device("cpu"))
    for name, value in own.state_dict().items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"encoder {type(module).__name__} has a state that is no tensor, "
                f"{name}, and could not be saved; keep it in buffers instead of "
                "get_extra_state."
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
