"""Tests of estimators around a ResNet-18, and around a frozen module."""

import copy
import os
import pickle
import sys

import numpy as np
import pytest
import torch
from conftest import TINY, TINY_GRAPH, TINY_SUBSPACE
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from torch import nn

from skdeepclust import (
    DeepSubspaceClustering,
    GraphContrastiveClustering,
    SelfPacedContrastiveClustering,
)
from skdeepclust.features import FeatureExtractor
from skdeepclust.networks import Frozen, ResNet18

FEW = {"pretrain_epochs": 1, "head_epochs": 2}
ESTIMATORS = {
    "self_paced": (
        SelfPacedContrastiveClustering,
        {**TINY, **FEW, "center_epochs": 1, "contrastive_epochs": 1},
    ),
    "graph": (
        GraphContrastiveClustering,
        {**TINY_GRAPH, **FEW, "joint_epochs": 1},
    ),
    "subspace": (
        DeepSubspaceClustering,
        {**TINY_SUBSPACE, "pretrain_epochs": 1},
    ),
}


@pytest.fixture(params=ESTIMATORS)
def make(request):
    """Make an estimator of each class that takes a handful of steps."""
    cls, parameters = ESTIMATORS[request.param]
    return lambda **given: cls(3, **{**parameters, **given})


@pytest.fixture(scope="module")
def photos():
    """Color images, uint8, red, green or blue, and their colors."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 10)
    X = rng.integers(0, 120, size=(30, 3, 8, 8))
    X[np.arange(30), y] += 120
    return X.astype(np.uint8), y


def pretrained():
    """Return a small module with statistics of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.AdaptiveAvgPool2d(2),
        )
        module(torch.rand(8, 3, 8, 8))
    return module


def assert_same_weights(module, other):
    mine, theirs = module.state_dict(), other.state_dict()
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        assert torch.equal(value, theirs[name]), name


# ------------------------------------------------------------------------ ResNet-18


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("name", "n_channels", "given"),
    [
        ("self_paced", 3, {"center_epochs": 0}),
        pytest.param("graph", 5, {"augmentation": None}, marks=pytest.mark.slow),
    ],
)
def test_resnet18_trains_is_cloned_and_pickled(name, n_channels, given, photos):
    X = np.concatenate([photos[0], photos[0]], axis=1)[:, :n_channels]
    cls, parameters = ESTIMATORS[name]
    model = clone(cls(3, **{**parameters, **given, "encoder": "resnet18"})).fit(X)
    term = "nt_xent" if name == "self_paced" else "reconstruction"
    assert np.isfinite(model.history_[0][term])
    assert isinstance(model.network_.autoencoder.encoder[0], ResNet18)
    assert model.embedding_.shape == (30, 4)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.labels_)
    assert_same_weights(again.network_, model.network_)


@pytest.mark.parametrize(
    ("shape", "parameters", "match"),
    [
        ((30, 64), {"encoder": "resnet18"}, "encoder='resnet18'.*image_shape"),
        ((30, 3, 7, 9), {"encoder": "resnet18"}, "at least 8 x 8 pixels; got 7 x 9"),
        ((30, 5), {"encoder": Frozen(nn.Linear(4, 3))}, "encoder Linear fails on a"),
        ((30, 5), {"encoder": Frozen}, "encoder"),
    ],
    ids=str,
)
def test_fit_bad_encoder_says_what_and_leaves_nothing(make, shape, parameters, match):
    model = make(**parameters)
    with pytest.raises(ValueError, match=match):
        model.fit(np.ones(shape))
    assert not [name for name in vars(model) if name.endswith("_")]


@pytest.mark.slow
def test_resnet18_learns_photographs_by_contrast():
    folder = os.environ.get("SKDEEPCLUST_DATA", "")
    if os.path.exists(os.path.join(folder, "cifar10_jpeg.npz.xz")):
        sys.path.insert(0, folder)
        try:
            from load import load
        finally:
            sys.path.remove(folder)
        X = load("cifar10")[0][:2000]
        X = X.reshape(2000, 3, 8, 4, 8, 4).mean(axis=(3, 5)).astype(np.uint8)
    else:
        rng = np.random.default_rng(0)
        coarse = rng.integers(0, 256, size=(2000, 3, 4, 4), dtype=np.uint8)
        X = coarse.repeat(2, axis=2).repeat(2, axis=3)
    model = SelfPacedContrastiveClustering(
        10,
        encoder="resnet18",
        pretraining="contrastive",
        pretrain_epochs=2,
        center_epochs=0,
        head_epochs=1,
        contrastive_epochs=0,
        random_state=0,
    ).fit(X)
    first, second = (row["nt_xent"] for row in model.history_[:2])
    # Views that are all alike have the logarithm of the 2 x 285 - 1 others.
    assert second < first < np.log(2 * 286 - 1)
    np.testing.assert_allclose(np.linalg.norm(model.embedding_, axis=1), 1, rtol=1e-4)
    np.testing.assert_array_equal(model.predict(X[:300]), model.labels_[:300])


# ------------------------------------------------------------------ frozen modules


@pytest.mark.parametrize("given", [{}, {"n_init": 2}], ids=str)
def test_frozen_encoder_stays_and_the_rest_trains(make, photos, given):
    X, _ = photos
    module = pretrained()
    before = copy.deepcopy(module)
    model = make(encoder=Frozen(module), **given)
    model.set_params(pretrain_epochs=8).fit(X)
    losses = [r["loss"] for r in model.history_ if r["stage"] == "pretraining"]
    assert losses[-1] < losses[0]
    assert_same_weights(module, before)
    assert module.training
    if hasattr(model, "predict"):
        # 16 features of the module, the hidden layer, the embedding.
        encoder = model.network_.autoencoder.encoder
        assert_same_weights(encoder[0].module, before)
        assert [tuple(p.shape) for p in encoder[2:].parameters() if p.ndim == 2] == [
            (16, 16),
            (4, 16),
        ]


def test_frozen_encoder_is_cloned_and_pickled(make, photos):
    X, _ = photos
    model = clone(make(encoder=Frozen(pretrained()))).fit(X)
    again = pickle.loads(pickle.dumps(model))
    assert isinstance(again.encoder, Frozen)
    assert_same_weights(again.encoder.module, pretrained())
    assert "encoder=Frozen(" in repr(model)
    np.testing.assert_array_equal(again.labels_, model.labels_)
    if hasattr(model, "predict"):
        np.testing.assert_array_equal(again.predict(X), model.labels_)
        assert_same_weights(again.network_, model.network_)


def test_frozen_encoder_takes_the_weights_of_fit_whatever_becomes_of_it(photos):
    X, _ = photos
    cls, parameters = ESTIMATORS["graph"]
    module = pretrained()
    model = cls(3, **{**parameters, "encoder": Frozen(module)}).fit(X)
    with torch.no_grad():
        module[0].weight.zero_()
    for copied in (model, pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(copied.predict(X), model.labels_)


@pytest.mark.parametrize("wrap", [lambda module: module, Frozen])
def test_traced_encoder_trains_as_its_module_does(make, wrap):
    X = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    module = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))
    traced = torch.jit.trace(module, torch.zeros(2, 6))
    model, other = (
        clone(make(encoder=wrap(encoder))).fit(X) for encoder in (module, traced)
    )
    np.testing.assert_array_equal(other.labels_, model.labels_)
    for record, expected in zip(other.history_, model.history_, strict=True):
        assert record["loss"] == pytest.approx(expected["loss"], rel=1e-4)


def test_pipeline_is_the_path_of_the_thesis_for_photographs(photos):
    X, y = photos
    model = make_pipeline(
        FeatureExtractor(pretrained()),
        SelfPacedContrastiveClustering(
            3,
            pretrain_epochs=20,
            center_epochs=2,
            head_epochs=60,
            contrastive_epochs=2,
            random_state=0,
        ),
    ).fit(X)
    layers = model[-1].network_.autoencoder.encoder
    sizes = [layer.out_features for layer in layers if isinstance(layer, nn.Linear)]
    assert sizes == [256, 256, 20]
    assert adjusted_rand_score(y, model.predict(X)) > 0.9
