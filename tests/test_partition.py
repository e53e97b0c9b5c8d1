"""Clusters of a graph: any size, any shape, nearly no assumption."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import (
    load_digits,
    load_iris,
    make_blobs,
    make_circles,
    make_moons,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skdeepclust import GraphContrastiveClustering
from skdeepclust._partition.choice import (
    find_clusters,
    find_table_clusters,
    is_clear,
    matched,
    most_agreed,
)
from skdeepclust._partition.criterion import (
    conductances,
    effective_number,
    link_over_split,
)
from skdeepclust._partition.graphs import locally_scaled_graph, normalized, table_graphs
from skdeepclust.model_selection import estimate_n_clusters

# What is run here is measured by other tests; measuring would take longer.
pytestmark = pytest.mark.no_cover


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
    "circles": make_circles(300, noise=0.05, factor=0.5, random_state=0),
    "along a ray": ray(),
    "multiples of unequal size": multiples(),
    "multiples, scaled": scaled(),
    "one of three holds five sixths": make_blobs(
        [500, 60, 40], centers=[[0, 0], [6, 0], [0, 6]], random_state=0
    ),
    "eight of one size": make_blobs(
        400, n_features=10, centers=8, cluster_std=2, random_state=0
    ),
}


@pytest.mark.parametrize("name", DATA)
def test_clusters_that_are_there_are_counted_and_found(name):
    X, y = DATA[name]
    n_clusters, scores = estimate_n_clusters(X, random_state=0, return_scores=True)
    assert n_clusters == len(np.unique(y))
    # Clusters that are clearly apart.
    assert scores[n_clusters] >= 0.6
    assert all(score < 0.6 for k, score in scores.items() if k > n_clusters)
    found = find_table_clusters(table_graphs(X), n_clusters, seed=0)
    assert adjusted_rand_score(y, found.labels) > 0.97


# In the plane chance alone makes gaps: about one set in ten seems to have groups.
@pytest.mark.parametrize(
    ("scale", "most_wrong"),
    [(np.ones(2), 1), (np.array([1, 0.1]), 1), (np.ones(10), 0)],
)
@pytest.mark.filterwarnings("ignore:X has no structure")
def test_samples_without_groups_have_no_structure(scale, most_wrong):
    rngs = [np.random.default_rng(seed) for seed in range(2)]
    shape = (150, len(scale))
    draws = [scale * rng.normal(size=shape) for rng in rngs]
    draws += [scale * rng.uniform(size=shape) for rng in rngs]
    counts = [estimate_n_clusters(X, random_state=0) for X in draws]
    assert sum(count > 1 for count in counts) <= most_wrong


@pytest.mark.parametrize("sizes", [[500, 60, 40], [250, 50, 40]])
def test_groups_of_uneven_size_in_the_plane_are_found(sizes):
    """Neighbors by cosine lie on a circle there, which any cut seems to separate."""
    centers = [[0, 0], [6, 0], [0, 6]]
    for seed in range(2):
        X, y = make_blobs(sizes, centers=centers, random_state=seed)
        assert estimate_n_clusters(X, random_state=0) == 3
        found = find_table_clusters(table_graphs(X), 3, seed=0)
        assert adjusted_rand_score(y, found.labels) > 0.95


def test_a_few_outliers_are_no_cluster():
    X, _ = make_blobs([100, 100, 100, 6], 5, cluster_std=0.5, random_state=0)
    assert estimate_n_clusters(X, random_state=0) == 3


def test_no_more_clusters_than_asked_for():
    X, _ = DATA["eight of one size"]
    assert estimate_n_clusters(X, max_clusters=1) == 1
    assert estimate_n_clusters(X, max_clusters=5, random_state=0) <= 5


def test_no_structure_leaves_the_least_number():
    X = np.random.default_rng(0).normal(size=(100, 10))
    with pytest.warns(ConvergenceWarning, match="n_clusters=3 is used"):
        assert estimate_n_clusters(X, min_clusters=3, random_state=0) == 3


def test_groups_that_touch_are_counted_by_their_modularity():
    X, _ = load_digits(return_X_y=True)
    X = X[:400] + np.random.default_rng(0).normal(scale=2, size=(400, 64))
    n_clusters, scores = estimate_n_clusters(X, random_state=0, return_scores=True)
    assert max(scores.values()) < 0.6
    assert 8 <= n_clusters <= 12


@pytest.mark.parametrize("X", [np.ones((12, 3)), np.arange(4.0)[:, None]])
def test_next_to_nothing_has_no_structure(X):
    with pytest.warns(ConvergenceWarning, match="no structure"):
        n_clusters, scores = estimate_n_clusters(X, return_scores=True)
    assert n_clusters == 1
    assert {*scores.values()} == {0.0}


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
    graph = locally_scaled_graph(rows).toarray()
    assert np.isfinite(graph).all()
    assert graph[:15, :15].any()
    assert not graph[:15, 15:].any()


def test_normalized_divides_by_the_roots_of_both_degrees():
    ties = np.zeros((4, 4))
    ties[0, 1] = ties[1, 0] = 3.0
    ties[1, 2] = ties[2, 1] = 1.0  # the last one is tied to none
    with np.errstate(all="raise"):
        found = normalized(sp.csr_matrix(ties)).toarray()
    expected = np.zeros((4, 4))
    expected[0, 1] = expected[1, 0] = 3 / np.sqrt(3 * 4)
    expected[1, 2] = expected[2, 1] = 1 / np.sqrt(4 * 1)
    np.testing.assert_allclose(found, expected)


def test_conductances_count_what_leaves():
    graph = locally_scaled_graph(np.array([[0.0], [1.0], [5.0], [6.0]]), 1)
    np.testing.assert_allclose(conductances(graph, np.array([0, 0, 1, 1])), 0)
    np.testing.assert_allclose(conductances(graph, np.array([0, 1, 0, 1])), 1)


def test_effective_number_of_equal_and_unequal_sizes():
    assert effective_number(np.repeat([0, 1, 2], 5)) == pytest.approx(3)
    assert 1 < effective_number(np.repeat([0, 1], [9, 1])) < 1.5


def overlapping(sizes):
    return make_blobs(sizes, 6, cluster_std=1.6, random_state=0)


def find(X, n_clusters, **how):
    return find_table_clusters(table_graphs(X), n_clusters, seed=0, **how)


def test_uneven_clusters_that_touch_are_found_by_the_vote():
    X, y = overlapping([400, 200, 100, 60, 60, 60])
    graphs = {"own": locally_scaled_graph(X)}
    found = find_clusters(graphs, 6, seed=0)
    assert adjusted_rand_score(y, found.labels) > 0.9
    level = find_clusters(graphs, 6, seed=0, resolution=1.0)
    assert adjusted_rand_score(y, level.labels) < 0.7
    assert level.evenness > found.evenness + 0.1


def test_clusters_that_stay_even_are_those_of_resolution_one():
    X, y = overlapping([100] * 6)
    found = find(X, 6)
    assert found.resolution == 1
    assert adjusted_rand_score(y, found.labels) > 0.9


def test_unclear_graphs_are_partitioned_at_resolution_one():
    X = np.random.default_rng(0).normal(size=(300, 20))
    found = find(X, 6)
    assert not is_clear(found)
    assert found.resolution == 1
    assert found.evenness > 0.9


def test_a_level_partition_that_is_known_is_judged_not_sought():
    X, y = overlapping([100] * 6)
    stray = y.copy()
    stray[::50] = (stray[::50] + 1) % 6
    graphs = {"own": locally_scaled_graph(X)}
    found = find_clusters(graphs, 6, seed=0, level=stray)
    np.testing.assert_array_equal(found.labels, stray)


def test_most_agreed_is_no_outsider_and_of_two_follows_the_graph():
    X, y = DATA["eight of one size"]
    rng = np.random.default_rng(0)
    # One errs a little, one much, and one has joined clusters and torn another.
    little, much = (np.where(rng.random(400) < p, 0, y) for p in (0.05, 0.4))
    torn = np.where(
        y == 1, 0, np.where((y == 2) & (X[:, 0] > X[y == 2, 0].mean()), 1, y)
    )
    assert most_agreed([much, y, little], X, seed=0) == 1
    assert most_agreed([torn, y], X, seed=0) == 1
    assert most_agreed([y, torn], X, seed=0) == 0


def test_link_over_split_tells_a_cluster_in_two_from_two_clusters():
    X, y = make_blobs([100, 100, 100], centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    graph = locally_scaled_graph(X)
    torn = np.where((y == 0) & (X[:, 0] > 0), 3, y)
    joint = np.where(y == 2, 1, y)
    right = link_over_split(graph, y, seed=0)
    assert right < 1 < link_over_split(graph, torn, seed=0)
    # Two blobs that are one cluster come apart by themselves.
    assert conductances(graph, joint).max() < 0.01


def test_matched_takes_over_the_numbers():
    reference = np.array([2, 2, 0, 0, 1, 1])
    np.testing.assert_array_equal(
        matched(np.array([0, 0, 1, 1, 2, 1]), reference), [2, 2, 0, 0, 1, 0]
    )


@pytest.mark.parametrize("between", [0.0, 0.05])
def test_one_large_cluster_is_told_of_where_the_graph_is_unclear(between):
    y = np.repeat([0, 1, 2], [80, 10, 10])
    graph = np.where(y[:, None] == y, 1.0, between)
    epochs = {f"{stage}_epochs": 1 for stage in ("pretrain", "head", "joint")}
    model = GraphContrastiveClustering(3, graph=graph, resolution=0.5, **epochs)
    model.set_params(hidden_layer_sizes=(8,), random_state=0)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.fit(np.random.default_rng(0).normal(size=(100, 4)))
    messages = [str(w.message) for w in told if "of the samples" in str(w.message)]
    assert ["holds 80% of the samples" in each for each in messages] == (
        [True] if between else []
    )
