import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score
from test_spectral import blocks

from skdeepclust._partition.start import (
    InitialPartition,
    _beats,
    initial_partition,
    uncenter,
)
from skdeepclust.graph import _build
from skdeepclust.graph._build import (
    build_affinities,
    input_affinities,
    strongest_neighbors,
    symmetrized,
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


@pytest.mark.parametrize("with_input", [False, True])
def test_initial_partition_finds_groups(with_input):
    own, y = blocks([30, 30, 30], 0.1)
    rng = np.random.default_rng(0)
    embedding = np.eye(3)[y] + 0.3 * rng.normal(size=(90, 3))
    rows = torch.from_numpy(embedding)
    given = (
        input_affinities(rows, [5], project=False, seed=0)[0] if with_input else None
    )
    start = initial_partition(embedding, [own], given, 3, seed=0)
    assert adjusted_rand_score(y, start.labels) > 0.9
    again = initial_partition(embedding, [own], given, 3, seed=0)
    np.testing.assert_array_equal(start.labels, again.labels)
    assert start.source == again.source


def graph_of(groups, purity, rng):
    """Tie random pairs, most of them within a group."""
    ties = rng.random((len(groups), len(groups))) < 0.2
    ties &= (groups[:, None] == groups) | (rng.random(ties.shape) > purity)
    return symmetrized(sp.csr_matrix(ties.astype(float)))


def test_initial_partition_takes_both_graphs_where_the_embedding_has_lost_a_class():
    """The embedding tells two of three groups, the input all of them, but less well."""
    y = np.repeat(np.arange(3), 40)
    seen = np.minimum(y, 1)
    rng = np.random.default_rng(0)
    own, given = graph_of(seen, 0.97, rng), graph_of(y, 0.6, rng)
    embedding = np.eye(3)[seen] + 0.1 * rng.normal(size=(120, 3))
    alone = initial_partition(embedding, [own], None, 3, seed=0)
    both = initial_partition(embedding, [own], given, 3, seed=0)
    assert adjusted_rand_score(y, both.labels) > 0.7
    assert adjusted_rand_score(y, alone.labels) < 0.6
    assert both.source in ("sum", "walks")
    assert both.affinity.nnz > own.nnz


def test_walks_that_come_back_tie_no_sample_to_itself():
    X = load_digits().data[:400]
    embedding = X @ np.random.default_rng(0).normal(size=(64, 4))
    rows = [torch.from_numpy(Z.astype(np.float32)) for Z in (embedding, X)]
    own, given = (input_affinities(Z, [5], project=False, seed=0)[0] for Z in rows)
    start = initial_partition(embedding, [own], given, 10, may_replace=False, seed=0)
    assert start.source == "walks"
    assert start.affinity.nnz > own.nnz
    assert not start.affinity.diagonal().any()


@pytest.mark.parametrize("lost", [False, True])
def test_initial_partition_takes_the_input_alone_where_the_embedding_has_lost_all(lost):
    y = np.repeat(np.arange(3), 40)
    rng = np.random.default_rng(0)
    own = graph_of(rng.permutation(y) if lost else y, 0.5 if lost else 0.97, rng)
    given = graph_of(y, 0.9, rng)
    embedding = np.eye(3)[y] + 2 * rng.normal(size=(120, 3))
    start = initial_partition(embedding, [own], given, 3, seed=0)
    assert (start.source == "input") == lost
    assert (start.affinity is given) == lost
    assert adjusted_rand_score(y, start.labels) > 0.95


def test_partitions_below_zero_are_compared_by_their_size():
    def starts(*values):
        return [InitialPartition(None, None, value, "") for value in values]

    assert _beats(starts(0.5, 1.04), starts(1.0, 0.7))
    assert not _beats(starts(1.02), starts(1.0))
    assert not _beats(starts(-0.101), starts(-0.1))
    assert _beats(starts(-0.09), starts(-0.1))


@pytest.mark.parametrize("lowest", [0.0, -1.0])
def test_uncenter_shifts_tables_without_negative_values(lowest):
    X = np.random.default_rng(0).uniform(1, 2, size=(20, 3))
    X[0, 0] = lowest
    spec = InputSpec.from_data(X, (3,))
    rows = torch.from_numpy((X - spec.offset) / spec.scale)
    expected = torch.from_numpy(X / spec.scale) if lowest == 0 else rows.clone()
    uncenter(rows, spec)
    torch.testing.assert_close(rows, expected)
