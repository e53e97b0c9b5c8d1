"""The graph that is trained on, and the clusters that training starts from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from skdeepclust._partition import normalized
from skdeepclust._spectral import (
    eigenvector_labels,
    kmeans_labels,
    leading_eigenvectors,
)
from skdeepclust.graph import (
    Modularity,
    dense_affinity,
    learned_self_expression,
    nearest_neighbors,
    self_expression_neighbors,
    symmetric_affinity,
)
from skdeepclust.training import InputSpec

# Clusters that a graph is cut into before merging, in units of K, and starts of k-means
# for each: what is merged needs fewer.
_PARTS = {1: 10, 2: 3}
_MARGIN = 0.03  # by which a cut of the input beats others, as a share of modularity
_MAX_UNPROJECTED = 20_000  # rows of tables whose neighbours are sought in all columns
_PROJECTED = 64  # dimensions that are left of the rest
_ROUNDING = 1e-5  # of float32, in units of the columns' mean deviation
_MAX_EXACT = 5_000  # samples with which the dense matrix is still learned


@dataclass(frozen=True)
class WarmStart:
    """Where joint training starts from.

    Parameters
    ----------
    affinity : scipy.sparse.csr_matrix of shape (n_samples, n_samples)
        The graph.
    labels : ndarray of shape (n_samples,)
        Clusters, from 0 and without gaps.
    modularity : float
        Of the labels, by the criterion that has chosen them.
    source : str
        What gave the labels: "embedding_0" and so on, "input", "sum", "walks",
        "kmeans", or "random".
    """

    affinity: sp.csr_matrix
    labels: NDArray[np.int64]
    modularity: float
    source: str


def check_graph(graph: Any, n_neighbors: int, n_samples: int) -> None:
    """Refuse what cannot be the graph of the samples.

    Parameters
    ----------
    graph : str or sparse matrix
        The parameter.
    n_neighbors : int
        The parameter.
    n_samples : int
        Number of samples.

    Raises
    ------
    ValueError
        If they do not go together.
    """
    if isinstance(graph, str):
        if n_neighbors >= n_samples:
            raise ValueError(
                f"n_neighbors={n_neighbors} must be below n_samples={n_samples}: a "
                f"sample has at most {n_samples - 1} others."
            )
        if graph == "exact":
            check_dense("graph='exact'", "graph='self_expression'", n_samples)
        return
    if graph.shape != (n_samples, n_samples):
        raise ValueError(
            f"graph must have shape {(n_samples, n_samples)}, a row and a column per "
            f"sample of X; got {graph.shape}."
        )
    matrix = sp.csr_matrix(graph)
    try:
        # Indices that point outside would read, and write, memory of others.
        matrix.check_format(full_check=True)
    except ValueError as error:
        raise ValueError(
            f"graph is no valid sparse matrix: {error}. Build it again from its rows, "
            "columns and values, as scipy.sparse.coo_array does."
        ) from error
    values = matrix.data
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(
            "graph must hold affinities that are finite and not negative; got "
            f"{values.min()} to {values.max()}: pass abs(graph)."
        )


def check_dense(given: str, hint: str, n_samples: int) -> None:
    """Refuse to learn an n x n matrix of many samples.

    Parameters
    ----------
    given : str
        The parameter that asks for it, with its value.
    hint : str
        What to set instead.
    n_samples : int
        Number of samples.

    Raises
    ------
    ValueError
        If there are more than 5,000 samples.
    """
    if n_samples > _MAX_EXACT:
        raise ValueError(
            f"{given} learns an n x n matrix, for at most {_MAX_EXACT:,} samples; got "
            f"{n_samples:,}: use {hint}."
        )


def build_affinities(
    h: Tensor, graph: str, sizes: Sequence[int], self_expression_weight: float = 1.0
) -> list[sp.csr_matrix]:
    """Build graphs of the embedding, one for each size of neighbourhoods.

    Parameters
    ----------
    h : Tensor of shape (n_samples, n_components)
        The embedding.
    graph : {"self_expression", "candidates", "exact", "knn"}
        Which kind.
    sizes : sequence of int
        Neighbours of each sample.
    self_expression_weight : float, default=1.0
        The lambda of eq. 4.2, for "exact".

    Returns
    -------
    list of scipy.sparse.csr_matrix of shape (n_samples, n_samples)
        Symmetric affinities.
    """
    if graph == "exact":
        coefficients = learned_self_expression(h, weight=self_expression_weight)
        return [dense_affinity(coefficients, size) for size in sizes]
    # Strongest first: a smaller neighbourhood is the start of a larger one.
    if graph == "knn":
        indices, distances = nearest_neighbors(h, max(sizes), "cosine")
        weights = 1 - distances
    else:
        indices, weights = self_expression_neighbors(
            h,
            max(sizes),
            method="candidates" if graph == "candidates" else "normalized",
        )
    return [
        symmetric_affinity(indices[:, :size], weights[:, :size], len(h))
        for size in sizes
    ]


def uncenter(rows: Tensor, spec: InputSpec) -> None:
    """Shift rows of a table, in place, to where their angles are seen from.

    Where no value is negative, zero means nothing, and angles are seen from there;
    other tables are seen from their mean.

    Parameters
    ----------
    rows : Tensor of shape (n_samples, n_features)
        Rows as the network gets them, with the columns' means taken off.
    spec : InputSpec
        Has these means.
    """
    means = torch.from_numpy(spec.offset / spec.scale).to(rows)
    if (rows.amin(0) + means).min() >= -_ROUNDING:
        rows += means


def input_affinities(
    rows: Tensor, sizes: Sequence[int], *, project: bool, seed: int
) -> list[sp.csr_matrix]:
    """Build graphs of nearest neighbours by cosine of the samples themselves.

    Parameters
    ----------
    rows : Tensor of shape (n_samples, n_features)
        Samples.
    sizes : sequence of int
        Neighbours of each sample, a graph for each.
    project : bool
        Whether neighbours are sought among the leading 64 components, as those of more
        than 20,000 samples always are.
    seed : int
        Seeds the projection.

    Returns
    -------
    list of scipy.sparse.csr_matrix of shape (n_samples, n_samples)
        Symmetric affinities, the cosines.
    """
    n, n_features = rows.shape
    if n_features > _PROJECTED and (project or n > _MAX_UNPROJECTED):
        # All pairs of many long rows take minutes, and of pixels, which repeat each
        # other, what is projected out is mostly noise.
        # What TruncatedSVD computes, but for the columns' variances, which take as much
        # memory again as the rows.
        array = rows.cpu().numpy()
        axes = randomized_svd(array, _PROJECTED, n_iter=5, random_state=seed)[2]
        rows = torch.from_numpy(array @ axes.T).to(rows)
    indices, distances = nearest_neighbors(rows, max(sizes), "cosine")
    return [
        symmetric_affinity(indices[:, :size], 1 - distances[:, :size], n)
        for size in sizes
    ]


def spectral_start(
    embedding: NDArray[np.floating],
    graphs: list[sp.csr_matrix],
    input_graph: sp.csr_matrix | None,
    n_clusters: int,
    *,
    may_replace: bool = True,
    seed: int,
) -> WarmStart:
    """Choose among spectral partitions the one of largest modularity.

    The graphs of the embedding, and if there is a graph of the input also their sum
    and the walks with one step in each, are cut into K and into more parts, which are
    merged; k-means in the embedding gives one more partition. Each is refined. The
    modularity that is compared is that on the first graph plus that on the input's.

    Where a cut of the input's graph beats those of the embedding's graphs by far even
    in that sum, the embedding has lost what the input tells. Unless `may_replace` is
    False the input's graph then takes the place of the others.

    Parameters
    ----------
    embedding : ndarray of shape (n_samples, n_components)
        The embedding.
    graphs : list of sparse matrices
        Of the embedding; the first one is trained on.
    input_graph : sparse matrix or None
        Of the input.
    n_clusters : int
        Number of clusters K.
    may_replace : bool, default=True
        Whether the input's graph may take the place of the others.
    seed : int
        Seeds all of it.

    Returns
    -------
    WarmStart
        The best partition, and the graph that it comes from.
    """
    own = graphs[0]
    criterion = Modularity([own] if input_graph is None else [own, input_graph])

    def cuts(sources: dict[str, sp.csr_matrix]) -> list[WarmStart]:
        return _cuts(sources, criterion, n_clusters, seed)

    candidates = cuts({f"embedding_{i}": graph for i, graph in enumerate(graphs)})
    if input_graph is not None:
        if may_replace and _beats(cuts({"input": input_graph}), candidates):
            start = spectral_start(
                embedding,
                [input_graph],
                None,
                n_clusters,
                seed=seed,
            )
            return replace(start, source="input")
        a, b = normalized(own), normalized(input_graph)
        walks = a @ b
        candidates += cuts(
            {"sum": sp.csr_matrix(a + b), "walks": sp.csr_matrix(walks + walks.T)}
        )
    groups = kmeans_labels(embedding, n_clusters, seed=seed)
    candidates.append(WarmStart(own, groups, criterion(groups), "kmeans"))
    refined = []
    for start in candidates:
        labels = criterion.refine(start.labels, seed=seed)
        refined.append(replace(start, labels=labels, modularity=criterion(labels)))
    best = max(refined, key=lambda start: start.modularity)
    if best.source.startswith("embedding"):
        # The graph to train on has the neighbours that were asked for.
        return replace(best, affinity=own)
    if best.source == "walks":
        # Cut with the walks that come back; but none is its own neighbour.
        return replace(best, affinity=symmetrized(best.affinity))
    return best


def _cuts(
    sources: dict[str, sp.csr_matrix],
    criterion: Modularity,
    n_clusters: int,
    seed: int,
) -> list[WarmStart]:
    found = []
    for source, graph in sources.items():
        most = min(max(_PARTS) * n_clusters, graph.shape[0])
        vectors = leading_eigenvectors(graph, most, seed=seed)
        for parts, n_init in _PARTS.items():
            labels = eigenvector_labels(
                vectors[:, : parts * n_clusters], seed=seed, n_init=n_init
            )
            labels = criterion.merge(labels, n_clusters)
            found.append(WarmStart(graph, labels, criterion(labels), source))
    return found


def _beats(starts: list[WarmStart], others: list[WarmStart]) -> bool:
    best, best_other = (max(s.modularity for s in each) for each in (starts, others))
    return best > best_other + _MARGIN * abs(best_other)


def strongest_neighbors(affinity: Any, n_neighbors: int) -> NDArray[np.int64]:
    """Return the nodes that each node has the largest affinity to.

    Parameters
    ----------
    affinity : sparse matrix of shape (n_nodes, n_nodes)
        The graph.
    n_neighbors : int
        How many to return.

    Returns
    -------
    ndarray of shape (n_nodes, n_neighbors)
        Strongest first. Where a node has fewer, they are repeated; a node without any
        is its own neighbour.
    """
    graph = sp.coo_matrix(affinity)
    n = graph.shape[0]
    order = np.lexsort((-graph.data, graph.row))
    columns = graph.col[order]
    count = np.bincount(graph.row, minlength=n)
    first = np.cumsum(count) - count
    position = np.arange(n_neighbors)[None] % np.maximum(count, 1)[:, None]
    alone = count == 0
    position = first[:, None] + position
    position[alone] = 0
    if len(columns) == 0:
        columns = np.zeros(1, dtype=np.int64)
    neighbors = columns[position].astype(np.int64)
    neighbors[alone] = np.flatnonzero(alone)[:, None]
    return neighbors


def symmetrized(affinity: Any) -> sp.csr_matrix:
    """Return the mean of a matrix and its transpose, without the diagonal.

    Parameters
    ----------
    affinity : sparse matrix of shape (n_samples, n_samples)
        Affinities, not negative.

    Returns
    -------
    scipy.sparse.csr_matrix of shape (n_samples, n_samples)
        Symmetric affinities.
    """
    matrix = sp.csr_matrix(affinity, dtype=np.float64)
    matrix = sp.csr_matrix((matrix + matrix.T) / 2)
    matrix.setdiag(0)
    matrix.eliminate_zeros()
    return matrix
