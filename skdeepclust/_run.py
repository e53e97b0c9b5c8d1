"""One training run, of one network from one seed."""

import os
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from threadpoolctl import ThreadpoolController  # comes with scikit-learn
from torch import nn

from skdeepclust.networks import ClusterNetwork
from skdeepclust.networks.drawing import OwnDraws
from skdeepclust.training import (
    Alone,
    Batches,
    Checkpoint,
    InputSpec,
    Stage,
    Task,
    compiled,
    default_settings,
    repeatable,
    run_stages,
    without_autocast,
)
from skdeepclust.views import seeded_globals

Train = Callable[[nn.Module, Iterable[Callable[[], Stage]], int], None]
"""`run_stages` with all that does not depend on the method."""


@dataclass
class Run:
    """One training run.

    Parameters
    ----------
    network : ClusterNetwork
        What is trained.
    seed : int
        Draws everything that is random.
    history : list of dict
        A row per epoch.
    fitted : dict
        Further fitted attributes by their names, as soon as they are known.
    """

    network: ClusterNetwork
    seed: int
    history: list[dict[str, Any]] = field(default_factory=list)
    fitted: dict[str, Any] = field(default_factory=dict)


def run_once(
    estimator: Any,
    X: np.ndarray,
    spec: InputSpec,
    device: torch.device,
    seed: int,
    checkpoint: Checkpoint,
    group: Alone,
    task: Task,
) -> Run:
    """Train once; also runs in another process.

    Parameters
    ----------
    estimator : estimator
        Gives the parameters, and what is trained.
    X : ndarray of shape (n_samples, n_features)
        Validated data.
    spec : InputSpec
        How they are shaped and scaled.
    device : torch.device
        Where to compute.
    seed : int
        Draws everything that is random.
    checkpoint : Checkpoint
        Where training goes on from, and is written to.
    group : Alone
        The processes that train together.
    task : Task
        Tells callbacks.

    Returns
    -------
    Run
        What has been learnt.
    """
    own = isinstance(estimator.encoder, nn.Module)
    with ExitStack() as scope:
        if own:
            # A user's module may draw from the global generators: see `_seeded`.
            scope.enter_context(seeded_globals(seed, device))
        with OwnDraws(seed), default_settings():
            network = estimator._build_network(spec).to(device)
        check_trainable(network)
        group.same_weights(network)
        generator = torch.Generator(device).manual_seed(seed)
        batches = Batches(X, spec, device, group, estimator.batch_size)
        run = Run(network, seed)
        if estimator._goes_on():
            estimator._take_over(run)
        observers = estimator._observers(run, batches, float_dtype(X.dtype), task)
        train = partial(
            run_stages,
            generator=generator,
            observers=observers,
            checkpoint=checkpoint,
            seeded=own,
            learnt=estimator._goes_on(),
            group=group,
        )
        if estimator.compile:
            network.compiled = compiled(network.autoencoder.encoder, device)
        try:
            with repeatable(device), without_autocast(device):
                estimator._train(network, batches, generator, train, run.fitted)
        finally:
            network.compiled = None
    return run


class _OneThread:
    """The scopes that compute on one thread: their numbers are the whole process's.

    Several threads may be in. Only the last one puts back what the first one found:
    what another found is the one thread of those that were in before. OpenMP counts
    for each thread, so that there every one puts it back for itself.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_open = 0

    def __enter__(self) -> None:
        with self.lock:
            if self.n_open == 0:
                self.n_threads = torch.get_num_threads()
                # NumPy's and SciPy's products and eigenvectors, too.
                self.libraries = ThreadpoolController().lib_controllers
                self.found = [library.num_threads for library in self.libraries]
            self.n_open += 1
            self._set(1, [1] * len(self.libraries))

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.n_open -= 1
            if self.n_open == 0:
                self._set(self.n_threads, self.found)
                return
            for library, number in zip(self.libraries, self.found, strict=True):
                if library.internal_api == "openmp":
                    library.set_num_threads(number)

    def _set(self, n_threads: int, numbers: list[int]) -> None:
        torch.set_num_threads(n_threads)
        for library, number in zip(self.libraries, numbers, strict=True):
            # Newer threadpoolctl lets only the thread that came first set some of them.
            if hasattr(library, "clear_controlling_thread"):
                library.clear_controlling_thread(force=True)
            library.set_num_threads(number)


_ONE_THREAD = _OneThread()


def _open_anew() -> None:
    # Another thread may have been within while the process was forked.
    global _ONE_THREAD
    _ONE_THREAD = _OneThread()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_open_anew)


def run_on_one_thread(dtype: torch.dtype, *arguments: Any) -> Run:
    """Train as in a worker, which has one thread: n_jobs must not change a digit.

    Parameters
    ----------
    dtype : torch.dtype
        The default one of torch, which a worker does not inherit.
    *arguments : object
        Of `run_once`.

    Returns
    -------
    Run
        What has been learnt.
    """
    found = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with _ONE_THREAD:
            run = run_once(*arguments)
    finally:
        torch.set_default_dtype(found)
    *_, task = arguments
    task.end()
    return run


def check_trainable(network: ClusterNetwork) -> None:
    """Raise unless the encoder has a weight that training may change.

    An encoder without any weights is let be where it has a decoder to train.

    Parameters
    ----------
    network : ClusterNetwork
        What is to be trained.

    Raises
    ------
    ValueError
        If it has none, as a module that comes from a fitted estimator.
    """
    weights = [*network.autoencoder.encoder.parameters()]
    if any(weight.requires_grad for weight in weights):
        return
    after = "set encoder_trainable=False, which trains layers of its own after it."
    if weights:
        raise ValueError(
            "encoder has no weights that may be trained: requires_grad is False for "
            f"all of its {len(weights)} parameters. Call encoder.requires_grad_(True), "
            f"or {after}"
        )
    if network.unit_norm:
        raise ValueError(
            "encoder has no weights, which contrastive pretraining could train: set "
            f"pretraining='reconstruction', or {after}"
        )


def check_finite(
    embedding: np.ndarray, learning_rate: float, name: str = "learning_rate"
) -> None:
    """Raise unless the trained network gives finite values.

    Parameters
    ----------
    embedding : ndarray of shape (n_samples, n_components)
        Of the training data.
    learning_rate : float
        What the message asks to lower.
    name : str, default="learning_rate"
        Of that parameter.

    Raises
    ------
    ValueError
        If it does not.
    """
    if not np.isfinite(embedding).all():
        raise ValueError(
            "The trained network maps X to values that are not finite: lower "
            f"{name}={learning_rate}, scale X, or look for NaN in an encoder of your "
            "own."
        )


def float_dtype(dtype: np.dtype) -> np.dtype:
    """Return the type of embeddings: that of float data, else float32.

    Parameters
    ----------
    dtype : dtype
        Of the data.

    Returns
    -------
    dtype
        Floating point.
    """
    return dtype if dtype.kind == "f" else np.dtype(np.float32)
