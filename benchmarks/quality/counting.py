"""Other rules for the number of clusters, from partitions of graphs of subsamples.

The score of each number of clusters is a mean over three pairs of random subsamples of
80 % of the rows, 1,000 at most; the number with the largest score is the estimate.

- "modularity": the modularity Q of the clusters minus half of 1 - 1 / K, the largest
  that K clusters can have.
- "stability": the adjusted Rand index of the clusters of two subsamples, on the samples
  that are in both, times their modularity.
- "eigengap": the gap after the K-th eigenvalue of the normalized Laplacian, as a share
  of the next one, times 1 - 1 / K.
"""

from functools import cached_property

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score

from skdeepclust.graph import Modularity, nearest_neighbors, symmetric_affinity
from skdeepclust.graph._spectral import eigenvector_labels, leading_eigenpairs

RULES = ("modularity", "stability", "eigengap")
MAX_NODES = 1_000  # of a graph
SHARE = 0.8  # share of the samples in a subsample
N_PAIRS = 3  # of subsamples
N_INIT = 3  # starts of k-means, for each number of clusters
N_NEIGHBORS = 10


def count_by_rule(rule, rows, max_clusters, seed):
    """Return the number of clusters of the largest score, from 2 to `max_clusters`."""
    rng = np.random.RandomState(seed)
    n_nodes = min(int(SHARE * len(rows)), MAX_NODES)
    counts = np.arange(2, min(max_clusters, n_nodes - 1) + 1)
    found = []
    for _ in range(N_PAIRS):
        pool = rng.permutation(len(rows))[: int(MAX_NODES / SHARE)]
        samples = [rng.permutation(pool)[:n_nodes] for _ in range(2)]
        pair = [Partitions(rows, one, counts, rng) for one in samples]
        found.append(scores(rule, *pair))
    return int(counts[np.mean(found, axis=0).argmax()])


class Partitions:
    """The graph of a subsample, partitioned into each number of clusters."""

    def __init__(self, rows, samples, counts, rng):
        self.samples = np.sort(samples)
        self.counts = counts
        z = torch.from_numpy(rows[self.samples])
        k = min(N_NEIGHBORS, len(z) - 1)
        indices, _ = nearest_neighbors(z, k, "euclidean")
        self.affinity = symmetric_affinity(indices, np.ones(indices.shape), len(z))
        self.seed = int(rng.randint(np.iinfo(np.int32).max))
        # One more than clusters, for the gap behind the last one.
        self.values, self.vectors = leading_eigenpairs(
            self.affinity, int(counts[-1]) + 1, seed=self.seed
        )

    @cached_property
    def labels(self):
        """The clusters, for each number of them."""
        return [
            eigenvector_labels(self.vectors[:, :k], seed=self.seed, n_init=N_INIT)
            for k in self.counts
        ]

    def modularity(self):
        criterion = Modularity([self.affinity])
        return np.array([criterion(labels) for labels in self.labels])

    def gaps(self):
        """Return the gaps of the Laplacian's eigenvalues, as shares of the next one."""
        gaps = 1 - self.values
        return 1 - gaps[self.counts - 1] / gaps[self.counts]

    def agreement(self, other):
        """Return how well clusters agree where the subsamples overlap."""
        _, mine, its = np.intersect1d(self.samples, other.samples, return_indices=True)
        pairs = zip(self.labels, other.labels, strict=True)
        return np.array([adjusted_rand_score(a[mine], b[its]) for a, b in pairs])


def scores(rule, one, other):
    """Score each number of clusters by the partitions of two subsamples."""
    ceiling = 1 - 1 / one.counts  # the largest modularity that K clusters can have
    if rule == "eigengap":
        return (one.gaps() + other.gaps()) / 2 * ceiling
    modularity = (one.modularity() + other.modularity()) / 2
    if rule == "modularity":
        return modularity - ceiling / 2
    return one.agreement(other) * modularity
