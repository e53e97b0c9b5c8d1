"""What the estimators share that learn a cluster head: choice of a run, prediction."""

import math
import warnings
from collections.abc import Callable, Sequence
from copy import copy, deepcopy
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skdeepclust._base.estimator import POSITIVE, WEIGHT, BaseDeepEstimator
from skdeepclust._base.run import Run, float_dtype
from skdeepclust._stages.context import finite_embedding
from skdeepclust._utils.compat import StrOptions
from skdeepclust._utils.inputs import sample_shape
from skdeepclust.metrics import neighbor_modularity
from skdeepclust.networks import ClusterNetwork
from skdeepclust.networks.cluster_network import Predictor
from skdeepclust.training.data import Batches
from skdeepclust.training.events import Observer, Task
from skdeepclust.views import Augmentation

_NEAREST = 10  # training samples that tell how usual a sample is
_MOST_SAMPLES, _MOST_VALUES = 2_000, 2**21  # that others are compared with


class BaseDeepClusterer(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseDeepEstimator
):
    """Base of the estimators that learn an encoder and a cluster head."""

    augmentation: Augmentation | Literal["auto"]
    pretext_temperature: float
    pretext_weight: float
    resolution: float | Literal["auto"] | None
    warm_start: bool
    cluster_centers_: NDArray[np.floating]
    hidden_sample_: NDArray[np.float32]

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseDeepEstimator._parameter_constraints,
        "augmentation": [StrOptions({"auto"}), callable, None],
        "pretraining": [
            StrOptions({"auto", "contrastive", "reconstruction", "denoising"})
        ],
        "pretext_temperature": POSITIVE,
        "pretext_weight": WEIGHT,
        "balance_weight": WEIGHT,
        "resolution": [*WEIGHT, StrOptions({"auto"}), None],
        "warm_start": ["boolean"],
    }

    # ------------------------------------------------------------------ fitting

    def fit_transform(self, X: Any, y: Any = None) -> NDArray[Any]:
        """Fit, and return the embedding of the training data.

        Parameters
        ----------
        X : array-like or torch.Tensor
            As for `fit`.
        y : array-like of shape (n_samples,), default=None
            As for `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            The embedding.
        """
        # A copy, for callers change what they get in place.
        return self.fit(X, y).embedding_.copy()

    def _augmentation(self) -> Augmentation | Literal["auto"]:
        return self.augmentation

    def _continues(self) -> bool:
        return self.warm_start and self.__sklearn_is_fitted__()

    def _check_together(self, n_samples: int) -> None:
        if self.warm_start and self.n_init > 1:
            raise ValueError(
                f"n_init={self.n_init} makes several runs, and warm_start=True "
                "continues one: set n_init=1, or warm_start=False."
            )
        if not self._continues():
            return
        n_clusters = self.network_.head.output.out_features
        if self.n_clusters not in ("auto", n_clusters):
            raise ValueError(
                f"n_clusters={self.n_clusters} is not the {n_clusters} of the fit that "
                f"warm_start=True continues: set n_clusters={n_clusters}, or "
                "warm_start=False to start over."
            )
        given, fitted = self.image_shape, self._spec.shape
        if given is not None and sample_shape(math.prod(fitted), None, given) != fitted:
            raise ValueError(
                f"image_shape={given} is not the shape {fitted} of the samples of the "
                "fit that warm_start=True continues: set it back, or set "
                "warm_start=False to start over."
            )

    def _take_over(self, network: ClusterNetwork, earlier: Run) -> None:
        hint = (
            "warm_start=True continues with the fitted network, and {} would make "
            "another one: set it back, or set warm_start=False to start over."
        )
        if network.unit_norm != earlier.network.unit_norm:
            changed = f"{self.pretraining!r} with augmentation={self.augmentation!r}"
            raise ValueError(hint.format(f"pretraining={changed}"))
        try:
            network.load_state_dict(earlier.network.state_dict())
        except RuntimeError as error:
            changed = "a changed encoder, n_components or hidden_layer_sizes"
            raise ValueError(hint.format(changed)) from error

    def _keep(self, runs: list[Run], batches: Batches, dtype: np.dtype[Any]) -> None:
        finished = [self._outcome(run, batches) for run in runs]
        best = self._most_agreed([labels for _, labels in finished], batches, runs)
        run, (embedding, labels) = runs[best], finished[best]
        self.network_ = run.network.eval().requires_grad_(False)
        self.history_ = run.history
        self.n_iter_ = len(run.history)
        self.embedding_ = embedding.astype(dtype, copy=False)
        centers = _centers(embedding, labels, self.n_clusters_)
        self.cluster_centers_ = centers.astype(dtype)
        self.labels_ = labels
        self.hidden_sample_ = _hidden_sample(run, batches)
        self._keep_results(run)
        n_empty = self.n_clusters_ - len(np.unique(labels))
        if n_empty:
            warnings.warn(
                f"{n_empty} of n_clusters={self.n_clusters_} clusters are empty. Lower "
                "n_clusters, or raise the numbers of epochs.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _keep_results(self, run: Run) -> None:
        """Turn further results of a run into fitted attributes."""

    def _outcome(
        self, run: Run, batches: Batches
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        network = run.network.eval()
        h = run.embedding
        if h is None:
            h, labels = _encode(network, batches.map)
        else:
            labels = batches.map(network.assign, h).argmax(1).cpu().numpy()
        embedding = finite_embedding(h, self.learning_rate)
        used, counts = np.unique(labels, return_counts=True)
        unused = np.setdiff1d(np.arange(self.n_clusters_), used)
        # Used clusters come first, the largest in front: labels stay consecutive
        # and agree with the columns of predict_proba.
        order = np.concatenate([used[np.argsort(-counts, kind="stable")], unused])
        network.reorder_clusters(order)
        return embedding, np.argsort(order)[labels].astype(np.int64)

    def _observers(self, run: Run, batches: Batches, task: Task) -> Sequence[Observer]:
        task.attributes = partial(self._attributes, run, batches)
        return [task]

    def _attributes(self, run: Run, batches: Batches) -> dict[str, Any]:
        """Return the fitted attributes as if `run` had stopped now, for callbacks."""
        # Built anew, not copied: a user's module may hold what cannot be copied. The
        # network that is trained, its mode included, is left alone.
        network = run.plan.rebuild(batches.spec.shape).to(batches.device)
        network.load_state_dict(run.network.state_dict())
        stopped = Run(network, run.plan, run.seed, [*run.history], run.results)
        fitted = copy(self)
        fitted._spec, fitted._plan = batches.spec, run.plan
        with warnings.catch_warnings():
            # Clusters may well be empty before the head is trained.
            warnings.simplefilter("ignore", ConvergenceWarning)
            # A hook may ask in one of several processes.
            fitted._keep([stopped], batches.alone(), float_dtype(batches.dtype))
        return {name: getattr(fitted, name) for name in fitted._fitted_names()}

    # --------------------------------------------------------------- prediction

    def predict(self, X: Any) -> NDArray[np.int64]:
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
        with self._telling_memory():
            labels = self._map(self._batches(X), self.network_).argmax(1)
        return np.asarray(labels.cpu().numpy(), dtype=np.int64)

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the probability of each cluster.

        Probabilities are calibrated without classes: `fit` ends by scaling the logits,
        so that they match how often the nearest 10 neighbors, in embedding and input,
        have the label. They are too high where clusters are not the classes. Without
        first or final clusters from a graph (``resolution=None``, ``head_epochs=0``)
        nothing is scaled. See :ref:`doubt`.

        Parameters
        ----------
        X : array-like or torch.Tensor
            As for `fit`; images may also come flattened.

        Returns
        -------
        ndarray of shape (n_samples, n_clusters)
            Rows sum to 1; column k belongs to label k.
        """
        with self._telling_memory():
            logits = self._map(self._batches(X), self.network_)
            logits = logits.cpu().double() * float(self.network_.logit_scale)
        return np.asarray(torch.softmax(logits, 1).numpy())

    def transform(self, X: Any) -> NDArray[Any]:
        """Embed samples.

        Parameters
        ----------
        X : array-like or torch.Tensor
            As for `fit`; images may also come flattened.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            The latent representation; of type float32 for data of type float32 or
            uint8, else float64.
        """
        with self._telling_memory():
            batches = self._batches(X)
            embedding = self._map(batches, self.network_.embed).cpu().numpy()
        return np.asarray(embedding, dtype=float_dtype(batches.dtype))

    def to_module(self) -> Predictor:
        """Return what `predict_proba` computes, scaling included, as a module.

        It stands by itself, in evaluation mode, on the CPU, and can be exported by
        :func:`torch.export.export` and to ONNX, see the :ref:`User Guide <to_module>`.

        Returns
        -------
        torch.nn.Module
            Maps a float32 tensor of samples in the unit of those fitted, of shape
            (n_samples, ...) as `predict_proba` takes them, to probabilities of shape
            (n_samples, n_clusters).

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        check_is_fitted(self)
        network = deepcopy(self.network_).cpu()
        spec = self._spec
        return Predictor(network, spec.shape, spec.offset, spec.scale).eval()

    def score(self, X: Any, y: Any = None) -> float:
        """Return how well the clusters follow the neighborhoods of `X`.

        No labels are needed: it is the modularity of the predicted labels on the
        graph of the 10 nearest neighbors in the embedding. Higher is better;
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
        with self._telling_memory():
            batches = self._batches(X, min_samples=2)
            h, labels = _encode(self.network_, partial(self._map, batches))
        return neighbor_modularity(h.cpu().numpy(), labels)

    def score_samples(self, X: Any) -> NDArray[Any]:
        """Return how usual samples are: the higher, the more like the fitted ones.

        It is the negative mean Euclidean distance to the nearest 10 of
        `hidden_sample_`, in the encoder's last hidden layer. (In the embedding, which
        often has unit length, samples far from all others can look usual.) A training
        sample may be its own neighbor, at distance 0: set a threshold with held-out
        samples, see :ref:`doubt`.

        Parameters
        ----------
        X : array-like or torch.Tensor
            As for `fit`; images may also come flattened.

        Returns
        -------
        ndarray of shape (n_samples,)
            At most 0.
        """
        check_is_fitted(self)
        # In float64, as the distance of near points is lost by rounding.
        sample = torch.from_numpy(self.hidden_sample_.astype(np.float64))
        n_nearest = min(_NEAREST, len(sample))

        def distance(x: Tensor) -> Tensor:
            # Block by block: the hidden layer of many samples would fill the memory.
            h = self.network_.hidden(x).cpu().double()
            nearest = torch.cdist(h, sample).topk(n_nearest, largest=False).values
            return nearest.mean(1)

        with self._telling_memory():
            batches = self._batches(X)
            scores = -self._map(batches, distance).numpy()
        return np.asarray(scores, dtype=float_dtype(batches.dtype))

    def _batches(self, X: Any, *, min_samples: int = 1) -> Batches:
        check_is_fitted(self)
        X, spec = self._validate(X, reset=False, min_samples=min_samples)
        return Batches(X, spec, self._device, batch_size=self.batch_size)

    def _map(self, batches: Batches, function: Callable[[Tensor], Tensor]) -> Tensor:
        with self._seeded(0, self._device):
            values = batches.map(function)
        if not values.isfinite().all():
            raise ValueError(
                "The network maps X to values that are not finite: scale X as the "
                "fitted data, or look for NaN in an encoder of your own."
            )
        return values

    @property
    def _device(self) -> torch.device:
        return next(self.network_.parameters()).device

    @property
    def _n_features_out(self) -> int:
        return int(self.embedding_.shape[1])

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _encode(
    network: ClusterNetwork, apply: Callable[[Callable[[Tensor], Tensor]], Tensor]
) -> tuple[Tensor, NDArray[np.int64]]:
    """Return the embedding and the labels, with one pass through the encoder."""

    def both(x: Tensor) -> Tensor:
        h = network.embed(x)
        return torch.cat([h, network.assign(h)], dim=1)

    mapped = apply(both)
    h, logits = mapped.tensor_split([network.autoencoder.n_components], dim=1)
    return h.contiguous(), logits.argmax(1).cpu().numpy()


def _hidden_sample(run: Run, batches: Batches) -> NDArray[np.float32]:
    """Return what the last hidden layer makes of random training samples."""
    n, network = len(batches), run.network
    order = np.random.default_rng(run.seed).permutation(n)

    def hidden(places: NDArray[np.int64]) -> NDArray[np.float32]:
        index = torch.from_numpy(places).to(batches.device)
        h = batches.map(lambda block: network.hidden(batches.take(block)), index)
        return np.asarray(h.cpu().numpy())

    n_values = hidden(order[:1]).size
    n_kept = min(n, _MOST_SAMPLES, max(_NEAREST, _MOST_VALUES // n_values))
    return hidden(np.sort(order[:n_kept]))


def _centers(
    embedding: np.ndarray, labels: np.ndarray, n_clusters: int
) -> NDArray[Any]:
    """Return the mean embedding of each cluster, NaN for those that are empty."""
    centers = np.full((n_clusters, embedding.shape[1]), np.nan)
    for k in np.unique(labels):
        centers[k] = embedding[labels == k].mean(axis=0)
    return centers
