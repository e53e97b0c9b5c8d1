"""Candidate partitions: spectral partitions of each graph at several resolutions."""

from dataclasses import dataclass
from functools import cache

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
    """A partition and what speaks for it.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,)
        Clusters, from 0 and without gaps.
    graph : str
        Name of the graph that it was found or judged in.
    resolution : float
        Of the modularity that it was merged and refined by.
    conductance : float
        Mean share of a cluster's edge weights that leaves it; small where clusters of
        any size are well separated.
    evenness : float
        Effective number of clusters (the exponential of the entropy of their sizes)
        over the number that was asked for; 1 for clusters of one size.
    """

    labels: NDArray[np.int64]
    graph: str
    resolution: float
    conductance: float
    evenness: float


class CandidateSource:
    """A graph, and the candidates that are found in it.

    The graph is partitioned by its leading eigenvectors into K and into 2 K parts,
    which are merged to K and refined by modularity. Of the two the one with the larger
    modularity is the candidate.

    Parameters
    ----------
    name : str
        Of the graph.
    graph : scipy.sparse.csr_matrix of shape (n_samples, n_samples)
        Symmetric affinities.
    n_clusters : int
        Number of clusters K, at most n_samples.
    seed : int
        Seeds the eigensolver, k-means and the refinement.
    """

    def __init__(
        self, name: str, graph: sp.csr_matrix, n_clusters: int, *, seed: int
    ) -> None:
        self.name = name
        self.graph = graph
        self.n_clusters = n_clusters
        self.seed = seed
        self.at = cache(self._at)

    @property
    def parts(self) -> list[NDArray[np.int64]]:
        """Spectral partitions into K and 2 K parts."""
        if not hasattr(self, "_parts"):
            n_clusters, seed = self.n_clusters, self.seed
            most = min(max(PARTS) * n_clusters, self.graph.shape[0])
            vectors = leading_eigenvectors(self.graph, most, seed=seed)
            self._parts = [
                eigenvector_labels(vectors[:, : k * n_clusters], seed=seed, n_init=n)
                for k, n in PARTS.items()
            ]
        return self._parts

    def _at(self, resolution: float) -> Candidate:
        """Return the candidate of a resolution."""
        criterion = Modularity([self.graph], resolution)
        merged = [criterion.merge(labels, self.n_clusters) for labels in self.parts]
        refined = [criterion.refine(labels, seed=self.seed) for labels in merged]
        return self.judge(max(refined, key=criterion), resolution)

    def judge(self, labels: NDArray[np.int64], resolution: float) -> Candidate:
        """Judge a partition by this graph.

        Parameters
        ----------
        labels : ndarray of shape (n_samples,)
            Clusters, from 0 and without gaps.
        resolution : float
            That it was found at.

        Returns
        -------
        Candidate
            With these labels.
        """
        return Candidate(
            labels,
            self.name,
            resolution,
            float(conductances(self.graph, labels).mean()),
            effective_number(labels) / self.n_clusters,
        )

    def link_over_split(self, candidate: Candidate) -> float:
        """Compare the strongest link of two clusters with the weakest place in one.

        Parameters
        ----------
        candidate : Candidate
            That this graph has judged.

        Returns
        -------
        float
            As `link_over_split` of its labels.
        """
        return link_over_split(self.graph, candidate.labels, seed=self.seed)
