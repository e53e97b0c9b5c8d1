"""Candidate partitions: spectral partitions of each graph at several resolutions."""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skdeepclust.graph import Modularity
from skdeepclust.graph._spectral import eigenvector_labels, leading_eigenvectors

from .criterion import conductances, effective_number, link_over_split

# Parts that are merged to K clusters, in units of K, and starts of k-means for each.
PARTS = {1: 10, 2: 3}


@dataclass(frozen=True)
class Candidate:
    """A partition and what speaks for it."""

    labels: NDArray[np.int64]  # (n,), from 0 and without gaps
    graph: str  # the name of the one that it was found or judged in
    resolution: float  # of the modularity that it was merged and refined by
    conductance: float
    """Mean share of a cluster's edge weights that leaves it; small where clusters of
    any size are well separated."""
    evenness: float
    """Effective number of clusters (the exponential of the entropy of their sizes) over
    the number that was asked for; 1 for clusters of one size."""


class CandidateSource:
    """A graph, and the candidates that are found in it.

    The graph is partitioned by its leading eigenvectors into K and into 2 K parts,
    which are merged to K and refined by modularity. Of the two the one with the larger
    modularity is the candidate.
    """

    def __init__(
        self, name: str, graph: sp.csr_matrix, n_clusters: int, *, seed: int
    ) -> None:
        self.name = name
        self.graph = graph
        self.n_clusters = n_clusters
        self.seed = seed
        self.at = cache(self._at)

    @cached_property
    def parts(self) -> list[NDArray[np.int64]]:
        """Spectral partitions into K and 2 K parts."""
        n_clusters, seed = self.n_clusters, self.seed
        most = min(max(PARTS) * n_clusters, self.graph.shape[0])
        vectors = leading_eigenvectors(self.graph, most, seed=seed)
        return [
            eigenvector_labels(vectors[:, : k * n_clusters], seed=seed, n_init=n)
            for k, n in PARTS.items()
        ]

    def _at(self, resolution: float) -> Candidate:
        """Return the candidate of a resolution."""
        criterion = Modularity([self.graph], resolution)
        merged = [criterion.merge(labels, self.n_clusters) for labels in self.parts]
        refined = [criterion.refine(labels, seed=self.seed) for labels in merged]
        return self.judge(max(refined, key=criterion), resolution)

    def judge(self, labels: NDArray[np.int64], resolution: float) -> Candidate:
        """Judge a partition by this graph."""
        return Candidate(
            labels,
            self.name,
            resolution,
            float(conductances(self.graph, labels).mean()),
            effective_number(labels) / self.n_clusters,
        )

    def link_over_split(self, candidate: Candidate) -> float:
        """Compare the strongest link of two clusters with the weakest place in one."""
        return link_over_split(self.graph, candidate.labels, seed=self.seed)
