"""Algorithm 4.3 of the thesis: graph contrastive clustering."""

from ._estimator import GraphContrastiveClustering

__all__ = ["GraphContrastiveClustering"]
