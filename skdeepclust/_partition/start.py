"""The initial partition of embedded samples, and the graph that it comes from."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from skdeepclust._partition.candidates import PARTS
from skdeepclust._partition.graphs import normalized
from skdeepclust.graph import Modularity
from skdeepclust.graph._build import symmetrized
from skdeepclust.graph._spectral import (
    eigenvector_labels,
    kmeans_labels,
    leading_eigenvectors,
)
from skdeepclust.training.data import InputSpec

_MARGIN = 0.03  # by which a partition of the input beats others, as a share
_ROUNDING = 1e-5  # of float32, in units of the columns' mean deviation


@dataclass(frozen=True)
class InitialPartition:
    """Clusters that joint training starts from, and the graph that it uses."""

    affinity: sp.csr_matrix
    labels: NDArray[np.int64]  # from 0 and without gaps
    modularity: float  # of the labels, by the criterion that has chosen them
    source: str
    """What gave the labels: "embedding_0" and so on, "input", "sum", "walks" or
    "kmeans"."""


def uncenter(rows: Tensor, spec: InputSpec) -> None:
    """Shift centered rows of a table (n, m), in place, to where angles are seen from.

    Where no value is negative, zero means nothing, and angles are seen from there;
    other tables are seen from their mean.
    """
    means = torch.from_numpy(spec.offset / spec.scale).to(rows)
    if (rows.amin(0) + means).min() >= -_ROUNDING:
        rows += means


def initial_partition(
    embedding: NDArray[np.floating],
    graphs: list[sp.csr_matrix],
    input_graph: sp.csr_matrix | None,
    n_clusters: int,
    *,
    may_replace: bool = True,
    seed: int,
) -> InitialPartition:
    """Choose among spectral partitions the one of largest modularity.

    The graphs of the embedding (n, d), the first of which is trained on, and if there
    is a graph of the input also their sum and the walks with one step in each, are
    partitioned into K and into more parts, which are merged; k-means in the embedding
    gives one more partition. Each is refined. The modularity that is compared is that
    on the first graph plus that on the input's.

    Where a partition of the input's graph beats those of the embedding's graphs by far
    even in that sum, the embedding has lost what the input tells. Unless `may_replace`
    is False the input's graph then takes the place of the others.
    """
    own = graphs[0]
    criterion = Modularity([own] if input_graph is None else [own, input_graph])
    partitions = partial(
        _partitions, criterion=criterion, n_clusters=n_clusters, seed=seed
    )
    found = partitions({f"embedding_{i}": graph for i, graph in enumerate(graphs)})
    if input_graph is not None:
        if may_replace and _beats(partitions({"input": input_graph}), found):
            start = initial_partition(
                embedding, [input_graph], None, n_clusters, seed=seed
            )
            return replace(start, source="input")
        a, b = normalized(own), normalized(input_graph)
        walks = a @ b
        found += partitions(
            {"sum": sp.csr_matrix(a + b), "walks": sp.csr_matrix(walks + walks.T)}
        )
    groups = kmeans_labels(embedding, n_clusters, seed=seed)
    found.append(InitialPartition(own, groups, criterion(groups), "kmeans"))
    refined = []
    for start in found:
        labels = criterion.refine(start.labels, seed=seed)
        refined.append(replace(start, labels=labels, modularity=criterion(labels)))
    best = max(refined, key=lambda start: start.modularity)
    if best.source.startswith("embedding"):
        # The graph to train on has the neighbors that were asked for.
        return replace(best, affinity=own)
    if best.source == "walks":
        # Found with the walks that come back; but none is its own neighbor.
        return replace(best, affinity=symmetrized(best.affinity))
    return best


def _partitions(
    sources: dict[str, sp.csr_matrix], criterion: Modularity, n_clusters: int, seed: int
) -> list[InitialPartition]:
    found = []
    for source, graph in sources.items():
        most = min(max(PARTS) * n_clusters, graph.shape[0])
        vectors = leading_eigenvectors(graph, most, seed=seed)
        for parts, n_init in PARTS.items():
            labels = eigenvector_labels(
                vectors[:, : parts * n_clusters], seed=seed, n_init=n_init
            )
            labels = criterion.merge(labels, n_clusters)
            found.append(InitialPartition(graph, labels, criterion(labels), source))
    return found


def _beats(found: list[InitialPartition], others: list[InitialPartition]) -> bool:
    best, best_other = (max(s.modularity for s in each) for each in (found, others))
    return best > best_other + _MARGIN * abs(best_other)
