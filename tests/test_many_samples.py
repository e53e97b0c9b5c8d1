"""Samples that are too many to look at all of them, or at all of their pairs."""

import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_blobs

from skdeepclust import GraphContrastiveClustering
from skdeepclust._partition import candidates
from skdeepclust.graph._build import build_affinities
from skdeepclust.metrics import clustering_accuracy

BLOBS = {
    spread: make_blobs(300, 6, centers=3, cluster_std=spread, random_state=0)
    for spread in (0.5, 3.0)
}
DIGITS = load_digits(n_class=3)
DATA = {
    "clear table": (*BLOBS[0.5], 1.0),
    "unclear table": (*BLOBS[3.0], 0.8),
    "images": (DIGITS.images[:300], DIGITS.target[:300], 0.9),
}


@pytest.mark.parametrize("kind", DATA)
def test_clusters_of_a_part_are_extended_to_all(monkeypatch, kind):
    X, y, least = DATA[kind]
    # As 20,000 are of a million.
    monkeypatch.setattr("skdeepclust._partition.agreement._MAX_SAMPLES", 90)
    sizes, find = set(), candidates.leading_eigenvectors

    def looked_at(graph, *arguments, **given):
        sizes.add(graph.shape[0])
        return find(graph, *arguments, **given)

    monkeypatch.setattr(candidates, "leading_eigenvectors", looked_at)
    epochs = {"pretrain_epochs": 40, "head_epochs": 60, "joint_epochs": 5}
    model = GraphContrastiveClustering(3, random_state=0, **epochs).fit(X)
    assert clustering_accuracy(y, model.labels_) >= least
    assert sizes == {90}
    assert model.affinity_matrix_.shape == (300, 300)
    np.testing.assert_array_equal(model.predict(X), model.labels_)


@pytest.fixture
def points(monkeypatch):
    """1,200 points, of which pairs are all compared up to 1,000."""
    monkeypatch.setattr("skdeepclust.graph._build.MAX_EXACT", 1000)
    return torch.randn((1200, 6), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("graph", ["knn", "self_expression"])
def test_without_the_extra_all_pairs_are_compared(monkeypatch, points, graph):
    monkeypatch.setitem(sys.modules, "pynndescent", None)
    with pytest.warns(UserWarning, match=r"1,200 samples.*skdeepclust\[large\]"):
        (slow,) = build_affinities(points, graph, [5])
    monkeypatch.setattr("skdeepclust.graph._build.MAX_EXACT", 2000)
    (exact,) = build_affinities(points, graph, [5])
    assert abs(slow - exact).max() < 1e-6


@pytest.mark.slow  # pynndescent compiles for half a minute
def test_a_search_along_a_graph_finds_nearly_all_neighbors(monkeypatch, points):
    pytest.importorskip("pynndescent", reason="of the extra 'large'")
    found, again = (build_affinities(points, "knn", [5])[0] for _ in range(2))
    assert (found != again).nnz == 0
    monkeypatch.setattr("skdeepclust.graph._build.MAX_EXACT", 2000)
    (exact,) = build_affinities(points, "knn", [5])
    assert found.diagonal().max() == 0
    assert found.multiply(exact > 0).nnz > 0.95 * exact.nnz
