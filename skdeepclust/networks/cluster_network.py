"""An autoencoder with a cluster head: what every estimator trains."""

from collections.abc import Callable, Sequence
from typing import Any

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
    precision : {"float32", "bfloat16"}, default="float32"
        What the layers compute in; what goes in and out is float32, and so are the
        weights.

    Attributes
    ----------
    compiled : callable or None
        Takes the place of the encoder in training mode; no part of the state.
    """

    compiled: Callable[[Tensor], Tensor] | None = None

    def __init__(
        self,
        autoencoder: Autoencoder,
        head: ClusterHead | GraphHead,
        unit_norm: bool,
        precision: str = "float32",
    ) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.head = head
        self.unit_norm = unit_norm
        self.precision = precision
        self.float()  # whatever torch's default type is

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
        trained = self.training and self.compiled is not None
        h = self._compute(self.compiled if trained else self.autoencoder.encoder, x)
        return normalize(h, dim=1) if self.unit_norm else h

    def embed_views(
        self, batches: Sequence[Tensor], view: Callable[[Tensor], Tensor]
    ) -> list[Tensor]:
        """Return the embeddings of a random view of each of several batches.

        On a CPU one batch after the other, since fewer activations stay nearer to the
        processor. Elsewhere all at once, batch normalisation included: to launch each
        layer once more would take longer than what it computes. The views are made
        one batch after the other in any case: a callable that draws once for all
        samples has to draw once for each view of them.

        Parameters
        ----------
        batches : sequence of Tensors of shape (n_samples, *input_shape)
            As many samples in each.
        view : callable
            Maps a batch to a random view of it.

        Returns
        -------
        list of Tensors of shape (n_samples, n_components)
            One for each batch.
        """
        if batches[0].device.type == "cpu":
            return [self.embed(view(x)) for x in batches]
        return [*self.embed(torch.cat([view(x) for x in batches])).chunk(len(batches))]

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
        return self.assign(self.embed(x))

    def assign(self, h: Tensor) -> Tensor:
        """Return the cluster logits of embedded samples.

        Parameters
        ----------
        h : Tensor of shape (n_samples, n_components)
            Embedding.

        Returns
        -------
        Tensor of shape (n_samples, n_clusters)
            As of the samples themselves.
        """
        logits: Tensor = self._compute(self.head, h)
        return logits

    def project(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return what a GraphHead makes of embedded samples.

        Parameters
        ----------
        h : Tensor of shape (n_samples, n_components)
            Embedding.

        Returns
        -------
        tuple of Tensors
            Projections, and cluster logits.
        """
        both: tuple[Tensor, Tensor] = self._compute(self.head.both, h)
        return both

    def decode(self, h: Tensor) -> Tensor:
        """Reconstruct embedded samples.

        Parameters
        ----------
        h : Tensor of shape (n_samples, n_components)
            Embedding.

        Returns
        -------
        Tensor of shape (n_samples, *input_shape)
            The reconstructions.
        """
        x_hat: Tensor = self._compute(self.autoencoder.decoder, h)
        return x_hat

    def _compute(self, function: Any, x: Tensor) -> Any:
        if self.precision == "float32":
            return function(x)
        with torch.autocast(x.device.type, getattr(torch, self.precision)):
            result = function(x)
        if isinstance(result, tuple):
            return tuple(part.float() for part in result)
        return result.float()

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
