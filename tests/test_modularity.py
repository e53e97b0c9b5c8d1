import numpy as np
import pytest
import scipy.sparse as sp
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


def test_graph_without_edges_adds_nothing(two_graphs):
    graphs, y = two_graphs
    empty = sp.csr_matrix(graphs[0].shape)
    assert Modularity([*graphs, empty])(y) == Modularity(graphs)(y)
    assert Modularity([empty])(y) == 0
    np.testing.assert_array_equal(Modularity([empty]).refine(y, seed=0), y)
