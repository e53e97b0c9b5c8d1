"""Losses that compare samples with reconstructions, views, or each other."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from . import _checks as shared

_DENSE_ROWS = 64  # up to here all pairs at once is faster than blocks
_BLOCK_ROWS = 256
_TILE_ROWS = 384  # four such squares fit into a cache
_TILE_ROWS_ELSEWHERE = 2048  # on an accelerator, where launches cost more than memory
_LEAST_TEMPERATURE = 0.025  # exp(1 / t) and exp(-1 / t) are far from float32's limits

_Settings = tuple[float, float, float]  # temperature, positive and negative threshold


def reconstruction(x: Tensor, x_hat: Tensor) -> Tensor:
    """Squared error of a reconstruction: the first term of equation 4.1.

    Summed over the values of a sample, averaged over samples.

    Parameters
    ----------
    x, x_hat : torch.Tensor of shape (n_samples, ...)
        Samples and their reconstructions.

    Returns
    -------
    torch.Tensor of shape ()
    """
    shared.check_floating("x", x)
    shared.check_floating("x_hat", x_hat)
    if x.ndim < 2 or x.numel() == 0:
        raise ValueError(
            f"x must have a row per sample and at least one number in each; got shape "
            f"{tuple(x.shape)}: reshape it to (n_samples, ...)."
        )
    shared.check_shape("x_hat", x_hat, tuple(x.shape), "the shape of x")
    wide, wide_hat = shared.promote(x, x_hat)
    return ((wide - wide_hat) ** 2).flatten(1).sum(dim=1).mean().to(x.dtype)


def view_consistency(h: Tensor, h_view: Tensor) -> Tensor:
    """One minus the cosine between samples and their augmented views (equation 3.1).

    **Departure from the thesis:** it prints the cosine, which its text wants large.

    Parameters
    ----------
    h, h_view : torch.Tensor of shape (n_samples, n_components)
        Embeddings of the samples and of one random view of each.

    Returns
    -------
    torch.Tensor of shape ()
        Mean over the samples, between 0 and 2.
    """
    wide, wide_view = shared.alike(h=h, h_view=h_view)
    cosine = (shared.unit_rows(wide) * shared.unit_rows(wide_view)).sum(dim=1)
    return (1 - cosine).mean().to(h.dtype)


def nt_xent(z_i: Tensor, z_j: Tensor, *, temperature: float = 0.5) -> Tensor:
    """Contrast between two views of each sample: NT-Xent (equation 2.9).

    The loss of SimCLR (Chen et al., 2020): each of the 2n views has to find its
    partner, by cosine, among the 2n - 1 others.

    Parameters
    ----------
    z_i, z_j : torch.Tensor of shape (n_samples, n_features)
        Projections of the two views; row k of both is sample k.
    temperature : float, default=0.5
        The t of the equation.

    Returns
    -------
    torch.Tensor of shape ()
        Mean over the 2n anchors.
    """
    unit = shared.unit_rows(torch.cat(shared.alike(z_i=z_i, z_j=z_j)))
    shared.check_temperature(temperature)
    n = z_i.shape[0]
    logits = unit @ unit.T / temperature
    itself = torch.eye(2 * n, dtype=torch.bool, device=unit.device)
    partner = torch.arange(2 * n, device=unit.device).roll(n)
    logits = logits.masked_fill(itself, -torch.inf)
    return functional.cross_entropy(logits, partner).to(z_i.dtype)


def pair_contrastive(
    z: Tensor,
    similarity: Tensor,
    *,
    temperature: float = 0.5,
    positive_threshold: float = 0.8,
    negative_threshold: float = 0.2,
) -> Tensor:
    """Instance contrast between confident pairs of samples (equations 3.7-3.9).

    With s the cosine of rows of z, P(i) the j with similarity at least
    `positive_threshold` and F(i) those at most `negative_threshold`, i itself in
    neither, the loss of anchor i is the mean over p in P(i) of
    ``logsumexp_F(s_if / t) - s_ip / t``. Ambiguous pairs, in between, are ignored.
    Beyond 64 samples memory grows with n, not with its square, and a second derivative
    raises a RuntimeError.

    Parameters
    ----------
    z : torch.Tensor of shape (n_samples, n_features)
        Outputs of the head.
    similarity : torch.Tensor of shape (n_samples, n_samples) or (n_samples, rank)
        Similarities of pairs, constants; or a factor U that stands for ``U @ U.T``. A
        square tensor is read as similarities.
    temperature : float, default=0.5
        The t of the equation.
    positive_threshold, negative_threshold : float, default=0.8, 0.2
        The thresholds xi and gamma; `negative_threshold` must be the lower one.

    Returns
    -------
    torch.Tensor of shape ()
        Mean over the anchors with neither set empty, which can be negative; 0, with
        zero gradients, if there is none.

    Examples
    --------
    >>> import torch
    >>> from skdeepclust.losses import pair_contrastive
    >>> z = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    >>> pair_contrastive(z, torch.eye(2)[[0, 0, 1]])
    tensor(-2.)
    """
    shared.check_rows(z=z, similarity=similarity)
    expected = (z.shape[0], similarity.shape[1])
    shared.check_shape("similarity", similarity, expected, "one row per row of z")
    shared.check_temperature(temperature)
    if not negative_threshold < positive_threshold:
        raise ValueError(
            f"negative_threshold must be below positive_threshold; got "
            f"{negative_threshold!r} and {positive_threshold!r}: lower the first."
        )
    unit = shared.unit_rows(*shared.promote(z))
    pairs = similarity.detach(), (temperature, positive_threshold, negative_threshold)
    if z.shape[0] <= _DENSE_ROWS:
        return _contrast_all(*pairs, unit).to(z.dtype)
    tiled = similarity.shape[1] != z.shape[0] and temperature >= _LEAST_TEMPERATURE
    contrast = partial(_contrast_tiles if tiled else _contrast_blocks, *pairs)
    what = f"pair_contrastive of more than {_DENSE_ROWS} samples"
    loss: Tensor = shared.with_gradient(unit, contrast, what)
    return loss.to(z.dtype)


def _contrast_all(similarity: Tensor, settings: _Settings, unit: Tensor) -> Tensor:
    """Compute `pair_contrastive` with all pairs in memory."""
    temperature, positive_threshold, negative_threshold = settings
    if similarity.shape[0] != similarity.shape[1]:
        (factor,) = shared.promote(similarity)
        similarity = factor @ factor.T
    positive = similarity >= positive_threshold
    negative = similarity <= negative_threshold
    positive.fill_diagonal_(False)
    negative.fill_diagonal_(False)
    n_positive = positive.sum(dim=1)
    counted = (n_positive > 0) & negative.any(dim=1)
    logits = unit @ unit.T / temperature
    # Rows that are not counted keep all entries: a row of minus infinities has no
    # finite logsumexp to mask away.
    excluded = ~negative & counted.unsqueeze(1)
    spread = logits.masked_fill(excluded, -torch.inf).logsumexp(dim=1)
    pull = logits.masked_fill(~positive, 0.0).sum(dim=1) / n_positive.clamp_min(1)
    loss = (spread - pull).masked_fill(~counted, 0.0).sum()
    return loss / counted.sum().clamp_min(1)


def _contrast_blocks(
    similarity: Tensor, settings: _Settings, unit: Tensor, gradient: Tensor | None
) -> Tensor:
    """Compute `pair_contrastive` in one pass over blocks of rows."""
    # A block holds all pairs of its anchors: taking the gradient at once saves
    # computing the block again.
    temperature, positive_threshold, negative_threshold = settings
    n = unit.shape[0]
    is_factor = similarity.shape[1] != n
    if is_factor:
        similarity = similarity.to(unit.dtype)
    losses, n_counted = unit.new_zeros(()), unit.new_zeros(())
    # Written in place: saves memory, and autocast leaves it in full precision.
    pairs_buffer = unit.new_empty(_BLOCK_ROWS, n)
    alike_buffer = torch.empty_like(pairs_buffer)
    for start in range(0, n, _BLOCK_ROWS):
        anchors = unit[start : start + _BLOCK_ROWS]
        rows = slice(start, start + len(anchors))
        positive, pairs = alike_buffer[: len(anchors)], pairs_buffer[: len(anchors)]
        alike = similarity[rows]
        if is_factor:
            alike = torch.mm(alike, similarity.T, out=positive)
        others = alike > negative_threshold
        others.diagonal(start).fill_(True)
        torch.ge(alike, positive_threshold, out=positive)
        positive.diagonal(start).zero_()
        torch.mm(anchors / temperature, unit.T, out=pairs)
        n_positive = positive.sum(dim=1, keepdim=True)
        pull = torch.bmm(pairs.unsqueeze(1), positive.unsqueeze(2)).squeeze(2)
        pairs.masked_fill_(others, -torch.inf)
        peak = pairs.amax(dim=1, keepdim=True)
        counted = (n_positive > 0) & (peak > -torch.inf)
        peak.masked_fill_(peak.isneginf(), 0.0)
        total = pairs.sub_(peak).exp_().sum(dim=1, keepdim=True)
        total.masked_fill_(~counted, 1.0)
        n_positive.clamp_min_(1)
        loss = peak + total.log() - pull / n_positive
        losses += loss.masked_fill(~counted, 0.0).sum()
        n_counted += counted.sum()
        if gradient is None:
            continue
        # Divided by the total this is the derivative with respect to the logits:
        # softmax over the negatives, minus the share of each positive.
        pairs.addcmul_(positive, total / n_positive, value=-1)
        weight = counted / total
        gradient[rows].addcmul_(torch.mm(pairs, unit), weight)
        gradient.addmm_(pairs.T, anchors * weight)
    n_counted.clamp_min_(1)
    if gradient is not None:
        gradient.div_(n_counted * temperature)
    return losses / n_counted


def _contrast_tiles(
    factor: Tensor, settings: _Settings, unit: Tensor, gradient: Tensor | None
) -> Tensor:
    """Compute `pair_contrastive` of a factor in two passes over tiles."""
    # All is symmetric: a tile above the diagonal serves its rows and its columns. The
    # temperature bounds the exponentials, so the peak of a row is not needed.
    temperature, positive_threshold, negative_threshold = settings
    n, factor = unit.shape[0], factor.to(unit.dtype)
    size = min(n, _TILE_ROWS if unit.device.type == "cpu" else _TILE_ROWS_ELSEWHERE)
    scaled = unit / temperature
    buffers = unit.new_empty(4, size * size)
    total, n_positive = unit.new_zeros(n), unit.new_zeros(n)

    def tiles() -> Iterator[tuple[slice, slice, list[Tensor]]]:
        """Give masks and logits of each tile, written into the same memory."""
        for i in range(0, n, size):
            for j in range(i, n, size):
                height, width = min(size, n - i), min(size, n - j)
                rows, columns = slice(i, i + height), slice(j, j + width)
                tile = [b[: height * width].view(height, width) for b in buffers]
                positive, negative, pairs, _ = tile
                torch.mm(factor[rows], factor[columns].T, out=negative)
                torch.ge(negative, positive_threshold, out=positive)
                negative.le_(negative_threshold)
                if i == j:
                    positive.diagonal().zero_()
                    negative.diagonal().zero_()
                torch.mm(scaled[rows], unit[columns].T, out=pairs)
                yield rows, columns, tile

    for rows, columns, (positive, negative, pairs, _) in tiles():
        pairs.exp_().mul_(negative)
        for sums, values in ((total, pairs), (n_positive, positive)):
            sums[rows] += values.sum(dim=1)
            if rows != columns:
                sums[columns] += values.sum(dim=0)
    counted = (n_positive > 0) & (total > 0)
    total.masked_fill_(~counted, 1.0)
    spread_weight, pull_weight = counted / total, counted / n_positive.clamp_min_(1)
    pulled = []
    for rows, columns, (positive, negative, pairs, weights) in tiles():
        torch.add(pull_weight[rows, None], pull_weight[columns], out=weights)
        positive.mul_(weights)
        share = torch.dot(positive.flatten(), pairs.flatten())
        # A tile on the diagonal holds each of its pairs twice.
        pulled.append(share / 2 if rows == columns else share)
        if gradient is None:
            continue
        torch.add(spread_weight[rows, None], spread_weight[columns], out=weights)
        pairs.exp_().mul_(negative).mul_(weights).sub_(positive)
        gradient[rows].addmm_(pairs, unit[columns])
        if rows != columns:
            gradient[columns].addmm_(pairs.T, unit[rows])
    n_counted = counted.sum().clamp_min(1)
    if gradient is not None:
        gradient.div_(n_counted * temperature)
    return (total.log().sum() - torch.stack(pulled).sum()) / n_counted
