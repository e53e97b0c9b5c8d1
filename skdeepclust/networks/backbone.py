"""Encoders of images: ResNet-18, weights from a file, frozen modules."""

import copy
import os
import tarfile
from collections.abc import Mapping
from typing import Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import relu
from torch.nn.parameter import is_lazy

_SAVE = "Save weights by torch.save(module.state_dict(), path)."

Module = TypeVar("Module", bound=nn.Module)


def _conv(n_in: int, n_out: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    # No bias: batch normalization subtracts it again.
    return nn.Conv2d(n_in, n_out, size, stride, padding=size // 2, bias=False)


class _BasicBlock(nn.Module):
    """Two convolutions around which the input is added, brought to the same shape."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(n_in, n_out, stride=stride)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = _conv(n_out, n_out)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or n_in != n_out:
            shrink = _conv(n_in, n_out, 1, stride)
            self.downsample = nn.Sequential(shrink, nn.BatchNorm2d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        h = relu(self.bn1(self.conv1(x)), inplace=True)
        h = self.bn2(self.conv2(h))
        return relu(h.add_(shortcut), inplace=True)


def _layer(n_in: int, n_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(_BasicBlock(n_in, n_out, stride), _BasicBlock(n_out, n_out, 1))


class ResNet18(nn.Module):
    """ResNet-18 without its classifier (He et al., 2016): images to 512 features.

    Its weights have the names of torchvision's ``resnet18``: `load_weights` reads files
    of either.

    Parameters
    ----------
    n_channels : int, default=3
        Channels of the images.
    stem : {"small", "large"}, default="large"
        The first layers: a 3 x 3 convolution for images of up to 64 pixels a side, or a
        7 x 7 convolution and max pooling, which leave a quarter of each side. Weights
        trained on ImageNet need "large".
    """

    n_features = 512

    def __init__(self, n_channels: int = 3, *, stem: str = "large") -> None:
        super().__init__()
        if stem not in ("small", "large"):
            raise ValueError(
                f"stem must be 'small' or 'large'; got {stem!r}: pass one."
            )
        is_small = stem == "small"
        self.conv1 = _conv(n_channels, 64) if is_small else _conv(n_channels, 64, 7, 2)
        self.maxpool = nn.Identity() if is_small else nn.MaxPool2d(3, 2, padding=1)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _layer(64, 64, stride=1)
        self.layer2 = _layer(64, 128, stride=2)
        self.layer3 = _layer(128, 256, stride=2)
        self.layer4 = _layer(256, self.n_features, stride=2)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        """Return features (n, 512), not negative, of images (n, channels, h, w)."""
        h: Tensor = self.maxpool(relu(self.bn1(self.conv1(x)), inplace=True))
        h = self.layer4(self.layer3(self.layer2(self.layer1(h))))
        return h.mean(dim=(2, 3))


class Frozen(nn.Module):
    """A pretrained module that is used as it is and never trained.

    Pass ``encoder=Frozen(module)`` to an estimator: fully connected layers of
    `hidden_layer_sizes` follow the module, and only they are trained. The module stays
    in evaluation mode and computes no gradients.

    Parameters
    ----------
    module : torch.nn.Module
        Maps a batch to (n_samples, ...). Estimators use a float32 copy of it.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"module must be a torch.nn.Module; got {module!r}: pass one."
            )
        if isinstance(module, Frozen):
            raise ValueError("module is Frozen already: pass it as the encoder itself.")
        self.module = module
        self.training = False  # of the module itself the user's, until it is called

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, whatever `mode` is."""
        super().train(False)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Return the module's output for a batch, without gradients."""
        if any(part.training for part in self.module.modules()):
            self.train()
        with torch.no_grad():
            output: Tensor = self.module(x)
        return output


def copied_in_float32(
    name: str, module: Module, device: torch.device, *, share: bool = False
) -> Module:
    """Copy a user's module to a device, its weights in float32.

    Messages call it `name`. With `share`, weights that are float32 and on the device
    already are shared; mode and buffers are copied in any case.
    """
    kind = type(module).__name__
    for weight, value in (*module.named_parameters(), *module.named_buffers()):
        if value.is_complex():
            raise TypeError(
                f"{name} {kind} has complex values in {weight}, which float32 cannot "
                "hold: keep pairs of real numbers, as of torch.view_as_real."
            )
    weights = [weight for weight in module.parameters() if not is_lazy(weight)]
    traced = any(isinstance(part, torch.jit.ScriptModule) for part in module.modules())
    ready = all(w.device == device and w.dtype == torch.float32 for w in weights)
    # What the memo knows is taken from it, and not copied.
    memo = {id(weight): weight for weight in weights} if share and ready else {}
    try:
        # With gradients, the weights of a copied module that was traced would count
        # as computed ones, which cannot be trained.
        with torch.no_grad():
            own = copy.deepcopy(module, {} if traced else memo)
            own = own.to(device, torch.float32)
    except Exception as error:
        raise ValueError(
            f"{name} {kind} cannot be copied: {error}. Pass one that copy.deepcopy "
            "can copy."
        ) from error
    for own_weight, given in zip(own.parameters(), module.parameters(), strict=True):
        if own_weight.requires_grad != given.requires_grad:
            own_weight.requires_grad_(given.requires_grad)
    return own


def load_weights(module: Module, path: str | os.PathLike[str]) -> Module:
    """Load weights from a file of ``torch.save(module.state_dict(), path)``.

    Nothing in the file is executed. A ValueError names what is no tensor, or the first
    name or shape that differs, and leaves the module unchanged.

    Parameters
    ----------
    module : torch.nn.Module
        Gets the weights, in place. Its names and shapes must be those of the file; only
        ``fc``, the classifier of torchvision's networks, may be missing in either.
    path : str or path-like
        The file.

    Returns
    -------
    module : torch.nn.Module
        The same module.
    """
    path, kind = os.fspath(path), type(module).__name__
    stored = _read_weights(path)
    # Extra state of parts of it, which is no tensor, is not among weights.
    state = module.state_dict().items()
    own = {name: value for name, value in state if isinstance(value, Tensor)}
    fix = "Build the module as it was when the weights were saved."
    fill = "Run lazy layers on a batch first, and others on a device with memory."
    for name, value in own.items():
        _check_values(name, value, f"{kind}. {fill}")
        found = stored.get(name)
        if found is None:
            if _may_be_missing(name):
                continue
            raise ValueError(f"{path!r} lacks {name}, which {kind} has. {fix}")
        _check_values(name, found, f"{path!r}. {_SAVE}")
        if found.is_complex() and not value.is_complex():
            raise ValueError(
                f"{name} is complex in {path!r}, and real in {kind}. {fix}"
            )
        if found.shape != value.shape:
            raise ValueError(
                f"{name} has shape {tuple(found.shape)} in {path!r}, and "
                f"{tuple(value.shape)} in {kind}. {fix}"
            )
    for name in stored:
        if name not in own and not _may_be_missing(name):
            raise ValueError(f"{path!r} has {name}, which {kind} lacks. {fix}")
    module.load_state_dict(stored, strict=False)
    return module


def _check_values(name: str, value: Tensor, where: str) -> None:
    empty = is_lazy(value) or value.is_meta
    if empty or value.is_quantized or value.layout != torch.strided:
        raise ValueError(f"{name} has no dense values, or quantized ones, in {where}")


def _may_be_missing(name: str) -> bool:
    # The counters of batches came to torch later than the first published weights,
    # and matter only to averages without momentum.
    return name.startswith("fc.") or name.endswith(".num_batches_tracked")


def _read_weights(path: str) -> dict[str, Tensor]:
    with open(path, "rb") as file:
        try:
            # torch before 2.6 lets code in a tar file run, in spite of `weights_only`.
            if tarfile.is_tarfile(file):
                raise ValueError("torch no longer reads this format.")
            file.seek(0)
            stored = torch.load(file, map_location="cpu", weights_only=True)
        # Which errors a damaged or malicious file brings about is not documented.
        except Exception as error:
            raise ValueError(
                f"{path!r} is damaged, or holds more than weights; nothing in it was "
                f"executed. {_SAVE}"
            ) from error
    if not isinstance(stored, Mapping):
        kind = type(stored).__name__
        raise ValueError(f"{path!r} holds a {kind}, not weights by name. {_SAVE}")
    for name, value in stored.items():
        if not isinstance(value, Tensor):
            raise ValueError(
                f"{path!r} has {name!r} of type {type(value).__name__}, not a weight. "
                f"{_SAVE}"
            )
    return {str(name): value for name, value in stored.items()}
