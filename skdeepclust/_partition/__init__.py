"""From graphs of the samples to K clusters, without a prior of equal sizes."""

from ._candidates import Candidate, spectral_candidates
from ._choice import find_clusters
from ._graphs import locally_scaled_graph, normalized, table_graphs

__all__ = [
    "Candidate",
    "find_clusters",
    "locally_scaled_graph",
    "normalized",
    "spectral_candidates",
    "table_graphs",
]
