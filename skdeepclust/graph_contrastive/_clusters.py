"""Where the graph and the clusters come from: algorithm 4.1 of the thesis."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from torch import Tensor

from skdeepclust._partition.agreement import Agreement, FirstClusters
from skdeepclust._partition.candidates import Candidate
from skdeepclust._partition.choice import (
    find_clusters,
    find_table_clusters,
    is_clear,
    matched,
)
from skdeepclust._partition.graphs import sum_of_graphs, table_graphs
from skdeepclust._partition.start import initial_partition, uncenter
from skdeepclust._stages.centers import warn_unclear
from skdeepclust._stages.context import Context, finite_embedding
from skdeepclust._utils.random import draw_seed
from skdeepclust.graph import Modularity
from skdeepclust.graph._build import build_affinities, input_affinities
from skdeepclust.graph._spectral import consensus_labels, kmeans_labels

_SIZES = (1, 2)  # neighborhoods in which partitions are searched, times n_neighbors


@dataclass(frozen=True)
class GraphParameters:
    """Parameters of the graph, and of the clusters that are found in it."""

    graph: Any
    """A name, a matrix, or a transformer."""
    n_neighbors: int
    self_expression_weight: float
    resolution: float | Literal["auto"] | None
    learning_rate: float
    """Of pretraining, for a message."""


@dataclass(frozen=True)
class GivenGraph:
    """The affinities of a user's matrix or transformer."""

    affinity: sp.csr_matrix


@dataclass(frozen=True)
class GraphStart:
    """The graph that is trained on, and the clusters that training starts from."""

    affinity: sp.csr_matrix
    from_input: bool
    """Whether it is the graph of the input, and stays."""
    labels: NDArray[np.int64] | None = None
    modularity: float | None = None
    resolution: float = 1.0
    """Of the modularity by which the clusters were found."""
    kept: NDArray[np.int64] | None = None
    """Clusters of a table, if training must not change them."""
    seed: int = 0
    """Of the search for clusters."""


@dataclass(frozen=True)
class GraphClusters:
    """Builds graphs of the samples, and finds clusters in them."""

    parameters: GraphParameters
    context: Context
    given: GivenGraph | None

    # ------------------------------------------------------------- the first clusters

    def find_start(self, h: Tensor, *, clusters: bool) -> GraphStart:
        """Build the graph of samples embedded at h (n, d), and find first clusters."""
        parameters, seed = self.parameters, draw_seed(self.context.generator)
        embedding = finite_embedding(h, parameters.learning_rate)
        if clusters and parameters.resolution is not None:
            judge = Agreement(self.context.batches, seed, parameters.resolution)
            if self.given is None and not judge.sees_all:
                return self._start_in_part(h, judge)
            if self.kind in ("given", "input"):
                return self._start_in_graph(h, seed, parameters.resolution)
            return self._start_in_embedding(h, seed, parameters.resolution)
        from_input = self.kind == "input"
        own = (self.build_input_graphs(seed) if from_input else self.build_graphs(h))[0]
        if not clusters:
            return GraphStart(own, from_input)
        labels = kmeans_labels(embedding, self.context.n_clusters, seed=seed)
        return GraphStart(own, from_input, labels, Modularity([own])(labels))

    def _start_in_part(self, h: Tensor, judge: Agreement) -> GraphStart:
        """Find clusters of a part of many samples, and extend them to the others."""
        found, kept = judge.find_all(h, self.context.n_clusters)
        warn_unclear(found)
        from_input, seed = self.kind == "input", judge.seed
        own = (self.build_input_graphs(seed) if from_input else self.build_graphs(h))[0]
        labels, value = found.labels, Modularity([own])(found.labels)
        return GraphStart(own, from_input, labels, value, found.resolution, kept, seed)

    def _start_in_graph(
        self, h: Tensor, seed: int, resolution: float | Literal["auto"]
    ) -> GraphStart:
        """Find clusters in the graphs of the input, or in the one that was given.

        Where the graphs of a table are unclear, the embedding has its say as well.
        """
        context, is_image = self.context, self.context.batches.spec.is_image
        find: Callable[..., Candidate] = find_clusters
        is_table = self.given is None and not is_image
        if self.given is not None:
            graphs = {"given": self.given.affinity}
        elif is_image:
            graphs = {"input": self.build_input_graphs(seed)[0]}
        else:
            find = find_table_clusters
            rows = context.batches.map(lambda x: x.flatten(1)).cpu().numpy()
            graphs = table_graphs(rows, self._sizes(len(rows))[-1])
        found = find(graphs, context.n_clusters, resolution=resolution, seed=seed)
        kept = None
        if is_table and not is_clear(found):
            judge = Agreement(context.batches, draw_seed(context.generator), resolution)
            found = judge.find_in_embedding(h, context.n_clusters)
            own = self.build_input_graphs(seed)[0]
        else:
            own = graphs.get("sum", graphs[found.graph])
            if not is_image and is_clear(found):
                kept = found.labels
        warn_unclear(found)
        value = Modularity([own])(found.labels)
        from_input = self.given is None
        return GraphStart(own, from_input, found.labels, value, found.resolution, kept)

    def _start_in_embedding(
        self, h: Tensor, seed: int, resolution: float | Literal["auto"]
    ) -> GraphStart:
        """Find clusters in the graphs of the embedding and the input."""
        graphs = self.build_graphs(h)
        given, wide = self.build_input_graphs(seed)
        start = initial_partition(
            h.cpu().numpy(),
            graphs,
            given,
            self.context.n_clusters,
            may_replace=self.parameters.graph == "auto",
            seed=seed,
        )
        from_input = start.source == "input"
        if from_input:
            voting = {"sum": wide}
        else:
            voting = {"embedding": graphs[-1], "sum": sum_of_graphs(graphs[-1], wide)}
        found = find_clusters(
            voting,
            self.context.n_clusters,
            resolution=resolution,
            seed=seed,
            level=start.labels,
            voting=["sum"],
            telling=[*voting][:1],
        )
        warn_unclear(found)
        return GraphStart(
            start.affinity, from_input, found.labels, start.modularity, found.resolution
        )

    # ------------------------------------------------------------- the final clusters

    def find_end(
        self, h: Tensor, labels: NDArray[np.int64], start: GraphStart
    ) -> NDArray[np.int64]:
        """Find the final clusters of samples embedded at h (n, d).

        Where the first clusters were found at resolution 1, the consensus of the
        `labels` of the head, k-means and the graph; else the best by modularity of the
        head's clusters, the first ones and new ones.
        """
        seed, n_clusters = draw_seed(self.context.generator), self.context.n_clusters
        judge = Agreement(self.context.batches, start.seed, start.resolution)
        if self.given is None and start.labels is not None and not judge.sees_all:
            part = start.labels[judge.index.cpu().numpy()]
            first = FirstClusters(start.seed, part, start.resolution, start.kept)
            return judge.refine(h, labels, first)
        graphs = self.build_graphs(h, start)
        if start.resolution < 1:
            return self._refined(graphs, labels, start, seed)
        embedding = h.cpu().numpy()
        spectral = initial_partition(embedding, graphs, None, n_clusters, seed=seed)
        votes = [
            kmeans_labels(embedding, n_clusters, seed=seed),
            labels,
            spectral.labels,
        ]
        return matched(consensus_labels(votes, n_clusters, seed=seed), labels)

    def kmeans(self, h: Tensor) -> NDArray[np.int64]:
        """Find the final clusters where there is no cluster head: k-means."""
        seed = draw_seed(self.context.generator)
        return kmeans_labels(h.cpu().numpy(), self.context.n_clusters, seed=seed)

    def _refined(
        self,
        graphs: list[sp.csr_matrix],
        labels: NDArray[np.int64],
        start: GraphStart,
        seed: int,
    ) -> NDArray[np.int64]:
        """Return the best of the head's, the first and new clusters, refined."""
        judges = graphs[-1:]
        if self.kind not in ("given", "input") and not start.from_input:
            judges.append(self.build_input_graphs(seed)[-1])
        wide = sum_of_graphs(*judges)
        anew = find_clusters(
            {"sum": wide},
            self.context.n_clusters,
            seed=seed,
            resolution=start.resolution,
        )
        found = [labels, anew.labels]
        if start.labels is not None:
            found.append(start.labels)
        criterion = Modularity(judges, start.resolution)
        unbroken = [np.unique(each, return_inverse=True)[1] for each in found]
        # Modularity of low resolution would rather have fewer clusters.
        most = max(each.max() for each in unbroken)
        refined = [
            criterion.refine(each, seed=seed) for each in unbroken if each.max() == most
        ]
        return matched(max(refined, key=criterion), labels)

    # ------------------------------------------------------------------------- graphs

    def build_graphs(
        self, h: Tensor, start: GraphStart | None = None
    ) -> list[sp.csr_matrix]:
        """Build the graph to train on, then others to search partitions in.

        Just the one that was given or is the input's, or graphs of the embedding h
        (n, d), of two numbers of neighbors.
        """
        if start is not None and start.from_input:
            return [start.affinity]
        if self.given is not None:
            return [self.given.affinity]
        return build_affinities(
            h, self.kind, self._sizes(len(h)), self.parameters.self_expression_weight
        )

    def build_input_graphs(self, seed: int) -> list[sp.csr_matrix]:
        """Build graphs of the samples by cosine, of two numbers of neighbors."""
        batches = self.context.batches
        rows = batches.map(lambda x: x.flatten(1))
        if not batches.spec.is_image:
            uncenter(rows, batches.spec)
        return input_affinities(
            rows, self._sizes(len(rows)), project=batches.spec.is_image, seed=seed
        )

    def _sizes(self, n_samples: int) -> list[int]:
        k = self.parameters.n_neighbors
        sizes = {min(factor * k, n_samples - 1) for factor in _SIZES}
        return [min(sizes), max(sizes)]

    @property
    def kind(self) -> str:
        """Where the graph comes from."""
        if self.given is not None:
            return "given"
        if self.parameters.graph != "auto":
            return str(self.parameters.graph)
        # Views of tables are guesses; the neighbors of their rows are not.
        is_image = self.context.batches.spec.is_image
        return "self_expression" if is_image else "input"
