"""GraphContrastiveClustering, algorithm 4.3 of the thesis."""

import os
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from skdeepclust._clusterer import BaseDeepClusterer
from skdeepclust._compat import Interval, StrOptions
from skdeepclust._graph_stages import GraphStages
from skdeepclust._pretraining import resolve_pretraining
from skdeepclust._run import Train
from skdeepclust._warm_start import check_graph
from skdeepclust.networks import ClusterNetwork, GraphHead, build_autoencoder
from skdeepclust.training import Batches, InputSpec
from skdeepclust.views import make_views

_EPOCHS = [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})]
_INTERVAL = [Interval(Integral, 1, None, closed="left")]
_WEIGHT = [Interval(Real, 0, None, closed="left")]
_POSITIVE = [Interval(Real, 0, None, closed="neither")]


class GraphContrastiveClustering(BaseDeepClusterer):
    """Cluster by contrasting samples, and clusters, along a graph of neighbours.

    Algorithm 4.3 of Xing (2023) [1]_. An encoder is pretrained. A sparse graph of its
    embedding, by self-expression, gives each sample its neighbours and, cut by its
    spectrum, first clusters. Then an instance head and a cluster head are trained
    together: neighbours are to be close, and to be in the same cluster.

    Read more in the :ref:`User Guide <graph_contrastive>`.

    Parameters
    ----------
    n_clusters : int or "auto", default=8
        Number of clusters K. "auto" estimates it from `X`, as
        :func:`~skdeepclust.model_selection.estimate_n_clusters` does.
    encoder : {"auto", "mlp", "conv", "resnet18"} or torch.nn.Module, default="auto"
        - "mlp": fully connected, with `hidden_layer_sizes`.
        - "conv": convolutional, for images of at least 8 x 8.
        - "resnet18": a ResNet-18, for the same images and any number of channels.
        - "auto": "conv" for images of at least 8 x 8, else "mlp".
        - a module: a deep copy of it is trained. When its output size differs from
          `n_components`, a linear layer follows.
    encoder_trainable : bool, default=True
        False keeps a module that has learnt before as it is: in evaluation mode,
        without gradients. Layers of `hidden_layer_sizes` follow it and are trained.
    n_components : int, default=None
        Number of latent dimensions d. None stands for 20, or for the size of the
        output of a module that is trained.
    hidden_layer_sizes : array-like of int or "auto", default="auto"
        Hidden layers of the fully connected encoder; the decoder mirrors them. "auto"
        stands for (256, 256), or (500, 500, 1000) with more than 500 columns.
    image_shape : tuple of int, default=None
        (channels, height, width) or (height, width) of images that come flattened
        as rows, for instance in a pipeline.
    augmentation : "auto", callable or None, default="auto"
        Random views, in pretraining and of each sample and neighbour in joint
        training. "auto" turns, shifts and scales grey images, and crops, flips and
        recolours others; it masks features of tables and adds noise. A callable maps
        a batch (a tensor) to a batch; it may draw from the global generators, which
        are seeded for it and put back.
    denoising : float, default=0.0
        Share of the input's values that are corrupted when the autoencoder is
        pretrained: a denoising autoencoder.
    pretraining : {"auto", "contrastive", "reconstruction"}, default="auto"
        Stage 0 by NT-Xent between two views (eq. 2.9) or by reconstruction
        (eq. 2.1-2.4). "auto" contrasts, or reconstructs with ``augmentation=None``.
        With "contrastive", embeddings have unit length.
    pretrain_epochs : int or "auto", default="auto"
        Epochs of stage 0; 0 skips it. "auto" stands for 10, and with small data for
        as many as make 400 optimiser steps, with tables 50.
    temperature : float, default=0.5
        The temperature of NT-Xent.
    reconstruction_weight : float, default=1.0
        Weight of the reconstruction, eq. 4.1, after pretraining by reconstruction.
    graph : {"auto", "self_expression", "candidates", "exact", "knn", "input"} or \
            sparse matrix of shape (n_samples, n_samples), default="auto"
        - "self_expression": the normalised closed form of eq. 4.2.
        - "candidates": each sample expressed by its nearest ones.
        - "exact": the thesis's dense matrix, learned; at most 5,000 samples.
        - "knn": nearest neighbours by cosine.
        - "input": nearest neighbours of the samples themselves, of images by cosine, of
          tables by cosine and by distance.
        - "auto": "input" for tables, and for images whose input can be cut much better
          than their embedding; else "self_expression".
        - a matrix: affinities of the samples that `fit` gets, not negative. It is made
          symmetric.
    n_neighbors : int, default=5
        Neighbours of each sample, k; at most as many as there are other samples.
    input_neighbors : bool, default=True
        Whether the input's graph takes part beside the embedding's, in choosing the
        first clusters and, where these come from both, in the graph that is trained
        on. With False, "auto" stands for "self_expression".
    self_expression_weight : float, default=1.0
        The lambda of eq. 4.2, for ``graph="exact"``.
    graph_update_interval : int, default=None
        Epochs of joint training after which the graph is built again: that of the
        embedding alone, unless it is the input's. None keeps it.
    init : {"spectral", "kmeans", "random"}, default="spectral"
        What gives the clusters that the cluster head starts from. "spectral" is the
        rule of the :ref:`User Guide <clusters>`; tables whose graphs are clear keep
        these clusters.
    level : {"both", "instance", "cluster"}, default="both"
        Heads that are trained. With "instance", k-means in the embedding gives the
        clusters.
    head_epochs : int or "auto", default="auto"
        Epochs that teach the cluster head the first clusters, and as many that teach
        it the final ones; 0 starts from a random head and ends with it as trained.
        "auto" stands for 5, and with small data for as many as make 1000 optimiser
        steps; with tables 30, and 120 at the end, or 400 both times if their graphs
        are unclear.
    joint_epochs : int or "auto", default="auto"
        Epochs of joint training; 0 skips it. "auto" stands for 5, and with small data
        for as many as make 400 optimiser steps, with tables 40.
    instance_temperature : float, default=0.5
        The temperature of eq. 4.6.
    cluster_temperature : float, default=1.0
        The temperature of eq. 4.7.
    balance_weight : float, default=1.0
        Weight of the divergence of the mean assignment from the sizes of the first
        clusters in joint training, which keeps clusters from running empty.
    resolution : float or "auto", default="auto"
        What decides the sizes of clusters: the resolution of the modularity by which
        they are sought in graphs of neighbours. 1 pulls them to one size, lower
        numbers leave them as the graphs have them. "auto" believes in one size where
        clusters come out even at 1 or the graphs are unclear, else in what the
        resolutions .5, .35 and .25 agree on.
    consensus : bool, default=True
        Whether the final clusters are found by head, embedding and graph together, and
        those of clear tables kept, instead of those of the cluster head alone. It
        takes ``level="both"``, and `head_epochs`, in which the head is taught them.
    batch_size : int, default=256
        About the number of samples of a batch: at most a quarter more. In joint
        training half of them are the other half's neighbours.
    learning_rate : float, default=3e-3
        Of stage 0, the peak of a one-cycle schedule.
    joint_learning_rate : float, default=1e-3
        Of the encoder in joint training.
    head_learning_rate : float, default=1e-3
        Of the heads.
    early_stopping : bool, default=False
        Whether a stage ends when its mean loss of an epoch has not gone down by more
        than `tol` below the best so far for `n_iter_no_change` epochs in a row, even
        before its least number of steps. No labels are needed. Stages whose learning
        rate anneals over their planned length, stage 0 and the last one of tables,
        always have all their epochs.
    n_iter_no_change : int, default=5
        Epochs in a row without a lower loss after which `early_stopping` ends a stage.
    tol : float, default=1e-4
        What the loss must go down by, to count as lower.
    n_init : int, default=1
        Number of runs from different seeds. The one whose clusters agree best with
        those of the others is kept.
    n_jobs : int, default=None
        Runs that are trained at the same time, by joblib. With ``n_init > 1`` each
        run has one thread, whatever `n_jobs` is, so that it does not change the labels.
    warm_start : bool, default=False
        Whether `fit` on a fitted estimator goes on with its weights, see the
        :ref:`User Guide <warm_start>`. It needs ``n_init=1``, and data with the same
        features.
    device : str or torch.device, default="auto"
        "auto" takes an accelerator if there is one.
    precision : {"float32", "bfloat16"}, default="float32"
        What the networks compute in, in training and prediction. Losses, graphs,
        weights and results are float32 in both; see the :ref:`User Guide <scaling>`.
    compile : bool, default=False
        Whether the encoder is compiled for training, by :func:`torch.compile`, which
        needs a C++ compiler. The network that is kept is the one that is not compiled.
    checkpoint_dir : str or path-like, default=None
        A folder to which training is written, so that the same call of `fit` goes on
        after an interruption; see the :ref:`User Guide <checkpoints>`. Each fit has a
        folder of its own in it.
    random_state : int, RandomState instance or None, default=None
        Seeds everything. The same seed gives the same labels on the same machine
        with the same versions and number of threads.
    verbose : int, default=0
        1 logs about ten epochs of each stage through :mod:`logging`, 2 each of them.

    Attributes
    ----------
    n_clusters_ : int
        Number of clusters K, given or estimated.
    labels_ : ndarray of shape (n_samples,)
        Cluster of each training sample, from 0 and without gaps, large clusters
        first.
    affinity_matrix_ : scipy.sparse.csr_matrix of shape (n_samples, n_samples)
        The graph that was trained on first.
    embedding_ : ndarray of shape (n_samples, n_components)
        Embedding of the training data.
    cluster_centers_ : ndarray of shape (n_clusters, n_components)
        Mean embedding of each cluster; NaN for an empty one.
    network_ : torch.nn.Module
        The trained network, from scaled samples to logits. The scaling that `predict`
        begins with is not in it: :meth:`to_module` returns a module that has it.
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
    The thesis is not trainable as written; these are our readings. The n x n matrix of
    self-expression has a closed form whose strongest entries are found without it; its
    normalised form has the purest neighbours. Affinities are ``|C| + |C|^T``. A random
    cluster head ends in a poor partition: it is first trained on clusters that are
    found in graphs of neighbours, by a rule that sees no labels. Terms are means, so
    that none drowns the others. A batch holds samples and one neighbour each, in random
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
    >>> model = GraphContrastiveClustering(
    ...     3,
    ...     pretrain_epochs=20,
    ...     head_epochs=50,
    ...     joint_epochs=10,
    ...     random_state=0,
    ... )
    >>> model.fit_predict(X).shape
    (150,)
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseDeepClusterer._parameter_constraints,
        "denoising": [Interval(Real, 0, 1, closed="left")],
        "pretraining": [StrOptions({"auto", "contrastive", "reconstruction"})],
        "pretrain_epochs": _EPOCHS,
        "temperature": _POSITIVE,
        "reconstruction_weight": _WEIGHT,
        "graph": [
            StrOptions(
                {"auto", "self_expression", "candidates", "exact", "knn", "input"}
            ),
            "sparse matrix",
        ],
        "n_neighbors": _INTERVAL,
        "input_neighbors": ["boolean"],
        "self_expression_weight": _POSITIVE,
        "graph_update_interval": [*_INTERVAL, None],
        "init": [StrOptions({"spectral", "kmeans", "random"})],
        "level": [StrOptions({"both", "instance", "cluster"})],
        "head_epochs": _EPOCHS,
        "joint_epochs": _EPOCHS,
        "instance_temperature": _POSITIVE,
        "cluster_temperature": _POSITIVE,
        "balance_weight": _WEIGHT,
        "resolution": [*_WEIGHT, StrOptions({"auto"})],
        "consensus": ["boolean"],
        "joint_learning_rate": _WEIGHT,
    }

    def __init__(
        self,
        n_clusters: int | Literal["auto"] = 8,
        *,
        encoder: str | nn.Module = "auto",
        encoder_trainable: bool = True,
        n_components: int | None = None,
        hidden_layer_sizes: Sequence[int] | Literal["auto"] = "auto",
        image_shape: Sequence[int] | None = None,
        augmentation: str | Callable[[Tensor], Tensor] | None = "auto",
        denoising: float = 0.0,
        pretraining: str = "auto",
        pretrain_epochs: int | Literal["auto"] = "auto",
        temperature: float = 0.5,
        reconstruction_weight: float = 1.0,
        graph: Any = "auto",
        n_neighbors: int = 5,
        input_neighbors: bool = True,
        self_expression_weight: float = 1.0,
        graph_update_interval: int | None = None,
        init: str = "spectral",
        level: str = "both",
        head_epochs: int | Literal["auto"] = "auto",
        joint_epochs: int | Literal["auto"] = "auto",
        instance_temperature: float = 0.5,
        cluster_temperature: float = 1.0,
        balance_weight: float = 1.0,
        resolution: float | Literal["auto"] = "auto",
        consensus: bool = True,
        batch_size: int = 256,
        learning_rate: float = 3e-3,
        joint_learning_rate: float = 1e-3,
        head_learning_rate: float = 1e-3,
        early_stopping: bool = False,
        n_iter_no_change: int = 5,
        tol: float = 1e-4,
        n_init: int = 1,
        n_jobs: int | None = None,
        warm_start: bool = False,
        device: str | torch.device = "auto",
        precision: str = "float32",
        compile: bool = False,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.encoder = encoder
        self.encoder_trainable = encoder_trainable
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.image_shape = image_shape
        self.augmentation = augmentation
        self.denoising = denoising
        self.pretraining = pretraining
        self.pretrain_epochs = pretrain_epochs
        self.temperature = temperature
        self.reconstruction_weight = reconstruction_weight
        self.graph = graph
        self.n_neighbors = n_neighbors
        self.input_neighbors = input_neighbors
        self.self_expression_weight = self_expression_weight
        self.graph_update_interval = graph_update_interval
        self.init = init
        self.level = level
        self.head_epochs = head_epochs
        self.joint_epochs = joint_epochs
        self.instance_temperature = instance_temperature
        self.cluster_temperature = cluster_temperature
        self.balance_weight = balance_weight
        self.resolution = resolution
        self.consensus = consensus
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.joint_learning_rate = joint_learning_rate
        self.head_learning_rate = head_learning_rate
        self.early_stopping = early_stopping
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.n_init = n_init
        self.n_jobs = n_jobs
        self.warm_start = warm_start
        self.device = device
        self.precision = precision
        self.compile = compile
        self.checkpoint_dir = checkpoint_dir
        self.random_state = random_state
        self.verbose = verbose

    def _check_together(self) -> None:
        super()._check_together()
        if self.level == "instance" and self.head_epochs == 0:
            raise ValueError(
                "level='instance' with head_epochs=0 leaves the cluster head, which "
                "predicts, untrained: set head_epochs to 1 or more."
            )

    def _build_network(self, spec: InputSpec) -> ClusterNetwork:
        pretraining = resolve_pretraining(
            self.pretraining, self.augmentation is not None
        )
        autoencoder = build_autoencoder(
            self.encoder,
            spec.shape,
            self.n_components,
            self.hidden_layer_sizes,
            encoder_trainable=self.encoder_trainable,
            n_outputs=self._n_outputs,
        )
        head = GraphHead(autoencoder.n_components, self.n_clusters_)
        unit_norm = pretraining == "contrastive"
        return ClusterNetwork(autoencoder, head, unit_norm, self.precision)

    def _train(
        self,
        network: ClusterNetwork,
        batches: Batches,
        generator: torch.Generator,
        train: Train,
        fitted: dict[str, Any],
    ) -> None:
        # Before the first epoch, not after the last one of pretraining.
        check_graph(self.graph, self.n_neighbors, len(batches))
        views = make_views(self.augmentation, batches.spec.shape)
        stages = GraphStages(
            self, network, batches, views, generator, fitted, goes_on=self._goes_on()
        )
        train(network, stages, len(batches))
