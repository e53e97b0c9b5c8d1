"""What every stage is given: a network, the data, and the source of randomness."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skdeepclust.networks import ClusterNetwork
from skdeepclust.training.data import Batches
from skdeepclust.training.distributed import Group
from skdeepclust.training.stage import AutoEpochs
from skdeepclust.views import Views

Embedded = Callable[[], Tensor]
"""Returns the embedding of all samples, which is computed when it is first needed."""


@dataclass(frozen=True)
class Context:
    """What every stage is given."""

    network: ClusterNetwork
    batches: Batches
    views: Views | None
    generator: torch.Generator
    n_clusters: int
    rows: NDArray[np.generic]
    """The validated samples as `fit` got them, (n, ...)."""
    pretrained: bool = False
    """Whether the network comes from an earlier fit, by `warm_start`."""

    @property
    def group(self) -> Group:
        """The processes that train together."""
        return self.batches.group

    def view(self, x: Tensor) -> Tensor:
        """Return a random view of a batch, or the batch itself without views."""
        return x if self.views is None else self.views(x, self.generator)

    def embed(self, x: Tensor) -> Tensor:
        """Return the embedding of a batch as after training."""
        self.network.eval()
        return self.network.embed(x)

    def embed_all(self) -> Tensor:
        """Return the embedding of all samples, (n, d)."""
        return self.batches.map(self.embed)

    def assign(self, h: Tensor) -> Tensor:
        """Return the cluster logits (n, K) of samples that are embedded at h (n, d)."""
        self.network.eval()
        return self.batches.map(self.network.assign, h)

    def logits_of_all(self) -> Tensor:
        """Return the cluster logits of all samples, (n, K)."""
        self.network.eval()
        return self.batches.map(self.network)

    def epochs(
        self, given: int | Literal["auto"], auto: AutoEpochs, batch_size: int
    ) -> int:
        """Return a number of epochs: what is given, or what "auto" stands for."""
        return auto.resolve(given, self.batches, batch_size)


def finite_embedding(
    h: Tensor, learning_rate: float, name: str = "learning_rate"
) -> NDArray[np.float32]:
    """Return an embedding as an array, or raise unless all values are finite.

    The message asks to lower `learning_rate`, the parameter called `name`.
    """
    embedding: NDArray[np.float32] = h.cpu().numpy()
    if not np.isfinite(embedding).all():
        raise ValueError(
            "The trained network maps X to values that are not finite: lower "
            f"{name}={learning_rate}, scale X, or look for NaN in an encoder of your "
            "own."
        )
    return embedding
