"""How the estimators' graphs are checked and built: a user's, then our own."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from .affinity import dense_affinity, symmetric_affinity
from .neighbors import nearest_neighbors
from .self_expression import (
    _whiten,
    learned_self_expression,
    self_expression_neighbors,
)

_MAX_UNPROJECTED = 20_000  # rows of tables whose neighbors are searched in all columns
MAX_EXACT = 50_000  # samples whose neighbors are searched among all of them
_PROJECTED = 64  # dimensions that are left of the rest
_MAX_LEARNED = 5_000  # samples with which the dense matrix is still learned


def is_given(graph: Any) -> bool:
    """Say whether the parameter `graph` is a matrix or a transformer, not a name."""
    return not isinstance(graph, str)


def check_neighbors(graph: Any, n_neighbors: int, n_samples: int) -> None:
    """Refuse more neighbors than there are samples, and a learned graph of many."""
    if is_given(graph):
        return
    if n_neighbors >= n_samples:
        raise ValueError(
            f"n_neighbors={n_neighbors} must be below n_samples={n_samples}: lower it "
            f"to {n_samples - 1} or less."
        )
    if graph == "learned":
        check_learned("graph='learned'", "graph='self_expression'", n_samples)


def check_learned(given: str, hint: str, n_samples: int) -> None:
    """Refuse to learn an n x n matrix of more than 5,000 samples."""
    if n_samples > _MAX_LEARNED:
        raise ValueError(
            f"{given} learns an n x n matrix, for at most {_MAX_LEARNED:,} samples; "
            f"got {n_samples:,}: use {hint}."
        )


def given_graph(graph: Any, rows: NDArray[np.generic]) -> sp.csr_matrix:
    """Return the symmetric affinities (n, n) of a user's matrix or transformer."""
    n = len(rows)
    if not hasattr(graph, "fit_transform"):
        return symmetrized(_checked(graph, n, "pass abs(graph)"))
    # Of its own it may have no parameters; then it is copied.
    fresh = clone(graph, safe=hasattr(graph, "get_params"))
    distances = fresh.fit_transform(rows.reshape(n, -1))
    if not sp.issparse(distances):
        raise ValueError(
            f"graph={graph!r} must return a sparse graph of neighbors; got "
            f"{type(distances).__name__}: use a transformer such as "
            "sklearn.neighbors.KNeighborsTransformer."
        )
    found = _checked(distances, n, "let it return distances")
    is_affinity = getattr(graph, "mode", "distance") == "connectivity"
    return symmetrized(found if is_affinity else _affinities(found))


def _affinities(distances: sp.csr_matrix) -> sp.csr_matrix:
    """Weigh edges by ``exp(-d_ij^2 / (s_i s_j))``, s_i the largest distance of i."""
    rows = np.repeat(np.arange(distances.shape[0]), np.diff(distances.indptr))
    values, columns = distances.data.astype(np.float64), distances.indices
    other = rows != columns
    rows, columns, values = rows[other], columns[other], values[other]
    scale = np.zeros(distances.shape[0])
    np.maximum.at(scale, rows, values)
    scale = np.maximum(scale, np.finfo(np.float64).tiny ** 0.5)
    weights = np.exp(-np.square(values) / (scale[rows] * scale[columns]))
    return sp.csr_matrix((weights, (rows, columns)), shape=distances.shape)


def _checked(graph: Any, n_samples: int, hint: str) -> sp.csr_matrix:
    if not sp.issparse(graph):
        graph = np.asarray(graph)
    if graph.shape != (n_samples, n_samples):
        raise ValueError(
            f"graph must have shape {(n_samples, n_samples)}, a row and a column per "
            f"sample of X; got {graph.shape}: pass the graph of the samples in X."
        )
    try:
        matrix = sp.csr_matrix(graph)
        # Indices that point outside would read, and write, memory of others.
        matrix.check_format(full_check=True)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"graph is no valid matrix: {error}. Build it again from its rows, "
            "columns and values, for instance by scipy.sparse.coo_array."
        ) from error
    values = matrix.data
    if values.dtype.kind not in "biuf":
        raise ValueError(
            f"graph must hold real numbers; got dtype {values.dtype}: pass floats."
        )
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(
            "graph must hold affinities that are finite and not negative; got "
            f"{values.min()} to {values.max()}: {hint}."
        )
    return matrix


def symmetrized(affinity: Any) -> sp.csr_matrix:
    """Return the mean of a matrix and its transpose, without the diagonal."""
    matrix = sp.csr_matrix(affinity, dtype=np.float64)
    matrix = sp.csr_matrix((matrix + matrix.T) / 2)
    matrix.setdiag(0)
    matrix.eliminate_zeros()
    return matrix


def build_affinities(
    h: Tensor, graph: str, sizes: Sequence[int], self_expression_weight: float = 1.0
) -> list[sp.csr_matrix]:
    """Build symmetric graphs of the embedding h (n, d), one for each size."""
    if graph == "learned":
        coefficients = learned_self_expression(h, weight=self_expression_weight)
        return [dense_affinity(coefficients, size) for size in sizes]
    if graph == "knn":
        return _nearest_affinities(h, sizes)
    if len(h) > MAX_EXACT:
        # Self-expression compares whitened rows by cosine.
        return _nearest_affinities(_whiten(h, 0.1), sizes)
    indices, weights = self_expression_neighbors(h, max(sizes))
    return _affinities_of_sizes(indices, weights, sizes)


def input_affinities(
    rows: Tensor, sizes: Sequence[int], *, project: bool, seed: int
) -> list[sp.csr_matrix]:
    """Build graphs of nearest neighbors by cosine of samples (n, m), one for each size.

    With `project`, or if they are many, only their leading 64 components are compared.
    """
    if rows.shape[1] > _PROJECTED and (project or len(rows) > _MAX_UNPROJECTED):
        # All pairs of many long rows take minutes, and of pixels, which repeat each
        # other, what is projected out is mostly noise. TruncatedSVD would also take
        # the columns' variances, and as much memory again as the rows.
        array = rows.cpu().numpy()
        axes = randomized_svd(array, _PROJECTED, n_iter=5, random_state=seed)[2]
        rows = torch.from_numpy(array @ axes.T).to(rows)
    return _nearest_affinities(rows, sizes)


def _nearest_affinities(rows: Tensor, sizes: Sequence[int]) -> list[sp.csr_matrix]:
    if len(rows) > MAX_EXACT:
        indices, distances = _approximate_neighbors(rows, max(sizes))
    else:
        indices, distances = nearest_neighbors(rows, max(sizes), "cosine")
    return _affinities_of_sizes(indices, 1 - distances, sizes)


def _approximate_neighbors(rows: Tensor, n_neighbors: int) -> tuple[Tensor, Tensor]:
    """Search neighbors by cosine along a graph, in less than quadratic time."""
    try:
        from pynndescent import NNDescent
    except ImportError:
        warnings.warn(
            f"The neighbors of {len(rows):,} samples are searched among all pairs, "
            "which takes long: pip install 'skdeepclust[large]' for a faster search.",
            UserWarning,
            stacklevel=2,
        )
        return nearest_neighbors(rows, n_neighbors, "cosine")
    points = rows.detach().cpu().float().numpy()
    # Each sample is its own nearest one.
    index = NNDescent(
        points, "cosine", n_neighbors=n_neighbors + 1, random_state=0, compressed=False
    )
    found, distances = (torch.from_numpy(part) for part in index.neighbor_graph)
    itself = torch.arange(len(found)).unsqueeze(1)
    # What was not found, or is the sample itself, goes to the end, at no weight.
    missing = (found == itself) | (found < 0)
    distances = distances.masked_fill(missing, torch.inf)
    order = distances.argsort(dim=1, stable=True)[:, :n_neighbors]
    indices, distances = found.gather(1, order).long(), distances.gather(1, order)
    lost = distances.isinf()
    return torch.where(lost, itself, indices), distances.masked_fill(lost, 1.0)


def _affinities_of_sizes(
    indices: Tensor, weights: Tensor, sizes: Sequence[int]
) -> list[sp.csr_matrix]:
    # Strongest first: a smaller neighborhood is the start of a larger one.
    n = len(indices)
    return [symmetric_affinity(indices[:, :k], weights[:, :k], n) for k in sizes]


def strongest_neighbors(affinity: Any, n_neighbors: int) -> NDArray[np.int64]:
    """Return the nodes that each has the largest affinity to, strongest first."""
    # Fewer than `n_neighbors` are repeated; a node without any is its own neighbor.
    graph = sp.coo_matrix(affinity)
    n = graph.shape[0]
    count = np.bincount(graph.row, minlength=n)[:, None]
    first = np.cumsum(count)[:, None] - count
    position = first + np.arange(n_neighbors) % np.maximum(count, 1)
    # A node after the last that has neighbors has no place among the columns.
    columns = np.append(graph.col[np.lexsort((-graph.data, graph.row))], 0)
    neighbors = np.where(count > 0, columns[position], np.arange(n)[:, None])
    return neighbors.astype(np.int64)
