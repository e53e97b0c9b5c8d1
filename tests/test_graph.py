"""Graphs against the slow reference, their symmetries and degenerate input."""

import numpy as np
import pytest
import reference_graph as reference
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import SpectralClustering
from sklearn.neighbors import NearestNeighbors
from torch.utils._python_dispatch import TorchDispatchMode

from skdeepclust import graph, losses
from skdeepclust.graph import affinity as affinity_module

METRICS = ["cosine", "euclidean"]
METHODS = ["normalized", "candidates", "raw"]
SEARCHES = METRICS + METHODS
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
seeds = st.integers(0, 2**32 - 1)


def normal(*shape, seed=0, dtype=torch.float64):
    values = np.random.default_rng(seed).standard_normal(shape)
    return torch.from_numpy(values).to(dtype)


def search(z, k, kind):
    if kind in METRICS:
        return graph.nearest_neighbors(z, k, kind)
    return graph.self_expression_neighbors(z, k, method=kind)


def check_neighbors(indices, values, n, k):
    """Distinct, never the sample itself, finite, in order of their values."""
    assert indices.shape == values.shape == (n, k)
    assert indices.dtype == torch.int64
    assert ((indices >= 0) & (indices < n)).all()
    assert (indices != torch.arange(n).unsqueeze(1)).all()
    ordered = indices.sort(dim=1).values
    assert (ordered.diff(dim=1) > 0).all()
    assert values.isfinite().all()


def nearest_first(values, kind):
    steps = values.double().diff(dim=1)
    return ((steps if kind in METRICS else -steps) >= 0).all()


def expected_neighbors(z, k, kind):
    z = z.double().numpy()
    if kind in METRICS:
        return reference.first(reference.distances(z, kind), k)
    indices, negated = reference.first(-reference.strengths(z, kind), k)
    return indices, -negated


class RecordSizes(TorchDispatchMode):
    """Numbers in the largest tensor that any operation returned."""

    def __init__(self):
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(value, torch.Tensor) and value._base is None:
                self.largest = max(self.largest, value.numel())
        return result


# closed form


@pytest.mark.parametrize("shape", [(12, 3), (5, 5), (4, 9), (30, 1), (1, 3)])
@pytest.mark.parametrize("weight", [1e-3, 1.0, 10.0])
def test_self_expression_coefficients_match_direct_solves(shape, weight):
    z = normal(*shape)
    actual = graph.self_expression_coefficients(z, weight)
    expected = reference.solved_coefficients(z.numpy(), weight)
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-10)
    assert (actual.diagonal() == 0).all()


@pytest.mark.parametrize("weight", [1e-300, 1e-9, 1e6, 1e12, 1e20, 1e30, 1e300])
@pytest.mark.parametrize("n_components", [3, 5, 30])
def test_self_expression_coefficients_are_stable_for_extreme_weights(
    weight, n_components
):
    # One sample alone in its direction, one without which two equal ones cannot be
    # told from a line, and a group in a plane.
    z = torch.zeros(9, n_components, dtype=torch.float64)
    z[0, 0] = 2.0
    z[1, 1] = 1.0
    z[2:4, 1:3] = 1.0
    z[4:, -2:] = normal(5, 2)
    actual = graph.self_expression_coefficients(z, weight)
    expected = reference.exact_coefficients(z, weight)
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-12)


def test_self_expression_coefficients_are_the_minimum():
    z = normal(15, 6)
    best = graph.self_expression_coefficients(z, 2.0)
    value = losses.self_expression(z, best, weight=2.0)
    for seed in range(5):
        other = best + 0.01 * normal(15, 15, seed=seed)
        assert losses.self_expression(z, other, weight=2.0) > value


@pytest.mark.parametrize("scale", [1e-200, 1e-3, 1e3, 1e150])
def test_self_expression_coefficients_scale_with_the_weight(scale):
    z = normal(8, 3)
    expected = graph.self_expression_coefficients(z, 1.5)
    if 1e-100 < scale < 1e100:
        actual = graph.self_expression_coefficients(z * scale, 1.5 / scale**2)
        torch.testing.assert_close(actual, expected)
    assert graph.self_expression_coefficients(z * scale).isfinite().all()


def test_self_expression_coefficients_share_evenly_among_equal_rows():
    z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    actual = graph.self_expression_coefficients(z.double(), 1e14)
    expected = torch.zeros(5, 5, dtype=torch.float64)
    expected[:3, :3] = 0.5
    torch.testing.assert_close(actual, expected.fill_diagonal_(0))
    assert (actual[4] == 0).all()
    assert (actual[:, 4] == 0).all()
    assert (graph.self_expression_coefficients(torch.zeros(3, 2)) == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_self_expression_coefficients_keep_the_dtype(dtype):
    z = normal(7, 3, dtype=dtype).requires_grad_()
    actual = graph.self_expression_coefficients(z)
    exact = graph.self_expression_coefficients(z.double())
    assert actual.dtype == dtype
    assert not actual.requires_grad
    torch.testing.assert_close(actual, exact.to(dtype))


# learned


@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0])
def test_learned_self_expression_reaches_the_closed_form(scale):
    z = scale * normal(20, 4)
    actual = graph.learned_self_expression(z)
    expected = graph.self_expression_coefficients(z)
    assert (actual.diagonal() == 0).all()
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-3)


def test_learned_self_expression_lowers_the_l1_objective():
    z = normal(20, 4, dtype=torch.float32)
    actual = graph.learned_self_expression(z, norm="l1", weight=2.0)
    assert actual.dtype == torch.float32
    closed = graph.self_expression_coefficients(z, weight=2.0)
    value, other = (
        losses.self_expression(z, c, weight=2.0, norm="l1") for c in (actual, closed)
    )
    assert value < 0.9 * other


def test_learned_self_expression_draws_from_the_generator_alone():
    z = normal(6, 3, dtype=torch.float16)
    state = torch.random.get_rng_state()

    def learn(generator):
        return graph.learned_self_expression(z, n_steps=3, generator=generator)

    one, two = (learn(torch.Generator().manual_seed(5)) for _ in range(2))
    assert one.dtype == torch.float16
    assert torch.equal(one, two)
    assert torch.equal(learn(None), learn(None))
    assert not torch.equal(one, learn(None))
    assert torch.equal(torch.random.get_rng_state(), state)
    with torch.no_grad():
        assert torch.equal(learn(None), learn(None))


def test_learned_self_expression_breaks_ties():
    # One step from zero coefficients would leave them all at plus or minus the rate.
    z = normal(10, 3)
    row = graph.learned_self_expression(z, n_steps=1)[0, 1:]
    assert row.abs().unique().numel() == 9


# neighbours


@pytest.mark.parametrize("kind", SEARCHES)
@pytest.mark.parametrize("shape", [(30, 4), (12, 20), (70, 2), (3, 1)])
def test_neighbors_match_reference(kind, shape):
    z = normal(*shape)
    k = min(7, shape[0] - 1)
    indices, values = search(z, k, kind)
    expected, expected_values = expected_neighbors(z, k, kind)
    np.testing.assert_allclose(values, expected_values, rtol=1e-9, atol=1e-9)
    if shape[1] > 1:  # else all are tied
        np.testing.assert_array_equal(indices, expected)
    check_neighbors(indices, values, shape[0], k)


@pytest.mark.parametrize("kind", SEARCHES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_neighbors_of_every_dtype(kind, dtype):
    z = normal(40, 5, dtype=dtype)
    indices, values = search(z, 6, kind)
    assert values.dtype == dtype
    check_neighbors(indices, values, 40, 6)
    assert nearest_first(values, kind)
    _, expected = search(z.double(), 6, kind)
    torch.testing.assert_close(values, expected.to(dtype))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("block_size", [1, 7, 64, 1000])
def test_nearest_neighbors_do_not_depend_on_the_block_size(metric, block_size):
    z = normal(700, 3, dtype=torch.float32)
    expected = graph.nearest_neighbors(z, 4, metric)
    actual = graph.nearest_neighbors(z, 4, metric, block_size=block_size)
    assert torch.equal(actual[0], expected[0])
    assert torch.equal(actual[1], expected[1])


@pytest.mark.parametrize("metric", METRICS)
def test_nearest_neighbors_of_many_samples_match_scikit_learn(metric):
    # More than 2 k chunks of columns, the last of them padded.
    z = normal(1500, 6)
    model = NearestNeighbors(n_neighbors=5, metric=metric, algorithm="brute").fit(z)
    distances, indices = model.kneighbors()
    actual = graph.nearest_neighbors(z, 5, metric)
    np.testing.assert_array_equal(actual[0], indices)
    np.testing.assert_allclose(actual[1], distances, atol=1e-7)


@pytest.mark.parametrize("kind", SEARCHES)
def test_neighbors_need_memory_for_blocks_only(kind, monkeypatch):
    monkeypatch.setattr("skdeepclust.graph.neighbors._BLOCK_ELEMENTS", 15_000)
    monkeypatch.setattr("skdeepclust.graph.self_expression._GATHERED", 15_000)
    n, k = 1500, 5
    with RecordSizes() as sizes:
        indices, values = search(normal(n, 4, dtype=torch.float32), k, kind)
    check_neighbors(indices, values, n, k)
    assert sizes.largest <= (50 if kind == "candidates" else 10) * (n + 64)


def test_nearest_neighbors_take_the_block_size_given():
    n = 2000
    with RecordSizes() as sizes:
        graph.nearest_neighbors(normal(n, 4, dtype=torch.float32), 5, block_size=16)
    assert sizes.largest <= 16 * (n + 64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_euclidean_neighbors_keep_their_digits_far_from_the_origin(dtype, monkeypatch):
    z = (normal(60, 3, dtype=dtype) * 256).round() / 256
    near = graph.nearest_neighbors(z, 5, "euclidean")
    with monkeypatch.context() as patch:
        patch.delattr("skdeepclust.graph.neighbors._search_exactly")  # not needed
        far = graph.nearest_neighbors(z + 4096, 5, "euclidean")
    torch.testing.assert_close(far[1], near[1], rtol=2 * torch.finfo(dtype).eps, atol=0)
    # Two groups so far apart that centring cannot help.
    groups = torch.cat([z + 1e4, z - 1e4])
    indices, distances = graph.nearest_neighbors(groups, 5, "euclidean")
    expected = reference.first(reference.distances(groups.numpy(), "euclidean"), 5)
    np.testing.assert_allclose(distances, expected[1], rtol=1e-6)
    check_neighbors(indices, distances, 120, 5)


def test_cosine_neighbors_keep_their_digits_for_almost_parallel_rows():
    z = 1 + 1e-5 * normal(60, 3)
    indices, distances = graph.nearest_neighbors(z, 5)
    expected = reference.first(reference.distances(z.numpy(), "cosine"), 5)
    np.testing.assert_allclose(distances, expected[1], atol=1e-15)
    near = graph.nearest_neighbors(z / z.norm(dim=1, keepdim=True), 5, "euclidean")
    assert torch.equal(indices, near[0])


@pytest.mark.parametrize("kind", [*METRICS, "normalized", "raw"])
def test_neighbors_survive_coarse_products(kind, monkeypatch):
    z = normal(300, 4, dtype=torch.float32)
    expected = search(z, 5, kind)

    def coarse(a, b, out):
        return out.copy_(a.bfloat16() @ b.bfloat16())

    monkeypatch.setattr(torch, "mm", coarse)
    actual = search(z, 5, kind)
    assert torch.equal(actual[0], expected[0])
    assert torch.equal(actual[1], expected[1])


@pytest.mark.parametrize("power", [-160, -30, 30, 150])
@pytest.mark.parametrize("metric", METRICS)
def test_nearest_neighbors_do_not_depend_on_the_scale(metric, power):
    z = normal(30, 3)
    indices, distances = graph.nearest_neighbors(z, 4, metric)
    scaled, longer = graph.nearest_neighbors(z * 10.0**power, 4, metric)
    assert torch.equal(scaled, indices)
    if metric == "euclidean":
        longer = longer / 10.0**power
    torch.testing.assert_close(longer, distances)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, n=st.integers(8, 40), d=st.integers(2, 12))
@pytest.mark.parametrize("kind", SEARCHES)
def test_neighbors_follow_the_order_of_samples(kind, seed, n, d):
    order = torch.from_numpy(np.random.default_rng(seed).permutation(n))
    z = normal(n, d, seed=seed)
    indices, values = search(z, 3, kind)
    moved, moved_values = search(z[order], 3, kind)
    assert torch.equal(order[moved], indices[order])
    torch.testing.assert_close(moved_values, values[order])


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(st.tuples(*[st.integers(-1, 1)] * 2), min_size=2, max_size=20),
    data=st.data(),
)
@pytest.mark.parametrize("kind", SEARCHES)
def test_neighbors_of_tied_samples_are_distinct_and_valued_right(kind, rows, data):
    z = torch.tensor(rows, dtype=torch.float64)
    k = data.draw(st.integers(1, len(rows) - 1))
    indices, values = search(z, k, kind)
    check_neighbors(indices, values, len(rows), k)
    _, expected = expected_neighbors(z, k, kind)
    np.testing.assert_allclose(values, expected, atol=1e-9)
    assert torch.equal(search(z, k, kind)[0], indices)


@pytest.mark.parametrize("kind", SEARCHES)
@pytest.mark.parametrize("fill", [0.0, 1.0, 1e-30])
def test_neighbors_of_equal_rows(kind, fill):
    # More of them than are fetched, so that rounding cannot tell which come first.
    z = torch.full((200, 3), fill)
    for k in (1, 5, 199):
        indices, values = search(z, k, kind)
        check_neighbors(indices, values, 200, k)
        assert torch.allclose(values, values[0, 0], rtol=1e-3)
    if kind in METRICS:
        assert values[0, 0] == (1 if kind == "cosine" and fill == 0 else 0)
    elif fill == 0:
        assert (values == 0).all()


def test_nearest_neighbors_put_copies_first():
    z = normal(30, 4, dtype=torch.float32)
    z = torch.cat([z, z])
    copies = (torch.arange(60) + 30) % 60
    for metric in METRICS:
        indices, distances = graph.nearest_neighbors(z, 3, metric)
        assert torch.equal(indices[:, 0], copies)
        assert (distances[:, 0] == 0).all()


def test_zero_row_is_at_cosine_distance_one():
    z = normal(10, 3)
    z[4] = 0
    indices, distances = graph.nearest_neighbors(z, 9)
    ones = torch.ones(9, dtype=torch.float64)
    torch.testing.assert_close(distances[4], ones)
    torch.testing.assert_close(distances[indices == 4], ones)
    for method in METHODS:
        _, weights = graph.self_expression_neighbors(z, 9, method=method)
        assert weights[4].abs().max() < 1e-12


@pytest.mark.parametrize("shape", [(25, 6), (6, 25)])
@pytest.mark.parametrize("regularization", [1e-300, 1e-3, 1.0, 1e3, 1e200])
def test_raw_neighbors_are_those_of_the_closed_form(shape, regularization):
    z = normal(*shape)
    indices, weights = graph.self_expression_neighbors(
        z, 4, regularization=regularization, method="raw"
    )
    check_neighbors(indices, weights, shape[0], 4)
    if 1e-3 <= regularization <= 1e3:
        weight = shape[1] / shape[0] / regularization
        unit = torch.from_numpy(reference.unit(z))
        dense = graph.self_expression_coefficients(unit, weight).abs()
        assert torch.equal(indices, dense.topk(4).indices)
        torch.testing.assert_close(weights, dense.topk(4).values)


@pytest.mark.parametrize("method", ["normalized", "raw"])
@pytest.mark.parametrize("regularization", [1e-300, 0.1])
def test_self_expression_neighbors_of_dependent_columns(method, regularization):
    z = normal(30, 2) @ normal(2, 6)
    indices, weights = graph.self_expression_neighbors(
        z, 4, regularization=regularization, method=method
    )
    check_neighbors(indices, weights, 30, 4)


def test_self_expression_neighbors_of_many_components_need_little_memory():
    with RecordSizes() as sizes:
        graph.self_expression_neighbors(normal(6, 2000), 2)
    assert sizes.largest <= 2000 * 6


def test_normalized_scores_of_weak_neighbors_are_negative():
    z = torch.tensor([[1.0, 0.0], [-1.0, 0.1], [0.0, -1.0]])
    _, weights = graph.self_expression_neighbors(z, 2)
    assert weights.min() < 0
    assert weights.max() <= 1


def test_neighbors_leave_gradients_and_the_input_alone():
    z = normal(12, 3).requires_grad_()
    before = z.detach().clone()
    for kind in SEARCHES:
        assert not search(z, 2, kind)[1].requires_grad
    assert torch.equal(z.detach(), before)


# affinities


@settings(max_examples=40, deadline=None)
@given(data=st.data(), n=st.integers(2, 9), single=st.booleans())
def test_symmetric_affinity_properties(data, n, single):
    k = data.draw(st.integers(1, n - 1))
    rng = np.random.default_rng(data.draw(seeds))
    indices = np.array([rng.permutation(n)[:k] for _ in range(n)])
    weights = rng.integers(-2, 3, size=(n, k)) * rng.uniform(size=(n, k))
    weights = weights.astype(np.float32 if single else np.float64)
    actual = graph.symmetric_affinity(indices, weights, n)
    assert isinstance(actual, sp.csr_matrix)
    assert actual.dtype == weights.dtype
    assert actual.has_sorted_indices
    assert actual.indices.dtype == actual.indptr.dtype == np.int32
    assert (actual.data > 0).all()
    dense = actual.toarray()
    assert (dense == dense.T).all()
    assert (dense.diagonal() == 0).all()
    expected = reference.symmetric_affinity(indices, weights.astype(np.float64), n)
    np.testing.assert_allclose(dense, expected, rtol=1e-6)
    tensors = torch.from_numpy(indices).int(), torch.from_numpy(weights)
    assert (graph.symmetric_affinity(*tensors, n) != actual).nnz == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_symmetric_affinity_takes_half_precision(dtype):
    indices = torch.tensor([[1], [0]])
    weights = torch.tensor([[0.5], [0.25]], dtype=dtype)
    for values in [weights, weights.float().numpy().astype(np.float16)]:
        actual = graph.symmetric_affinity(indices, values, 2)
        assert actual.dtype == np.float32
        assert actual[0, 1] == 0.75


def test_symmetric_affinity_may_be_empty():
    actual = graph.symmetric_affinity([[1], [0]], [[0.0], [-1.0]], 2)
    assert actual.nnz == 0
    assert actual.shape == (2, 2)


@pytest.mark.parametrize("n_neighbors", [None, 3, 9])
def test_dense_affinity_matches_reference(n_neighbors):
    coefficients = normal(10, 10)
    actual = graph.dense_affinity(coefficients, n_neighbors).toarray()
    strength = abs(coefficients.numpy())
    kept = reference.first(-strength, n_neighbors or 9)[0]
    weights = np.take_along_axis(strength, kept, axis=1)
    expected = reference.symmetric_affinity(kept, weights, 10)
    np.testing.assert_allclose(actual, expected)
    assert (actual == actual.T).all()


@pytest.mark.filterwarnings("ignore:Graph is not fully connected")
def test_spectral_clustering_takes_the_affinities():
    z = torch.cat([normal(20, 2), normal(20, 2)])
    z = torch.cat([z, torch.zeros(40, 2, dtype=torch.float64)], dim=1)
    z[20:] = z[20:].roll(2, dims=1)
    indices, weights = graph.self_expression_neighbors(z, 6)
    sparse = graph.symmetric_affinity(indices, weights, 40)
    closed = graph.dense_affinity(graph.self_expression_coefficients(z), 6)
    groups = np.repeat([0, 1], 20)
    for matrix in (sparse, closed, graph.low_rank_affinity(sparse, 2, dimension=2)):
        model = SpectralClustering(2, affinity="precomputed", random_state=0)
        labels = model.fit_predict(matrix)
        assert (labels == groups).all() or (labels != groups).all()


def weighted(n, seed=0):
    """Affinity of a graph without tied eigenvalues."""
    affinity = np.random.default_rng(seed).uniform(size=(n, n))
    affinity[affinity < 0.6] = 0
    affinity = affinity + affinity.T
    np.fill_diagonal(affinity, 0)
    return affinity


@pytest.mark.parametrize("options", [{}, {"dimension": 3}, {"power": 1.5}])
@pytest.mark.parametrize("n", [4, 30])
def test_low_rank_affinity_matches_reference(n, options):
    affinity = weighted(n)
    actual = graph.low_rank_affinity(affinity, 2, **options)
    expected = reference.low_rank_affinity(affinity, 2, **options)
    np.testing.assert_allclose(actual, expected, atol=1e-8)
    sparse = graph.low_rank_affinity(sp.csr_array(affinity), 2, **options)
    np.testing.assert_array_equal(sparse, actual)


def test_low_rank_affinity_by_lanczos_matches_all_eigenvectors(monkeypatch):
    affinity = sp.csr_matrix(weighted(120))
    expected = graph.low_rank_affinity(affinity, 2, dimension=5)
    monkeypatch.setattr(affinity_module, "_SPARSE_EIGENVECTORS", 50)
    actual = graph.low_rank_affinity(affinity, 2, dimension=5)
    np.testing.assert_allclose(actual, expected, atol=1e-9)
    again = graph.low_rank_affinity(affinity, 2, dimension=5)
    np.testing.assert_array_equal(actual, again)


@pytest.mark.parametrize(("least", "dimension"), [(1000, 3), (1000, 20), (10, 3)])
def test_low_rank_affinity_of_a_disconnected_graph(least, dimension, monkeypatch):
    monkeypatch.setattr(affinity_module, "_SPARSE_EIGENVECTORS", least)
    affinity = np.zeros((62, 62))
    affinity[:30, :30], affinity[30:60, 30:60] = weighted(30), weighted(30, seed=1)
    actual = graph.low_rank_affinity(affinity, 2, dimension=dimension)
    assert np.isfinite(actual).all()
    assert ((actual >= 0) & (actual <= 1)).all()
    assert (actual == actual.T).all()
    assert (actual.diagonal() == 0).all()
    assert (actual[:30, 30:] < 1e-12).all()
    assert (actual[60:] == 0).all()  # isolated samples


def test_low_rank_affinity_of_an_empty_graph():
    assert (graph.low_rank_affinity(np.zeros((3, 3)), 2) == 0).all()


# errors


FUNCTIONS = {
    "coefficients": graph.self_expression_coefficients,
    "learned": graph.learned_self_expression,
    "nearest": lambda z: graph.nearest_neighbors(z, 1),
    "expressed": lambda z: graph.self_expression_neighbors(z, 1),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
@pytest.mark.parametrize(
    ("z", "error", "match"),
    [
        (np.zeros((3, 2)), TypeError, "z must be a torch.Tensor; got ndarray"),
        (torch.zeros(3, 2).long(), TypeError, "z must hold floating-point"),
        (torch.zeros(3), ValueError, r"z must be 2-D .* got shape \(3,\)"),
        (torch.zeros(0, 2), ValueError, "z must be 2-D with at least one row"),
        (torch.tensor([[1.0], [np.nan]]), ValueError, "z must be finite.*in row 1"),
        (torch.tensor([[np.inf], [1.0]]), ValueError, "z must be finite.*in row 0"),
    ],
)
def test_graph_rejects_bad_embeddings(function, z, error, match):
    with pytest.raises(error, match=match):
        function(z)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (
            lambda z: graph.nearest_neighbors(z, 4),
            "n_neighbors must be smaller.*n_neighbors=4 for 4 samples: pass at most 3",
        ),
        (
            lambda z: graph.self_expression_neighbors(z, 9),
            "n_neighbors=9 for 4 samples: pass at most 3",
        ),
        (lambda z: graph.nearest_neighbors(z, 0), "n_neighbors must be a positive"),
        (lambda z: graph.nearest_neighbors(z, 1.5), "n_neighbors must be a positive"),
        (
            lambda z: graph.nearest_neighbors(z, 1, "manhattan"),
            r"metric must be one of \['cosine', 'euclidean'\]; got 'manhattan'",
        ),
        (
            lambda z: graph.nearest_neighbors(z, 1, block_size=0),
            "block_size must be a positive integer; got 0",
        ),
        (
            lambda z: graph.self_expression_neighbors(z, 1, method="exact"),
            r"method must be one of \['normalized', 'candidates', 'raw'\]; got 'exact'",
        ),
        (
            lambda z: graph.self_expression_neighbors(z, 1, regularization=0.0),
            "regularization must be positive and finite; got 0.0",
        ),
        (
            lambda z: graph.self_expression_coefficients(z, weight=-1.0),
            "weight must be positive and finite; got -1.0",
        ),
        (
            lambda z: graph.learned_self_expression(z, weight=0.0),
            "weight must be positive and finite; got 0.0",
        ),
        (
            lambda z: graph.learned_self_expression(z, norm="nuclear"),
            r"norm must be one of \['fro2', 'l1'\]; got 'nuclear'",
        ),
        (
            lambda z: graph.learned_self_expression(z, n_steps=0),
            "n_steps must be a positive integer; got 0",
        ),
        (
            lambda z: graph.learned_self_expression(z, learning_rate=0.0),
            "learning_rate must be positive and finite; got 0.0",
        ),
        (
            lambda z: graph.learned_self_expression(torch.zeros(5001, 1)),
            "at most 5000 rows .* got 5001: use the closed form",
        ),
        (
            lambda z: graph.dense_affinity(z),
            r"coefficients must be square; got shape \(4, 2\)",
        ),
        (
            lambda z: graph.dense_affinity(torch.full((2, 2), torch.nan)),
            "coefficients must be finite",
        ),
        (
            lambda z: graph.dense_affinity(torch.eye(3), 3),
            "n_neighbors=3 for 3 samples: pass at most 2",
        ),
    ],
)
def test_graph_rejects_bad_parameters(call, match):
    with pytest.raises(ValueError, match=match):
        call(normal(4, 2))


@pytest.mark.parametrize(
    ("indices", "weights", "n", "match"),
    [
        ([[1], [0]], [[1.0], [1.0]], 0, "n must be a positive integer; got 0"),
        ([1, 0], [1.0, 1.0], 2, r"indices must hold integers in n=2 rows; got .*\(2,"),
        ([[1], [0]], [[1.0], [1.0]], 3, "indices must hold integers in n=3 rows"),
        ([[1.0], [0.0]], [[1.0], [1.0]], 2, "got .* dtype float64"),
        ([[1], [0]], [[1.0, 1.0]], 2, "weights must have the shape of indices"),
        ([[2], [0]], [[1.0], [1.0]], 2, "between 0 and n - 1 = 1; got 0 to 2"),
        ([[-1], [0]], [[1.0], [1.0]], 2, "between 0 and n - 1 = 1; got -1 to 0"),
        ([[1], [0]], [[np.nan], [1.0]], 2, "weights must be finite"),
    ],
)
def test_symmetric_affinity_rejects_bad_input(indices, weights, n, match):
    with pytest.raises(ValueError, match=match):
        graph.symmetric_affinity(indices, weights, n)


@pytest.mark.parametrize(
    ("affinity", "options", "match"),
    [
        (np.zeros((3, 2)), {}, r"square with at least 2 rows; got shape \(3, 2\)"),
        (np.zeros((1, 1)), {}, "square with at least 2 rows"),
        ("graph", {}, "affinity must be a square matrix of numbers; got str"),
        (np.full((2, 2), np.nan), {}, "affinity must be finite and non-negative"),
        (-np.ones((2, 2)), {}, "affinity must be finite and non-negative"),
        (np.triu(np.ones((2, 2))), {}, "affinity must be symmetric"),
        (np.ones((2, 2)), {"n_clusters": 0}, "n_clusters must be a positive integer"),
        (np.ones((2, 2)), {"dimension": 0}, "dimension must be a positive integer"),
        (np.ones((2, 2)), {"power": 0.0}, "power must be positive and finite"),
    ],
)
def test_low_rank_affinity_rejects_bad_input(affinity, options, match):
    with pytest.raises(ValueError, match=match):
        graph.low_rank_affinity(affinity, **{"n_clusters": 2, **options})
