"""What the speed benchmark compares: losses and graphs, each next to its peers.

Each function builds one comparison of n samples, from fixed seeds.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from sklearn.neighbors import NearestNeighbors
from torch.nn import functional

from skdeepclust import graph, losses

BLOCK = 256  # rows that the losses hold at a time
K = 10  # clusters, neighbours
TEMPERATURE = 0.5


@dataclass(frozen=True)
class Side:
    """One of those that are timed.

    `check` raises unless what `run` returns is right. `at_most` is the ratio of our
    time to this one that is asked for. `missing` says why there is no `run`.
    """

    name: str
    run: Callable[[], Any] | None = None
    check: Callable[[Any], None] | None = None
    at_most: float | None = None
    missing: str = ""


@dataclass(frozen=True)
class Comparison:
    """A part of the package, and what it is held against."""

    task: str
    ours: Side
    peers: list[Side]


def check_close(got: Any, wanted: Callable[[], Any], tolerance: float) -> None:
    """Refuse what is off by more than `tolerance` times the largest entry wanted."""
    for number, (one, other) in enumerate(zip(got, wanted(), strict=True)):
        one, other = torch.as_tensor(one).double(), torch.as_tensor(other).double()
        error = float((one - other).abs().max() / other.abs().max())
        if not error <= tolerance:
            raise ValueError(
                f"Result {number} is off by {error:.1e} of its largest entry, more "
                f"than {tolerance:.0e}: nothing is timed before it is right."
            )


def close_to(wanted: Callable[[], Any], tolerance: float) -> Callable[[Any], None]:
    return partial(check_close, wanted=wanted, tolerance=tolerance)


def why_missing(module: str) -> str:
    """Say why a peer takes no part; an empty string if it does."""
    return "" if importlib.util.find_spec(module) else f"{module} is not installed"


def value_and_gradient(function: Any, x: torch.Tensor, weights: Any = None) -> Any:
    x = x.detach().requires_grad_()
    value = function(x)
    value.backward(weights)
    return value.detach(), x.grad


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def blobs(n: int, n_components: int) -> torch.Tensor:
    centers = 2 * draw(K, n_components, seed=1)
    return centers[torch.arange(n) % K] + draw(n, n_components)


# ----------------------------------------------------------------- R1 to R3: contrasts


def contrast_reference(z: torch.Tensor, pairs: Callable[[torch.Tensor], Any]) -> Any:
    """Equation 3.9 and its gradient from the definition, in float64, by blocks of rows.

    `pairs` gives, for some rows, masks of the positives and of the denominator.
    """
    z = z.double().requires_grad_()
    total = n_counted = 0
    for rows in torch.arange(len(z)).split(4 * BLOCK):
        positive, others = pairs(rows)
        counted = positive.any(1) & others.any(1)
        positive, others = positive[counted], others[counted]
        unit = functional.normalize(z, dim=1)
        logits = unit[rows[counted]] @ unit.T / TEMPERATURE
        spread = logits.masked_fill(~others, -torch.inf).logsumexp(1)
        loss = (spread - (logits * positive).sum(1) / positive.sum(1)).sum()
        loss.backward()
        total, n_counted = total + loss.detach(), n_counted + counted.sum()
    return total / n_counted, z.grad / n_counted


def contrast_side(name: str, function: Any, z: torch.Tensor, pairs: Any) -> Side:
    run = partial(value_and_gradient, function, z)
    return Side(name, run, close_to(partial(contrast_reference, z, pairs), 2e-6))


def factor_pairs(factor: torch.Tensor, rows: torch.Tensor, supcon: bool = False) -> Any:
    """Pairs by the thresholds; in SupCon's denominator are the positives as well."""
    similarity = factor[rows] @ factor.T
    itself = rows.unsqueeze(1) == torch.arange(len(factor))
    positive = (similarity >= 0.8) & ~itself
    negative = (similarity <= 0.2) & ~itself
    return positive, negative | positive if supcon else negative


def neighbor_pairs(neighbors: torch.Tensor, rows: torch.Tensor) -> Any:
    positive = torch.zeros(len(rows), len(neighbors), dtype=torch.bool)
    positive.scatter_(1, neighbors[rows], True)
    return positive, ~positive & (rows.unsqueeze(1) != torch.arange(len(neighbors)))


def bare_products(z: torch.Tensor, factor: torch.Tensor | None, at_most: float) -> Side:
    """What no contrast can do without, in blocks of rows and into memory that stays."""
    unit, gradient = functional.normalize(z, dim=1), torch.zeros_like(z)
    scores, own = z.new_empty(BLOCK, len(z)), z.new_empty(BLOCK, z.shape[1])

    def run() -> None:
        for start in range(0, len(z), BLOCK):
            rows = slice(start, start + BLOCK)
            if factor is not None:
                torch.mm(factor[rows], factor.T, out=scores)
            torch.mm(unit[rows], unit.T, out=scores).exp_()
            gradient[rows] += torch.mm(scores, unit, out=own)
            gradient.addmm_(scores.T, unit[rows])

    return Side("bare products", run, at_most=at_most)


def pairs_of_factor(n: int) -> Comparison:
    # Sixteenths have exact products: no pair hangs on a rounding error.
    z, factor = draw(n, 64), (16 * (6 * draw(n, K, seed=1)).softmax(1)).round() / 16
    ours = contrast_side(
        "ours",
        lambda z: losses.pair_contrastive(z, factor, temperature=TEMPERATURE),
        z,
        partial(factor_pairs, factor),
    )
    return Comparison("pair_contrastive", ours, [bare_products(z, factor, 3.0)])


def pairs_of_labels(n: int) -> Comparison:
    z, labels = draw(n, 64), torch.arange(n) % K
    factor = functional.one_hot(labels).float()
    ours = contrast_side(
        "ours",
        lambda z: losses.pair_contrastive(z, factor, temperature=TEMPERATURE),
        z,
        partial(factor_pairs, factor),
    )
    missing = why_missing("pytorch_metric_learning")
    if missing:
        return Comparison("pair_contrastive", ours, [Side("SupCon", missing=missing)])
    from pytorch_metric_learning.losses import SupConLoss

    supcon = SupConLoss(TEMPERATURE)
    pairs = partial(factor_pairs, factor, supcon=True)
    peer = contrast_side("SupCon", lambda z: supcon(z, labels), z, pairs)
    peer = Side(peer.name, peer.run, peer.check, at_most=0.2)
    return Comparison("pair_contrastive", ours, [peer])


def pairs_of_neighbors(n: int) -> Comparison:
    z = draw(n, 64)
    neighbors = (torch.arange(n).unsqueeze(1) + 7 * torch.arange(1, K + 1)) % n
    ours = contrast_side(
        "ours",
        lambda z: losses.neighbor_contrastive(z, neighbors, temperature=TEMPERATURE),
        z,
        partial(neighbor_pairs, neighbors),
    )
    return Comparison("neighbor_contrastive", ours, [bare_products(z, None, 1.5)])


# -------------------------------------------------------------- R4: soft assignments


def bare_student_t(h: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
    kernel = 1 / (1 + torch.cdist(h, centers).square())
    return kernel / kernel.sum(1, keepdim=True)


def bare_gaussian(h: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
    squared = torch.cdist(h, centers).square()
    variance = squared.detach().amin(1).mean() / h.shape[1]
    return (-squared / (2 * variance)).softmax(1)


def soft_assignment(kind: str, n: int) -> Comparison:
    task = f"{kind}_assignment"
    bare = {"student_t": bare_student_t, "gaussian": bare_gaussian}[kind]
    given = draw(n, 20), draw(K, 20, seed=1), draw(n, K, seed=2)

    def run(function: Any, *given: torch.Tensor) -> Any:
        h, centers, weights = given
        return value_and_gradient(lambda h: function(h, centers), h, weights)

    check = close_to(lambda: run(bare, *(part.double() for part in given)), 1e-5)
    ours = Side("ours", lambda: run(getattr(losses, task), *given), check)
    peer = Side("cdist, normalised", lambda: run(bare, *given), check)
    return Comparison(task, ours, [peer])


# ---------------------------------------------------------------- R5, R6: neighbours


def check_neighbors(found: Any, points: torch.Tensor) -> None:
    """Judge neighbours by their distances, for ties may be broken in any way."""
    points, found = points.double(), torch.as_tensor(found)
    parts, k = points.split(1000), found.shape[1]
    nearest = [torch.cdist(p, points).topk(k + 1, largest=False).values for p in parts]
    gaps = torch.linalg.vector_norm(points.unsqueeze(1) - points[found], dim=2)
    check_close([gaps.sort(1).values], lambda: [torch.cat(nearest)[:, 1:]], 1e-5)


def neighbor_search(metric: str, n: int) -> Comparison:
    rows = blobs(n, 64)
    points = functional.normalize(rows, dim=1) if metric == "cosine" else rows
    check = partial(check_neighbors, points=points)
    brute = NearestNeighbors(n_neighbors=K, algorithm="brute", metric=metric)
    brute.fit(rows.numpy())
    ours = Side("ours", lambda: graph.nearest_neighbors(rows, K, metric)[0], check)
    peers = [
        Side("scikit-learn", lambda: brute.kneighbors()[1], check),
        Side("faiss", missing=why_missing("faiss")),
    ]
    if not peers[1].missing:
        import faiss

        faiss.omp_set_num_threads(1)
        flat = faiss.IndexFlatIP if metric == "cosine" else faiss.IndexFlatL2
        index, queries = flat(64), points.numpy()
        index.add(queries)
        # The nearest of all is the sample itself.
        peers[1] = Side("faiss", lambda: index.search(queries, K + 1)[1][:, 1:], check)
    return Comparison(f"nearest_neighbors, {metric}", ours, peers)


def self_expression(n: int) -> Comparison:
    z, product = blobs(n, 64), torch.empty(n, n)
    rows = functional.normalize(z.double(), dim=1)
    gram = rows.T @ rows + 0.1 * n / 64 * torch.eye(64, dtype=torch.float64)
    # The scores are the cosines of whitened rows.
    whitened = rows @ torch.linalg.cholesky(torch.linalg.inv(gram))
    check = partial(check_neighbors, points=functional.normalize(whitened, dim=1))
    ours = Side("ours", lambda: graph.self_expression_neighbors(z, K)[0], check)
    bare = Side("one n x n product", lambda: torch.mm(z, z.T, out=product))
    return Comparison("self_expression_neighbors", ours, [bare])
