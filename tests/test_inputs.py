"""What may be given as X: forms of one data set, units, shapes, and what is refused."""

import re
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from conftest import TINY, TINY_GRAPH, TINY_SUBSPACE
from sklearn.datasets import load_digits

from skdeepclust import (
    DeepSubspaceClustering,
    GraphContrastiveClustering,
    SelfPacedContrastiveClustering,
)
from skdeepclust.features import FeatureExtractor
from skdeepclust.model_selection import estimate_n_clusters

pytestmark = pytest.mark.filterwarnings("ignore:.*clusters are empty")

DIGITS = load_digits(n_class=3).images[:60]
UNIT = (DIGITS / 16).astype(np.float32)
# Nothing is trained where what is given is all that matters.
NOTHING = {"pretrain_epochs": 0, "encoder": "mlp"}
MAKERS = {
    "self_paced": lambda **given: SelfPacedContrastiveClustering(
        3,
        **{
            **{**TINY, **NOTHING, "center_epochs": 0, "contrastive_epochs": 0},
            **{"head_epochs": 0, "resolution": None, **given},
        },
    ),
    "graph": lambda **given: GraphContrastiveClustering(
        3,
        **{
            **{**TINY_GRAPH, **NOTHING, "joint_epochs": 0, "head_epochs": 0},
            **{"resolution": None, "n_neighbors": 3, **given},
        },
    ),
    "subspace": lambda **given: DeepSubspaceClustering(
        3, **{**TINY_SUBSPACE, **NOTHING, "joint_epochs": 0, **given}
    ),
}


@pytest.fixture(scope="module")
def of_unit():
    """Give an estimator that was fitted on gray images within [0, 1]."""
    return MAKERS["self_paced"]().fit(UNIT)


# ----------------------------------------------------------------------------- forms


class Foreign:
    """An array of another library: no method of NumPy's, and no gaps in what it has."""

    def __init__(self, array):
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype

    def __array__(self, dtype=None, copy=None):
        return np.array(self._array, dtype=dtype)


def in_hdf5(X, folder):
    h5py = pytest.importorskip("h5py")
    file = h5py.File(folder / "X.h5", "w")
    return file.create_dataset("X", data=X)


def in_zarr(X, folder):
    zarr = pytest.importorskip("zarr")
    return zarr.array(X)


def in_xarray(X, folder):
    return pytest.importorskip("xarray").DataArray(X)


def in_array_api(X, folder):
    return pytest.importorskip("array_api_strict").asarray(X)


def on_disk(X, folder):
    file = np.memmap(folder / "X.dat", X.dtype, "w+", shape=X.shape)
    file[:] = X
    return np.memmap(folder / "X.dat", X.dtype, "r", shape=X.shape)


def moved_on_disk(X, folder):
    return np.moveaxis(
        on_disk(np.ascontiguousarray(np.moveaxis(X, 1, -1)), folder), -1, 1
    )


FORMS = {
    "foreign": lambda X, folder: Foreign(X),
    "hdf5": in_hdf5,
    "zarr": in_zarr,
    "xarray": in_xarray,
    "array API": in_array_api,
    "tensor": lambda X, folder: torch.from_numpy(X),
    "reversed": lambda X, folder: X[::-1][::-1],
    "Fortran": lambda X, folder: np.asfortranarray(X),
    "list of arrays": lambda X, folder: list(X),
    "on disk": on_disk,
    "moved on disk": moved_on_disk,
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_images_is_the_same_data(form, tmp_path):
    X = np.stack([UNIT, UNIT[:, ::-1], UNIT[:, :, ::-1]], axis=1)
    model = MAKERS["self_paced"](pretrain_epochs=2).fit(X)
    given = FORMS[form](X, tmp_path)
    other = MAKERS["self_paced"](pretrain_epochs=2).fit(given)
    np.testing.assert_array_equal(other.embedding_, model.embedding_)
    np.testing.assert_array_equal(other.labels_, model.labels_)
    np.testing.assert_array_equal(model.transform(given), model.embedding_)
    extractor = FeatureExtractor(torch.nn.Flatten())
    np.testing.assert_array_equal(
        extractor.fit_transform(given), extractor.fit_transform(X)
    )
    found = [
        estimate_n_clusters(each, max_clusters=3, random_state=0) for each in (X, given)
    ]
    assert found[0] == found[1]


def test_tensors_of_any_kind_are_what_they_hold(of_unit):
    images = torch.from_numpy(UNIT)
    rows = images[:, 0]
    of_rows = MAKERS["self_paced"]().fit(rows)
    for model, X in ((of_unit, images), (of_rows, rows)):
        for given in (X.bfloat16(), X.clone().requires_grad_()):
            expected = model.transform(given.detach().float().numpy())
            for form in (given, [*given], tuple(given)):
                np.testing.assert_array_equal(model.transform(form), expected)


def test_reversed_rows_have_reversed_features():
    extractor = FeatureExtractor(torch.nn.Linear(64, 3), image_shape=None)
    rows = UNIT.reshape(60, -1)
    features = extractor.transform(rows)
    np.testing.assert_allclose(
        extractor.transform(rows[::-1])[::-1], features, atol=1e-6
    )
    extractor.transform(rows[:, ::-1])


def test_images_moved_on_disk_are_not_read_at_once(tmp_path):
    X = np.random.default_rng(0).random((200, 3, 64, 64)).astype(np.float32)
    given = moved_on_disk(X, tmp_path)
    model = MAKERS["self_paced"](batch_size=8, augmentation=None)
    tracemalloc.start()
    try:
        model.fit(given).predict(given)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # What torch holds is not counted, but copies of the data are.
    assert peak < X.nbytes / 2


@pytest.mark.parametrize("name", ["self_paced", "graph"])
def test_a_model_that_stays_on_disk_predicts_without_a_warning(name, tmp_path):
    joblib = pytest.importorskip("joblib")
    encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 4))
    model = MAKERS[name](encoder=encoder).fit(DIGITS)
    joblib.dump(model, tmp_path / "model.joblib")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*clusters are empty")
        loaded = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
        np.testing.assert_array_equal(loaded.predict(DIGITS), model.labels_)
        loaded.set_params(pretrain_epochs=1).fit(DIGITS)


# ----------------------------------------------------------------------------- units


AS_BYTES = np.round(DIGITS * 15.9)
SCALED = (DIGITS - DIGITS.mean()) / DIGITS.std()
FITTED = {
    "bytes as floats": AS_BYTES,
    "bytes as integers": AS_BYTES.astype(np.int64),
    "bytes": AS_BYTES.astype(np.uint8),
    "whole numbers up to 16": DIGITS,
    "standardized": SCALED,
    "unit": UNIT,
    "nearly unit": UNIT - 1e-6 * (np.arange(64).reshape(8, 8) == 5),
}
REFUSED = [
    ("bytes as floats", UNIT),
    ("bytes as floats", UNIT - 1e-6 * (UNIT.min() == UNIT)),
    ("bytes as floats", SCALED),
    ("bytes as integers", UNIT),
    ("bytes", UNIT),
    ("bytes", UNIT.astype(np.float64)),
    ("whole numbers up to 16", UNIT),
    ("standardized", UNIT),
    ("standardized", AS_BYTES),
    ("unit", AS_BYTES),
    ("unit", AS_BYTES.astype(np.uint8)),
    ("unit", DIGITS),
    ("nearly unit", AS_BYTES),
    ("nearly unit", DIGITS),
]


@pytest.fixture(scope="module")
def by_unit():
    return {name: MAKERS["self_paced"]().fit(X) for name, X in FITTED.items()}


@pytest.mark.parametrize(("fitted", "X"), REFUSED)
def test_images_in_another_unit_are_refused(by_unit, fitted, X):
    for given in (X, X[:1], X.reshape(60, -1)):
        for method in ("predict", "transform", "predict_proba"):
            with pytest.raises(ValueError, match="and the fitted images go from"):
                getattr(by_unit[fitted], method)(given)


@pytest.mark.parametrize("X", [SCALED, 2 * UNIT - 1], ids=["standardized", "signed"])
def test_images_mostly_outside_the_fitted_range_warn(by_unit, X):
    with pytest.warns(UserWarning, match=r"% of the values of X.* as the fitted"):
        by_unit["unit"].predict(X)


@pytest.mark.parametrize("fitted", FITTED)
def test_images_in_the_unit_of_those_fitted_pass(by_unit, fitted):
    model, X = by_unit[fitted], FITTED[fitted]
    rng = np.random.default_rng(0)
    noise = rng.normal(scale=0.1 * X.std(), size=X.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(model.predict(X), model.labels_)
        for i in (0, 7):
            assert model.predict(X[i : i + 1]) == model.labels_[i]
        if X.dtype.kind == "f":
            model.predict(X + noise)
        low, whole = X.min(), fitted.startswith(("bytes", "whole"))
        for dark in (X * 0 + low, (X - low) * 0.05 + low):
            # Dark images of whole numbers are whole numbers, too.
            model.predict((np.round(dark) if whole else dark).astype(X.dtype))


# ---------------------------------------------------------------------------- shapes


def test_one_image_without_its_axis_is_refused(of_unit):
    with pytest.raises(
        ValueError, match=r"shape \(8, 8\) is one image.*pass X\[None\]"
    ):
        of_unit.predict(UNIT[0])
    color = MAKERS["self_paced"]().fit(np.stack([UNIT] * 3, axis=1))
    with pytest.raises(ValueError, match=r"shape \(3, 8, 8\) is one image.*X\[None\]"):
        color.predict(np.stack([UNIT[0]] * 3))


def test_one_color_image_is_not_three_gray_ones(of_unit):
    image = np.stack([UNIT[0], 0.9 * UNIT[0], 0.8 * UNIT[0]])
    with pytest.warns(
        UserWarning, match=r"\(3, 8, 8\) may be 3 gray .* nearly the same"
    ):
        of_unit.predict(image)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        of_unit.predict(UNIT[[0, 1, 2]])
    with_axis = MAKERS["self_paced"]().fit(UNIT[:, None])
    for n in (3, 4):
        with pytest.raises(
            ValueError, match=rf"\({n}, 8, 8\) may be.*pass X\[:, None\]"
        ):
            with_axis.predict(UNIT[:n])
    with_axis.predict(UNIT[:3, None])
    assert with_axis.predict(UNIT[:5]).shape == (5,)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("n_bands", [1, 3, 4, 5, 6])
def test_channels_that_come_last_are_refused(name, n_bands):
    X = np.repeat(UNIT[..., None], n_bands, axis=-1)
    with pytest.raises(ValueError, match=r"channels last.*np.moveaxis\(X, -1, 1\)"):
        MAKERS[name]().fit(X)
    with pytest.raises(ValueError, match="channels last"):
        FeatureExtractor(torch.nn.Flatten()).fit(X)
    MAKERS[name]().fit(np.moveaxis(X, -1, 1))


@pytest.mark.parametrize("shape", [(512, 7, 7), (8, 8, 8), (12, 16, 12), (5, 24, 18)])
def test_channels_that_come_first_pass(shape):
    X = np.random.default_rng(0).random((6, *shape)).astype(np.float32)
    features = FeatureExtractor(torch.nn.Flatten(2), output=lambda h: h.mean(2))
    assert features.fit_transform(X).shape == (6, shape[0])


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("shape", [(60, 50, 3), (60, 128, 9), (60, 1, 2), (60, 40, 4)])
def test_series_are_not_images(name, shape):
    X = np.random.default_rng(0).random(shape)
    for given in (X, X.tolist()):
        with pytest.raises(
            ValueError, match="does not look like 60 gray images"
        ) as told:
            MAKERS[name]().fit(given)
        assert "X.reshape(len(X), -1)" in str(told.value)
    assert str(shape) in str(told.value)
    model = MAKERS[name](image_shape=shape[1:]).fit(X)
    assert model.n_features_in_ == np.prod(shape[1:])


class Noting(torch.nn.Module):
    """Notes the shape of the samples that it is given."""

    shape = None

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(64, 4)

    def forward(self, x):
        Noting.shape = x.shape[1:]
        return self.linear(x.flatten(1))


def test_image_shape_settles_what_rows_are():
    def shape(X, image_shape):
        MAKERS["self_paced"](image_shape=image_shape, encoder=Noting()).fit(X)
        return Noting.shape

    rows = UNIT.reshape(60, -1)
    assert shape(rows, None) == (64,)
    assert shape(rows, (8, 8)) == shape(UNIT, [8, 8]) == (1, 8, 8)
    last = UNIT.reshape(60, 4, 8, 2)
    assert shape(last, (4, 8, 2)) == (4, 8, 2)
    for other in (None, (2, 4, 8), (4, 8)):
        with pytest.raises(ValueError, match="moveaxis"):
            shape(last, other)
    for wrong in ((8.9, 8), ("8", "8"), (np.nan, 8), [[8, 8]], (0, 8), (64,)):
        with pytest.raises(ValueError, match=r"must be .* integers of at least 1"):
            shape(rows, wrong)
    with pytest.raises(ValueError, match=r"12 values per image.*64 features"):
        shape(rows, (3, 4))
    with pytest.raises(ValueError, match=r"\(1, 4, 16\) differs.*\(1, 8, 8\)"):
        shape(UNIT, (4, 16))


# --------------------------------------------------------------------------- refused


class Picture:
    """What PIL gives, as far as it matters."""

    mode = "L"

    def __init__(self, array):
        self.array = array

    def getbands(self):
        return ("L",)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.array, dtype=dtype)


def test_pictures_of_one_size_are_images(of_unit):
    labels = of_unit.predict([Picture(image) for image in UNIT])
    np.testing.assert_array_equal(labels, of_unit.labels_)


FRAME = pd.DataFrame({"a": np.arange(60.0), "color": ["red", "blue"] * 30})
TIMES = pd.DataFrame({"a": np.arange(60.0), "when": pd.date_range("2026", periods=60)})
LISTS = pd.DataFrame({"a": np.arange(60.0), "row": [[1, 2]] * 60})
DATASET = torch.utils.data.TensorDataset(torch.from_numpy(UNIT))
NO_ARRAYS = {
    "Dataset": (DATASET, TypeError, "torch TensorDataset, not an array.*torch.stack"),
    "DataLoader": (
        torch.utils.data.DataLoader(DATASET),
        TypeError,
        "DataLoader, not an array.*torch.stack",
    ),
    "generator": ((x for x in UNIT), TypeError, r"generator.*np.stack\(list\(X\)\)"),
    "LazyFrame": (
        pl.DataFrame({"a": [1.0, 2.0]}).lazy(),
        TypeError,
        r"LazyFrame.*X.collect\(\)",
    ),
    "five axes": (UNIT.reshape(60, 1, 2, 4, 8), ValueError, "dim 5"),
    "masked": (np.ma.masked_equal(UNIT, 0), ValueError, "masked"),
    "path": (Path("images"), TypeError, "'images'.* is text.*load"),
    "name": ("images.npy", TypeError, "'images.npy' is text.*load"),
    "paths": (["a.png", "b.png"], ValueError, "'a.png'.*np.asarray.*TfidfVectorizer"),
    "pictures": (
        [Picture(UNIT[0]), Picture(UNIT[0, :7])],
        ValueError,
        r"images of 2 shapes, such as \(7, 8\) and \(8, 8\).*resize",
    ),
    "text": (FRAME, ValueError, "'color' .*OneHotEncoder"),
    "text in polars": (
        pl.DataFrame(FRAME.to_dict("list")),
        ValueError,
        "'color' .*OneHotEncoder",
    ),
    "times": (TIMES, (TypeError, ValueError), "'when' .*times into numbers"),
    "lists": (LISTS, ValueError, "'row' .*np.stack"),
    "sparse": (
        sp.csr_matrix(np.eye(60)),
        TypeError,
        r"sparse.*X.toarray\(\).*sparse_threshold=0.*TruncatedSVD",
    ),
}


@pytest.mark.parametrize("kind", NO_ARRAYS)
@pytest.mark.parametrize("name", MAKERS)
def test_what_is_no_array_is_refused_with_what_to_do(name, kind):
    X, error, match = NO_ARRAYS[kind]
    model = MAKERS[name]()
    with pytest.raises(error) as told:
        model.fit(X)
    assert re.search(match, str(told.value), re.DOTALL)
    assert not model.__sklearn_is_fitted__()


@pytest.mark.parametrize("kind", [k for k in NO_ARRAYS if k != "generator"])
def test_other_classes_refuse_the_same(kind, of_unit):
    X, error, match = NO_ARRAYS[kind]
    for function in (
        FeatureExtractor(torch.nn.Flatten()).fit,
        of_unit.predict,
        estimate_n_clusters,
    ):
        with pytest.raises(error) as told:
            function(X)
        assert re.search(match, str(told.value), re.DOTALL)


@pytest.mark.parametrize(
    "parameter", ["n_clusters", "n_components", "pretrain_epochs", "random_state"]
)
@pytest.mark.parametrize("name", MAKERS)
def test_a_bool_is_no_number(name, parameter):
    with pytest.raises(ValueError, match=rf"{parameter}=True is a bool.*an integer"):
        MAKERS[name]().set_params(**{parameter: True}).fit(DIGITS)


@pytest.mark.parametrize("name", MAKERS)
def test_fit_names_itself_when_it_takes_no_such_argument(name):
    with pytest.raises(TypeError, match=r"^fit\(\) got .*'sample_weight'"):
        MAKERS[name]().fit(DIGITS, sample_weight=np.ones(60))


def test_score_of_one_sample_asks_for_two(of_unit):
    with pytest.raises(ValueError, match=r"1 sample.* minimum of 2"):
        of_unit.score(UNIT[:1])


def test_a_given_graph_whose_indices_point_outside_is_refused():
    graph = sp.csr_matrix(np.ones((60, 60)))
    graph.indices[5] = 10**6
    with pytest.raises(ValueError, match="graph is no valid matrix: indices must"):
        MAKERS["graph"](graph=graph).fit(DIGITS)
