"""Small data and a small model that every test file may use."""

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_blobs

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
    "head_learning_rate": 1e-2,
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
    "head_learning_rate": 1e-2,
    "joint_epochs": 5,
    "random_state": 0,
}
QUICK = {"pretrain_epochs": 2, "center_epochs": 2}
"""Overrides for tests that need a fit but no good one."""


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


@pytest.fixture(scope="session")
def blobs():
    """Rows of three groups, float64, and their groups."""
    X, y = make_blobs(120, 6, centers=3, cluster_std=0.5, random_state=0)
    X.setflags(write=False)
    return X, y


@pytest.fixture(scope="session")
def images():
    """Grey images of three digits, uint8, (n, 8, 8), and their digits."""
    digits = load_digits(n_class=3)
    X = (digits.images[:150] * 15).astype(np.uint8)
    X.setflags(write=False)
    return X, digits.target[:150]
