"""An autoencoder with a cluster head: what every estimator trains."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

from .autoencoder import Autoencoder

_WIDTH = 128  # of a GraphHead


class ClusterHead(nn.Module):
    """An MLP from latent vectors (n, d) to cluster logits (n, K).

    Its batch normalization needs two samples or more in training mode.
    """

    def __init__(
        self, n_components: int, n_clusters: int, hidden_layer_sizes: Sequence[int]
    ) -> None:
        super().__init__()
        sizes = [n_components, *hidden_layer_sizes]
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(sizes):
            # No bias: batch normalization subtracts it again.
            linear = nn.Linear(n_in, n_out, bias=False)
            layers += [linear, nn.BatchNorm1d(n_out), nn.ReLU()]
        self.hidden = nn.Sequential(*layers)
        self.output = nn.Linear(sizes[-1], n_clusters)

    def forward(self, h: Tensor) -> Tensor:
        """Return logits, not probabilities: losses are stable on logits."""
        logits: Tensor = self.output(self.hidden(h))
        return logits


class GraphHead(nn.Module):
    """A projection and cluster logits on a shared hidden layer (eq. 4.4, 4.7)."""

    def __init__(self, n_components: int, n_clusters: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(n_components, _WIDTH), nn.ReLU())
        self.projection = nn.Linear(_WIDTH, _WIDTH)
        self.output = nn.Linear(_WIDTH, n_clusters)

    def forward(self, h: Tensor) -> Tensor:
        """Return cluster logits (n, K), not probabilities."""
        logits: Tensor = self.output(self.hidden(h))
        return logits

    def both(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return projections (n, 128) and cluster logits (n, K)."""
        hidden = self.hidden(h)
        return self.projection(hidden), self.output(hidden)


class ClusterNetwork(nn.Module):
    """From samples to an embedding h (n, d), and from it to cluster logits (n, K).

    With `unit_norm` the embedding has unit length. Layers compute in `precision`,
    "float32" or "bfloat16"; weights, inputs and outputs are float32. Probabilities are
    the softmax of the logits times `logit_scale`, which training never looks at.
    """

    logit_scale: Tensor

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
        self.register_buffer("logit_scale", torch.ones((), device="cpu"))
        self.float()  # whatever torch's default type is

    def embed(self, x: Tensor) -> Tensor:
        """Return the embedding (n, d) of a batch (n, *input_shape)."""
        h: Tensor = self._compute(self.autoencoder.encoder, x)
        return normalize(h, dim=1) if self.unit_norm else h

    def hidden(self, x: Tensor) -> Tensor:
        """Return the input of the encoder's last layer, (n, n_hidden), of a batch."""
        h: Tensor = self._compute(self.autoencoder.hidden, x)
        return h

    def embed_views(
        self, batches: Sequence[Tensor], view: Callable[[Tensor], Tensor]
    ) -> list[Tensor]:
        """Return the embeddings of a random view of each of several batches.

        A CPU embeds the batches, of one size, one after the other: activations stay in
        its caches. Elsewhere kernel launches dominate. Views are drawn batch by batch,
        because a callable may draw once for all samples of a batch.
        """
        if batches[0].device.type == "cpu":
            return [self.embed(view(x)) for x in batches]
        return [*self.embed(torch.cat([view(x) for x in batches])).chunk(len(batches))]

    def forward(self, x: Tensor) -> Tensor:
        """Return the cluster logits (n, K) of a batch (n, *input_shape)."""
        return self.assign(self.embed(x))

    def assign(self, h: Tensor) -> Tensor:
        """Return the cluster logits (n, K) of embedded samples."""
        logits: Tensor = self._compute(self.head, h)
        return logits

    def project(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return projections and cluster logits of embedded samples, by a GraphHead."""
        both: tuple[Tensor, Tensor] = self._compute(self.head.both, h)
        return both

    def decode(self, h: Tensor) -> Tensor:
        """Return the reconstructions (n, *input_shape) of embedded samples."""
        x_hat: Tensor = self._compute(self.autoencoder.decoder, h)
        return x_hat

    def _compute(self, function: Any, x: Tensor) -> Any:
        """Call a layer or a method of one in the network's precision."""
        if self.precision == "float32":
            return function(x)
        # Within another autocast, narrow copies of weights would outlive their updates.
        dtype = getattr(torch, self.precision)
        with torch.autocast(x.device.type, dtype, cache_enabled=False):
            result = function(x)
        if isinstance(result, tuple):
            return tuple(part.float() for part in result)
        return result.float()

    def reorder_clusters(self, order: ArrayLike) -> None:
        """Renumber the clusters: new cluster k is the old ``order[k]``."""
        with torch.no_grad():
            for parameter in self.head.output.parameters():
                index = torch.as_tensor(order, device=parameter.device)
                parameter.copy_(parameter[index])


class Predictor(ClusterNetwork):
    """From samples, as `predict_proba` takes them, to cluster probabilities.

    Encoder and head of the network are shared, not copied. `shape` of samples is
    (n_features,) or (channels, height, width). `offset`, one number or one per feature,
    is subtracted from their values, which are then divided by `scale`.
    """

    offset: Tensor

    def __init__(
        self,
        network: ClusterNetwork,
        shape: tuple[int, ...],
        offset: NDArray[np.float64],
        scale: float,
    ) -> None:
        encoder = network.autoencoder.encoder
        if isinstance(encoder, nn.Sequential):
            # The layers alone: what checks them reads sizes, which an export would fix.
            encoder = nn.Sequential(*encoder.children())
        bare = Autoencoder(encoder, nn.Identity(), network.autoencoder.n_components)
        super().__init__(bare, network.head, network.unit_norm, network.precision)
        self.logit_scale = network.logit_scale
        self.shape = tuple(shape)
        self.scale = float(scale)
        own = torch.tensor(offset, dtype=torch.float64)
        self.register_buffer("offset", own.reshape(-1, *[1] * (len(shape) - 1)))

    def forward(self, x: Tensor) -> Tensor:
        """Return probabilities (n, K), float32, of samples in the unit of `fit`.

        They are float32 or uint8; images come with their axes or flattened.
        """
        x = x.reshape(x.shape[0], *self.shape)
        # As in `predict_proba`: a large offset would leave float32 few decimals.
        x = ((x.to(torch.float64) - self.offset) / self.scale).to(torch.float32)
        return (super().forward(x) * self.logit_scale).softmax(1)
