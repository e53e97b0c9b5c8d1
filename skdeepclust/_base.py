"""What every estimator shares: validation, several runs, clean failure."""

import os
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.base import ClusterMixin
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import validate_data
from torch import nn

from skdeepclust._compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    fit_context,
)
from skdeepclust._partition import (
    count_clusters,
    draw_places,
    most_agreed,
    warn_no_structure,
)
from skdeepclust._run import Run, Train, float_dtype, run_on_one_thread, run_once
from skdeepclust._state import StatefulEstimator
from skdeepclust.networks import ClusterNetwork
from skdeepclust.training import (
    NOWHERE,
    Alone,
    Batches,
    Checkpoint,
    FileCheckpoint,
    History,
    InputSpec,
    Observer,
    Task,
    as_rows,
    current_group,
    fingerprint,
    fit_task,
    resolve_device,
    telling_memory,
    without_autocast,
)
from skdeepclust.training.inputs import (
    check_columns,
    check_grey,
    check_new,
    sample_shape,
)
from skdeepclust.views import seeded_globals

_UNTOLD = ("checkpoint_dir", "n_jobs", "verbose", "warm_start")
_OWN = (*_UNTOLD, "device", "encoder", "random_state")
"""What each of several processes may have of its own: the first one's counts."""
_GONE_ON_WITH = (
    *("network_", "history_", "labels_", "n_clusters_", "_spec", "_built"),
    *("n_features_in_", "feature_names_in_"),
)
"""What a fit with ``warm_start`` needs of the one before."""
_MAY_BE_BOOL = {"boolean", "verbose"}


class BaseDeepEstimator(CallbackSupportMixin, ClusterMixin, StatefulEstimator):
    """Base of all estimators: validation, restarts.

    A subclass stores its parameters and gives `_build_network`, `_train` and `_keep`.
    """

    encoder: Any
    batch_size: int
    n_clusters: Any
    n_clusters_: int

    _parameter_constraints: dict[str, list[Any]] = {
        "n_clusters": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "encoder": [StrOptions({"auto", "mlp", "conv", "resnet18"}), nn.Module],
        "encoder_trainable": ["boolean"],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "hidden_layer_sizes": ["array-like", StrOptions({"auto"})],
        "image_shape": ["array-like", None],
        "augmentation": [StrOptions({"auto"}), callable, None],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "head_learning_rate": [Interval(Real, 0, None, closed="neither")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "device": [str, torch.device],
        "precision": [StrOptions({"float32", "bfloat16"})],
        "compile": ["boolean"],
        "checkpoint_dir": [str, os.PathLike, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # ------------------------------------------------------------------ fitting

    def fit(self, X: Any, y: Any = None) -> "BaseDeepEstimator":
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
        kept = fitted if self._goes_on() else {}
        # Callbacks are shown this fit, not the graph of an earlier one.
        self._forget(*(_GONE_ON_WITH if kept else ()))
        random = self.random_state
        drawn = isinstance(random, np.random.RandomState) and self.checkpoint_dir
        state = random.get_state() if drawn else None
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
            # to be gone on with, or nothing.
            self._forget()
            self.__dict__.update(kept)
            if drawn:
                # The same call draws the same again, and goes on from its checkpoint.
                random.set_state(state)
            raise
        return self

    # Python names what it got no argument for by this name.
    fit.__qualname__ = "fit"

    def fit_predict(self, X: Any, y: Any = None) -> np.ndarray:
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
        labels: np.ndarray = self.fit(X, y).labels_
        # A copy, for callers change what they get in place.
        return labels.copy()

    def _check_no_bools(self) -> None:
        # Integers to Python, and to scikit-learn's validation.
        for name, accepted in self._parameter_constraints.items():
            value = getattr(self, name)
            if isinstance(value, bool) and not _MAY_BE_BOOL.intersection(
                kind for kind in accepted if isinstance(kind, str)
            ):
                raise ValueError(f"{name}={value!r} is a bool: pass an integer.")

    @fit_context(prefer_skip_nested_validation=True)
    def _fit(self, given: Any, y: Any) -> None:
        self._check_no_bools()
        goes_on = self._goes_on()
        # With `warm_start` weights go with the scale that they were learnt at.
        X, spec = self._validate(given, reset=not goes_on, min_samples=2)
        if self.n_clusters != "auto" and len(X) < self.n_clusters:
            raise ValueError(
                f"n_samples={len(X)} should be >= n_clusters={self.n_clusters}."
            )
        try:
            check_consistent_length(X, y)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"y does not go with n_samples={len(X)}: pass one label per sample, or "
                f"none. {error}"
            ) from error
        self._check_together()
        device = resolve_device(self.device)
        group = current_group(device)
        if group.n_processes > 1:
            told = fingerprint(self._told(_OWN), X, spec.shape)
            group.check(told, len(X), self.batch_size)
        checkpoint = self._checkpoint(X, spec.shape, device, group)
        seeds = check_random_state(self.random_state).randint(
            np.iinfo(np.int32).max, size=self.n_init
        )
        seeds = checkpoint.start(group.same(seeds.tolist()))
        if not goes_on:
            self.n_clusters_ = group.same(self._count(X, spec, device, seeds[0]))
        task = fit_task(self, given, y, device)
        # Those that predict are handed to callbacks as fitted.
        predicts = hasattr(self, "predict")
        if self.n_init == 1:
            runs = [run_once(self, X, spec, device, seeds[0], checkpoint, group, task)]
        else:
            task.begin(self.n_init)
            # Those that train together do so one run after the other.
            runs = Parallel(n_jobs=self.n_jobs if group.n_processes == 1 else 1)(
                delayed(run_on_one_thread)(
                    torch.get_default_dtype(),
                    self,
                    X,
                    spec,
                    device,
                    seed,
                    checkpoint.part(number),
                    group,
                    task.part("run", number),
                )
                for number, seed in enumerate(seeds)
            )
        self._remember(spec)
        with self._seeded(seeds[0], device), without_autocast(device):
            batches = Batches(X, spec, device, group, self.batch_size)
            self._keep(runs, batches, float_dtype(X.dtype), task)
        task.end({} if predicts else None)
        checkpoint.finish()

    def _count(
        self, X: np.ndarray, spec: InputSpec, device: torch.device, seed: int
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
        self, partitions: list[np.ndarray], batches: Batches, runs: list[Run]
    ) -> int:
        """Return which run has the clusters that agree best with the others'."""
        if len(runs) == 1:
            return 0
        seed = runs[0].seed
        places = draw_places(len(batches), seed)
        found = [labels[places] for labels in partitions]
        best = most_agreed(found, batches.rows(places), seed=seed)
        return int(batches.group.same(best))

    def _told(self, untold: tuple[str, ...]) -> dict[str, Any]:
        given = self.get_params(deep=False)
        told = {name: given[name] for name in given if name not in untold}
        return {"estimator": type(self).__name__, **told}

    def _checkpoint(
        self,
        X: np.ndarray,
        shape: tuple[int, ...],
        device: torch.device,
        group: Alone,
    ) -> Checkpoint:
        if self.checkpoint_dir is None:
            return NOWHERE
        # What does not change what is learnt may be other when a fit goes on.
        told = {**self._told(_UNTOLD), "device": device}
        if group.n_processes > 1:
            told["processes"] = group.n_processes
        if self._goes_on():
            told["fitted network"] = self.network_
        return FileCheckpoint.within(
            Path(self.checkpoint_dir).absolute(),
            fingerprint(told, X, shape),
            group,
        )

    def _validate(
        self, X: Any, *, reset: bool, min_samples: int = 1
    ) -> tuple[np.ndarray, InputSpec]:
        rows = as_rows(X, image_shape=self.image_shape)
        if reset:
            check_grey(rows, self.image_shape)
        else:
            check_new(rows, self._spec.shape, self._spec.n_dims)
        try:
            validated = validate_data(
                self,
                rows.values,
                reset=reset,
                # Other types become float64, which holds more integers exactly.
                dtype=[np.float64, np.float32, np.uint8],
                ensure_min_samples=min_samples,
            )
        except (TypeError, ValueError) as error:
            check_columns(X, error)
            raise
        ordered = rows.in_order(validated)
        if reset:
            shape = sample_shape(validated.shape[1], rows.shape, self.image_shape)
            return ordered, InputSpec.from_data(ordered, shape, rows.n_dims)
        if self._spec.unit is not None:
            self._spec.unit.check(ordered)
        return ordered, self._spec

    def _telling_memory(self) -> AbstractContextManager[None]:
        return telling_memory(
            type(self).__name__,
            f"lower batch_size={self.batch_size}, or pass fewer samples",
        )

    def _seeded(self, seed: int, device: torch.device) -> AbstractContextManager[None]:
        """Return the scope in which a user's module may draw from the globals.

        Our own networks draw nothing, and leave them to other threads.
        """
        if isinstance(self._built.get("encoder"), nn.Module):
            return seeded_globals(seed, device)
        return nullcontext()

    # -------------------------------------------------------------------- state

    def _fitted_names(self) -> list[str]:
        return [
            name
            for name in vars(self)
            if name in ("_spec", "_built")
            or (name.endswith("_") and not name.startswith("_"))
        ]

    def _forget(self, *spared: str) -> None:
        for name in {*self._fitted_names()}.difference(spared):
            delattr(self, name)

    def __sklearn_is_fitted__(self) -> bool:
        """Say whether `fit` came to a good end."""
        return hasattr(self, "labels_")

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    # ------------------------------------------------------------- for subclasses

    def _check_together(self) -> None:
        """Check parameters against each other."""

    def _build_network(self, spec: InputSpec) -> ClusterNetwork:
        raise NotImplementedError

    def _goes_on(self) -> bool:
        """Say whether `fit` is to go on from what has been fitted."""
        return False

    def _take_over(self, run: Run) -> None:
        """Give a run that is about to begin what has been fitted."""
        raise NotImplementedError

    def _train(
        self,
        network: ClusterNetwork,
        batches: Batches,
        generator: torch.Generator,
        train: Train,
        fitted: dict[str, Any],
    ) -> None:
        """Train `network` by `train`; note further fitted attributes by name."""
        raise NotImplementedError

    def _keep(
        self, runs: list[Run], batches: Batches, dtype: np.dtype, task: Task
    ) -> None:
        """Turn finished runs into fitted attributes, floats of type `dtype`."""
        raise NotImplementedError

    def _observers(
        self, run: Run, batches: Batches, dtype: np.dtype, task: Task
    ) -> list[Observer]:
        """Return who is told of a run, `task` last: it offers what the others hold."""
        task.attributes = partial(self._attributes, run, batches, dtype)
        verbose = self.verbose if batches.group.is_first else 0
        return [History(verbose, run.history), task]

    def _attributes(
        self, run: Run, batches: Batches, dtype: np.dtype
    ) -> dict[str, Any] | None:
        """Return the fitted attributes as if `run` had stopped now, for callbacks."""
        # Nothing can be asked of an estimator that does not predict.
        return None
