"""The state of an estimator: arrays and plain values, without a device."""

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn

from skdeepclust._utils.compat import SparseParamsMixin
from skdeepclust._utils.random import OwnDraws
from skdeepclust._utils.units import Unit
from skdeepclust.networks import (
    ClusterHead,
    ClusterNetwork,
    GraphHead,
    build_autoencoder,
)
from skdeepclust.networks.packing import packed
from skdeepclust.training.data import InputSpec
from skdeepclust.training.device import default_settings, resolve_device

_MODULES = ("encoder", "augmentation")
"""Parameters that may be modules."""
_CSR = ("data", "indices", "indptr")


@dataclass(frozen=True)
class Plan:
    """What a network is built from, whatever an estimator's parameters are by now."""

    encoder: str | nn.Module
    n_components: int | None
    hidden_layer_sizes: tuple[int, ...] | Literal["auto"]
    unit_norm: bool
    precision: str
    n_clusters: int
    head: Literal["cluster", "graph", "none"]
    n_outputs: int | None = None
    """Of an encoder that is a module; None finds out by a dry run."""

    def build(self, shape: tuple[int, ...]) -> ClusterNetwork:
        """Build a network for samples of a shape."""
        autoencoder = build_autoencoder(
            self.encoder,
            shape,
            self.n_components,
            self.hidden_layer_sizes,
            n_outputs=self.n_outputs,
        )
        head: ClusterHead | GraphHead
        if self.head == "graph":
            head = GraphHead(autoencoder.n_components, self.n_clusters)
        else:
            # A head that is not used has no hidden layers.
            hidden = () if self.head == "none" else (128, 128, 128)
            head = ClusterHead(autoencoder.n_components, self.n_clusters, hidden)
        return ClusterNetwork(autoencoder, head, self.unit_norm, self.precision)

    def rebuild(self, shape: tuple[int, ...]) -> ClusterNetwork:
        """Build a network that is to get its weights."""
        with OwnDraws(0), default_settings():
            return self.build(shape)


class StatefulEstimator(SparseParamsMixin):
    """Base of estimators whose pickles hold arrays in place of tensors.

    They need no GPU to be loaded, joblib's memory knows them again, and skops reads
    them if only the estimator's class is trusted.
    """

    encoder: Any
    device: Any
    network_: ClusterNetwork
    affinity_matrix_: sp.csr_matrix
    _spec: InputSpec
    _plan: Plan

    def _fitted_names(self) -> list[str]:
        return [
            name
            for name in vars(self)
            if name in ("_spec", "_plan")
            or (name.endswith("_") and not name.startswith("_"))
        ]

    def _forget(self, *spared: str) -> None:
        for name in {*self._fitted_names()}.difference(spared):
            delattr(self, name)

    def __sklearn_is_fitted__(self) -> bool:
        """Say whether `fit` came to a good end."""
        return "labels_" in vars(self)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state, with the weights as NumPy arrays and without a device."""
        state = dict(super().__getstate__())
        # One copy for both: the encoder and what the network was built from.
        copies: dict[int, nn.Module] = {}

        def pack(held: dict[str, Any]) -> dict[str, Any]:
            for name in _MODULES:
                module = held.get(name)
                if isinstance(module, nn.Module):
                    copies.setdefault(id(module), packed(module))
                    held = {**held, name: copies[id(module)]}
            return held

        state = pack(state)
        if isinstance(state.get("device"), torch.device):
            state["device"] = str(state["device"])
        n_outputs = None
        if "network_" in state:
            network = self.network_
            state["network_"] = {
                name: value.cpu().numpy()
                for name, value in network.state_dict().items()
            }
            n_outputs = getattr(network.autoencoder.encoder, "n_outputs", None)
        if "_plan" in state:
            state["_plan"] = pack(vars(replace(self._plan, n_outputs=n_outputs)))
        if "affinity_matrix_" in state:
            csr = state["affinity_matrix_"]
            parts = {name: getattr(csr, name) for name in _CSR}
            state["affinity_matrix_"] = {**parts, "shape": csr.shape}
        if "_spec" in state:
            unit = self._spec.unit
            told = {**vars(self._spec), "unit": None if unit is None else vars(unit)}
            state["_spec"] = told
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Rebuild the network from its arrays, on the device that is there."""
        state = dict(state)
        weights, plan = state.pop("network_", None), state.pop("_plan", None)
        spec, affinity = state.pop("_spec", None), state.pop("affinity_matrix_", None)
        super().__setstate__(state)
        if spec is not None:
            unit = None if spec["unit"] is None else Unit(**spec["unit"])
            # A copy: a loaded file that stays on disk may not be written to.
            offset = np.array(spec["offset"])
            self._spec = InputSpec(**{**spec, "offset": offset, "unit": unit})
        if affinity is not None:
            parts = tuple(affinity[name] for name in _CSR)
            self.affinity_matrix_ = sp.csr_matrix(parts, shape=affinity["shape"])
            # Of a file of others: indices may point outside.
            self.affinity_matrix_.check_format(full_check=True)
        if plan is not None:
            self._plan = Plan(**plan)
        if weights is None:
            return
        network = self._plan.rebuild(self._spec.shape)
        network.load_state_dict(
            {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}
        )
        try:
            device = resolve_device(self.device)
        except ValueError:
            # Fitted on a machine with another device: the CPU is always there.
            device = torch.device("cpu")
        self.network_ = network.to(device).eval().requires_grad_(False)

    def __copy__(self) -> Self:
        """Return another estimator with the same attributes, not copied."""
        twin = object.__new__(type(self))
        twin.__dict__.update(vars(self))
        return twin
