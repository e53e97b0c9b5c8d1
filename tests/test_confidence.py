"""Probabilities say how often the neighbors of a sample have its label."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.datasets import load_digits, load_wine, make_blobs
from sklearn.neighbors import kneighbors_graph
from sklearn.preprocessing import StandardScaler

from skdeepclust import GraphContrastiveClustering, SelfPacedContrastiveClustering
from skdeepclust._partition.graphs import neighbor_shares
from skdeepclust._stages.calibration import fitted_factor
from skdeepclust.metrics import clustering_accuracy

# What is run here is measured by other tests; measuring would take longer.
pytestmark = pytest.mark.no_cover

ESTIMATORS = [SelfPacedContrastiveClustering, GraphContrastiveClustering]


def confidence(model, X):
    return model.predict_proba(X).max(axis=1).mean()


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_mean_confidence_is_near_the_accuracy(cls):
    X, y = load_wine(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    model = cls(3, random_state=0).fit(X)
    accuracy = clustering_accuracy(y, model.labels_)
    assert confidence(model, X) == pytest.approx(accuracy, abs=0.03)


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_groups_that_overlap_are_less_certain(cls, quick_epochs):
    certain = []
    for spread in (0.5, 3.0):
        X, _ = make_blobs(300, 6, centers=3, cluster_std=spread, random_state=0)
        certain.append(confidence(cls(3, **quick_epochs).fit(X), X))
    assert certain[0] > 0.98
    assert certain[1] < certain[0] - 0.02


def test_images_have_their_neighbors_certainty(quick_epochs):
    images = load_digits(n_class=4).images[:300]
    model = SelfPacedContrastiveClustering(4, **quick_epochs).fit(images)
    rows = images.reshape(len(images), -1)
    agreed = [
        (kneighbors_graph(each, 10) @ np.eye(4)[model.labels_])[
            np.arange(len(images)), model.labels_
        ].mean()
        / 10
        for each in (rows, model.embedding_)
    ]
    assert confidence(model, images) == pytest.approx(np.mean(agreed), abs=0.03)


def test_a_given_graph_alone_decides(quick_epochs):
    """Neighbors in the rows know nothing here."""
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1, 2], 40)
    X = rng.normal(size=(120, 5))
    graph = (groups[:, None] == groups).astype(float)
    np.fill_diagonal(graph, 0)
    model = GraphContrastiveClustering(3, graph=graph, **quick_epochs).fit(X)
    shares = (graph @ np.eye(3)[model.labels_]) / graph.sum(axis=1, keepdims=True)
    agreed = shares[np.arange(120), model.labels_].mean()
    assert confidence(model, X) == pytest.approx(agreed, abs=0.05)


@pytest.fixture
def quick_epochs():
    return {"pretrain_epochs": 10, "head_epochs": 60, "random_state": 0}


def test_the_factor_has_the_least_cross_entropy():
    rng = np.random.default_rng(0)
    logits, shares = rng.normal(size=(40, 3)), rng.dirichlet([1, 1, 1], 40)
    shares[np.arange(40), logits.argmax(axis=1)] += 1
    shares /= shares.sum(axis=1, keepdims=True)

    def loss(b):
        total = 0.0
        for z, share in zip(logits, shares, strict=True):
            p = np.exp(b * z) / np.exp(b * z).sum()
            total -= sum(q * np.log(own) for q, own in zip(share, p, strict=True))
        return total

    expected = minimize_scalar(loss, bounds=(0.05, 20)).x
    assert fitted_factor(logits, shares) == pytest.approx(expected, rel=1e-3)
    # What is multiplied before asks for so much less.
    assert fitted_factor(3 * logits, shares) == pytest.approx(expected / 3, rel=1e-3)


def test_the_factor_is_bounded():
    logits = np.eye(3)
    assert fitted_factor(logits, np.eye(3)) == pytest.approx(20, rel=1e-2)
    assert fitted_factor(logits, np.eye(3)[[1, 2, 0]]) == pytest.approx(
        1 / 20, rel=0.01
    )


def test_who_has_no_neighbors_keeps_its_own_share():
    graph = np.array([[0, 1.0, 3.0], [0, 0, 0], [2.0, 2.0, 0]])
    own = np.eye(3)
    expected = [[0, 0.25, 0.75], [0, 1, 0], [0.5, 0.5, 0]]
    np.testing.assert_allclose(neighbor_shares(graph, own), expected)
