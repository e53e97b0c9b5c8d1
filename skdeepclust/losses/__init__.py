"""The equations: pure, differentiable functions of torch tensors.

Equation numbers are those of R. Xing, "Research on Deep Clustering Algorithm Based on
Contrastive Learning", master's thesis, Shanxi University of Finance & Economics, 2023.

Tensors may be on any device, of any floating-point dtype. Half precision is computed in
float32; a result has the dtype of the first argument, a loss the shape (). A row of
zeros has cosine 0 to everything and a zero gradient. Invalid input raises a TypeError
(no tensor of floating-point numbers) or a ValueError (shape, or a number out of range).

The error of squared distances is the rounding error, 1e-7 in float32, of the largest
one from the mean of `h`: a far outlier costs all other samples their precision. Matrix
products obey ``torch.autocast``: call the losses outside of it, as `fit` does.
"""

from .centers import (
    cluster_balance,
    gaussian_assignment,
    gaussian_scale,
    student_t_assignment,
    weighted_center_loss,
    weighted_centers,
)
from .contrastive import nt_xent, pair_contrastive, reconstruction, view_consistency
from .graph import cluster_contrastive, neighbor_contrastive, self_expression

__all__ = [
    "cluster_balance",
    "cluster_contrastive",
    "gaussian_assignment",
    "gaussian_scale",
    "neighbor_contrastive",
    "nt_xent",
    "pair_contrastive",
    "reconstruction",
    "self_expression",
    "student_t_assignment",
    "view_consistency",
    "weighted_center_loss",
    "weighted_centers",
]
