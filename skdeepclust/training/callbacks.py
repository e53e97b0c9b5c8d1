"""The bridge from the training loop to the callbacks of scikit-learn."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from skdeepclust._utils.compat import has_callbacks
from skdeepclust._utils.random import seeded_globals
from skdeepclust.training.events import Observer
from skdeepclust.training.stage import Stage


class Task(Observer):
    """A fit, or a part of it, that no callback hears of."""

    # Returns what the estimator lacks to be fitted as training is now, or None if it
    # cannot be handed to callbacks.
    attributes: Callable[[], dict[str, Any] | None] | None = None

    def part(self, name: str, number: int) -> "Task":
        """Return a part that trains by itself; `number` tells it from the others."""
        return self

    def end(self, attributes: dict[str, Any] | None = None) -> None:
        """Hear that it is over; for `attributes` see there."""


@dataclass
class CallbackTask(Task):
    """A fit, or a part of it, as a task of scikit-learn's callbacks.

    Its subtasks are the stages, and theirs the epochs.
    """

    estimator: Any  # What is fitted.
    X: Any  # As `fit` got it, as `y`: the hooks are offered both.
    y: Any
    device: torch.device  # Where training computes.
    make_context: Callable[..., Any]  # From `max_subtasks` to the task's context.

    def part(self, name: str, number: int) -> Task:
        """Return a task below this one, which may go to another process."""
        subcontext = self._context.subcontext
        return replace(self, make_context=partial(subcontext, name, number))

    def begin(self, n_stages: int) -> None:
        """Tell the begin of the task."""
        with self._aside():
            self._context = self.make_context(max_subtasks=n_stages)
        self._tell_begin(self._context)

    def stage_begin(self, stage: Stage, n_epochs: int) -> None:
        """Tell the begin of a stage's task."""
        self._stage = self._context.subcontext(stage.name, max_subtasks=n_epochs)
        self._tell_begin(self._stage)

    def epoch_begin(self) -> None:
        """Tell the begin of an epoch's task."""
        self._epoch = self._stage.subcontext("epoch")
        self._tell_begin(self._epoch)

    def epoch_end(self, epoch: int, values: dict[str, float]) -> bool:
        """Tell the end of an epoch, and offer the estimator as it is now."""
        ended, self._epoch = self._epoch, None
        return self._tell_end(ended, self.attributes)

    def stage_end(self) -> None:
        """Tell the end of a stage."""
        if self._epoch is not None:
            # Training stopped being finite in it: what begins also ends.
            self._tell_end(self._epoch)
        # Only an epoch's answer counts: stages are no iterations, and the next one
        # may be what makes the estimator predict.
        self._tell_end(self._stage)

    def end(self, attributes: dict[str, Any] | None = None) -> None:
        """Tell the end of the task."""
        self._tell_end(self._context, attributes)

    def _tell_begin(self, context: Any) -> None:
        with self._aside():
            context.call_on_fit_task_begin(estimator=self.estimator, X=self.X, y=self.y)

    def _tell_end(self, context: Any, attributes: Any = None) -> bool:
        with self._aside():
            answer = context.call_on_fit_task_end(
                estimator=self.estimator,
                X=self.X,
                y=self.y,
                # Not called unless a hook asks for `fitted_estimator`.
                reconstruction_attributes=attributes,
            )
        return bool(answer)

    def _aside(self) -> AbstractContextManager[None]:
        # A callback may draw from the global generators, and so may a user's module
        # while it trains: neither must notice the other.
        return seeded_globals(0, self.device)


def fit_task(estimator: Any, X: Any, y: Any, device: torch.device) -> Task:
    """Return the task of a whole fit; without callbacks, one that tells nobody."""
    if not has_callbacks(estimator):
        return Task()
    # Several runs are independent of each other, and so are their numbers.
    make_context = partial(
        estimator._init_callback_context, sequential_subtasks=estimator.n_init == 1
    )
    return CallbackTask(estimator, X, y, device, make_context)
