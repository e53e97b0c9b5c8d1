"""Deep subspace clustering from top to bottom."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from torch import Tensor

from skdeepclust._stages.context import Context, finite_embedding
from skdeepclust._stages.pretraining import (
    PretrainingCache,
    PretrainingParameters,
    pretrain,
    reconstruction_per_value,
)
from skdeepclust._utils.random import draw_seed
from skdeepclust.graph import (
    dense_affinity,
    learned_self_expression,
    self_expression_neighbors,
    symmetric_affinity,
)
from skdeepclust.graph._spectral import spectral_labels
from skdeepclust.graph.self_expression import _expressed
from skdeepclust.training.loop import Training
from skdeepclust.training.stage import Rate, Stage

_NEIGHBORS = 10  # strongest coefficients of each sample


@dataclass(frozen=True)
class ExpressionParameters:
    """Parameters of the self-expression."""

    n_epochs: int
    batch_size: int
    pretrain_learning_rate: float
    learning_rate: float
    coefficients: Literal["closed_form", "learned"]
    norm: Literal["fro2", "l1"]
    weight: float
    n_neighbors: int | None


@dataclass(frozen=True)
class Subspaces:
    """What was found."""

    embedding: NDArray[np.float32]
    affinity: sp.csr_matrix
    labels: NDArray[np.int64]


def train(
    pretraining: PretrainingParameters,
    parameters: ExpressionParameters,
    context: Context,
    training: Training,
    cached: PretrainingCache | None,
) -> None:
    """Train the autoencoder, alone and with the self-expression, then cluster."""
    training.begin(2)
    pretrain(pretraining, context, training, cached)
    expression = training.run(lambda: ExpressionStage(parameters, context))

    def find() -> Subspaces:
        h = context.embed_all()
        embedding = finite_embedding(h, pretraining.learning_rate)
        affinity = context.group.same(expression.affinity(h))
        seed = draw_seed(context.generator)
        labels = spectral_labels(affinity, context.n_clusters, seed=seed)
        return Subspaces(embedding, affinity, context.group.same(labels))

    training.once(Subspaces, find)


class ExpressionStage(Stage):
    """Eq. 2.8: reconstruction and self-expression, C being solved before each epoch."""

    refresh_interval = 1

    def __init__(self, parameters: ExpressionParameters, context: Context) -> None:
        rate = Rate(
            "joint_learning_rate", parameters.learning_rate, context.network.autoencoder
        )
        super().__init__("joint", parameters.n_epochs, parameters.batch_size, [rate])
        self.parameters = parameters
        self.context = context
        self.target: Tensor | None = None
        """C Z, what the other samples make of each one, (n, d)."""

    def refresh(self, epoch: int) -> dict[str, float]:
        """Express the current embedding through itself."""
        parameters, h = self.parameters, self.context.embed_all()
        rate, name = parameters.pretrain_learning_rate, "learning_rate"
        if epoch > 0:
            rate, name = parameters.learning_rate, "joint_learning_rate"
        finite_embedding(h, rate, name)
        if parameters.coefficients == "learned":
            self.target = self._learn(h) @ h
        else:
            self.target = _expressed(h, parameters.weight)
        return {}

    def step(self, index: Tensor) -> dict[str, Tensor]:
        """Return reconstruction and residual of a batch."""
        context, network = self.context, self.context.network
        index = context.group.share(index)
        x = context.batches.take(index)
        h = network.embed(x)
        reconstruction = reconstruction_per_value(x, network.decode(h))
        assert self.target is not None
        residual = (h - self.target[index]).square().mean()
        loss = reconstruction + self.parameters.weight * residual
        return {
            "loss": loss,
            "reconstruction": reconstruction,
            "self_expression": residual,
        }

    def affinity(self, h: Tensor) -> sp.csr_matrix:
        """Return ``|C| + |C|^T`` of the strongest coefficients of h (n, d)."""
        parameters, (n, d) = self.parameters, h.shape
        k = parameters.n_neighbors or min(_NEIGHBORS, n - 1)
        if parameters.coefficients == "learned":
            return dense_affinity(self._learn(h), k)
        indices, weights = self_expression_neighbors(
            h, k, regularization=d / (parameters.weight * n), method="raw"
        )
        return symmetric_affinity(indices, weights, n)

    def _learn(self, h: Tensor) -> Tensor:
        """Return C by gradient descent."""
        parameters = self.parameters
        coefficients: Tensor = learned_self_expression(
            h,
            weight=parameters.weight,
            norm=parameters.norm,
            generator=self.context.generator,
        )
        return coefficients
