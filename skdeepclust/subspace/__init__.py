"""Chapter 2.3 of the thesis: deep subspace clustering."""

from ._estimator import DeepSubspaceClustering

__all__ = ["DeepSubspaceClustering"]
