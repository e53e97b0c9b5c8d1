import copy
import pickle
import warnings
from contextlib import contextmanager

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from conftest import QUICK, assert_a_center_for_each_cluster
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted
from torch import nn

from skdeepclust import LITERAL_PARAMETERS, SelfPacedContrastiveClustering
from skdeepclust.metrics import accuracy_scorer, neighbor_modularity

# What is run here is measured by other tests; measuring would take longer.
pytestmark = pytest.mark.no_cover

STAGES = ["pretraining", "center", "head", "contrastive", "final_head"]


def stages(model):
    return list(dict.fromkeys(row["stage"] for row in model.history_))


# ------------------------------------------------------------------ what it learns


def test_fit_finds_blobs(tiny, blobs):
    X, y = blobs
    model = tiny(pretrain_epochs=200).fit(X)
    assert adjusted_rand_score(y, model.labels_) > 0.9
    assert stages(model) == STAGES


def test_fit_finds_digits_as_images(tiny, images):
    X, y = images
    model = tiny(pretrain_epochs=100).fit(X)
    assert adjusted_rand_score(y, model.labels_) > 0.8


def test_fit_does_not_look_at_labels(tiny, blobs):
    X, y = blobs
    np.testing.assert_array_equal(tiny().fit(X, y).labels_, tiny().fit(X).labels_)


def without(*left_out):
    return [stage for stage in STAGES if stage not in left_out]


END_TO_END = ["pretraining", "head", "joint", "final_head"]
DECODED = {"pretraining": "reconstruction"}


@pytest.mark.parametrize(
    ("parameters", "expected", "least"),
    [
        ({"init": "neighbors"}, STAGES, 0.95),
        ({"training": "joint"}, END_TO_END, 0.95),
        ({"training": "joint", **DECODED}, END_TO_END, 0.95),
        # The thesis's assignments hardly tell clusters apart: two of three are merged.
        ({"assignment": "student_t"}, STAGES, 0.5),
        ({"pair_similarity": "cosine"}, STAGES, 0.95),
        ({"pair_similarity": "centered_cosine"}, STAGES, 0.95),
        ({"pretraining": "contrastive"}, STAGES, 0.95),
        (DECODED, STAGES, 0.5),
        ({**DECODED, "denoising": 0.2}, STAGES, 0.95),
        ({"augmentation": None}, STAGES, 0.95),
        ({"head_epochs": 0}, without("head", "final_head"), 0.5),
        ({"center_epochs": 0}, without("center"), 0.95),
        ({"contrastive_epochs": 0}, without("contrastive"), 0.95),
        ({"pretrain_epochs": 0}, without("pretraining"), 0.95),
    ],
    ids=lambda given: str(sorted(given) if isinstance(given, set) else given),
)
def test_fit_every_switch_trains(tiny, blobs, parameters, expected, least):
    """From k-means, for clusters of neighbors would be right whatever is trained."""
    X, y = blobs
    if "init" not in parameters:
        parameters = {"init": "kmeans", **parameters}
        expected = [stage for stage in expected if stage != "final_head"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # some do collapse
        model = tiny(**parameters).fit(X)
    assert stages(model) == expected
    decoded = parameters.get("augmentation", "auto") is None or DECODED.items() <= (
        parameters.items()
    )
    rows = [r for r in model.history_ if r["stage"] in ("pretraining", "center")]
    for row in rows:
        assert ("reconstruction" in row) == decoded
        assert ("nt_xent" in row) == (not decoded)
    lengths = np.linalg.norm(model.embedding_, axis=1)
    assert np.allclose(lengths, 1, atol=1e-5) == (not decoded)
    for stage in {"pretraining", "head"}.intersection(expected):
        losses = [row["loss"] for row in model.history_ if row["stage"] == stage]
        assert losses[-1] < losses[0]
    assert adjusted_rand_score(y, model.labels_) > least


def test_fit_literal_recipe_trains(blobs):
    X, _ = blobs
    parameters = {
        **LITERAL_PARAMETERS,
        "pretrain_epochs": 1,
        "center_epochs": 1,
        "contrastive_epochs": 1,
        "hidden_layer_sizes": (8,),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = SelfPacedContrastiveClustering(3, random_state=0, **parameters).fit(X)
    assert stages(model) == ["pretraining", "center", "contrastive"]
    # Equations 3.5 and 3.7, and none of our terms.
    _, center, contrastive = model.history_
    expected = 0.7 * center["view_consistency"]
    expected += center["weighted_center"] / center["assignment_scale"] ** 2
    assert center["loss"] == pytest.approx(expected, rel=1e-5)
    assert contrastive["loss"] == contrastive["pair_contrastive"]


def test_history_has_every_term_and_the_pairs(tiny, blobs):
    X, _ = blobs
    model = tiny(pretraining="reconstruction").fit(X)
    frame = pd.DataFrame(model.history_).set_index("stage")
    assert frame.loc["pretraining", "reconstruction"].notna().all()
    for term in ("reconstruction", "view_consistency", "weighted_center"):
        assert frame.loc["center", term].notna().all()
    shares = frame.loc[["contrastive"], [f"{k}_pairs" for k in PAIRS]]
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    assert ((shares >= 0) & (shares <= 1)).all(axis=None)


PAIRS = ("positive", "negative", "ambiguous")


def test_zero_weight_thresholds_decide_who_takes_part(tiny, blobs):
    X, _ = blobs
    model = tiny(positive_threshold=1.0, negative_threshold=-1.0).fit(X)
    rows = [row for row in model.history_ if row["stage"] == "contrastive"]
    assert rows[0]["negative_pairs"] == 0
    assert rows[0]["pair_contrastive"] == 0


# ------------------------------------------------------------- what it gives back


def test_predictions_agree_with_labels(tiny, images):
    X, _ = images
    model = tiny(5, **QUICK).fit(X)
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    probabilities = model.predict_proba(X)
    assert probabilities.shape == (len(X), 5)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-12)
    np.testing.assert_array_equal(probabilities.argmax(1), model.labels_)
    np.testing.assert_array_equal(model.transform(X), model.embedding_)
    used = np.unique(model.labels_)
    np.testing.assert_array_equal(used, np.arange(len(used)))
    assert (np.diff(np.bincount(model.labels_)) <= 0).all()
    for k in used:
        np.testing.assert_allclose(
            model.cluster_centers_[k],
            model.embedding_[model.labels_ == k].mean(0),
            rtol=1e-5,
        )
    expected = neighbor_modularity(model.embedding_, model.labels_)
    assert model.score(X) == pytest.approx(expected)
    assert list(model.get_feature_names_out()) == [
        f"selfpacedcontrastiveclustering{i}" for i in range(4)
    ]


def test_predict_one_image_is_what_it_is_among_many(tiny, images):
    X, _ = images
    model = tiny(**QUICK).fit(X)
    whole = model.transform(X)
    for rows in (slice(0, 1), slice(100, 117)):
        alone = model.transform(X[rows])
        np.testing.assert_allclose(alone, whole[rows], rtol=0, atol=1e-6)
        np.testing.assert_array_equal(model.predict(X[rows]), model.labels_[rows])


def test_image_forms_are_the_same_data(tiny, images):
    X, _ = images
    reference = tiny(**QUICK).fit(X).labels_
    flat = X.reshape(len(X), -1)
    for form, shape in (
        (X[:, None], None),
        (flat, (8, 8)),
        (flat, (1, 8, 8)),
        (torch.from_numpy(X.copy()), None),
    ):
        model = tiny(image_shape=shape, **QUICK).fit(form)
        np.testing.assert_array_equal(model.labels_, reference)
        assert model.n_features_in_ == 64
        np.testing.assert_array_equal(model.predict(flat), reference)


def test_narrow_images_are_taken_where_image_shape_names_them(tiny, images):
    X = images[0].reshape(-1, 8, 8)[:, :6, :3].repeat(5, axis=0).reshape(-1, 5, 6, 3)
    model = tiny(image_shape=(5, 6, 3), encoder="mlp", **QUICK).fit(X)
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    with pytest.raises(ValueError, match=r"image_shape=\(5, 6, 3\)"):
        tiny(encoder="mlp", **QUICK).fit(X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_transform_keeps_float_dtype(tiny, images, dtype):
    X, _ = images
    model = tiny(**QUICK).fit(X.astype(dtype))
    expected = np.float32 if dtype == np.uint8 else dtype
    assert model.transform(X.astype(dtype)).dtype == expected
    assert model.embedding_.dtype == expected


def test_frames_in_and_out(tiny, blobs):
    X, _ = blobs
    names = list("abcdef")
    reference = tiny().fit(X)
    for frame in (pd.DataFrame(X, columns=names), pl.DataFrame(X, schema=names)):
        model = tiny().fit(frame)
        np.testing.assert_array_equal(model.labels_, reference.labels_)
        assert list(model.feature_names_in_) == names
    out = (
        tiny()
        .set_output(transform="pandas")
        .fit_transform(pd.DataFrame(X, columns=names))
    )
    assert list(out.columns) == list(reference.get_feature_names_out())
    out = model.set_output(transform="polars").transform(frame)
    assert out.columns == list(reference.get_feature_names_out())
    np.testing.assert_array_equal(out.to_numpy(), reference.embedding_)


def test_pipeline_and_grid_search(tiny, blobs):
    X, y = blobs
    pipeline = make_pipeline(StandardScaler(), tiny())
    search = GridSearchCV(
        pipeline,
        {"selfpacedcontrastiveclustering__temperature": [0.2, 0.5]},
        cv=2,
        scoring=accuracy_scorer,
        error_score="raise",
    ).fit(X, y)
    assert search.best_score_ > 0.9
    model = tiny(**QUICK)
    label_free = GridSearchCV(model, {"center_weight": [0.0, 0.1]}, cv=2).fit(X)
    tested = np.split(np.arange(len(X)), 2)
    scores = [
        tiny(center_weight=weight, **QUICK).fit(X[rest]).score(X[test])
        for weight in (0.0, 0.1)
        for test, rest in (tested, tested[::-1])
    ]
    found = [label_free.cv_results_[f"split{i}_test_score"] for i in (0, 1)]
    np.testing.assert_allclose(np.ravel(found, order="F"), scores, rtol=1e-6)


# ------------------------------------------------------------------- reproducible


def test_same_seed_same_labels_and_globals_untouched(tiny, images):
    X, _ = images
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = tiny(**QUICK).fit(X)
    torch.rand(3)
    torch.set_rng_state(before[0])
    second = tiny(**QUICK).fit(X)
    np.testing.assert_array_equal(first.embedding_, second.embedding_)
    np.testing.assert_array_equal(first.labels_, second.labels_)
    first.predict(X)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    other = tiny(**{**QUICK, "random_state": 1}).fit(X)
    assert not np.array_equal(first.embedding_, other.embedding_)


@pytest.mark.xdist_group("workers")
def test_n_init_keeps_a_run_that_others_agree_with_for_any_n_jobs(tiny, images):
    X, _ = images
    seeds = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=3)
    quick = {**QUICK, "encoder": "mlp"}
    n_threads = torch.get_num_threads()
    with _one_thread():
        singles = [
            tiny(**{**quick, "random_state": _Seeds(seed)}).fit(X) for seed in seeds
        ]
    agreement = [
        sum(adjusted_rand_score(one.labels_, other.labels_) for other in singles)
        for one in singles
    ]
    assert min(agreement) < max(agreement) - 0.05
    model = tiny(n_init=3, **quick).fit(X)
    (kept,) = (
        i
        for i, single in enumerate(singles)
        if np.array_equal(single.embedding_, model.embedding_)
    )
    assert kept != int(np.argmin(agreement))
    np.testing.assert_array_equal(model.labels_, singles[kept].labels_)
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    assert model.history_ == singles[kept].history_
    parallel = tiny(n_init=3, n_jobs=2, **quick).fit(X)
    np.testing.assert_array_equal(parallel.labels_, model.labels_)
    np.testing.assert_array_equal(parallel.embedding_, model.embedding_)
    assert torch.get_num_threads() == n_threads


def test_n_init_without_head_epochs_keeps_a_run_as_it_is(tiny, images):
    X, _ = images
    seeds = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=2)
    with warnings.catch_warnings(), _one_thread():
        warnings.simplefilter("ignore", ConvergenceWarning)
        parameters = {**QUICK, "encoder": "mlp", "head_epochs": 0}
        singles = [
            tiny(**{**parameters, "random_state": _Seeds(seed)}).fit(X)
            for seed in seeds
        ]
        model = tiny(n_init=2, **parameters).fit(X)
    kept = [
        single
        for single in singles
        if np.array_equal(single.embedding_, model.embedding_)
    ]
    assert len(kept) == 1
    np.testing.assert_array_equal(model.labels_, kept[0].labels_)
    assert model.n_iter_ == kept[0].n_iter_


@contextmanager
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class _Seeds(np.random.RandomState):
    """Gives one prescribed seed."""

    def __init__(self, seed):
        super().__init__(0)
        self.prescribed = seed

    def randint(self, *args, **kwargs):
        return np.array([self.prescribed])


def test_round_trips_predict_alike_without_torch_objects(tiny, images, tmp_path):
    X, _ = images
    model = tiny(**QUICK).fit(X)
    data = pickle.dumps(model)
    assert b"torch" not in data
    joblib.dump(model, tmp_path / "model.joblib")
    for other in (
        pickle.loads(data),
        copy.deepcopy(model),
        joblib.load(tmp_path / "model.joblib"),
    ):
        np.testing.assert_array_equal(other.transform(X), model.embedding_)
        np.testing.assert_array_equal(other.predict(X), model.labels_)
        assert other.get_params() == model.get_params()


def test_unpickle_without_the_device_falls_back_to_cpu(tiny, blobs):
    X, _ = blobs
    model = tiny().fit(X)
    model.device = "cuda:7"
    other = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(other.predict(X), model.labels_)


# ---------------------------------------------------------------------- real parts


def test_user_encoder_is_copied_not_changed(tiny, blobs):
    X, _ = blobs
    encoder = nn.Sequential(nn.Linear(6, 12), nn.Tanh())
    before = copy.deepcopy(encoder.state_dict())
    model = tiny(encoder=encoder, n_components=None).fit(X)
    assert model.embedding_.shape[1] == 12
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name])
    assert clone(model).encoder is not None
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(model)).predict(X), model.labels_
    )


def test_user_augmentation_from_global_generator_is_reproducible(tiny, images):
    X, _ = images

    def augmentation(batch):
        return batch + 0.1 * torch.randn_like(batch)

    state = torch.get_rng_state()
    first = tiny(augmentation=augmentation, **QUICK).fit(X)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    second = tiny(augmentation=augmentation, **QUICK).fit(X)
    np.testing.assert_array_equal(first.embedding_, second.embedding_)


class RandomErasing(nn.Module):
    """As in kornia: draws for each sample, globally, and remembers what it drew."""

    def __init__(self, p=0.5):
        super().__init__()
        self.p = p
        self._params = {}

    def forward(self, batch, params=None):
        assert self.training
        if params is None:
            n, _, height, _ = batch.shape
            chosen = torch.distributions.Bernoulli(self.p).sample((n,))
            params = {"chosen": chosen, "row": torch.randint(0, height, (n,))}
        self._params = params
        rows = torch.arange(batch.shape[2])[None] == params["row"][:, None]
        erased = rows & (params["chosen"][:, None] > 0)
        return batch.masked_fill(erased[:, None, :, None], 0.0)


def test_augmentation_modules_of_kornia_and_torchvision(tiny, images):
    X, _ = images
    few = {"encoder": "mlp", "pretrain_epochs": 2, "center_epochs": 2}
    # Modules in a Sequential, as torchvision composes them.
    views = nn.Sequential(RandomErasing(), nn.Dropout(0.1))
    state = torch.get_rng_state()
    first = tiny(augmentation=views, **few).fit(X)
    assert torch.equal(torch.get_rng_state(), state)
    second = tiny(augmentation=clone(first).augmentation, **few).fit(X)
    np.testing.assert_array_equal(first.embedding_, second.embedding_)
    np.testing.assert_array_equal(first.predict(X), first.labels_)
    assert (
        first.embedding_
        != tiny(augmentation=RandomErasing(0.0), **few).fit(X).embedding_
    ).any()


# -------------------------------------------------------------------------- faults


GOOD = np.random.default_rng(0).normal(size=(30, 6))


@pytest.mark.parametrize(
    ("X", "parameters", "match"),
    [
        (GOOD[:, :4], {"image_shape": (2, 2), "encoder": "conv"}, "8 x 8.*2 x 2"),
        (GOOD, {"encoder": "conv"}, "image_shape"),
        (GOOD, {"device": "tpu"}, "device='tpu'.*'cpu'"),
        (GOOD, {"temperature": 0}, "temperature"),
        (GOOD, {"n_clusters": 0}, "n_clusters"),
        (GOOD, {"negative_threshold": 0.8}, "negative_threshold=0.8 must be below"),
        (GOOD, {"center_epochs": -1}, "center_epochs"),
        (GOOD, {"pretrain_epochs": 1.5}, "pretrain_epochs"),
        (GOOD, {"encoder": "vgg"}, "encoder"),
        (GOOD, {"augmentation": "strong"}, "augmentation"),
        (
            GOOD,
            {"augmentation": None, "pretraining": "contrastive"},
            "pretraining='contrastive'.*augmentation=None",
        ),
        (GOOD, {"hidden_layer_sizes": (0,)}, "hidden_layer_sizes"),
        (GOOD, {"hidden_layer_sizes": (2.5,)}, "hidden_layer_sizes"),
        (np.zeros((20, 32, 32, 3)), {"encoder": "conv"}, "channels"),
    ],
)
def test_fit_bad_input_says_what_and_leaves_nothing(tiny, X, parameters, match):
    model = tiny().fit(GOOD)
    model.set_params(**parameters)
    with pytest.raises(ValueError, match=match):
        model.fit(X)
    with pytest.raises(NotFittedError):
        model.predict(GOOD)
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    assert not [name for name in vars(model) if name.endswith("_")]


def test_fit_constant_columns_and_duplicates_work(tiny, blobs):
    X = np.repeat(blobs[0][:15], 4, axis=0)
    X[:, 2] = 5.0
    model = tiny().fit(X)
    for start in range(0, 60, 4):
        assert len(set(model.labels_[start : start + 4])) == 1


def test_fit_fewer_distinct_rows_than_clusters_warns(tiny):
    X = np.repeat(np.array([[0.0, 0.0], [1.0, 1.0]]), 10, axis=0)
    with (
        pytest.warns(ConvergenceWarning, match=r"\d of n_clusters=4.* empty"),
        pytest.warns(ConvergenceWarning, match=r"2 of 4 cluster centers coincide"),
    ):
        model = tiny(4).fit(X)
    assert_a_center_for_each_cluster(model, X, 4)


def test_a_stage_that_is_not_finite_keeps_its_last_good_epoch(tiny, images):
    X, _ = images
    calls = 0

    def augmentation(batch):
        nonlocal calls
        calls += 1
        return batch * torch.nan if calls > 42 else batch

    # Two views an epoch, of pretraining and of the first epoch after it.
    model = tiny(augmentation=augmentation, center_epochs=2)
    with pytest.warns(ConvergenceWarning) as told:
        model.fit(X)
    assert "'center' with center_learning_rate=0.0003 stopped" in str(told[0].message)
    assert "finite in epoch 2 of 2" in str(told[0].message)
    assert "'contrastive' with" in str(told[1].message)
    # The head is taught what there is.
    assert stages(model) == ["pretraining", "center", "head", "final_head"]
    assert len([row for row in model.history_ if row["stage"] == "center"]) == 1
    good = {"center_epochs": 1, "contrastive_epochs": 0}
    calls = 0
    good = tiny(augmentation=augmentation, **good).fit(X)
    np.testing.assert_array_equal(model.embedding_, good.embedding_)
