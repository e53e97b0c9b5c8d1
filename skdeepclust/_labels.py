"""Labels: checks of them, and the best match of clusters to classes."""

from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse as sp
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from sklearn.utils import check_consistent_length
from torch import Tensor

from skdeepclust._arrays import as_array, is_missing


def check_labels(**labels: Any) -> list[NDArray[Any]]:
    """Return labels as 1-D arrays of one length.

    Parameters
    ----------
    **labels : array-like
        Labels, by the names that messages call them.

    Returns
    -------
    list of ndarray
        As from `check_column`, none of them empty.
    """
    checked = [check_column(name, value) for name, value in labels.items()]
    if 0 in map(len, checked):
        raise ValueError(
            f"{' and '.join(labels)} must hold at least one label; got none: pass one "
            f"label per sample."
        )
    check_lengths(**dict(zip(labels, checked, strict=True)))
    return checked


def check_column(name: str, value: Any) -> NDArray[Any]:
    """Return labels as a 1-D array.

    Parameters
    ----------
    name : str
        What messages call them.
    value : array-like
        One label per sample; a single column is flattened.

    Returns
    -------
    ndarray
        Numbers, strings or dates, or objects that can be sorted.

    Raises
    ------
    TypeError
        If the labels cannot be sorted, as numbers among strings cannot.
    ValueError
        If they are not 1-D, or some are missing or not finite.
    """
    array = label_array(name, value)
    if array.ndim != 1 and not (array.ndim == 2 and array.shape[1] == 1):
        raise ValueError(
            f"{name} must be 1-D, one label per sample; got shape {array.shape}: take "
            f"the argmax of probabilities or one-hot rows first."
        )
    column = array.reshape(-1)
    missing = is_missing(column)
    if missing.any():
        raise ValueError(
            f"{name} has {missing.sum()} labels that are missing or not finite, the "
            f"first at index {missing.argmax()}: drop these samples, or give them a "
            f"label of their own."
        )
    if column.dtype.kind in "TV":
        # Not every function of NumPy and scikit-learn takes these types.
        column = column.astype(object)
    if column.dtype == object:
        column = _numbers(column)
    if column.dtype == object:
        _sorted_names(name, column)
    return column


def number_labels(name: str, column: NDArray[Any]) -> tuple[int, NDArray[np.intp]]:
    """Give labels numbers from 0, in sorted order.

    Parameters
    ----------
    name : str
        What messages call them.
    column : ndarray of shape (n_samples,)
        Labels, as from `check_column`.

    Returns
    -------
    n_labels : int
        How many labels differ.
    numbers : ndarray of shape (n_samples,)
        The number of each sample's label.
    """
    if column.dtype != object:
        names, inverse = np.unique(column, return_inverse=True)
        return len(names), inverse
    numbers = {label: i for i, label in enumerate(_sorted_names(name, column))}
    inverse = np.fromiter(map(numbers.__getitem__, column), np.intp, len(column))
    return len(numbers), inverse


def best_match(
    y_true: NDArray[Any], y_pred: NDArray[Any]
) -> tuple[NDArray[np.intp], NDArray[np.intp], int]:
    """Match clusters to classes so that most samples agree.

    Parameters
    ----------
    y_true, y_pred : ndarray of shape (n_samples,)
        Classes and clusters, numbered from 0 without gaps.

    Returns
    -------
    classes, clusters : ndarray of shape (n_pairs,)
        Pairs with samples in common, by their classes.
    n_agreeing : int
        Samples in these pairs.
    """
    pairs = sp.coo_matrix((np.ones(len(y_true), dtype=np.int64), (y_true, y_pred)))
    table = pairs.tocsr()
    is_wide = table.shape[0] <= table.shape[1]
    edges = table.copy() if is_wide else table.T.tocsr()
    # Each row may also take a column of its own, worth nothing: only then is there
    # always a full matching. An edge must not weigh 0, and all matchings have as many.
    edges.data += 1
    n_rows, n_columns = edges.shape
    alone = sp.identity(n_rows, dtype=np.int64, format="csr")
    rows, columns = min_weight_full_bipartite_matching(
        sp.hstack([edges, alone], format="csr"), maximize=True
    )
    taken = columns < n_columns
    rows, columns = rows[taken], columns[taken]
    classes, clusters = (rows, columns) if is_wide else (columns, rows)
    order = np.argsort(classes)
    classes, clusters = classes[order], clusters[order]
    return classes, clusters, int(table[classes, clusters].sum())


def to_numpy(name: str, value: Any) -> Any:
    """Return an array of what torch or pandas holds, and anything else as it is.

    Parameters
    ----------
    name : str
        What messages call it.
    value : object
        Anything.

    Returns
    -------
    object
        What NumPy can read.

    Raises
    ------
    ValueError
        If it is a masked array that hides values.
    """
    if isinstance(value, Tensor):
        return as_array(name, value)
    if np.ma.is_masked(value):
        raise ValueError(
            f"{name} is a masked array with masked values: drop these samples first."
        )
    # NumPy makes floats or objects of what pandas keeps as integers.
    return value.to_numpy() if hasattr(value, "to_numpy") else value


def check_lengths(**arrays: Any) -> None:
    """Raise an error unless all arrays have one length.

    Parameters
    ----------
    **arrays : array-like
        Arrays, by the names that messages call them.
    """
    try:
        check_consistent_length(*arrays.values())
    except ValueError as error:
        lengths = {name: len(value) for name, value in arrays.items()}
        raise ValueError(
            f"{' and '.join(arrays)} must have one length; got {lengths}: pass them "
            f"for the same samples."
        ) from error


def label_array(name: str, value: Any) -> NDArray[Any]:
    """Return labels as an array that keeps their types, which may be missing or mixed.

    Parameters
    ----------
    name : str
        What messages call them.
    value : array-like
        Labels.

    Returns
    -------
    ndarray
        Of objects, if they were a list.
    """
    value = to_numpy(name, value)
    if hasattr(value, "dtype") or hasattr(value, "__array__"):
        return np.asarray(value)
    if isinstance(value, list | tuple):
        value = [v.tolist() if isinstance(v, Tensor) else v for v in value]
    # Unless told otherwise NumPy makes strings of all labels of a list that has one:
    # NaN becomes the label "nan", and 1 becomes equal to "1".
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


def _sorted_names(name: str, column: NDArray[Any]) -> list[Any]:
    """Return the labels that differ, sorted."""
    try:
        return sorted(set(column))
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in column})
        raise TypeError(
            f"{name} must hold labels that can be sorted, such as only numbers or only "
            f"strings; got labels of type {', '.join(kinds)}: convert them, for "
            f"instance by [str(label) for label in {name}]."
        ) from error
