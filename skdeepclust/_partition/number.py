"""The number of clusters: how many are clearly apart, and whether there are any."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from skdeepclust.graph import Modularity
from skdeepclust.graph._spectral import eigenvector_labels, leading_eigenvectors

from .criterion import (
    best_sweep,
    conductances,
    links_between,
    over_smaller_volume,
    weights_between,
)
from .graphs import table_graphs, widest

_FEWEST = 8  # rows that can be said to fall into groups
_MAX_ROWS = 2_000  # that are looked at
_RESOLUTIONS = (1.0, 0.25)  # of merging by modularity
_PARTS = 2  # that merging starts from, in units of the largest number
_LEAST_SIZE = 0.1  # of n / K: a smaller cluster is an outlier, not a group
_LEAST_SPLIT = 0.1  # of a cluster: smaller pieces are not split off
_TINY_LINK = 5e-4  # added to links and splits: both are 0 between pieces of a graph
_APART = 0.4  # strongest link over weakest split of clusters that are clearly apart
_MARGIN = 1.25  # times as much must it be in samples without groups
_COHERENT = 0.125  # of the weakest place of samples without groups
_WORTH = 0.4  # of its largest modularity must each further cluster add
_TRIED = (2, 3, 4, 6, 8, 10)  # numbers of clusters that references are split into
_REFERENCES = 3  # of each kind
_STRUCTURED = 1.17  # times lower is the conductance where there are groups
_DEVIATIONS = 3  # standard ones of samples without groups that must lie between
_LEAST_CONDUCTANCE = 1e-3  # so that its logarithm is finite


@dataclass(frozen=True)
class ClusterCount:
    """How many clusters were found, and what speaks for it."""

    n_clusters: int
    separation: dict[int, float]
    """For each number of clusters 1 minus the strongest link of two clusters over the
    weakest place within one; 0 where that is not positive."""
    structured: bool  # whether the samples fall into groups at all


def draw_places(n_samples: int, seed: int) -> NDArray[np.int64]:
    """Draw the samples that are looked at for the whole."""
    if n_samples <= _MAX_ROWS:
        return np.arange(n_samples)
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(n_samples, _MAX_ROWS, replace=False))


def count_clusters(
    rows: NDArray[np.floating],
    *,
    seed: int,
    min_clusters: int = 1,
    max_clusters: int = 30,
    n_neighbors: int = 10,
) -> ClusterCount:
    """Estimate how many clusters there are.

    Many small parts of each graph of the rows are merged, two at a time, at
    resolutions 1 and 0.25 of the modularity and by the strongest link. Clusters are
    clearly apart if the strongest link of two of them is at most 0.4 of the weakest
    place within one, and that place is no gap itself. The largest number for which that
    is so is taken. Where it is so for none, the number is taken at which the modularity
    exceeds 0.4 times ``1 - 1 / K`` the most: one cluster more has to add two fifths of
    what it could.

    Both are compared with rows that have no groups, drawn three times from one normal
    distribution of the same covariance, and three times evenly from the box of the
    principal axes, as for the gap statistic (Tibshirani, Walther and Hastie, 2001):

    - A cluster whose weakest place is below an eighth of theirs has a gap in it.
    - Clusters do not count as apart if some of these rows have clusters whose share of
      link and weakest place is below 1.25 times the own one.
    - Where none are apart, the rows have structure if the geometric mean conductance of
      partitions into 2 to 10 is 1.17 times lower than for either kind of these rows,
      and lower by three standard deviations of its logarithm. Without structure the
      estimate is `min_clusters`.

    Of more than 2,000 rows, that many are drawn; fewer than 8 tell nothing.
    """
    if max_clusters < 2:
        return ClusterCount(max_clusters, {}, True)
    rows = rows[draw_places(len(rows), seed)]
    most = max(min(max_clusters, len(rows) // 4), min_clusters, 2)
    counts = range(max(min_clusters, 2), most + 1)
    if len(rows) < _FEWEST:
        return ClusterCount(min_clusters, dict.fromkeys(counts, 0.0), False)
    graphs = table_graphs(rows, n_neighbors)
    references = _References(rows, counts, n_neighbors, seed)
    parts = {name: _parts(graph, counts, seed) for name, graph in graphs.items()}
    ratios = {
        name: _ratios(graph, parts[name], counts, seed, references.least_splits[name])
        for name, graph in graphs.items()
    }
    separation = {
        k: max(0.0, *(1 - own.get(k, np.inf) for own in ratios.values()))
        for k in counts
    }
    apart = [
        (-k, ratio, name)
        for name, own in ratios.items()
        for k, ratio in own.items()
        if ratio <= _APART
    ]
    for k, ratio, name in sorted(apart):
        if not references.reach(_MARGIN * ratio, name):
            return ClusterCount(-k, separation, True)
    name = widest(graphs)
    if not references.are_worse(graphs[name]):
        return ClusterCount(min_clusters, separation, False)
    found = _by_modularity(graphs[name], parts[name], counts)
    return ClusterCount(found, separation, True)


def warn_no_structure(n_clusters: int) -> None:
    """Say that the samples fall into no groups."""
    warnings.warn(
        "X has no structure in a graph of nearest neighbors: its clusters are not "
        f"better separated than those of random samples. n_clusters={n_clusters} is "
        "used; scale or select the columns, or set n_clusters.",
        ConvergenceWarning,
        stacklevel=3,
    )


def _ratios(
    graph: sp.csr_matrix,
    parts: NDArray[np.int64],
    counts: range,
    seed: int,
    least_split: float,
    most: float = 1.0,
) -> dict[int, float]:
    """Return the least link over split of each number of clusters, if below `most`."""
    splits = _Splits(graph, seed, least_split)
    found: dict[int, float] = {}
    for labels in chain(
        _merged_by_links(graph, parts, counts),
        *(_merged(graph, parts, r, counts) for r in _RESOLUTIONS),
    ):
        k = int(labels.max()) + 1
        found[k] = min(found.get(k, most), splits.ratio(labels, found.get(k, most)))
    return {k: ratio for k, ratio in found.items() if ratio < most}


def _parts(graph: sp.csr_matrix, counts: range, seed: int) -> NDArray[np.int64]:
    """Partition a graph into many parts by its leading eigenvectors."""
    n_parts = min(_PARTS * counts[-1], graph.shape[0] // 2)
    vectors = leading_eigenvectors(graph, n_parts, seed=seed)
    labels = _gapless(eigenvector_labels(vectors, seed=seed, n_init=1))
    return _gapless(Modularity([graph]).refine(labels, seed=seed))


def _merged(
    graph: sp.csr_matrix, parts: NDArray[np.int64], resolution: float, counts: range
) -> Iterator[NDArray[np.int64]]:
    """Merge parts step by step; yield the partitions of as many clusters as asked."""
    criterion, labels = Modularity([graph], resolution), parts
    for k in reversed(counts):
        labels = criterion.merge(labels, k)
        if labels.max() + 1 == k:
            yield labels


def _merged_by_links(
    graph: sp.csr_matrix, parts: NDArray[np.int64], counts: range
) -> Iterator[NDArray[np.int64]]:
    """Merge the two of the strongest link, step by step, as `_merged` does."""
    between = weights_between(graph, parts)
    names = np.arange(len(between))
    for k in range(len(between), counts[0] - 1, -1):
        if k in counts:
            yield _gapless(names[parts])
        links = over_smaller_volume(between)
        kept, gone = np.unravel_index(links.argmax(), links.shape)
        if kept == gone:
            # Nothing is linked any more.
            return
        between[kept] += between[gone]
        between[:, kept] += between[:, gone]
        between[gone] = between[:, gone] = 0
        names[names == gone] = kept


def _by_modularity(
    graph: sp.csr_matrix, parts: NDArray[np.int64], counts: range
) -> int:
    criterion = Modularity([graph])
    scores = {}
    for labels in _merged(graph, parts, 1.0, counts):
        k = int(labels.max()) + 1
        scores[k] = criterion(labels) - _WORTH * (1 - 1 / k)
    return max(scores, key=lambda k: scores[k], default=counts[0])


def _split(graph: sp.csr_matrix, seed: int) -> float:
    """Return the weakest place of a cluster, given its part of a graph."""
    return best_sweep(graph, max(1, int(_LEAST_SPLIT * graph.shape[0])), seed)


class _Splits:
    """Links and splits of clusters of one graph; a split is searched once."""

    def __init__(self, graph: sp.csr_matrix, seed: int, least_split: float) -> None:
        self.graph = graph
        self.seed = seed
        self.least_split = least_split
        self.known: dict[bytes, float] = {}

    def ratio(self, labels: NDArray[np.int64], most: float) -> float:
        """Return the strongest link over the weakest split.

        Infinity if it is `most` or more, if a cluster is too small for a group, or if
        one falls apart.
        """
        sizes = np.bincount(labels)
        if sizes.min() < max(2.0, _LEAST_SIZE * len(labels) / len(sizes)):
            return np.inf
        link = float(links_between(self.graph, labels).max()) + _TINY_LINK
        ratio = 0.0
        # Large clusters are the ones that may fall apart.
        for k in np.argsort(-sizes, kind="stable"):
            split = self._split(np.flatnonzero(labels == k))
            ratio = max(ratio, link / (split + _TINY_LINK))
            if ratio >= most or split < self.least_split:
                return np.inf
        return ratio

    def _split(self, own: NDArray[np.int64]) -> float:
        key = own.tobytes()
        if key not in self.known:
            self.known[key] = _split(self.graph[own][:, own], self.seed)
        return self.known[key]


class _References:
    """Rows that have no groups, and are spread as those that are looked at."""

    def __init__(
        self, rows: NDArray[np.floating], counts: range, n_neighbors: int, seed: int
    ) -> None:
        self.rows = rows
        self.counts = counts
        self.n_neighbors = n_neighbors
        self.seed = seed

    @cached_property
    def graphs(self) -> list[dict[str, sp.csr_matrix]]:
        """Graphs of rows of one normal distribution, and of rows drawn from a box."""
        rng = np.random.default_rng(self.seed)
        centered = self.rows - self.rows.mean(axis=0)
        left, scale, _ = np.linalg.svd(centered, full_matrices=False)
        # Neighbors are the same in the principal axes, which need not be left.
        scores = left * scale
        low, high, std = scores.min(axis=0), scores.max(axis=0), scores.std(axis=0)
        drawn = [
            draw
            for _ in range(_REFERENCES)
            for draw in (
                rng.normal(size=scores.shape) * std,
                rng.uniform(low, high, scores.shape),
            )
        ]
        return [table_graphs(each, self.n_neighbors) for each in drawn]

    @cached_property
    def least_splits(self) -> dict[str, float]:
        """How weak a place in a cluster may be, by the kind of graph."""
        return {
            name: _COHERENT
            * min(_split(graphs[name], self.seed) for graphs in self.graphs)
            for name in self.graphs[0]
        }

    def reach(self, ratio: float, name: str) -> bool:
        """Say whether clusters of any of them are as much apart, in a kind of graph."""
        least = self.least_splits[name]
        counts, seed = self.counts, self.seed
        return any(
            _ratios(graph, _parts(graph, counts, seed), counts, seed, least, ratio)
            for graph in (graphs[name] for graphs in self.graphs)
        )

    def are_worse(self, graph: sp.csr_matrix) -> bool:
        """Say whether clusters of a graph are better separated than theirs."""
        theirs = [
            _log_conductance(graphs[widest(graphs)], self.seed)
            for graphs in self.graphs
        ]
        kinds = np.reshape(theirs, (_REFERENCES, -1))
        gain = kinds.mean(axis=0).min() - _log_conductance(graph, self.seed)
        chance = _DEVIATIONS * np.sqrt(kinds.var(axis=0, ddof=1).mean())
        return bool(gain >= max(np.log(_STRUCTURED), chance))


def _log_conductance(graph: sp.csr_matrix, seed: int) -> float:
    """Return the mean logarithm of the conductance of partitions into 2 to 10."""
    counts = [k for k in _TRIED if 2 * k <= graph.shape[0]]
    vectors = leading_eigenvectors(graph, counts[-1], seed=seed)
    criterion = Modularity([graph])
    found = []
    for k in counts:
        labels = _gapless(eigenvector_labels(vectors[:, :k], seed=seed, n_init=3))
        labels = _gapless(criterion.refine(labels, seed=seed))
        found.append(max(conductances(graph, labels).mean(), _LEAST_CONDUCTANCE))
    return float(np.log(found).mean())


def _gapless(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(np.unique(labels, return_inverse=True)[1], dtype=np.int64)
