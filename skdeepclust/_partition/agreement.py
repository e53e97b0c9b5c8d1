"""Clusters that nearest neighbors agree with: the first ones, and refined ones."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from skdeepclust._partition.candidates import Candidate
from skdeepclust._partition.choice import (
    find_clusters,
    find_table_clusters,
    is_clear,
    is_even,
    matched,
)
from skdeepclust._partition.graphs import (
    neighbor_shares,
    sum_of_graphs,
    table_graphs,
    uncenter,
)
from skdeepclust.graph import Modularity
from skdeepclust.graph._build import build_affinities, input_affinities
from skdeepclust.training.data import Batches

_NEIGHBORS = 10  # of each sample, as in `score`
_STARTS = 10  # of k-means, for each number of parts
_PARTS = (1, 3)  # that are merged to K clusters, in units of K
_MAX_SAMPLES = 20_000  # whose neighbors are searched: the search is quadratic
_MAX_VALUES = 2**25  # of these samples, 128 MB
_MAX_TABLE = 2**24  # of rows of a table, whose graphs are built in float64


@dataclass(frozen=True)
class FirstClusters:
    """The clusters that are found after pretraining."""

    seed: int
    """Of the search for clusters, then and later."""
    labels: NDArray[np.int64] | None
    """Of the samples that are looked at; None if graphs were not asked."""
    resolution: float
    """Of the modularity that they were found by."""
    kept: NDArray[np.int64] | None
    """Clusters of all samples, if training is not to change them."""


class Agreement:
    """Finds, judges and refines clusters by neighbors in embedding and input.

    Clusters of tables are searched in the graphs of their rows: no view of a table is
    known to keep what its rows are, and where these graphs are clear, their clusters
    are kept. Clusters of images are searched in the embedding: by k-means into K parts,
    or into more parts that are merged, as clusters need not be balls. The modularity on
    the graphs of embedding and input together tells which is best. Where clusters of
    one size are not plausible, `find_clusters` finds others.

    Of more than 20,000 samples, or 2**25 values (of tables 2**24), a random part is
    looked at.
    """

    def __init__(
        self, batches: Batches, seed: int, resolution: float | Literal["auto"]
    ) -> None:
        self.batches = batches
        self.seed = seed
        self.resolution = resolution
        self.index = self._draw_index()
        self._input_graph: sp.csr_matrix | None = None
        # The graph of the embedding that was looked at last.
        self._embedding: Tensor | None = None

    def find_centers(
        self, h: Tensor, n_clusters: int
    ) -> tuple[Tensor, Candidate, NDArray[np.int64] | None]:
        """Find clusters of the samples that are looked at.

        Comes with their means in the embedding h (n, d), fewer if fewer rows are
        distinct, and with clusters of all samples, if training is not to change them.
        """
        index, kept, found = self.index, None, None
        if not self.batches.spec.is_image:
            rows = self.batches.rows(index.cpu().numpy())
            found = find_table_clusters(
                table_graphs(rows, min(_NEIGHBORS, len(rows) - 1)),
                min(n_clusters, len(index)),
                seed=self.seed,
                resolution=self.resolution,
            )
            if is_clear(found):
                kept = self.batches.group.same(self._extended(found.labels))
        if found is None or kept is None:
            found = self._find_in_embedding(h, n_clusters)
        found = self.batches.group.same(found)
        return self._means(h[index], found.labels), found, kept

    def find_all(
        self, h: Tensor, n_clusters: int
    ) -> tuple[Candidate, NDArray[np.int64] | None]:
        """Find clusters of all samples, as `find_centers` does, and those to keep."""
        means, found, kept = self.find_centers(h, n_clusters)
        if kept is not None:
            return replace(found, labels=kept), kept
        return self._everywhere(found, h, means), None

    def find_in_embedding(self, h: Tensor, n_clusters: int) -> Candidate:
        """Find clusters of all samples in the embedding h (n, d) alone."""
        found = self._find_in_embedding(h, n_clusters)
        return self._everywhere(found, h, self._means(h[self.index], found.labels))

    @property
    def sees_all(self) -> bool:
        """Whether all samples are looked at."""
        return len(self.index) == len(self.batches)

    def refine(
        self, h: Tensor, labels: NDArray[np.int64], first: FirstClusters
    ) -> NDArray[np.int64]:
        """Move samples to the clusters of their neighbors in the embedding h (n, d).

        Training must not lose what the start knew. So the first clusters are refined,
        too, and where they were not of one size, clusters that are found anew. What
        has the largest modularity is taken. Samples that are not looked at keep their
        clusters.
        """
        place = self.index.cpu().numpy()
        criterion = Modularity(self.graphs(h), first.resolution)
        found = [labels[place]]
        if first.labels is not None:
            found.append(matched(first.labels, found[0]))
            if first.resolution < 1 and self.batches.spec.is_image:
                n_clusters = int(first.labels.max()) + 1
                anew = find_clusters(
                    self._own_graphs(h[self.index]),
                    n_clusters,
                    seed=self.seed,
                    resolution=first.resolution,
                    voting=["sum"],
                )
                found.append(matched(anew.labels, found[0]))
        # Modularity of low resolution would rather have fewer clusters.
        used = [len(np.unique(each)) for each in found]
        refined = [
            self._refined(criterion, each)
            for each, n in zip(found, used, strict=True)
            if n == max(used)
        ]
        moved = labels.copy()
        moved[place] = max(refined, key=criterion)
        return moved

    def move(
        self, h: Tensor, labels: NDArray[np.int64], resolution: float
    ) -> NDArray[np.int64]:
        """Move samples to the clusters of their neighbors."""
        moved, place = labels.copy(), self.index.cpu().numpy()
        criterion = Modularity(self.graphs(h), resolution)
        moved[place] = self._refined(criterion, labels[place])
        return moved

    def votes(
        self, h: Tensor, labels: NDArray[np.int64], n_clusters: int
    ) -> NDArray[np.float32]:
        """Return how sure each cluster is of a sample, (n, K); rows sum to 1.

        Half is for the sample's own cluster, half for those of its neighbors in both
        graphs. Samples that are not looked at have no doubts.
        """
        shares: NDArray[np.float32] = np.eye(n_clusters, dtype=np.float32)[labels]
        place = self.index.cpu().numpy()
        own, graphs = shares[place], self.graphs(h)
        for graph in graphs:
            shares[place] += neighbor_shares(graph, own) / len(graphs)
        shares /= shares.sum(axis=1, keepdims=True)
        return shares

    def graphs(self, h: Tensor) -> list[Any]:
        """Build the graphs that judge, of the embedding h (n, d) and of the input."""
        if self._embedding is not h:
            n_neighbors = min(_NEIGHBORS, len(self.index) - 1)
            (self._embedding_graph,) = build_affinities(
                h[self.index], "knn", [n_neighbors]
            )
            self._embedding = h
        return [self._embedding_graph, self.input_graph]

    def _everywhere(self, found: Candidate, h: Tensor, means: Tensor) -> Candidate:
        """Let samples that are not looked at join the nearest mean."""
        labels = torch.cdist(h, means).argmin(1).cpu().numpy()
        labels[self.index.cpu().numpy()] = found.labels
        return replace(found, labels=labels)

    def _means(self, h: Tensor, labels: NDArray[np.int64]) -> Tensor:
        member = torch.from_numpy(np.unique(labels)[:, None] == labels).to(h)
        return member @ h / member.sum(1, keepdim=True)

    def _find_in_embedding(self, h: Tensor, n_clusters: int) -> Candidate:
        own = h[self.index]
        rows = own.cpu().numpy()
        n_distinct = len(np.unique(rows, axis=0))
        n_clusters = min(n_clusters, n_distinct)
        criterion = Modularity(self.graphs(h), 1.0)
        rng = np.random.RandomState(self.seed)
        levels = []
        for n_parts in (min(parts * n_clusters, n_distinct) for parts in _PARTS):
            runs = [
                KMeans(n_parts, n_init=1, random_state=rng).fit(rows).labels_
                for _ in range(_STARTS)
            ]
            unbroken = [np.unique(run, return_inverse=True)[1] for run in runs]
            merged = [criterion.merge(run, n_clusters) for run in unbroken]
            levels.append(self._refined(criterion, max(merged, key=criterion)))
        # The level stands for clusters of one size, which merged parts need not have.
        even = [labels for labels in levels if is_even(labels, n_clusters)]
        level = max(even or levels, key=criterion)
        return find_clusters(
            self._own_graphs(own),
            n_clusters,
            seed=self.seed,
            resolution=self.resolution,
            level=np.unique(level, return_inverse=True)[1],
            voting=["sum"],
            telling=["embedding"],
        )

    def _own_graphs(self, h: Tensor) -> dict[str, sp.csr_matrix]:
        n_neighbors = min(_NEIGHBORS, len(h) - 1)
        (own,) = build_affinities(h, "self_expression", [n_neighbors])
        return {"embedding": own, "sum": sum_of_graphs(own, self.input_graph)}

    def _extended(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give all other samples the clusters of neighbors that are looked at."""
        n, place = len(self.batches), self.index.cpu().numpy()
        if len(place) == n:
            return labels
        nearest = KNeighborsClassifier(_NEIGHBORS).fit(self.batches.rows(place), labels)
        # As many as are looked at: all of a large file would not fit.
        starts = range(0, n, len(place))
        parts = [np.arange(n)[start : start + len(place)] for start in starts]
        extended: NDArray[np.int64] = np.concatenate(
            [nearest.predict(self.batches.rows(part)) for part in parts]
        )
        return extended

    def _refined(
        self, criterion: Modularity, labels: NDArray[np.integer]
    ) -> NDArray[np.int64]:
        # Without gaps, which the criterion could not keep.
        names, labels = np.unique(labels, return_inverse=True)
        refined: NDArray[np.int64] = names[criterion.refine(labels, seed=self.seed)]
        return refined

    @property
    def input_graph(self) -> sp.csr_matrix:
        """The graph of the input, which is built when it is first needed."""
        if self._input_graph is None:
            rows = torch.from_numpy(self.batches.rows(self.index.cpu().numpy()))
            if not self.batches.spec.is_image:
                uncenter(rows, self.batches.spec)
            n_neighbors = min(_NEIGHBORS, len(rows) - 1)
            (self._input_graph,) = input_affinities(
                rows, [n_neighbors], project=True, seed=self.seed
            )
        return self._input_graph

    def _draw_index(self) -> Tensor:
        """Return the places of the samples that are looked at."""
        n = len(self.batches)
        places = np.arange(n)
        n_values = self.batches.rows(places[:1]).size
        n_kept = _MAX_VALUES if self.batches.spec.is_image else _MAX_TABLE
        n_most = max(2, min(_MAX_SAMPLES, n_kept // n_values))
        if n > n_most:
            rng = np.random.default_rng(self.seed)
            places = np.sort(rng.choice(n, n_most, replace=False))
        return torch.from_numpy(places).to(self.batches.device)
