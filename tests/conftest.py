"""Small data, small models and small helpers that every test file may use."""

import random

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_blobs
from torch import nn

from skdeepclust import (
    DeepSubspaceClustering,
    GraphContrastiveClustering,
    SelfPacedContrastiveClustering,
)

TINY = {
    "hidden_layer_sizes": (16,),
    "n_components": 4,
    "pretrain_epochs": 20,
    "center_epochs": 5,
    "head_epochs": 30,
    "contrastive_epochs": 2,
    "random_state": 0,
}
TINY_SUBSPACE = {
    "hidden_layer_sizes": (16,),
    "n_components": 4,
    "n_neighbors": 5,
    "pretrain_epochs": 20,
    "joint_epochs": 2,
    "random_state": 0,
}
TINY_GRAPH = {
    "hidden_layer_sizes": (16,),
    "n_components": 4,
    "pretrain_epochs": 20,
    "head_epochs": 30,
    "joint_epochs": 5,
    "random_state": 0,
}
QUICK = {"pretrain_epochs": 2, "center_epochs": 2}
"""Overrides for tests that need a fit but no good one."""
FEW = {
    "tiny": {"pretrain_epochs": 4, "center_epochs": 2, "head_epochs": 2},
    "tiny_graph": {"pretrain_epochs": 4, "head_epochs": 9, "joint_epochs": 2},
    "tiny_subspace": {"pretrain_epochs": 4},
}
"""The same, by the fixture that makes the estimator."""
ALL = [*FEW]
PREDICTING = ["tiny", "tiny_graph"]


def assert_same_fit(model, other):
    """Everything that was learned is the same, bit for bit."""
    state, other_state = model.__getstate__(), other.__getstate__()
    assert {*state} == {*other_state}
    for name in state:
        if name.endswith("_"):
            np.testing.assert_equal(state[name], other_state[name], err_msg=name)


def draw(shape):
    """Draw from every global generator."""
    noise = torch.randn(shape) + random.random()
    return noise + torch.from_numpy(np.random.standard_normal(shape)).float()  # noqa: NPY002


def noisy(batch):
    """Return a view that is drawn from every global generator."""
    return batch + 0.1 * draw(batch.shape)


class Drawing(nn.Module):
    """An encoder of 6 columns that draws even when it is not trained."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 4)

    def forward(self, x):
        return self.linear(x) + 0.01 * draw((len(x), 4))


def assert_a_center_for_each_cluster(model, X, n_clusters):
    """Any label finds a row, which is NaN for clusters without samples."""
    centers = model.cluster_centers_
    assert centers.shape == (n_clusters, model.embedding_.shape[1])
    assert centers[model.predict(X)].shape == model.embedding_.shape
    used = np.unique(model.labels_)
    assert len(used) < n_clusters
    np.testing.assert_array_equal(
        np.isnan(centers).all(axis=1), ~np.isin(np.arange(n_clusters), used)
    )
    for k in used:
        mean = model.embedding_[model.labels_ == k].mean(axis=0)
        np.testing.assert_allclose(centers[k], mean, atol=1e-6)


@pytest.fixture
def tiny():
    """Make an estimator that fits in well under a second."""

    def make(n_clusters=3, **parameters):
        return SelfPacedContrastiveClustering(n_clusters, **{**TINY, **parameters})

    return make


@pytest.fixture
def tiny_graph():
    """Make a graph estimator that fits in about a second."""

    def make(n_clusters=3, **parameters):
        return GraphContrastiveClustering(n_clusters, **{**TINY_GRAPH, **parameters})

    return make


@pytest.fixture
def tiny_subspace():
    """Make a subspace estimator that fits in well under a second."""

    def make(n_clusters=3, **parameters):
        return DeepSubspaceClustering(n_clusters, **{**TINY_SUBSPACE, **parameters})

    return make


@pytest.fixture
def make(request):
    """Make the estimator that the test is parametrized by, of few epochs."""
    make, few = request.getfixturevalue(request.param), FEW[request.param]
    return lambda **parameters: make(**{**few, **parameters})


@pytest.fixture(scope="session")
def blobs():
    """Rows of three groups, float64, and their groups."""
    X, y = make_blobs(120, 6, centers=3, cluster_std=0.5, random_state=0)
    X.setflags(write=False)
    return X, y


@pytest.fixture(scope="session")
def images():
    """Gray images of three digits, uint8, (n, 8, 8), and their digits."""
    digits = load_digits(n_class=3)
    X = (digits.images[:150] * 15).astype(np.uint8)
    X.setflags(write=False)
    return X, digits.target[:150]
