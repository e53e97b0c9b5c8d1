"""Choosing parameters and the number of clusters without known classes.

Scorers that take no classes, for `scoring` in scikit-learn's searches, and an estimate
of the number of clusters. Scorers raise a TypeError for estimators without `predict`
and for labels that cannot be sorted, and a ValueError for missing labels.
"""

from ._n_clusters import estimate_n_clusters
from ._scorers import StabilityScorer, silhouette_scorer, stability_scorer

__all__ = [
    "StabilityScorer",
    "estimate_n_clusters",
    "silhouette_scorer",
    "stability_scorer",
]
