"""What a fitted estimator predicts, as one module that can be exported."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

from .cluster_network import ClusterNetwork


class Predictor(nn.Module):
    """From samples, as `predict_proba` takes them, to probabilities of clusters.

    Parameters
    ----------
    network : ClusterNetwork
        Its encoder and its head are taken over, not copied.
    shape : tuple of int
        Of one sample: (n_features,) or (channels, height, width).
    offset : ndarray of shape (1,) or (n_features,)
        Subtracted from the values.
    scale : float
        Then they are divided by it.
    """

    offset: Tensor

    def __init__(
        self,
        network: ClusterNetwork,
        shape: tuple[int, ...],
        offset: NDArray[np.float64],
        scale: float,
    ) -> None:
        super().__init__()
        encoder = network.autoencoder.encoder
        # The layers alone: what checks them reads sizes, which an export would fix.
        layers = isinstance(encoder, nn.Sequential)
        self.encoder = nn.Sequential(*encoder.children()) if layers else encoder
        self.head = network.head
        self.unit_norm = network.unit_norm
        self.precision = network.precision
        self.shape = tuple(shape)
        self.scale = float(scale)
        own = torch.tensor(offset, dtype=torch.float64)
        self.register_buffer("offset", own.reshape(-1, *[1] * (len(shape) - 1)))

    def forward(self, x: Tensor) -> Tensor:
        """Compute the probabilities.

        Parameters
        ----------
        x : Tensor of shape (n_samples, ...)
            Samples in the unit of those that were fitted, float32 or uint8; images
            with their axes or flattened.

        Returns
        -------
        Tensor of shape (n_samples, n_clusters)
            float32; rows sum to 1.
        """
        x = x.reshape(x.shape[0], *self.shape)
        # As in `predict_proba`: a large offset would take the digits of float32.
        x = ((x.to(torch.float64) - self.offset) / self.scale).to(torch.float32)
        if self.precision == "float32":
            return self._logits(x).softmax(1)
        with torch.autocast(x.device.type, getattr(torch, self.precision)):
            logits = self._logits(x)
        return logits.float().softmax(1)

    def _logits(self, x: Tensor) -> Tensor:
        h: Tensor = self.encoder(x)
        if self.precision != "float32":
            h = h.float()
        logits: Tensor = self.head(normalize(h, dim=1) if self.unit_norm else h)
        return logits
