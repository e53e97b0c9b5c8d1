"""From X to fitted attributes: validation, several runs, clean failure."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, Self

import joblib
import numpy as np
import torch
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import ClusterMixin
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_memory
from torch import Tensor, nn

from skdeepclust._base.run import Job, Run, float_dtype, run_on_one_thread, run_once
from skdeepclust._base.state import Plan, StatefulEstimator
from skdeepclust._base.validation import check_no_bools, validated
from skdeepclust._partition.choice import most_agreed
from skdeepclust._partition.number import count_clusters, draw_places, warn_no_structure
from skdeepclust._stages.context import Context
from skdeepclust._stages.pretraining import (
    Pretraining,
    PretrainingCache,
    PretrainingParameters,
    resolve_pretraining,
)
from skdeepclust._utils.compat import (
    CallbackSupportMixin,
    HasMethods,
    Interval,
    StrOptions,
    fit_context,
)
from skdeepclust._utils.random import seeded_globals
from skdeepclust.networks import ClusterNetwork
from skdeepclust.training.checkpoint import Checkpoint
from skdeepclust.training.data import Batches, InputSpec
from skdeepclust.training.device import resolve_device, telling_memory, without_autocast
from skdeepclust.training.distributed import Group, current_group
from skdeepclust.training.events import Observer, Task, fit_task
from skdeepclust.training.fingerprint import fingerprint
from skdeepclust.training.loop import Training
from skdeepclust.training.stage import AutoEpochs
from skdeepclust.views import Augmentation

EPOCHS = [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})]
INTERVAL = [Interval(Integral, 1, None, closed="left")]
WEIGHT = [Interval(Real, 0, None, closed="left")]
POSITIVE = [Interval(Real, 0, None, closed="neither")]

_UNTOLD = ("checkpoint_dir", "memory", "n_jobs", "verbose", "warm_start")
_OWN = (*_UNTOLD, "device", "encoder", "random_state")
"""What each of several processes may have of its own: the first one's counts."""
_CONTINUED = (
    *("network_", "history_", "labels_", "n_clusters_", "_spec", "_plan"),
    *("n_features_in_", "feature_names_in_"),
)
"""What a fit with ``warm_start`` needs of the one before."""


class BaseDeepEstimator(CallbackSupportMixin, ClusterMixin, StatefulEstimator, ABC):
    """Base of all estimators.

    A subclass stores its parameters, says how it trains by `_train`, and what becomes
    of finished runs by `_keep`.
    """

    n_clusters: int | Literal["auto"]
    encoder: str | nn.Module
    n_components: int | None
    hidden_layer_sizes: Sequence[int] | Literal["auto"]
    image_shape: Sequence[int] | None
    pretraining: Pretraining
    pretrain_epochs: int | Literal["auto"]
    batch_size: int
    learning_rate: float
    n_init: int
    n_jobs: int | None
    device: str | torch.device
    precision: str
    checkpoint_dir: str | os.PathLike[str] | None
    memory: str | os.PathLike[str] | joblib.Memory | None
    random_state: int | np.random.RandomState | None
    verbose: int

    n_clusters_: int
    labels_: NDArray[np.int64]
    embedding_: NDArray[np.floating]
    history_: list[dict[str, Any]]
    n_iter_: int
    n_features_in_: int

    _head: Literal["cluster", "graph", "none"]
    _parameter_constraints: dict[str, list[Any]] = {
        "n_clusters": [*INTERVAL, StrOptions({"auto"})],
        "encoder": [StrOptions({"auto", "mlp", "conv", "resnet18"}), nn.Module],
        "n_components": [*INTERVAL, None],
        "hidden_layer_sizes": ["array-like", StrOptions({"auto"})],
        "image_shape": ["array-like", None],
        "pretrain_epochs": EPOCHS,
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "learning_rate": POSITIVE,
        "n_init": INTERVAL,
        "n_jobs": [Integral, None],
        "device": [str, torch.device],
        "precision": [StrOptions({"float32", "bfloat16"})],
        "checkpoint_dir": [str, os.PathLike, None],
        "memory": [str, os.PathLike, HasMethods(["cache"]), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # ------------------------------------------------------------------ fitting

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the embedding and the clusters.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n_samples, n_features), \
                (n_samples, height, width) or (n_samples, channels, height, width)
            The data. Images of type uint8 are scaled to [0, 1].
        y : array-like of shape (n_samples,), default=None
            Training does not look at it; it is handed on to callbacks.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        fitted = {name: getattr(self, name) for name in self._fitted_names()}
        kept = fitted if self._continues() else {}
        # Callbacks are shown this fit, not the graph of an earlier one.
        self._forget(*(_CONTINUED if kept else ()))
        random = self.random_state
        state = None
        if isinstance(random, np.random.RandomState) and self.checkpoint_dir:
            state = random.get_state()
        try:
            # Whatever mode of torch the caller is in, there have to be gradients.
            with (
                torch.inference_mode(False),
                torch.enable_grad(),
                self._telling_memory(),
            ):
                self._fit(X, y)
        except BaseException:
            # Nothing half-fitted is left behind, whatever went wrong: either what was
            # to be continued, or nothing.
            self._forget()
            self.__dict__.update(kept)
            if state is not None and isinstance(random, np.random.RandomState):
                # The same call draws the same again, and resumes from its checkpoint.
                random.set_state(state)
            raise
        return self

    # Python names what it got no argument for by this name.
    fit.__qualname__ = "fit"

    def fit_predict(self, X: Any, y: Any = None) -> NDArray[np.int64]:
        """Fit, and return the cluster of each sample.

        Parameters
        ----------
        X : array-like or torch.Tensor
            As for `fit`.
        y : array-like of shape (n_samples,), default=None
            As for `fit`.

        Returns
        -------
        ndarray of shape (n_samples,)
            `labels_`.
        """
        # A copy, for callers change what they get in place.
        return self.fit(X, y).labels_.copy()

    @fit_context(prefer_skip_nested_validation=True)
    def _fit(self, given: Any, y: Any) -> None:
        check_no_bools(self, self._parameter_constraints)
        continues = self._continues()
        # With `warm_start` weights go with the scale that they were learned at.
        X, spec = self._validate(given, reset=not continues, min_samples=2)
        if self.n_clusters != "auto" and len(X) < self.n_clusters:
            raise ValueError(
                f"n_samples={len(X)} should be >= n_clusters={self.n_clusters}: pass "
                "more samples, or lower n_clusters."
            )
        try:
            check_consistent_length(X, y)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"y does not fit n_samples={len(X)}: pass one value per sample, or "
                f"y=None. {error}"
            ) from error
        self._check_together(len(X))
        device = resolve_device(self.device)
        group = current_group(device)
        if group.n_processes > 1:
            hashes = fingerprint(self._told(_OWN), X, spec.shape)
            group.check(hashes, len(X), self.batch_size)
        checkpoint = self._checkpoint(X, spec.shape, device, group)
        drawn = check_random_state(self.random_state).randint(
            np.iinfo(np.int32).max, size=self.n_init
        )
        seeds = checkpoint.start(group.same(drawn.tolist()))
        if not continues:
            self.n_clusters_ = group.same(self._count(X, spec, device, seeds[0]))
        memory, earlier = self.memory, None
        if isinstance(memory, os.PathLike):
            memory = os.fspath(memory)
        if continues:
            earlier = Run(self.network_, self._plan, 0, self.history_)
        job = Job(
            X,
            spec,
            device,
            group,
            self._make_plan(),
            self._augmentation(),
            self.batch_size,
            self.verbose,
            None if memory is None else check_memory(memory),
            earlier,
        )
        task = fit_task(self, given, y, device)
        # Those that predict are handed to callbacks as fitted.
        predicts = hasattr(self, "predict")
        if self.n_init == 1:
            runs = [run_once(self, job, seeds[0], checkpoint, task)]
        else:
            task.begin(self.n_init)
            # Those that train together do so one run after the other.
            runs = Parallel(n_jobs=self.n_jobs if group.n_processes == 1 else 1)(
                delayed(run_on_one_thread)(
                    torch.get_default_dtype(),
                    self,
                    job,
                    seed,
                    checkpoint.part(number),
                    task.part("run", number),
                )
                for number, seed in enumerate(seeds)
            )
        self._spec, self._plan = job.spec, job.plan
        with self._seeded(seeds[0], device), without_autocast(device):
            self._keep(runs, job.batches(), float_dtype(X.dtype))
        task.end({} if predicts else None)
        checkpoint.finish()

    def _count(
        self, X: NDArray[Any], spec: InputSpec, device: torch.device, seed: int
    ) -> int:
        """Return the number of clusters, estimated if none is given."""
        if self.n_clusters != "auto":
            return int(self.n_clusters)
        places = draw_places(len(X), seed)
        batches = Batches(X[places], spec, device, batch_size=self.batch_size)
        count = count_clusters(batches.rows(np.arange(len(places))), seed=seed)
        if not count.structured:
            warn_no_structure(count.n_clusters)
        return count.n_clusters

    def _most_agreed(
        self, partitions: list[NDArray[np.int64]], batches: Batches, runs: list[Run]
    ) -> int:
        """Return which run has the clusters that agree best with the others'."""
        if len(runs) == 1:
            return 0
        seed = runs[0].seed
        places = draw_places(len(batches), seed)
        found = [labels[places] for labels in partitions]
        best = most_agreed(found, batches.rows(places), seed=seed)
        return int(batches.group.same(best))

    def _make_plan(self) -> Plan:
        pretraining = resolve_pretraining(
            self.pretraining, self._augmentation() is not None
        )
        hidden = self.hidden_layer_sizes
        return Plan(
            self.encoder,
            self.n_components,
            "auto" if isinstance(hidden, str) else tuple(hidden),
            pretraining == "contrastive",
            self.precision,
            self.n_clusters_,
            self._head,
        )

    def _augmentation(self) -> Augmentation:
        """Return the parameter `augmentation`, of those that have it."""
        return None

    def _pretraining_parameters(
        self, context: Context, auto: AutoEpochs, temperature: float = 0.5
    ) -> PretrainingParameters:
        kind = resolve_pretraining(self.pretraining, context.views is not None)
        return PretrainingParameters(
            kind,
            context.epochs(self.pretrain_epochs, auto, self.batch_size),
            self.batch_size,
            self.learning_rate,
            temperature,
        )

    # --------------------------------------------------------------- validation

    def _validate(
        self, X: Any, *, reset: bool, min_samples: int = 1
    ) -> tuple[NDArray[Any], InputSpec]:
        fitted = None if reset else self._spec
        return validated(self, X, self.image_shape, fitted, min_samples)

    def _told(self, untold: tuple[str, ...]) -> dict[str, Any]:
        given = self.get_params(deep=False)
        told = {name: given[name] for name in given if name not in untold}
        return {"estimator": type(self).__name__, **told}

    def _checkpoint(
        self,
        X: NDArray[Any],
        shape: tuple[int, ...],
        device: torch.device,
        group: Group,
    ) -> Checkpoint:
        if self.checkpoint_dir is None:
            return Checkpoint()
        # What does not change what is learned may be other when a fit is resumed.
        told = {**self._told(_UNTOLD), "device": str(device)}
        if group.n_processes > 1:
            told["processes"] = group.n_processes
        if self._continues():
            told["fitted network"] = self.network_
        return Checkpoint.within(
            Path(self.checkpoint_dir).absolute(), fingerprint(told, X, shape), group
        )

    def _telling_memory(self) -> AbstractContextManager[None]:
        return telling_memory(
            type(self).__name__,
            f"lower batch_size={self.batch_size}, or pass fewer samples",
        )

    def _seeded(self, seed: int, device: torch.device) -> AbstractContextManager[None]:
        """Return the scope in which a user's module may draw from the globals.

        Our own networks draw nothing, and leave them to other threads.
        """
        if isinstance(self._plan.encoder, nn.Module):
            return seeded_globals(seed, device)
        return nullcontext()

    # ------------------------------------------------------------- for subclasses

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _continues(self) -> bool:
        """Say whether `fit` is to continue what has been fitted."""
        return False

    def _check_together(self, n_samples: int) -> None:
        """Check parameters against each other."""

    def _take_over(self, network: ClusterNetwork, earlier: Run) -> None:
        """Give a network, just built, what an earlier fit has learned."""
        raise NotImplementedError

    def _observers(self, run: Run, batches: Batches, task: Task) -> Sequence[Observer]:
        # Nothing can be asked of an estimator that does not predict.
        return [task]

    @abstractmethod
    def _train(
        self, context: Context, training: Training, cache: PretrainingCache | None
    ) -> Tensor | None:
        """Train the network of the context.

        Return the embedding of all samples, if it was computed after the last change
        of the encoder.
        """

    @abstractmethod
    def _keep(self, runs: list[Run], batches: Batches, dtype: np.dtype[Any]) -> None:
        """Turn finished runs into fitted attributes, floats of type `dtype`."""
