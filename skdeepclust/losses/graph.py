"""Losses that learn a graph between samples, and that contrast along its edges."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ._checks import (
    _check_positive,
    _check_rows,
    _check_shape,
    _check_temperature,
    _promote,
    _saved_gradient,
    _unit_rows,
)

_BLOCK_ROWS = 256


def neighbor_contrastive(
    h: Tensor, neighbors: Tensor, *, temperature: float = 0.5
) -> Tensor:
    """Instance contrast between neighbors in a graph (equations 4.4-4.6).

    With s the cosine of rows of h, P(i) the neighbors of i and F(i) all samples but i
    and P(i), the loss of anchor i is the mean over p in P(i) of
    ``logsumexp_F(s_if / t) - s_ip / t``, the form of `pair_contrastive`.

    Parameters
    ----------
    h : torch.Tensor of shape (n_samples, n_features)
        Outputs of the head.
    neighbors : torch.Tensor of integers of shape (n_samples, n_neighbors)
        Row i has the indices of the neighbors of sample i, from 0: distinct, in any
        order, never i itself.
    temperature : float, default=0.5
        The t of the equation.

    Returns
    -------
    torch.Tensor of shape ()
        Mean over all samples; 0, with zero gradients, if every other sample is a
        neighbor. It can be negative.

    Notes
    -----
    The loss and its gradient are computed together in blocks of 256 rows: memory grows
    with n, not with its square. It cannot be differentiated twice: `create_graph=True`
    raises a RuntimeError.

    Examples
    --------
    >>> import torch
    >>> from skdeepclust.losses import neighbor_contrastive
    >>> h = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    >>> neighbor_contrastive(h, torch.tensor([[1], [0], [3], [2]]))
    tensor(-1.3069)
    """
    _check_rows("h", h)
    _check_temperature(temperature)
    indices = _checked_neighbors(neighbors, h)
    return contrast_neighbors(h, indices, temperature)


def contrast_neighbors(h: Tensor, neighbors: Tensor, temperature: float) -> Tensor:
    """Compute `neighbor_contrastive` without checks.

    They wait for the device, which a training step must not.
    """
    (wide,) = _promote(h)
    if neighbors.shape[1] == h.shape[0] - 1:
        return (0 * wide).sum().to(h.dtype)
    contrast: Any = _NeighborContrast.apply  # untyped in torch
    loss: Tensor = contrast(_unit_rows(wide), neighbors, temperature)
    return loss.to(h.dtype)


def cluster_contrastive(
    y: Tensor, y_neighbor: Tensor, *, temperature: float = 1.0
) -> Tensor:
    """Contrast between the clusters of samples and those of their neighbors.

    Equation 4.7: with s_ij the cosine of column i of y and column j of y', the mean
    over clusters i of ``logsumexp_j(s_ij / t) - s_ii / t``, with i among the j.

    Parameters
    ----------
    y : torch.Tensor of shape (n_samples, n_clusters)
        Soft assignments.
    y_neighbor : torch.Tensor of shape (n_samples, n_clusters)
        For each sample the soft assignment y' of a neighbor; in the thesis the
        strongest one.
    temperature : float, default=1.0
        The t of the equation.

    Returns
    -------
    torch.Tensor of shape ()
        Mean over the clusters, at least 0. An empty cluster has cosine 0 to all and a
        zero gradient.

    Examples
    --------
    >>> import torch
    >>> from skdeepclust.losses import cluster_contrastive
    >>> cluster_contrastive(torch.eye(2), torch.eye(2))
    tensor(0.3133)
    """
    _check_rows("y", y)
    _check_rows("y_neighbor", y_neighbor)
    _check_shape("y_neighbor", y_neighbor, tuple(y.shape), "the shape of y")
    _check_temperature(temperature)
    wide, wide_neighbor = _promote(y, y_neighbor)
    logits = _unit_rows(wide.T) @ _unit_rows(wide_neighbor.T).T / temperature
    itself = torch.arange(y.shape[1], device=y.device)
    return functional.cross_entropy(logits, itself).to(y.dtype)


def self_expression(
    z: Tensor, coefficients: Tensor, *, weight: float = 1.0, norm: str = "fro2"
) -> Tensor:
    """Cost of expressing each sample as a combination of the others (equation 4.2).

    ``||C|| + lambda ||Z - C Z||^2`` with samples as rows: row i of C holds the weights
    of the other samples in the reconstruction of sample i. It is a sum over samples,
    not a mean.

    Parameters
    ----------
    z : torch.Tensor of shape (n_samples, n_components)
        Embeddings.
    coefficients : torch.Tensor of shape (n_samples, n_samples)
        The C of the equation. Its constraint ``diag(C) = 0`` is built in: the diagonal
        counts as zero, whatever it holds, and receives a zero gradient.
    weight : float, default=1.0
        The lambda of the equation, positive.
    norm : {"fro2", "l1"}, default="fro2"
        The norm of C: the sum of its squares, or of its absolute values.

    Returns
    -------
    torch.Tensor of shape ()
        The loss.

    Examples
    --------
    >>> import torch
    >>> from skdeepclust.losses import self_expression
    >>> z = torch.tensor([[1.0], [2.0]])
    >>> self_expression(z, torch.tensor([[9.0, 0.5], [1.0, 9.0]]))
    tensor(2.2500)
    """
    _check_rows("z", z)
    _check_rows("coefficients", coefficients)
    expected = (z.shape[0], z.shape[0])
    _check_shape("coefficients", coefficients, expected, "a row and column per sample")
    _check_positive("weight", weight)
    if norm not in ("fro2", "l1"):
        raise ValueError(
            f'norm must be "fro2" or "l1"; got {norm!r}: pass one of the two.'
        )
    wide, weights = _promote(z, coefficients)
    itself = torch.eye(z.shape[0], dtype=torch.bool, device=z.device)
    weights = weights.masked_fill(itself, 0.0)
    size = weights.abs().sum() if norm == "l1" else weights.square().sum()
    return (size + weight * (wide - weights @ wide).square().sum()).to(z.dtype)


def _checked_neighbors(neighbors: Tensor, h: Tensor) -> Tensor:
    """Check the neighbors; return them as int64 on the device of h."""
    if not isinstance(neighbors, Tensor):
        raise TypeError(
            f"neighbors must be a torch.Tensor; got {type(neighbors).__name__}: "
            f"convert it with torch.as_tensor."
        )
    kind = neighbors.dtype
    if kind.is_floating_point or kind.is_complex or kind == torch.bool:
        raise TypeError(
            f"neighbors must hold integers; got {kind}: convert it with "
            f"neighbors.long()."
        )
    n = h.shape[0]
    shape = tuple(neighbors.shape)
    if len(shape) != 2 or shape[0] != n or not 1 <= shape[1] < n:
        raise ValueError(
            f"neighbors must have shape (n_samples, k) with k from 1 to n_samples - 1; "
            f"got {shape} while h has n_samples = {n}: pass for each row of h the "
            f"numbers of k other rows."
        )
    indices = neighbors.to(h.device, torch.int64)
    ordered = indices.sort(dim=1).values
    outside = (ordered[:, 0] < 0) | (ordered[:, -1] >= n)
    itself = indices == torch.arange(n, device=h.device).unsqueeze(1)
    repeated = ordered[:, 1:] == ordered[:, :-1]
    wrong = outside | itself.any(dim=1) | repeated.any(dim=1)
    # The only time that the host waits for the device.
    if wrong.any():
        row = int(wrong.nonzero()[0, 0])
        values = ordered[row].tolist()
        where = f"in row {row}"
        if outside[row]:
            value = values[0] if values[0] < 0 else values[-1]
            raise ValueError(
                f"neighbors must lie between 0 and {n - 1}, the rows of h; got {value} "
                f"{where}: number the samples from 0."
            )
        if row in values:
            raise ValueError(
                f"neighbors must be other samples; got {row} {where}, the sample "
                f"itself: leave it out."
            )
        value = next(a for a, b in pairwise(values) if a == b)
        raise ValueError(
            f"neighbors must be distinct within a row; got {value} more than once "
            f"{where}: keep it once."
        )
    return indices


class _NeighborContrast(torch.autograd.Function):
    """Loss and gradient of `neighbor_contrastive` in one pass over blocks of rows.

    A block holds all pairs of its anchors, hence all that their softmax needs: taking
    the gradient at once saves computing the block again.
    """

    @staticmethod
    def forward(
        ctx: Any, unit: Tensor, neighbors: Tensor, temperature: float
    ) -> Tensor:
        n, k = neighbors.shape
        losses = unit.new_empty(n)
        gradient = torch.zeros_like(unit) if ctx.needs_input_grad[0] else None
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
            ctx.save_for_backward(gradient.div_(n * temperature))
        return losses.mean()

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None]:
        gradient = _saved_gradient(ctx, "neighbor_contrastive")
        return grad_output * gradient, None, None
