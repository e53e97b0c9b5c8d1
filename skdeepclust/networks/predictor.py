"""What a fitted estimator predicts, as one module that can be exported."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

from .cluster_network import ClusterNetwork


class Predictor(nn.Module):
    """From samples, as `predict_proba` takes them, to cluster probabilities.

    Encoder and head of the network are shared, not copied. Samples have `shape`,
    (n_features,) or (channels, height, width); `offset`, one number or one per feature,
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
        """Return probabilities (n, K), float32, of samples in the unit of `fit`.

        They are float32 or uint8; images come with their axes or flattened.
        """
        x = x.reshape(x.shape[0], *self.shape)
        # As in `predict_proba`: a large offset would leave float32 few decimals.
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
