"""scikit-learn's own estimator checks, all of them, without exception."""

import pytest
from conftest import TINY
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdeepclust import SelfPacedContrastiveClustering


@parametrize_with_checks([SelfPacedContrastiveClustering(**TINY)])
def test_check_estimator_tiny(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([SelfPacedContrastiveClustering()])
def test_check_estimator_defaults(estimator, check):
    check(estimator)
