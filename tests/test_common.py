"""scikit-learn's own estimator checks, all of them, without exception."""

import pytest
from conftest import TINY, TINY_GRAPH, TINY_SUBSPACE
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdeepclust import (
    DeepSubspaceClustering,
    GraphContrastiveClustering,
    SelfPacedContrastiveClustering,
)

# What these run is measured elsewhere; measuring would take half as long again.
pytestmark = pytest.mark.no_cover


@parametrize_with_checks(
    [
        SelfPacedContrastiveClustering(**TINY),
        GraphContrastiveClustering(**TINY_GRAPH),
        DeepSubspaceClustering(**TINY_SUBSPACE),
    ]
)
def test_check_estimator_tiny(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [
        SelfPacedContrastiveClustering(),
        GraphContrastiveClustering(),
        DeepSubspaceClustering(),
    ]
)
def test_check_estimator_defaults(estimator, check):
    check(estimator)
