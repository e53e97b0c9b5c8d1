"""Soft assignments to cluster centers, centers of assignments, and their losses."""

import math

import torch
from torch import Tensor

from ._checks import (
    _check_centers,
    _check_positive,
    _check_rows,
    _check_shape,
    _promote,
)


def student_t_assignment(
    h: Tensor, centers: Tensor, degrees_of_freedom: float = 1.0
) -> Tensor:
    """Soft assignment to centers by Student's t-distribution (equation 3.3).

    As in DEC (Xie et al., 2016): with a the degrees of freedom,
    ``(1 + ||h - mu||^2 / a) ** (-(a + 1) / 2)``, rows normalized to sum to 1.

    Parameters
    ----------
    h : torch.Tensor of shape (n_samples, n_components)
        Embeddings.
    centers : torch.Tensor of shape (n_clusters, n_components)
        Cluster centers mu.
    degrees_of_freedom : float, default=1.0
        Larger values give lighter tails.

    Returns
    -------
    torch.Tensor of shape (n_samples, n_clusters)
        Probabilities.

    Examples
    --------
    >>> import torch
    >>> from skdeepclust.losses import student_t_assignment
    >>> student_t_assignment(torch.tensor([[0.0]]), torch.tensor([[0.0], [2.0]]))
    tensor([[0.8333, 0.1667]])
    """
    _check_centers(h, centers)
    _check_positive("degrees_of_freedom", degrees_of_freedom)
    squared = _squared_distances(*_promote(h, centers))
    log_kernel = torch.log1p(squared / degrees_of_freedom)
    return (-(degrees_of_freedom + 1) / 2 * log_kernel).softmax(dim=1).to(h.dtype)


def gaussian_scale(h: Tensor, centers: Tensor) -> Tensor:
    """Width of the clusters: the root mean square of samples around their centers.

    The square root of the mean squared distance to the nearest center, divided by the
    number of components. It is positive even where every sample lies on a center.

    Parameters
    ----------
    h : torch.Tensor of shape (n_samples, n_components)
        Embeddings.
    centers : torch.Tensor of shape (n_clusters, n_components)
        Cluster centers.

    Returns
    -------
    torch.Tensor of shape ()
        The scale; differentiable.

    Examples
    --------
    >>> import torch
    >>> from skdeepclust.losses import gaussian_scale
    >>> gaussian_scale(torch.tensor([[1.0], [7.0]]), torch.tensor([[0.0], [8.0]]))
    tensor(1.)
    """
    _check_centers(h, centers)
    wide, wide_centers = _promote(h, centers)
    nearest = _squared_distances(wide, wide_centers).amin(dim=1)
    scale = _scale(nearest, wide).to(h.dtype)
    return scale.clamp_min(torch.finfo(h.dtype).tiny)


def gaussian_assignment(
    h: Tensor, centers: Tensor, scale: float | Tensor | None = None
) -> Tensor:
    """Soft assignment to centers by isotropic Gaussians of one common width.

    The softmax over clusters of ``-||h - mu||^2 / (2 scale^2)``; not in the thesis.
    Unlike `student_t_assignment` it stays sharp in many dimensions, as long as the
    scale follows the data.

    Parameters
    ----------
    h : torch.Tensor of shape (n_samples, n_components)
        Embeddings.
    centers : torch.Tensor of shape (n_clusters, n_components)
        Cluster centers mu.
    scale : float or torch.Tensor of shape (), default=None
        Standard deviation per coordinate. None takes `gaussian_scale` of the
        arguments, as a constant: no gradient flows through it.

    Returns
    -------
    torch.Tensor of shape (n_samples, n_clusters)
        Probabilities.

    Examples
    --------
    >>> import torch
    >>> from skdeepclust.losses import gaussian_assignment
    >>> h, centers = torch.tensor([[1.0]]), torch.tensor([[0.0], [3.0]])
    >>> gaussian_assignment(h, centers, scale=1.0)
    tensor([[0.8176, 0.1824]])
    """
    _check_centers(h, centers)
    wide, wide_centers = _promote(h, centers)
    squared = _squared_distances(wide, wide_centers)
    nearest = squared.detach().amin(dim=1, keepdim=True)
    if scale is None:
        scale = _scale(nearest, wide.detach())
    else:
        _check_positive("scale", scale)
    # With its nearest center at 0 no row can become all minus infinity.
    excess = squared - nearest
    return (-0.5 * (excess / scale / scale)).softmax(dim=1).to(h.dtype)


def weighted_center_loss(h: Tensor, centers: Tensor, assignment: Tensor) -> Tensor:
    """Squared distances to the centers, weighted by a soft assignment (equation 3.2).

    ``p_ik ||h_i - mu_k||^2`` summed over clusters and averaged over samples, so that
    it does not grow with the batch.

    Parameters
    ----------
    h : torch.Tensor of shape (n_samples, n_components)
        Embeddings.
    centers : torch.Tensor of shape (n_clusters, n_components)
        Cluster centers mu.
    assignment : torch.Tensor of shape (n_samples, n_clusters)
        Weights p, non-negative; constants, through which no gradient flows.

    Returns
    -------
    torch.Tensor of shape ()
        The loss.

    Examples
    --------
    >>> import torch
    >>> from skdeepclust.losses import weighted_center_loss
    >>> h, centers = torch.tensor([[1.0]]), torch.tensor([[0.0], [3.0]])
    >>> weighted_center_loss(h, centers, torch.tensor([[0.5, 0.5]]))
    tensor(2.5000)
    """
    _check_centers(h, centers)
    _check_rows("assignment", assignment)
    expected = (h.shape[0], centers.shape[0])
    _check_shape("assignment", assignment, expected, "(rows of h, rows of centers)")
    squared = _squared_distances(*_promote(h, centers))
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

    Examples
    --------
    >>> import torch
    >>> from skdeepclust.losses import weighted_centers
    >>> h, p = torch.tensor([[0.0], [4.0]]), torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    >>> weighted_centers(h, p)
    tensor([[3.],
            [0.]])
    """
    _check_rows("h_view", h_view)
    _check_rows("assignment", assignment)
    expected = (h_view.shape[0], assignment.shape[1])
    _check_shape("assignment", assignment, expected, "one row per row of h_view")
    wide, weights = _promote(h_view, assignment)
    total = weights.sum(dim=0).unsqueeze(1)
    # Dividing by a tiny number would send infinite gradients to the weights.
    total = total.masked_fill(total.detach() < torch.finfo(total.dtype).tiny, 1.0)
    return (weights.T @ wide / total).to(h_view.dtype)


def cluster_balance(y: Tensor, sizes: Tensor | None = None) -> Tensor:
    """Divergence of the mean assignment from the desired cluster sizes.

    ``sum_k m_k log(m_k / s_k)``, m the mean of y over samples and s the sizes; not in
    the thesis. Without sizes that is ``log K - H(m)``: 0 when all clusters are equally
    used, log K when one takes everything.

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

    Examples
    --------
    >>> import torch
    >>> from skdeepclust.losses import cluster_balance
    >>> cluster_balance(torch.eye(2))
    tensor(0.)
    """
    _check_rows("y", y)
    (wide,) = _promote(y)
    mean = wide.mean(dim=0)
    # Clamped inside the logarithm only: an empty cluster contributes 0, with a
    # finite gradient.
    tiny = torch.finfo(wide.dtype).tiny
    balance = (mean * mean.clamp_min(tiny).log()).sum()
    if sizes is None:
        balance = balance + math.log(y.shape[1])
    else:
        # Their values are not looked at: that would wait for the device.
        if sizes.shape != y.shape[1:]:
            raise ValueError(
                f"sizes must have a positive number for each of the {y.shape[1]} "
                f"clusters, got shape {tuple(sizes.shape)}."
            )
        balance = balance - (mean * sizes.to(wide).log()).sum()
    return balance.to(y.dtype)


def _squared_distances(h: Tensor, centers: Tensor) -> Tensor:
    """Squared Euclidean distances (n_samples, n_clusters), never negative."""
    # |h|^2 + |c|^2 - 2 h c loses precision when all lie far from the origin.
    origin = h.detach().mean(dim=0)
    h, centers = h - origin, centers - origin
    lengths = (h * h).sum(dim=1, keepdim=True) + (centers * centers).sum(dim=1)
    squared = lengths - 2 * h @ centers.T
    # Unlike a clamp this keeps the gradient where rounding went below zero.
    return squared - squared.detach().clamp_max(0.0)


def _scale(nearest: Tensor, h: Tensor) -> Tensor:
    """Width from the squared distances to the nearest center."""
    variance = nearest.mean() / h.shape[1]
    # At least the rounding error of the distances: a scale of 0 would make gradients of
    # the assignment infinite.
    overall = (h.detach() - h.detach().mean(dim=0)).square().mean()
    info = torch.finfo(h.dtype)
    return torch.maximum(variance, (info.eps * overall).clamp_min(info.tiny)).sqrt()
