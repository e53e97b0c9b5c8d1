"""From graphs of the samples to K clusters, without a prior of equal sizes."""

from .agreement import Agreement, FirstClusters
from .candidates import Candidate
from .choice import find_clusters, find_table_clusters, is_clear, matched, most_agreed
from .graphs import sum_of_graphs, table_graphs
from .number import ClusterCount, count_clusters, draw_places, warn_no_structure
from .start import InitialPartition, initial_partition, uncenter

__all__ = [
    "Agreement",
    "Candidate",
    "ClusterCount",
    "FirstClusters",
    "InitialPartition",
    "count_clusters",
    "draw_places",
    "find_clusters",
    "find_table_clusters",
    "initial_partition",
    "is_clear",
    "matched",
    "most_agreed",
    "sum_of_graphs",
    "table_graphs",
    "uncenter",
    "warn_no_structure",
]
