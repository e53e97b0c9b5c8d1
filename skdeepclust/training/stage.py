"""One stage of training: what is minimized, over which weights, for how long."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from skdeepclust.training.data import Batches

_FEW = 5_000  # images
_LARGEST = 1.25  # samples of a batch, in units of what was asked for


def count_batches(n_samples: int, batch_size: int) -> int:
    """Return the number of batches of an epoch, which all have about one size."""
    largest = _LARGEST * batch_size
    return max(1, n_samples // batch_size, math.ceil(n_samples / largest))


@dataclass(frozen=True)
class AutoEpochs:
    """What "auto" stands for: small data sets get more epochs."""

    epochs: int  # At least.
    images: int  # Optimizer steps that the epochs have to make with images.
    tables: int  # The same with tables.
    few_images: int = 0  # The same with fewer than 5,000 images.

    def resolve(
        self, given: int | Literal["auto"], batches: Batches, batch_size: int
    ) -> int:
        """Return the number that is given, or the one that "auto" stands for."""
        if not isinstance(given, str):
            return int(given)
        steps = self.images if batches.spec.is_image else self.tables
        if batches.spec.is_image and len(batches) < _FEW:
            steps = max(steps, self.few_images)
        n_batches = count_batches(len(batches), batch_size)
        return max(self.epochs, math.ceil(steps / n_batches))


class Rate:
    """Weights that Adam updates, and the estimator's parameter that sets their rate."""

    def __init__(
        self, name: str, given: float, *parts: nn.Module, divided_by: float = 1.0
    ) -> None:
        self.name = name
        self.given = given
        self.value = given / divided_by
        self.weights = [weight for part in parts for weight in part.parameters()]


class Stage:
    """A stage of training, cheap to build: a fit that resumes builds it again."""

    # "one_cycle" warms up to the rate and anneals to nearly 0.
    schedule: Literal["constant", "one_cycle"] = "constant"
    required: bool = False  # What follows is worth nothing if the stage fails.
    chance: float = math.inf  # Loss of a network that has learned nothing.
    refresh_interval: int | None = None  # Epochs from one `refresh` to the next.

    def __init__(
        self, name: str, n_epochs: int, batch_size: int, rates: Iterable[Rate]
    ) -> None:
        self.name = name
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.rates = [*rates]

    def begin(self) -> None:
        """Prepare what the epochs need, also when they resume."""

    def step(self, index: Tensor) -> dict[str, Tensor]:
        """Return named loss terms, 0-d, of the whole batch; "loss" is minimized."""
        raise NotImplementedError

    def refresh(self, epoch: int) -> dict[str, float]:
        """Recompute what is fixed between epochs; return statistics for the history."""
        return {}

    def end(self) -> None:
        """Let go of what only the epochs need."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint has to hold: tensors and plain values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned; tensors come on the CPU."""
