"""DeepSubspaceClustering, chapter 2.3 of the thesis."""

import os
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from skdeepclust import losses
from skdeepclust._base import BaseDeepEstimator
from skdeepclust._compat import Interval, StrOptions
from skdeepclust._pretraining import pretraining_stage
from skdeepclust._run import Run, Train, check_finite
from skdeepclust._spectral import spectral_labels
from skdeepclust._warm_start import check_dense, check_graph
from skdeepclust.graph import (
    dense_affinity,
    learned_self_expression,
    self_expression_neighbors,
    symmetric_affinity,
)
from skdeepclust.graph.self_expression import _expressed
from skdeepclust.networks import ClusterHead, ClusterNetwork, build_autoencoder
from skdeepclust.training import AutoEpochs, Batches, InputSpec, Stage, Task, draw_seed

_EPOCHS = [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})]
_PRETRAIN = AutoEpochs(10, images=400, tables=400)
_JOINT = AutoEpochs(5, images=0, tables=0)
_POSITIVE = [Interval(Real, 0, None, closed="neither")]


class DeepSubspaceClustering(BaseDeepEstimator):
    """Cluster by expressing each sample through the others.

    Chapter 2.3 of Xing (2023) [1]_: an autoencoder whose embedding lies on subspaces,
    the coefficients C of the self-expression ``Z = C Z`` with a zero diagonal, and a
    spectral cut of the affinity ``|C| + |C|^T``. It has no `predict`: the coefficients
    belong to the samples that were fitted.

    Read more in the :ref:`User Guide <subspace>`.

    Parameters
    ----------
    n_clusters : int or "auto", default=8
        Number of clusters K. "auto" estimates it from `X`, as
        :func:`~skdeepclust.model_selection.estimate_n_clusters` does.
    encoder : {"auto", "mlp", "conv", "resnet18"} or torch.nn.Module, default="auto"
        As for :class:`GraphContrastiveClustering`.
    encoder_trainable : bool, default=True
        As for :class:`GraphContrastiveClustering`.
    n_components : int, default=None
        Number of latent dimensions d. None stands for 20, or for the size of the
        output of a module that is trained.
    hidden_layer_sizes : array-like of int, default=(500, 500, 1000)
        Hidden layers of the fully connected encoder; the decoder mirrors them.
    image_shape : tuple of int, default=None
        (channels, height, width) or (height, width) of images that come flattened
        as rows.
    denoising : float, default=0.0
        Share of the input's values that are corrupted in pretraining.
    coefficients : {"closed_form", "learned"}, default="closed_form"
        How C is found: in closed form, or by Adam over all n x n of them, for at most
        5,000 samples.
    norm : {"fro2", "l1"}, default="fro2"
        Norm of C in eq. 2.8, for ``coefficients="learned"``. The closed form is that
        of the squared Frobenius norm.
    self_expression_weight : float, default=1.0
        Weight of the residual ||Z - C Z||^2 against the norm of C, and in joint
        training against the reconstruction.
    n_neighbors : int, default=None
        Strongest coefficients of each sample that enter the affinity. None takes 10, or
        those of all others of up to 10 samples.
    pretrain_epochs : int or "auto", default="auto"
        Epochs of the autoencoder alone; 0 skips them. "auto" stands for 10, and with
        small data for as many as make 400 optimiser steps.
    joint_epochs : int or "auto", default="auto"
        Epochs of the autoencoder with the self-expression, which is solved anew before
        each; 0 skips them. "auto" stands for 5.
    batch_size : int, default=256
        Least number of samples of a batch.
    learning_rate : float, default=3e-3
        Of pretraining, the peak of a one-cycle schedule.
    joint_learning_rate : float, default=3e-4
        Of the joint training.
    n_init : int, default=1
        Number of runs from different seeds. The one whose clusters agree best with
        those of the others is kept.
    n_jobs : int, default=None
        Runs that are trained at the same time, by joblib. With ``n_init > 1`` each
        run has one thread, whatever `n_jobs` is, so that it does not change the labels.
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
        Seeds everything.
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
    The thesis trains C by gradient steps along with the autoencoder. From small values
    it hardly moves in as many steps, so it is solved for the embedding as it is, before
    each epoch. In the closed form nothing is n x n: the residual of a sample needs
    d x d products only, and its strongest coefficients are found in blocks.

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

    _parameter_constraints: dict[str, list[Any]] = {
        **{
            name: BaseDeepEstimator._parameter_constraints[name]
            for name in (
                "n_clusters",
                "encoder",
                "encoder_trainable",
                "n_components",
                "hidden_layer_sizes",
                "image_shape",
                "batch_size",
                "learning_rate",
                "n_init",
                "n_jobs",
                "device",
                "precision",
                "compile",
                "checkpoint_dir",
                "random_state",
                "verbose",
            )
        },
        "denoising": [Interval(Real, 0, 1, closed="left")],
        "coefficients": [StrOptions({"closed_form", "learned"})],
        "norm": [StrOptions({"fro2", "l1"})],
        "self_expression_weight": _POSITIVE,
        "n_neighbors": [Interval(Integral, 1, None, closed="left"), None],
        "pretrain_epochs": _EPOCHS,
        "joint_epochs": _EPOCHS,
        "joint_learning_rate": _POSITIVE,
    }

    def __init__(
        self,
        n_clusters: int | Literal["auto"] = 8,
        *,
        encoder: str | nn.Module = "auto",
        encoder_trainable: bool = True,
        n_components: int | None = None,
        hidden_layer_sizes: Sequence[int] = (500, 500, 1000),
        image_shape: Sequence[int] | None = None,
        denoising: float = 0.0,
        coefficients: str = "closed_form",
        norm: str = "fro2",
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
        self.denoising = denoising
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
        self.compile = compile
        self.checkpoint_dir = checkpoint_dir
        self.random_state = random_state
        self.verbose = verbose

    def _check_together(self) -> None:
        if self.norm != "fro2" and self.coefficients == "closed_form":
            raise ValueError(
                f"norm={self.norm!r} has no closed form: use coefficients='learned', "
                "or norm='fro2'."
            )

    def _build_network(self, spec: InputSpec) -> ClusterNetwork:
        autoencoder = build_autoencoder(
            self.encoder,
            spec.shape,
            self.n_components,
            self.hidden_layer_sizes,
            encoder_trainable=self.encoder_trainable,
            n_outputs=self._n_outputs,
        )
        # The head is not used: the spectral cut gives the clusters.
        head = ClusterHead(autoencoder.n_components, self.n_clusters_, ())
        return ClusterNetwork(autoencoder, head, False, self.precision)

    def _train(
        self,
        network: ClusterNetwork,
        batches: Batches,
        generator: torch.Generator,
        train: Train,
        fitted: dict[str, Any],
    ) -> None:
        if self.n_neighbors is not None:
            check_graph("self_expression", self.n_neighbors, len(batches))
        if self.coefficients == "learned":
            check_dense(
                "coefficients='learned'", "coefficients='closed_form'", len(batches)
            )
        stages = _SubspaceStages(self, network, batches, generator)
        train(network, stages, len(batches))
        h = batches.map(stages.embed)
        embedding = h.cpu().numpy()
        check_finite(embedding, self.learning_rate)
        affinity = batches.group.same(stages.affinity(h))
        labels = spectral_labels(affinity, self.n_clusters_, seed=draw_seed(generator))
        fitted["affinity_matrix_"] = affinity
        fitted["embedding_"] = embedding
        fitted["labels_"] = batches.group.same(labels)

    def _keep(
        self, runs: list[Run], batches: Batches, dtype: np.dtype, task: Task
    ) -> None:
        partitions = [run.fitted["labels_"] for run in runs]
        best = self._most_agreed(partitions, batches, runs)
        run, labels = runs[best], partitions[best]
        self.affinity_matrix_: csr_matrix = run.fitted["affinity_matrix_"]
        self.embedding_ = run.fitted["embedding_"].astype(dtype, copy=False)
        self.history_ = run.history
        self.n_iter_ = len(run.history)
        self.labels_ = labels


class _SubspaceStages:
    """The autoencoder alone, then with the self-expression."""

    def __init__(
        self,
        estimator: DeepSubspaceClustering,
        network: ClusterNetwork,
        batches: Batches,
        generator: torch.Generator,
    ) -> None:
        self.params = estimator
        self.network = network
        self.batches = batches
        self.generator = generator

    def __iter__(self) -> Iterator[Callable[[], Stage]]:
        yield lambda: pretraining_stage(
            self.params,
            self.network,
            self.batches,
            None,
            self.generator,
            n_epochs=self._epochs("pretrain_epochs", _PRETRAIN),
        )
        yield self.joint

    def joint(self) -> Stage:
        """Eq. 2.8, C being solved before each epoch."""
        return Stage(
            "joint",
            self._epochs("joint_epochs", _JOINT),
            [
                {
                    "params": self.network.autoencoder.parameters(),
                    "lr": self.params.joint_learning_rate,
                    "name": "joint_learning_rate",
                }
            ],
            self.terms,
            self.params.batch_size,
            refresh=self.solve,
        )

    def _epochs(self, name: str, rule: AutoEpochs) -> int:
        params = self.params
        return rule.resolve(getattr(params, name), self.batches, params.batch_size)

    def solve(self, epoch: int) -> dict[str, float]:
        """Express the embedding, as it is, through itself."""
        h = self.batches.map(self.embed)
        name = "joint_learning_rate" if epoch > 0 else "learning_rate"
        check_finite(h.cpu().numpy(), getattr(self.params, name), name)
        self.target = self.expressed(h)
        return {}

    def expressed(self, h: Tensor) -> Tensor:
        """Return C Z: what the other samples make of each one."""
        weight = self.params.self_expression_weight
        if self.params.coefficients == "learned":
            return self.learn(h) @ h
        return _expressed(h, weight)

    def terms(self, index: Tensor) -> dict[str, Tensor]:
        """Reconstruction and residual of a batch."""
        index = self.batches.group.share(index)
        x = self.batches.take(index)
        h = self.network.embed(x)
        x_hat = self.network.decode(h)
        reconstruction = losses.reconstruction(x, x_hat) / x[0].numel()
        residual = (h - self.target[index]).square().mean()
        loss = reconstruction + self.params.self_expression_weight * residual
        return {
            "loss": loss,
            "reconstruction": reconstruction,
            "self_expression": residual,
        }

    def affinity(self, h: Tensor) -> csr_matrix:
        """``|C| + |C|^T`` of the strongest coefficients."""
        k = self.params.n_neighbors or min(10, len(h) - 1)
        if self.params.coefficients == "learned":
            return dense_affinity(self.learn(h), k)
        n, d = h.shape
        ridge = d / (self.params.self_expression_weight * n)
        indices, weights = self_expression_neighbors(
            h, k, regularization=ridge, method="raw"
        )
        return symmetric_affinity(indices, weights, len(h))

    def learn(self, h: Tensor) -> Tensor:
        """Return C by gradient descent."""
        return learned_self_expression(
            h,
            weight=self.params.self_expression_weight,
            norm="l1" if self.params.norm == "l1" else "fro2",
            generator=self.generator,
        )

    def embed(self, x: Tensor) -> Tensor:
        """Embed a batch as after training."""
        self.network.eval()
        return self.network.embed(x)
