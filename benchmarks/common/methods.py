"""The methods of the benchmarks of quality: each maps data and a seed to labels.

Methods of other packages keep their own defaults, but for the number of clusters and
the seed. Baselines that learn an embedding are the package's own stage 0 and nothing
else, with the same network and as many steps as "graph" has there; "self-paced" has
fewer.
"""

import io
import sys
import warnings
from collections.abc import Callable
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any
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

from skdeepclust import (
    LITERAL_GRAPH_PARAMETERS,
    LITERAL_PARAMETERS,
    DeepSubspaceClustering,
    GraphContrastiveClustering,
    SelfPacedContrastiveClustering,
)
from skdeepclust._partition.choice import find_table_clusters
from skdeepclust._partition.graphs import table_graphs
from skdeepclust.training.stage import count_batches

SLOW_LIMIT = 12_000
DENSE_LIMIT = 5_000
MIN_HELD_OUT = 2_000

# ------------------------------------------- from rows, K and a seed to labels: peers


def kmeans(rows, n_clusters, seed):
    return KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(rows)


def kmeans_unit(rows, n_clusters, seed):
    """Group the directions of the rows: each is scaled to unit length."""
    return kmeans(normalize(rows), n_clusters, seed)


def spectral(rows, n_clusters, seed):
    with warnings.catch_warnings():
        # A graph that falls into parts gives a warning; the labels say the rest.
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
    """Partition the graph of ten neighbors by Leiden."""
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

    Its noise is one more cluster.
    """
    labels = HDBSCAN(min_cluster_size=15, copy=True).fit_predict(
        umap_embedding(rows, seed)
    )
    return np.unique(labels, return_inverse=True)[1]


def clustpy(name, rows, n_clusters, seed):
    """Group by a method of ClustPy, such as "DEC"."""
    method = getattr(import_clustpy(), name)
    model = method(n_clusters, random_state=seed, device=torch.device("cpu"))
    with quietly():
        return model.fit(rows.astype("float32")).labels_


@contextmanager
def quietly():
    """Drop what is printed: ClustPy draws progress bars."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


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


# ------------------------------------------------------------------- rows of the table


@dataclass(frozen=True)
class Method:
    """A row of the table.

    `parameters` are those of our estimator that differ from its defaults; None where
    it takes no part. `cluster` maps what it is given (raw rows without an estimator,
    else the embedding), K and a seed to labels; without it the estimator's own labels
    are taken. `uneven` methods are for clusters of unequal size. `steps` is the least
    number of optimizer steps of pretraining, for any size of data.
    """

    label: str
    parameters: dict[str, Any] | None = None
    cluster: Callable[..., Any] | None = None
    ablation: bool = False
    held_out: bool = False
    limit: int | None = None
    package: str | None = None
    values: tuple[float, float] | None = None
    uneven: bool = False
    steps: int = 0
    estimator_class: type = SelfPacedContrastiveClustering

    def estimator(self, n_clusters, seed, overrides=None):
        """Return our estimator, unfitted; None where it takes no part.

        `overrides` are parameters; as one of them, `n_clusters` is a factor.
        """
        if self.parameters is None:
            return None
        parameters = {**self.parameters, **(overrides or {})}
        n_clusters = round(parameters.pop("n_clusters", 1) * n_clusters)
        return self.estimator_class(n_clusters, random_state=seed, **parameters)

    def fit(self, data, estimator, seed):
        """Return the labels of `data`; `estimator` is fitted in place."""
        if estimator is None:
            return self.cluster(data.flat, data.n_clusters, seed)
        if self.steps:
            n_batches = count_batches(len(data.X), estimator.batch_size)
            estimator.set_params(pretrain_epochs=max(10, -(-self.steps // n_batches)))
        if self.cluster is None:
            return estimator.fit(data.X).labels_
        with warnings.catch_warnings():
            # The head is not trained here, so its clusters may well be empty.
            warnings.simplefilter("ignore", ConvergenceWarning)
            embedding = estimator.fit(data.X).embedding_
        return self.cluster(embedding, data.n_clusters, seed)

    def why_not(self, data):
        """Return why it is not run on a data set; an empty string if it is."""
        if self.uneven and "_uneven" not in data.name:
            return "classes are of about one size"
        if self.limit and len(data.y) > self.limit:
            return f"more than {self.limit:,} samples"
        if self.held_out and len(data.y) < MIN_HELD_OUT:
            return f"fewer than {MIN_HELD_OUT:,} samples"
        if self.package and find_spec(self.package) is None:
            return f"{self.package} is not installed"
        if self.values:
            least, most = self.values
            if data.flat.min() < least or data.flat.max() > most:
                return f"values are not from {least} to {most}"
        return ""


def _pretrained(label, pretraining, cluster, **fields):
    """Return a baseline: stage 0 alone, and what groups its embedding."""
    parameters = {"pretraining": pretraining, "resolution": None, "center_epochs": 0}
    parameters |= {"head_epochs": 0, "contrastive_epochs": 0}
    return Method(label, parameters, cluster, steps=400, **fields)


_graph = partial(Method, estimator_class=GraphContrastiveClustering)
_EVEN = {"resolution": 1.0}

METHODS = {
    "kmeans": Method("k-means", cluster=kmeans),
    "kmeans_unit": Method("k-means, rows of unit length", cluster=kmeans_unit),
    "spectral": Method("spectral clustering", cluster=spectral, limit=SLOW_LIMIT),
    "agglomerative": Method(
        "agglomerative clustering", cluster=agglomerative, limit=SLOW_LIMIT
    ),
    "nmf": Method("NMF + k-means", cluster=nmf, values=(0, np.inf)),
    "gaussian_mixture": Method("Gaussian mixture, diagonal", cluster=gaussian_mixture),
    "umap": Method("UMAP + k-means", cluster=umap_kmeans, package="umap"),
    "umap_hdbscan": Method(
        "UMAP + HDBSCAN, K not told", cluster=umap_hdbscan, package="umap"
    ),
    "leiden": Method("Leiden", cluster=leiden, package="leidenalg", limit=SLOW_LIMIT),
    "evoc": Method("EVoC, K not told", cluster=evoc, package="evoc"),
    "partition": Method(
        "graph partition, no network", cluster=partition, limit=SLOW_LIMIT
    ),
    **{
        name.lower(): Method(
            name,
            cluster=partial(clustpy, name),
            package="clustpy",
            values=(0, 1) if name == "VaDE" else None,
            limit=SLOW_LIMIT,
        )
        for name in ("DEC", "IDEC", "DCN", "DKM", "VaDE")
    },
    "autoencoder": _pretrained("autoencoder + k-means", "reconstruction", kmeans),
    "denoising": _pretrained("denoising autoencoder + k-means", "denoising", kmeans),
    "simclr": _pretrained("SimCLR + k-means", "contrastive", kmeans),
    "simclr_spectral": _pretrained(
        "SimCLR + spectral", "contrastive", spectral, limit=SLOW_LIMIT
    ),
    "literal": Method("self-paced, literal", LITERAL_PARAMETERS),
    "ours": Method("self-paced", {}),
    "ours_even": Method("self-paced, resolution=1", _EVEN, uneven=True),
    "ours_end_to_end": Method("self-paced, end to end", {"end_to_end": True}),
    # Eq. 3.5 and nothing else in stage 1, and the pairs alone in stage 2.
    "center_only": Method(
        "center loss alone",
        {"pretext_weight": 0.0, "consistency_weight": 0.0},
        ablation=True,
    ),
    "center_consistency": Method(
        "center loss + view consistency", {"pretext_weight": 0.0}, ablation=True
    ),
    "no_stage_2": Method(
        "self-paced without stage 2", {"contrastive_epochs": 0}, ablation=True
    ),
    "ours_held_out": Method("self-paced, held-out fifth", {}, held_out=True),
    "subspace": Method("deep subspace", {}, estimator_class=DeepSubspaceClustering),
    "graph_literal": _graph(
        "graph, literal", LITERAL_GRAPH_PARAMETERS, limit=DENSE_LIMIT
    ),
    "graph": _graph("graph", {}),
    "graph_even": _graph("graph, resolution=1", _EVEN, uneven=True),
    "graph_instance": _graph(
        "graph, instance head alone", {"heads": "instance"}, ablation=True
    ),
    "graph_cluster": _graph(
        "graph, cluster head alone", {"heads": "cluster"}, ablation=True
    ),
    "graph_held_out": _graph("graph, held-out fifth", {}, held_out=True),
}
