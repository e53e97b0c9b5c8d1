"""Where GraphContrastiveClustering finds its graph and its clusters: algorithm 4.1."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from skdeepclust._agreement import Agreement
from skdeepclust._center_stage import warn_unclear
from skdeepclust._partition import (
    Candidate,
    find_clusters,
    find_table_clusters,
    is_clear,
    matched,
    sum_of_graphs,
    table_graphs,
)
from skdeepclust._run import check_finite
from skdeepclust._spectral import consensus_labels, kmeans_labels
from skdeepclust._warm_start import (
    WarmStart,
    build_affinities,
    input_affinities,
    spectral_start,
    symmetrized,
    uncenter,
)
from skdeepclust.graph import Modularity
from skdeepclust.training import Batches, Remembering, draw_seed

_EMBEDDED = ("self_expression", "candidates", "exact", "knn")  # of the embedding
_SIZES = (1, 2)  # neighborhoods in which partitions are sought, times n_neighbors


class GraphClusters(Remembering):
    """Builds graphs of the samples, and finds clusters in them.

    Parameters
    ----------
    estimator : GraphContrastiveClustering
        Gives the parameters.
    batches : Batches
        The training data.
    generator : torch.Generator
        Draws everything that is random.

    Attributes
    ----------
    input_graph : scipy.sparse.csr_matrix or None
        The graph of the input, where it is the one to train on.
    resolution : float
        Of the modularity by which the first clusters were found; 1 before.
    first : ndarray of shape (n_samples,) or None
        The first clusters.
    kept : ndarray of shape (n_samples,) or None
        Clusters of a table, if training must not change them.
    """

    _remembered = ("input_graph", "resolution", "first", "kept")

    def __init__(
        self, estimator: Any, batches: Batches, generator: torch.Generator
    ) -> None:
        self.params = estimator
        self.batches = batches
        self.generator = generator
        self.input_graph: sp.csr_matrix | None = None
        self.resolution = 1.0
        self.first: NDArray[np.int64] | None = None
        self.kept: NDArray[np.int64] | None = None

    def find_start(self, h: Tensor) -> WarmStart:
        """Build the graph and the clusters that training starts from.

        Parameters
        ----------
        h : Tensor of shape (n_samples, n_components)
            Embedding.

        Returns
        -------
        WarmStart
            By ``init``.
        """
        params, seed = self.params, draw_seed(self.generator)
        embedding = h.cpu().numpy()
        check_finite(embedding, params.learning_rate)
        kind = self._kind()
        if kind == "input" and (
            self.batches.spec.is_image or params.init != "spectral"
        ):
            self.input_graph = self.build_input_graphs(seed)[0]
        if params.init == "spectral":
            if kind in _EMBEDDED:
                return self._start_in_embedding(h, seed)
            return self._start_in_graph(h, seed)
        graphs = self.build_graphs(h)
        if params.init == "kmeans":
            labels = kmeans_labels(embedding, params.n_clusters_, seed=seed)
        else:
            labels = np.random.default_rng(seed).integers(
                params.n_clusters_, size=len(h)
            )
        value = Modularity(graphs[:1])(labels)
        return WarmStart(graphs[0], labels, value, params.init)

    def _start_in_graph(self, h: Tensor, seed: int) -> WarmStart:
        """Find clusters in the graphs of a table, or in the one that was given.

        Where the graphs of a table are unclear, the embedding has its say as well.
        """
        find: Callable[..., Candidate] = find_clusters
        if self._kind() == "precomputed":
            graphs = {"given": symmetrized(self.params.graph)}
        elif self.batches.spec.is_image:
            assert self.input_graph is not None
            graphs = {"input": self.input_graph}
        else:
            find, graphs = find_table_clusters, self._table_graphs()
        found = find(graphs, **self._how(seed))
        if find is find_table_clusters and not is_clear(found):
            agreement = Agreement(self.batches, self.generator, self.params.resolution)
            found = agreement.find_in_embedding(h, self.params.n_clusters_)
            own = self.build_input_graphs(seed)[0]
        else:
            own = graphs.get("sum", graphs[found.graph])
            if not self.batches.spec.is_image and is_clear(found):
                self.kept = found.labels
        if find is find_table_clusters:
            self.input_graph = own
        self._note(found)
        value = Modularity([own])(found.labels)
        return WarmStart(own, found.labels, value, found.graph)

    def _start_in_embedding(self, h: Tensor, seed: int) -> WarmStart:
        """Find clusters in the embedding's graphs and, unless barred, the input's."""
        params = self.params
        graphs, given = self.build_graphs(h), None
        if params.input_neighbors:
            given, wide = self.build_input_graphs(seed)
        start = spectral_start(
            h.cpu().numpy(),
            graphs,
            given,
            params.n_clusters_,
            may_replace=params.graph == "auto",
            seed=seed,
        )
        if start.source == "input":
            self.input_graph = given
            voting = {"sum": wide}
        else:
            beside = [] if given is None else [wide]
            total = sum_of_graphs(graphs[-1], *beside)
            voting = {"embedding": graphs[-1], "sum": total}
        found = find_clusters(
            voting,
            level=start.labels,
            voting=["sum"],
            telling=[*voting][:1],
            **self._how(seed),
        )
        return replace(start, labels=self._note(found).labels)

    def _how(self, seed: int) -> dict[str, Any]:
        params = self.params
        return {
            "n_clusters": params.n_clusters_,
            "resolution": params.resolution,
            "seed": seed,
        }

    def _note(self, found: Candidate) -> Candidate:
        warn_unclear(found)
        self.resolution = found.resolution
        return found

    def find_end(self, h: Tensor, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Find the final clusters.

        Parameters
        ----------
        h : Tensor of shape (n_samples, n_components)
            Embedding.
        labels : ndarray of shape (n_samples,)
            Clusters of the head.

        Returns
        -------
        ndarray of shape (n_samples,)
            Where the first clusters were found at resolution 1, the consensus of the
            head, k-means and the graph; else the best by modularity of the head's
            clusters, the first ones and new ones. With ``level="instance"``, k-means.
        """
        params, seed = self.params, draw_seed(self.generator)
        embedding = h.cpu().numpy()
        if params.level == "instance":
            return kmeans_labels(embedding, params.n_clusters_, seed=seed)
        graphs = self.build_graphs(h)
        if self.resolution < 1:
            return self._refined(graphs, labels, seed)
        start = spectral_start(embedding, graphs, None, params.n_clusters_, seed=seed)
        votes = [
            kmeans_labels(embedding, params.n_clusters_, seed=seed),
            labels,
            start.labels,
        ]
        return consensus_labels(votes, params.n_clusters_, seed=seed)

    def _refined(
        self, graphs: list[sp.csr_matrix], labels: NDArray[np.int64], seed: int
    ) -> NDArray[np.int64]:
        """Return the best of the head's, the first and new clusters, refined."""
        judges = graphs[-1:]
        embedded = self._kind() in _EMBEDDED and self.input_graph is None
        if embedded and self.params.input_neighbors:
            judges.append(self.build_input_graphs(seed)[-1])
        wide = sum_of_graphs(*judges)
        anew = find_clusters(
            {"sum": wide},
            self.params.n_clusters_,
            seed=seed,
            resolution=self.resolution,
        )
        found = [labels, anew.labels]
        if self.first is not None:
            found.append(self.first)
        criterion = Modularity(judges, self.resolution)
        unbroken = [np.unique(each, return_inverse=True)[1] for each in found]
        # Modularity of low resolution would rather have fewer clusters.
        most = max(each.max() for each in unbroken)
        refined = [
            criterion.refine(each, seed=seed) for each in unbroken if each.max() == most
        ]
        return matched(max(refined, key=criterion), labels)

    def build_graphs(self, h: Tensor) -> list[sp.csr_matrix]:
        """Build the graph to train on, then others to seek partitions in.

        Parameters
        ----------
        h : Tensor of shape (n_samples, n_components)
            Embedding.

        Returns
        -------
        list of scipy.sparse.csr_matrix
            Just the one that was given or is the input's, or of two sizes of
            neighbourhoods.
        """
        params = self.params
        if self.input_graph is not None:
            return [self.input_graph]
        kind = self._kind()
        if kind == "precomputed":
            return [symmetrized(params.graph)]
        return build_affinities(
            h, kind, self._sizes(len(h)), params.self_expression_weight
        )

    def build_input_graphs(self, seed: int) -> list[sp.csr_matrix]:
        """Build graphs of the samples themselves.

        Parameters
        ----------
        seed : int
            Seeds what is random in them.

        Returns
        -------
        list of scipy.sparse.csr_matrix
            Of nearest neighbours by cosine, of two sizes of neighbourhoods.
        """
        spec = self.batches.spec
        rows = self.batches.map(lambda x: x.flatten(1))
        if not spec.is_image:
            uncenter(rows, spec)
        return input_affinities(
            rows, self._sizes(len(rows)), project=spec.is_image, seed=seed
        )

    def _table_graphs(self) -> dict[str, sp.csr_matrix]:
        rows = self.batches.map(lambda x: x.flatten(1)).cpu().numpy()
        return table_graphs(rows, self._sizes(len(rows))[-1])

    def _sizes(self, n_samples: int) -> list[int]:
        sizes = {min(f * self.params.n_neighbors, n_samples - 1) for f in _SIZES}
        return [min(sizes), max(sizes)]

    def _kind(self) -> str:
        params = self.params
        if not isinstance(params.graph, str):
            return "precomputed"
        if params.graph != "auto":
            return str(params.graph)
        # Views of tables are guesses; the neighbours of their rows are not.
        from_input = not self.batches.spec.is_image and params.input_neighbors
        return "input" if from_input else "self_expression"
