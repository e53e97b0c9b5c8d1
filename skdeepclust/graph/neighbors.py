"""Exact nearest neighbors in blocks of rows."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from skdeepclust.losses._checks import unit_rows

from ._checks import _check_choice, _check_count, _check_n_neighbors, _check_z, _double

_BLOCK_ELEMENTS = 2**23  # scores held at a time, 32 MB; more is hardly faster
_CHUNK = 64
# Candidates beyond those asked for: the gap in score behind the last of these shows
# that rounding has hidden none.
_SPARE = 4


def nearest_neighbors(
    z: Tensor,
    n_neighbors: int,
    metric: Literal["cosine", "euclidean"] = "cosine",
    *,
    block_size: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Exact nearest neighbors of each sample among all others.

    Pairs are compared in float32, and again in float64 where rounding counts. Memory:
    ``n_samples * (n_neighbors + n_components + block_size)``.

    Parameters
    ----------
    z : torch.Tensor of shape (n_samples, n_components)
        Embeddings.
    n_neighbors : int
        Neighbors of a sample, without itself; less than n_samples.
    metric : {"cosine", "euclidean"}, default="cosine"
        The distance: 1 minus the cosine, or Euclidean.
    block_size : int, default=None
        Rows compared at a time. None takes as many as have 32 MB of scores.

    Returns
    -------
    indices : torch.Tensor of shape (n_samples, n_neighbors)
        Distinct rows of `z`, int64, never the sample itself: nearest first, and equally
        near ones by index. Which of these are kept also depends on the block size.
    distances : torch.Tensor of shape (n_samples, n_neighbors)
        Their distances, in the dtype of `z`. A row of zeros has cosine 0 to everything,
        so distance 1.
    """
    z = _check_z(z)
    n_neighbors = _check_n_neighbors(n_neighbors, z.shape[0])
    _check_choice("metric", metric, ("cosine", "euclidean"))
    if block_size is not None:
        block_size = _check_count("block_size", block_size)
    search = _cosine_neighbors if metric == "cosine" else _euclidean_neighbors
    indices, distances = search(_double(z), n_neighbors, block_size)
    return indices, distances.to(z.dtype)


def _cosine_neighbors(
    rows: Tensor, n_neighbors: int, block_size: int | None
) -> tuple[Tensor, Tensor]:
    rows = unit_rows(rows)
    # Rows that all point almost the same way differ in the last decimals of their
    # cosines. The cosine of two rows is, up to what depends on the first alone, the
    # product of the centered rows plus that of the mean and the second.
    mean = rows.mean(dim=0)
    centered = rows - mean
    # Half the squared difference of unit rows is exact for close ones; a row of zeros
    # lacks half its length.
    lacking = (rows == 0).all(dim=1) * 0.5

    def measure(own: slice, others: Tensor) -> Tensor:
        difference = rows[own].unsqueeze(1) - rows[others]
        lacks = lacking[own].unsqueeze(1) + lacking[others]
        return difference.square().sum(dim=2) / 2 + lacks

    return _search(centered, centered @ mean, n_neighbors, measure, block_size)


def _euclidean_neighbors(
    rows: Tensor, n_neighbors: int, block_size: int | None
) -> tuple[Tensor, Tensor]:
    # |a|^2 + |b|^2 - 2 a b loses precision far from the origin, and its range in
    # float32 unless scaled.
    centered = rows - rows.mean(dim=0)
    scale = centered.abs().amax()
    scale = scale.masked_fill(scale == 0, 1.0)
    centered = centered / scale

    def measure(own: slice, others: Tensor) -> Tensor:
        difference = (rows[own].unsqueeze(1) - rows[others]) / scale
        return difference.square().sum(dim=2).sqrt() * scale

    offset = -centered.square().sum(dim=1) / 2
    return _search(centered, offset, n_neighbors, measure, block_size)


def _search(
    rows: Tensor,
    offset: Tensor,
    n_neighbors: int,
    measure: Callable[[slice, Tensor], Tensor],
    block_size: int | None = None,
    *,
    absolute: bool = False,
) -> tuple[Tensor, Tensor]:
    """Find the largest scores ``rows[i] @ rows[j] + offset[j]`` of each row i.

    `absolute` takes their absolute values. `measure` returns the distances of samples,
    a slice, to the neighbors found, which decide on the order; both are returned.
    """
    n, n_components = rows.shape
    fetch = min(n_neighbors + _SPARE, n - 1)
    if block_size is None:
        block_size = max(1, _BLOCK_ELEMENTS // max(n, 4 * fetch * n_components))
    block_size = min(block_size, n)
    # The offset is one more component, for which every query has a 1; columns are
    # padded to whole chunks.
    width = -(-n // _CHUNK) * _CHUNK
    keys = rows.new_zeros((n_components + 1, width), dtype=torch.float32)
    keys[:-1, :n], keys[-1, :n] = rows.T, offset
    # A fresh matrix per block would cost as much time as the products in it.
    buffer = keys.new_empty((block_size, width))
    # Bound of the error of each row's scores in float32. Errors of a sum are of both
    # signs: they grow with the root of their number.
    length = torch.linalg.vector_norm(rows, dim=1)
    factor = torch.finfo(torch.float32).eps * (4 + n_components**0.5)
    margin = factor * (length * length.amax() + offset.abs().amax())
    indices = torch.empty((n, n_neighbors), dtype=torch.int64, device=rows.device)
    distances = rows.new_empty((n, n_neighbors))
    for start in range(0, n, block_size):
        own = slice(start, min(start + block_size, n))
        queries = keys[:, own].T.clone()
        queries[:, -1] = 1
        scores = torch.mm(queries, keys, out=buffer[: queries.shape[0]])
        if absolute:
            scores.abs_()
        scores[:, n:] = -torch.inf
        scores.diagonal(start).fill_(-torch.inf)
        approximate, found = _largest(scores, fetch)
        exact = (rows[found] @ rows[own].unsqueeze(2)).squeeze(2) + offset[found]
        exact = exact.abs() if absolute else exact
        # Settings such as TF32 make products coarser than float32 is.
        coarse = (approximate - exact).abs().amax(dim=1) > margin[own]
        exact, order = exact.sort(descending=True)
        found = found.gather(1, order)[:, :n_neighbors]
        if fetch < n - 1:
            # A sample that was not fetched scores at most the worst fetched one plus
            # what rounding can hide.
            hidden = approximate[:, -1] + margin[own] > exact[:, n_neighbors - 1]
            unsure = (hidden | coarse).nonzero().squeeze(1)
            if unsure.numel() > 0:
                again = _search_exactly(rows, offset, start + unsure, absolute)
                found[unsure] = again.topk(n_neighbors).indices
        found = found.sort().values
        distances[own], order = measure(own, found).sort(stable=True)
        indices[own] = found.gather(1, order)
    return indices, distances


def _largest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """As `topk` along rows; their length is a multiple of the chunks' length."""
    chunks = scores.unflatten(1, (-1, _CHUNK))
    if chunks.shape[1] < 2 * k:
        values, columns = scores.topk(k)
        return values, columns
    # The k largest lie in the k chunks with the largest maxima, and maxima are much
    # cheaper to find.
    best = chunks.amax(dim=2).topk(k, sorted=False).indices
    survivors = chunks.gather(1, best.unsqueeze(2).expand(-1, -1, _CHUNK)).flatten(1)
    values, positions = survivors.topk(k)
    columns = best.gather(1, positions // _CHUNK) * _CHUNK + positions % _CHUNK
    return values, columns


def _search_exactly(rows: Tensor, offset: Tensor, at: Tensor, absolute: bool) -> Tensor:
    """Scores of the rows at some indices, in the precision of `rows`."""
    scores = rows[at] @ rows.T + offset
    scores = scores.abs() if absolute else scores
    return scores.scatter_(1, at.unsqueeze(1), -torch.inf)
