"""Clusters that neighbours agree with: a start for stage 1, and what heads learn."""

from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs, make_circles
from sklearn.exceptions import ConvergenceWarning

import skdeepclust._partition.agreement as module
import skdeepclust.graph_contrastive._clusters as graph_clusters_module
from skdeepclust import GraphContrastiveClustering, SelfPacedContrastiveClustering
from skdeepclust._partition.agreement import Agreement
from skdeepclust.graph_contrastive._clusters import GraphClusters
from skdeepclust.metrics import clustering_accuracy
from skdeepclust.training import Batches, InputSpec

CPU = torch.device("cpu")


def seeded():
    return torch.Generator().manual_seed(0)


def agreement(X):
    spec = InputSpec.from_data(X, X.shape[1:])
    batches = Batches(X, spec, CPU)
    return Agreement(batches, seeded())


@pytest.fixture(params=[SelfPacedContrastiveClustering, GraphContrastiveClustering])
def estimator(request):
    quick = {"hidden_layer_sizes": (32,), "pretrain_epochs": 10}
    return partial(request.param, **quick, random_state=0)


@pytest.fixture
def blobs():
    return make_blobs(120, 3, centers=4, cluster_std=0.5, random_state=0)


def test_centers_are_the_means_of_clusters(blobs):
    X, y = blobs
    h = torch.from_numpy(X).float()
    centers = agreement(X).find_centers(h, 4)[0]
    means = torch.stack([h[torch.from_numpy(y == k)].mean(0) for k in range(4)])
    assert torch.cdist(means, centers).min(1).values.max() < 0.1


def test_refine_brings_stray_samples_back(blobs):
    X, y = blobs
    h, stray = torch.from_numpy(X).float(), y.copy()
    stray[::10] = (stray[::10] + 1) % 4
    refined = agreement(X).refine(h, stray)
    assert clustering_accuracy(y, stray) < 0.95
    np.testing.assert_array_equal(refined, y)


def test_refine_at_low_resolution_keeps_clusters_of_unequal_size():
    X, y = make_blobs([500, 60, 40], 8, random_state=0)
    judge, h = agreement(X), torch.from_numpy(X).float()
    assert (judge.refine(h, y) != y).any()
    judge.found_resolution = 0.25
    np.testing.assert_array_equal(judge.refine(h, y), y)


def test_resolution_decides_the_sizes_of_clusters(estimator):
    """Three blobs of 250, 30 and 20: one of the sizes, or thirds."""
    X, y = make_blobs([250, 30, 20], 8, cluster_std=3.0, random_state=0)
    assert clustering_accuracy(y, estimator(3).fit_predict(X)) > 0.97
    level = estimator(3, resolution=1.0).fit_predict(X)
    assert np.bincount(level).max() < 150


def test_votes_doubt_what_neighbors_contradict(blobs):
    X, y = blobs
    h, alone = torch.from_numpy(X).float(), y.copy()
    alone[0] = (y[0] + 1) % 4
    votes = agreement(X).votes(h, alone, 5)
    assert votes.dtype == np.float32
    np.testing.assert_allclose(votes.sum(1), 1, rtol=1e-6)
    # All its neighbours are in another cluster; half of the vote is its own.
    np.testing.assert_allclose(votes[0, [alone[0], y[0]]], 0.5)
    # The blobs lie apart: who is not its neighbour has none to contradict it.
    graphs = agreement(X)
    graphs._seek()
    near = sum(abs(graph[:, [0]]).toarray() for graph in graphs._graphs(h))[:, 0] > 0
    certain = ~near & (np.arange(len(y)) > 0)
    np.testing.assert_allclose(votes[certain, alone[certain]], 1)
    assert (votes[near, alone[near]] < 1).all()
    assert not votes[:, 4].any()


def test_votes_of_samples_without_neighbors_are_their_own():
    judge = agreement(np.zeros((4, 3)))
    judge._graphs = lambda h: [sp.csr_matrix((4, 4))]
    votes = judge.votes(torch.zeros(4, 3), np.array([0, 1, 1, 0]), 2)
    np.testing.assert_array_equal(votes, np.eye(2)[[0, 1, 1, 0]])


def test_head_is_less_sure_where_neighbors_disagree(monkeypatch):
    # Noise is in no clusters that a table could keep.
    X = np.random.default_rng(0).normal(size=(300, 10))
    votes, seen = Agreement.votes, []

    def keep(self, *arguments):
        seen.append(votes(self, *arguments))
        return seen[0]

    monkeypatch.setattr(Agreement, "votes", keep)
    model = SelfPacedContrastiveClustering(5, random_state=0).fit(X)
    (taught,) = seen
    sure, doubted = model.predict_proba(X).max(1), taught.max(1) < 0.9
    assert 0.2 < doubted.mean() < 0.9
    assert sure[doubted].mean() < sure[~doubted].mean() - 0.1


def test_refine_keeps_numbers_with_gaps(blobs):
    X, y = blobs
    names = np.array([7, 2, 0, 5])
    refined = agreement(X).refine(torch.from_numpy(X).float(), names[y])
    np.testing.assert_array_equal(refined, names[y])


def test_of_many_samples_a_part_is_looked_at(monkeypatch, blobs):
    X, y = blobs
    monkeypatch.setattr(module, "_MAX_SAMPLES", 60)
    judge, h = agreement(X), torch.from_numpy(X).float()
    stray = (y + 1) % 4
    stray[::2] = y[::2]
    moved = np.flatnonzero(judge.refine(h, stray) != stray)
    assert len(judge.index) == 60
    assert np.isin(moved, judge.index).all()
    assert len(judge.find_centers(h, 4)[0]) == 4


def test_values_of_a_table_are_limited_too(monkeypatch, blobs):
    monkeypatch.setattr(module, "_MAX_TABLE", 90)
    judge = agreement(blobs[0])
    judge.find_centers(torch.from_numpy(blobs[0]).float(), 4)
    assert len(judge.index) == 30


def test_large_images_are_made_smaller():
    images = load_digits().images[:10, None].astype(np.float32)
    large = np.repeat(np.repeat(images, 8, axis=2), 8, axis=3)
    rows = agreement(large).batches.rows(np.arange(2, 10))
    small = np.repeat(np.repeat(images, 4, axis=2), 4, axis=3)[2:]
    np.testing.assert_allclose(rows, small.reshape(8, 32 * 32) / 16, rtol=1e-5)


def test_fewer_distinct_rows_than_clusters():
    X = np.repeat(np.eye(3), 5, axis=0)
    assert len(agreement(X).find_centers(torch.from_numpy(X).float(), 6)[0]) == 3


def test_seed_is_drawn_once_and_remembered(blobs):
    X, _ = blobs
    h, first = torch.from_numpy(X).float(), agreement(X)
    before = first.find_centers(h, 4)[0]
    state = first.generator.get_state()
    assert torch.equal(first.find_centers(h, 4)[0], before)
    assert torch.equal(first.generator.get_state(), state)
    second = agreement(X)
    second.generator.manual_seed(1)
    second.load_state_dict(first.state_dict())
    assert torch.equal(second.find_centers(h, 4)[0], before)


def test_of_the_starts_the_one_with_most_modularity_is_taken(monkeypatch):
    digits = load_digits()
    h, judge = torch.from_numpy(digits.data).float(), agreement(digits.images[:, None])
    kept = []
    monkeypatch.setattr(
        Agreement,
        "_refined",
        lambda self, criterion, labels: kept.append(labels) or labels,
    )
    judge.find_centers(h, 10)
    criterion = judge._criterion(h)
    rng = np.random.RandomState(judge.seed)
    values = [
        criterion(KMeans(10, n_init=1, random_state=rng).fit(h.numpy()).labels_)
        for _ in range(module._STARTS)
    ]
    assert max(values) == criterion(kept[0]) > min(values)


def test_refined_digits_are_nearer_to_the_classes():
    X, y = load_digits(return_X_y=True)
    kmeans = KMeans(10, n_init=10, random_state=0).fit_predict(X)
    refined = agreement(X).refine(torch.from_numpy(X).float(), kmeans)
    assert clustering_accuracy(y, refined) > clustering_accuracy(y, kmeans) + 0.03


@pytest.mark.parametrize("training", ["stages", "joint"])
def test_neighbors_have_the_last_word(monkeypatch, training):
    refine, n_calls = Agreement.refine, 0

    def merge_at_last(self, h, labels):
        nonlocal n_calls
        n_calls += 1
        labels = refine(self, h, labels)
        return np.where(labels == 0, 1, labels) if n_calls == 2 else labels

    monkeypatch.setattr(Agreement, "refine", merge_at_last)
    quick = {f"{s}_epochs": 10 for s in ("pretrain", "center", "contrastive")}
    quick |= {"head_epochs": 60, "training": training, "random_state": 0}
    model = SelfPacedContrastiveClustering(4, **quick)
    with pytest.warns(ConvergenceWarning, match="1 of n_clusters=4"):
        model.fit(load_digits(n_class=4).images[:150])
    assert n_calls == 2
    assert model.history_[-1]["stage"] == "final_head"
    assert len(np.unique(model.labels_)) == 3


def test_clear_clusters_of_a_table_are_learnt_as_they_are(estimator):
    """Training of any kind may move the embedding, but not these labels."""
    X, y = make_blobs(300, 5, centers=4, random_state=0)
    model = estimator(4, learning_rate=1e-3).fit(X)
    assert clustering_accuracy(y, model.labels_) == 1
    np.testing.assert_array_equal(model.predict(X), model.labels_)


def test_without_head_epochs_neighbors_have_no_word(tiny, blobs):
    model = tiny(4, head_epochs=0).fit(blobs[0])
    assert model.history_[-1]["stage"] == "contrastive"


@pytest.mark.parametrize("training", ["stages", "joint"])
def test_init_kmeans_asks_no_neighbors(monkeypatch, blobs, training):
    def fail(*arguments):
        raise AssertionError

    monkeypatch.setattr(Agreement, "_seek", fail)
    quick = {"hidden_layer_sizes": (8,), "pretrain_epochs": 1, "training": training}
    model = SelfPacedContrastiveClustering(4, init="kmeans", random_state=0, **quick)
    model.fit(blobs[0])
    with pytest.raises(AssertionError):
        model.set_params(init="neighbors").fit(blobs[0])


def test_a_shape_that_the_embedding_does_not_show_is_learned(estimator):
    """The encoder learns circles at the end; its head alone could not."""
    X, y = make_circles(300, noise=0.05, factor=0.5, random_state=0)
    model = estimator(2).fit(X)
    assert clustering_accuracy(y, model.labels_) > 0.97


def test_balance_holds_clusters_to_the_sizes_of_the_first_ones(estimator):
    X, _ = make_blobs([250, 30, 20], 8, cluster_std=3.0, random_state=0)
    history = estimator(3, head_epochs=200).fit(X).history_
    balance = [row["cluster_balance"] for row in history if "cluster_balance" in row]
    # Held to one size it would be log 3 minus the entropy of these sizes, .54.
    assert max(balance) < 0.1


def test_clear_clusters_of_many_rows_extend_to_those_not_looked_at(monkeypatch, blobs):
    X, y = blobs
    monkeypatch.setattr(module, "_MAX_SAMPLES", 60)
    judge = agreement(X)
    judge.find_centers(torch.from_numpy(X).float(), 4)
    assert len(judge.index) == 60
    assert clustering_accuracy(y, judge.kept) > 0.98


def test_refine_returns_to_the_first_clusters_where_training_has_lost_them(blobs):
    X, y = blobs
    judge, lost = agreement(X), np.random.default_rng(0).integers(4, size=len(y))
    judge.first = y
    assert clustering_accuracy(y, judge.refine(torch.from_numpy(X).float(), lost)) == 1


def test_refine_loses_no_cluster_at_low_resolution():
    digits = load_digits(n_class=4)
    judge = agreement(digits.images[:, None])
    judge.first, judge.found_resolution = digits.target, 0.0
    # One cluster has all edges within it, the largest modularity at resolution 0.
    merged = np.zeros_like(digits.target)
    h = torch.from_numpy(digits.data).float()
    assert len(np.unique(judge.refine(h, merged))) == 4


# ----------------------------- the clusters of a graph, before and after training


def graph_clusters(X, n_clusters, **parameters):
    """Return what finds the clusters of X: of images if it has four dimensions."""
    model = GraphContrastiveClustering(n_clusters, **parameters)
    model.n_clusters_ = n_clusters
    batches = Batches(X, InputSpec.from_data(X, X.shape[1:]), CPU)
    return GraphClusters(model, batches, seeded())


@pytest.fixture
def lost(blobs):
    """Images that show four groups, their groups, and an embedding without them."""
    X, y = blobs
    pixels = np.repeat(X, 27, axis=1)[:, :81].reshape(-1, 1, 9, 9)
    noise = np.random.default_rng(0).normal(size=(len(X), 3))
    return pixels.astype(np.float32), y, torch.from_numpy(noise).float()


@pytest.mark.parametrize("graph", ["auto", "self_expression"])
def test_the_input_takes_the_place_of_a_lost_embedding_where_it_may(lost, graph):
    X, y, h = lost
    clusters = graph_clusters(X, 4, graph=graph)
    start = clusters.find_start(h)
    assert (clusters.input_graph is not None) == (graph == "auto")
    if graph == "auto":
        assert start.affinity is clusters.input_graph
        assert clustering_accuracy(y, start.labels) > 0.98


@pytest.mark.parametrize("resolution", [0.25, 1.0])
def test_first_clusters_of_images_have_the_sizes_that_the_resolution_gives(resolution):
    # In three directions, which is what cosines see.
    X, y = make_blobs([250, 30, 20], centers=8 * np.eye(8)[:3], random_state=0)
    pixels = np.repeat(X, 8, axis=1).reshape(-1, 1, 8, 8).astype(np.float32)
    clusters = graph_clusters(pixels, 3, resolution=resolution, graph="knn")
    start = clusters.find_start(torch.from_numpy(X).float())
    assert clusters.resolution == resolution
    if resolution < 1:
        assert clustering_accuracy(y, start.labels) > 0.97
    else:
        assert np.bincount(start.labels).max() < 150


@pytest.mark.parametrize("input_neighbors", [True, False])
def test_final_clusters_of_unequal_size_are_judged_by_the_input_too(
    lost, input_neighbors
):
    """Those of the head are wrong, and the first ones were right."""
    X, y, h = lost
    clusters = graph_clusters(X, 4, input_neighbors=input_neighbors)
    clusters.resolution, clusters.first = 0.5, y
    wrong = np.random.default_rng(1).integers(4, size=len(y))
    found = clusters.find_end(h, wrong)
    assert (clustering_accuracy(y, found) > 0.95) == input_neighbors


def test_final_clusters_of_unequal_size_keep_the_numbers_of_the_head(lost):
    X, y, _ = lost
    h = torch.from_numpy(X.reshape(len(X), -1)[:, ::27].copy())
    clusters = graph_clusters(X, 4)
    clusters.resolution = 0.5
    names = np.array([2, 0, 3, 1])
    stray = names[y]
    stray[::10] = names[(y[::10] + 1) % 4]
    np.testing.assert_array_equal(clusters.find_end(h, stray), names[y])


def test_final_clusters_of_equal_size_are_a_consensus(lost, monkeypatch):
    """Of k-means in the embedding, the head and the graph: two of three are right."""
    X, y, _ = lost
    h = torch.from_numpy(X.reshape(len(X), -1)[:, ::27].copy())
    voters = []
    consensus = graph_clusters_module.consensus_labels

    def keep(votes, *arguments, **named):
        voters.extend(votes)
        return consensus(votes, *arguments, **named)

    monkeypatch.setattr(graph_clusters_module, "consensus_labels", keep)
    wrong = np.random.default_rng(1).integers(4, size=len(y))
    found = graph_clusters(X, 4).find_end(h, wrong)
    assert clustering_accuracy(y, found) > 0.98
    kmeans, head, cut = voters
    np.testing.assert_array_equal(head, wrong)
    assert clustering_accuracy(y, kmeans) > 0.98
    assert clustering_accuracy(y, cut) > 0.98
    # At one level there is but k-means.
    alone = graph_clusters(X, 4, level="instance").find_end(h, wrong)
    assert clustering_accuracy(y, alone) > 0.98
    assert len(voters) == 3
