"""Clusters that neighbors agree with: the first ones, and the final refinement."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs, make_circles
from sklearn.exceptions import ConvergenceWarning
from torch import nn

import skdeepclust._partition.agreement as module
from skdeepclust import GraphContrastiveClustering, SelfPacedContrastiveClustering
from skdeepclust._partition.agreement import Agreement, FirstClusters
from skdeepclust._stages.context import Context
from skdeepclust.graph import Modularity, nearest_neighbors, symmetric_affinity
from skdeepclust.graph_contrastive._clusters import (
    GraphClusters,
    GraphParameters,
    GraphStart,
)
from skdeepclust.metrics import clustering_accuracy
from skdeepclust.training.data import Batches, InputSpec

FIRST = FirstClusters(seed=0, labels=None, resolution=1.0, kept=None)
SMALL = {"hidden_layer_sizes": (32,), "pretrain_epochs": 10, "random_state": 0}


def agreement(X, resolution="auto"):
    spec = InputSpec.from_data(X, X.shape[1:])
    return Agreement(Batches(X, spec, torch.device("cpu")), 0, resolution)


def embedded(X):
    return torch.from_numpy(X).float()


@pytest.fixture(params=[SelfPacedContrastiveClustering, GraphContrastiveClustering])
def estimator(request):
    return partial(request.param, **SMALL)


@pytest.fixture
def blobs():
    return make_blobs(120, 3, centers=4, cluster_std=0.5, random_state=0)


# ----------------------------------------------------------------- the first clusters


def test_centers_are_the_means_of_clusters(blobs):
    X, y = blobs
    centers = agreement(X).find_centers(embedded(X), 4)[0]
    means = torch.stack([embedded(X)[y == k].mean(0) for k in range(4)])
    assert torch.cdist(means, centers).min(1).values.max() < 0.1


@pytest.mark.parametrize(
    ("sizes", "data", "taken"),
    [
        ([200, 100, 100, 50, 50, 50], {"cluster_std": 4, "random_state": 3}, 0),
        ([40] * 12, {"cluster_std": 2, "random_state": 3}, 1),
    ],
)
def test_of_two_levels_an_even_one_is_taken_of_these_the_more_modular(
    sizes, data, taken
):
    """Of runs of k-means into K clusters, and into 3 K parts that are merged."""
    n_clusters = len(sizes)
    X, _ = make_blobs(sizes, 8 if taken == 0 else 5, **data)
    found = agreement(X).find_in_embedding(embedded(X), n_clusters)
    graphs = [neighbors(embedded(rows)) for rows in (X, X - X.mean(0))]
    criterion, rng = Modularity(graphs), np.random.RandomState(0)
    levels = []
    for k in (n_clusters, 3 * n_clusters):
        runs = [KMeans(k, n_init=1, random_state=rng).fit(X).labels_ for _ in range(10)]
        merged = [criterion.merge(run, n_clusters) for run in runs]
        levels.append(criterion.refine(max(merged, key=criterion), seed=0))
    shares = [np.bincount(labels) / len(X) for labels in levels]
    evenness = [np.exp(-(s * np.log(s)).sum()) / n_clusters for s in shares]
    assert [each >= 0.91 for each in evenness] == [True, taken == 1]
    assert criterion(levels[0]) < criterion(levels[1])
    assert clustering_accuracy(levels[taken], found.labels) == 1
    assert clustering_accuracy(levels[1 - taken], found.labels) < 0.98


def neighbors(h):
    indices, distances = nearest_neighbors(h, 10, "cosine")
    return symmetric_affinity(indices, 1 - distances, len(h))


def test_resolution_and_balance_follow_the_sizes_of_clusters(estimator):
    """Three blobs of 250, 30 and 20: one of the sizes, or thirds."""
    X, y = make_blobs([250, 30, 20], 8, cluster_std=3.0, random_state=0)
    model = estimator(3, head_epochs=150).fit(X)
    assert clustering_accuracy(y, model.labels_) > 0.97
    balance = [r["cluster_balance"] for r in model.history_ if "cluster_balance" in r]
    # Held to one size it would be log 3 minus the entropy of these sizes, .54.
    assert max(balance) < 0.1
    level = estimator(3, resolution=1.0).fit_predict(X)
    assert np.bincount(level).max() < 150


class Groups(nn.Module):
    """An encoder that gives what groups of pixels have in common."""

    def __init__(self, lost=False):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.lost = lost

    def forward(self, x):
        h = self.scale * x.flatten(1)[:, ::8]
        return (1e4 * h).sin() if self.lost else h


def pixels(X):
    """Return images of 8 x 8 pixels, each column of X being a row of one value."""
    return np.repeat(X, 8, axis=1).reshape(-1, 8, 8).astype(np.float32)


@pytest.mark.parametrize("resolution", [0.25, 1.0])
def test_clusters_of_images_have_the_sizes_that_the_resolution_gives(
    estimator, resolution
):
    # In three directions, which is what cosines see.
    X, y = make_blobs([250, 30, 20], centers=8 * np.eye(8)[:3], random_state=0)
    model = estimator(3, encoder=Groups(), resolution=resolution, head_epochs=200)
    stages = ("pretrain", "center", "contrastive", "joint")
    none = {f"{stage}_epochs": 0 for stage in stages}
    known = model.get_params()
    model.set_params(**{name: n for name, n in none.items() if name in known})
    labels = model.fit_predict(pixels(X))
    if resolution < 1:
        assert clustering_accuracy(y, labels) > 0.97
    else:
        assert np.bincount(labels).max() < 150


def test_clear_clusters_of_a_table_are_learned_as_they_are(estimator):
    """Training of any kind may move the embedding, but not these labels."""
    X, y = make_blobs(300, 5, centers=4, random_state=0)
    model = estimator(4, learning_rate=1e-3).fit(X)
    assert clustering_accuracy(y, model.labels_) == 1
    np.testing.assert_array_equal(model.predict(X), model.labels_)


def test_a_shape_that_the_embedding_does_not_show_is_learned(estimator):
    """The encoder learns circles at the end; its head alone could not."""
    X, y = make_circles(300, noise=0.05, factor=0.5, random_state=0)
    assert clustering_accuracy(y, estimator(2).fit_predict(X)) > 0.97


# ------------------------------------------------------------------------- refinement


def test_refine_brings_stray_samples_back_and_keeps_numbers_with_gaps(blobs):
    X, y = blobs
    names = np.array([7, 2, 0, 5])
    stray = y.copy()
    stray[::10] = (stray[::10] + 1) % 4
    assert clustering_accuracy(y, stray) < 0.95
    refined = agreement(X).refine(embedded(X), names[stray], FIRST)
    np.testing.assert_array_equal(refined, names[y])


def test_refine_at_low_resolution_keeps_clusters_of_unequal_size():
    X, y = make_blobs([500, 60, 40], 8, random_state=0)
    judge, h = agreement(X), embedded(X)
    assert (judge.refine(h, y, FIRST) != y).any()
    uneven = FirstClusters(seed=0, labels=None, resolution=0.25, kept=None)
    np.testing.assert_array_equal(judge.refine(h, y, uneven), y)


def test_refined_digits_are_nearer_to_the_classes():
    X, y = load_digits(return_X_y=True)
    kmeans = KMeans(10, n_init=10, random_state=0).fit_predict(X)
    refined = agreement(X).refine(embedded(X), kmeans, FIRST)
    assert clustering_accuracy(y, refined) > clustering_accuracy(y, kmeans) + 0.03


def test_refine_returns_to_the_first_clusters_where_training_has_lost_them(blobs):
    X, y = blobs
    lost = np.random.default_rng(0).integers(4, size=len(y))
    first = FirstClusters(seed=0, labels=y, resolution=1.0, kept=None)
    assert clustering_accuracy(y, agreement(X).refine(embedded(X), lost, first)) == 1


def test_refine_loses_no_cluster_at_low_resolution():
    digits = load_digits(n_class=4)
    first = FirstClusters(seed=0, labels=digits.target, resolution=0.0, kept=None)
    # One cluster has all edges within it, the largest modularity at resolution 0.
    merged, h = np.zeros_like(digits.target), embedded(digits.data)
    refined = agreement(digits.images[:, None]).refine(h, merged, first)
    assert len(np.unique(refined)) == 4


def test_votes_doubt_what_neighbors_contradict(blobs):
    X, y = blobs
    h, alone = embedded(X), y.copy()
    alone[0] = (y[0] + 1) % 4
    votes = agreement(X).votes(h, alone, 5)
    assert votes.dtype == np.float32
    np.testing.assert_allclose(votes.sum(1), 1, rtol=1e-6)
    # All its neighbors are in another cluster; half of the vote is its own.
    np.testing.assert_allclose(votes[0, [alone[0], y[0]]], 0.5)
    # The blobs lie apart: who is not its neighbor has none to contradict it.
    near = sum(neighbors(rows)[:, [0]].toarray() for rows in (h, h - h.mean(0)))[:, 0]
    certain = (near == 0) & (np.arange(len(y)) > 0)
    np.testing.assert_allclose(votes[certain, alone[certain]], 1)
    assert (votes[near > 0, alone[near > 0]] < 1).all()
    assert not votes[:, 4].any()


def test_votes_of_samples_without_neighbors_are_their_own():
    # Zeros point nowhere, and so have no neighbors by cosine.
    judge = agreement(np.zeros((4, 3)))
    votes = judge.votes(torch.zeros(4, 3), np.array([0, 1, 1, 0]), 2)
    np.testing.assert_array_equal(votes, np.eye(2)[[0, 1, 1, 0]])


def test_head_is_less_sure_where_neighbors_disagree():
    # Noise is in no clusters that a table could keep.
    X = np.random.default_rng(0).normal(size=(300, 10))
    model = SelfPacedContrastiveClustering(5, **SMALL).fit(X)
    ties = sum(neighbors(torch.from_numpy(rows)) for rows in (model.embedding_, X))
    shares = ties @ np.eye(5)[model.labels_] / ties.sum(axis=1)
    agree = np.asarray(shares)[np.arange(300), model.labels_]
    sure, doubted = model.predict_proba(X).max(1), agree < 0.8
    assert 0.2 < doubted.mean() < 0.9
    assert sure[doubted].mean() < sure[~doubted].mean() - 0.1


# ----------------------------------------------------------------------- many samples


@pytest.mark.parametrize(
    ("limit", "value"), [("_MAX_SAMPLES", 60), ("_MAX_TABLE", 180)]
)
def test_of_many_samples_a_part_is_looked_at(monkeypatch, blobs, limit, value):
    X, y = blobs
    monkeypatch.setattr(module, limit, value)
    judge, h = agreement(X), embedded(X)
    stray = (y + 1) % 4
    stray[::2] = y[::2]
    moved = np.flatnonzero(judge.refine(h, stray, FIRST) != stray)
    assert len(judge.index) == 60
    assert np.isin(moved, judge.index).all()
    # Clear clusters extend to those that are not looked at.
    centers, _, kept = judge.find_centers(h, 4)
    assert len(centers) == 4
    assert clustering_accuracy(y, kept) > 0.98


def test_large_images_are_made_smaller():
    images = load_digits().images[:10, None].astype(np.float32)
    large, small = (images.repeat(n, axis=2).repeat(n, axis=3) for n in (8, 4))
    rows = agreement(large).batches.rows(np.arange(2, 10))
    np.testing.assert_allclose(rows, small[2:].reshape(8, 32 * 32) / 16, rtol=1e-5)


# ---------------------------------------------------------------- the final clusters


class Mixed:
    """An augmentation that gives other samples after the views of pretraining."""

    def __init__(self):
        self.left = 2

    def __call__(self, batch):
        self.left -= 1
        return batch if self.left >= 0 else batch[torch.randperm(len(batch))]


FOUR = make_blobs([30] * 4, centers=8 * np.eye(8)[:4], random_state=0)
SELF_PACED = {"center_epochs": 0, "contrastive_epochs": 60}
GRAPH = {"joint_epochs": 3, "joint_learning_rate": 0.08, "head_epochs": 300}
FINAL = [
    (SelfPacedContrastiveClustering, SELF_PACED),
    (SelfPacedContrastiveClustering, {**SELF_PACED, "end_to_end": True}),
    (GraphContrastiveClustering, {**GRAPH, "resolution": 0.5}),
    # The consensus of two graphs and of the head, which is wrong.
    (GraphContrastiveClustering, {**GRAPH, "resolution": 1.0}),
]


def training_heads(cls, given):
    """Return an estimator of the four blobs whose embedding stays as it is."""
    # At a higher rate the head would not let itself be spoiled.
    slow = {"pretrain_epochs": 1, "head_epochs": 150, "learning_rate": 3e-3}
    return cls(4, encoder=Groups(), random_state=0, **{**slow, **given})


@pytest.mark.parametrize(("cls", "given"), FINAL)
def test_what_training_spoils_the_final_refinement_repairs(cls, given):
    X, y = FOUR
    repaired = training_heads(cls, {**given, "augmentation": Mixed()})
    assert clustering_accuracy(y, repaired.fit_predict(pixels(X))) > 0.98
    spoiled = clone(repaired).set_params(augmentation=Mixed(), resolution=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert clustering_accuracy(y, spoiled.fit_predict(pixels(X))) < 0.8


@pytest.mark.parametrize(("cls", "given"), FINAL)
def test_final_clusters_keep_the_numbers_of_the_head(cls, given):
    """Which then has little to learn."""
    none = {name: 0 for name in ("contrastive_epochs", "joint_epochs") if name in given}
    model = training_heads(cls, {**given, **none}).fit(pixels(FOUR[0]))
    losses = [r["loss"] for r in model.history_ if r["stage"] == "final_head"]
    assert losses[0] < 0.7


def find_end(labels, resolution):
    """Return the final clusters of the four blobs, after those of a head."""
    images, h = pixels(FOUR[0])[:, None], embedded(FOUR[0])
    spec = InputSpec.from_data(images, images.shape[1:])
    batches = Batches(images, spec, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    context = Context(None, batches, None, generator, n_clusters=4, rows=images)
    parameters = GraphParameters("auto", 5, 1.0, resolution, learning_rate=1e-3)
    start = GraphStart(neighbors(h), False, np.arange(120) % 4, resolution=resolution)
    clusters = GraphClusters(
        parameters, context, None, lambda seed: Agreement(batches, seed, resolution)
    )
    return clusters.find_end(h, labels, start)


def test_final_clusters_that_are_found_anew_have_the_numbers_of_the_head():
    y, names = FOUR[1], np.array([2, 0, 3, 1])
    found = find_end(names[np.where(y == 3, 0, y)], resolution=0.5)
    assert clustering_accuracy(y, found) == 1
    for k in (1, 2):
        assert {*found[y == k]} == {names[k]}


def test_final_clusters_of_one_size_are_a_consensus():
    """Of two graphs and the head: two of three are right."""
    y, wrong = FOUR[1], np.random.default_rng(1).integers(4, size=len(FOUR[1]))
    assert clustering_accuracy(y, find_end(wrong, resolution=1.0)) > 0.98


def test_final_clusters_of_the_instance_head_are_those_of_kmeans():
    epochs = {**GRAPH, "joint_learning_rate": 1e-3, "heads": "instance"}
    model = training_heads(GraphContrastiveClustering, epochs).fit(pixels(FOUR[0]))
    kmeans = KMeans(4, n_init=10, random_state=0).fit_predict(model.embedding_)
    assert clustering_accuracy(kmeans, model.labels_) > 0.98
