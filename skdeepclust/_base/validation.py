"""From what a user passes to rows and their specification."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from skdeepclust._utils.inputs import (
    as_rows,
    check_columns,
    check_gray,
    check_new,
    sample_shape,
)
from skdeepclust.training.data import InputSpec

_MAY_BE_BOOL = {"boolean", "verbose"}


def check_no_bools(
    estimator: BaseEstimator, constraints: Mapping[str, Sequence[Any]]
) -> None:
    """Refuse bools as numbers: integers to Python, and to scikit-learn's validation."""
    for name, accepted in constraints.items():
        value = getattr(estimator, name)
        if isinstance(value, bool) and not _MAY_BE_BOOL.intersection(
            kind for kind in accepted if isinstance(kind, str)
        ):
            raise ValueError(f"{name}={value!r} is a bool: pass an integer.")


def validated(
    estimator: BaseEstimator,
    X: Any,
    image_shape: Sequence[int] | None,
    fitted: InputSpec | None,
    min_samples: int,
) -> tuple[NDArray[Any], InputSpec]:
    """Return samples as rows (n, ...), and how they are shaped and scaled.

    `fitted` is the specification that new samples have to go with; None makes one.
    """
    rows = as_rows(X, image_shape=image_shape)
    if fitted is None:
        check_gray(rows, image_shape)
    else:
        check_new(rows, fitted.shape, fitted.n_dims)
    try:
        values = validate_data(
            estimator,
            rows.values,
            reset=fitted is None,
            # Other types become float64, which holds more integers exactly.
            dtype=[np.float64, np.float32, np.uint8],
            ensure_min_samples=min_samples,
        )
    except (TypeError, ValueError) as error:
        check_columns(X, error)
        raise
    ordered = rows.in_order(values)
    if fitted is None:
        shape = sample_shape(values.shape[1], rows.shape, image_shape)
        return ordered, InputSpec.from_data(ordered, shape, rows.n_dims)
    if fitted.unit is not None:
        fitted.unit.check(ordered)
    return ordered, fitted
