"""One stage of training: what is minimised, over which weights, for how long."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_LARGEST = 1.25  # samples of a batch, in units of what was asked for


def draw_seed(generator: torch.Generator) -> int:
    """Draw a seed for NumPy and scikit-learn.

    Parameters
    ----------
    generator : torch.Generator
        Its state moves on.

    Returns
    -------
    int
        From 0, below 2**31 - 1.
    """
    device = generator.device
    return int(torch.randint(2**31 - 1, (1,), generator=generator, device=device))


def least_steps(given: int | str, is_image: bool, *, images: int, tables: int) -> int:
    """Apply the documented rule of a least number of optimiser steps.

    Parameters
    ----------
    given : int or "auto"
        The parameter.
    is_image : bool
        Whether the samples are images.
    images, tables : int
        What "auto" stands for.

    Returns
    -------
    int
        The least number of steps.
    """
    if isinstance(given, str):
        return images if is_image else tables
    return int(given)


class Remembering:
    """What builds stages, and holds what passes between them and their epochs.

    A subclass names its attributes that are not made again when training goes on
    from a checkpoint. They are tensors, arrays, sparse matrices, numbers, or other
    objects that remember; those that are not set yet are left out.
    """

    _remembered: tuple[str, ...] = ()

    def state_dict(self) -> dict[str, Any]:
        """Return what is remembered.

        Returns
        -------
        dict of str to object
            By the names of the attributes.
        """
        held = {n: getattr(self, n) for n in self._remembered if hasattr(self, n)}
        return {
            name: value.state_dict() if isinstance(value, Remembering) else value
            for name, value in held.items()
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Remember it.

        Parameters
        ----------
        state : dict of str to object
            From `state_dict`.
        """
        for name, value in state.items():
            held = getattr(self, name, None)
            if isinstance(held, Remembering):
                held.load_state_dict(value)
            else:
                setattr(self, name, value)


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
        ``"loss"`` is the one that is minimised. Of several processes that train
        together each gets the whole batch, and may take its share.
    batch_size : int
        About the number of samples of a batch, see `batches`.
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

    def batches(self, n_samples: int) -> int:
        """Return the number of batches of an epoch, which have one size.

        Parameters
        ----------
        n_samples : int
            Number of samples.

        Returns
        -------
        int
            As many as `batch_size` fills, and more where they would be larger by more
            than a quarter.
        """
        largest = _LARGEST * self.batch_size
        return max(1, n_samples // self.batch_size, math.ceil(n_samples / largest))

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
