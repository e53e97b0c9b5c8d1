"""The loop over stages, epochs and batches; it never knows the method."""

import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn

from skdeepclust.training.events import History


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Parameters
    ----------
    name : str
        Goes into the history.
    n_epochs : int
        Passes over the data; 0 skips the stage.
    param_groups : list of dict
        What Adam updates, each with its ``"params"`` and ``"lr"``.
    step : callable
        Maps the indices of a batch to named loss terms (0-d tensors); the term
        ``"loss"`` is the one that is minimised.
    batch_size : int
        Least number of samples of a batch; a smaller data set is one batch.
    min_steps : int, default=0
        A small data set gets more epochs, so that there are at least so many
        optimiser steps.
    schedule : {"constant", "one_cycle"}, default="constant"
        ``"one_cycle"`` warms up to ``lr`` and anneals to nearly 0.
    refresh : callable, default=None
        Called before the first epoch and every `refresh_interval` epochs with
        the epoch (from 0); returns statistics for the history.
    refresh_interval : int, default=1
        Epochs between two calls of `refresh`.
    """

    name: str
    n_epochs: int
    param_groups: list[dict[str, Any]]
    step: Callable[[Tensor], dict[str, Tensor]]
    batch_size: int
    min_steps: int = 0
    schedule: str = "constant"
    refresh: Callable[[int], dict[str, float]] | None = None
    refresh_interval: int = 1

    def total_epochs(self, n_batches: int) -> int:
        """Return the number of epochs, raised to reach `min_steps`.

        Parameters
        ----------
        n_batches : int
            Batches in one epoch.

        Returns
        -------
        int
            0 if the stage is skipped.
        """
        if self.n_epochs == 0:
            return 0
        return max(self.n_epochs, math.ceil(self.min_steps / n_batches))


def run_stages(
    network: nn.Module,
    stages: Iterable[Callable[[], Stage]],
    n_samples: int,
    *,
    device: torch.device,
    generator: torch.Generator,
    history: History,
) -> int:
    """Train `network` through the stages, one after the other.

    A stage is built just before it runs, since it may need what the one before
    it has learnt. When a loss or a weight stops being finite, the weights of
    the last good epoch are put back, a warning names the epoch, and no further
    stage runs.

    Parameters
    ----------
    network : torch.nn.Module
        What is trained, in place.
    stages : iterable of callables
        Each returns the next :class:`Stage`.
    n_samples : int
        The samples are numbered from 0.
    device : torch.device
        Where the indices of a batch live.
    generator : torch.Generator
        Draws the order of the samples.
    history : History
        Gets one row per epoch.

    Returns
    -------
    int
        The number of epochs that were run to a good end.
    """
    total = 0
    for make in stages:
        stage = make()
        n_done, finite = _run_stage(
            network, stage, n_samples, device=device, generator=generator, log=history
        )
        total += n_done
        if not finite:
            break
    return total


def _run_stage(
    network: nn.Module,
    stage: Stage,
    n_samples: int,
    *,
    device: torch.device,
    generator: torch.Generator,
    log: History,
) -> tuple[int, bool]:
    n_batches = max(1, n_samples // stage.batch_size)
    n_epochs = stage.total_epochs(n_batches)
    if n_epochs == 0:
        return 0, True
    optimizer = torch.optim.Adam(
        stage.param_groups, fused=device.type in ("cpu", "cuda")
    )
    scheduler = None
    if stage.schedule == "one_cycle":
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            [group["lr"] for group in stage.param_groups],
            total_steps=n_epochs * n_batches,
            cycle_momentum=False,
        )
    statistics: dict[str, float] = {}
    for epoch in range(n_epochs):
        good = {name: value.clone() for name, value in network.state_dict().items()}
        if stage.refresh is not None and epoch % stage.refresh_interval == 0:
            statistics = stage.refresh(epoch)
        network.train()
        means = _run_epoch(stage, optimizer, scheduler, n_samples, n_batches, generator)
        if not (math.isfinite(means["loss"]) and _is_finite(network)):
            network.load_state_dict(good)
            warnings.warn(
                f"Training stopped being finite in epoch {epoch + 1} of stage "
                f"{stage.name!r}: the weights of the epoch before it are kept and "
                "no further stage runs. Lower the learning rate or scale the data.",
                ConvergenceWarning,
                stacklevel=2,
            )
            return epoch, False
        log.add(stage.name, epoch + 1, {**means, **statistics})
    return n_epochs, True


def _run_epoch(
    stage: Stage,
    optimizer: torch.optim.Optimizer,
    scheduler: Any,
    n_samples: int,
    n_batches: int,
    generator: torch.Generator,
) -> dict[str, float]:
    order = torch.randperm(n_samples, generator=generator, device=generator.device)
    sums: dict[str, Tensor] = {}
    for batch in order.tensor_split(n_batches):
        terms = stage.step(batch)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        for name, value in terms.items():
            # Summed on the device: one synchronisation per epoch, not per step.
            value = value.detach()
            sums[name] = sums[name] + value if name in sums else value
    return {name: float(value) / n_batches for name, value in sums.items()}


def _is_finite(network: nn.Module) -> bool:
    return all(bool(torch.isfinite(p).all()) for p in network.parameters())
