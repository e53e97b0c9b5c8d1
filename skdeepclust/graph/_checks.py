"""Shared by the graphs: checks of arguments, and the precision they compute in."""

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from skdeepclust._utils.inputs import as_array
from skdeepclust.losses._checks import check_rows

_ROUNDING = 1e-6  # of the largest weight: what sums in float32 differ by


def _check_z(z: Tensor) -> Tensor:
    """Check embeddings; return them without gradient."""
    check_rows(z=z)
    if not z.isfinite().all():
        row = int((~z.isfinite()).any(dim=1).nonzero()[0])
        raise ValueError(
            f"z must be finite; got NaN or infinity in row {row}: drop such rows."
        )
    return z.detach()


def _check_count(name: str, value: Any, least: int = 1) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(
            f"{name} must be an integer of at least {least}; got {value!r}: pass "
            f"{least} or more."
        )
    return int(value)


def _check_n_neighbors(n_neighbors: int, n: int) -> int:
    n_neighbors = _check_count("n_neighbors", n_neighbors)
    if n_neighbors >= n:
        raise ValueError(
            f"n_neighbors must be smaller than the number of samples; got "
            f"n_neighbors={n_neighbors} for {n} samples: pass at most {n - 1}."
        )
    return n_neighbors


def _check_choice(name: str, value: str, allowed: Iterable[str]) -> None:
    names = list(allowed)
    if value not in names:
        raise ValueError(f"{name} must be one of {names}; got {value!r}: pass one.")


def _check_graphs(name: str, graphs: Any) -> list[tuple[sp.csr_matrix, Any]]:
    """Return the weights of graphs of the same nodes, and the sum of each."""
    if sp.issparse(graphs) or getattr(graphs, "ndim", None) == 2:
        raise ValueError(
            f"{name} must be a list of matrices; got one matrix of shape "
            f"{tuple(graphs.shape)}: pass [{name}]."
        )
    if not isinstance(graphs, Iterable):
        raise TypeError(
            f"{name} must be a list of matrices; got {type(graphs).__name__}: pass one "
            f"matrix for each graph."
        )
    checked = [_check_weights(f"{name}[{i}]", graph) for i, graph in enumerate(graphs)]
    shapes = [weights.shape for weights, _ in checked]
    if len(set(shapes)) != 1:
        raise ValueError(
            f"{name} must hold one matrix or more, all of one shape; got shapes "
            f"{shapes}: pass graphs of the same nodes."
        )
    return checked


def _check_weights(name: str, graph: Any) -> tuple[sp.csr_matrix, Any]:
    try:
        matrix = graph if sp.issparse(graph) else as_array(name, graph)
    except ValueError as error:
        raise ValueError(
            f"{name} must be a square matrix; got rows of different lengths: pass what "
            f"symmetric_affinity returns."
        ) from error
    if matrix.dtype == np.float16:
        matrix = matrix.astype(np.float64)
    if matrix.dtype.kind not in "biuf":
        raise TypeError(
            f"{name} must hold real numbers; got dtype {matrix.dtype}: pass floats."
        )
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] == 0:
        raise ValueError(
            f"{name} must be a square matrix with a row for each node; got shape "
            f"{tuple(matrix.shape)}: pass what symmetric_affinity returns."
        )
    weights = sp.csr_matrix(matrix, dtype=np.float64)
    wrong = weights.data[~((weights.data >= 0) & (weights.data < np.inf))]
    if len(wrong) > 0:
        raise ValueError(
            f"{name} must hold finite weights, none negative; got {wrong[0]}: drop "
            f"such edges, or pass absolute values."
        )
    most = weights.data.max(initial=0.0)
    with np.errstate(over="ignore"):
        total = matrix.sum()
    if not np.finfo(np.float64).tiny <= total < np.inf and most > 0:
        # The sum is too large or too small to divide by, but only ratios count.
        weights = weights.copy()
        weights.data /= most
        total, most = weights.sum(), 1.0
    _check_symmetry(name, weights, _ROUNDING * most)
    return weights, total


def _check_symmetry(name: str, weights: sp.csr_matrix, tolerance: float) -> None:
    # Both products with a random vector differ if the matrix is not symmetric, and cost
    # far less than the difference of the matrices.
    vector = np.random.default_rng(0).uniform(0.25, 0.75, weights.shape[0])
    if np.abs(weights @ vector - vector @ weights).max() <= tolerance / 20:
        return
    difference = abs(weights - weights.T).tocoo()
    if difference.nnz > 0 and difference.data.max() > tolerance:
        place = difference.data.argmax()
        i, j = int(difference.row[place]), int(difference.col[place])
        raise ValueError(
            f"{name} must be symmetric; got {weights[i, j]} at [{i}, {j}] and "
            f"{weights[j, i]} at [{j}, {i}]: pass (A + A.T) / 2."
        )


def _check_labels(labels: Any, n: int, *, may_skip: bool = False) -> NDArray[np.int64]:
    """Return the cluster of each node, from 0; with `may_skip` some may be empty."""
    array = as_array("labels", labels)
    if array.shape != (n,):
        raise ValueError(
            f"labels must have shape ({n},), one cluster per node; got shape "
            f"{array.shape}: pass the clusters of the nodes of the graphs."
        )
    hint = "number the clusters from 0 by numpy.unique(labels, return_inverse=True)[1]."
    if array.dtype.kind not in "iu":
        raise TypeError(f"labels must hold integers; got dtype {array.dtype}: {hint}")
    least, most = int(array.min()), int(array.max())
    if least < 0:
        raise ValueError(f"labels must be at least 0; got {least}: {hint}")
    if most >= n and may_skip:
        # Empty clusters count for nothing, but would take memory.
        array = np.unique(array, return_inverse=True)[1]
    elif not may_skip and (k := len(np.unique(array))) <= most:
        raise ValueError(
            f"labels must have no gaps; got {k} clusters numbered up to {most}: {hint}"
        )
    return array.astype(np.int64, copy=False)


def _double(x: Tensor) -> Tensor:
    """Return x in float64, or in float32 on the one kind of device without it."""
    return x.to(torch.float32 if x.device.type == "mps" else torch.float64)
