"""What is told while training: the history and one log line per epoch."""

import logging
from typing import Any

logger = logging.getLogger("skdeepclust")


class History:
    """Rows of named numbers, one per epoch.

    Parameters
    ----------
    verbose : int
        When positive, each row is also logged.

    Attributes
    ----------
    rows : list of dict
        ``stage``, ``epoch`` (from 1 within its stage) and every named number.
    """

    def __init__(self, verbose: int = 0) -> None:
        self.verbose = verbose
        self.rows: list[dict[str, Any]] = []
        if verbose and not logger.handlers and not logging.getLogger().handlers:
            # A user who asked for lines and configured no logging still sees
            # them; a configured root logger is left alone.
            logger.addHandler(logging.StreamHandler())
        if verbose and logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)

    def add(self, stage: str, epoch: int, values: dict[str, float]) -> None:
        """Append the row of one epoch.

        Parameters
        ----------
        stage : str
            The stage's name.
        epoch : int
            The epoch within the stage, from 1.
        values : dict of str to float
            Loss terms and statistics.
        """
        self.rows.append({"stage": stage, "epoch": epoch, **values})
        if self.verbose:
            terms = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
            logger.info("%s epoch %d: %s", stage, epoch, terms)
