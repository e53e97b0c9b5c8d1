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
    "pretrain_epochs": 2,
    "min_pretrain_steps": 20,
    "center_epochs": 2,
    "min_center_steps": 5,
    "head_epochs": 2,
    "min_head_steps": 30,
    "head_learning_rate": 1e-2,
    "contrastive_epochs": 2,
    "min_contrastive_steps": 0,
    "random_state": 0,
}
TINY_SUBSPACE = {
    "hidden_layer_sizes": (16,),
    "n_components": 4,
    "n_neighbors": 5,
    "pretrain_epochs": 2,
    "min_pretrain_steps": 20,
    "joint_epochs": 2,
    "random_state": 0,
}
TINY_GRAPH = {
    "hidden_layer_sizes": (16,),
    "n_components": 4,
    "pretrain_epochs": 2,
    "min_pretrain_steps": 20,
    "head_epochs": 2,
    "min_head_steps": 30,
    "head_learning_rate": 1e-2,
    "joint_epochs": 2,
    "min_joint_steps": 5,
    "random_state": 0,
}
QUICK = {"min_pretrain_steps": 0, "min_center_steps": 0}
"""Overrides for tests that need a fit but no good one."""


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
