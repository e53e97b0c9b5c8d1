"""What is told while training, and who listens: the history, early stopping."""

import logging
import math
import sys
import time
from contextlib import suppress
from typing import Any

from skdeepclust.training.stage import Stage

logger = logging.getLogger("skdeepclust")


class Observer:
    """What the training loop tells, in this order; by default to no one."""

    def begin(self, n_stages: int) -> None:
        """Hear that training begins.

        Parameters
        ----------
        n_stages : int
            Stages to come; those without epochs are skipped.
        """

    def stage_begin(self, stage: Stage, n_epochs: int) -> None:
        """Hear that a stage begins.

        Parameters
        ----------
        stage : Stage
            The stage.
        n_epochs : int
            Epochs it has if nobody ends it.
        """

    def epoch_begin(self) -> None:
        """Hear that an epoch begins."""

    def epoch_end(self, epoch: int, values: dict[str, float]) -> bool:
        """Hear that an epoch came to a good end; one that did not is not told.

        Parameters
        ----------
        epoch : int
            The epoch within the stage, from 1.
        values : dict of str to float
            Loss terms, means over the epoch, and statistics.

        Returns
        -------
        bool
            Whether the stage is to end here.
        """
        return False

    def stage_end(self) -> None:
        """Hear that the stage ends."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint has to hold.

        Returns
        -------
        dict of str to object
            Plain values.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint; it comes after `begin`, before the next stage.

        Parameters
        ----------
        state : dict of str to object
            From `state_dict`.
        """


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
        # Looked up at each line: notebooks, pytest and `redirect_stderr` replace the
        # stream and close theirs. A line that cannot be shown must not end a fit.
        stream = sys.stderr
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.write(self.format(record) + "\n")
                stream.flush()


class History(Observer):
    """Rows of named numbers, one per epoch.

    Parameters
    ----------
    verbose : int, default=0
        0 logs nothing. 1 logs about ten epochs of each stage, the first and the last
        among them. 2 or more logs every epoch.
    rows : list of dict, default=None
        Rows to go on from. None starts anew.

    Attributes
    ----------
    rows : list of dict
        ``stage``, ``epoch`` (from 1 within its stage) and every named number.
    """

    def __init__(
        self, verbose: int = 0, rows: list[dict[str, Any]] | None = None
    ) -> None:
        self.verbose = verbose
        self.rows: list[dict[str, Any]] = [] if rows is None else rows
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
        if not self.verbose:
            return
        terms = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        left = (time.perf_counter() - self._start) / self._n_trained * n_left
        logger.info(
            "%s  epoch %d/%d  %s  %.0f s left",
            self._stage,
            epoch,
            self._n_epochs,
            terms,
            left,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the rows."""
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the rows, in the list that others look at."""
        self.rows[:] = state["rows"]


class EarlyStopping(Observer):
    """Ends a stage whose loss goes down no more.

    Parameters
    ----------
    n_iter_no_change : int
        Epochs in a row without a lower loss after which a stage ends.
    tol : float
        The loss is lower if it is below the best so far by more than this.
    """

    def __init__(self, n_iter_no_change: int, tol: float) -> None:
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self._best, self._n_stale = math.inf, 0

    def stage_begin(self, stage: Stage, n_epochs: int) -> None:
        """Look whether the stage may be ended."""
        # A one-cycle schedule anneals over its planned length. Ended early, it would
        # leave weights of a high learning rate.
        self._may_end = stage.schedule == "constant"

    def epoch_end(self, epoch: int, values: dict[str, float]) -> bool:
        """Count the epochs without a lower loss."""
        lower = values["loss"] < self._best - self.tol
        self._n_stale = 0 if lower else self._n_stale + 1
        self._best = min(self._best, values["loss"])
        return self._may_end and self._n_stale >= self.n_iter_no_change

    def stage_end(self) -> None:
        """Forget the stage."""
        self._best, self._n_stale = math.inf, 0

    def state_dict(self) -> dict[str, Any]:
        """Return the best loss of the stage, and the epochs without a lower one."""
        return {"best": self._best, "n_stale": self._n_stale}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on counting."""
        self._best, self._n_stale = state["best"], state["n_stale"]
