"""The equations: pure, differentiable functions of torch tensors.

Equation numbers are those of R. Xing, "Research on Deep Clustering Algorithm Based on
Contrastive Learning", master's thesis, Shanxi University of Finance & Economics, 2023.
Half-precision input is computed in float32; every result has the dtype of the first
argument. A row of zeros has cosine 0 to everything and receives a zero gradient.

Squared distances to centres are sums and products of what is left of `h` and the
centres without the mean of `h`. They are wrong by about the rounding error, 1e-7 in
float32, of the largest square of a distance from that mean: a single sample far away
costs the others their digits. Matrix products obey a caller's ``torch.autocast``: call
the losses outside of it, as `fit` does.
"""

from .autoencoding import reconstruction
from .centers import (
    cluster_balance,
    gaussian_assignment,
    gaussian_scale,
    student_t_assignment,
    weighted_center_loss,
    weighted_centers,
)
from .contrastive import nt_xent, pair_contrastive, view_consistency
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
