"""What a fitted estimator predicts, as one module that can be exported."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .autoencoder import Autoencoder
from .cluster_network import ClusterNetwork


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
        return super().forward(x).softmax(1)
