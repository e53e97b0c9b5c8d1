"""SelfPacedContrastiveClustering, algorithm 3.3 of the thesis."""

import os
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from skdeepclust._clusterer import BaseDeepClusterer
from skdeepclust._compat import Interval, StrOptions
from skdeepclust._pretraining import resolve_pretraining
from skdeepclust._run import Train
from skdeepclust._self_paced_stages import SelfPacedStages
from skdeepclust.networks import ClusterHead, ClusterNetwork, build_autoencoder
from skdeepclust.training import Batches, InputSpec
from skdeepclust.views import make_views

_EPOCHS = [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})]
_INTERVAL = [Interval(Integral, 1, None, closed="left")]
_WEIGHT = [Interval(Real, 0, None, closed="left")]
_POSITIVE = [Interval(Real, 0, None, closed="neither")]
_COSINE = [Interval(Real, -1, 1, closed="both")]


class SelfPacedContrastiveClustering(BaseDeepClusterer):
    """Cluster by contrasting first the easy pairs of samples, then the hard ones.

    Algorithm 3.3 of Xing (2023) [1]_. Stage 0 pretrains an encoder. Stage 1 pulls
    the samples, and random views of them, to soft cluster centres. Stage 2 trains
    a head on pairs that are surely alike or surely different; pairs in between
    take no part until the pairs are looked at again, and that is the pace.

    Read more in the :ref:`User Guide <self_paced>`.

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
        Random views. "auto" turns, shifts and scales grey images, and crops, flips
        and recolours others; it masks features of tables and adds noise. A callable
        maps a batch (a tensor) to a batch; it may draw from the global generators,
        which are seeded for it and put back.
    denoising : float, default=0.0
        Share of the input's values that are corrupted when the autoencoder is
        pretrained: a denoising autoencoder.
    pretraining : {"auto", "contrastive", "reconstruction"}, default="auto"
        Stage 0 by NT-Xent between two views (eq. 2.9) or by reconstruction
        (eq. 2.1-2.4). "auto" contrasts, or reconstructs with ``augmentation=None``.
        With "contrastive", embeddings have unit length.
    pretrain_epochs : int or "auto", default="auto"
        Epochs of stage 0; 0 skips it. "auto" stands for 8, and with small data for
        as many as make 300 optimiser steps, with tables 50.
    init : {"neighbors", "kmeans"}, default="neighbors"
        What gives the first centres. "kmeans": of ten starts the one of least inertia.
        "neighbors": clusters that graphs of nearest neighbours show, see the
        :ref:`User Guide <clusters>`; after stages 1 and 2 samples move to the clusters
        of their neighbours. Tables whose graphs are clear keep these clusters.
    training : {"stages", "joint"}, default="stages"
        "joint" trains stages 1 and 2 at once, the outlook of the thesis (5.2).
    assignment : {"gaussian", "student_t"}, default="gaussian"
        Soft assignments of stage 1. "student_t" is eq. 3.3.
    degrees_of_freedom : float, default=1.0
        The alpha of eq. 3.3.
    consistency_weight : float, default=0.7
        The lambda of eq. 3.5, weight of eq. 3.1.
    center_weight : float, default=0.05
        Weight of the centre loss, eq. 3.2, which is divided by the squared width of
        the clusters when stage 1 starts.
    contrastive_weight : float, default=1.0
        Weight of NT-Xent in stages 1 and 2, after contrastive pretraining.
    reconstruction_weight : float, default=1.0
        Weight of the reconstruction in stage 1, after pretraining by reconstruction.
    center_epochs : int or "auto", default="auto"
        Epochs of stage 1, M1; 0 skips it. "auto" stands for 3, and with small data
        for as many as make 100 optimiser steps, with tables 20.
    center_update_interval : int, default=2
        Epochs between two updates of the centres, T1.
    head_epochs : int or "auto", default="auto"
        Epochs that teach the head the assignments of stage 1, and, with
        ``init="neighbors"``, as many that teach it its own after stage 2, once samples
        have moved to the clusters of neighbours; 0 starts stage 2 from a random head.
        "auto" stands for 5, and with small data for as many as make 200 optimiser
        steps; with tables 30, and 120 at the end.
    contrastive_epochs : int or "auto", default="auto"
        Epochs of stage 2, M2; 0 skips it. "auto" stands for 2, and with small data
        for as many as make 75 optimiser steps, with tables 20.
    temperature : float, default=0.5
        The temperature of NT-Xent and of eq. 3.9.
    pair_similarity : {"assignments", "centered_cosine", "cosine"}, \
            default="assignments"
        Similarity of pairs, eq. 3.6: of the head's assignments, or of embeddings,
        their mean subtracted or not.
    positive_threshold : float, default=0.8
        Pairs at least so similar are positives, xi.
    negative_threshold : float, default=0.2
        Pairs at most so similar are negatives, gamma.
    pair_update_interval : int, default=1
        Epochs between two refreshes of the pairs, T2.
    balance_weight : float, default=1.0
        Weight of the divergence of the mean assignment from the sizes of the first
        clusters in stage 2, which keeps clusters from running empty.
    resolution : float or "auto", default="auto"
        What decides the sizes of clusters: the resolution of the modularity by which
        they are sought in graphs of neighbours. 1 pulls them to one size, lower
        numbers leave them as the graphs have them. "auto" believes in one size where
        clusters come out even at 1 or the graphs are unclear, else in what the
        resolutions .5, .35 and .25 agree on.
    batch_size : int, default=256
        About the number of samples of a batch: at most a quarter more.
    learning_rate : float, default=3e-3
        Of stage 0, the peak of a one-cycle schedule.
    center_learning_rate : float, default=3e-4
        Of the encoder in stage 1.
    fine_tune_learning_rate : float, default=1e-5
        Of the encoder in stage 2.
    head_learning_rate : float, default=1e-3
        Of the head.
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
    embedding_ : ndarray of shape (n_samples, n_components)
        Embedding of the training data.
    cluster_centers_ : ndarray of shape (n_clusters, n_components)
        Mean embedding of each cluster; NaN for an empty one.
    network_ : torch.nn.Module
        The trained network, from scaled samples to logits. The scaling that `predict`
        begins with is not in it: :meth:`to_module` returns a module that has it.
    history_ : list of dict
        One row per epoch: stage, epoch, every loss term, shares of positive,
        negative and ambiguous pairs. ``pandas.DataFrame(model.history_)`` works.
    n_iter_ : int
        Number of epochs, with `warm_start` of all fits.
    n_features_in_ : int
        Number of features (of values per image) seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if `X` has names that are all strings.

    Notes
    -----
    The thesis is not trainable as written; these are our readings. Eq. 3.1 is minimised
    as 1 minus the cosine. The t-distribution's assignments are nearly uniform in the
    latent space, so that all centres drift to the mean; Gaussian ones have a width that
    follows the data. NT-Xent, or the reconstruction, stays in the loss of stage 1 and
    keeps the encoder from collapsing. The first centres are the means of clusters that
    nearest neighbours agree with, not those of k-means with the least inertia;
    :ref:`clusters` has the rule. Similarities come from the assignments. The head
    starts from the clusters of stage 1, not at random, which would leave clusters empty
    for good. After stage 2 it is taught its clusters again, samples moved to those of
    their neighbours, but with ``init="kmeans"``.
    :data:`skdeepclust.LITERAL_PARAMETERS` has the thesis's own reading.

    References
    ----------
    .. [1] R. Xing, "Research on Deep Clustering Algorithm Based on Contrastive
       Learning", master's thesis, Shanxi University of Finance & Economics, 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdeepclust import SelfPacedContrastiveClustering
    >>> X = load_digits(n_class=3).images[:150]
    >>> model = SelfPacedContrastiveClustering(
    ...     3,
    ...     pretrain_epochs=20,
    ...     center_epochs=10,
    ...     head_epochs=20,
    ...     contrastive_epochs=10,
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
        "init": [StrOptions({"neighbors", "kmeans"})],
        "training": [StrOptions({"stages", "joint"})],
        "assignment": [StrOptions({"gaussian", "student_t"})],
        "degrees_of_freedom": _POSITIVE,
        "consistency_weight": _WEIGHT,
        "center_weight": _WEIGHT,
        "contrastive_weight": _WEIGHT,
        "reconstruction_weight": _WEIGHT,
        "center_epochs": _EPOCHS,
        "center_update_interval": _INTERVAL,
        "head_epochs": _EPOCHS,
        "contrastive_epochs": _EPOCHS,
        "temperature": _POSITIVE,
        "pair_similarity": [StrOptions({"assignments", "centered_cosine", "cosine"})],
        "positive_threshold": _COSINE,
        "negative_threshold": _COSINE,
        "pair_update_interval": _INTERVAL,
        "balance_weight": _WEIGHT,
        "resolution": [*_WEIGHT, StrOptions({"auto"})],
        "center_learning_rate": _POSITIVE,
        "fine_tune_learning_rate": _WEIGHT,
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
        init: str = "neighbors",
        training: str = "stages",
        assignment: str = "gaussian",
        degrees_of_freedom: float = 1.0,
        consistency_weight: float = 0.7,
        center_weight: float = 0.05,
        contrastive_weight: float = 1.0,
        reconstruction_weight: float = 1.0,
        center_epochs: int | Literal["auto"] = "auto",
        center_update_interval: int = 2,
        head_epochs: int | Literal["auto"] = "auto",
        contrastive_epochs: int | Literal["auto"] = "auto",
        temperature: float = 0.5,
        pair_similarity: str = "assignments",
        positive_threshold: float = 0.8,
        negative_threshold: float = 0.2,
        pair_update_interval: int = 1,
        balance_weight: float = 1.0,
        resolution: float | Literal["auto"] = "auto",
        batch_size: int = 256,
        learning_rate: float = 3e-3,
        center_learning_rate: float = 3e-4,
        fine_tune_learning_rate: float = 1e-5,
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
        self.init = init
        self.training = training
        self.assignment = assignment
        self.degrees_of_freedom = degrees_of_freedom
        self.consistency_weight = consistency_weight
        self.center_weight = center_weight
        self.contrastive_weight = contrastive_weight
        self.reconstruction_weight = reconstruction_weight
        self.center_epochs = center_epochs
        self.center_update_interval = center_update_interval
        self.head_epochs = head_epochs
        self.contrastive_epochs = contrastive_epochs
        self.temperature = temperature
        self.pair_similarity = pair_similarity
        self.positive_threshold = positive_threshold
        self.negative_threshold = negative_threshold
        self.pair_update_interval = pair_update_interval
        self.balance_weight = balance_weight
        self.resolution = resolution
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.center_learning_rate = center_learning_rate
        self.fine_tune_learning_rate = fine_tune_learning_rate
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
        if self.negative_threshold >= self.positive_threshold:
            raise ValueError(
                f"negative_threshold={self.negative_threshold} must be below "
                f"positive_threshold={self.positive_threshold}; pairs between the two "
                "are ambiguous."
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
        head = ClusterHead(autoencoder.n_components, self.n_clusters_)
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
        views = make_views(self.augmentation, batches.spec.shape)
        stages = SelfPacedStages(
            self, network, batches, views, generator, goes_on=self._goes_on()
        )
        train(network, stages, len(batches))
