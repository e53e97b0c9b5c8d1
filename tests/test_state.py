"""Pickles, and files without pickle: what is saved predicts as before."""

import copy
import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import skops.io
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn

import skdeepclust
from skdeepclust import SelfPacedContrastiveClustering, _container
from skdeepclust._plain import plain, rich
from skdeepclust.views import ImageViews, SeededCallable, TableViews

# Few epochs are too few for some clusters.
pytestmark = pytest.mark.filterwarnings("ignore:.*clusters are empty")

FEW = {
    "tiny": {"pretrain_epochs": 4, "center_epochs": 2, "head_epochs": 2},
    "tiny_graph": {"pretrain_epochs": 4, "head_epochs": 9, "joint_epochs": 2},
    "tiny_subspace": {"pretrain_epochs": 4},
}
ALL = [*FEW]
METHODS = ["predict", "predict_proba", "transform", "score"]


@pytest.fixture
def make(request):
    """Make one of the estimators, of few epochs."""
    make, quick = request.getfixturevalue(request.param), FEW[request.param]
    return lambda **parameters: make(**{**quick, **parameters})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.npz"


@pytest.fixture
def frame(blobs):
    """Rows with named columns."""
    return pd.DataFrame(blobs[0]).add_prefix("column ")


def through_file(model, tmp_path):
    model.save(tmp_path / "copy.npz")
    return skdeepclust.load(tmp_path / "copy.npz")


def through_joblib(model, tmp_path):
    joblib.dump(model, tmp_path / "copy.joblib")
    return joblib.load(tmp_path / "copy.joblib")


def through_skops(model, tmp_path):
    data = skops.io.dumps(model)
    untrusted = skops.io.get_untrusted_types(data=data)
    name = f"{type(model).__module__}.{type(model).__name__}"
    assert untrusted == [name]
    return skops.io.loads(data, trusted=untrusted)


WAYS = {
    "file": through_file,
    "pickle": lambda model, _: pickle.loads(pickle.dumps(model)),
    "cloudpickle": lambda model, _: pickle.loads(cloudpickle.dumps(model)),
    "deepcopy": lambda model, _: copy.deepcopy(model),
    "joblib": through_joblib,
    "skops": through_skops,
}


def assert_alike(other, model, X):
    """All that can be asked for is the same, bit for bit."""
    assert type(other) is type(model)
    assert other.get_params().keys() == model.get_params().keys()
    assert str(other.get_params()) == str(model.get_params())
    assert {*vars(other)} == {*vars(model)}
    for name, value in vars(model).items():
        found = getattr(other, name)
        assert type(found) is type(value), name
        if sp.issparse(value):
            assert value.shape == found.shape
            assert (value != found).nnz == 0
            assert value.dtype == found.dtype
        elif name.endswith("_") and name != "network_":
            np.testing.assert_equal(found, value)
            assert getattr(value, "dtype", None) == getattr(found, "dtype", None)
    for name in METHODS:
        if hasattr(model, name):
            result = getattr(model, name)(X)
            np.testing.assert_array_equal(getattr(other, name)(X), result)
    if hasattr(model, "get_feature_names_out"):
        names = model.get_feature_names_out()
        np.testing.assert_array_equal(other.get_feature_names_out(), names)


# -------------------------------------------------------------------- round trips


@pytest.mark.no_cover
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("make", ALL, indirect=True)
def test_round_trip_of_a_table(make, frame, tmp_path, way):
    model = make().fit(frame)
    other = WAYS[way](model, tmp_path)
    assert_alike(other, model, frame)
    assert [*other.feature_names_in_] == [*frame.columns]
    # It can be fitted again.
    np.testing.assert_array_equal(other.fit(frame).labels_, model.labels_)


@pytest.mark.no_cover
@pytest.mark.parametrize("way", ["file", "skops"])
@pytest.mark.parametrize("make", ALL, indirect=True)
def test_round_trip_of_images(make, images, tmp_path, way):
    X, _ = images
    model = make(device=torch.device("cpu"), image_shape=(8, 8)).fit(X)
    assert_alike(WAYS[way](model, tmp_path), model, X)


@pytest.mark.parametrize("make", ALL, indirect=True)
def test_pickle_holds_no_torch_and_no_scipy_object(make, blobs):
    data = pickle.dumps(make(device=torch.device("cpu")).fit(blobs[0]))
    assert b"torch" not in data
    assert b"scipy" not in data
    assert b"InputSpec" not in data


def test_round_trips_into_another_process(tiny, tiny_graph, blobs, tmp_path):
    X, _ = blobs
    script = """
import pickle, sys, joblib, numpy, skops.io, skdeepclust
folder, *names = sys.argv[1:]
X = numpy.load(f"{folder}/X.npy")
for name in names:
    start = f"{folder}/{name}"
    labels = [
        skdeepclust.load(f"{start}.npz").predict(X),
        joblib.load(f"{start}.joblib").predict(X),
        pickle.load(open(f"{start}.pickle", "rb")).predict(X),
        skops.io.load(f"{start}.skops", trusted=[input()]).predict(X),
    ]
    numpy.save(f"{start}.npy", labels)
"""
    models = {"first": tiny().fit(X), "second": tiny_graph().fit(X)}
    np.save(tmp_path / "X.npy", X)
    for name, model in models.items():
        model.save(tmp_path / f"{name}.npz")
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
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_round_trip_after_grid_search(make, blobs, tmp_path, way):
    X, _ = blobs
    grid = {"learning_rate": np.logspace(-3, -2, 2), "n_clusters": np.array([2, 3])}
    search = GridSearchCV(make(), grid, cv=2).fit(X)
    model = search.best_estimator_
    other = WAYS[way](model, tmp_path)
    assert_alike(other, model, X)
    assert clone(other).get_params() == clone(model).get_params()


@pytest.mark.parametrize("make", ALL, indirect=True)
def test_unfitted_estimator_is_saved_with_its_parameters(make, blobs, tmp_path):
    model = make(n_clusters=np.int64(5), learning_rate=np.float32(0.5))
    other = through_file(model, tmp_path)
    assert vars(other) == vars(model)
    assert type(other.n_clusters) is np.int64
    assert not other.__sklearn_is_fitted__()


PARAMETERS = {
    "n_clusters": np.int32(4),
    "hidden_layer_sizes": [8, np.int64(9)],
    "image_shape": np.array([8, 8]),
    "tol": float("inf"),
    "learning_rate": np.float32(0.1),
    "n_components": None,
    "early_stopping": np.True_,
    "checkpoint_dir": Path("here"),
    "device": torch.device("cuda:3"),
    "augmentation": ImageViews(crop=(0.5, 1.0)),
    "random_state": np.random.RandomState(7),
}


def test_every_kind_of_parameter_is_saved(path):
    model = SelfPacedContrastiveClustering(**PARAMETERS)
    model.save(path)
    other = skdeepclust.load(path)
    for name, value in PARAMETERS.items():
        found = getattr(other, name)
        assert type(found) is type(value)
        if name == "random_state":
            assert found.randint(2**31 - 1) == model.random_state.randint(2**31 - 1)
        else:
            np.testing.assert_equal(found, value)


@pytest.mark.parametrize("way", ["file", "pickle", "skops"])
@pytest.mark.parametrize("make", ["tiny_graph"], indirect=True)
def test_graph_that_was_given_is_saved(make, blobs, tmp_path, way):
    X, _ = blobs
    graph = sp.coo_array(sp.random(len(X), len(X), 0.1, random_state=0, dtype=float))
    model = make(graph=graph).fit(X)
    other = WAYS[way](model, tmp_path)
    assert type(other.graph) is sp.coo_array
    np.testing.assert_array_equal(other.graph.toarray(), graph.toarray())
    assert_alike(other, model.set_params(graph=other.graph), X)


@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_output_format_is_saved(make, frame, tmp_path):
    model = make().set_output(transform="pandas").fit(frame)
    other = through_file(model, tmp_path)
    pd.testing.assert_frame_equal(other.transform(frame), model.transform(frame))


@pytest.mark.parametrize("way", ["file", "deepcopy"])
@pytest.mark.parametrize("make", ["tiny", "tiny_graph"], indirect=True)
@pytest.mark.parametrize(
    "changed",
    [
        {"n_clusters": 5},
        {"augmentation": None},
        {"n_components": 2, "encoder": "conv"},
        {"precision": "bfloat16"},
    ],
)
def test_parameters_changed_after_fit_leave_the_network(
    make, blobs, tmp_path, way, changed
):
    X, _ = blobs
    model = make().fit(X)
    expected = model.transform(X)
    again = WAYS[way](model.set_params(**changed), tmp_path)
    np.testing.assert_array_equal(again.transform(X), expected)
    for name, value in changed.items():
        assert getattr(again, name) == value


@pytest.mark.parametrize("make", ["tiny", "tiny_graph"], indirect=True)
def test_code_changed_after_fit_leaves_the_network(make, blobs, path, tmp_path):
    X, _ = blobs
    encoder = nn.Sequential(nn.Linear(6, 12), nn.Tanh())
    model = make(encoder=encoder, augmentation=activate).fit(X)
    expected = model.transform(X)
    model.save(path)
    loaded = skdeepclust.load(path, encoder=encoder, augmentation=activate)
    for fitted in (model, loaded, pickle.loads(pickle.dumps(model))):
        fitted.set_params(encoder="mlp", augmentation=None)
        again = copy.deepcopy(fitted)
        np.testing.assert_array_equal(again.transform(X), expected)
        assert again.encoder == "mlp"
        with pytest.raises(ValueError, match="encoder='mlp' is not the module that"):
            fitted.save(tmp_path / "other.npz")
        assert not (tmp_path / "other.npz").exists()


@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_missing_device_is_replaced_by_the_cpu(make, blobs, tmp_path):
    X, _ = blobs
    model = make().fit(X)
    model.device = "cuda:7"
    other = through_file(model, tmp_path)
    assert other.device == "cuda:7"
    np.testing.assert_array_equal(other.predict(X), model.labels_)


@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_callbacks_are_not_saved(make, blobs, path):
    pytest.importorskip("sklearn.callback")

    class Callback:
        def setup(self, estimator, context):
            pass

        teardown = on_fit_task_begin = on_fit_task_end = setup

    model = make().set_callbacks(Callback())
    model.save(path)
    assert vars(skdeepclust.load(path)) == vars(make())


def test_plain_and_rich_are_inverse():
    matrix = sp.random(5, 4, 0.5, random_state=0, dtype=np.float32)
    kinds = ["array", "matrix"]
    formats = ["bsr", "coo", "csc", "csr", "dia", "dok", "lil"]
    for kind in [getattr(sp, f"{f}_{k}") for f in formats for k in kinds]:
        found = rich(plain([kind(matrix)]))[0]
        assert type(found) is kind
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found.toarray(), matrix.toarray())
        assert rich(found) is found
    value = {"a": (torch.ones(2, 3).T, [TableViews()]), "b": {3: None}}
    found = rich(plain(value))
    assert torch.equal(found["a"][0], value["a"][0])
    assert found["a"][1] == [TableViews()]
    assert found["b"] == value["b"]


def test_container_holds_what_json_cannot(path):
    content = {
        "floats": [0.1, -0.0, float("inf"), float("-inf"), float("nan"), 5e-324],
        "tuple": (1, (2, [3])),
        "scalars": [np.float32(0.1), np.int8(-3), np.bool_(True), np.str_("x")],
        "keys": {0: "a", (1, "b"): 2, "$array": 3, "$tuple": []},
        "arrays": {"a/b": np.zeros(2), "a": {"b": np.ones(3)}},
        "empty": [np.zeros((0, 3)), np.array(5), np.array(["ä", "b"])],
        "objects": np.array([["one", None], ["two", "three"]], dtype=object),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": 2**200,
    }
    _container.write(path, "test", content)
    found = _container.read(path, "test")
    np.testing.assert_equal(found, content)
    assert str(found) == str(content)
    assert [type(s) for s in found["scalars"]] == [type(s) for s in content["scalars"]]
    assert found["keys"].keys() == content["keys"].keys()
    assert found["arrays"]["a/b"].shape == (2,)


# --------------------------------------------------------------- code is not in a file


def activate(batch):
    """Make a view of a batch, as a user's function does."""
    return batch + 0.1 * torch.randn_like(batch)


@pytest.mark.parametrize("augmentation", [activate, SeededCallable(activate)])
@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_code_is_given_again(make, blobs, path, augmentation):
    X, _ = blobs
    encoder = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.Tanh())
    model = make(encoder=encoder, augmentation=augmentation).fit(X)
    model.save(path)
    # Of other weights: those of the file are taken.
    again = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.Tanh())
    other = skdeepclust.load(path, encoder=again, augmentation=augmentation)
    assert other.encoder is again
    for name in METHODS:
        expected = getattr(model, name)(X)
        np.testing.assert_array_equal(getattr(other, name)(X), expected)
    with pytest.raises(TypeError, match=r"holds no code, and encoder was torch.*Seq"):
        skdeepclust.load(path, augmentation=augmentation)
    # Without views the embedding would be another one.
    with pytest.raises(
        TypeError, match=r"augmentation was .*load\(path, augmentation="
    ):
        skdeepclust.load(path, encoder=again, augmentation=None)
    with pytest.raises(TypeError, match=r"was given tol, which .*model.npz holds"):
        skdeepclust.load(path, encoder=again, augmentation=augmentation, tol=0.1)
    with pytest.raises(ValueError, match=r"(?s)npz cannot be read.*Is encoder and"):
        skdeepclust.load(path, encoder=nn.Linear(6, 9), augmentation=augmentation)


@pytest.mark.parametrize("way", ["pickle", "cloudpickle", "joblib"])
@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_pickle_holds_code(make, blobs, tmp_path, way):
    X, _ = blobs
    encoder = nn.Sequential(nn.Linear(6, 12), nn.Tanh())
    model = make(encoder=encoder, augmentation=activate).fit(X)
    other = WAYS[way](model, tmp_path)
    np.testing.assert_array_equal(other.predict(X), model.labels_)


def test_what_cannot_be_saved_is_named(path, tiny, blobs):
    model = SelfPacedContrastiveClustering(hidden_layer_sizes=range(3))
    with pytest.raises(TypeError, match=r"hidden_layer_sizes=range\(0, 3\).*range"):
        model.save(path)
    model = tiny().fit(blobs[0])
    model.notes_ = {"of": [object()]}
    with pytest.raises(TypeError, match=r"notes_.of.0=<object.* of type object"):
        model.save(path)
    assert not [*path.parent.iterdir()]


# ----------------------------------------------------------------- which class it is


def test_load_by_class(tiny, blobs, path):
    X, _ = blobs
    model = tiny().fit(X)
    model.save(str(path))
    assert_alike(type(model).load(str(path)), model, X)
    with pytest.raises(ValueError, match=r"holds a SelfPaced.*, and GraphContrastive"):
        skdeepclust.GraphContrastiveClustering.load(path)


def test_load_of_a_class_of_ones_own(tiny, blobs, path):
    X, _ = blobs

    class Own(SelfPacedContrastiveClustering):
        pass

    model = Own(**tiny().get_params()).fit(X)
    model.save(path)
    assert_alike(skdeepclust.load(path), model, X)
    assert_alike(SelfPacedContrastiveClustering.load(path), model, X)
    content = _container.read(path, "estimator")
    _container.write(path, "estimator", {**content, "_class": "Unknown"})
    with pytest.raises(ValueError, match=r"holds a Unknown.*import a class"):
        skdeepclust.load(path)


# ------------------------------------------------------------------------- schemas


def test_newer_schema_is_refused(tiny, path, monkeypatch):
    model = tiny()
    with monkeypatch.context() as patch:
        patch.setattr(_container, "SCHEMA", 2)
        patch.setattr(_container, "__version__", "7.8.9")
        model.save(path)
    with pytest.raises(
        ValueError, match=r"npz has schema 2, .* 7.8.9: newer"
    ) as caught:
        skdeepclust.load(path)
    assert "Update skdeepclust" in str(caught.value)
    state = {**model.__getstate__(), "_schema": 2, "_version": "7.8.9"}
    with pytest.raises(ValueError, match=r"The state of SelfPaced.* has schema 2"):
        tiny().__setstate__(state)


def test_older_schema_is_migrated_or_refused(tiny, blobs, path, monkeypatch):
    X, _ = blobs
    model = tiny().fit(X)
    model.save(path)
    data = pickle.dumps(model)
    monkeypatch.setattr(_container, "SCHEMA", 3)
    with pytest.raises(ValueError, match=r"has schema 1, .* no longer reads. Load it"):
        skdeepclust.load(path)
    monkeypatch.setitem(
        _container.MIGRATIONS, ("estimator", 1), lambda state: {**state, "tol": 0.5}
    )
    with pytest.raises(ValueError, match=r"The state of .* no longer reads"):
        pickle.loads(data)
    monkeypatch.setitem(
        _container.MIGRATIONS,
        ("estimator", 2),
        lambda state: {**state, "tol": 2 * state["tol"]},
    )
    for other in (skdeepclust.load(path), pickle.loads(data)):
        assert other.tol == 1.0
        np.testing.assert_array_equal(other.predict(X), model.labels_)


def test_pickle_without_schema_is_refused(tiny):
    state = tiny().__getstate__()
    del state["_schema"]
    with pytest.raises(ValueError, match="has schema 0"):
        tiny().__setstate__(state)


def test_file_names_the_versions(tiny, path):
    tiny().save(path)
    with np.load(path, allow_pickle=False) as file:
        document = json.loads(file["content.json"])
    assert document["version"] == skdeepclust.__version__
    assert document["schema"] == _container.SCHEMA == 1
    assert document["written_with"]["torch"] == torch.__version__


def test_other_kind_is_refused(path):
    _container.write(path, "checkpoint", {})
    with pytest.raises(ValueError, match="npz holds a checkpoint, and estimator was"):
        skdeepclust.load(path)


# -------------------------------------------------------------------------- faults


class Evil:
    """Executes code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def good(tiny, blobs, path):
    """Return the bytes of a good file."""
    tiny(**FEW["tiny"]).fit(blobs[0]).save(path)
    return path.read_bytes()


def refuse(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.npz") as caught:
        skdeepclust.load(path)
    assert str(path) in str(caught.value)


def test_flipped_byte_is_refused(good, path):
    rng = np.random.default_rng(0)
    near_ends = [*range(40), *range(len(good) - 120, len(good))]
    for position in [*near_ends, *rng.integers(len(good), size=100)]:
        content = bytearray(good)
        content[position] ^= 1 << rng.integers(8)
        refuse(path, bytes(content))


def test_truncated_file_is_refused(good, path):
    sizes = np.random.default_rng(0).integers(len(good), size=30)
    for size in [0, 1, 4, 50, 83, len(good) - 64, len(good) - 1, *sizes]:
        refuse(path, good[:size])
    refuse(path, good + b"\0")
    refuse(path, good[1000:])


def test_file_that_is_not_ours_is_refused(path):
    refuse(path, b"")
    refuse(path, b"any text")
    other = io.BytesIO()
    np.savez(other, a=np.ones(3))
    refuse(path, other.getvalue())
    with pytest.raises(FileNotFoundError):
        skdeepclust.load(path.with_name("other.npz"))
    with pytest.raises(IsADirectoryError):
        skdeepclust.load(path.parent)


def test_pickle_in_its_place_executes_nothing(path, tmp_path, good):
    mark = tmp_path / "executed"
    refuse(path, pickle.dumps(Evil(mark)))
    torch.save({"a": Evil(mark)}, path)
    refuse(path, path.read_bytes())
    joblib.dump(Evil(mark), path)
    refuse(path, path.read_bytes())
    other = io.BytesIO()
    np.savez(other, content=np.array([Evil(mark)], dtype=object))
    refuse(path, other.getvalue())
    assert not mark.exists()
    # It would have been.
    pickle.loads(pickle.dumps(Evil(mark)))
    assert mark.exists()


def forge(path, entries):
    """Write any entries, with a checksum that is right."""
    with path.open("w+b") as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.comment = _container._MARK + b"0" * _container._DIGITS
            for name, content in entries.items():
                archive.writestr(name, content)
        digest = _container._digest(file)
        file.seek(-len(digest), os.SEEK_END)
        file.write(digest)


def test_forged_file_executes_nothing(path, tmp_path, good):
    mark = tmp_path / "executed"
    array = io.BytesIO()
    np.save(array, np.array([Evil(mark)], dtype=object), allow_pickle=True)
    path.write_bytes(good)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    forge(path, entries)
    assert skdeepclust.load(path).labels_ is not None
    document = json.loads(entries["content.json"])
    content = document["content"]
    forged = [
        {**entries, "labels_.npy": array.getvalue()},
        {**entries, "labels_.npy": pickle.dumps(Evil(mark))},
        {name: entries[name] for name in entries if name != "labels_.npy"},
        {**entries, "content.json": b"{"},
        {**entries, "content.json": b"[" * 10**5},
        {**entries, "content.json": b"[]"},
        *(
            {**entries, "content.json": json.dumps({**document, **change})}
            for change in (
                {"content": 3},
                {"content": {}},
                {"kind": "other"},
                {"schema": "1"},
                {"schema": None},
                {"content": {**content, "_spec": {"$tensor": 3}}},
                {"content": {**content, "_spec": {"$views": ["Other", {}]}}},
                {"content": {**content, "_spec": {"$sparse": {"kind": "os"}}}},
                {"content": {**content, "_spec": {"shape": [2]}}},
                {"content": {**content, "_spec": {"$scalar": ["O", 3]}}},
                {"content": {**content, "network_": {}}},
                {"content": {**content, "_built": {"n_clusters_": "three"}}},
                {"content": {**content, "_built": 3}},
                {"content": {**content, "_class": "Evil"}},
                {"content": {**content, "_class": []}},
                {"content": {**content, "_code": 3}},
            )
        ),
    ]
    for forgery in forged:
        forge(path, forgery)
        refuse(path, path.read_bytes())
    assert not mark.exists()


def test_deeply_nested_file_is_refused_whatever_the_limit_of_recursion(path, good):
    path.write_bytes(good)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    forge(path, {**entries, "content.json": b"[" * 10**6})
    limit = sys.getrecursionlimit()
    # As some packages set it: beyond what the stack can bear.
    sys.setrecursionlimit(10**7)
    try:
        with pytest.raises(ValueError, match="nested more than 100 deep"):
            skdeepclust.load(path)
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_failed_save_keeps_the_old_file(tiny, path, good, monkeypatch, function):
    def fail(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        with pytest.raises(OSError, match="No space left"):
            tiny(n_clusters=2).save(path)
    assert path.read_bytes() == good
    assert [*path.parent.iterdir()] == [path]
    with pytest.raises(FileNotFoundError):
        tiny().save(path.parent / "missing" / "model.npz")


def test_save_is_deterministic(tiny, blobs, path, good):
    tiny(**FEW["tiny"]).fit(blobs[0]).save(path)
    assert path.read_bytes() == good


def test_sparse_indices_that_point_outside_are_refused(tiny_graph, blobs, path):
    """They would have SciPy read the memory of others."""
    tiny_graph(head_epochs=2, pretrain_epochs=1).fit(blobs[0]).save(path)
    content = _container.read(path, "estimator")
    content["affinity_matrix_"].indices[3] = 10**8
    _container.write(path, "estimator", content)
    with pytest.raises(ValueError, match=r"indices|index"):
        skdeepclust.load(path)
