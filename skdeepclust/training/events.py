"""What training tells, and who listens: the history, scikit-learn's callbacks."""

import logging
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from skdeepclust._utils.compat import has_callbacks
from skdeepclust._utils.random import seeded_globals
from skdeepclust.training.stage import Stage

logger = logging.getLogger("skdeepclust")


class Observer:
    """Hears of training in the order of these methods; does nothing by default."""

    def begin(self, n_stages: int) -> None:
        """Hear how many stages there are; those without epochs are skipped."""

    def stage_begin(self, stage: Stage, n_epochs: int) -> None:
        """Hear that a stage begins, which has `n_epochs` if nobody ends it."""

    def epoch_begin(self) -> None:
        """Hear that an epoch begins."""

    def epoch_end(self, epoch: int, values: dict[str, float]) -> bool:
        """Hear the mean loss terms and the statistics of an epoch (from 1).

        Epochs that did not stay finite are not told. Return True to end the stage.
        """
        return False

    def stage_end(self) -> None:
        """Hear that the stage ends."""


class _Lines(logging.Handler):
    """Shows the lines that no other handler shows."""

    def filter(self, record: logging.LogRecord) -> bool:
        others = [handler for handler in logger.handlers if handler is not self]
        if logger.propagate:
            others += logging.getLogger().handlers
        return not any(
            record.levelno >= handler.level
            and not isinstance(handler, logging.NullHandler)
            for handler in others
        )

    def emit(self, record: logging.LogRecord) -> None:
        # On stdout, as in scikit-learn: notebooks show stderr in red, like errors.
        # Looked up at each line: notebooks, pytest and `redirect_stdout` replace the
        # stream and close theirs. A line that cannot be shown must not end a fit.
        stream = sys.stdout
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.write(self.format(record) + "\n")
                stream.flush()


class History(Observer):
    """Rows of named numbers, one per epoch: "stage", "epoch" (from 1), loss terms ...

    verbose=1 logs about ten epochs of each stage, the first and last included; 2, all.
    """

    def __init__(self, verbose: int = 0) -> None:
        self.verbose = verbose
        self.rows: list[dict[str, Any]] = []
        if verbose and not logger.handlers and not logging.getLogger().handlers:
            # A user who asked for lines and configured no logging still sees them,
            # and sees them once where logging is configured later.
            logger.addHandler(_Lines())
        if verbose and logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)

    def stage_begin(self, stage: Stage, n_epochs: int) -> None:
        """Note the name, which the rows begin with, and the time."""
        self._stage, self._n_epochs = stage.name, n_epochs
        self._start = time.perf_counter()
        # Not the number of the epoch: training may go on from a checkpoint.
        self._n_trained = 0
        self._unlogged: tuple[int, dict[str, float]] | None = None

    def epoch_end(self, epoch: int, values: dict[str, float]) -> bool:
        """Append the row of the epoch; log it if it is one of those shown."""
        self.rows.append({"stage": self._stage, "epoch": epoch, **values})
        self._n_trained += 1
        # Epochs that complete a tenth of the stage.
        tenths = 10 * epoch // self._n_epochs - 10 * (epoch - 1) // self._n_epochs
        if self.verbose > 1 or self._n_trained == 1 or tenths:
            self._log(epoch, values, self._n_epochs - epoch)
        else:
            self._unlogged = epoch, values
        return False

    def stage_end(self) -> None:
        """Log the last epoch of a stage that ended early."""
        if self._unlogged is not None:
            self._log(*self._unlogged, 0)

    def _log(self, epoch: int, values: dict[str, float], n_left: int) -> None:
        self._unlogged = None
        if self.verbose:
            terms = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
            left = (time.perf_counter() - self._start) / self._n_trained * n_left
            counted = f"{self._stage}  epoch {epoch}/{self._n_epochs}"
            logger.info("%s  %s  %.0f s left", counted, terms, left)


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
class _CallbackTask(Task):
    """A task of scikit-learn's callbacks: stages are subtasks, and epochs theirs."""

    estimator: Any  # What is fitted.
    X: Any  # As `fit` got it, as `y`: the hooks are offered both.
    y: Any
    device: torch.device  # Where training computes.
    make_context: Callable[..., Any]  # From `max_subtasks` to the task's context.

    def part(self, name: str, number: int) -> Task:
        # It may go to another process.
        subcontext = self._context.subcontext
        return replace(self, make_context=partial(subcontext, name, number))

    def begin(self, n_stages: int) -> None:
        with seeded_globals(0, self.device):
            self._context = self.make_context(max_subtasks=n_stages)
        self._tell(self._context.call_on_fit_task_begin)

    def stage_begin(self, stage: Stage, n_epochs: int) -> None:
        self._stage = self._context.subcontext(stage.name, max_subtasks=n_epochs)
        self._tell(self._stage.call_on_fit_task_begin)

    def epoch_begin(self) -> None:
        self._epoch = self._stage.subcontext("epoch")
        self._tell(self._epoch.call_on_fit_task_begin)

    def epoch_end(self, epoch: int, values: dict[str, float]) -> bool:
        # Hooks are offered the estimator in its current state.
        ended, self._epoch = self._epoch, None
        return self._tell_end(ended, self.attributes)

    def stage_end(self) -> None:
        if self._epoch is not None:
            # Training stopped being finite in it: what begins also ends.
            self._tell_end(self._epoch)
        # Only an epoch's answer counts: stages are no iterations, and the next one
        # may be what makes the estimator predict.
        self._tell_end(self._stage)

    def end(self, attributes: dict[str, Any] | None = None) -> None:
        self._tell_end(self._context, attributes)

    def _tell_end(self, context: Any, attributes: Any = None) -> bool:
        # A function is not called unless a hook asks for `fitted_estimator`.
        hook = context.call_on_fit_task_end
        return self._tell(hook, reconstruction_attributes=attributes)

    def _tell(self, hook: Callable[..., Any], **more: Any) -> bool:
        # A callback may draw from the global generators, and so may a user's module
        # while it trains: neither must notice the other.
        with seeded_globals(0, self.device):
            return bool(hook(estimator=self.estimator, X=self.X, y=self.y, **more))


def fit_task(estimator: Any, X: Any, y: Any, device: torch.device) -> Task:
    """Return the task of a whole fit; without callbacks, one that tells nobody."""
    if not has_callbacks(estimator):
        return Task()
    # Several runs are independent of each other, and so are their numbers.
    make_context = partial(
        estimator._init_callback_context, sequential_subtasks=estimator.n_init == 1
    )
    return _CallbackTask(estimator, X, y, device, make_context)
