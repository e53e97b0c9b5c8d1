"""One stage of training: what is minimised, over which weights, for how long."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor


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
