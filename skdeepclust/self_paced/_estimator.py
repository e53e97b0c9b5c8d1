"""SelfPacedContrastiveClustering, algorithm 3.3 of the thesis."""

# Signatures in `help` are short: annotations stay as they are written.
from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Real
from typing import Any, Literal

import joblib
import numpy as np
import torch
from torch import Tensor, nn

from skdeepclust._base.clusterer import BaseDeepClusterer
from skdeepclust._base.estimator import EPOCHS, INTERVAL, POSITIVE, WEIGHT
from skdeepclust._stages.centers import CenterParameters
from skdeepclust._stages.context import Context
from skdeepclust._stages.head import LABEL_SMOOTHING, HeadParameters
from skdeepclust._stages.pretraining import Pretraining, PretrainingCache
from skdeepclust._utils.compat import Interval, StrOptions
from skdeepclust.self_paced._stages import PairParameters, Parameters, train
from skdeepclust.training.loop import Training
from skdeepclust.training.stage import AutoEpochs
from skdeepclust.views import Augmentation

# What "auto" stands for.
_PRETRAIN = AutoEpochs(4, images=300, tables=40, few_images=600)
_CENTER = AutoEpochs(2, images=100, tables=15)
_HEAD = AutoEpochs(3, images=200, tables=20)
_CONTRASTIVE = AutoEpochs(1, images=75, tables=15)
_FINAL = AutoEpochs(3, images=200, tables=120)
_STAGE_1, _STAGE_2 = 3e-4, 1e-5  # rates of the encoder
_COSINE = [Interval(Real, -1, 1, closed="both")]


class SelfPacedContrastiveClustering(BaseDeepClusterer):
    """Cluster images, tables or embeddings by contrasting pairs, clear ones first.

    Set `n_clusters`. Then, if needed: lower `resolution` if clusters differ in
    size; choose an `augmentation` that keeps what makes a cluster; raise
    `n_init` for steadier clusters. Begin with the defaults of all others.

    Algorithm 3.3 of Xing (2023) [1]_: an encoder is pretrained. Stage 1 pulls samples
    to soft cluster centers. Stage 2 trains a cluster head by contrasting pairs: similar
    pairs are positives, dissimilar ones negatives. Ambiguous pairs are ignored, and the
    pair sets are recomputed every `pair_update_interval` epochs. That is the
    self-pacing.

    Read more in the :ref:`User Guide <self_paced>`.

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
    batch_size : int, default=128
        About the number of samples of a batch: at most a quarter more. Lower it if
        memory runs out; NT-Xent gains from large batches.
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
        Weight of the pretext loss of stage 0, which stays in the loss of stage 1, and
        NT-Xent in that of stage 2, and keeps the encoder from collapsing. 0 leaves it
        out, as the thesis does.
    degrees_of_freedom : float or None, default=None
        Soft assignments: None for Gaussian ones, a number for the degrees of freedom
        alpha of Student's t-distribution (eq. 3.3).
    consistency_weight : float, default=0.7
        Weight of the view consistency (eq. 3.1) in stage 1, lambda of eq. 3.5. The
        center loss (eq. 3.2) has weight .05.
    center_epochs : int or "auto", default="auto"
        Epochs of stage 1, M1; 0 skips it. "auto" stands for 2, and with small data for
        as many as make 100 optimizer steps, with tables 15.
    center_update_interval : int, default=2
        Epochs of stage 1 between updates of the centers (eq. 3.4), T1.
    head_epochs : int or "auto", default="auto"
        Epochs that train the cluster head on the clusters of stage 1, and as many that
        train it on the final ones; 0 starts from a random head and skips the final
        refinement. "auto" stands for 3, and with small data for as many as make 200
        optimizer steps, with tables 20, and 120 at the end.
    contrastive_epochs : int or "auto", default="auto"
        Epochs of stage 2, M2; 0 skips it. "auto" stands for 1, and with small data for
        as many as make 75 optimizer steps, with tables 15.
    temperature : float, default=0.5
        Temperature tau of the pairs in eq. 3.7. Lower it to weigh the hardest
        negatives more.
    pair_similarity : {"assignments", "centered_cosine", "cosine"}, \
            default="assignments"
        Similarity of pairs, eq. 3.6: of cluster assignments, or the cosine of
        embeddings, with "centered_cosine" as seen from their mean.
    positive_threshold : float, default=0.8
        Similarity from which a pair is positive, xi. Raise it for fewer, surer pairs.
    negative_threshold : float, default=0.2
        Similarity up to which a pair is negative, gamma; below `positive_threshold`.
    pair_update_interval : int, default=1
        Epochs of stage 2 between updates of the pair sets, T2.
    balance_weight : float, default=1.0
        Weight of the divergence of the mean assignment from the sizes of the first
        clusters in stage 2, which keeps clusters from running empty.
    end_to_end : bool, default=False
        Whether stages 1 and 2 are trained at once, on the sum of their losses (outlook
        of the thesis, 5.2), for the larger one of their numbers of epochs.
    Optimization
    learning_rate : float, default=6e-3
        Peak of the one-cycle schedule of stage 0; heads are trained at a third of it.
        Lower it if training stops being finite.
    fine_tune_learning_rate : float or "auto", default="auto"
        Learning rate of the encoder after stage 0. "auto" stands for 3e-4 in stage 1
        and 1e-5 in stage 2. 0 keeps the pretrained encoder.
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
        One row per epoch: stage, epoch, every loss term, shares of positive, negative
        and ambiguous pairs. ``pandas.DataFrame(model.history_)`` works.
    n_iter_ : int
        Number of epochs, with `warm_start` of all fits.
    n_features_in_ : int
        Number of features (of values per image) seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if `X` has names that are all strings.

    Notes
    -----
    **Departures from the thesis**, which is not trainable as written. Eq. 3.1 is
    minimized as 1 minus the cosine. Assignments by the t-distribution are nearly
    uniform in the latent space, so that all centers drift to the mean; Gaussian ones
    have a width that follows the data. The pretext loss stays in stage 1. The first
    clusters are those that nearest neighbors agree with, not those of k-means with the
    least inertia; :ref:`clusters` has the rule. Similarities come from the assignments.
    The head starts from the clusters of stage 1, not at random, which would leave
    clusters empty for good. After stage 2 its clusters are refined by neighbors, and it
    is self-trained on them. :data:`skdeepclust.LITERAL_PARAMETERS` has the thesis's own
    reading.

    References
    ----------
    .. [1] R. Xing, "Research on Deep Clustering Algorithm Based on Contrastive
       Learning", master's thesis, Shanxi University of Finance & Economics, 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdeepclust import SelfPacedContrastiveClustering
    >>> X = load_digits(n_class=3).images[:150]
    >>> quick = {"pretrain_epochs": 20, "center_epochs": 10, "head_epochs": 20}
    >>> model = SelfPacedContrastiveClustering(3, random_state=0, **quick)
    >>> model.fit_predict(X).shape
    (150,)
    """

    _head = "cluster"
    _parameter_constraints: dict[str, list[Any]] = {
        **BaseDeepClusterer._parameter_constraints,
        "degrees_of_freedom": [*POSITIVE, None],
        "consistency_weight": WEIGHT,
        "center_epochs": EPOCHS,
        "center_update_interval": INTERVAL,
        "head_epochs": EPOCHS,
        "contrastive_epochs": EPOCHS,
        "temperature": POSITIVE,
        "pair_similarity": [StrOptions({"assignments", "centered_cosine", "cosine"})],
        "positive_threshold": _COSINE,
        "negative_threshold": _COSINE,
        "pair_update_interval": INTERVAL,
        "end_to_end": ["boolean"],
        "fine_tune_learning_rate": [*WEIGHT, StrOptions({"auto"})],
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
        end_to_end: bool = False,
        degrees_of_freedom: float | None = None,
        consistency_weight: float = 0.7,
        center_epochs: int | Literal["auto"] = "auto",
        center_update_interval: int = 2,
        head_epochs: int | Literal["auto"] = "auto",
        contrastive_epochs: int | Literal["auto"] = "auto",
        temperature: float = 0.5,
        pair_similarity: Literal[
            "assignments", "centered_cosine", "cosine"
        ] = "assignments",
        positive_threshold: float = 0.8,
        negative_threshold: float = 0.2,
        pair_update_interval: int = 1,
        balance_weight: float = 1.0,
        resolution: float | Literal["auto"] | None = "auto",
        batch_size: int = 128,
        learning_rate: float = 6e-3,
        fine_tune_learning_rate: float | Literal["auto"] = "auto",
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
        self.end_to_end = end_to_end
        self.degrees_of_freedom = degrees_of_freedom
        self.consistency_weight = consistency_weight
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
        self.fine_tune_learning_rate = fine_tune_learning_rate
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
        if self.negative_threshold >= self.positive_threshold:
            raise ValueError(
                f"negative_threshold={self.negative_threshold} must be below "
                f"positive_threshold={self.positive_threshold}: lower the first, or "
                "raise the second."
            )

    def _train(
        self, context: Context, training: Training, cache: PretrainingCache | None
    ) -> Tensor | None:
        rate, size = self.fine_tune_learning_rate, self.batch_size
        n_head = context.epochs(self.head_epochs, _HEAD, size)
        n_final = context.epochs(self.head_epochs, _FINAL, size)
        smoothing = 0.0 if self.resolution is None else LABEL_SMOOTHING
        parameters = Parameters(
            pretraining=self._pretraining_parameters(
                context, _PRETRAIN, self.pretext_temperature
            ),
            centers=CenterParameters(
                n_epochs=context.epochs(self.center_epochs, _CENTER, size),
                batch_size=size,
                learning_rate=_STAGE_1 if isinstance(rate, str) else rate,
                update_interval=self.center_update_interval,
                degrees_of_freedom=self.degrees_of_freedom,
                consistency_weight=self.consistency_weight,
                pretext_weight=self.pretext_weight,
                pretext_temperature=self.pretext_temperature,
            ),
            head=HeadParameters(n_head, size, self.learning_rate, smoothing),
            pairs=PairParameters(
                n_epochs=context.epochs(self.contrastive_epochs, _CONTRASTIVE, size),
                batch_size=size,
                learning_rate=_STAGE_2 if isinstance(rate, str) else rate,
                pretrain_learning_rate=self.learning_rate,
                temperature=self.temperature,
                similarity=self.pair_similarity,
                positive_threshold=self.positive_threshold,
                negative_threshold=self.negative_threshold,
                update_interval=self.pair_update_interval,
                balance_weight=self.balance_weight,
                pretext_weight=self.pretext_weight,
                pretext_temperature=self.pretext_temperature,
            ),
            final=HeadParameters(n_final, size, self.learning_rate),
            resolution=self.resolution,
            end_to_end=self.end_to_end,
        )
        return train(parameters, context, training, cache)
