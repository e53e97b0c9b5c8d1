"""What the speed benchmark compares: parts of the package, each next to its peers.

Each function builds one comparison of n samples, from fixed seeds.
"""

import importlib.util
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from sklearn.neural_network import MLPClassifier
from torch.nn import functional
from torch.nn.utils.fusion import fuse_linear_bn_eval

from benchmarks.common.methods import import_clustpy, quietly
from benchmarks.speed.gpu import pretrain_epoch, untrained
from skdeepclust import SelfPacedContrastiveClustering, graph, losses
from skdeepclust.training.data import Batches, InputSpec
from skdeepclust.views import ImageViews, make_views

BLOCK = 256  # rows that the losses hold at a time
K = 10  # clusters, neighbors
TEMPERATURE = 0.5
BATCH = 256
FORWARD = 512  # rows of the bare forward; 128 to 2,048 are no faster
LAYERS = (500, 500, 2000)
NAMES = {"mlp": "fully connected", "conv": "convolutional"}
ONLY_PRETRAINING = {
    "n_clusters": K,
    "n_components": 10,
    "hidden_layer_sizes": LAYERS,
    "augmentation": None,
    "pretraining": "reconstruction",
    "pretrain_epochs": 1,
    "center_epochs": 0,
    "head_epochs": 0,
    "contrastive_epochs": 0,
    "batch_size": BATCH,
    "random_state": 0,
}


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


def close_to(wanted: Callable[[], Any], tolerance: float) -> Callable[[Any], None]:
    """Refuse what is off by more than `tolerance` times the largest entry wanted."""

    def check(got: Any) -> None:
        for number, pair in enumerate(zip(got, wanted(), strict=True)):
            one, other = (torch.as_tensor(part).double() for part in pair)
            error = float((one - other).abs().max() / other.abs().max())
            if not error <= tolerance:
                raise ValueError(
                    f"Result {number} is off by {error:.1e} of its largest entry, more "
                    f"than {tolerance:.0e}: nothing is timed before it is right."
                )

    return check


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


def pairs_side(z: torch.Tensor, factor: torch.Tensor) -> Side:
    def run(z: torch.Tensor) -> torch.Tensor:
        return losses.pair_contrastive(z, factor, temperature=TEMPERATURE)

    return contrast_side("ours", run, z, partial(factor_pairs, factor))


def pairs_of_factor(n: int) -> Comparison:
    # Sixteenths have exact products: no pair hangs on a rounding error.
    z, factor = draw(n, 64), (16 * (6 * draw(n, K, seed=1)).softmax(1)).round() / 16
    peers = [bare_products(z, factor, 3.0)]
    return Comparison("pair_contrastive", pairs_side(z, factor), peers)


def pairs_of_labels(n: int) -> Comparison:
    z, labels = draw(n, 64), torch.arange(n) % K
    factor = functional.one_hot(labels).float()
    peer = Side("SupCon", missing=why_missing("pytorch_metric_learning"))
    if not peer.missing:
        from pytorch_metric_learning.losses import SupConLoss

        supcon = SupConLoss(TEMPERATURE)
        pairs = partial(factor_pairs, factor, supcon=True)
        peer = contrast_side("SupCon", lambda z: supcon(z, labels), z, pairs)
        peer = replace(peer, at_most=0.2)
    return Comparison("pair_contrastive", pairs_side(z, factor), [peer])


def pairs_of_neighbors(n: int) -> Comparison:
    z = draw(n, 64)
    neighbors = (torch.arange(n).unsqueeze(1) + 7 * torch.arange(1, K + 1)) % n

    def run(z: torch.Tensor) -> torch.Tensor:
        return losses.neighbor_contrastive(z, neighbors, temperature=TEMPERATURE)

    ours = contrast_side("ours", run, z, partial(neighbor_pairs, neighbors))
    return Comparison("neighbor_contrastive", ours, [bare_products(z, None, 1.5)])


# -------------------------------------------------------------- R4: soft assignments


def bare_assignment(kind: str, h: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
    squared = torch.cdist(h, centers).square()
    if kind == "gaussian":
        variance = squared.detach().amin(1).mean() / h.shape[1]
        return (-squared / (2 * variance)).softmax(1)
    kernel = 1 / (1 + squared)
    return kernel / kernel.sum(1, keepdim=True)


def soft_assignment(kind: str, n: int) -> Comparison:
    task, bare = f"{kind}_assignment", partial(bare_assignment, kind)
    given = draw(n, 20), draw(K, 20, seed=1), draw(n, K, seed=2)

    def run(function: Any, *given: torch.Tensor) -> Any:
        h, centers, weights = given
        return value_and_gradient(lambda h: function(h, centers), h, weights)

    check = close_to(lambda: run(bare, *(part.double() for part in given)), 1e-5)
    ours = Side("ours", lambda: run(getattr(losses, task), *given), check)
    peer = Side("cdist, normalized", lambda: run(bare, *given), check)
    return Comparison(task, ours, [peer])


# ---------------------------------------------------------------- R5, R6: neighbors


def check_neighbors(found: Any, points: torch.Tensor) -> None:
    """Judge neighbors by their distances, for ties may be broken in any way."""
    points, found = points.double(), torch.as_tensor(found)
    parts, k = points.split(1000), found.shape[1]
    nearest = [torch.cdist(p, points).topk(k + 1, largest=False).values for p in parts]
    gaps = torch.linalg.vector_norm(points.unsqueeze(1) - points[found], dim=2)
    close_to(lambda: [torch.cat(nearest)[:, 1:]], 1e-5)([gaps.sort(1).values])


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


# ------------------------------------------------------- R7: an epoch, a prediction


def images(n: int, encoder: str) -> np.ndarray:
    """Rows of floats for the fully connected network, bytes for the other."""
    pixels = (128 + 30 * blobs(n, 784)).clamp(0, 255).to(torch.uint8).numpy()
    return pixels.reshape(n, 28, 28) if encoder == "conv" else np.float32(pixels)


def unit_scale(x: torch.Tensor) -> torch.Tensor:
    return x / 255 if x.dtype == torch.uint8 else x


def epoch(encoder: str, n: int) -> Comparison:
    estimator = SelfPacedContrastiveClustering(encoder=encoder, **ONLY_PRETRAINING)
    X = images(n, encoder)
    spec = InputSpec.from_data(X, (1, 28, 28) if encoder == "conv" else (784,))
    batches = Batches(X.reshape(n, -1), spec, torch.device("cpu"))
    network = untrained(estimator, X[: 2 * BATCH])
    start = deepcopy(network.state_dict())
    weights = [*network.autoencoder.parameters()]
    n_steps, rate = n // BATCH, estimator.learning_rate

    def ours() -> Any:
        network.load_state_dict(start)
        generator = torch.Generator().manual_seed(0)
        pretrain_epoch(estimator, network, batches, None, generator)
        return [weight.detach().clone() for weight in weights]

    def bare() -> Any:
        network.load_state_dict(start)
        network.train()
        optimizer = torch.optim.Adam(weights, rate, fused=True)
        cycle = torch.optim.lr_scheduler.OneCycleLR
        schedule = cycle(optimizer, rate, n_steps, cycle_momentum=False)
        order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
        for index in order.tensor_split(n_steps):
            x = unit_scale(batches.data.index_select(0, index))
            loss = functional.mse_loss(network.autoencoder(x)[1], x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        return [weight.detach().clone() for weight in weights]

    peers = [Side("bare loop", bare, at_most=1.1)]
    task = f"an epoch of fit, {NAMES[encoder]}"
    return Comparison(task, Side("ours", ours, close_to(bare, 1e-5)), peers)


def prediction(encoder: str, n: int) -> Comparison:
    X = images(n, encoder)
    model = SelfPacedContrastiveClustering(encoder=encoder, **ONLY_PRETRAINING)
    network = model.fit(X[: 2 * BATCH]).network_
    data = Batches(X.reshape(n, -1), model._spec, torch.device("cpu")).data

    @torch.no_grad()
    def bare() -> Any:
        parts = [network(unit_scale(part)).softmax(1) for part in data.split(FORWARD)]
        return [torch.cat(parts)]

    check = close_to(bare, 1e-5)
    ours = Side("ours", lambda: [model.predict_proba(X)], check)
    peers = [Side("bare forward", bare, at_most=1.1)]
    if encoder == "mlp":
        rows = data.numpy()
        other = classifier_of(network, rows)
        peers += [Side("MLPClassifier", lambda: [other.predict_proba(rows)], check)]
    return Comparison(f"predict_proba, {NAMES[encoder]}", ours, peers)


@torch.no_grad()
def classifier_of(network: torch.nn.Module, rows: np.ndarray) -> MLPClassifier:
    """Give the weights of our network, fully connected, to scikit-learn's."""
    layers: list[Any] = []
    encoder, head = network.autoencoder.encoder, network.head
    for module in (*encoder, *head.hidden, head.output):
        if isinstance(module, torch.nn.Linear):
            layers.append(module)
        elif isinstance(module, torch.nn.BatchNorm1d):
            layers[-1] = fuse_linear_bn_eval(layers[-1], module)
    weights = [(layer.weight.T, layer.bias) for layer in layers]
    # The embedding has no ReLU: it goes through one with both signs.
    (last, bias), (first, first_bias) = weights[len(LAYERS) : len(LAYERS) + 2]
    weights[len(LAYERS)] = torch.cat([last, -last], 1), torch.cat([bias, -bias])
    weights[len(LAYERS) + 1] = torch.cat([first, -first]), first_bias
    classifier = MLPClassifier([len(bias) for _, bias in weights[:-1]], max_iter=1)
    classifier.fit(rows[: 2 * K], np.arange(2 * K) % K)
    classifier.coefs_ = [weight.numpy() for weight, _ in weights]
    classifier.intercepts_ = [bias.numpy() for _, bias in weights]
    return classifier


# --------------------------------------------------- R8: a fit, in all, and its peers


def whole_fit(n):
    """Fit with three epochs of pretraining and three of clustering, as the peers do."""
    X = images(n, "mlp") / 255
    sizes = (X.shape[1], *LAYERS, ONLY_PRETRAINING["n_components"])
    both_ways = [*pairwise(sizes), *pairwise(sizes[::-1])]
    n_weights = sum((n_in + 1) * n_out for n_in, n_out in both_ways)

    def check(network):
        found = sum(weight.numel() for weight in network.parameters())
        if found != n_weights:
            raise ValueError(f"{found:,} weights, not {n_weights:,}: another network.")

    parameters = {**ONLY_PRETRAINING, "pretrain_epochs": 3, "head_epochs": 3}
    parameters |= {"center_epochs": 2, "contrastive_epochs": 1}
    estimator = SelfPacedContrastiveClustering(encoder="mlp", **parameters)
    ours = Side("ours", lambda: estimator.fit(X).network_.autoencoder, check)
    missing = why_missing("clustpy")

    def fit(name):
        deep = import_clustpy()
        network = deep.neural_networks.FeedforwardAutoencoder
        model = getattr(deep, name)(
            K,
            batch_size=BATCH,
            pretrain_epochs=3,
            clustering_epochs=3,
            neural_network=(network, {"layers": [*sizes]}),
            random_state=0,
            device=torch.device("cpu"),
        )
        with quietly():
            return model.fit(X).neural_network_trained_

    peers = [
        Side(name, None if missing else partial(fit, name), check, missing=missing)
        for name in ("DEC", "IDEC")
    ]
    return Comparison("fit, fully connected", ours, peers)


# --------------------------------------------------------------- R9: views of colors


def color_views(n: int) -> Comparison:
    x = torch.sigmoid(draw(n, 3, 32, 32))
    views = make_views("auto", (3, 32, 32))
    still = {"degrees": 0.0, "shift": 0.0, "scale": 0.0}
    cut = ImageViews(**still, crop=views.crop, flip=True)

    def of(transform: ImageViews) -> Any:
        return lambda: [transform(x, torch.Generator().manual_seed(0))]

    def reference() -> Any:
        generator = torch.Generator().manual_seed(0)
        view = cut(x, generator)
        u = torch.rand(4, n, generator=generator)[..., None, None, None]
        low, high = 1 - views.jitter, 1 + views.jitter
        view, contrast = view * (low + (high - low) * u[0]), low + (high - low) * u[1]
        view = torch.lerp(view.mean((1, 2, 3), keepdim=True), view, contrast)
        gray = torch.einsum("nchw,c->nhw", view, torch.tensor([0.299, 0.587, 0.114]))
        return [torch.where(u[3] < views.gray, gray[:, None], view).clamp(0, 1)]

    ours = Side("ours", of(views), close_to(reference, 1e-5))
    peers = [Side("crop and flip alone", of(cut), at_most=1.5)]
    return Comparison("views of 3 x 32 x 32", ours, peers)
