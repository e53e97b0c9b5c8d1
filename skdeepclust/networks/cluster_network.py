"""An autoencoder with a cluster head: what every estimator trains."""

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.functional import normalize

from .autoencoder import Autoencoder
from .heads import ClusterHead, GraphHead


class ClusterNetwork(nn.Module):
    """From samples to an embedding and to cluster logits.

    Parameters
    ----------
    autoencoder : Autoencoder
        Its encoder gives the embedding.
    head : ClusterHead or GraphHead
        Maps the embedding to one logit per cluster.
    unit_norm : bool
        Whether the embedding is scaled to unit length, as contrastive
        training with cosine similarities wants it.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        head: ClusterHead | GraphHead,
        unit_norm: bool,
    ) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.head = head
        self.unit_norm = unit_norm

    def embed(self, x: Tensor) -> Tensor:
        """Return the embedding of a batch.

        Parameters
        ----------
        x : Tensor of shape (n_samples, *input_shape)
            The batch.

        Returns
        -------
        Tensor of shape (n_samples, n_components)
            Of unit length with `unit_norm`.
        """
        h: Tensor = self.autoencoder.encoder(x)
        return normalize(h, dim=1) if self.unit_norm else h

    def forward(self, x: Tensor) -> Tensor:
        """Return the cluster logits of a batch.

        Parameters
        ----------
        x : Tensor of shape (n_samples, *input_shape)
            The batch.

        Returns
        -------
        Tensor of shape (n_samples, n_clusters)
            The softmax over its columns gives probabilities.
        """
        logits: Tensor = self.head(self.embed(x))
        return logits

    def reorder_clusters(self, order: ArrayLike) -> None:
        """Renumber the clusters: new cluster k is the old ``order[k]``.

        Parameters
        ----------
        order : array-like of int
            A permutation of the clusters.
        """
        index = torch.as_tensor(order, device=self.head.output.weight.device)
        with torch.no_grad():
            self.head.output.weight.copy_(self.head.output.weight[index])
            self.head.output.bias.copy_(self.head.output.bias[index])
