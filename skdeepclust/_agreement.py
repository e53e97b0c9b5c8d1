"""Clusters that nearest neighbours agree with: a better start, and a last word."""

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from skdeepclust._warm_start import build_affinities, input_affinity, uncenter
from skdeepclust.graph import Modularity
from skdeepclust.training import Batches, Remembering, draw_seed

_NEIGHBORS = 10  # of each sample, as in `score`
_STARTS = 20  # of k-means
_MAX_SAMPLES = 20_000  # whose neighbours are sought: the search is quadratic
_MAX_VALUES = 2**25  # of these samples, 128 MB
_MAX_SIDE = 32  # of images, which are made smaller
_AT_ONCE = 512  # samples that are read


class Agreement(Remembering):
    """Judges and refines clusters by neighbours in the embedding and in the input.

    Starts of k-means end in clusters of much the same inertia, some of which tear apart
    what lies close. The modularity on two graphs together tells them: of the nearest
    neighbours in the embedding, and of those among the samples themselves. Of more than
    20,000 samples, or 2**25 values, a random part is looked at.

    Parameters
    ----------
    batches : Batches
        The training data.
    generator : torch.Generator
        Draws a seed when it is needed first.
    resolution : float, default=1.0
        Of the modularity.

    Attributes
    ----------
    seed : int
        Seeds all of it.
    """

    _remembered = ("seed",)

    def __init__(
        self, batches: Batches, generator: torch.Generator, resolution: float = 1.0
    ) -> None:
        self.resolution = resolution
        self.batches = batches
        self.generator = generator
        self.index: Tensor | None = None
        self.input_graph: sp.csr_matrix | None = None

    def kmeans_centers(self, h: Tensor, n_clusters: int) -> Tensor:
        """Return the means of the k-means clusters that neighbours agree with most.

        Parameters
        ----------
        h : Tensor of shape (n_samples, n_components)
            Embedding.
        n_clusters : int
            Number of clusters K.

        Returns
        -------
        Tensor of shape (n_clusters, n_components)
            Means of the clusters, once refined; fewer if fewer rows are distinct.
        """
        h = h[self._seek()]
        criterion, rows = self._criterion(h), h.cpu().numpy()
        n_clusters = min(n_clusters, len(np.unique(rows, axis=0)))
        rng = np.random.RandomState(self.seed)
        runs = [
            KMeans(n_clusters, n_init=1, random_state=rng).fit(rows).labels_
            for _ in range(_STARTS)
        ]
        labels = self._refined(criterion, max(runs, key=criterion))
        member = torch.from_numpy(np.unique(labels)[:, None] == labels).to(h)
        return member @ h / member.sum(1, keepdim=True)

    def refine(self, h: Tensor, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Move samples to the clusters of their neighbours.

        Parameters
        ----------
        h : Tensor of shape (n_samples, n_components)
            Embedding.
        labels : ndarray of shape (n_samples,)
            Clusters, from 0.

        Returns
        -------
        ndarray of shape (n_samples,)
            With as many clusters. Samples that are not looked at keep theirs.
        """
        index = self._seek()
        place = index.cpu().numpy()
        moved = labels.copy()
        moved[place] = self._refined(self._criterion(h[index]), labels[place])
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
        return Modularity(self._graphs(h), self.resolution)

    def _graphs(self, h: Tensor) -> list[Any]:
        n_neighbors = min(_NEIGHBORS, len(h) - 1)
        return [*build_affinities(h, "knn", [n_neighbors]), self.input_graph]

    def _seek(self) -> Tensor:
        """Return the samples that are looked at; at first, link them."""
        if self.index is not None:
            return self.index
        if not hasattr(self, "seed"):
            self.seed = draw_seed(self.generator)
        spec, n = self.batches.spec, len(self.batches)
        places = np.arange(n)
        one = self._small(places[:1])
        n_most = max(2, min(_MAX_SAMPLES, _MAX_VALUES // one.numel()))
        if n > n_most:
            rng = np.random.default_rng(self.seed)
            places = np.sort(rng.choice(n, n_most, replace=False))
        rows = one.new_empty((len(places), one.numel()))
        for start in range(0, len(places), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            rows[part] = self._small(places[part])
        if not spec.is_image:
            uncenter(rows, spec)
        n_neighbors = min(_NEIGHBORS, len(rows) - 1)
        self.input_graph = input_affinity(
            rows, n_neighbors, project=True, seed=self.seed
        )
        self.index = torch.from_numpy(places).to(self.generator.device)
        return self.index

    def _small(self, places: NDArray[np.int64]) -> Tensor:
        """Return samples as rows, large images made smaller."""
        x = self.batches.take(torch.from_numpy(places).to(self.generator.device))
        if self.batches.spec.is_image and max(x.shape[2:]) > _MAX_SIDE:
            height, width = (min(side, _MAX_SIDE) for side in x.shape[2:])
            x = adaptive_avg_pool2d(x, (height, width))
        return x.flatten(1)
