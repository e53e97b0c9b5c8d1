"""Spectral clustering of sparse graphs, large or disconnected ones among them."""

import inspect
from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.cluster import KMeans

_DENSE_NODES = 300  # up to here a dense solver is faster than Lanczos
_TIE = 0.01  # of all nodes to each other: a share of the mean degree
# SciPy before 1.17 seeds the restarts of `eigsh` by itself.
_IS_SEEDED = "rng" in inspect.signature(eigsh).parameters


def spectral_labels(affinity: Any, n_clusters: int, *, seed: int) -> NDArray[np.int64]:
    """Return the spectral partition of a graph, (n,)."""
    vectors = leading_eigenvectors(affinity, n_clusters, seed=seed)
    return eigenvector_labels(vectors, seed=seed)


def eigenvector_labels(
    vectors: NDArray[np.float64], *, seed: int, n_init: int = 10
) -> NDArray[np.int64]:
    """Return the spectral partition of a graph from as many eigenvectors, (n, K)."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = vectors / np.maximum(lengths, np.finfo(np.float64).tiny)
    return kmeans_labels(rows, vectors.shape[1], seed=seed, n_init=n_init)


def leading_eigenvectors(
    affinity: Any, n_components: int, *, seed: int
) -> NDArray[np.float64]:
    """Return the leading eigenvectors of the normalized adjacency matrix, (n, d)."""
    return leading_eigenpairs(affinity, n_components, seed=seed)[1]


def leading_eigenpairs(
    affinity: Any, n_components: int, *, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the leading eigenvalues and vectors of the normalized adjacency matrix.

    All nodes are tied to each other: a disconnected graph needs no special care, and no
    cluster is spent on a few nodes that hang by a thread. The tie has rank one and is
    never formed.
    """
    n = affinity.shape[0]
    degrees = np.asarray(affinity.sum(axis=1), dtype=np.float64).ravel()
    # A graph without edges is read as one in which all nodes are tied alike.
    tie = (_TIE * degrees.mean() or 1.0) / n
    scale = 1 / np.sqrt(degrees + n * tie)
    if n <= _DENSE_NODES or n_components > n // 4:
        dense = scale[:, None] * (affinity.toarray() + tie) * scale
        last = [max(0, n - n_components), n - 1]
        values, vectors = eigh(dense, subset_by_index=last)
    else:

        def multiply(x: NDArray[np.float64]) -> NDArray[np.float64]:
            scaled = scale * x.ravel()
            product = scale * (affinity @ scaled + tie * scaled.sum())
            return np.asarray(product, dtype=np.float64)

        values, vectors = eigsh(
            LinearOperator((n, n), matvec=multiply, dtype=np.float64),
            k=n_components,
            which="LA",
            v0=np.random.default_rng(seed).uniform(0.5, 1.0, size=n),
            tol=1e-4,
            **({"rng": np.random.default_rng(seed)} if _IS_SEEDED else {}),
        )
    leading = np.argsort(-values)[:n_components]
    return values[leading], vectors[:, leading]


def consensus_labels(
    partitions: Iterable[NDArray[np.integer]], n_clusters: int, *, seed: int
) -> NDArray[np.int64]:
    """Return the partition on which several ones agree best."""
    # K-means groups the leading singular vectors, at their length, of a table of
    # samples with a column for each cluster of each partition.
    columns = [
        sp.csr_array((np.ones(len(labels)), (np.arange(len(labels)), labels)))
        for labels in partitions
    ]
    if len(columns) == 1:
        return np.asarray(columns[0].indices, dtype=np.int64)
    table = sp.hstack(columns, format="csr")
    # The table is tall: its right singular vectors come from the small Gram matrix.
    _, vectors = np.linalg.eigh((table.T @ table).toarray())
    return kmeans_labels(table @ vectors[:, -n_clusters:], n_clusters, seed=seed)


def kmeans_labels(
    rows: NDArray[np.floating], n_clusters: int, *, seed: int, n_init: int = 10
) -> NDArray[np.int64]:
    """Group rows by k-means; labels are without gaps, fewer of fewer distinct rows."""
    n_distinct = len(np.unique(rows, axis=0))
    kmeans = KMeans(min(n_clusters, n_distinct), n_init=n_init, random_state=seed)
    found = kmeans.fit_predict(rows)
    labels: NDArray[np.int64] = np.unique(found, return_inverse=True)[1]
    return labels
