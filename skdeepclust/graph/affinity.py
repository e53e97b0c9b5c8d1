"""Symmetric affinities for spectral clustering."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from skdeepclust._utils.inputs import as_array
from skdeepclust.losses._checks import check_rows

from ._checks import _check_count, _check_n_neighbors


def symmetric_affinity(
    indices: Tensor | ArrayLike, weights: Tensor | ArrayLike, n: int
) -> sp.csr_matrix:
    """Sparse symmetric affinity from the neighbors of each sample.

    Equation 4.3, read as in equation 2.8: ``|W| + |W|^T``. Negative weights count as 0:
    pass absolute values of coefficients.

    Parameters
    ----------
    indices : torch.Tensor or array-like of shape (n, n_neighbors)
        Neighbors, from 0 to n - 1. A sample among its own neighbors is left out;
        weights of a neighbor listed twice add up.
    weights : torch.Tensor or array-like of shape (n, n_neighbors)
        Weights of the neighbors, finite.
    n : int
        Number of samples.

    Returns
    -------
    scipy.sparse.csr_matrix of shape (n, n)
        Symmetric, not negative, with a zero diagonal, sorted indices and no stored
        zeros; float64, or float32 if `weights` are floats no wider.
    """
    n = _check_count("n", n)
    columns, values = _numpy("indices", indices), _numpy("weights", weights)
    if columns.ndim != 2 or columns.shape[0] != n or columns.dtype.kind not in "iu":
        raise ValueError(
            f"indices must hold integers in n={n} rows; got shape {columns.shape} and "
            f"dtype {columns.dtype}: pass one row of neighbors per sample."
        )
    if values.shape != columns.shape:
        raise ValueError(
            f"weights must have the shape of indices, {columns.shape}; got "
            f"{values.shape}: pass one weight per neighbor."
        )
    if values.dtype.kind in "biu":
        # Small types would not hold the sums.
        values = values.astype(np.float64)
    if columns.size > 0 and (columns.min() < 0 or columns.max() >= n):
        raise ValueError(
            f"indices must lie between 0 and n - 1 = {n - 1}; got {columns.min()} to "
            f"{columns.max()}: pass the number of samples as n."
        )
    if not np.isfinite(values).all():
        raise ValueError(
            "weights must be finite; got NaN or infinity: set them to 0 or drop them."
        )
    rows, position = np.nonzero((values > 0) & (columns != np.arange(n)[:, None]))
    entries = (values[rows, position], (rows, columns[rows, position]))
    return _add_transpose(sp.csr_matrix(entries, shape=(n, n)))


def dense_affinity(
    coefficients: Tensor, n_neighbors: int | None = None
) -> sp.csr_matrix:
    """Sparse symmetric affinity from a dense matrix of coefficients.

    ``|C| + |C|^T`` (equation 4.3), of the strongest entries in each row of C.

    Parameters
    ----------
    coefficients : torch.Tensor of shape (n_samples, n_samples)
        Coefficients C, finite. The diagonal is ignored.
    n_neighbors : int, default=None
        Entries kept in each row, less than n_samples. None keeps all.

    Returns
    -------
    scipy.sparse.csr_matrix of shape (n_samples, n_samples)
        As from `symmetric_affinity`.
    """
    check_rows(coefficients=coefficients)
    n = coefficients.shape[0]
    if coefficients.shape[1] != n:
        raise ValueError(
            f"coefficients must be square; got shape {tuple(coefficients.shape)}: pass "
            f"one row and one column per sample."
        )
    if not coefficients.isfinite().all():
        raise ValueError(
            "coefficients must be finite; got NaN or infinity: lower the learning rate."
        )
    strength = coefficients.detach().abs().fill_diagonal_(0)
    if n_neighbors is None:
        return _add_transpose(sp.csr_matrix(_numpy("coefficients", strength)))
    weights, indices = strength.topk(_check_n_neighbors(n_neighbors, n))
    return symmetric_affinity(indices, weights, n)


def _add_transpose(matrix: sp.csr_matrix) -> sp.csr_matrix:
    total = sp.csr_matrix(matrix + matrix.T)
    total.sort_indices()
    return total


def _numpy(name: str, values: Tensor | ArrayLike) -> NDArray[Any]:
    """Return a NumPy array; real numbers at least as wide as float32."""
    array = as_array(name, values)
    return array.astype(np.float32) if array.dtype == np.float16 else array
