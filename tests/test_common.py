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


# Some hundred fits: as few steps, and as short a search for clusters, as still find
# clusters that are far apart.
FEW = {"pretrain_epochs": 4, "head_epochs": 20, "resolution": 1.0}


@parametrize_with_checks(
    [
        SelfPacedContrastiveClustering(**{**TINY, **FEW, "center_epochs": 2}),
        GraphContrastiveClustering(**{**TINY_GRAPH, **FEW, "joint_epochs": 2}),
        DeepSubspaceClustering(**{**TINY_SUBSPACE, "pretrain_epochs": 4}),
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
        SelfPacedContrastiveClustering("auto"),
        GraphContrastiveClustering("auto"),
    ]
)
def test_check_estimator_defaults(estimator, check):
    check(estimator)
