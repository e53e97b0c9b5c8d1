"""In which unit images are, and whether new ones are in another."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 2**23  # values that are brought to float64 at once
_FIRST = 2**18  # of which some are no whole numbers, where not all are
_SLACK = 0.01  # beyond [0, 1] by rounding or interpolation
_NO_UNIT = 16.0  # what noise brings no image to whose black is 0 and white 1
_MOST_OUTSIDE = 0.42  # of the values, beyond the fitted range by a tenth of it


def parts_of(X: NDArray[Any], n_values: int = _BLOCK) -> Iterator[NDArray[Any]]:
    """Walk through X (n_samples, ...) by parts of about `n_values` values."""
    step = max(1, n_values // max(1, X[:1].size))
    return (X[start : start + step] for start in range(0, len(X), step))


@dataclass(frozen=True)
class Unit:
    """The values of the images that were fitted."""

    low: float
    high: float
    whole: bool  # All values are whole numbers, as those of bytes are.
    signed: float  # Share of the images that have a negative value.

    @classmethod
    def of(cls, X: NDArray[Any]) -> "Unit":
        """Return the unit of images (n_samples, ...)."""
        low, high = float(X.min()), float(X.max())
        axes = tuple(range(1, X.ndim))
        signed = float((X.min(axis=axes) < 0).mean()) if low < 0 else 0.0
        return cls(low, high, _is_whole(X), signed)

    def check(self, X: NDArray[Any]) -> None:
        """Refuse new images in another unit, and warn where they may be."""
        low, high = float(X.min()), float(X.max())
        hint = self._hint(X, low, high)
        if hint:
            kind = "type uint8" if X.dtype == np.uint8 else "floats"
            raise ValueError(
                f"X holds images of {kind} with values up to {high:.3g}, and the "
                f"fitted images go from {self.low:.3g} up to {self.high:.3g}: "
                f"{hint}."
            )
        margin = (self.high - self.low) / 10
        least, most = self.low - margin, self.high + margin
        if margin > 0 and (low < least or high > most):
            outside = sum(
                np.count_nonzero((part < least) | (part > most)) for part in parts_of(X)
            )
            if outside > _MOST_OUTSIDE * X.size:
                warnings.warn(
                    f"{outside / X.size:.0%} of the values of X, which go from "
                    f"{low:.3g} to {high:.3g}, lie outside the range of the fitted "
                    f"images, {self.low:.3g} to {self.high:.3g}: scale X as the fitted "
                    "images.",
                    UserWarning,
                    stacklevel=6,
                )

    def _hint(self, X: NDArray[Any], low: float, high: float) -> str:
        """Say what would bring `X` to the unit, or nothing if it may be in it."""
        # A single image may be nearly black, and black is 0 in most units: what is dark
        # is told from what is scaled by whole numbers, and by negative ones.
        new_is_unit = low >= -_SLACK and 0 < high <= 1 + _SLACK
        if self.low < -_SLACK:
            far = high > max(_NO_UNIT, 4 * self.high)
            if far or (self.signed >= 0.99 and new_is_unit and low >= 0):
                return "scale X as those were, negative values included"
        elif 0 < self.high <= 1 + _SLACK:
            is_bytes = X.dtype == np.uint8 and high > 1
            counted = high >= 2 and not self.whole and _is_whole(X)
            if high > _NO_UNIT or is_bytes or counted:
                return f"divide X by {255 if high > _NO_UNIT else round(high)}"
        elif self.high > 1 + _SLACK:
            # Dark images of bytes are whole numbers, too.
            coarse = self.whole or self.high >= _NO_UNIT
            if new_is_unit and coarse and not _is_whole(X):
                top = 255 if _NO_UNIT < self.high <= 255 else round(self.high)
                return f"multiply X by {top} or, if it is that dark, round it"
            if low < -_SLACK and self.high >= 4 * _NO_UNIT and high <= _NO_UNIT:
                return "bring X back to that range, in which nothing is negative"
        return ""


def _is_whole(X: NDArray[Any]) -> bool:
    if X.dtype.kind in "iub":
        return True
    return all(bool((part == np.floor(part)).all()) for part in parts_of(X, _FIRST))
