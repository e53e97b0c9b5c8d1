"""The loop over stages, epochs and batches; it never knows the method."""

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn

from skdeepclust.training.checkpoint import NOWHERE, Checkpoint, Learner, Place
from skdeepclust.training.distributed import ALONE, Alone
from skdeepclust.training.events import Observer
from skdeepclust.training.stage import Stage, count_batches

_FAR = 2.0  # by which no weight grows at a learning rate that is not too high


def run_stages(
    network: nn.Module,
    stages: Iterable[Callable[[], Stage]],
    n_samples: int,
    *,
    generator: torch.Generator,
    observers: Sequence[Observer] = (),
    checkpoint: Checkpoint = NOWHERE,
    seeded: bool = False,
    learnt: bool = False,
    group: Alone = ALONE,
) -> None:
    """Train `network` through the stages, one after the other.

    A stage is built just before it runs, since it may need what the one before
    it has learnt. When a loss or a weight stops being finite, the stage ends with
    the weights of its last good epoch, a warning names the epoch, and the next stage
    runs; a stage that is required raises an error.

    Parameters
    ----------
    network : torch.nn.Module
        What is trained, in place.
    stages : iterable of callables
        Each returns the next :class:`Stage`.
    n_samples : int
        The samples are numbered from 0.
    generator : torch.Generator
        Draws the order of the samples, on the device where they and `network` are.
    observers : sequence of Observer, default=()
        Are told of each stage and epoch, and may end a stage.
    checkpoint : Checkpoint, default=NOWHERE
        Where training goes on from, and is written to. `stages` that are a
        :class:`Remembering` are asked for what they hold.
    seeded : bool, default=False
        Whether the global generators are seeded for training; then they go into
        checkpoints too.
    learnt : bool, default=False
        Whether `network` has been trained before, so that it is worth keeping.
    group : Alone, default=ALONE
        The processes that train together. Their `network` and `generator` are alike.

    Raises
    ------
    ValueError
        If a stage that is required stops being finite, and nothing had been learnt
        before.
    """
    makers = [*stages]
    for observer in observers:
        observer.begin(len(makers))
    learner = Learner(network, generator, observers, stages, seeded)
    place = checkpoint.resume(learner)
    while place.stage < len(makers):
        stage = makers[place.stage]()
        # Before it runs: a schedule changes them.
        rates = " and ".join(
            f"{part.get('name', 'learning_rate')}={part['lr']:g}"
            for part in stage.param_groups
        )
        fault = _run_stage(learner, stage, n_samples, place, checkpoint, group)
        if fault:
            told = f"Stage {stage.name!r} with {rates} {fault}"
            hint = (
                "lower the rate, scale X, or look for NaN in an encoder or "
                "augmentation of your own."
            )
            if stage.required and not learnt:
                # What comes later would start from weights that have learnt nothing.
                raise ValueError(f"{told}, and all that follows needs it: {hint}")
            warnings.warn(
                f"{told}. Training goes on from its last epoch that was finite: {hint}",
                ConvergenceWarning,
                stacklevel=2,
            )
        place = Place(place.stage + 1)
        checkpoint.stage_end(place, learner)


def _run_stage(
    learner: Learner,
    stage: Stage,
    n_samples: int,
    start: Place,
    checkpoint: Checkpoint,
    group: Alone,
) -> str:
    """Run one stage; say what is wrong with how it ended, or nothing."""
    network, generator = learner.network, learner.generator
    observers = learner.observers
    n_batches = count_batches(n_samples, stage.batch_size)
    n_epochs = stage.n_epochs
    if n_epochs == 0:
        return ""
    optimizer = torch.optim.Adam(
        stage.param_groups, fused=generator.device.type in ("cpu", "cuda")
    )
    scheduler = None
    if stage.schedule == "one_cycle":
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            [group["lr"] for group in stage.param_groups],
            total_steps=n_epochs * n_batches,
            cycle_momentum=False,
        )
    if start.epoch > 0:
        start.restore(optimizer, scheduler)
    for observer in observers:
        observer.stage_begin(stage, n_epochs)
    fault, statistics, first = "", start.statistics, start.first
    if first is None:
        first = {"weight": float(_largest(network))}
    for epoch in range(start.epoch, n_epochs):
        for observer in observers:
            observer.epoch_begin()
        good = {name: value.clone() for name, value in network.state_dict().items()}
        if stage.refresh is not None and epoch % stage.refresh_interval == 0:
            statistics = stage.refresh(epoch)
        network.train()
        sums = _run_epoch(
            stage, optimizer, scheduler, n_samples, n_batches, generator, group
        )
        group.average_buffers(network)
        # The one time in an epoch that the host waits for the device.
        *totals, largest = torch.stack([*sums.values(), _largest(network)]).tolist()
        means = {n: total / n_batches for n, total in zip(sums, totals, strict=True)}
        if not (math.isfinite(means["loss"]) and math.isfinite(largest)):
            network.load_state_dict(good)
            fault = f"stopped being finite in epoch {epoch + 1} of {n_epochs}"
            break
        first.setdefault("loss", means["loss"])
        # A loss whose targets are refreshed may well rise.
        lowers = stage.required and stage.refresh is None
        if epoch + 1 == n_epochs and (
            lowers
            and largest > first["weight"] + _FAR
            and means["loss"] > min(first["loss"], stage.chance)
        ):
            fault = (
                f"ended with a loss of {means['loss']:.4g}, after {first['loss']:.4g} "
                f"at first, and with weights of up to {largest:.4g}"
            )
        values = {**means, **statistics}
        # A list: all are told, also when the first one ends the stage.
        ends = [observer.epoch_end(epoch + 1, values) for observer in observers]
        if group.either(any(ends)):
            break
        if epoch + 1 < n_epochs:
            place = Place(start.stage, epoch + 1, statistics, first=first)
            checkpoint.epoch_end(place, learner, optimizer, scheduler)
    for observer in observers:
        observer.stage_end()
    return fault


def _run_epoch(
    stage: Stage,
    optimizer: torch.optim.Optimizer,
    scheduler: Any,
    n_samples: int,
    n_batches: int,
    generator: torch.Generator,
    group: Alone,
) -> dict[str, Tensor]:
    order = torch.randperm(n_samples, generator=generator, device=generator.device)
    sums: dict[str, Tensor] = {}
    with group.own_draws(generator):
        for batch in order.tensor_split(n_batches):
            terms = group.weigh(stage.step(batch), len(batch))
            optimizer.zero_grad()
            terms["loss"].backward()
            group.sum_gradients(optimizer)
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            for name, value in terms.items():
                value = value.detach()
                sums[name] = sums[name] + value if name in sums else value
    return group.sum_terms(sums)


def _largest(network: nn.Module) -> Tensor:
    """Return the largest weight in magnitude: not finite if any weight is not."""
    weights = [p.detach() for p in network.parameters() if p.numel() > 0]
    extremes = [extreme for weight in weights for extreme in weight.aminmax()]
    return torch.stack(extremes).abs().amax()
