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


# Some hundred fits: as few steps as still find clusters that are far apart.
FEW = {"pretrain_epochs": 10, "head_epochs": 30, "head_learning_rate": 1e-2}


@parametrize_with_checks(
    [
        SelfPacedContrastiveClustering(**{**TINY, **FEW, "center_epochs": 5}),
        GraphContrastiveClustering(**{**TINY_GRAPH, **FEW, "joint_epochs": 5}),
        DeepSubspaceClustering(**{**TINY_SUBSPACE, "pretrain_epochs": 10}),
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
