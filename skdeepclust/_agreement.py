"""Clusters that nearest neighbors agree with: the first ones, and refined ones."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from skdeepclust._partition import (
    Candidate,
    find_clusters,
    find_table_clusters,
    is_clear,
    matched,
    sum_of_graphs,
    table_graphs,
)
from skdeepclust._warm_start import build_affinities, input_affinities, uncenter
from skdeepclust.graph import Modularity
from skdeepclust.training import Batches, Remembering, draw_seed

_NEIGHBORS = 10  # of each sample, as in `score`
_STARTS = 20  # of k-means
_MAX_SAMPLES = 20_000  # whose neighbours are sought: the search is quadratic
_MAX_VALUES = 2**25  # of these samples, 128 MB
_MAX_TABLE = 2**24  # of rows of a table, whose graphs are built in float64


class Agreement(Remembering):
    """Finds, judges and refines clusters by neighbours in embedding and input.

    Of tables the clusters are sought in the graphs of their rows: no view of a table is
    known to keep what its rows are, and where these graphs are clear, their clusters
    are kept. Of images they are sought in the embedding. Starts of k-means end in
    clusters of much the same inertia, some of which tear apart what lies close; the
    modularity on the graphs of embedding and input together tells them. Where its
    clusters of one size are not to be believed, `find_clusters` finds others.

    Of more than 20,000 samples, or 2**25 values (of tables 2**24), a random part is
    looked at.

    Parameters
    ----------
    batches : Batches
        The training data.
    generator : torch.Generator
        Draws a seed when it is needed first.
    resolution : float or "auto", default="auto"
        Of the modularity; see `find_clusters`.

    Attributes
    ----------
    seed : int
        Seeds all of it.
    found_resolution : float
        At which the first clusters were found; at 1 before.
    first : ndarray or None
        Clusters of the samples that are looked at, as they were found first.
    kept : ndarray of shape (n_samples,) or None
        Clusters that training is not to change.
    """

    _remembered = ("seed", "found_resolution", "first", "kept")

    def __init__(
        self,
        batches: Batches,
        generator: torch.Generator,
        resolution: float | Literal["auto"] = "auto",
    ) -> None:
        self.resolution = resolution
        self.batches = batches
        self.generator = generator
        self.index: Tensor | None = None
        self.input_graph: sp.csr_matrix | None = None
        self.found_resolution = 1.0 if resolution == "auto" else float(resolution)
        self.first: NDArray[np.int64] | None = None
        self.kept: NDArray[np.int64] | None = None

    def find_centers(self, h: Tensor, n_clusters: int) -> tuple[Tensor, Candidate]:
        """Find clusters, and return their means in the embedding.

        Parameters
        ----------
        h : Tensor of shape (n_samples, n_components)
            Embedding.
        n_clusters : int
            Number of clusters K.

        Returns
        -------
        centers : Tensor of shape (n_clusters, n_components)
            Means of the clusters; fewer if fewer rows are distinct.
        found : Candidate
            The clusters of the samples that are looked at.
        """
        index = self._seek()
        found = None
        if not self.batches.spec.is_image:
            rows = self.batches.rows(index.cpu().numpy())
            found = find_table_clusters(
                table_graphs(rows, min(_NEIGHBORS, len(rows) - 1)),
                min(n_clusters, len(index)),
                seed=self.seed,
                resolution=self.resolution,
            )
            if is_clear(found):
                self.kept = self.batches.group.same(self._extended(found.labels))
        if found is None or self.kept is None:
            found = self._find_in_embedding(h[index], n_clusters)
        found = self.batches.group.same(found)
        self.found_resolution, self.first = found.resolution, found.labels
        return self._means(h[index], found.labels), found

    def find_in_embedding(self, h: Tensor, n_clusters: int) -> Candidate:
        """Find clusters of all samples in the embedding alone.

        Parameters
        ----------
        h : Tensor of shape (n_samples, n_components)
            Embedding.
        n_clusters : int
            Number of clusters K.

        Returns
        -------
        Candidate
            Of all samples. Those outside the random part join the nearest mean.
        """
        index = self._seek()
        found = self._find_in_embedding(h[index], n_clusters)
        means = self._means(h[index], found.labels)
        labels = torch.cdist(h, means).argmin(1).cpu().numpy()
        labels[index.cpu().numpy()] = found.labels
        return replace(found, labels=labels)

    def _means(self, h: Tensor, labels: NDArray[np.int64]) -> Tensor:
        member = torch.from_numpy(np.unique(labels)[:, None] == labels).to(h)
        return member @ h / member.sum(1, keepdim=True)

    def _find_in_embedding(self, h: Tensor, n_clusters: int) -> Candidate:
        rows = h.cpu().numpy()
        n_clusters = min(n_clusters, len(np.unique(rows, axis=0)))
        criterion = Modularity(self._graphs(h), 1.0)
        rng = np.random.RandomState(self.seed)
        runs = [
            KMeans(n_clusters, n_init=1, random_state=rng).fit(rows).labels_
            for _ in range(_STARTS)
        ]
        level = self._refined(criterion, max(runs, key=criterion))
        return find_clusters(
            self._own_graphs(h),
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
        return {"embedding": own, "sum": sum_of_graphs(own, self._given())}

    def _extended(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give all other samples the clusters of neighbours that are looked at."""
        assert self.index is not None
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

    def refine(self, h: Tensor, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Move samples to the clusters of their neighbours.

        Training must not lose what the start knew. So the first clusters are refined,
        too, and where they were not of one size, clusters that are found anew. What
        has the largest modularity is taken.

        Parameters
        ----------
        h : Tensor of shape (n_samples, n_components)
            Embedding.
        labels : ndarray of shape (n_samples,)
            Clusters, from 0.

        Returns
        -------
        ndarray of shape (n_samples,)
            Clusters. Samples that are not looked at keep theirs.
        """
        index = self._seek()
        place, own = index.cpu().numpy(), h[index]
        criterion = self._criterion(own)
        found = [labels[place]]
        if self.first is not None:
            found.append(matched(self.first, found[0]))
            if self.found_resolution < 1 and self.batches.spec.is_image:
                n_clusters = int(self.first.max()) + 1
                anew = find_clusters(
                    self._own_graphs(own),
                    n_clusters,
                    seed=self.seed,
                    resolution=self.found_resolution,
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

    def votes(
        self, h: Tensor, labels: NDArray[np.int64], n_clusters: int
    ) -> NDArray[np.float32]:
        """Return how sure a cluster is: the share of neighbours that are in it, too.

        Parameters
        ----------
        h : Tensor of shape (n_samples, n_components)
            Embedding.
        labels : ndarray of shape (n_samples,)
            Clusters, from 0.
        n_clusters : int
            Number of clusters K.

        Returns
        -------
        ndarray of shape (n_samples, n_clusters)
            Rows sum to 1: half for the sample's own cluster, half for those of its
            neighbours in both graphs. Samples that are not looked at have no doubts.
        """
        shares = np.eye(n_clusters, dtype=np.float32)[labels]
        index = self._seek()
        place = index.cpu().numpy()
        own, graphs = shares[place], self._graphs(h[index])
        for graph in graphs:
            votes, n_votes = graph @ own, graph.sum(axis=1)
            # Who has no neighbours is not contradicted.
            votes = np.where(n_votes > 0, votes / np.maximum(n_votes, 1e-12), own)
            shares[place] += votes / len(graphs)
        return shares / shares.sum(axis=1, keepdims=True)

    def _refined(
        self, criterion: Modularity, labels: NDArray[np.integer]
    ) -> NDArray[np.int64]:
        # Without gaps, which the criterion could not keep.
        names, labels = np.unique(labels, return_inverse=True)
        refined: NDArray[np.int64] = names[criterion.refine(labels, seed=self.seed)]
        return refined

    def _criterion(self, h: Tensor) -> Modularity:
        return Modularity(self._graphs(h), self.found_resolution)

    def _graphs(self, h: Tensor) -> list[Any]:
        n_neighbors = min(_NEIGHBORS, len(h) - 1)
        return [*build_affinities(h, "knn", [n_neighbors]), self._given()]

    def _given(self) -> sp.csr_matrix:
        """Return the graph of the input, which is built when it is first needed."""
        if self.input_graph is None:
            rows = torch.from_numpy(self.batches.rows(self._seek().cpu().numpy()))
            if not self.batches.spec.is_image:
                uncenter(rows, self.batches.spec)
            n_neighbors = min(_NEIGHBORS, len(rows) - 1)
            (self.input_graph,) = input_affinities(
                rows, [n_neighbors], project=True, seed=self.seed
            )
        return self.input_graph

    def _seek(self) -> Tensor:
        """Return the samples that are looked at, which are drawn once."""
        if self.index is not None:
            return self.index
        if not hasattr(self, "seed"):
            self.seed = draw_seed(self.generator)
        n = len(self.batches)
        places = np.arange(n)
        n_values = self.batches.rows(places[:1]).size
        n_kept = _MAX_VALUES if self.batches.spec.is_image else _MAX_TABLE
        n_most = max(2, min(_MAX_SAMPLES, n_kept // n_values))
        if n > n_most:
            rng = np.random.default_rng(self.seed)
            places = np.sort(rng.choice(n, n_most, replace=False))
        self.index = torch.from_numpy(places).to(self.generator.device)
        return self.index
