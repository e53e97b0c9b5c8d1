"""The state of an estimator: in a pickle, and in a file without pickle."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from skdeepclust._compat import CALLBACKS, SparseParamsMixin
from skdeepclust._container import SCHEMA, migrate, parsing, read, write
from skdeepclust._plain import plain, rich
from skdeepclust._version import __version__
from skdeepclust.networks import ClusterNetwork
from skdeepclust.networks.drawing import OwnDraws
from skdeepclust.networks.packing import packed
from skdeepclust.training import InputSpec, Unit, default_settings, resolve_device

_KIND = "estimator"
# What networks are built from. Where these are changed after `fit`, the fitted network
# is still the one of before.
_BUILT_FROM = (
    "encoder",
    "encoder_trainable",
    "n_components",
    "hidden_layer_sizes",
    "augmentation",
    "pretraining",
    "precision",
)
_MODULES = ("encoder", "augmentation")
"""Parameters that may be modules."""


class StatefulEstimator(SparseParamsMixin):
    """Base of estimators whose state is arrays and plain values.

    A subclass gives `_build_network`, keeps the network as ``network_``, and tells
    `_remember` what it was built for.
    """

    _spec: InputSpec
    _built: dict[str, Any]
    encoder: Any
    network_: Any
    n_clusters_: int
    device: Any
    _n_outputs: int | None = None
    """Of an encoder that is a module, where the network is built again."""

    def _build_network(self, spec: InputSpec) -> ClusterNetwork:
        raise NotImplementedError

    def _new_network(self, spec: InputSpec) -> ClusterNetwork:
        """Build a network that is to get its weights."""
        with OwnDraws(0), default_settings():
            return self._build_network(spec)

    def _remember(self, spec: InputSpec) -> None:
        """Keep what the network is rebuilt from; code stays with the parameters."""
        given = self.get_params(deep=False)
        self._spec = spec
        self._built = {name: given[name] for name in _BUILT_FROM if name in given}
        self._built["n_clusters_"] = self.n_clusters_
        if self._built.get("augmentation") is not None:
            # All that matters to a network is whether there are views.
            self._built["augmentation"] = "auto"

    # ------------------------------------------------------------------- in a pickle

    def __getstate__(self) -> dict[str, Any]:
        """Return the state, with the weights as NumPy arrays and without a device."""
        state = dict(super().__getstate__())
        if "network_" in state:
            state["network_"] = {
                name: value.cpu().numpy()
                for name, value in self.network_.state_dict().items()
            }
        if "_spec" in state:
            unit = self._spec.unit
            told = {**vars(self._spec), "unit": None if unit is None else vars(unit)}
            state["_spec"] = told
        # One copy for both: the encoder and what the network was built from.
        copies: dict[int, nn.Module] = {}

        def pack(held: dict[str, Any]) -> dict[str, Any]:
            for name in _MODULES:
                module = held.get(name)
                if isinstance(module, nn.Module):
                    if id(module) not in copies:
                        copies[id(module)] = packed(module)
                    held = {**held, name: copies[id(module)]}
            return held

        state = pack(state)
        if "_built" in state:
            state["_built"] = pack(state["_built"])
        if "network_" in state:
            encoder = self.network_.autoencoder.encoder
            n_outputs = getattr(encoder, "n_outputs", None)
            state["_built"] = {**state["_built"], "_n_outputs": n_outputs}
        return {**plain(state), "_schema": SCHEMA, "_version": __version__}

    def __copy__(self) -> Self:
        """Return another estimator with the same attributes, not copied."""
        twin = object.__new__(type(self))
        twin.__dict__.update(vars(self))
        return twin

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Rebuild the network from its arrays, on the device that is there."""
        state = dict(state)
        schema, version = state.pop("_schema", 0), state.pop("_version", "?")
        source = f"The state of {type(self).__name__}"
        state = rich(migrate(source, _KIND, schema, version, state))
        arrays, spec = state.get("network_"), state.get("_spec")
        super().__setstate__(state)
        if spec is not None:
            self._spec = _spec_of(spec)
        if arrays is None:
            return
        # As it was at `fit`, whatever its parameters are by now.
        self._built = {"encoder": self.encoder, **state.get("_built", {})}
        fitted = object.__new__(type(self))
        fitted.__dict__.update({**vars(self), **self._built})
        network = fitted._new_network(self._spec)
        network.load_state_dict(
            {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
        )
        try:
            device = resolve_device(self.device)
        except ValueError:
            # Fitted on a machine with another device: the CPU is always there.
            device = torch.device("cpu")
        self.network_ = network.to(device).eval().requires_grad_(False)

    # -------------------------------------------------------------------- in a file

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the estimator to a file that `load` reads without pickle.

        Parameters
        ----------
        path : str or path-like
            The file, usually named ``.npz``. One that exists is replaced, at once and
            only by a whole one.

        Raises
        ------
        TypeError
            If a parameter or an attribute is neither a plain value nor an array.
        ValueError
            If the encoder was a module in `fit`, and `encoder` is another one now.
        OSError
            If the file cannot be written.

        Notes
        -----
        The file holds arrays and JSON, with a checksum, and no code: `load` wants an
        encoder that is a module, and an augmentation that is a function, again.
        Callbacks are not in it.
        """
        built = vars(self).get("_built", {}).get("encoder")
        if isinstance(built, nn.Module) and built is not self.encoder:
            raise ValueError(
                f"encoder={self.encoder!r} is not the module that was fitted, and a "
                "file holds no code: set_params(encoder=...) what it was first."
            )
        state = self.__getstate__()
        for name in ("_schema", "_version", CALLBACKS):
            state.pop(name, None)
        code = {
            name: _described(value) for name, value in state.items() if callable(value)
        }
        state = {name: value for name, value in state.items() if name not in code}
        if "_built" in state:
            built = state["_built"]
            state["_built"] = {k: v for k, v in built.items() if not callable(v)}
        content = {"_class": type(self).__name__, "_code": code, **state}
        write(Path(path), _KIND, content)

    @classmethod
    def load(cls, path: str | os.PathLike[str], **code: Any) -> Self:
        """Read an estimator from a file of `save`.

        Nothing that is in the file is executed, whoever has made it.

        Parameters
        ----------
        path : str or path-like
            The file.
        **code : object
            The parameters that the file cannot hold, by their names: an encoder that
            is a module, of any weights, and an augmentation that is a function.

        Returns
        -------
        estimator
            As it was saved; on the CPU if its device is not there.

        Raises
        ------
        ValueError
            If the file is damaged, is not one of `save`, is of a newer version, or
            does not go with the given parameters.
        TypeError
            If parameters are missing, or given that the file holds itself.
        """
        path = Path(path)
        content = read(path, _KIND)
        with parsing(path):
            name, needed = str(content.pop("_class")), dict(content.pop("_code"))
        known = {known.__name__: known for known in _subclasses(cls)}
        if name not in known:
            raise ValueError(
                f"{path} holds a {name}, and {cls.__name__} was to be "
                "loaded: use skdeepclust.load, and import a class of your own first."
            )
        for parameter, description in needed.items():
            if not callable(code.get(parameter)):
                raise TypeError(
                    f"{path} holds no code, and {parameter} was "
                    f"{description}: give it again, load(path, {parameter}=...)."
                )
        for parameter in code:
            if parameter not in needed:
                raise TypeError(
                    f"load() was given {parameter}, which {path} holds itself: use "
                    "set_params afterwards."
                )
        estimator = known[name].__new__(known[name])
        hint = f" Is {' and '.join(code)} as it was?" if code else ""
        with parsing(path, hint):
            estimator.__setstate__({**content, **code, "_schema": SCHEMA})
        return estimator


def load(path: str | os.PathLike[str], **code: Any) -> Any:
    """Read an estimator, of whichever class, from a file of its method ``save``.

    Nothing that is in the file is executed, whoever has made it.

    Parameters
    ----------
    path : str or path-like
        The file.
    **code : object
        The parameters that the file cannot hold, by their names: an encoder that is a
        module, of any weights, and an augmentation that is a function.

    Returns
    -------
    estimator
        As it was saved; on the CPU if its device is not there.

    Raises
    ------
    ValueError
        If the file is damaged, is not one of ``save``, is of a newer version, or does
        not go with the given parameters.
    TypeError
        If parameters are missing, or given that the file holds itself.

    Examples
    --------
    >>> import os, tempfile
    >>> import skdeepclust
    >>> path = os.path.join(tempfile.mkdtemp(), "model.npz")
    >>> skdeepclust.GraphContrastiveClustering(3).save(path)
    >>> skdeepclust.load(path)
    GraphContrastiveClustering(n_clusters=3)
    """
    return StatefulEstimator.load(path, **code)


def _spec_of(told: dict[str, Any]) -> InputSpec:
    unit = None if told["unit"] is None else Unit(**told["unit"])
    # A copy: a loaded file that stays on disk may not be written to.
    return InputSpec(**{**told, "offset": np.array(told["offset"]), "unit": unit})


def _subclasses(cls: type[StatefulEstimator]) -> Iterator[type[StatefulEstimator]]:
    for subclass in cls.__subclasses__():
        yield from _subclasses(subclass)
    yield cls


def _described(function: Any) -> str:
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"
