"""GraphContrastiveClustering, algorithm 4.3 of the thesis."""

# Signatures in `help` are short: annotations stay as they are written.
from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import joblib
import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import ArrayLike
from sklearn.base import TransformerMixin
from torch import Tensor, nn

from skdeepclust._base.clusterer import BaseDeepClusterer
from skdeepclust._base.estimator import EPOCHS, INTERVAL, POSITIVE, WEIGHT
from skdeepclust._base.run import Run
from skdeepclust._stages.context import Context
from skdeepclust._stages.head import LABEL_SMOOTHING, HeadParameters
from skdeepclust._stages.pretraining import Pretraining, PretrainingCache
from skdeepclust._utils.compat import HasMethods, StrOptions
from skdeepclust.graph._build import check_neighbors
from skdeepclust.graph_contrastive._clusters import GraphParameters, GraphStart
from skdeepclust.graph_contrastive._stages import JointParameters, Parameters, train
from skdeepclust.training.loop import Training
from skdeepclust.training.stage import AutoEpochs
from skdeepclust.views import Augmentation

# What "auto" stands for; tables whose clusters are kept need less.
_PRETRAIN = AutoEpochs(4, images=300, tables=40, few_images=600)
_HEAD = AutoEpochs(3, images=300, tables=300)
_KEPT = AutoEpochs(3, images=300, tables=20)
_KEPT_FINAL = AutoEpochs(3, images=300, tables=120)
_JOINT = AutoEpochs(3, images=250, tables=25)
_GRAPHS = {"auto", "self_expression", "learned", "knn", "input"}


class GraphContrastiveClustering(BaseDeepClusterer):
    """Cluster images, tables or embeddings by contrasts along a neighbor graph.

    Set `n_clusters`. Then, if needed: lower `resolution` if clusters differ in
    size; raise `n_neighbors` for large clusters and noisy data; choose an
    `augmentation` that keeps what makes a cluster; raise `n_init` for steadier
    clusters. Begin with the defaults of all others.

    Algorithm 4.3 of Xing (2023) [1]_: an encoder is pretrained. A sparse graph gives
    each sample its neighbors, and partitions of such graphs give the first clusters.
    An instance head and a cluster head are then trained together, so that neighbors
    have similar embeddings and the same cluster.

    Read more in the :ref:`User Guide <graph_contrastive>`.

    Parameters
    ----------
    Set these first
    n_clusters : int or "auto", default=8
        Number of clusters K. "auto" estimates it from `X`, as
        :func:`~skdeepclust.model_selection.estimate_n_clusters` does; set a number if
        you know it.
    resolution : float, "auto" or None, default="auto"
        Sizes of clusters: the resolution of the modularity by which they are searched
        in graphs of neighbors, see :ref:`clusters`. 1 prefers clusters of one size;
        lower it, to .5 or .25, if sizes differ. "auto" decides by the data. None starts
        from k-means in the embedding, as the thesis does, and skips the final
        refinement.
    n_neighbors : int, default=5
        Neighbors of each sample, k; fewer than there are samples. Raise it for large
        clusters and noisy data.
    Data and network
    encoder : {"auto", "mlp", "conv", "resnet18"} or torch.nn.Module, default="auto"
        - "mlp": fully connected, with `hidden_layer_sizes`.
        - "conv": convolutional, for images of at least 8 x 8.
        - "resnet18": a ResNet-18, for the same images and any number of channels.
        - "auto": "conv" for images of at least 8 x 8, else "mlp".
        - a module: a copy of it is trained; a linear layer follows if its output size
          differs from `n_components`.
        - ``Frozen(module)``: a pretrained module that stays as it is. Layers of
          `hidden_layer_sizes` follow it and are trained, see :ref:`features`.
    n_components : int, default=None
        Number of latent dimensions d. None stands for 20, or for the size of the
        output of a module that is trained. Raise it for many clusters.
    hidden_layer_sizes : array-like of int or "auto", default="auto"
        Hidden layers of the fully connected encoder; the decoder mirrors them. "auto"
        stands for (256, 256), or (500, 500, 1000) with more than 500 columns.
    image_shape : tuple of int, default=None
        (channels, height, width) or (height, width) of images that come flattened as
        rows, for instance in a pipeline.
    augmentation : "auto", callable or None, default="auto"
        Random views of a batch. "auto" turns, shifts and scales gray images; it crops,
        flips and recolors others; it masks features of tables and adds noise. A
        callable maps a batch (a tensor) to a batch. Choose views that keep what matters
        to you: no flips for letters.
    graph : {"auto", "self_expression", "learned", "knn", "input"}, matrix or \
            transformer, default="auto"
        Where neighbors come from.

        - "self_expression": the normalized closed form of eq. 4.2, in the embedding.
        - "learned": the thesis's dense matrix; at most 5,000 samples.
        - "knn": nearest neighbors by cosine in the embedding.
        - "input": nearest neighbors of the samples themselves, of images by cosine, of
          tables by cosine and by distance.
        - "auto": "self_expression" for images, "input" for tables.
        - a sparse or dense matrix of shape (n_samples, n_samples): affinities of the
          samples that `fit` gets, not negative. It is made symmetric.
        - a transformer with scikit-learn's neighbors API, such as
          :class:`~sklearn.neighbors.KNeighborsTransformer` or pynndescent's: a clone is
          fitted to the samples. Its distances become locally scaled affinities.

        `n_neighbors` limits the positives of matrices and transformers, too.
    batch_size : int, default=128
        About the number of samples of a batch: at most a quarter more. In joint
        training each brings a neighbor along. Lower it if memory runs out.
    Algorithm
    pretraining : {"auto", "contrastive", "reconstruction", "denoising"}, \
            default="auto"
        Stage 0: NT-Xent between two views (eq. 2.9), or an autoencoder (eq. 2.1-2.4),
        with "denoising" from input of which a fifth is swapped. "auto" contrasts, or
        reconstructs with ``augmentation=None``. Contrasted embeddings have unit length.
    pretrain_epochs : int or "auto", default="auto"
        Epochs of stage 0; 0 skips it. "auto" stands for 4, and with small data for as
        many as make 300 optimizer steps, 600 with fewer than 5,000 images, 40 with
        tables.
    pretext_temperature : float, default=0.5
        Temperature of NT-Xent, with ``pretraining="contrastive"``. Lower it to push
        samples further apart.
    pretext_weight : float, default=1.0
        Weight of the reconstruction (eq. 4.1) in joint training, after an autoencoder
        was pretrained. After contrastive pretraining there is none.
    self_expression_weight : float, default=1.0
        Weight lambda of the residual in eq. 4.2, for ``graph="learned"`` alone.
    graph_update_interval : int, default=None
        Epochs of joint training after which the graph of the embedding is built again.
        None keeps it. Graphs of the input, matrices and transformers always stay.
    heads : {"both", "instance", "cluster"}, default="both"
        Heads that are trained jointly. With "instance", k-means in the embedding gives
        the final clusters.
    head_epochs : int or "auto", default="auto"
        Epochs that train the cluster head on the first clusters, and as many that train
        it on the final ones. 0 searches no clusters: the head starts at random, and
        stays as joint training leaves it. "auto" stands for 3, and with small data for
        as many as make 300 optimizer steps; with tables whose graphs are clear 20, and
        120 at the end.
    joint_epochs : int or "auto", default="auto"
        Epochs of joint training; 0 skips it. "auto" stands for 3, and with small data
        for as many as make 250 optimizer steps, with tables 25.
    instance_temperature : float, default=0.5
        Temperature of eq. 4.6. Lower it to push samples further apart.
    cluster_temperature : float, default=1.0
        Temperature of eq. 4.7.
    balance_weight : float, default=1.0
        Weight of the divergence of the mean assignment from the sizes of the first
        clusters in joint training, which keeps clusters from running empty.
    Optimization
    learning_rate : float, default=6e-3
        Peak of the one-cycle schedule of stage 0; the head is trained at a third of it
        before and after joint training. Lower it if training stops being finite.
    joint_learning_rate : float, default=1e-3
        Learning rate of the encoder and the heads in joint training.
    Running
    n_init : int, default=1
        Number of runs from different seeds. The one whose clusters agree best with
        those of the others is kept. Raise it for steadier clusters.
    n_jobs : int, default=None
        Runs that are trained at the same time, by joblib. With ``n_init > 1`` each run
        has one thread, so that `n_jobs` does not change results.
    warm_start : bool, default=False
        Whether `fit` on a fitted estimator continues with its weights and clusters, see
        :ref:`warm_start`. It needs ``n_init=1`` and data with the same features.
    device : str or torch.device, default="auto"
        Where to compute. "auto" takes an accelerator if there is one.
    precision : {"float32", "bfloat16"}, default="float32"
        What the networks compute in. "bfloat16" is faster on current GPUs. Losses,
        weights and results are float32 in both; see :ref:`scaling`.
    checkpoint_dir : str or path-like, default=None
        A folder to which training is written, so that the same call of `fit` resumes
        after an interruption; see :ref:`checkpoints`.
    memory : str, path-like or joblib.Memory, default=None
        Where pretrained networks are cached, so that a search over parameters of later
        stages pretrains once per fold; see :ref:`memory`. It needs a `random_state`.
        Several processes of ``torch.distributed`` do not use it.
    random_state : int, RandomState instance or None, default=None
        Seeds everything. The same seed gives the same labels on the same machine with
        the same versions and number of threads.
    verbose : int, default=0
        1 logs about ten epochs of each stage through :mod:`logging`, 2 each of them.

    Attributes
    ----------
    n_clusters_ : int
        Number of clusters K, given or estimated.
    labels_ : ndarray of shape (n_samples,)
        Cluster of each training sample, from 0 and without gaps, large clusters first.
    affinity_matrix_ : scipy.sparse.csr_matrix of shape (n_samples, n_samples)
        The graph that was trained on first.
    embedding_ : ndarray of shape (n_samples, n_components)
        Embedding of the training data.
    cluster_centers_ : ndarray of shape (n_clusters, n_components)
        Mean embedding of each cluster; NaN for an empty one.
    hidden_sample_ : ndarray of shape (min(n_samples, 2000), n_hidden)
        Last hidden layer of the encoder for random training samples, with which
        :meth:`score_samples` compares. Wide layers have fewer rows.
    network_ : torch.nn.Module
        The trained network, from scaled samples to logits. :meth:`to_module` returns
        one that scales samples itself.
    history_ : list of dict
        One row per epoch: stage, epoch, every loss term.
        ``pandas.DataFrame(model.history_)`` works.
    n_iter_ : int
        Number of epochs, with `warm_start` of all fits.
    n_features_in_ : int
        Number of features (of values per image) seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if `X` has names that are all strings.

    Notes
    -----
    **Departures from the thesis**, which is not trainable as written. The n x n matrix
    of self-expression has a closed form whose strongest entries are found without it;
    its normalized form has the purest neighbors. Affinities are ``|C| + |C|^T``. A
    random cluster head ends in a poor partition: it is first trained on clusters that
    are found in graphs of neighbors, by a rule that sees no labels. Terms are means, so
    that none drowns the others. A batch holds samples and one neighbor each, in random
    views; the other samples of the batch are the negatives.
    :data:`skdeepclust.LITERAL_GRAPH_PARAMETERS` has the thesis's own reading.

    References
    ----------
    .. [1] R. Xing, "Research on Deep Clustering Algorithm Based on Contrastive
       Learning", master's thesis, Shanxi University of Finance & Economics, 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdeepclust import GraphContrastiveClustering
    >>> X = load_digits(n_class=3).images[:150]
    >>> quick = {"pretrain_epochs": 20, "head_epochs": 50, "joint_epochs": 10}
    >>> model = GraphContrastiveClustering(3, random_state=0, **quick)
    >>> model.fit_predict(X).shape
    (150,)
    """

    affinity_matrix_: sp.csr_matrix

    _head = "graph"
    _parameter_constraints: dict[str, list[Any]] = {
        **BaseDeepClusterer._parameter_constraints,
        "graph": [
            StrOptions(_GRAPHS),
            "sparse matrix",
            HasMethods(["__array__"]),
            HasMethods(["fit_transform"]),
        ],
        "n_neighbors": INTERVAL,
        "self_expression_weight": POSITIVE,
        "graph_update_interval": [*INTERVAL, None],
        "heads": [StrOptions({"both", "instance", "cluster"})],
        "head_epochs": EPOCHS,
        "joint_epochs": EPOCHS,
        "instance_temperature": POSITIVE,
        "cluster_temperature": POSITIVE,
        "joint_learning_rate": WEIGHT,
    }

    def __init__(
        self,
        n_clusters: int | Literal["auto"] = 8,
        *,
        encoder: str | nn.Module = "auto",
        n_components: int | None = None,
        hidden_layer_sizes: Sequence[int] | Literal["auto"] = "auto",
        image_shape: Sequence[int] | None = None,
        augmentation: Augmentation = "auto",
        pretraining: Pretraining = "auto",
        pretrain_epochs: int | Literal["auto"] = "auto",
        pretext_temperature: float = 0.5,
        pretext_weight: float = 1.0,
        graph: str | sp.spmatrix | sp.sparray | ArrayLike | TransformerMixin = "auto",
        n_neighbors: int = 5,
        self_expression_weight: float = 1.0,
        graph_update_interval: int | None = None,
        heads: Literal["both", "instance", "cluster"] = "both",
        head_epochs: int | Literal["auto"] = "auto",
        joint_epochs: int | Literal["auto"] = "auto",
        instance_temperature: float = 0.5,
        cluster_temperature: float = 1.0,
        balance_weight: float = 1.0,
        resolution: float | Literal["auto"] | None = "auto",
        batch_size: int = 128,
        learning_rate: float = 6e-3,
        joint_learning_rate: float = 1e-3,
        n_init: int = 1,
        n_jobs: int | None = None,
        warm_start: bool = False,
        device: str | torch.device = "auto",
        precision: str = "float32",
        checkpoint_dir: str | os.PathLike[str] | None = None,
        memory: str | os.PathLike[str] | joblib.Memory | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.encoder = encoder
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.image_shape = image_shape
        self.augmentation = augmentation
        self.pretraining = pretraining
        self.pretrain_epochs = pretrain_epochs
        self.pretext_temperature = pretext_temperature
        self.pretext_weight = pretext_weight
        self.graph = graph
        self.n_neighbors = n_neighbors
        self.self_expression_weight = self_expression_weight
        self.graph_update_interval = graph_update_interval
        self.heads = heads
        self.head_epochs = head_epochs
        self.joint_epochs = joint_epochs
        self.instance_temperature = instance_temperature
        self.cluster_temperature = cluster_temperature
        self.balance_weight = balance_weight
        self.resolution = resolution
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.joint_learning_rate = joint_learning_rate
        self.n_init = n_init
        self.n_jobs = n_jobs
        self.warm_start = warm_start
        self.device = device
        self.precision = precision
        self.checkpoint_dir = checkpoint_dir
        self.memory = memory
        self.random_state = random_state
        self.verbose = verbose

    def _check_together(self, n_samples: int) -> None:
        super()._check_together(n_samples)
        if self.heads == "instance" and self.head_epochs == 0:
            raise ValueError(
                "heads='instance' with head_epochs=0 leaves the cluster head, which "
                "predicts, untrained: set head_epochs to 1 or more."
            )
        check_neighbors(self.graph, self.n_neighbors, n_samples)

    def _train(
        self, context: Context, training: Training, cache: PretrainingCache | None
    ) -> Tensor | None:
        def head(auto: AutoEpochs) -> HeadParameters:
            n_epochs = context.epochs(self.head_epochs, auto, self.batch_size)
            return HeadParameters(
                n_epochs, self.batch_size, self.learning_rate, LABEL_SMOOTHING
            )

        parameters = Parameters(
            pretraining=self._pretraining_parameters(
                context, _PRETRAIN, self.pretext_temperature
            ),
            graph=GraphParameters(
                self.graph,
                self.n_neighbors,
                self.self_expression_weight,
                self.resolution,
                self.learning_rate,
            ),
            head=head(_HEAD),
            kept_head=head(_KEPT),
            joint=JointParameters(
                n_epochs=context.epochs(self.joint_epochs, _JOINT, self.batch_size),
                batch_size=self.batch_size,
                learning_rate=self.joint_learning_rate,
                heads=self.heads,
                instance_temperature=self.instance_temperature,
                cluster_temperature=self.cluster_temperature,
                balance_weight=self.balance_weight,
                pretext_weight=self.pretext_weight,
                update_interval=self.graph_update_interval,
            ),
            kept_final=head(_KEPT_FINAL),
        )
        return train(parameters, context, training, cache)

    def _keep_results(self, run: Run) -> None:
        start: GraphStart | None = run.results.get(GraphStart.__name__)
        if start is not None:
            self.affinity_matrix_ = start.affinity
