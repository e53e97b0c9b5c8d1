import numpy as np
import pytest
import scipy.sparse as sp
import torch

from skdeepclust._partition.graphs import uncenter
from skdeepclust.graph import _build
from skdeepclust.graph._build import (
    build_affinities,
    input_affinities,
    strongest_neighbors,
)
from skdeepclust.training.data import InputSpec


def test_strongest_neighbors_repeat_where_there_are_few():
    affinity = sp.csr_matrix(
        [[0, 3, 1, 2], [3, 0, 0, 0], [1, 0, 0, 0], [2, 0, 0, 0]], dtype=float
    )
    affinity.resize((5, 5))
    found = strongest_neighbors(affinity, 2)
    np.testing.assert_array_equal(found, [[1, 3], [0, 0], [0, 0], [0, 0], [4, 4]])
    empty = strongest_neighbors(sp.csr_matrix((3, 3)), 2)
    np.testing.assert_array_equal(empty, [[0, 0], [1, 1], [2, 2]])


@pytest.mark.parametrize("graph", ["self_expression", "candidates", "knn"])
def test_build_affinities_of_two_sizes_are_those_of_each(graph):
    h = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    both = build_affinities(h, graph, [3, 6])
    for affinity, size in zip(both, [3, 6], strict=True):
        (alone,) = build_affinities(h, graph, [size])
        assert abs(affinity - alone).max() < 1e-6


def test_input_affinity_of_many_rows_is_that_of_their_leading_dimensions(monkeypatch):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(80, 4)) @ rng.normal(size=(4, 30)) * 5
    rows = torch.from_numpy(rows + 1e-6 * rng.normal(size=rows.shape)).float()
    (whole,) = input_affinities(rows, [5], project=False, seed=0)
    monkeypatch.setattr(_build, "_MAX_UNPROJECTED", 79)
    monkeypatch.setattr(_build, "_PROJECTED", 4)
    (projected,) = input_affinities(rows, [5], project=False, seed=0)
    assert 0 < abs(whole - projected).max() < 1e-3


@pytest.mark.parametrize("lowest", [0.0, -1.0])
def test_uncenter_shifts_tables_without_negative_values(lowest):
    X = np.random.default_rng(0).uniform(1, 2, size=(20, 3))
    X[0, 0] = lowest
    spec = InputSpec.from_data(X, (3,))
    rows = torch.from_numpy((X - spec.offset) / spec.scale)
    expected = torch.from_numpy(X / spec.scale) if lowest == 0 else rows.clone()
    uncenter(rows, spec)
    torch.testing.assert_close(rows, expected)
