"""Losses that learn a graph between samples, and that contrast along its edges."""

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from . import _checks as shared

_BLOCK_ROWS = 256


def neighbor_contrastive(
    h: Tensor, neighbors: Tensor, *, temperature: float = 0.5
) -> Tensor:
    """Instance contrast between neighbors in a graph (equations 4.4-4.6).

    With s the cosine of rows of h, P(i) the neighbors of i and F(i) all samples but i
    and P(i), the loss of anchor i is the mean over p in P(i) of
    ``logsumexp_F(s_if / t) - s_ip / t``, the form of `pair_contrastive`. Memory grows
    with n, not with its square. A second derivative raises a RuntimeError.

    Parameters
    ----------
    h : torch.Tensor of shape (n_samples, n_features)
        Outputs of the head.
    neighbors : torch.Tensor of integers of shape (n_samples, n_neighbors)
        Rows of h near to each row: distinct, in any order, never the row itself.
    temperature : float, default=0.5
        The t of the equation.

    Returns
    -------
    torch.Tensor of shape ()
        Mean over all samples, which can be negative; 0, with zero gradients, if every
        other sample is a neighbor.
    """
    shared.check_rows(h=h)
    shared.check_temperature(temperature)
    return contrast_neighbors(h, _checked_neighbors(neighbors, h), temperature)


def contrast_neighbors(h: Tensor, neighbors: Tensor, temperature: float) -> Tensor:
    """Compute `neighbor_contrastive` without checks, which wait for the device."""
    (wide,) = shared.promote(h)
    if neighbors.shape[1] == h.shape[0] - 1:
        return (0 * wide).sum().to(h.dtype)
    contrast = partial(_contrast_blocks, neighbors=neighbors, temperature=temperature)
    unit = shared.unit_rows(wide)
    loss: Tensor = shared.with_gradient(unit, contrast, "neighbor_contrastive")
    return loss.to(h.dtype)


def cluster_contrastive(
    y: Tensor, y_neighbor: Tensor, *, temperature: float = 1.0
) -> Tensor:
    """Contrast between the clusters of samples and those of their neighbors.

    Equation 4.7: with s_ij the cosine of column i of y and column j of y', the mean
    over clusters i of ``logsumexp_j(s_ij / t) - s_ii / t``, with i among the j.

    Parameters
    ----------
    y, y_neighbor : torch.Tensor of shape (n_samples, n_clusters)
        Soft assignments of the samples and of a neighbor of each; in the thesis the
        strongest one.
    temperature : float, default=1.0
        The t of the equation.

    Returns
    -------
    torch.Tensor of shape ()
        Mean over the clusters, at least 0. An empty cluster has a zero gradient.
    """
    wide, wide_neighbor = shared.alike(y=y, y_neighbor=y_neighbor)
    shared.check_temperature(temperature)
    own, other = shared.unit_rows(wide.T), shared.unit_rows(wide_neighbor.T)
    logits = own @ other.T / temperature
    itself = torch.arange(y.shape[1], device=y.device)
    return functional.cross_entropy(logits, itself).to(y.dtype)


def self_expression(
    z: Tensor, coefficients: Tensor, *, weight: float = 1.0, norm: str = "fro2"
) -> Tensor:
    """Cost of expressing each sample as a combination of the others (equation 4.2).

    ``||C|| + lambda ||Z - C Z||^2``, summed over samples, which are rows: row i of C
    holds the weights of the others in the reconstruction of sample i.

    Parameters
    ----------
    z : torch.Tensor of shape (n_samples, n_components)
        Embeddings.
    coefficients : torch.Tensor of shape (n_samples, n_samples)
        The C of the equation. Its diagonal counts as zero, whatever it holds, and
        receives a zero gradient.
    weight : float, default=1.0
        The lambda of the equation, positive.
    norm : {"fro2", "l1"}, default="fro2"
        The norm of C: the sum of its squares, or of its absolute values.

    Returns
    -------
    torch.Tensor of shape ()
    """
    shared.check_rows(z=z, coefficients=coefficients)
    expected = (z.shape[0], z.shape[0])
    shared.check_shape("coefficients", coefficients, expected, "a number per pair")
    shared.check_positive("weight", weight)
    if norm not in ("fro2", "l1"):
        raise ValueError(f'norm must be "fro2" or "l1"; got {norm!r}: pass one.')
    wide, weights = shared.promote(z, coefficients)
    itself = torch.eye(z.shape[0], dtype=torch.bool, device=z.device)
    weights = weights.masked_fill(itself, 0.0)
    size = weights.abs().sum() if norm == "l1" else weights.square().sum()
    return (size + weight * (wide - weights @ wide).square().sum()).to(z.dtype)


def _checked_neighbors(neighbors: Tensor, h: Tensor) -> Tensor:
    """Check the neighbors; return them as int64 on the device of h."""
    shared.check_tensor("neighbors", neighbors)
    kind = neighbors.dtype
    if kind.is_floating_point or kind.is_complex or kind == torch.bool:
        raise TypeError(
            f"neighbors must hold integers; got {kind}: convert it with .long()."
        )
    n, shape = h.shape[0], tuple(neighbors.shape)
    if len(shape) != 2 or shape[0] != n or not 1 <= shape[1] < n:
        raise ValueError(
            f"neighbors must have shape (n_samples, k) with k from 1 to n_samples - 1; "
            f"got {shape} while h has n_samples = {n}: pass k other rows for each row."
        )
    indices = neighbors.to(h.device, torch.int64)
    ordered = indices.sort(dim=1).values
    wrong = (ordered[:, 0] < 0) | (ordered[:, -1] >= n)
    wrong |= (indices == torch.arange(n, device=h.device).unsqueeze(1)).any(dim=1)
    wrong |= (ordered[:, 1:] == ordered[:, :-1]).any(dim=1)
    # The only time that the host waits for the device.
    if wrong.any():
        row = int(wrong.nonzero()[0, 0])
        where, values = f"in row {row}", ordered[row].tolist()
        outside = [value for value in values if not 0 <= value < n]
        if outside:
            fault = (
                f"lie between 0 and {n - 1}, the rows of h; got {outside[0]} {where}"
            )
            hint = "number the samples from 0"
        elif row in values:
            fault = f"be other samples; got {row} {where}, the sample itself"
            hint = "leave it out"
        else:
            twice = next(a for a, b in pairwise(values) if a == b)
            fault = f"be distinct within a row; got {twice} more than once {where}"
            hint = "keep it once"
        raise ValueError(f"neighbors must {fault}: {hint}.")
    return indices


def _contrast_blocks(
    unit: Tensor, gradient: Tensor | None, *, neighbors: Tensor, temperature: float
) -> Tensor:
    """Compute `neighbor_contrastive` in one pass over blocks of rows."""
    n, k = neighbors.shape
    losses = unit.new_empty(n)
    buffer = unit.new_empty(min(n, _BLOCK_ROWS), n)
    for start in range(0, n, _BLOCK_ROWS):
        anchors = unit[start : start + _BLOCK_ROWS]
        rows = slice(start, start + len(anchors))
        positive = neighbors[rows]
        # Written in place: saves memory, and autocast leaves it in full precision.
        pairs = torch.mm(anchors / temperature, unit.T, out=buffer[: len(anchors)])
        pull = pairs.gather(1, positive).mean(dim=1)
        pairs.scatter_(1, positive, -torch.inf)
        pairs.diagonal(start).fill_(-torch.inf)
        peak = pairs.amax(dim=1, keepdim=True)
        total = pairs.sub_(peak).exp_().sum(dim=1, keepdim=True)
        losses[rows] = (peak + total.log()).squeeze(1) - pull
        if gradient is None:
            continue
        # Divided by the total this is the derivative with respect to the logits:
        # softmax over the negatives, -1 / k for the neighbors, 0 for itself.
        pairs.scatter_(1, positive, (-total / k).expand(-1, k))
        own = torch.mm(pairs, unit, out=torch.empty_like(anchors))
        gradient[rows].addcdiv_(own, total)
        gradient.addmm_(pairs.T, anchors / total)
    if gradient is not None:
        gradient.div_(n * temperature)
    return losses.mean()
