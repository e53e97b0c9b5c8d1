"""Torch modules: encoders, autoencoders, and heads on their latent space."""

from .autoencoder import Autoencoder, build_autoencoder
from .backbone import Frozen, ResNet18, load_weights
from .cluster_network import ClusterHead, ClusterNetwork, GraphHead

__all__ = [
    "Autoencoder",
    "ClusterHead",
    "ClusterNetwork",
    "Frozen",
    "GraphHead",
    "ResNet18",
    "build_autoencoder",
    "load_weights",
]
