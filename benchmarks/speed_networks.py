"""What the speed benchmark compares: networks at work, each next to its peers.

Each function builds one comparison of n samples, from fixed seeds.
"""

import io
from contextlib import redirect_stderr, redirect_stdout
from copy import deepcopy
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from peers import import_clustpy
from sklearn.neural_network import MLPClassifier
from speed_cases import Comparison, K, Side, blobs, close_to, draw, why_missing
from torch.nn import functional
from torch.nn.utils.fusion import fuse_linear_bn_eval

from skdeepclust import SelfPacedContrastiveClustering
from skdeepclust._stages.pretraining import pretraining_stage
from skdeepclust.training import Batches, History, InputSpec, run_stages
from skdeepclust.views import ImageViews, make_views

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
    with torch.random.fork_rng(devices=[]):
        estimator.n_clusters_ = estimator.n_clusters  # as `fit` does
        network = estimator._build_network(spec)
    start = deepcopy(network.state_dict())
    weights = [*network.autoencoder.parameters()]
    n_steps, rate = n // BATCH, estimator.learning_rate

    def ours() -> Any:
        network.load_state_dict(start)
        generator = torch.Generator().manual_seed(0)
        stage = pretraining_stage(
            estimator, network, batches, None, generator, n_epochs=1
        )
        told = {"generator": generator, "observers": [History()]}
        run_stages(network, [lambda: stage], n, **told)
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
    model.fit(X[: 2 * BATCH])
    network, data = model.network_, model._batches(X).data

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
    peers = [Side(name, missing=missing) for name in ("DEC", "IDEC")]
    if not missing:
        deep = import_clustpy()
        methods = deep.DEC, deep.IDEC
        network = deep.neural_networks.FeedforwardAutoencoder

        def fit(method):
            model = method(
                K,
                batch_size=BATCH,
                pretrain_epochs=3,
                clustering_epochs=3,
                neural_network=(network, {"layers": [*sizes]}),
                random_state=0,
                device=torch.device("cpu"),
            )
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                return model.fit(X).neural_network_trained_

        peers = [Side(m.__name__, partial(fit, m), check) for m in methods]
    return Comparison("fit, fully connected", ours, peers)


# --------------------------------------------------------------- R9: views of colours


def colour_views(n: int) -> Comparison:
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
        grey = torch.einsum("nchw,c->nhw", view, torch.tensor([0.299, 0.587, 0.114]))
        return [torch.where(u[3] < views.grey, grey[:, None], view).clamp(0, 1)]

    ours = Side("ours", of(views), close_to(reference, 1e-5))
    peers = [Side("crop and flip alone", of(cut), at_most=1.5)]
    return Comparison("views of 3 x 32 x 32", ours, peers)
