"""Graphs of nearest neighbors of the rows of a table, and what neighbors say."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from skdeepclust.graph import nearest_neighbors, symmetric_affinity
from skdeepclust.training.data import InputSpec

N_NEIGHBORS = 10
_ROUNDING = 1e-5  # of float32, in units of the columns' mean deviation


def locally_scaled_graph(
    rows: NDArray[np.floating],
    n_neighbors: int = N_NEIGHBORS,
    metric: Literal["cosine", "euclidean"] = "euclidean",
) -> sp.csr_matrix:
    """Build a graph of nearest neighbors with locally scaled weights.

    An edge weighs ``exp(-d_ij^2 / (s_i s_j))``, where s is the distance to the last
    neighbor (Zelnik-Manor and Perona, 2004). Sparse and dense groups then have edges
    of about the same weight. Cosines are those of the centered rows.
    """
    # A copy, which is centered in place: rows may be many.
    points = torch.from_numpy(np.array(rows, dtype=np.float64))
    if metric == "cosine":
        points -= points.mean(0)
    n = len(points)
    indices, distances = nearest_neighbors(points, min(n_neighbors, n - 1), metric)
    # Samples that coincide with all their neighbors have no scale of their own.
    scale = distances[:, -1].clamp_min(torch.finfo(torch.float64).tiny ** 0.5)
    weights = torch.exp(-distances.square() / (scale[:, None] * scale[indices]))
    return symmetric_affinity(indices, weights, n)


def table_graphs(
    rows: NDArray[np.floating], n_neighbors: int = N_NEIGHBORS
) -> dict[str, sp.csr_matrix]:
    """Build the graphs in which clusters of a table are searched.

    Euclidean distances are right for a few columns in which groups have a place,
    cosines for embeddings, whose length means little. Data alone seldom tell which
    they are, so both are built, and their sum. One column has no angles, and those of
    two lie on a circle: neighbors by cosine are a chain, which any cut separates. Both
    have a Euclidean graph alone.
    """
    euclidean = locally_scaled_graph(rows, n_neighbors)
    if rows.shape[1] <= 2:
        return {"euclidean": euclidean}
    cosine = locally_scaled_graph(rows, n_neighbors, "cosine")
    return {
        "cosine": cosine,
        "sum": sum_of_graphs(cosine, euclidean),
        "euclidean": euclidean,
    }


def widest(graphs: Mapping[str, sp.csr_matrix]) -> str:
    """Return the name of the graph of a table that holds most neighbors."""
    return "sum" if "sum" in graphs else "euclidean"


def sum_of_graphs(*graphs: sp.csr_matrix) -> sp.csr_matrix:
    """Add graphs of the same nodes so that each of them counts alike."""
    return sp.csr_matrix(sum(normalized(graph) for graph in graphs))


def normalized(affinity: sp.csr_matrix) -> sp.csr_matrix:
    """Divide affinities by the roots of the degrees of both their nodes."""
    degrees = np.asarray(affinity.sum(axis=1)).ravel()
    root = np.sqrt(np.divide(1, degrees, out=np.zeros_like(degrees), where=degrees > 0))
    scaling = sp.diags(root)
    return sp.csr_matrix(scaling @ affinity @ scaling)


def uncenter(rows: Tensor, spec: InputSpec) -> None:
    """Shift centered rows of a table (n, m), in place, to where angles are seen from.

    Where no value is negative, zero means nothing, and angles are seen from there;
    other tables are seen from their mean.
    """
    means = torch.from_numpy(spec.offset / spec.scale).to(rows)
    if (rows.amin(0) + means).min() >= -_ROUNDING:
        rows += means


def neighbor_shares(graph: Any, own: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the mean of the neighbors' rows of `own` (n, K), weighted by the edges.

    Who has no neighbors is not contradicted, and gets the own row.
    """
    weights = np.asarray(graph.sum(axis=1)).reshape(-1, 1)
    shares: NDArray[np.floating] = np.where(
        weights > 0, (graph @ own) / np.maximum(weights, 1e-12), own
    )
    return shares
