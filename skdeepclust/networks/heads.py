"""Heads on the latent space: cluster logits and contrastive projections."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

_WIDTH = 128


class ClusterHead(nn.Module):
    """An MLP from latent vectors (n, d) to cluster logits (n, K).

    `hidden` has batch normalization, so that batches in training mode need two samples
    or more. `output` is linear; its rows are the clusters.
    """

    def __init__(
        self,
        n_components: int,
        n_clusters: int,
        hidden_layer_sizes: Sequence[int] = (_WIDTH,) * 3,
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
    """A projection and cluster logits on a shared hidden layer (eq. 4.4, 4.7).

    The vectors of `projection` are compared between samples; the rows of `output` are
    the clusters.
    """

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
