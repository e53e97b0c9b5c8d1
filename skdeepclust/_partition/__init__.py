"""From graphs of the samples to K clusters, without a prior of equal sizes."""

from ._candidates import Candidate
from ._choice import (
    find_clusters,
    find_table_clusters,
    is_clear,
    matched,
    most_agreed,
)
from ._graphs import (
    locally_scaled_graph,
    normalized,
    sum_of_graphs,
    table_graphs,
)
from ._number import ClusterCount, count_clusters, draw_places, warn_no_structure

__all__ = [
    "Candidate",
    "ClusterCount",
    "count_clusters",
    "draw_places",
    "find_clusters",
    "find_table_clusters",
    "is_clear",
    "locally_scaled_graph",
    "matched",
    "most_agreed",
    "normalized",
    "sum_of_graphs",
    "table_graphs",
    "warn_no_structure",
]
