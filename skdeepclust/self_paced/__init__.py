"""Algorithm 3.3 of the thesis: self-paced contrastive clustering."""

from ._estimator import SelfPacedContrastiveClustering

__all__ = ["SelfPacedContrastiveClustering"]
