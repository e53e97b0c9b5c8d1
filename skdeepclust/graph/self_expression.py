"""Self-expression: each sample as a combination of the others."""

from typing import Literal

import torch
from torch import Tensor

from skdeepclust import losses
from skdeepclust.losses._checks import check_positive, unit_rows

from ._checks import _check_choice, _check_count, _check_n_neighbors, _check_z, _double
from .neighbors import _search, nearest_neighbors

_MAX_LEARNED = 5000


def self_expression_coefficients(z: Tensor, weight: float = 1.0) -> Tensor:
    """Solve for the coefficients of the best self-expression, in closed form.

    The exact minimizer of equation 4.2 with the squared Frobenius norm: of each row c,
    ``||c||^2 + weight ||z_i - sum_j c_j z_j||^2`` with ``c_i = 0``. With
    ``H = Z (Z^T Z + I / weight)^-1 Z^T`` it is ``C_ij = H_ij / (1 - H_ii)``.

    Parameters
    ----------
    z : torch.Tensor of shape (n_samples, n_components)
        Embeddings Z.
    weight : float, default=1.0
        Weight lambda of the reconstruction.

    Returns
    -------
    torch.Tensor of shape (n_samples, n_samples)
        Coefficients C, with a zero diagonal, in the dtype of `z`; computed in float64.

    Notes
    -----
    A row of zeros has zero coefficients and takes part in no other row. Equal rows
    share their part evenly. As `weight` grows, the coefficients tend to the shortest of
    those with the smallest residual.
    """
    z = _check_z(z)
    check_positive("weight", weight)
    rows = _double(z)
    peak = float(rows.abs().amax()) or 1.0
    # The floor keeps an infinite weight from dividing zero by zero.
    ridge = max(1 / weight / peak / peak, torch.finfo(rows.dtype).eps ** 2)
    scaled = rows / peak
    left, singular, _ = _decompose(scaled)
    hat = left * (singular.square() / (singular.square() + ridge)) @ left.T
    remainder = 1 - hat.diagonal()
    # What is left of 1 for a sample that the others hardly reach is rounding error.
    alone = remainder < 1e-3
    coefficients = hat / remainder.clamp_min(1e-3).unsqueeze(1)
    if alone.any():
        coefficients[alone] = _closed_form_alone(scaled, alone, ridge)
    zero = (rows == 0).all(dim=1)
    coefficients[zero] = 0
    coefficients[:, zero] = 0
    return coefficients.fill_diagonal_(0).to(z.dtype)


def learned_self_expression(
    z: Tensor,
    *,
    weight: float = 1.0,
    norm: Literal["fro2", "l1"] = "fro2",
    n_steps: int = 500,
    learning_rate: float = 0.03,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Learn the coefficients of a self-expression by Adam, as in the thesis.

    It minimizes equation 4.2 over an n x n matrix. For the squared Frobenius norm
    `self_expression_coefficients` gives the minimizer at a small part of the cost.

    Parameters
    ----------
    z : torch.Tensor of shape (n_samples, n_components)
        Embeddings of at most 5,000 samples.
    weight : float, default=1.0
        Weight lambda of the reconstruction.
    norm : {"fro2", "l1"}, default="fro2"
        Norm of the coefficients: squared Frobenius, or the sum of absolute values.
    n_steps : int, default=500
        Steps of Adam.
    learning_rate : float, default=0.03
        Relative to the size of the coefficients; falls to 0 along a cosine.
    generator : torch.Generator, default=None
        Draws the small initial coefficients; None draws the same ones in every call.

    Returns
    -------
    torch.Tensor of shape (n_samples, n_samples)
        Coefficients C, with a zero diagonal, in the dtype of `z`.
    """
    z = _check_z(z)
    check_positive("weight", weight)
    _check_count("n_steps", n_steps)
    check_positive("learning_rate", learning_rate)
    n = z.shape[0]
    if n > _MAX_LEARNED:
        raise ValueError(
            f"z must have at most {_MAX_LEARNED} rows to learn n x n coefficients; got "
            f"{n}: use the closed form, self_expression_coefficients."
        )
    rows = z.to(torch.promote_types(z.dtype, torch.float32))
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    left, singular, _ = torch.linalg.svd(_double(rows), full_matrices=False)
    shrink = ((1 + weight * singular.square()).rsqrt() - 1).to(rows.dtype)
    left = left.to(rows.dtype)
    start = torch.randn(
        (n, n), generator=generator, device=generator.device, dtype=torch.float32
    )
    size = float((1 + weight * singular.square().sum() / n).sqrt())
    # Adam would not get near the minimum for C. It learns B, of which for "fro2" all
    # directions have one curvature, with C = B (I + weight Z Z^T)^(-1/2).
    with torch.enable_grad():
        free = (start * 0.01 / n).to(rows).requires_grad_()
        optimizer = torch.optim.Adam([free], lr=learning_rate * size, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
        for _ in range(n_steps):
            coefficients = free + (free @ left * shrink) @ left.T
            loss = losses.self_expression(rows, coefficients, weight=weight, norm=norm)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    free = free.detach()
    result: Tensor = free + (free @ left * shrink) @ left.T
    return result.fill_diagonal_(0).to(z.dtype)


def self_expression_neighbors(
    z: Tensor,
    n_neighbors: int,
    *,
    regularization: float = 0.1,
    method: Literal["normalized", "raw"] = "normalized",
) -> tuple[Tensor, Tensor]:
    """Find neighbors of each sample by the strength of its self-expression.

    The strongest entries in each row of the adjacency of equation 4.3, found without
    the n x n matrix. Rows of `z` are first scaled to length 1.

    Parameters
    ----------
    z : torch.Tensor of shape (n_samples, n_components)
        Embeddings Z.
    n_neighbors : int
        Neighbors of a sample, without itself; less than n_samples.
    regularization : float, default=0.1
        Ridge relative to n / d, the mean eigenvalue of ``Z^T Z``.
    method : {"normalized", "raw"}, default="normalized"
        With ``H = Z (Z^T Z + regularization n / d I)^-1 Z^T``:

        - "normalized": the largest ``H_ij / sqrt(H_ii H_jj)``.
        - "raw": the largest ``|C_ij|``, C being `self_expression_coefficients` of the
          scaled rows with weight ``d / (regularization n)``.

    Returns
    -------
    indices : torch.Tensor of shape (n_samples, n_neighbors)
        Distinct rows of `z`, strongest first, int64; never the sample itself.
    weights : torch.Tensor of shape (n_samples, n_neighbors)
        Their strengths, in the dtype of `z`: for "normalized" scores up to 1, negative
        for weak neighbors, else absolute values. A row of zeros has strength 0 to
        everything, and arbitrary neighbors.
    """
    z = _check_z(z)
    n_neighbors = _check_n_neighbors(n_neighbors, z.shape[0])
    check_positive("regularization", regularization)
    _check_choice("method", method, ("normalized", "raw"))
    if method == "normalized":
        # The score is the cosine of whitened rows.
        whitened = _whiten(z, regularization)
        indices, distances = nearest_neighbors(whitened, n_neighbors)
        weights = 1 - distances
    else:
        indices, weights = _raw_neighbors(_whiten(z, regularization), n_neighbors)
    return indices, weights.to(z.dtype)


def _expressed(z: Tensor, weight: float) -> Tensor:
    """Return C Z, for the C of `self_expression_coefficients`, without C."""
    # Row i is z_i - ((I - H) Z)_i / (1 - H_ii): as sums over singular values both parts
    # of the fraction are exact for isolated samples.
    rows = _double(z)
    left, singular, right = _decompose(rows)
    shrink = 1 / (1 + weight * singular.square())
    remainder = (left.square() * shrink).sum(1, keepdim=True)
    if len(singular) < len(rows):
        outside = 1 - left.square().sum(1, keepdim=True)
        remainder = remainder + outside.clamp_min(0)
    residual = (left * (singular * shrink)) @ right
    tiny = torch.finfo(rows.dtype).tiny
    return (rows - residual / remainder.clamp_min(tiny)).to(z.dtype)


def _closed_form_alone(z: Tensor, alone: Tensor, ridge: float) -> Tensor:
    """Return rows of the closed form, but for the diagonal, of isolated samples."""
    # With P = (Z Z^T + ridge I)^-1, C_ij = -P_ij / P_ii. The block of P for these
    # samples is the inverse of a sum of squares, in which nothing cancels: of the parts
    # that the other samples explain, shrunk, of the parts that they do not, and ridge.
    own, others = z[alone], z[~alone]
    left, singular, right = _decompose(others)
    explained = own @ right.T
    shrink = (ridge / (singular.square() + ridge)).sqrt()
    ridges = ridge**0.5 * torch.eye(own.shape[0], dtype=z.dtype, device=z.device)
    parts = torch.cat([explained * shrink, own - explained @ right, ridges], dim=1)
    vectors, sizes, _ = torch.linalg.svd(parts, full_matrices=False)
    inverse = vectors * (sizes[-1] / sizes).square() @ vectors.T
    inverse = inverse / inverse.diagonal().unsqueeze(1)
    coefficients = z.new_empty((own.shape[0], z.shape[0]))
    coefficients[:, alone] = -inverse
    regression = explained * (singular / (singular.square() + ridge)) @ left.T
    coefficients[:, ~alone] = inverse @ regression
    return coefficients


def _decompose(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Singular value decomposition without what is 0 up to rounding."""
    left, singular, right = torch.linalg.svd(z, full_matrices=False)
    rounding = torch.finfo(z.dtype).eps * max(z.shape)
    kept = singular > rounding * singular.amax() if singular.numel() else singular > 0
    return left[:, kept], singular[kept], right[kept]


def _whiten(z: Tensor, regularization: float) -> Tensor:
    """W with ``W W^T = H``, for the H of `self_expression_neighbors`."""
    rows = unit_rows(_double(z))
    n, n_components = rows.shape
    if n_components > n:
        # The same inner products in n dimensions.
        rows = torch.linalg.qr(rows.T, mode="r").R.T
    # Below the rounding error of the largest eigenvalue, at most n, a ridge is none.
    floor = 4 * rows.shape[1] * torch.finfo(rows.dtype).eps
    gram = rows.T @ rows
    gram.diagonal().add_(n * max(regularization / n_components, floor))
    factor = torch.linalg.cholesky(gram)
    whitened: Tensor = torch.linalg.solve_triangular(factor, rows.T, upper=False).T
    return whitened.contiguous()


def _raw_neighbors(whitened: Tensor, n_neighbors: int) -> tuple[Tensor, Tensor]:
    remainder = 1 - whitened.square().sum(dim=1)
    remainder = remainder.clamp_min(torch.finfo(whitened.dtype).eps)

    def measure(own: slice, others: Tensor) -> Tensor:
        hat = (whitened[others] @ whitened[own].unsqueeze(2)).squeeze(2)
        return -hat.abs() / remainder[own].unsqueeze(1)

    offset = torch.zeros_like(remainder)
    indices, negated = _search(whitened, offset, n_neighbors, measure, absolute=True)
    return indices, -negated
