"""Heads on the latent space: cluster logits and contrastive projections."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn


def _hidden_block(n_in: int, n_out: int, *, batch_norm: bool) -> list[nn.Module]:
    """Return linear(-batch normalization)-ReLU."""
    # No bias before batch normalization, which subtracts it again.
    block: list[nn.Module] = [nn.Linear(n_in, n_out, bias=not batch_norm)]
    if batch_norm:
        block.append(nn.BatchNorm1d(n_out))
    return [*block, nn.ReLU()]


class ClusterHead(nn.Module):
    """An MLP from latent vectors (n, d) to cluster logits (n, K).

    `hidden` is linear-batch normalization-ReLU, so that batches in training mode need
    two samples or more. `output` is linear; its rows are the clusters.
    """

    def __init__(
        self,
        n_components: int,
        n_clusters: int,
        hidden_layer_sizes: Iterable[int] = (128, 128, 128),
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        n_in = n_components
        for n_out in hidden_layer_sizes:
            layers += _hidden_block(n_in, n_out, batch_norm=True)
            n_in = n_out
        self.hidden = nn.Sequential(*layers)
        self.output = nn.Linear(n_in, n_clusters)

    def forward(self, h: Tensor) -> Tensor:
        """Return logits, not probabilities: losses are stable on logits."""
        logits: Tensor = self.output(self.hidden(h))
        return logits


class ProjectionHead(nn.Module):
    """An MLP with one hidden layer, from latent vectors (n, d) to (n, n_out).

    With `batch_norm` it is that of SimCLR (eq. 2.9). Another head may share `hidden`
    (eq. 4.7).
    """

    def __init__(
        self,
        n_components: int,
        n_hidden: int = 128,
        n_out: int = 128,
        *,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            *_hidden_block(n_components, n_hidden, batch_norm=batch_norm)
        )
        self.output = nn.Linear(n_hidden, n_out)

    def forward(self, h: Tensor) -> Tensor:
        """Return projections, not of unit length."""
        z: Tensor = self.output(self.hidden(h))
        return z


class GraphHead(nn.Module):
    """A projection and cluster logits on a shared hidden layer (eq. 4.4, 4.7).

    The vectors of `projection` are compared between samples; the rows of `output` are
    the clusters.
    """

    def __init__(
        self, n_components: int, n_clusters: int, n_hidden: int = 128, n_out: int = 128
    ) -> None:
        super().__init__()
        self.projection = ProjectionHead(n_components, n_hidden, n_out)
        self.output = nn.Linear(n_hidden, n_clusters)

    def forward(self, h: Tensor) -> Tensor:
        """Return cluster logits (n, K), not probabilities."""
        logits: Tensor = self.output(self.projection.hidden(h))
        return logits

    def both(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return projections (n, n_out) and cluster logits (n, K)."""
        hidden = self.projection.hidden(h)
        return self.projection.output(hidden), self.output(hidden)
