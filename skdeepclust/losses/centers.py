"""Soft assignments to cluster centers, centers of assignments, and their losses."""

import math

import torch
from torch import Tensor

from ._checks import check_positive, check_rows, check_shape, promote


def student_t_assignment(
    h: Tensor, centers: Tensor, degrees_of_freedom: float = 1.0
) -> Tensor:
    """Soft assignment to centers by Student's t-distribution (equation 3.3).

    ``(1 + ||h - mu||^2 / a) ** (-(a + 1) / 2)``, rows normalized to sum to 1, as in DEC
    (Xie et al., 2016).

    Parameters
    ----------
    h, centers : torch.Tensor of shape (n_samples or n_clusters, n_components)
        Embeddings and cluster centers mu.
    degrees_of_freedom : float, default=1.0
        The a of the equation; larger values give lighter tails.

    Returns
    -------
    torch.Tensor of shape (n_samples, n_clusters)
    """
    check_positive("degrees_of_freedom", degrees_of_freedom)
    _, squared = _squared_distances(h, centers)
    log_kernel = torch.log1p(squared / degrees_of_freedom)
    return (-(degrees_of_freedom + 1) / 2 * log_kernel).softmax(dim=1).to(h.dtype)


def gaussian_scale(h: Tensor, centers: Tensor) -> Tensor:
    """Root mean square, per component, of samples around their nearest centers.

    It is the width of the clusters, positive even where all samples lie on a center.

    Parameters
    ----------
    h, centers : torch.Tensor of shape (n_samples or n_clusters, n_components)
        Embeddings and cluster centers.

    Returns
    -------
    torch.Tensor of shape ()
    """
    wide, squared = _squared_distances(h, centers)
    scale = _scale(squared.amin(dim=1), wide).to(h.dtype)
    return scale.clamp_min(torch.finfo(h.dtype).tiny)


def gaussian_assignment(
    h: Tensor, centers: Tensor, scale: float | Tensor | None = None
) -> Tensor:
    """Soft assignment to centers by isotropic Gaussians of one common width.

    The softmax over clusters of ``-||h - mu||^2 / (2 scale^2)``; not in the thesis.
    Unlike `student_t_assignment` it stays sharp in many dimensions.

    Parameters
    ----------
    h, centers : torch.Tensor of shape (n_samples or n_clusters, n_components)
        Embeddings and cluster centers mu.
    scale : float or torch.Tensor of shape (), default=None
        Standard deviation per coordinate. None takes `gaussian_scale` as a constant.

    Returns
    -------
    torch.Tensor of shape (n_samples, n_clusters)
    """
    wide, squared = _squared_distances(h, centers)
    nearest = squared.detach().amin(dim=1, keepdim=True)
    if scale is None:
        scale = _scale(nearest, wide.detach())
    else:
        check_positive("scale", scale)
    # With its nearest center at 0 no row can become all minus infinity.
    return (-0.5 * ((squared - nearest) / scale / scale)).softmax(dim=1).to(h.dtype)


def weighted_center_loss(h: Tensor, centers: Tensor, assignment: Tensor) -> Tensor:
    """Squared distances to the centers, weighted by a soft assignment (equation 3.2).

    ``p_ik ||h_i - mu_k||^2`` summed over clusters, averaged over samples.

    Parameters
    ----------
    h, centers : torch.Tensor of shape (n_samples or n_clusters, n_components)
        Embeddings and cluster centers mu.
    assignment : torch.Tensor of shape (n_samples, n_clusters)
        Weights p, non-negative constants: no gradient flows through them.

    Returns
    -------
    torch.Tensor of shape ()
    """
    _, squared = _squared_distances(h, centers)
    check_rows(assignment=assignment)
    expected = (h.shape[0], centers.shape[0])
    check_shape("assignment", assignment, expected, "(rows of h, rows of centers)")
    weights = assignment.detach().to(squared.dtype)
    return (weights * squared).sum(dim=1).mean().to(h.dtype)


def weighted_centers(h_view: Tensor, assignment: Tensor) -> Tensor:
    """Cluster centers: means of the samples, weighted by a soft assignment.

    Equation 3.4: ``sum_i p_ik h_i / sum_i p_ik``.

    Parameters
    ----------
    h_view : torch.Tensor of shape (n_samples, n_components)
        Embeddings; in the thesis of augmented samples.
    assignment : torch.Tensor of shape (n_samples, n_clusters)
        Weights p, non-negative.

    Returns
    -------
    torch.Tensor of shape (n_clusters, n_components)
        The centers. A cluster whose weights sum to 0 gets the origin.
    """
    check_rows(h_view=h_view, assignment=assignment)
    expected = (h_view.shape[0], assignment.shape[1])
    check_shape("assignment", assignment, expected, "one row per row of h_view")
    wide, weights = promote(h_view, assignment)
    total = weights.sum(dim=0).unsqueeze(1)
    # Dividing by a tiny number would send infinite gradients to the weights.
    total = total.masked_fill(total.detach() < torch.finfo(total.dtype).tiny, 1.0)
    return (weights.T @ wide / total).to(h_view.dtype)


def cluster_balance(y: Tensor, sizes: Tensor | None = None) -> Tensor:
    """Divergence of the mean assignment from the desired cluster sizes.

    ``sum_k m_k log(m_k / s_k)``, m the mean of y over samples and s the sizes; not in
    the thesis. Without sizes it is 0 when all clusters are equally used, and log K when
    one takes everything.

    Parameters
    ----------
    y : torch.Tensor of shape (n_samples, n_clusters)
        Soft assignments; rows sum to 1.
    sizes : torch.Tensor of shape (n_clusters,), default=None
        Shares of the samples, positive with sum 1. None stands for 1 / K each.

    Returns
    -------
    torch.Tensor of shape ()
        In nats, at least 0 up to rounding.
    """
    check_rows(y=y)
    (wide,) = promote(y)
    mean = wide.mean(dim=0)
    # Clamped in the logarithm only: an empty cluster adds 0, with a finite gradient.
    balance = (mean * mean.clamp_min(torch.finfo(wide.dtype).tiny).log()).sum()
    if sizes is None:
        return (balance + math.log(y.shape[1])).to(y.dtype)
    # Their values are not looked at: that would wait for the device.
    if sizes.shape != y.shape[1:]:
        raise ValueError(
            f"sizes must have a positive number for each of the {y.shape[1]} clusters; "
            f"got shape {tuple(sizes.shape)}: pass one share per cluster."
        )
    return (balance - (mean * sizes.to(wide).log()).sum()).to(y.dtype)


def _squared_distances(h: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Return h, at least in float32, and squared distances (n, K), never negative."""
    check_rows(h=h, centers=centers)
    check_shape("centers", centers, (len(centers), h.shape[1]), "as many columns as h")
    wide, centers = promote(h, centers)
    # |h|^2 + |c|^2 - 2 h c loses precision when all lie far from the origin.
    origin = wide.detach().mean(dim=0)
    h, centers = wide - origin, centers - origin
    lengths = (h * h).sum(dim=1, keepdim=True) + (centers * centers).sum(dim=1)
    squared = lengths - 2 * h @ centers.T
    # Unlike a clamp this keeps the gradient where rounding went below zero.
    return wide, squared - squared.detach().clamp_max(0.0)


def _scale(nearest: Tensor, h: Tensor) -> Tensor:
    """Width from the squared distances to the nearest center."""
    variance = nearest.mean() / h.shape[1]
    # At least the rounding error of the distances: a scale of 0 would make gradients of
    # the assignment infinite.
    overall = (h.detach() - h.detach().mean(dim=0)).square().mean()
    info = torch.finfo(h.dtype)
    return torch.maximum(variance, (info.eps * overall).clamp_min(info.tiny)).sqrt()
