"""Torch modules: autoencoders and the heads that sit on their latent space."""

from .autoencoder import Autoencoder, build_autoencoder
from .cluster_network import ClusterNetwork
from .heads import ClusterHead, GraphHead, ProjectionHead

__all__ = [
    "Autoencoder",
    "ClusterHead",
    "ClusterNetwork",
    "GraphHead",
    "ProjectionHead",
    "build_autoencoder",
]
