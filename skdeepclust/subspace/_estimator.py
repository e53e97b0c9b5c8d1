"""DeepSubspaceClustering, chapter 2.3 of the thesis."""

# Signatures in `help` are short: annotations stay as they are written.
from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import joblib
import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from skdeepclust._base.estimator import EPOCHS, INTERVAL, POSITIVE, BaseDeepEstimator
from skdeepclust._base.run import Run
from skdeepclust._stages.context import Context
from skdeepclust._stages.pretraining import PretrainingCache
from skdeepclust._utils.compat import StrOptions
from skdeepclust.graph._build import check_learned, check_neighbors
from skdeepclust.subspace._stages import ExpressionParameters, Subspaces, train
from skdeepclust.training.data import Batches
from skdeepclust.training.loop import Training
from skdeepclust.training.stage import AutoEpochs

_PRETRAIN = AutoEpochs(10, images=400, tables=400)
_JOINT = AutoEpochs(5, images=0, tables=0)


class DeepSubspaceClustering(BaseDeepEstimator):
    """Cluster samples of subspaces by expressing each through the others.

    Set `n_clusters`, and raise `n_init` for steadier clusters. Begin with the
    defaults of all others. It is a baseline: the other estimators cluster the
    images of the benchmarks better, and they predict.

    Chapter 2.3 of Xing (2023) [1]_: an autoencoder whose embedding lies on subspaces,
    the coefficients C of the self-expression ``Z = C Z`` with a zero diagonal, and a
    spectral partition of the affinity ``|C| + |C|^T``. It has no `predict`: the
    coefficients belong to the samples that were fitted.

    Read more in the :ref:`User Guide <subspace>`.

    Parameters
    ----------
    Set these first
    n_clusters : int or "auto", default=8
        Number of clusters K. "auto" estimates it from `X`, as
        :func:`~skdeepclust.model_selection.estimate_n_clusters` does; set a number if
        you know it.
    n_neighbors : int, default=None
        Strongest coefficients of each sample that enter the affinity. None takes 10, or
        those of all others of up to 10 samples.
    Data and network
    encoder : {"auto", "mlp", "conv", "resnet18"} or torch.nn.Module, default="auto"
        As for :class:`GraphContrastiveClustering`.
    n_components : int, default=None
        Number of latent dimensions d. None stands for 20, or for the size of the
        output of a module that is trained.
    hidden_layer_sizes : array-like of int, default=(500, 500, 1000)
        Hidden layers of the fully connected encoder; the decoder mirrors them.
    image_shape : tuple of int, default=None
        (channels, height, width) or (height, width) of images that come flattened
        as rows.
    batch_size : int, default=256
        About the number of samples of a batch: at most a quarter more.
    Algorithm
    pretraining : {"reconstruction", "denoising"}, default="reconstruction"
        How the autoencoder is pretrained; with "denoising" from input of which a fifth
        is swapped.
    pretrain_epochs : int or "auto", default="auto"
        Epochs of the autoencoder alone; 0 skips them. "auto" stands for 10, and with
        small data for as many as make 400 optimizer steps.
    joint_epochs : int or "auto", default="auto"
        Epochs of the autoencoder with the self-expression, which is solved anew before
        each; 0 skips them. "auto" stands for 5.
    coefficients : {"closed_form", "learned"}, default="closed_form"
        How C is found: in closed form, from rows of unit length, or by Adam over all
        n x n of them, from rows as they are, for at most 5,000 samples.
    norm : {"fro2", "l1"}, default="fro2"
        Norm of C in eq. 2.8. "l1" needs ``coefficients="learned"``: it has no closed
        form.
    self_expression_weight : float, default=1.0
        Weight of the residual ||Z - C Z||^2 against the norm of C, and in joint
        training against the reconstruction.
    Optimization
    learning_rate : float, default=3e-3
        Peak of the one-cycle schedule of pretraining. Lower it if training stops being
        finite.
    joint_learning_rate : float, default=3e-4
        Learning rate of the joint training.
    Running
    n_init : int, default=1
        Number of runs from different seeds. The one whose clusters agree best with
        those of the others is kept. Raise it for steadier clusters.
    n_jobs : int, default=None
        Runs that are trained at the same time, by joblib. With ``n_init > 1`` each run
        has one thread, so that `n_jobs` does not change results.
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
        Cluster of each sample, from 0 and without gaps.
    affinity_matrix_ : scipy.sparse.csr_matrix of shape (n_samples, n_samples)
        ``|C| + |C|^T`` of the strongest coefficients.
    embedding_ : ndarray of shape (n_samples, n_components)
        Embedding of the data.
    history_ : list of dict
        One row per epoch: stage, epoch, every loss term.
    n_iter_ : int
        Number of epochs.
    n_features_in_ : int
        Number of features (of values per image) seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if `X` has names that are all strings.

    Notes
    -----
    **Departure from the thesis**, which trains C by gradient steps along with the
    autoencoder. From small values it hardly moves in as many steps, so it is solved for
    the current embedding, before each epoch. In the closed form nothing is n x n: the
    residual of a sample needs d x d products only, and its strongest coefficients are
    found in blocks.

    References
    ----------
    .. [1] R. Xing, "Research on Deep Clustering Algorithm Based on Contrastive
       Learning", master's thesis, Shanxi University of Finance & Economics, 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdeepclust import DeepSubspaceClustering
    >>> X = load_digits(n_class=3).images
    >>> model = DeepSubspaceClustering(3, pretrain_epochs=10, random_state=0)
    >>> model.fit_predict(X).shape
    (537,)
    """

    affinity_matrix_: sp.csr_matrix

    _head = "none"
    _parameter_constraints: dict[str, list[Any]] = {
        **BaseDeepEstimator._parameter_constraints,
        "pretraining": [StrOptions({"reconstruction", "denoising"})],
        "coefficients": [StrOptions({"closed_form", "learned"})],
        "norm": [StrOptions({"fro2", "l1"})],
        "self_expression_weight": POSITIVE,
        "n_neighbors": [*INTERVAL, None],
        "joint_epochs": EPOCHS,
        "joint_learning_rate": POSITIVE,
    }

    def __init__(
        self,
        n_clusters: int | Literal["auto"] = 8,
        *,
        encoder: str | nn.Module = "auto",
        n_components: int | None = None,
        hidden_layer_sizes: Sequence[int] | Literal["auto"] = (500, 500, 1000),
        image_shape: Sequence[int] | None = None,
        pretraining: Literal["reconstruction", "denoising"] = "reconstruction",
        coefficients: Literal["closed_form", "learned"] = "closed_form",
        norm: Literal["fro2", "l1"] = "fro2",
        self_expression_weight: float = 1.0,
        n_neighbors: int | None = None,
        pretrain_epochs: int | Literal["auto"] = "auto",
        joint_epochs: int | Literal["auto"] = "auto",
        batch_size: int = 256,
        learning_rate: float = 3e-3,
        joint_learning_rate: float = 3e-4,
        n_init: int = 1,
        n_jobs: int | None = None,
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
        self.pretraining = pretraining
        self.coefficients = coefficients
        self.norm = norm
        self.self_expression_weight = self_expression_weight
        self.n_neighbors = n_neighbors
        self.pretrain_epochs = pretrain_epochs
        self.joint_epochs = joint_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.joint_learning_rate = joint_learning_rate
        self.n_init = n_init
        self.n_jobs = n_jobs
        self.device = device
        self.precision = precision
        self.checkpoint_dir = checkpoint_dir
        self.memory = memory
        self.random_state = random_state
        self.verbose = verbose

    def _check_together(self, n_samples: int) -> None:
        if self.norm != "fro2" and self.coefficients == "closed_form":
            raise ValueError(
                f"norm={self.norm!r} has no closed form: use coefficients='learned', "
                "or norm='fro2'."
            )
        if self.n_neighbors is not None:
            check_neighbors("self_expression", self.n_neighbors, n_samples)
        if self.coefficients == "learned":
            check_learned(
                "coefficients='learned'", "coefficients='closed_form'", n_samples
            )

    def _train(
        self, context: Context, training: Training, cache: PretrainingCache | None
    ) -> Tensor | None:
        parameters = ExpressionParameters(
            n_epochs=context.epochs(self.joint_epochs, _JOINT, self.batch_size),
            batch_size=self.batch_size,
            pretrain_learning_rate=self.learning_rate,
            learning_rate=self.joint_learning_rate,
            coefficients=self.coefficients,
            norm=self.norm,
            weight=self.self_expression_weight,
            n_neighbors=self.n_neighbors,
        )
        pretraining = self._pretraining_parameters(context, _PRETRAIN)
        train(pretraining, parameters, context, training, cache)
        return None

    def _keep(self, runs: list[Run], batches: Batches, dtype: np.dtype[Any]) -> None:
        found = [run.results[Subspaces.__name__] for run in runs]
        best = self._most_agreed([each.labels for each in found], batches, runs)
        self.affinity_matrix_ = found[best].affinity
        self.embedding_ = found[best].embedding.astype(dtype, copy=False)
        self.history_ = runs[best].history
        self.n_iter_ = len(runs[best].history)
        self.labels_ = found[best].labels
