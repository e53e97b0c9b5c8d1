"""Pickles, and files of skops: what is saved predicts as before."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import skops.io
import torch
from conftest import ALL, PREDICTING, assert_same_fit, few_epochs, noisy
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn

from skdeepclust import SelfPacedContrastiveClustering
from skdeepclust.networks import Frozen
from skdeepclust.views import ImageViews

# Few epochs are too few for some clusters.
pytestmark = pytest.mark.filterwarnings("ignore:.*clusters are empty")

METHODS = ["predict", "predict_proba", "transform", "score"]


def through_joblib(model, folder):
    joblib.dump(model, folder / "copy.joblib")
    return joblib.load(folder / "copy.joblib")


def through_skops(model, folder):
    data = skops.io.dumps(model)
    untrusted = skops.io.get_untrusted_types(data=data)
    if isinstance(getattr(model, "graph", "auto"), str):
        name = f"{type(model).__module__}.{type(model).__name__}"
        assert untrusted == [name]
    return skops.io.loads(data, trusted=untrusted)


WAYS = {
    "pickle": lambda model, _: pickle.loads(pickle.dumps(model)),
    "cloudpickle": lambda model, _: pickle.loads(cloudpickle.dumps(model)),
    "deepcopy": lambda model, _: copy.deepcopy(model),
    "joblib": through_joblib,
    "skops": through_skops,
}


def assert_alike(other, model, X):
    """All that can be asked for is the same, bit for bit."""
    assert type(other) is type(model)
    assert str(other.get_params()) == str(model.get_params())
    assert {*vars(other)} == {*vars(model)}
    assert_same_fit(other, model)
    for name, value in vars(model).items():
        found = getattr(other, name)
        assert type(found) is type(value), name
        assert getattr(value, "dtype", None) == getattr(found, "dtype", None), name
    for name in METHODS:
        if hasattr(model, name):
            result = getattr(model, name)(X)
            np.testing.assert_array_equal(getattr(other, name)(X), result)
    if hasattr(model, "get_feature_names_out"):
        names = model.get_feature_names_out()
        np.testing.assert_array_equal(other.get_feature_names_out(), names)


@pytest.fixture(scope="module")
def frame(blobs):
    """Rows with named columns."""
    return pd.DataFrame(blobs[0]).add_prefix("column ")


@pytest.fixture(scope="module")
def fitted(frame):
    """Give one of the estimators, that has been fitted once to the frame."""
    return {name: few_epochs(name).fit(frame) for name in ALL}


# -------------------------------------------------------------------- round trips


@pytest.mark.no_cover
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ALL)
def test_round_trip_of_a_table(fitted, name, frame, tmp_path, way):
    model = fitted[name]
    other = WAYS[way](model, tmp_path)
    assert_alike(other, model, frame)
    assert [*other.feature_names_in_] == [*frame.columns]
    if way in ("pickle", "skops"):
        # It can be fitted again.
        np.testing.assert_array_equal(other.fit(frame).labels_, model.labels_)


@pytest.mark.no_cover
@pytest.mark.parametrize("make", ALL, indirect=True)
def test_round_trip_of_images(make, images, tmp_path):
    X, _ = images
    model = make(device="cpu", image_shape=(8, 8), pretrain_epochs=1)
    model.fit(X)
    for way in ("pickle", "skops"):
        assert_alike(WAYS[way](model, tmp_path), model, X)


@pytest.mark.parametrize("name", ALL)
def test_pickle_holds_no_torch_and_no_scipy_object(fitted, name):
    model = copy.copy(fitted[name]).set_params(device=torch.device("cpu"))
    data = pickle.dumps(model)
    assert b"torch" not in data
    assert b"scipy" not in data
    assert b"InputSpec" not in data


def test_graph_of_a_file_whose_indices_point_outside_is_refused(fitted):
    """They would have SciPy read the memory of others."""
    model = copy.deepcopy(fitted["tiny_graph"])
    model.affinity_matrix_.indices[3] = 10**8
    data = skops.io.dumps(model)
    with pytest.raises(ValueError, match=r"indices|index"):
        skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))


def test_round_trips_into_another_process(fitted, frame, tmp_path):
    script = """
import pickle, sys, joblib, pandas, numpy, skops.io
folder, *names = sys.argv[1:]
X = pandas.read_pickle(f"{folder}/X")
for name in names:
    start = f"{folder}/{name}"
    labels = [
        joblib.load(f"{start}.joblib").predict(X),
        pickle.load(open(f"{start}.pickle", "rb")).predict(X),
        skops.io.load(f"{start}.skops", trusted=[input()]).predict(X),
    ]
    numpy.save(f"{start}.npy", labels)
"""
    frame.to_pickle(tmp_path / "X")
    models = {name: fitted[name] for name in PREDICTING}
    for name, model in models.items():
        joblib.dump(model, tmp_path / f"{name}.joblib")
        (tmp_path / f"{name}.pickle").write_bytes(pickle.dumps(model))
        skops.io.dump(model, tmp_path / f"{name}.skops")
    trusted = [f"{type(m).__module__}.{type(m).__name__}" for m in models.values()]
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), *models],
        check=True,
        input="\n".join(trusted),
        text=True,
    )
    for name, model in models.items():
        for labels in np.load(tmp_path / f"{name}.npy"):
            np.testing.assert_array_equal(labels, model.labels_)


@pytest.mark.no_cover
@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_round_trips_after_grid_search(make, blobs, tmp_path):
    X, _ = blobs
    grid = {"learning_rate": np.logspace(-3, -2, 2), "n_clusters": np.array([2, 3])}
    search = GridSearchCV(make(resolution=None), grid, cv=2).fit(X)
    model = search.best_estimator_
    for way in WAYS.values():
        other = way(model, tmp_path)
        assert_alike(other, model, X)
        assert clone(other).get_params() == clone(model).get_params()


PARAMETERS = {
    "n_clusters": np.int32(4),
    "hidden_layer_sizes": [8, np.int64(9)],
    "image_shape": np.array([8, 8]),
    "temperature": float("inf"),
    "learning_rate": np.float32(0.1),
    "n_components": None,
    "warm_start": np.True_,
    "checkpoint_dir": Path("here"),
    "device": torch.device("cuda:3"),
    "encoder": Frozen(nn.Linear(3, 2)),
    "augmentation": ImageViews(crop=(0.5, 1.0)),
    "memory": joblib.Memory(None, verbose=0),
    "random_state": np.random.RandomState(7),
}


@pytest.mark.parametrize("way", ["pickle", "cloudpickle", "deepcopy", "joblib"])
def test_every_kind_of_parameter_is_kept(tmp_path, way):
    model = SelfPacedContrastiveClustering(**PARAMETERS)
    other = WAYS[way](model, tmp_path)
    assert not other.__sklearn_is_fitted__()
    for name, value in PARAMETERS.items():
        found = getattr(other, name)
        if name == "device":
            # By its name, which needs no torch to be read.
            assert torch.device(found) == value
            continue
        assert type(found) is type(value)
        if name == "random_state":
            assert found.randint(2**31 - 1) == copy.copy(value).randint(2**31 - 1)
        elif name in ("encoder", "memory"):
            assert joblib.hash(clone(other)) == joblib.hash(clone(model))
        else:
            np.testing.assert_equal(found, value)


@pytest.mark.parametrize("make", ["tiny_graph"], indirect=True)
def test_graph_that_was_given_is_saved(make, blobs, tmp_path):
    X, _ = blobs
    graph = sp.coo_array(sp.random(len(X), len(X), 0.1, random_state=0, dtype=float))
    model = make(graph=graph).fit(X)
    for way in ("pickle", "skops"):
        other = WAYS[way](model, tmp_path)
        assert type(other.graph) is sp.coo_array
        np.testing.assert_array_equal(other.graph.toarray(), graph.toarray())
        assert_alike(other, copy.copy(model).set_params(graph=other.graph), X)


@pytest.mark.parametrize("way", ["pickle", "skops"])
def test_output_format_is_saved(fitted, frame, tmp_path, way):
    model = copy.copy(fitted["tiny"]).set_output(transform="pandas")
    other = WAYS[way](model, tmp_path)
    pd.testing.assert_frame_equal(other.transform(frame), model.transform(frame))


@pytest.mark.parametrize("way", ["pickle", "deepcopy", "skops"])
@pytest.mark.parametrize("name", PREDICTING)
def test_parameters_changed_after_fit_leave_the_network(
    fitted, name, frame, tmp_path, way
):
    expected = fitted[name].transform(frame)
    changed = {
        **{"n_clusters": 5, "augmentation": None, "n_components": 2},
        **{"encoder": "conv", "precision": "bfloat16"},
    }
    model = copy.deepcopy(fitted[name]).set_params(**changed)
    again = WAYS[way](model, tmp_path)
    np.testing.assert_array_equal(again.transform(frame), expected)
    for parameter, value in changed.items():
        assert getattr(again, parameter) == value


@pytest.mark.parametrize("way", ["pickle", "cloudpickle", "joblib"])
@pytest.mark.parametrize("make", PREDICTING, indirect=True)
def test_pickle_holds_code(make, blobs, tmp_path, way):
    X, _ = blobs
    encoder = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.Tanh())
    model = make(encoder=encoder, augmentation=noisy, resolution=None).fit(X)
    expected = model.predict_proba(X)
    other = WAYS[way](model, tmp_path)
    np.testing.assert_array_equal(other.predict_proba(X), expected)
    # Also when it is another one by now.
    for known in (model, other):
        known.set_params(encoder="mlp", augmentation=None)
        again = WAYS[way](known, tmp_path)
        np.testing.assert_array_equal(again.predict_proba(X), expected)
        assert again.encoder == "mlp"


def test_missing_device_is_replaced_by_the_cpu(fitted, frame, tmp_path):
    model = copy.copy(fitted["tiny"]).set_params(device="cuda:7")
    for way in ("pickle", "skops"):
        other = WAYS[way](model, tmp_path)
        assert other.device == "cuda:7"
        np.testing.assert_array_equal(other.predict(frame), model.labels_)
