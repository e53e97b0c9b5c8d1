"""Graphs of samples: nearest neighbours, self-expression, sparse affinities.

Functions of torch tensors, on whatever device these are, without gradients. Equation
numbers are those of R. Xing, "Research on Deep Clustering Algorithm Based on
Contrastive Learning", master's thesis, Shanxi University of Finance & Economics, 2023.
Of several samples that are equally near, which are kept is arbitrary, but the same for
the same input on the same machine.
"""

from .affinity import dense_affinity, low_rank_affinity, symmetric_affinity
from .modularity import Modularity
from .neighbors import nearest_neighbors
from .self_expression import (
    learned_self_expression,
    self_expression_coefficients,
    self_expression_neighbors,
)

__all__ = [
    "Modularity",
    "dense_affinity",
    "learned_self_expression",
    "low_rank_affinity",
    "nearest_neighbors",
    "self_expression_coefficients",
    "self_expression_neighbors",
    "symmetric_affinity",
]
