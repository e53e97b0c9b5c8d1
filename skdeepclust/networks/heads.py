"""Heads on the latent space: cluster logits and contrastive projections."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn


def _hidden_block(n_in: int, n_out: int, *, batch_norm: bool) -> list[nn.Module]:
    """Return linear(-batch normalisation)-ReLU."""
    # No bias before batch normalisation, which subtracts it again.
    block: list[nn.Module] = [nn.Linear(n_in, n_out, bias=not batch_norm)]
    if batch_norm:
        block.append(nn.BatchNorm1d(n_out))
    return [*block, nn.ReLU()]


class ClusterHead(nn.Module):
    """An MLP from latent vectors to cluster logits.

    The hidden layers are linear-batch normalisation-ReLU, the last one is
    linear. In training mode it needs batches of at least two samples.

    Parameters
    ----------
    n_components : int
        Number of latent dimensions.
    n_clusters : int
        Number of clusters K.
    hidden_layer_sizes : iterable of int, default=(128, 128, 128)
        Sizes of the hidden layers.

    Attributes
    ----------
    hidden : torch.nn.Sequential
        The non-linear layers.
    output : torch.nn.Linear
        The last layer; its rows are the clusters.
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
        """Compute cluster logits.

        Parameters
        ----------
        h : Tensor of shape (n_samples, n_components)
            Latent vectors.

        Returns
        -------
        logits : Tensor of shape (n_samples, n_clusters)
            Logits, not probabilities: the caller applies the softmax, or a
            loss that is stable on logits.
        """
        logits: Tensor = self.output(self.hidden(h))
        return logits


class ProjectionHead(nn.Module):
    """An MLP with one hidden layer, from latent vectors to a contrastive space.

    Parameters
    ----------
    n_components : int
        Number of latent dimensions.
    n_hidden : int, default=128
        Size of the hidden layer.
    n_out : int, default=128
        Size of the projection.
    batch_norm : bool, default=False
        Whether to normalise before the ReLU, as in SimCLR (eq. 2.9).

    Attributes
    ----------
    hidden : torch.nn.Sequential
        The non-linear layers, which another head may share (eq. 4.7).
    output : torch.nn.Linear
        The last layer.
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
        """Project latent vectors.

        Parameters
        ----------
        h : Tensor of shape (n_samples, n_components)
            Latent vectors.

        Returns
        -------
        z : Tensor of shape (n_samples, n_out)
            Projections, not normalised.
        """
        z: Tensor = self.output(self.hidden(h))
        return z


class GraphHead(nn.Module):
    """A projection and cluster logits on shared non-linear layers (eq. 4.4, 4.7).

    Parameters
    ----------
    n_components : int
        Number of latent dimensions.
    n_clusters : int
        Number of clusters K.
    n_hidden : int, default=128
        Size of the hidden layer.
    n_out : int, default=128
        Size of the projection.

    Attributes
    ----------
    projection : ProjectionHead
        Gives the vectors that are compared between samples.
    output : torch.nn.Linear
        The last layer of the cluster level; its rows are the clusters.
    """

    def __init__(
        self,
        n_components: int,
        n_clusters: int,
        n_hidden: int = 128,
        n_out: int = 128,
    ) -> None:
        super().__init__()
        self.projection = ProjectionHead(n_components, n_hidden, n_out)
        self.output = nn.Linear(n_hidden, n_clusters)

    def forward(self, h: Tensor) -> Tensor:
        """Compute cluster logits.

        Parameters
        ----------
        h : Tensor of shape (n_samples, n_components)
            Latent vectors.

        Returns
        -------
        logits : Tensor of shape (n_samples, n_clusters)
            Logits, not probabilities.
        """
        logits: Tensor = self.output(self.projection.hidden(h))
        return logits

    def both(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the projection and the cluster logits with one hidden pass.

        Parameters
        ----------
        h : Tensor of shape (n_samples, n_components)
            Latent vectors.

        Returns
        -------
        z : Tensor of shape (n_samples, n_out)
            Projections, not normalised.
        logits : Tensor of shape (n_samples, n_clusters)
            Cluster logits.
        """
        hidden = self.projection.hidden(h)
        return self.projection.output(hidden), self.output(hidden)
