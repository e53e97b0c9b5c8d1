"""What speaks for a partition of a graph, without labels and without a prior of sizes.

None of these is in the thesis.
"""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skdeepclust.graph._spectral import leading_eigenvectors

_LEAST_PART = 0.4  # of n / K: smaller parts are not split off
_TINY = 1e-12
_NO_SPLIT = 0.01  # added to conductances, which are 0 between pieces of a graph


def effective_number(labels: NDArray[np.integer]) -> float:
    """Return the exponential of the entropy of the sizes of clusters.

    It is the number of clusters where all have one size, and lower elsewhere.
    """
    size = np.bincount(labels)
    share = size[size > 0] / len(labels)
    return float(np.exp(-(share * np.log(share)).sum()))


def conductances(
    graph: sp.csr_matrix, labels: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return the share of each cluster's edge weights that leaves it, (K,).

    Their sum is the normalized cut.
    """
    between = weights_between(graph, labels)
    volume = between.sum(axis=1)
    leaving: NDArray[np.float64] = volume - between.diagonal()
    shares: NDArray[np.float64] = leaving / np.maximum(volume, _TINY)
    return shares


def link_over_split(
    graph: sp.csr_matrix, labels: NDArray[np.integer], *, seed: int
) -> float:
    """Compare the strongest link of two clusters with the weakest place within one.

    The link of two clusters is the weight between them over the smaller of their
    volumes. The weakest place of a cluster is the smallest conductance of a sweep over
    its second eigenvector, with parts of at least 0.4 n / K samples. A good partition
    has weak links and no weak places. Above 1 another partition would follow the graph
    better.
    """
    links = links_between(graph, labels)
    n_clusters = len(links)
    least = max(1, int(_LEAST_PART * len(labels) / n_clusters))
    splits = []
    for k in range(n_clusters):
        own = np.flatnonzero(labels == k)
        splits.append(best_sweep(graph[own][:, own], least, seed))
    return float(links.max() / (min(splits) + _NO_SPLIT))


def links_between(
    graph: sp.csr_matrix, labels: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return the weight between two clusters over the smaller volume, (K, K)."""
    return over_smaller_volume(weights_between(graph, labels))


def over_smaller_volume(between: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide weights between clusters by the smaller of their volumes."""
    volume = between.sum(axis=1)
    links: NDArray[np.float64] = between / np.maximum(
        np.minimum.outer(volume, volume), _TINY
    )
    np.fill_diagonal(links, 0)
    return links


def best_sweep(graph: sp.csr_matrix, least: int, seed: int) -> float:
    """Return the smallest conductance of a split by the second eigenvector.

    Parts have at least `least` samples; 1 where there are too few for a split.
    """
    n = graph.shape[0]
    if n < max(2 * least, 4):
        return 1.0
    degrees = np.asarray(graph.sum(axis=1)).ravel()
    vectors = leading_eigenvectors(graph, 2, seed=seed)
    order = np.argsort(vectors[:, 1] / np.sqrt(np.maximum(degrees, _TINY)))
    swept, degrees = graph[order][:, order], degrees[order]
    volume = np.cumsum(degrees)
    to_earlier = np.asarray(sp.tril(swept).sum(axis=1)).ravel()
    cut = np.cumsum(degrees - 2 * to_earlier)
    smaller = np.maximum(np.minimum(volume, volume[-1] - volume), _TINY)
    return max(0.0, float((cut / smaller)[least - 1 : n - least].min()))


def weights_between(
    graph: sp.csr_matrix, labels: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return the sums of the edge weights between clusters, (K, K).

    On the diagonal stands twice the weight within.
    """
    nodes = np.arange(len(labels))
    member = sp.csr_matrix((np.ones(len(labels)), (nodes, labels)))
    weights: NDArray[np.float64] = (member.T @ graph @ member).toarray()
    return weights
