"""From what a user passes to rows and their specification."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from skdeepclust._utils.inputs import validated_rows
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
    rows, shape, n_dims = validated_rows(
        estimator,
        X,
        image_shape=image_shape,
        fitted=None if fitted is None else fitted.shape,
        fitted_dims=None if fitted is None else fitted.n_dims,
        reset=fitted is None,
        min_samples=min_samples,
    )
    if fitted is None:
        return rows, InputSpec.from_data(rows, shape, n_dims)
    if fitted.unit is not None:
        fitted.unit.check(rows)
    return rows, fitted
