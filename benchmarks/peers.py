"""Methods without a network of ours: each maps rows, K and a seed to labels.

Those of other packages keep their own defaults, but for the number of clusters and the
seed.
"""

import io
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import MagicMock

import numpy as np
import torch
from sklearn.cluster import (
    HDBSCAN,
    AgglomerativeClustering,
    KMeans,
    SpectralClustering,
)
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import kneighbors_graph
from sklearn.preprocessing import normalize

from skdeepclust._partition import find_table_clusters, table_graphs


def kmeans(rows, n_clusters, seed):
    return KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(rows)


def kmeans_unit(rows, n_clusters, seed):
    """Group the directions of the rows: each is scaled to unit length."""
    return kmeans(normalize(rows), n_clusters, seed)


def spectral(rows, n_clusters, seed):
    with warnings.catch_warnings():
        # A graph that falls into parts is told by a warning; the labels say the rest.
        warnings.simplefilter("ignore", UserWarning)
        return SpectralClustering(
            n_clusters, affinity="nearest_neighbors", n_neighbors=10, random_state=seed
        ).fit_predict(rows)


def agglomerative(rows, n_clusters, seed):
    return AgglomerativeClustering(n_clusters).fit_predict(rows)


def nmf(rows, n_clusters, seed):
    """Group the coefficients of K parts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        parts = NMF(n_clusters, init="nndsvda", random_state=seed).fit_transform(rows)
    return kmeans(parts, n_clusters, seed)


def partition(rows, n_clusters, seed):
    """Group rows as the package partitions graphs of a table, without a network."""
    return find_table_clusters(table_graphs(rows), n_clusters, seed=seed).labels


def gaussian_mixture(rows, n_clusters, seed):
    """Fit a mixture of Gaussians; their axes are those of the columns."""
    model = GaussianMixture(
        n_clusters, covariance_type="diag", reg_covar=1e-3, random_state=seed
    )
    return model.fit_predict(rows)


def leiden_communities(rows, resolution, seed):
    """Partition the graph of ten neighbours by Leiden."""
    import igraph
    import leidenalg

    links = kneighbors_graph(rows, 10).tocoo()
    graph = igraph.Graph(
        len(rows), [*zip(links.row.tolist(), links.col.tolist(), strict=True)]
    )
    graph.simplify()
    return leidenalg.find_partition(
        graph,
        leidenalg.RBConfigurationVertexPartition,
        resolution_parameter=resolution,
        seed=seed,
    ).membership


def leiden(rows, n_clusters, seed):
    """Partition by Leiden, at a resolution that gives K clusters."""
    low, high, best = 1e-3, 20.0, None
    for _ in range(20):
        resolution = (low * high) ** 0.5
        labels = leiden_communities(rows, resolution, seed)
        found = max(labels) + 1
        if best is None or abs(found - n_clusters) < abs(max(best) + 1 - n_clusters):
            best = labels
        if found == n_clusters:
            break
        low, high = (resolution, high) if found < n_clusters else (low, resolution)
    return np.asarray(best)


def evoc(rows, n_clusters, seed):
    """Group embeddings by EVoC, which finds the number of clusters itself."""
    from evoc import EVoC

    labels = EVoC(random_state=seed).fit_predict(np.asarray(rows, dtype=np.float32))
    return np.unique(labels, return_inverse=True)[1]


def umap_embedding(rows, seed):
    import umap

    with warnings.catch_warnings():
        # With a seed it uses one thread, and says so.
        warnings.simplefilter("ignore", UserWarning)
        reducer = umap.UMAP(n_components=10, metric="cosine", random_state=seed)
        return reducer.fit_transform(rows)


def umap_kmeans(rows, n_clusters, seed):
    return kmeans(umap_embedding(rows, seed), n_clusters, seed)


def umap_hdbscan(rows, n_clusters, seed):
    """Group UMAP's embedding by HDBSCAN, which finds the number of clusters itself.

    What it takes for noise is one more cluster.
    """
    labels = HDBSCAN(min_cluster_size=15, copy=True).fit_predict(
        umap_embedding(rows, seed)
    )
    return np.unique(labels, return_inverse=True)[1]


def clustpy(name):
    """Return a method of ClustPy by its name, such as "DEC"."""

    def fit(rows, n_clusters, seed):
        method = getattr(import_clustpy(), name)
        model = method(n_clusters, random_state=seed, device=torch.device("cpu"))
        # It draws progress bars.
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            return model.fit(rows.astype("float32")).labels_

    return fit


def import_clustpy():
    """Import `clustpy.deep` without torchvision, which only networks of images need.

    Beside the build of torch for the CPU, torchvision may be installed and yet fail.
    """
    names = ("torchvision", "torchvision.models", "torchvision.models._api")
    stand_ins = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(stand_ins, MagicMock()))
    try:
        import clustpy.deep
    finally:
        for name in stand_ins:
            del sys.modules[name]
    return clustpy.deep
