"""Labels: checks of them, and the best match of clusters to classes."""

import cmath
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse as sp
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from torch import Tensor

from skdeepclust._utils.inputs import as_array

_NEVER_NONE = {str, int, bool}

Numbered = tuple[NDArray[Any], NDArray[np.intp]]
"""The labels that differ, sorted, and the number of each sample's label."""


def check_labels(**labels: Any) -> list[Numbered]:
    """Check labels of the same samples, by their names in messages, and number them."""
    numbered = {name: number_labels(name, value) for name, value in labels.items()}
    columns = {name: numbers for name, (_, numbers) in numbered.items()}
    if not all(map(len, columns.values())):
        raise ValueError(
            f"{' and '.join(labels)} must hold at least one label; got none: pass one "
            "label per sample."
        )
    check_lengths(**columns)
    return [*numbered.values()]


def number_labels(name: str, labels: Any) -> Numbered:
    """Check labels, one per sample or a single column, and number them from 0."""
    array = _label_array(name, labels)
    if array.ndim != 1 and not (array.ndim == 2 and array.shape[1] == 1):
        raise ValueError(
            f"{name} must be 1-D, one label per sample; got shape {array.shape}: take "
            f"the argmax of probabilities or one-hot rows first."
        )
    column = array.reshape(-1)
    missing = _is_missing(column)
    if missing.any():
        first = missing.argmax()
        raise ValueError(
            f"{name} has {missing.sum()} labels that are missing or not finite, the "
            f"first at index {first} ({column[first]}): drop these samples, or give "
            f"them a new label."
        )
    if column.dtype.kind in "TV":
        # Not every function of NumPy and scikit-learn takes these types.
        column = column.astype(object)
    if column.dtype == object:
        column = _numbers(column)
    if column.dtype != object:
        return np.unique(column, return_inverse=True)
    try:
        names = sorted(set(column))
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in column})
        raise TypeError(
            f"{name} must hold labels that can be sorted, such as only numbers or only "
            f"strings; got labels of type {', '.join(kinds)}: convert them, for "
            f"instance by [str(label) for label in {name}]."
        ) from error
    places = {label: i for i, label in enumerate(names)}
    numbers = np.fromiter(map(places.__getitem__, column), np.intp, len(column))
    return np.fromiter(names, object, len(names)), numbers


def best_match(
    y_true: NDArray[np.intp], y_pred: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp], int]:
    """Match clusters to classes, both numbered from 0, so that most samples agree.

    Returns the classes, in order, the clusters, and how many samples agree.
    """
    pairs = sp.coo_matrix((np.ones(len(y_true), dtype=np.int64), (y_true, y_pred)))
    table = pairs.tocsr()
    is_wide = table.shape[0] <= table.shape[1]
    edges = table.copy() if is_wide else table.T.tocsr()
    # Each row may also take an extra column, worth nothing: only then is there always
    # a full matching. An edge must not weigh 0, and all matchings have as many.
    edges.data += 1
    n_rows, n_columns = edges.shape
    extra = sp.identity(n_rows, dtype=np.int64, format="csr")
    rows, columns = min_weight_full_bipartite_matching(
        sp.hstack([edges, extra], format="csr"), maximize=True
    )
    taken = columns < n_columns
    rows, columns = rows[taken], columns[taken]
    classes, clusters = (rows, columns) if is_wide else (columns, rows)
    order = np.argsort(classes)
    classes, clusters = classes[order], clusters[order]
    return classes, clusters, int(table[classes, clusters].sum())


def to_numpy(name: str, value: Any) -> Any:
    """Return an array of what torch or pandas holds, and anything else as it is."""
    if isinstance(value, Tensor):
        return as_array(name, value)
    if np.ma.is_masked(value):
        raise ValueError(
            f"{name} is a masked array with masked values: drop these samples first."
        )
    # NumPy makes floats or objects of what pandas keeps as integers.
    return value.to_numpy() if hasattr(value, "to_numpy") else value


def check_lengths(**arrays: Any) -> None:
    """Raise an error unless all arrays, by their names in messages, have one length."""
    lengths = {name: len(value) for name, value in arrays.items()}
    if len({*lengths.values()}) > 1:
        raise ValueError(
            f"{' and '.join(arrays)} must have one length; got {lengths}: pass them "
            f"for the same samples."
        )


def _label_array(name: str, value: Any) -> NDArray[Any]:
    """Return labels as an array that keeps their types, of objects if from a list."""
    value = to_numpy(name, value)
    if hasattr(value, "dtype") or hasattr(value, "__array__"):
        return np.asarray(value)
    if isinstance(value, list | tuple):
        value = [v.tolist() if isinstance(v, Tensor) else v for v in value]
    # By default NumPy makes strings of all labels of a list that has one: NaN becomes
    # the label "nan", and 1 becomes equal to "1".
    try:
        return np.array(value, dtype=object)
    except ValueError:
        # Arrays of different shapes, which are refused by their type.
        return np.fromiter(value, dtype=object, count=len(value))


def _numbers(column: NDArray[Any]) -> NDArray[Any]:
    """Return numbers as an array of numbers, unless that would make some equal."""
    kinds = set(map(type, column))
    if not all(issubclass(kind, (Number, np.bool_)) for kind in kinds):
        return column
    numbers = np.array(column.tolist())
    if numbers.dtype.kind in "fc" and not (numbers.astype(object) == column).all():
        return column
    return numbers


def _is_missing(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Say which labels (n,) are none: NaN, infinity, None, NaT or pandas.NA."""
    if column.dtype.kind in "fc":
        return np.asarray(~np.isfinite(column))
    if column.dtype.kind in "mM":
        return np.asarray(np.isnat(column))
    if column.dtype.kind not in "OT":
        return np.zeros(len(column), dtype=bool)
    # NumPy's strings of any length say themselves what stands for a missing one.
    na = getattr(column.dtype, "na_object", None)
    labels = column.tolist()
    found = [v is na or (type(v) not in _NEVER_NONE and _is_none(v)) for v in labels]
    return np.array(found, dtype=bool)


def _is_none(value: Any) -> bool:
    if value is None or value is np.ma.masked or type(value).__name__ == "NAType":
        # pandas.NA is neither equal to itself nor different.
        return True
    try:
        if isinstance(value, Number):
            # Numbers need not be complex to mypy; what is not one raises a TypeError.
            return not cmath.isfinite(value)  # type: ignore[arg-type]
        return bool(value != value)
    except (ArithmeticError, TypeError, ValueError):
        # An integer that no float can hold, or an array, which is not one label.
        return False
