"""Graphs of samples: nearest neighbors, self-expression, sparse affinities.

Functions of torch tensors on any device, without gradients. Equation numbers are those
of the thesis that `skdeepclust.losses` names. Which of equally near samples are kept is
arbitrary, but the same every time on one machine. Invalid input raises a TypeError (no
tensor, or the wrong kind of numbers) or a ValueError (shape, NaN, or out of range).
"""

from .affinity import dense_affinity, symmetric_affinity
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
    "nearest_neighbors",
    "self_expression_coefficients",
    "self_expression_neighbors",
    "symmetric_affinity",
]
