"""One stage of training: what is minimised, over which weights, for how long."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from skdeepclust.training.data import Batches

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


def count_batches(n_samples: int, batch_size: int) -> int:
    """Return the number of batches of an epoch, which have one size.

    Parameters
    ----------
    n_samples : int
        Number of samples.
    batch_size : int
        What was asked for.

    Returns
    -------
    int
        As many as `batch_size` fills, and more where they would be larger by more
        than a quarter.
    """
    largest = _LARGEST * batch_size
    return max(1, n_samples // batch_size, math.ceil(n_samples / largest))


@dataclass(frozen=True)
class AutoEpochs:
    """What "auto" stands for as the number of a stage's epochs.

    Parameters
    ----------
    epochs : int
        Least number of epochs.
    images, tables : int
        Least number of optimiser steps with images and with tables. Small data sets
        get more epochs, to reach it.
    """

    epochs: int
    images: int
    tables: int

    def resolve(self, given: int | str, batches: Batches, batch_size: int) -> int:
        """Return the number of epochs: what is given, or what "auto" stands for.

        Parameters
        ----------
        given : int or "auto"
            The parameter.
        batches : Batches
            The training data.
        batch_size : int
            Of the stage.

        Returns
        -------
        int
            The number of epochs.
        """
        if not isinstance(given, str):
            return int(given)
        steps = self.images if batches.spec.is_image else self.tables
        n_batches = count_batches(len(batches), batch_size)
        return max(self.epochs, math.ceil(steps / n_batches))


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
        What Adam updates, each with its ``"params"``, its ``"lr"``, and the ``"name"``
        of the parameter that this comes from.
    step : callable
        Maps the indices of a batch to named loss terms (0-d tensors); the term
        ``"loss"`` is the one that is minimised. Of several processes that train
        together each gets the whole batch, and may take its share.
    batch_size : int
        About the number of samples of a batch, see `count_batches`.
    schedule : {"constant", "one_cycle"}, default="constant"
        ``"one_cycle"`` warms up to ``lr`` and anneals to nearly 0.
    refresh : callable, default=None
        Called before the first epoch and every `refresh_interval` epochs with
        the epoch (from 0); returns statistics for the history.
    refresh_interval : int, default=1
        Epochs between two calls of `refresh`.
    required : bool, default=False
        Whether what follows is worth nothing when the stage fails.
    chance : float, default=inf
        Loss of a network that has learnt nothing.
    """

    name: str
    n_epochs: int
    param_groups: list[dict[str, Any]]
    step: Callable[[Tensor], dict[str, Tensor]]
    batch_size: int
    schedule: str = "constant"
    refresh: Callable[[int], dict[str, float]] | None = None
    refresh_interval: int = 1
    required: bool = False
    chance: float = math.inf
