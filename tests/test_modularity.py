import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import kneighbors_graph
from test_spectral import blocks

from skdeepclust.graph import Modularity


def slow_modularity(affinity, labels):
    """Straight from the definition."""
    A = affinity.toarray()
    d, total = A.sum(1), A.sum()
    value = 0.0
    for i in range(len(A)):
        for j in range(len(A)):
            if labels[i] == labels[j]:
                value += A[i, j] / total - d[i] * d[j] / total**2
    return value


@pytest.fixture
def two_graphs():
    first, y = blocks([12, 9, 15], 0.1, seed=0)
    second, _ = blocks([12, 9, 15], 0.3, seed=1)
    return [first, second], y


def test_value_is_the_sum_over_graphs(two_graphs):
    graphs, y = two_graphs
    rng = np.random.default_rng(0)
    for labels in (y, rng.integers(3, size=len(y)), np.arange(len(y))):
        expected = sum(slow_modularity(graph, labels) for graph in graphs)
        assert Modularity(graphs)(labels) == pytest.approx(expected, abs=1e-12)


def test_resolution_weighs_what_lies_inside_at_random(two_graphs):
    graphs, y = two_graphs
    inside = Modularity(graphs, resolution=0.0)(y)
    assert inside == pytest.approx(
        sum(g.multiply(y[:, None] == y).sum() / g.sum() for g in graphs)
    )
    for resolution in (0.25, 2.0):
        expected = inside + resolution * (Modularity(graphs)(y) - inside)
        assert Modularity(graphs, resolution)(y) == pytest.approx(expected)


@pytest.mark.parametrize("wrong", [-0.1, np.nan, np.inf])
def test_resolution_is_refused_where_it_means_nothing(two_graphs, wrong):
    with pytest.raises(ValueError, match=f"^resolution must be .*got {wrong}"):
        Modularity(two_graphs[0], wrong)


def test_refine_at_low_resolution_minds_sizes_less():
    X, y = make_blobs([300, 30, 20], 2, cluster_std=0.8, random_state=3)
    graph = kneighbors_graph(X, 10)
    affinity, start = sp.csr_matrix(graph + graph.T), y.copy()
    start[:30] = 1
    for resolution, least, most in ((0.0, 1, 1), (0.25, 1, 1), (1.0, 0, 0.5)):
        refined = Modularity([affinity], resolution).refine(start, seed=0)
        assert least <= adjusted_rand_score(y, refined) <= most


def test_value_does_not_depend_on_the_scale_of_a_graph(two_graphs):
    graphs, y = two_graphs
    small = [1e-6 * graph for graph in graphs]
    assert Modularity(small)(y) == pytest.approx(Modularity(graphs)(y), rel=1e-12)


def test_merge_loses_least(two_graphs):
    graphs, y = two_graphs
    criterion = Modularity(graphs)
    parts = 2 * y + np.arange(len(y)) % 2
    merged = criterion.merge(parts, 3)
    # The halves of a group belong together.
    np.testing.assert_array_equal(merged[:, None] == merged, y[:, None] == y)
    # One step is the best of all pairs.
    best = max(
        criterion(np.unique(np.where(parts == j, i, parts), return_inverse=True)[1])
        for i in range(6)
        for j in range(6)
        if i != j
    )
    assert criterion(criterion.merge(parts, 5)) == pytest.approx(best)
    np.testing.assert_array_equal(criterion.merge(y, 3), y)
    np.testing.assert_array_equal(criterion.merge(y, 9), y)


def test_merge_joins_the_best_two_in_every_step(two_graphs):
    criterion = Modularity([graph[:10, :10] for graph in two_graphs[0]])
    labels = np.arange(10)
    for n_clusters in range(9, 0, -1):
        pairs = itertools.combinations(np.unique(labels), 2)
        joined = [np.where(labels == b, a, labels) for a, b in pairs]
        labels = max(joined, key=criterion)
        merged = criterion.merge(np.arange(10), n_clusters)
        assert set(merged) == set(range(n_clusters))
        np.testing.assert_array_equal(
            merged[:, None] == merged, labels[:, None] == labels
        )


def test_refine_climbs_and_keeps_every_cluster(two_graphs):
    graphs, y = two_graphs
    criterion = Modularity(graphs)
    rng = np.random.default_rng(0)
    start = np.where(rng.random(len(y)) < 0.3, rng.integers(3, size=len(y)), y)
    refined = criterion.refine(start, seed=0)
    assert criterion(refined) > criterion(start)
    np.testing.assert_array_equal(refined[:, None] == refined, y[:, None] == y)
    np.testing.assert_array_equal(refined, criterion.refine(start, seed=0))
    alone = np.array([0] * (len(y) - 1) + [1])
    assert set(criterion.refine(alone, seed=0)) == {0, 1}


def test_refine_never_loses_modularity():
    # In a graph of pairs both partners may move at once, and miss each other.
    pairs = sp.csr_matrix(np.kron(np.eye(4), [[0.0, 1.0], [1.0, 0.0]]))
    criterion = Modularity([pairs])
    start = np.array([0, 1, 0, 1, 0, 1, 0, 1])
    for seed in range(20):
        refined = criterion.refine(start, seed=seed, n_sweeps=1)
        assert criterion(refined) >= criterion(start)
        assert set(refined) == {0, 1}
    # The best of two clusters would be one.
    pair = Modularity([pairs[:2, :2]])
    for seed in range(20):
        assert set(pair.refine(np.array([0, 1]), seed=seed)) == {0, 1}


def test_refine_moves_a_single_node_at_once(two_graphs):
    graphs, y = two_graphs
    start = y.copy()
    start[0] = 2
    for seed in range(5):
        refined = Modularity(graphs).refine(start, seed=seed, n_sweeps=1)
        np.testing.assert_array_equal(refined, y)


def test_refine_does_not_mind_self_loops():
    clique = np.ones((4, 4)) - np.eye(4)
    affinity = np.kron(np.eye(2), clique) + 3 * np.eye(8)
    start = np.array([0, 0, 0, 1, 1, 1, 1, 0])
    modularity = Modularity([sp.csr_matrix(affinity)])
    expected = np.repeat([0, 1], 4)
    assert modularity(expected) > modularity(start)
    found = modularity.refine(start, seed=0)
    np.testing.assert_array_equal(found, expected)


def test_refine_moves_those_that_gain_to_where_they_gain_most():
    rng = np.random.default_rng(0)
    for _ in range(5):
        graphs = []
        for _ in range(2):
            # Few nodes of unlike degrees, so that a node's own degree counts.
            weights = np.triu(rng.random((9, 9)) ** 3, 1)
            graphs.append(sp.csr_matrix(weights + weights.T))
        criterion = Modularity(graphs)
        labels = np.arange(9) % 3
        value = np.zeros((9, 3))
        for i, c in itertools.product(range(9), range(3)):
            moved = labels.copy()
            moved[i] = c
            value[i, c] = criterion(moved)
        target = value.argmax(axis=1)
        gains = set(np.flatnonzero(target != labels))
        seen = set()
        for seed in range(200):
            refined = criterion.refine(labels, seed=seed, n_sweeps=1)
            movers = np.flatnonzero(refined != labels)
            np.testing.assert_array_equal(refined[movers], target[movers])
            np.testing.assert_array_equal(
                refined, criterion.refine(labels, seed=seed, n_sweeps=1)
            )
            seen |= set(movers)
        assert gains
        assert seen == gains


def test_graph_without_edges_adds_nothing(two_graphs):
    graphs, y = two_graphs
    empty = sp.csr_matrix(graphs[0].shape)
    assert Modularity([*graphs, empty])(y) == Modularity(graphs)(y)
    assert Modularity([empty])(y) == 0
    np.testing.assert_array_equal(Modularity([empty]).refine(y, seed=0), y)
