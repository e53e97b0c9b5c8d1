"""One training run, of one network from one seed."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skdeepclust._base.state import Plan
from skdeepclust._stages.context import Context
from skdeepclust._stages.pretraining import PretrainingCache
from skdeepclust._utils.random import OwnDraws, seeded_globals
from skdeepclust._utils.threads import one_thread
from skdeepclust._version import __version__
from skdeepclust.networks import ClusterNetwork
from skdeepclust.training.checkpoint import Checkpoint
from skdeepclust.training.data import Batches, InputSpec
from skdeepclust.training.device import default_settings, repeatable, without_autocast
from skdeepclust.training.distributed import Group
from skdeepclust.training.events import History, Observer, Task
from skdeepclust.training.fingerprint import fingerprint
from skdeepclust.training.loop import Training
from skdeepclust.views import Augmentation, make_views

_FEW_WEIGHTS, _FEW_VALUES = 2**20, 2**14  # of small networks, and of a sample


@dataclass
class Run:
    """What a training run has learned."""

    network: ClusterNetwork
    plan: Plan
    seed: int
    history: list[dict[str, Any]] = field(default_factory=list)
    results: dict[str, Any] = field(default_factory=dict)
    """Results of the method, by the names of their classes."""
    embedding: Tensor | None = None
    """Of all samples, if it was computed after the last change of the encoder."""


@dataclass(frozen=True)
class Job:
    """What all runs of a fit have in common."""

    X: NDArray[Any]
    spec: InputSpec
    device: torch.device
    group: Group
    plan: Plan
    augmentation: Augmentation
    batch_size: int
    verbose: int
    memory: joblib.Memory | None
    earlier: Run | None
    """The run of an earlier fit that this one continues, by `warm_start`."""

    def batches(self) -> Batches:
        """Return the training data."""
        return Batches(self.X, self.spec, self.device, self.group, self.batch_size)


class Method(Protocol):
    """What trains: an estimator."""

    def _take_over(self, network: ClusterNetwork, earlier: Run) -> None: ...

    def _observers(
        self, run: Run, batches: Batches, task: Task
    ) -> Sequence[Observer]: ...

    def _train(
        self, context: Context, training: Training, cache: PretrainingCache | None
    ) -> Tensor | None: ...


def run_once(
    method: Method, job: Job, seed: int, checkpoint: Checkpoint, task: Task
) -> Run:
    """Train once from a seed; also runs in another process."""
    device, group, earlier = job.device, job.group, job.earlier
    own = isinstance(job.plan.encoder, nn.Module)
    with ExitStack() as scope:
        if own:
            # A user's module may draw from the global generators.
            scope.enter_context(seeded_globals(seed, device))
        with OwnDraws(seed), default_settings():
            network = job.plan.build(job.spec.shape).to(device)
        check_trainable(network)
        if _is_small(network, job):
            scope.enter_context(one_thread())
        group.same_weights(network)
        generator = torch.Generator(device).manual_seed(seed)
        batches = job.batches()
        history = History(job.verbose if group.is_first else 0)
        if earlier is not None:
            method._take_over(network, earlier)
            history.rows += earlier.history
        run = Run(network, job.plan, seed, history.rows)
        training = Training(
            network,
            len(batches),
            generator=generator,
            history=history,
            observers=method._observers(run, batches, task),
            checkpoint=checkpoint,
            seeded=own,
            pretrained=earlier is not None,
            group=group,
        )
        run.results = training.results
        context = Context(
            network,
            batches,
            make_views(job.augmentation, job.spec.shape),
            generator,
            job.plan.n_clusters,
            job.X,
            pretrained=earlier is not None,
        )
        with repeatable(device), without_autocast(device):
            run.embedding = method._train(context, training, _cache(job, seed))
    return run


def _is_small(network: ClusterNetwork, job: Job) -> bool:
    """Say whether threads would wait for each other longer than they compute."""
    encoder, n_values = job.plan.encoder, math.prod(job.spec.shape)
    if not isinstance(encoder, str) or encoder == "resnet18" or n_values > _FEW_VALUES:
        return False
    n_weights = sum(weight.numel() for weight in network.parameters())
    return n_weights <= _FEW_WEIGHTS


def _cache(job: Job, seed: int) -> PretrainingCache | None:
    # Several processes would have to agree on what each of them finds.
    if job.memory is None or job.group.n_processes > 1:
        return None
    plan = job.plan
    told = {
        "encoder": plan.encoder,
        "n_components": plan.n_components,
        "hidden_layer_sizes": plan.hidden_layer_sizes,
        "precision": plan.precision,
        "augmentation": job.augmentation,
        "device": job.device.type,
        "seed": seed,
        "versions": [__version__, torch.__version__],
    }
    return PretrainingCache(job.memory, fingerprint(told, job.X, job.spec.shape))


def run_on_one_thread(
    dtype: torch.dtype,
    method: Method,
    job: Job,
    seed: int,
    checkpoint: Checkpoint,
    task: Task,
) -> Run:
    """Train as in a worker, which has one thread: `n_jobs` must not change results.

    A worker does not inherit `dtype`, the default one of torch.
    """
    found = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with one_thread():
            run = run_once(method, job, seed, checkpoint, task)
    finally:
        torch.set_default_dtype(found)
    task.end()
    return run


def check_trainable(network: ClusterNetwork) -> None:
    """Raise unless the encoder has a weight that training may change.

    An encoder without any weights is accepted where it has a decoder to train.
    """
    weights = [*network.autoencoder.encoder.parameters()]
    if any(weight.requires_grad for weight in weights):
        return
    after = "pass encoder=Frozen(module), which trains layers of its own after it."
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


def float_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of embeddings: that of float data, else float32."""
    return dtype if dtype.kind == "f" else np.dtype(np.float32)
