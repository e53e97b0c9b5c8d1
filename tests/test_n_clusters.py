"""Estimators that are not told how many clusters there are."""

import pickle

import numpy as np
import pytest
from conftest import ALL, PREDICTING
from sklearn.datasets import load_digits, make_blobs, make_moons
from sklearn.exceptions import ConvergenceWarning

from skdeepclust import GraphContrastiveClustering, SelfPacedContrastiveClustering

# What is run here is measured by other tests; measuring would take longer.
pytestmark = pytest.mark.no_cover

NONE = {f"{stage}_epochs": 0 for stage in ("pretrain", "center", "contrastive")}


@pytest.fixture
def make(request):
    """Make the estimator that the test is parametrized by, as it is."""
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("make", ALL, indirect=True)
def test_auto_fits_as_with_the_number_that_it_finds(make, blobs):
    X, _ = blobs
    told, untold = make(3).fit(X), make("auto").fit(X)
    assert told.n_clusters_ == untold.n_clusters_ == 3
    assert type(untold.n_clusters_) is int
    assert untold.get_params()["n_clusters"] == "auto"
    np.testing.assert_array_equal(untold.labels_, told.labels_)
    again = pickle.loads(pickle.dumps(untold))
    assert again.n_clusters_ == 3
    if hasattr(again, "predict"):
        np.testing.assert_array_equal(again.predict(X), told.labels_)


@pytest.mark.parametrize(
    "cls", [SelfPacedContrastiveClustering, GraphContrastiveClustering]
)
def test_moons_are_two_by_default(cls):
    X, y = make_moons(300, noise=0.05, random_state=0)
    model = cls("auto", random_state=0).fit(X)
    assert model.n_clusters_ == 2
    assert len({*zip(model.labels_, y, strict=True)}) == 2


@pytest.mark.parametrize("make", ALL, indirect=True)
def test_no_structure_is_told_of(make):
    X = np.random.default_rng(0).normal(size=(100, 6))
    with pytest.warns(ConvergenceWarning, match="no structure"):
        model = make("auto").fit(X)
    assert model.n_clusters_ == 1
    assert not model.labels_.any()


def test_images_are_counted_as_rows(tiny):
    images = load_digits().images[:500] / 16
    model = tiny("auto", encoder="mlp", **NONE).fit(images)
    assert 8 <= model.n_clusters_ <= 12


def test_many_samples_are_counted_by_a_part_of_them(tiny):
    X, _ = make_blobs(2_001, 3, centers=4, cluster_std=0.5, random_state=0)
    model = tiny("auto", resolution=None, head_epochs=1, **NONE).fit(X)
    assert model.n_clusters_ == 4


def test_several_runs_have_one_number(tiny, blobs):
    told, untold = (tiny(n, n_init=2, **NONE).fit(blobs[0]) for n in (3, "auto"))
    assert untold.n_clusters_ == 3
    np.testing.assert_array_equal(untold.labels_, told.labels_)


@pytest.mark.parametrize("make", PREDICTING, indirect=True)
def test_warm_start_keeps_the_number(make, blobs):
    X, _ = blobs
    model = make("auto", warm_start=True).fit(X)
    # Of one group alone there would be no structure.
    model.fit(X[model.labels_ == 0])
    assert model.n_clusters_ == 3
    model.set_params(n_clusters=4)
    with pytest.raises(ValueError, match=r"n_clusters=4 is not the 3"):
        model.fit(X)


def test_an_interrupted_fit_counts_the_same(tiny, blobs, tmp_path):
    class Stop(Exception):
        pass

    def fail(*views):
        if next(calls) == 30:
            raise Stop
        return views[0]

    calls = iter(range(10**6))
    X, _ = blobs
    model = tiny("auto", augmentation=fail, checkpoint_dir=tmp_path)
    with pytest.raises(Stop):
        model.fit(X)
    assert not hasattr(model, "n_clusters_")
    assert model.fit(X).n_clusters_ == 3
