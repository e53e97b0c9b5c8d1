"""Affinities against the slow reference, and their properties."""

import numpy as np
import pytest
import reference_graph as reference
import scipy.sparse as sp
import torch
from graph_helpers import (
    normal,
    seeds,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import SpectralClustering

from skdeepclust import graph

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


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64, bool])
def test_symmetric_affinity_takes_integers(dtype):
    # 100 + 100 is no int8, 200 + 200 no uint8.
    most = {np.uint8: 200, np.int8: 100, np.int64: 2**62, bool: 1}[dtype]
    weights = np.full((2, 1), most, dtype=dtype)
    for values in (weights, torch.from_numpy(weights)):
        actual = graph.symmetric_affinity([[1], [0]], values, 2)
        assert actual.dtype == np.float64
        assert actual[0, 1] == 2.0 * most


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_dense_affinity_takes_half_precision(dtype):
    actual = graph.dense_affinity(torch.tensor([[0.0, 0.5], [-0.25, 0.0]], dtype=dtype))
    assert actual.dtype == np.float32
    assert actual[0, 1] == 0.75


def test_affinities_take_tensors_that_require_gradients():
    weights = torch.tensor([[0.0, 0.5], [0.25, 0.0]], requires_grad=True)
    assert graph.dense_affinity(weights)[0, 1] == 0.75
    indices = torch.tensor([[0, 1], [0, 1]])
    assert graph.symmetric_affinity(indices, weights, 2)[0, 1] == 0.75


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
    for matrix in (sparse, closed):
        model = SpectralClustering(2, affinity="precomputed", random_state=0)
        labels = model.fit_predict(matrix)
        assert (labels == groups).all() or (labels != groups).all()
