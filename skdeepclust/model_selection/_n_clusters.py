"""The number of clusters, from partitions of graphs of neighbors."""

from functools import cached_property
from typing import Literal, TypedDict, Unpack, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import adjusted_rand_score
from sklearn.utils import check_array, check_random_state

from skdeepclust._partition.number import count_clusters, warn_no_structure
from skdeepclust._utils.inputs import as_rows, check_columns
from skdeepclust.graph import Modularity, nearest_neighbors, symmetric_affinity
from skdeepclust.graph._checks import _check_choice, _check_count
from skdeepclust.graph._spectral import eigenvector_labels, leading_eigenpairs

_METHODS = ("separation", "modularity", "stability", "eigengap")
_MAX_NODES = 1_000  # of a graph
_SHARE = 0.8  # share of the samples in a subsample
_N_PAIRS = 3  # of subsamples
_N_INIT = 3  # starts of k-means, for each number of clusters


class _Options(TypedDict, total=False):
    min_clusters: int | None
    max_clusters: int
    method: str
    n_neighbors: int
    random_state: int | np.random.RandomState | None


@overload
def estimate_n_clusters(
    X: ArrayLike, *, return_scores: Literal[False] = ..., **options: Unpack[_Options]
) -> int: ...


@overload
def estimate_n_clusters(
    X: ArrayLike, *, return_scores: Literal[True], **options: Unpack[_Options]
) -> tuple[int, dict[int, float]]: ...


def estimate_n_clusters(
    X: ArrayLike,
    *,
    min_clusters: int | None = None,
    max_clusters: int = 30,
    method: str = "separation",
    n_neighbors: int = 10,
    random_state: int | np.random.RandomState | None = None,
    return_scores: bool = False,
) -> int | tuple[int, dict[int, float]]:
    """Estimate into how many clusters samples fall.

    Graphs of nearest neighbors are partitioned into each number of clusters, and the
    separation of the clusters decides. On real data the estimate is often off: look at
    the scores, too, and at :ref:`measured results <n_clusters>`.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        A table, features of a pretrained network, or `embedding_` of an estimator.
        Distances matter, so give columns comparable scales. Fewer than 4 rows or values
        that are not finite raise a ValueError.
    min_clusters : int, default=None
        Smallest number. None: 1 with "separation", else 2, the least possible.
    max_clusters : int, default=30
        Largest number; with few samples fewer are tried.
    method : {"separation", "modularity", "stability", "eigengap"}, \
            default="separation"
        - "separation": the largest number of clusters that are clearly apart: the
          strongest link of two clusters is at most 0.4 of the weakest place within
          one. If none are, the modularity decides, provided that samples without
          groups would have worse clusters; else there is no structure (see
          :ref:`how_many`). The score is 1 minus that share, at least 0; the estimate
          need not have the largest.
        - "modularity": the modularity Q of the clusters minus half of 1 - 1 / K, the
          largest that K clusters can have. One more cluster has to add at least half
          of what it could.
        - "stability": the adjusted Rand index of the clusters of two subsamples, on
          the samples that are in both, times their modularity: a few clusters are
          always stable, but have small modularity.
        - "eigengap": the gap after the K-th eigenvalue of the normalized Laplacian, as
          a share of the next one, times 1 - 1 / K.
    n_neighbors : int, default=10
        Neighbors of each sample in the graph.
    random_state : int, RandomState instance or None, default=None
        Seeds the subsamples, the eigensolver and k-means.
    return_scores : bool, default=False
        Whether to return the scores, too.

    Returns
    -------
    n_clusters : int
        The estimate: the number with the largest score, but with "separation".
    scores : dict of int to float
        The score of each number of clusters from 2, if `return_scores` is True.

    Warns
    -----
    ConvergenceWarning
        If "separation" finds no structure. The estimate is `min_clusters` then.

    Notes
    -----
    "separation" looks at 2,000 samples at most. The other scores are means over three
    pairs of random subsamples of 80 % of the samples, 1,000 at most. These methods
    answer even if there are no clusters at all.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepclust.model_selection import estimate_n_clusters
    >>> X, _ = make_blobs(300, 10, centers=5, random_state=0)
    >>> estimate_n_clusters(X, random_state=0)
    5
    """
    given = as_rows(X)
    floats = [np.float64, np.float32]
    try:
        rows = check_array(
            given.values, dtype=floats, ensure_min_samples=4, input_name="X"
        )
    except (TypeError, ValueError) as error:
        check_columns(X, error)
        raise
    rows = given.in_order(rows).reshape(len(rows), -1)
    _check_choice("method", method, _METHODS)
    least = 1 if method == "separation" else 2
    if min_clusters is None:
        min_clusters = min(least, max_clusters)
    _check_count("min_clusters", min_clusters, least)
    _check_count("max_clusters", max_clusters, min_clusters)
    _check_count("n_neighbors", n_neighbors)
    rng = check_random_state(random_state)
    if method == "separation":
        if min_clusters > len(rows):
            raise ValueError(
                f"min_clusters={min_clusters} is more than n_samples={len(rows)}: "
                "lower it."
            )
        count = count_clusters(
            np.asarray(rows),
            seed=int(rng.randint(np.iinfo(np.int32).max)),
            min_clusters=min_clusters,
            max_clusters=max_clusters,
            n_neighbors=n_neighbors,
        )
        if not count.structured:
            warn_no_structure(count.n_clusters)
        best, scores = count.n_clusters, count.separation
        return (best, scores) if return_scores else best
    n_nodes = min(int(_SHARE * len(rows)), _MAX_NODES)
    if min_clusters >= n_nodes:
        raise ValueError(
            f"min_clusters={min_clusters} must be below the size of a subsample, "
            f"{n_nodes} of n_samples={len(rows)}: lower it."
        )
    counts = np.arange(min_clusters, min(max_clusters, n_nodes - 1) + 1)

    def score_pair() -> NDArray[np.float64]:
        pool = rng.permutation(len(rows))[: int(_MAX_NODES / _SHARE)]
        samples = [rng.permutation(pool)[:n_nodes] for _ in range(2)]
        pair = [_Partitions(rows, one, counts, n_neighbors, rng) for one in samples]
        return _scores(method, *pair)

    found = np.mean([score_pair() for _ in range(_N_PAIRS)], axis=0)
    scores = dict(zip(counts.tolist(), found.tolist(), strict=True))
    best = max(scores, key=lambda k: scores[k])
    return (best, scores) if return_scores else best


class _Partitions:
    """The graph of a subsample, partitioned into each number of clusters."""

    def __init__(
        self,
        rows: NDArray[np.floating],
        samples: NDArray[np.int64],
        counts: NDArray[np.int64],
        n_neighbors: int,
        rng: np.random.RandomState,
    ) -> None:
        self.samples = np.sort(samples)
        self.counts = counts
        z = torch.from_numpy(rows[self.samples])
        indices, _ = nearest_neighbors(z, min(n_neighbors, len(z) - 1), "euclidean")
        self.affinity = symmetric_affinity(indices, np.ones(indices.shape), len(z))
        self.seed = int(rng.randint(np.iinfo(np.int32).max))
        # One more than clusters, for the gap behind the last one.
        self.values, self.vectors = leading_eigenpairs(
            self.affinity, int(counts[-1]) + 1, seed=self.seed
        )

    @cached_property
    def labels(self) -> list[NDArray[np.int64]]:
        """The clusters, for each number of them."""
        return [
            eigenvector_labels(self.vectors[:, :k], seed=self.seed, n_init=_N_INIT)
            for k in self.counts
        ]

    def modularity(self) -> NDArray[np.float64]:
        criterion = Modularity([self.affinity])
        return np.array([criterion(labels) for labels in self.labels])

    def gaps(self) -> NDArray[np.float64]:
        """Return the gaps of the Laplacian's eigenvalues, as shares of the next one."""
        gaps = 1 - self.values
        shares: NDArray[np.float64] = gaps[self.counts - 1] / gaps[self.counts]
        return 1 - shares

    def agreement(self, other: "_Partitions") -> NDArray[np.float64]:
        """Return how well clusters agree where the subsamples overlap."""
        _, mine, its = np.intersect1d(self.samples, other.samples, return_indices=True)
        pairs = zip(self.labels, other.labels, strict=True)
        return np.array([adjusted_rand_score(a[mine], b[its]) for a, b in pairs])


def _scores(method: str, one: _Partitions, other: _Partitions) -> NDArray[np.float64]:
    """Score each number of clusters by the partitions of two subsamples."""
    ceiling = 1 - 1 / one.counts  # the largest modularity that K clusters can have
    if method == "eigengap":
        return (one.gaps() + other.gaps()) / 2 * ceiling
    modularity = (one.modularity() + other.modularity()) / 2
    if method == "modularity":
        return modularity - ceiling / 2
    return one.agreement(other) * modularity
