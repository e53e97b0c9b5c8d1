"""What the training loop tells, and the history that listens to it."""

import logging
import sys
import time
from contextlib import suppress
from typing import Any

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
        # Looked up at each line: notebooks, pytest and `redirect_stderr` replace the
        # stream and close theirs. A line that cannot be shown must not end a fit.
        stream = sys.stderr
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.write(self.format(record) + "\n")
                stream.flush()


class History(Observer):
    """Rows of named numbers, one per epoch: "stage", "epoch" (from 1), loss terms ...

    `rows` is appended to. verbose=1 logs about ten epochs of each stage, the first and
    the last among them; 2 or more logs every epoch.
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
