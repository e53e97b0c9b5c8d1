"""Candidate partitions: spectral partitions of each graph at several resolutions."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skdeepclust._spectral import eigenvector_labels, leading_eigenvectors
from skdeepclust.graph import Modularity

from ._criterion import conductances, effective_number, link_over_split

RESOLUTIONS = (1.0, 0.7, 0.5, 0.35, 0.25, 0.15, 0.1, 0.05)
# Parts that are merged to K clusters, in units of K, and starts of k-means for each.
_PARTS = {1: 10, 2: 3}


@dataclass(frozen=True)
class Candidate:
    """A partition and what speaks for it.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,)
        Clusters, from 0 and without gaps.
    graph : str
        Name of the graph that it was found in.
    resolution : float
        Of the modularity that it was merged and refined by.
    normalized_cut : float
        Sum of the conductances of its clusters in that graph; small where clusters of
        any size are well separated.
    link_over_split : float
        How strongly two clusters are linked, over how well one can be split.
    effective_number : float
        Exponential of the entropy of the sizes; K for K equal clusters.
    """

    labels: NDArray[np.int64]
    graph: str
    resolution: float
    normalized_cut: float
    link_over_split: float
    effective_number: float


def spectral_candidates(
    graphs: Mapping[str, sp.csr_matrix], n_clusters: int, *, seed: int
) -> list[Candidate]:
    """Partition each graph at each resolution.

    A graph is partitioned by its leading eigenvectors into K and into 2 K parts, which
    are merged to K and refined by modularity. Of the two the one with the larger
    modularity is a candidate.

    Parameters
    ----------
    graphs : mapping of str to sparse matrix of shape (n_samples, n_samples)
        Symmetric affinities.
    n_clusters : int
        Number of clusters K, at most n_samples.
    seed : int
        Seeds the eigensolver, k-means and the refinement.

    Returns
    -------
    list of Candidate
        In the order of the graphs, for each in the order of the resolutions.
    """
    found = []
    for name, graph in graphs.items():
        most = min(max(_PARTS) * n_clusters, graph.shape[0])
        vectors = leading_eigenvectors(graph, most, seed=seed)
        parts = [
            eigenvector_labels(vectors[:, : k * n_clusters], seed=seed, n_init=starts)
            for k, starts in _PARTS.items()
        ]
        for resolution in RESOLUTIONS:
            criterion = Modularity([graph], resolution)
            merged = [criterion.merge(labels, n_clusters) for labels in parts]
            refined = [criterion.refine(labels, seed=seed) for labels in merged]
            labels = max(refined, key=criterion)
            found.append(
                Candidate(
                    labels,
                    name,
                    resolution,
                    float(conductances(graph, labels).sum()),
                    link_over_split(graph, labels, seed=seed),
                    effective_number(labels),
                )
            )
    return found
