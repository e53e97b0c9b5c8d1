"""Neighbours against the slow reference, their symmetries and degenerate input."""

import numpy as np
import pytest
import reference_graph as reference
import torch
from graph_helpers import (
    DTYPES,
    METHODS,
    METRICS,
    SEARCHES,
    RecordSizes,
    check_neighbors,
    expected_neighbors,
    nearest_first,
    normal,
    search,
    seeds,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from skdeepclust import graph
from skdeepclust.graph import neighbors as neighbors_module

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
    n, k = 1500, 5
    with RecordSizes() as sizes:
        indices, values = search(normal(n, 4, dtype=torch.float32), k, kind)
    check_neighbors(indices, values, n, k)
    assert sizes.largest <= 10 * (n + 64)


@pytest.mark.parametrize("kind", SEARCHES)
def test_neighbors_are_found_however_little_memory_a_block_has(kind, monkeypatch):
    z = normal(20, 4)
    expected = search(z, 3, kind)
    monkeypatch.setattr("skdeepclust.graph.neighbors._BLOCK_ELEMENTS", 1)
    actual = search(z, 3, kind)
    assert torch.equal(actual[0], expected[0])
    torch.testing.assert_close(actual[1], expected[1])


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


@pytest.mark.parametrize("n_chunks", [4, 20])
def test_largest_scores_are_those_of_topk(n_chunks):
    # `nearest_neighbors` would find wrong ones out, and search without the shortcut.
    scores = normal(30, n_chunks * neighbors_module._CHUNK)
    values, columns = neighbors_module._largest(scores, 5)
    expected = scores.topk(5)
    assert torch.equal(values, expected.values)
    assert torch.equal(columns, expected.indices)
