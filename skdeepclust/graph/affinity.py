"""Symmetric affinities for spectral clustering."""

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.linalg import eigsh
from torch import Tensor

from skdeepclust._compat import eigsh_seed
from skdeepclust.losses._checks import _check_positive, _check_rows

from ._checks import _check_count, _check_n_neighbors

# From so many rows on, up to an eighth of the eigenvectors cost less by Lanczos
# iterations than all of them.
_SPARSE_EIGENVECTORS = 1000


def symmetric_affinity(
    indices: Tensor | ArrayLike, weights: Tensor | ArrayLike, n: int
) -> sp.csr_matrix:
    """Sparse symmetric affinity from the neighbours of each sample.

    Equation 4.3 of Xing (2023), read as in equation 2.8: ``|W| + |W|^T``. Pass absolute
    values of coefficients. A negative weight says that two samples are unlike, and
    counts as none.

    Parameters
    ----------
    indices : torch.Tensor or array-like of shape (n, n_neighbors)
        Neighbours, as integers from 0 to n - 1. A sample listed among its own ones is
        left out; weights of a neighbour listed twice add up.
    weights : torch.Tensor or array-like of shape (n, n_neighbors)
        Weights of the neighbours.
    n : int
        Number of samples.

    Returns
    -------
    scipy.sparse.csr_matrix of shape (n, n)
        The affinity: symmetric, non-negative, with a zero diagonal, sorted indices
        and no stored zeros; float64, or float32 if `weights` are floats no wider.

    Raises
    ------
    ValueError
        Unless `indices` are integers from 0 to n - 1 in n rows, and `weights` are
        finite and of the same shape.

    Examples
    --------
    >>> from skdeepclust.graph import symmetric_affinity
    >>> affinity = symmetric_affinity([[1], [0], [1]], [[0.5], [0.5], [0.25]], 3)
    >>> affinity.toarray()
    array([[0.  , 1.  , 0.  ],
           [1.  , 0.  , 0.25],
           [0.  , 0.25, 0.  ]])
    """
    n = _check_count("n", n)
    columns, values = _numpy(indices), _numpy(weights)
    if columns.ndim != 2 or columns.shape[0] != n or columns.dtype.kind not in "iu":
        raise ValueError(
            f"indices must hold integers in n={n} rows; got shape {columns.shape} and "
            f"dtype {columns.dtype}: pass one row of neighbours per sample."
        )
    if values.shape != columns.shape:
        raise ValueError(
            f"weights must have the shape of indices, {columns.shape}; got "
            f"{values.shape}: pass one weight per neighbour."
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
            "weights must be finite; got NaN or infinity: drop such neighbours or set "
            "their weights to 0."
        )
    rows, position = np.nonzero((values > 0) & (columns != np.arange(n)[:, None]))
    entries = (values[rows, position], (rows, columns[rows, position]))
    return _add_transpose(sp.csr_matrix(entries, shape=(n, n)))


def dense_affinity(
    coefficients: Tensor, n_neighbors: int | None = None
) -> sp.csr_matrix:
    """Sparse symmetric affinity from a dense matrix of coefficients.

    Equation 4.3 of Xing (2023), read as in equation 2.8: ``|C| + |C|^T``, of the
    strongest entries in each row of C.

    Parameters
    ----------
    coefficients : torch.Tensor of shape (n_samples, n_samples)
        Coefficients C. The diagonal is ignored.
    n_neighbors : int, default=None
        Entries kept in each row; smaller than n_samples. None keeps all.

    Returns
    -------
    scipy.sparse.csr_matrix of shape (n_samples, n_samples)
        The affinity, as from `symmetric_affinity`.

    Raises
    ------
    TypeError, ValueError
        Unless `coefficients` is square, floating point and finite, and `n_neighbors`
        is None or at least 1 and smaller than n_samples.

    Examples
    --------
    >>> import torch
    >>> from skdeepclust.graph import dense_affinity
    >>> dense_affinity(torch.tensor([[0.0, 0.5], [-0.25, 0.0]])).toarray()
    array([[0.  , 0.75],
           [0.75, 0.  ]], dtype=float32)
    """
    _check_rows("coefficients", coefficients)
    n = coefficients.shape[0]
    if coefficients.shape[1] != n:
        raise ValueError(
            f"coefficients must be square; got shape {tuple(coefficients.shape)}: pass "
            f"one row and one column per sample."
        )
    if not coefficients.isfinite().all():
        raise ValueError(
            "coefficients must be finite; got NaN or infinity: learn them with a "
            "smaller learning rate."
        )
    strength = coefficients.detach().abs().fill_diagonal_(0)
    if n_neighbors is None:
        return _add_transpose(sp.csr_matrix(_numpy(strength)))
    weights, indices = strength.topk(_check_n_neighbors(n_neighbors, n))
    return symmetric_affinity(indices, weights, n)


def low_rank_affinity(
    affinity: sp.spmatrix | sp.sparray | ArrayLike,
    n_clusters: int,
    *,
    dimension: int = 12,
    power: float = 4.0,
) -> NDArray[np.float64]:
    """Dense affinity cleaned by keeping its leading eigenvectors.

    Post-processing as is usual for subspace clustering, before spectral clustering; the
    thesis does not have it. Of the normalised affinity ``D^-1/2 A D^-1/2 + I`` it keeps
    the ``dimension * n_clusters + 1`` leading eigenvectors, scaled by the roots of
    their eigenvalues: the rows are new coordinates of the samples, and their cosines,
    with negative ones as 0, to the given power are the new affinity.

    Parameters
    ----------
    affinity : sparse matrix or array-like of shape (n_samples, n_samples)
        Affinity A: symmetric and non-negative, as from `symmetric_affinity`.
    n_clusters : int
        Number of clusters.
    dimension : int, default=12
        Eigenvectors kept per cluster; in all at most ``n_samples - 1``.
    power : float, default=4.0
        Larger values weaken the smaller cosines more.

    Returns
    -------
    ndarray of shape (n_samples, n_samples)
        The new affinity: symmetric, between 0 and 1, with a zero diagonal. A sample
        without any affinity keeps none.

    Raises
    ------
    ValueError
        Unless `affinity` is square with 2 rows or more, finite, non-negative and
        symmetric, `n_clusters` and `dimension` are positive integers, and `power` is
        positive.

    Notes
    -----
    Memory and time are those of dense matrices: meant for at most some 3,000 samples.
    Where an eigenvalue is tied across the cut, as in a graph of more parts than
    eigenvectors, the choice of eigenvectors is arbitrary, but the same for the same
    input on the same machine.

    Examples
    --------
    >>> import numpy as np
    >>> from skdeepclust.graph import low_rank_affinity
    >>> pairs = np.kron(np.eye(2), [[0.0, 1.0], [1.0, 0.0]])
    >>> low_rank_affinity(pairs, n_clusters=2, dimension=1).round(2)
    array([[0., 1., 0., 0.],
           [1., 0., 0., 0.],
           [0., 0., 0., 1.],
           [0., 0., 1., 0.]])
    """
    matrix = _check_affinity(affinity)
    n = matrix.shape[0]
    n_clusters = _check_count("n_clusters", n_clusters)
    dimension = _check_count("dimension", dimension)
    _check_positive("power", power)
    degree = np.asarray(matrix.sum(axis=1)).ravel()
    isolated = degree == 0
    root = 1 / np.sqrt(np.where(isolated, np.inf, degree))
    scaling = sp.diags_array(root)
    normalised = scaling @ matrix @ scaling
    values, vectors = _leading(normalised, min(dimension * n_clusters + 1, n - 1))
    # The eigenvalues of D^-1/2 A D^-1/2 lie between -1 and 1.
    coordinates = vectors * np.sqrt(np.clip(values + 1, 0, None))
    length = np.linalg.norm(coordinates, axis=1, keepdims=True)
    # A length that is rounding error has no direction.
    unreached = isolated | (length[:, 0] < np.sqrt(np.finfo(np.float64).eps))
    length[unreached] = np.inf
    coordinates = coordinates / length
    cosine = np.clip(coordinates @ coordinates.T, 0, 1)
    result: NDArray[np.float64] = ((cosine + cosine.T) / 2) ** power
    np.fill_diagonal(result, 0)
    return result


def _check_affinity(affinity: Any) -> sp.csr_matrix:
    try:
        matrix = sp.csr_matrix(affinity, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"affinity must be a square matrix of numbers; got "
            f"{type(affinity).__name__}: pass what symmetric_affinity returns."
        ) from error
    if matrix.shape[0] != matrix.shape[1] or matrix.shape[0] < 2:
        raise ValueError(
            f"affinity must be square with at least 2 rows; got shape {matrix.shape}: "
            f"pass what symmetric_affinity returns."
        )
    if not np.isfinite(matrix.data).all() or (matrix.data < 0).any():
        raise ValueError(
            "affinity must be finite and non-negative; got other entries: pass "
            "absolute values."
        )
    if abs(matrix - matrix.T).max() > 1e-8 * max(matrix.max(), 1e-300):
        raise ValueError(
            "affinity must be symmetric; got a difference to its transpose: add the "
            "transpose."
        )
    return matrix


def _leading(
    matrix: sp.csr_matrix, k: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the k largest eigenvalues and, in columns, their eigenvectors."""
    n = matrix.shape[0]
    if matrix.count_nonzero() == 0:
        # Any vectors do; Lanczos iterations find none.
        return np.zeros(k), np.eye(n, k)
    if n < _SPARSE_EIGENVECTORS or 8 * k > n:
        values, vectors = np.linalg.eigh(matrix.toarray())
        return values[-k:], vectors[:, -k:]
    # Lanczos iterations are random only in where they start.
    start = np.random.default_rng(0).uniform(0.5, 1.5, n)
    values, vectors = eigsh(matrix, k=k, which="LA", v0=start, **eigsh_seed(0))
    return values, vectors


def _add_transpose(matrix: sp.csr_matrix) -> sp.csr_matrix:
    total = sp.csr_matrix(matrix + matrix.T)
    total.sort_indices()
    return total


def _numpy(values: Tensor | ArrayLike) -> NDArray[Any]:
    """As a NumPy array; real numbers at least as wide as float32."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        if values.is_floating_point():
            values = values.to(torch.promote_types(values.dtype, torch.float32))
        return values.numpy()
    array = np.asarray(values)
    return array.astype(np.float32) if array.dtype == np.float16 else array
