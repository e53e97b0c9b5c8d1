"""Where the graph and the clusters come from: algorithm 4.1 of the thesis."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from torch import Tensor

from skdeepclust._partition.agreement import Agreement, FirstClusters
from skdeepclust._partition.candidates import Candidate, CandidateSource
from skdeepclust._partition.choice import (
    find_clusters,
    find_table_clusters,
    is_clear,
    matched,
)
from skdeepclust._partition.graphs import table_graphs, uncenter
from skdeepclust._stages.calibration import calibrate
from skdeepclust._stages.centers import warn_unclear
from skdeepclust._stages.context import Context, finite_embedding
from skdeepclust._utils.random import draw_seed
from skdeepclust.graph import Modularity
from skdeepclust.graph._build import build_affinities, input_affinities
from skdeepclust.graph._spectral import consensus_labels, kmeans_labels

_SEARCHED = (1, 2)  # times `n_neighbors` have graphs in which partitions are searched


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
    judge: Callable[[int], Agreement]
    """Of a seed; it keeps the graph of the input, which both ends of training need."""

    # ------------------------------------------------------------- the first clusters

    def find_start(self, h: Tensor, *, clusters: bool) -> GraphStart:
        """Build the graph of samples embedded at h (n, d), and find first clusters."""
        parameters, seed = self.parameters, draw_seed(self.context.generator)
        embedding = finite_embedding(h, parameters.learning_rate)
        if clusters and parameters.resolution is not None:
            judge = self.judge(seed)
            in_graph = self.kind == "input" and judge.sees_all
            if in_graph or self.given is not None:
                return self._start_in_graph(h, judge, parameters.resolution)
            return self._start_in_embedding(h, judge)
        from_input, own = self.kind == "input", self._own_graph(h, seed)
        if not clusters:
            return GraphStart(own, from_input)
        labels = kmeans_labels(embedding, self.context.n_clusters, seed=seed)
        return GraphStart(own, from_input, labels, Modularity([own])(labels))

    def _start_in_embedding(self, h: Tensor, judge: Agreement) -> GraphStart:
        """Find clusters in embedding and input; of many samples, in a part of them."""
        found, kept = judge.find_all(h, self.context.n_clusters)
        warn_unclear(found)
        from_input, seed = self.kind == "input", judge.seed
        own = self._own_graph(h, seed)
        labels, value = found.labels, Modularity([own])(found.labels)
        return GraphStart(own, from_input, labels, value, found.resolution, kept, seed)

    def _start_in_graph(
        self, h: Tensor, judge: Agreement, resolution: float | Literal["auto"]
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
            graphs = {"input": self._build_input_graph(judge.seed)}
        else:
            find = find_table_clusters
            rows = context.batches.map(lambda x: x.flatten(1)).cpu().numpy()
            k = self._count_neighbors(len(rows), max(_SEARCHED))
            graphs = table_graphs(rows, k)
        n_clusters, seed = context.n_clusters, judge.seed
        found = find(graphs, n_clusters, resolution=resolution, seed=seed)
        kept = None
        if is_table and not is_clear(found):
            found = judge.find_in_embedding(h, n_clusters)
            own = self._build_input_graph(seed)
        else:
            own = graphs.get("sum", graphs[found.graph])
            if not is_image and is_clear(found):
                kept = found.labels
        warn_unclear(found)
        value, from_input = Modularity([own])(found.labels), self.given is None
        return GraphStart(
            own, from_input, found.labels, value, found.resolution, kept, seed
        )

    # ------------------------------------------------------------- the final clusters

    def find_end(
        self, h: Tensor, labels: NDArray[np.int64], start: GraphStart
    ) -> NDArray[np.int64]:
        """Find the final clusters of samples embedded at h (n, d).

        Where the first clusters were found at resolution 1, the consensus of the
        `labels` of the head and of spectral partitions of two graphs, or of one graph
        and k-means; else the best by modularity of the head's clusters, the first ones
        and new ones. Both are refined by neighbors in embedding and input, unless the
        graph is the only one.
        """
        seed, n_clusters = draw_seed(self.context.generator), self.context.n_clusters
        judge = self.judge(start.seed)
        in_graph = self.given is not None or (start.from_input and judge.sees_all)
        if in_graph and start.resolution < 1:
            return self._refined(start.affinity, labels, start, seed)
        if not in_graph and not (judge.sees_all and start.resolution >= 1):
            return judge.refine(h, labels, _part(start, judge))
        if in_graph:
            votes = [kmeans_labels(h.cpu().numpy(), n_clusters, seed=seed)]
            graphs = [start.affinity]
        else:
            votes, graphs = [], self.build_graphs(h, _SEARCHED)
        for graph in graphs:
            source = CandidateSource("own", graph, n_clusters, seed=seed)
            votes.append(source.at(1.0).labels)
        consensus = consensus_labels([labels, *votes], n_clusters, seed=seed)
        agreed = matched(consensus, labels)
        return agreed if in_graph else judge.move(h, agreed, start.resolution)

    def kmeans(self, h: Tensor) -> NDArray[np.int64]:
        """Find the final clusters where there is no cluster head: k-means."""
        seed = draw_seed(self.context.generator)
        return kmeans_labels(h.cpu().numpy(), self.context.n_clusters, seed=seed)

    def calibrate(self, h: Tensor, start: GraphStart) -> None:
        """Fit probabilities to the neighbors in embedding and input, or a given graph.

        Once the final clusters are learned; h (n, d) is the embedding then.
        """
        if self.given is not None:
            calibrate(self.context, h, [self.given.affinity])
        else:
            judge = self.judge(start.seed)
            calibrate(self.context, h, judge.graphs(h), judge.index)

    def _refined(
        self,
        graph: sp.csr_matrix,
        labels: NDArray[np.int64],
        start: GraphStart,
        seed: int,
    ) -> NDArray[np.int64]:
        """Return the best of the head's, the first and new clusters, refined."""
        n_clusters, resolution = self.context.n_clusters, start.resolution
        anew = find_clusters(
            {"own": graph}, n_clusters, seed=seed, resolution=resolution
        )
        found = [labels, anew.labels]
        if start.labels is not None:
            found.append(start.labels)
        criterion = Modularity([graph], resolution)
        unbroken = [np.unique(each, return_inverse=True)[1] for each in found]
        # Modularity of low resolution would rather have fewer clusters.
        most = max(each.max() for each in unbroken)
        refined = [
            criterion.refine(each, seed=seed) for each in unbroken if each.max() == most
        ]
        return matched(max(refined, key=criterion), labels)

    # ------------------------------------------------------------------------- graphs

    def build_graph(self, h: Tensor) -> sp.csr_matrix:
        """Build the graph of the embedding h (n, d)."""
        (graph,) = self.build_graphs(h, [1])
        return graph

    def build_graphs(self, h: Tensor, factors: Sequence[int]) -> list[sp.csr_matrix]:
        """Build graphs of the embedding h (n, d), of `factors` times `n_neighbors`."""
        sizes = [self._count_neighbors(len(h), factor) for factor in factors]
        weight = self.parameters.self_expression_weight
        return build_affinities(h, self.kind, sizes, weight)

    def _own_graph(self, h: Tensor, seed: int) -> sp.csr_matrix:
        """Return the graph to train on."""
        if self.given is not None:
            return self.given.affinity
        from_input = self.kind == "input"
        return self._build_input_graph(seed) if from_input else self.build_graph(h)

    def _build_input_graph(self, seed: int) -> sp.csr_matrix:
        """Build a graph of the samples by cosine."""
        batches = self.context.batches
        rows = batches.map(lambda x: x.flatten(1))
        is_image = batches.spec.is_image
        if not is_image:
            uncenter(rows, batches.spec)
        sizes = [self._count_neighbors(len(rows))]
        return input_affinities(rows, sizes, project=is_image, seed=seed)[0]

    def _count_neighbors(self, n_samples: int, factor: int = 1) -> int:
        return min(factor * self.parameters.n_neighbors, n_samples - 1)

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


def _part(start: GraphStart, judge: Agreement) -> FirstClusters:
    """Return the first clusters of the samples that are looked at."""
    labels = start.labels
    if labels is not None:
        labels = labels[judge.index.cpu().numpy()]
    return FirstClusters(start.seed, labels, start.resolution, start.kept)
