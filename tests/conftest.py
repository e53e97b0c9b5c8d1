"""Small data, small models and small helpers that every test file may use."""

import random
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_blobs
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

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
CLASSES = {
    "tiny": (SelfPacedContrastiveClustering, TINY),
    "tiny_graph": (GraphContrastiveClustering, TINY_GRAPH),
    "tiny_subspace": (DeepSubspaceClustering, TINY_SUBSPACE),
}
ALL = [*CLASSES]
PREDICTING = ["tiny", "tiny_graph"]


def estimator(kind, n_clusters=3, **parameters):
    """Make an estimator that fits in well under a second."""
    cls, tiny = CLASSES[kind]
    return cls(n_clusters, **{**tiny, **parameters})


def few_epochs(kind, **parameters):
    """Make one that fits in less, and not well."""
    return estimator(kind, **{**FEW[kind], **parameters})


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


class Steps:
    """Counts the optimizer's steps, and raises before one of them."""

    left = None
    count = 0

    def __call__(self, optimizer, arguments, keywords):
        if self.left == 0:
            raise self.error
        self.count += 1
        if self.left is not None:
            self.left -= 1

    def fit(self, model, X, left=None, error=None):
        """Fit; return the steps that were taken, if it comes to its end."""
        self.left, self.error, self.count = left, error or KeyboardInterrupt(), 0
        try:
            model.fit(X)
        finally:
            self.left = None
        return self.count


@pytest.fixture
def tiny():
    return partial(estimator, "tiny")


@pytest.fixture
def tiny_graph():
    return partial(estimator, "tiny_graph")


@pytest.fixture
def tiny_subspace():
    return partial(estimator, "tiny_subspace")


@pytest.fixture
def make(request):
    """Make the estimator that the test is parametrized by, of few epochs."""
    return partial(few_epochs, request.param)


@pytest.fixture
def quick():
    """Make one that asks no graphs either, which takes most of the time."""
    return partial(few_epochs, "tiny", resolution=None)


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


@pytest.fixture
def steps():
    steps = Steps()
    hook = register_optimizer_step_pre_hook(steps)
    yield steps
    hook.remove()
