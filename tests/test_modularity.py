import itertools
import time

import numpy as np
import pytest
import scipy.sparse as sp
import torch
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


@pytest.mark.parametrize("wrong", [-0.1, np.nan, np.inf, None, "auto"])
def test_resolution_is_refused_where_it_means_nothing(two_graphs, wrong):
    with pytest.raises(ValueError, match=f"^resolution must be .*got {wrong!r}: pass"):
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
        for seed in range(100):
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


# ------------------------------------------------------------------ what is refused

PAIRS = np.kron(np.eye(2), [[0.0, 1.0], [1.0, 0.0]])
LABELS = np.array([0, 0, 1, 1])


def changed(value, *places):
    """Return the graph of pairs with another weight in some places."""
    graph = PAIRS.copy()
    for place in places:
        graph[place] = value
    return graph


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (sp.csr_matrix(PAIRS), r" must be a list .* shape \(4, 4\): pass \[affinit"),
        (sp.coo_array(PAIRS), r" must be a list .* shape \(4, 4\): pass \[affinit"),
        (PAIRS, r" must be a list .* shape \(4, 4\): pass \[affinities\]"),
        (None, r" must be a list of matrices; got NoneType: pass one matrix for"),
        ([], r" must hold one matrix or more.* got shapes \[\]"),
        ([PAIRS, PAIRS[:2, :2]], r" must hold .* shapes \[\(4, 4\), \(2, 2\)\]"),
        (PAIRS.tolist(), r"\[0\] must be a square matrix .*got shape \(4,\)"),
        ([PAIRS[:, :3]], r"\[0\] must be a square matrix .*got shape \(4, 3\)"),
        ([PAIRS[:0, :0]], r"\[0\] must be a square matrix .*got shape \(0, 0\)"),
        # Old releases of NumPy make objects of the rows.
        ([[[0, 1], [1]]], r"\[0\] must (be a square matrix; got rows|hold real num)"),
        ([PAIRS, changed(np.nan, (0, 1))], r"\[1\] must hold finite .*got nan: drop"),
        ([PAIRS, changed(np.inf, (0, 1))], r"\[1\] must hold finite .*got inf: drop"),
        ([-PAIRS], r"\[0\] must hold finite weights, none negative; got -1\.0: drop"),
        (
            [PAIRS, changed(2.0, (1, 0))],
            r"\[1\] must be symmetric; got (1\.0 at \[0, 1\] and 2\.0 at \[1, 0\]|"
            r"2\.0 at \[1, 0\] and 1\.0 at \[0, 1\]): pass \(A \+ A\.T\) / 2",
        ),
        ([np.triu(PAIRS)], r"\[0\] must be symmetric; got 1\.0 at \[0, 1\] and 0\.0"),
        ([changed(1.00001, (0, 1))], r"\[0\] must be symmetric"),
    ],
    ids=lambda value: "",
)
def test_graphs_are_refused(wrong, message):
    with pytest.raises((TypeError, ValueError), match=f"^affinities{message}"):
        Modularity(wrong)
    if isinstance(wrong, list) and isinstance(wrong[0] if wrong else None, np.ndarray):
        with pytest.raises(ValueError, match=f"^affinities{message}"):
            Modularity([sp.csr_matrix(graph) for graph in wrong])


@pytest.mark.parametrize("dtype", [complex, str, object])
def test_graphs_of_no_real_numbers_are_refused(dtype):
    with pytest.raises(
        TypeError, match=r"^affinities\[0\] must hold real numbers; got"
    ):
        Modularity([PAIRS.astype(dtype)])


def test_asymmetry_is_seen_in_large_graphs():
    X, _ = make_blobs(500, 3, random_state=0)
    graph = kneighbors_graph(X, 5, mode="distance")
    graph = sp.csr_matrix(graph + graph.T)
    for size in (1.0, 1e-3, 1e-5):
        for place in (0, 10, graph.nnz - 1):
            wrong = graph.copy()
            wrong.data[place] += size * graph.max()
            with pytest.raises(ValueError, match=r"^affinities\[0\] must be symmetric"):
                Modularity([wrong])


@pytest.mark.parametrize(
    "graph",
    [
        PAIRS,
        sp.coo_array(PAIRS),
        sp.dia_matrix(PAIRS),
        torch.from_numpy(PAIRS),
        torch.from_numpy(PAIRS).bfloat16().requires_grad_(),
        PAIRS.astype(bool),
        127 * PAIRS.astype(np.int8),
        60_000 * PAIRS.astype(np.float16),
        3e38 * PAIRS.astype(np.float32),
        1.7e308 * PAIRS,
        5e-324 * PAIRS,
        # As differs what is added in another order.
        changed(1 + 1e-7, (0, 1)),
        PAIRS.tolist(),
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'dtype', '')}",
)
def test_graphs_are_taken_in_all_formats(graph):
    criterion = Modularity([graph])
    assert criterion(LABELS) == pytest.approx(0.5)
    assert criterion([0, 1, 0, 1]) == pytest.approx(-0.5)


def test_graphs_stay_as_they_are():
    graphs = [PAIRS.copy(), sp.csr_matrix(1.7e308 * PAIRS), sp.csr_matrix(PAIRS)]
    Modularity(graphs).refine(LABELS, seed=0)
    np.testing.assert_array_equal(graphs[0], PAIRS)
    np.testing.assert_array_equal(graphs[1].toarray(), 1.7e308 * PAIRS)
    np.testing.assert_array_equal(graphs[2].toarray(), PAIRS)


METHODS = {
    "value": Modularity([PAIRS]),
    "merge": lambda labels: Modularity([PAIRS]).merge(labels, 1),
    "refine": lambda labels: Modularity([PAIRS]).refine(labels, seed=0),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([0, 0, 1], r"shape \(4,\), one cluster per node; got shape \(3,\): pass"),
        ([0, 0, 1, 1, 1], r"shape \(4,\), one cluster per node; got shape \(5,\)"),
        (LABELS[:, None], r"shape \(4,\), one cluster per node; got shape \(4, 1\)"),
        (None, r"shape \(4,\), one cluster per node; got shape \(\)"),
        ([0.0, 0.0, 1.0, 1.0], r"integers; got dtype float64: number the clusters"),
        ([0, 0, np.nan, 1], r"integers; got dtype float64: number the clusters"),
        ([True, True, False, False], r"integers; got dtype bool: number the clusters"),
        (["a", "a", "b", "b"], r"integers; got dtype <U1: number the clusters"),
        ([0, 0, 1, -1], r"at least 0; got -1: number the clusters from 0 by numpy\."),
    ],
)
def test_labels_are_refused(method, wrong, message):
    with pytest.raises(
        (TypeError, ValueError), match=f"^labels must (have|hold|be) {message}"
    ):
        METHODS[method](wrong)


@pytest.mark.parametrize("wrong", [[0, 0, 2, 2], [1, 1, 2, 2], [0, 0, 1, 10**12]])
def test_labels_with_gaps_are_refused_where_numbers_count(wrong):
    message = r"^labels must have no gaps; got \d clusters numbered up to \d+: number"
    for method in ("merge", "refine"):
        with pytest.raises(ValueError, match=message):
            METHODS[method](wrong)
    # The value depends on no numbers, nor does its memory.
    unbroken = np.unique(wrong, return_inverse=True)[1]
    assert METHODS["value"](wrong) == METHODS["value"](unbroken)


@pytest.mark.parametrize("method", METHODS)
def test_labels_are_taken_in_all_formats(method):
    expected = METHODS[method](LABELS)
    for labels in (LABELS.tolist(), torch.from_numpy(LABELS), LABELS.astype(np.uint64)):
        np.testing.assert_array_equal(METHODS[method](labels), expected)


def test_refine_returns_labels_of_its_own():
    refined = METHODS["refine"](LABELS)
    np.testing.assert_array_equal(refined, LABELS)
    assert not np.shares_memory(refined, LABELS)


@pytest.mark.parametrize(
    ("method", "parameters", "name"),
    [
        ("merge", {"n_clusters": 0}, "n_clusters"),
        ("merge", {"n_clusters": 1.5}, "n_clusters"),
        ("refine", {"seed": -1}, "seed"),
        ("refine", {"seed": None}, "seed"),
        ("refine", {"seed": 0, "n_sweeps": -1}, "n_sweeps"),
    ],
)
def test_other_numbers_are_refused(method, parameters, name):
    with pytest.raises(ValueError, match=f"^{name} must be an integer of at least"):
        getattr(Modularity([PAIRS]), method)(LABELS, **parameters)


def test_checks_cost_little():
    X, y = make_blobs(10_000, 5, centers=10, random_state=0)
    graph = kneighbors_graph(X, 10)
    graph = sp.csr_matrix(graph + graph.T)

    def seconds(function):
        times = []
        for _ in range(7):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
        return min(times)

    criterion = Modularity([graph])
    used = seconds(lambda: criterion.refine(y, seed=0))
    # A tenth; more of it on a busy machine.
    assert seconds(lambda: Modularity([graph])) < used
