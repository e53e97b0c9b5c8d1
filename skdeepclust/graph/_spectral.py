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
_MANY_NUMBERS = 2**20  # in eigenvectors that are searched all at once
_EXTRA, _ROUNDS, _DEGREE = 20, 4, 10  # vectors beside, steps, and their polynomials
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
    elif n * n_components > _MANY_NUMBERS:
        matrix = sp.csr_matrix(sp.diags(scale) @ affinity @ sp.diags(scale))
        values, vectors = _filtered_eigenpairs(
            matrix, tie**0.5 * scale, n_components, seed
        )
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


def _filtered_eigenpairs(
    matrix: sp.csr_matrix, tie: NDArray[np.float64], n_components: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return leading eigenpairs of ``matrix + tie tie^T`` by subspace iteration.

    Its steps are polynomials that damp what is below the eigenvalues wanted (Zhou,
    Saad, Tiago and Chelikowsky, 2006). Of hundreds of eigenvectors Lanczos misses some
    of a cluster of eigenvalues, and spends its time on making them orthogonal.
    """
    narrow, column = matrix.astype(np.float32), tie.astype(np.float32)[:, None]

    def multiply(block: NDArray[Any]) -> NDArray[Any]:
        product: NDArray[Any] = narrow @ block + column @ (column.T @ block)
        return product

    size = (len(tie), n_components + _EXTRA)
    basis: NDArray[Any] = np.random.default_rng(seed).standard_normal(size, np.float32)
    damped = 0.5  # what is below is damped, at first by a guess
    for _ in range(_ROUNDS):
        # Chebyshev polynomials stay within 1 on what is damped, and grow beyond.
        center, half = np.float32((damped - 1) / 2), np.float32((damped + 1) / 2)
        before, basis = basis, (multiply(basis) - center * basis) / half
        for _ in range(_DEGREE - 1):
            following = (2 / half) * (multiply(basis) - center * basis) - before
            before, basis = basis, following
        basis = np.linalg.qr(basis)[0]
        values, rotation = np.linalg.eigh(basis.T @ multiply(basis))
        basis = basis @ rotation
        damped = min(float(values[0]), 0.99)
    return values.astype(np.float64), basis.astype(np.float64)


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
