"""What every estimator shares: validation, restarts, state, prediction."""

import warnings
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from skdeepclust._compat import Interval, StrOptions, fit_context
from skdeepclust.metrics import neighbor_modularity
from skdeepclust.networks import ClusterNetwork
from skdeepclust.training import Batches, InputSpec, as_rows, resolve_device
from skdeepclust.training.inputs import sample_shape
from skdeepclust.views import seeded_globals


@dataclass
class Run:
    """What one training run from one seed gives."""

    network: ClusterNetwork
    history: list[dict[str, Any]]
    n_iter: int


class BaseDeepClusterer(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator
):
    """Base of the estimators that learn an encoder and a cluster head.

    A subclass stores its parameters and gives `_build_network` and `_train`.
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "encoder": [StrOptions({"auto", "mlp", "conv"}), nn.Module],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "hidden_layer_sizes": ["array-like"],
        "image_shape": ["array-like", None],
        "augmentation": [StrOptions({"auto"}), callable, None],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "head_learning_rate": [Interval(Real, 0, None, closed="neither")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # ------------------------------------------------------------------ fitting

    def fit(self, X: Any, y: Any = None) -> "BaseDeepClusterer":
        """Learn the embedding and the clusters.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n_samples, n_features), \
                (n_samples, height, width) or (n_samples, channels, height, width)
            The data. Images of type uint8 are scaled to [0, 1].
        y : Ignored
            Not used, present for scikit-learn's API.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        self._forget()
        try:
            self._fit(X)
        except BaseException:
            # Nothing half-fitted is left behind, whatever went wrong.
            self._forget()
            raise
        return self

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Fit, and return the embedding of the training data.

        Parameters
        ----------
        X : array-like or torch.Tensor
            As for `fit`.
        y : Ignored
            Not used, present for scikit-learn's API.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            The embedding.
        """
        return self.fit(X, y).embedding_

    @fit_context(prefer_skip_nested_validation=True)
    def _fit(self, X: Any) -> None:
        X, shape = self._validate(X, reset=True)
        if len(X) < self.n_clusters:
            raise ValueError(
                f"n_samples={len(X)} should be >= n_clusters={self.n_clusters}."
            )
        self._check_together()
        spec = InputSpec.from_data(X, shape)
        device = resolve_device(self.device)
        seeds = check_random_state(self.random_state).randint(
            np.iinfo(np.int32).max, size=self.n_init
        )
        if self.n_init == 1:
            runs = [_run(self, X, spec, device, int(seeds[0]))]
        else:
            runs = Parallel(n_jobs=self.n_jobs)(
                delayed(_run)(self, X, spec, device, int(seed)) for seed in seeds
            )
        self._spec = spec
        batches = Batches(X, spec, device)
        finished = [self._outcome(run, batches) for run in runs]
        scores = [
            neighbor_modularity(embedding, labels) if len(runs) > 1 else 0.0
            for embedding, labels in finished
        ]
        best = int(np.argmax(scores))
        run, (embedding, labels) = runs[best], finished[best]
        self.network_ = run.network.eval().requires_grad_(False)
        self.history_ = run.history
        self.n_iter_ = run.n_iter
        self.embedding_ = embedding.astype(_float_dtype(X.dtype), copy=False)
        self.cluster_centers_ = _centers(embedding, labels).astype(
            self.embedding_.dtype
        )
        self.labels_ = labels
        self._warn_empty()

    def _outcome(self, run: Run, batches: Batches) -> tuple[np.ndarray, np.ndarray]:
        network = run.network.eval()
        embedding = batches.map(network.embed).cpu().numpy()
        labels = batches.map(lambda x: network(x).argmax(1)).cpu().numpy()
        if not np.isfinite(embedding).all():
            raise ValueError(
                "The trained network maps X to values that are not finite: lower "
                f"learning_rate={self.learning_rate}, or scale X."
            )
        used, counts = np.unique(labels, return_counts=True)
        unused = np.setdiff1d(np.arange(self.n_clusters), used)
        # Used clusters come first, the largest in front: labels stay consecutive
        # and agree with the columns of predict_proba.
        order = np.concatenate([used[np.argsort(-counts, kind="stable")], unused])
        network.reorder_clusters(order)
        labels = np.argsort(order)[labels].astype(np.int64)
        return embedding, labels

    def _warn_empty(self) -> None:
        n_empty = self.n_clusters - len(self.cluster_centers_)
        if n_empty:
            warnings.warn(
                f"{n_empty} of n_clusters={self.n_clusters} clusters are empty; the "
                "labels run over the others. Ask for fewer clusters, or train longer.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _validate(self, X: Any, *, reset: bool) -> tuple[np.ndarray, tuple[int, ...]]:
        X, array_shape = as_rows(X)
        if not reset and array_shape is not None:
            fitted = self._spec.shape
            if array_shape != fitted and len(fitted) == 3:
                raise ValueError(
                    f"X has images of shape {array_shape} (channels, height, width), "
                    f"but {type(self).__name__} was fitted on {fitted}."
                )
        X = validate_data(
            self,
            X,
            reset=reset,
            # Other types become float64, which holds more integers exactly.
            dtype=[np.float64, np.float32, np.uint8],
            ensure_min_samples=2 if reset else 1,
        )
        if not reset:
            return X, self._spec.shape
        return X, sample_shape(X.shape[1], array_shape, self.image_shape)

    # --------------------------------------------------------------- prediction

    def predict(self, X: Any) -> np.ndarray:
        """Assign each sample to its most probable cluster.

        Parameters
        ----------
        X : array-like or torch.Tensor
            As for `fit`; images may also come flattened.

        Returns
        -------
        ndarray of shape (n_samples,)
            Cluster of each sample, as in `labels_`.
        """
        batches = self._batches(X)
        labels = batches.map(lambda x: self.network_(x).argmax(1))
        return labels.cpu().numpy().astype(np.int64)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each cluster.

        Parameters
        ----------
        X : array-like or torch.Tensor
            As for `fit`; images may also come flattened.

        Returns
        -------
        ndarray of shape (n_samples, n_clusters)
            Rows sum to 1; column k belongs to label k.
        """
        logits = self._batches(X).map(self.network_)
        return torch.softmax(logits.double(), 1).cpu().numpy()

    def transform(self, X: Any) -> np.ndarray:
        """Embed samples.

        Parameters
        ----------
        X : array-like or torch.Tensor
            As for `fit`; images may also come flattened.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            The latent representation; float64 for float64 data, else float32.
        """
        check_is_fitted(self)
        X, _ = self._validate(X, reset=False)
        batches = Batches(X, self._spec, self._device)
        embedding = batches.map(self.network_.embed).cpu().numpy()
        return embedding.astype(_float_dtype(X.dtype), copy=False)

    def score(self, X: Any, y: Any = None) -> float:
        """Return how well the clusters follow the neighbourhoods of `X`.

        No labels are needed: it is the modularity of the predicted labels on the
        graph of the 10 nearest neighbours in the embedding. Higher is better;
        it compares fits with the same number of clusters.

        Parameters
        ----------
        X : array-like or torch.Tensor
            As for `fit`; images may also come flattened.
        y : Ignored
            Not used, present for scikit-learn's API.

        Returns
        -------
        float
            At most 1.
        """
        batches = self._batches(X)
        embedding = batches.map(self.network_.embed).cpu().numpy()
        labels = batches.map(lambda x: self.network_(x).argmax(1)).cpu().numpy()
        return neighbor_modularity(embedding, labels)

    def _batches(self, X: Any) -> Batches:
        check_is_fitted(self)
        X, _ = self._validate(X, reset=False)
        return Batches(X, self._spec, self._device)

    @property
    def _device(self) -> torch.device:
        return next(self.network_.parameters()).device

    @property
    def _n_features_out(self) -> int:
        return self.embedding_.shape[1]

    # -------------------------------------------------------------------- state

    def _forget(self) -> None:
        for name in [*vars(self)]:
            if name == "_spec" or (name.endswith("_") and not name.startswith("_")):
                delattr(self, name)

    def __sklearn_is_fitted__(self) -> bool:
        """Say whether `fit` came to a good end."""
        return hasattr(self, "labels_")

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with the weights as NumPy arrays, without a device."""
        state = dict(super().__getstate__())
        if "network_" in state:
            state["network_"] = {
                name: value.cpu().numpy()
                for name, value in self.network_.state_dict().items()
            }
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Rebuild the network from its arrays, on the device that is there."""
        arrays = state.get("network_")
        super().__setstate__(state)
        if arrays is None:
            return
        with torch.random.fork_rng(devices=[]):
            network = self._build_network(self._spec)
        network.load_state_dict(
            {name: torch.from_numpy(value.copy()) for name, value in arrays.items()}
        )
        try:
            device = resolve_device(self.device)
        except ValueError:
            # Fitted on a machine with another device: the CPU is always there.
            device = torch.device("cpu")
        self.network_ = network.to(device).eval().requires_grad_(False)

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.three_d_array = True
        return tags

    # ------------------------------------------------------------- for subclasses

    def _check_together(self) -> None:
        """Check parameters against each other."""

    def _build_network(self, spec: InputSpec) -> ClusterNetwork:
        raise NotImplementedError

    def _train(
        self, network: ClusterNetwork, batches: Batches, generator: torch.Generator
    ) -> tuple[list[dict[str, Any]], int]:
        raise NotImplementedError


def _run(
    estimator: BaseDeepClusterer,
    X: np.ndarray,
    spec: InputSpec,
    device: torch.device,
    seed: int,
) -> Run:
    """Train once from `seed`; also runs in another process."""
    # Layers start from the global generators; a user's module may draw from them.
    with seeded_globals(seed, device):
        network = estimator._build_network(spec).to(device)
        generator = torch.Generator(device).manual_seed(seed)
        batches = Batches(X, spec, device)
        history, n_iter = estimator._train(network, batches, generator)
    return Run(network, history, n_iter)


def _float_dtype(dtype: np.dtype) -> np.dtype:
    return dtype if dtype.kind == "f" else np.dtype(np.float32)


def _centers(embedding: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.stack(
        [embedding[labels == k].mean(axis=0) for k in range(labels.max() + 1)]
    )
