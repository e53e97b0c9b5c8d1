"""The methods of the quality benchmark: each maps data and a seed to labels.

Baselines that learn an embedding are the package's own stage 0 and nothing else, with
the same network and as many steps as "graph" has there; "self-paced" has fewer.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from peers import (
    agglomerative,
    clustpy,
    evoc,
    gaussian_mixture,
    kmeans,
    kmeans_unit,
    leiden,
    nmf,
    partition,
    spectral,
    umap_hdbscan,
    umap_kmeans,
)
from sklearn.exceptions import ConvergenceWarning

from skdeepclust import (
    LITERAL_GRAPH_PARAMETERS,
    LITERAL_PARAMETERS,
    DeepSubspaceClustering,
    GraphContrastiveClustering,
    SelfPacedContrastiveClustering,
)
from skdeepclust.training.stage import count_batches

SLOW_LIMIT = 12_000
DENSE_LIMIT = 5_000
ONLY_PRETRAINING = {"center_epochs": 0, "head_epochs": 0, "contrastive_epochs": 0}
ONLY_PRETRAINING |= {"init": "kmeans"}
LEVEL = {"resolution": 1.0}
# Eq. 3.5 and nothing else in stage 1, and the pairs alone in stage 2.
NO_ANCHOR = {"contrastive_weight": 0.0, "reconstruction_weight": 0.0}


@dataclass(frozen=True)
class Method:
    """A row of the table.

    `parameters` are those of our estimator that differ from its defaults; None where
    it takes no part. `cluster` maps what it is given (raw rows without an estimator,
    else the embedding), K and a seed to labels; without it the estimator's own labels
    are taken. What is `uneven` is for clusters of unequal size. `steps` is the least
    number of optimiser steps of pretraining, for whatever size of data.
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
        """Return our estimator, unfitted; None where it takes no part."""
        if self.parameters is None:
            return None
        return self.estimator_class(
            n_clusters, random_state=seed, **{**self.parameters, **(overrides or {})}
        )

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
            cluster=clustpy(name),
            package="clustpy",
            values=(0, 1) if name == "VaDE" else None,
            limit=SLOW_LIMIT,
        )
        for name in ("DEC", "IDEC", "DCN", "DKM", "VaDE")
    },
    "autoencoder": Method(
        "autoencoder + k-means",
        {"pretraining": "reconstruction", **ONLY_PRETRAINING},
        kmeans,
        steps=400,
    ),
    "denoising": Method(
        "denoising autoencoder + k-means",
        {"pretraining": "reconstruction", "denoising": 0.2, **ONLY_PRETRAINING},
        kmeans,
        steps=400,
    ),
    "simclr": Method(
        "SimCLR + k-means",
        {"pretraining": "contrastive", **ONLY_PRETRAINING},
        kmeans,
        steps=400,
    ),
    "simclr_spectral": Method(
        "SimCLR + spectral",
        {"pretraining": "contrastive", **ONLY_PRETRAINING},
        spectral,
        limit=SLOW_LIMIT,
        steps=400,
    ),
    "literal": Method("self-paced, literal", LITERAL_PARAMETERS),
    "ours": Method("self-paced", {}),
    "ours_level": Method("self-paced, resolution=1", LEVEL, uneven=True),
    "ours_joint": Method("self-paced, joint", {"training": "joint"}),
    "center_only": Method(
        "centre loss alone", {**NO_ANCHOR, "consistency_weight": 0.0}, ablation=True
    ),
    "center_consistency": Method(
        "centre loss + view consistency", NO_ANCHOR, ablation=True
    ),
    "no_stage_2": Method(
        "self-paced without stage 2", {"contrastive_epochs": 0}, ablation=True
    ),
    "ours_held_out": Method("self-paced, held-out fifth", {}, held_out=True),
    "subspace": Method("deep subspace", {}, estimator_class=DeepSubspaceClustering),
    "graph_literal": Method(
        "graph, literal",
        LITERAL_GRAPH_PARAMETERS,
        limit=DENSE_LIMIT,
        estimator_class=GraphContrastiveClustering,
    ),
    "graph": Method("graph", {}, estimator_class=GraphContrastiveClustering),
    "graph_level": Method(
        "graph, resolution=1",
        LEVEL,
        uneven=True,
        estimator_class=GraphContrastiveClustering,
    ),
    "graph_instance": Method(
        "graph, instance head alone",
        {"level": "instance"},
        ablation=True,
        estimator_class=GraphContrastiveClustering,
    ),
    "graph_cluster": Method(
        "graph, cluster head alone",
        {"level": "cluster"},
        ablation=True,
        estimator_class=GraphContrastiveClustering,
    ),
    "graph_no_input": Method(
        "graph without the input's neighbours",
        {"input_neighbors": False},
        ablation=True,
        estimator_class=GraphContrastiveClustering,
    ),
    "graph_head_only": Method(
        "graph without consensus",
        {"consensus": False},
        ablation=True,
        estimator_class=GraphContrastiveClustering,
    ),
    "graph_held_out": Method(
        "graph, held-out fifth",
        {},
        held_out=True,
        estimator_class=GraphContrastiveClustering,
    ),
}
