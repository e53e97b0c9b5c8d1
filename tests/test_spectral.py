import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import kneighbors_graph

from skdeepclust.graph._spectral import (
    _IS_SEEDED,
    consensus_labels,
    eigenvector_labels,
    kmeans_labels,
    leading_eigenpairs,
    leading_eigenvectors,
    spectral_labels,
)


def blocks(sizes, between=0.0, seed=0):
    """A graph of groups, dense inside and with ties of weight `between` outside."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(sizes)), sizes)
    inside = y[:, None] == y
    dense = np.where(inside, rng.uniform(0.5, 1, (len(y), len(y))), between)
    dense = np.triu(dense, 1)
    return sp.csr_matrix(dense + dense.T), y


# Above 300 nodes eigenvectors come from the Lanczos iteration.
@pytest.mark.parametrize("sizes", [[40, 30, 50], [200, 150, 160]])
@pytest.mark.parametrize("between", [0.0, 0.01])
def test_spectral_labels_find_groups_connected_or_not(sizes, between):
    affinity, y = blocks(sizes, between)
    labels = spectral_labels(affinity, 3, seed=0)
    assert adjusted_rand_score(y, labels) == 1
    np.testing.assert_array_equal(labels, spectral_labels(affinity, 3, seed=0))


def test_spectral_labels_waste_no_cluster_on_nodes_that_hang_by_a_thread():
    affinity, y = blocks([40, 40], 0.002)
    affinity = affinity.tolil()
    affinity[0, 1:] = affinity[1:, 0] = 0  # isolated
    affinity[79, :78] = affinity[:78, 79] = 0  # a leaf
    labels = spectral_labels(affinity.tocsr(), 2, seed=0)
    assert adjusted_rand_score(y[1:79], labels[1:79]) == 1


def test_leading_eigenvectors_are_those_of_the_tied_matrix():
    affinity, _ = blocks([180, 180, 240], 0.05)
    dense = affinity.toarray()
    degrees = dense.sum(1)
    dense = dense + 0.01 * degrees.mean() / 600
    degrees = dense.sum(1)
    values, vectors = np.linalg.eigh(dense / np.sqrt(np.outer(degrees, degrees)))
    found = leading_eigenvectors(affinity, 3, seed=0)
    expected = vectors[:, ::-1][:, :3]
    np.testing.assert_allclose(np.abs(found.T @ expected), np.eye(3), atol=1e-3)
    assert values[-1] == pytest.approx(1)


@pytest.mark.skipif(not _IS_SEEDED, reason="SciPy before 1.17 draws by itself")
def test_eigenvectors_of_a_degenerate_graph_are_the_same_every_time():
    # Lanczos iterations come to an end at once, and begin anew at random.
    for affinity in (sp.csr_matrix((600, 600)), sp.eye(600, format="csr")):
        first = leading_eigenvectors(affinity, 3, seed=0)
        np.testing.assert_array_equal(leading_eigenvectors(affinity, 3, seed=0), first)


def test_spectral_labels_of_a_graph_without_edges():
    labels = spectral_labels(sp.csr_matrix((6, 6)), 2, seed=0)
    assert labels.shape == (6,)
    assert set(labels) == {0, 1}
    again = spectral_labels(sp.csr_matrix((6, 6)), 2, seed=0)
    np.testing.assert_array_equal(labels, again)


def test_consensus_is_what_most_say_whatever_the_numbering():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=90)
    partitions = []
    for _ in range(7):
        noisy = np.where(rng.random(90) < 0.2, rng.integers(3, size=90), y)
        partitions.append(rng.permutation(3)[noisy])
    consensus = consensus_labels(partitions, 3, seed=0)
    scores = [adjusted_rand_score(y, labels) for labels in partitions]
    assert adjusted_rand_score(y, consensus) > max(scores)


def test_consensus_of_one_is_itself():
    labels = np.array([2, 0, 1, 1])
    alone = consensus_labels([labels], 3, seed=0)
    np.testing.assert_array_equal(alone, labels)
    assert alone.dtype == consensus_labels([labels, labels], 3, seed=0).dtype


def test_kmeans_labels_have_no_gaps_with_few_distinct_rows():
    rows = np.repeat(np.eye(2), 5, axis=0)
    labels = kmeans_labels(rows, 4, seed=0)
    assert set(labels) == {0, 1}


def test_many_eigenvectors_are_found_at_once(monkeypatch):
    X, y = make_blobs(1500, 8, centers=12, random_state=0)
    affinity = kneighbors_graph(X, 8)
    graph = sp.csr_matrix(affinity + affinity.T)
    monkeypatch.setattr("skdeepclust.graph._spectral._DENSE_NODES", 2000)
    exact, _ = leading_eigenpairs(graph, 12, seed=0)
    monkeypatch.setattr("skdeepclust.graph._spectral._DENSE_NODES", 0)
    monkeypatch.setattr("skdeepclust.graph._spectral._MANY_NUMBERS", 0)
    values, vectors = leading_eigenpairs(graph, 12, seed=0)
    np.testing.assert_allclose(values, exact, atol=1e-4)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(12), atol=1e-5)
    assert adjusted_rand_score(y, eigenvector_labels(vectors, seed=0)) == 1.0
    again = leading_eigenpairs(graph, 12, seed=0)[1]
    np.testing.assert_array_equal(vectors, again)
