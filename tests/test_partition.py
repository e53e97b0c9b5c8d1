"""Clusters of a graph: any size, any shape, nearly no assumption."""

import numpy as np
import pytest
from sklearn.datasets import load_iris, make_blobs, make_circles, make_moons
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skdeepclust._partition import (
    find_table_clusters,
    locally_scaled_graph,
    table_graphs,
)
from skdeepclust._partition._criterion import conductances, effective_number


def ray():
    rng = np.random.default_rng(0)
    rows = [rng.normal(place, 1, (50, 2)) for place in (50, 60, 70)]
    return np.concatenate(rows), np.repeat([0, 1, 2], 50)


def multiples():
    rng = np.random.default_rng(0)
    base, sizes = np.array([1.0, 2.0, 3.0, 4.0]), (120, 60, 20)
    rows = [
        factor * base * (1 + 0.1 * rng.normal(size=(n, 4)))
        for factor, n in zip((1, 3, 9), sizes, strict=True)
    ]
    return np.concatenate(rows), np.repeat([0, 1, 2], sizes)


def scaled():
    X, y = multiples()
    return MinMaxScaler().fit_transform(X), y


DATA = {
    "moons": make_moons(500, noise=0.05, random_state=0),
    "circles": make_circles(500, noise=0.05, factor=0.5, random_state=0),
    "along a ray": ray(),
    "multiples of unequal size": multiples(),
    "multiples, scaled": scaled(),
    "one of three holds five sixths": make_blobs(
        [500, 60, 40], centers=[[0, 0], [6, 0], [0, 6]], random_state=0
    ),
    "eight of one size": make_blobs(
        800, n_features=10, centers=8, cluster_std=2, random_state=0
    ),
}


@pytest.mark.parametrize("name", DATA)
def test_find_clusters_that_are_there(name):
    X, y = DATA[name]
    found = find_table_clusters(table_graphs(X), len(np.unique(y)), seed=0)
    assert adjusted_rand_score(y, found.labels) > 0.97


def test_find_clusters_on_standardized_iris_as_well_as_kmeans():
    X, y = load_iris(return_X_y=True)
    graphs = table_graphs(StandardScaler().fit_transform(X))
    found = find_table_clusters(graphs, 3, seed=0)
    assert adjusted_rand_score(y, found.labels) > 0.52


def test_find_clusters_repeats_itself():
    X, _ = make_blobs(300, centers=4, cluster_std=3, random_state=0)
    graphs = table_graphs(X)
    first, second = (find_table_clusters(graphs, 4, seed=3).labels for _ in "ab")
    np.testing.assert_array_equal(first, second)
    assert set(first) == {0, 1, 2, 3}


def test_table_graphs_of_one_column_have_no_angles():
    assert set(table_graphs(np.arange(20.0)[:, None])) == {"euclidean"}


def test_locally_scaled_graph_weights():
    # Of 0, 1, 3, the two nearest of each are all others.
    graph = locally_scaled_graph(np.array([[0.0], [1.0], [3.0]]), 2).toarray()
    scale = np.array([3.0, 2.0, 3.0])
    distance = np.array([[0.0, 1.0, 3.0], [1.0, 0.0, 2.0], [3.0, 2.0, 0.0]])
    weights = np.exp(-(distance**2) / np.outer(scale, scale)) * (distance > 0)
    ratio = graph[distance > 0] / weights[distance > 0]
    np.testing.assert_allclose(ratio, ratio[0])


def test_locally_scaled_graph_of_equal_rows_is_finite():
    rows = np.zeros((30, 2))
    rows[15:] = 1
    assert np.isfinite(locally_scaled_graph(rows).data).all()


def test_conductances_count_what_leaves():
    graph = locally_scaled_graph(np.array([[0.0], [1.0], [5.0], [6.0]]), 1)
    np.testing.assert_allclose(conductances(graph, np.array([0, 0, 1, 1])), 0)
    np.testing.assert_allclose(conductances(graph, np.array([0, 1, 0, 1])), 1)


def test_effective_number_of_equal_and_unequal_sizes():
    assert effective_number(np.repeat([0, 1, 2], 5)) == pytest.approx(3)
    assert 1 < effective_number(np.repeat([0, 1], [9, 1])) < 1.5
