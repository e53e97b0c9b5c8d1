"""SelfPacedContrastiveClustering: what it finds, and what it gives back."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from conftest import QUICK, TINY, assert_a_center_for_each_cluster
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from torch import nn

from skdeepclust import LITERAL_PARAMETERS, SelfPacedContrastiveClustering
from skdeepclust.metrics import neighbor_modularity

# What is run here is measured by other tests; measuring would take longer.
pytestmark = pytest.mark.no_cover

STAGES = ["pretraining", "center", "head", "contrastive", "final_head"]
END_TO_END = ["pretraining", "head", "end_to_end", "final_head"]
DECODED = {"pretraining": "reconstruction"}
FLAT = {**QUICK, "encoder": "mlp"}


def stages(model):
    return list(dict.fromkeys(row["stage"] for row in model.history_))


def without(*left_out):
    return [stage for stage in STAGES if stage not in left_out]


@pytest.fixture(scope="module")
def fitted(images):
    """Give an estimator that has been fitted once to images, to five clusters."""
    return SelfPacedContrastiveClustering(5, **{**TINY, **QUICK}).fit(images[0])


# ------------------------------------------------------------------ what it learns


def test_fit_finds_blobs(tiny, blobs):
    X, y = blobs
    model = tiny(pretrain_epochs=100).fit(X)
    assert adjusted_rand_score(y, model.labels_) > 0.9
    assert stages(model) == STAGES


def test_fit_finds_digits_as_images(tiny, images):
    X, y = images
    model = tiny(pretrain_epochs=100).fit(X)
    assert adjusted_rand_score(y, model.labels_) > 0.8


@pytest.mark.parametrize("make", ["tiny", "tiny_graph"])
def test_fit_does_not_look_at_labels(request, blobs, make):
    X, y = blobs
    make = request.getfixturevalue(make)
    with_y, alone = (make(pretrain_epochs=2).fit(X, each) for each in (y, None))
    np.testing.assert_array_equal(with_y.labels_, alone.labels_)
    np.testing.assert_array_equal(with_y.embedding_, alone.embedding_)


@pytest.mark.parametrize(
    ("parameters", "expected", "least"),
    [
        ({"resolution": "auto"}, STAGES, 0.95),
        ({"end_to_end": True}, END_TO_END, 0.95),
        ({"end_to_end": True, **DECODED}, END_TO_END, 0.95),
        # The thesis's assignments hardly tell clusters apart: two of three are merged.
        ({"degrees_of_freedom": 1.0}, STAGES, 0.5),
        ({"pair_similarity": "cosine"}, STAGES, 0.95),
        ({"pair_similarity": "centered_cosine"}, STAGES, 0.95),
        ({"pretraining": "contrastive"}, STAGES, 0.95),
        (DECODED, STAGES, 0.5),
        ({"pretraining": "denoising"}, STAGES, 0.95),
        ({"augmentation": None}, STAGES, 0.95),
        # A random head, which pairs alone train.
        (
            {"head_epochs": 0, "contrastive_epochs": 20, "learning_rate": 1e-2},
            without("head", "final_head"),
            0.95,
        ),
        ({"center_epochs": 0}, without("center"), 0.95),
        ({"contrastive_epochs": 0}, without("contrastive"), 0.95),
        ({"pretrain_epochs": 0}, without("pretraining"), 0.95),
    ],
    ids=str,
)
def test_fit_every_switch_trains(tiny, blobs, parameters, expected, least):
    """From k-means, for clusters in graphs would be right whatever is trained."""
    X, y = blobs
    if "resolution" not in parameters:
        parameters = {"resolution": None, **parameters}
        expected = [stage for stage in expected if stage != "final_head"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # some do collapse
        model = tiny(**parameters).fit(X)
    assert stages(model) == expected
    assert model.n_iter_ == len(model.history_)
    decoded = not model.network_.unit_norm
    assert decoded == (
        parameters.get("augmentation", "auto") is None
        or parameters.get("pretraining") in ("reconstruction", "denoising")
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
    # Equations 3.5, but for its scale, and 3.7, and none of our terms.
    _, center, contrastive = model.history_
    expected = 0.7 * center["view_consistency"]
    expected += center["weighted_center"] / center["assignment_scale"] ** 2
    assert center["loss"] == pytest.approx(0.05 * expected, rel=1e-5)
    assert contrastive["loss"] == contrastive["pair_contrastive"]


def test_thresholds_decide_which_pairs_are_clear(tiny, blobs):
    X, _ = blobs
    model = tiny(positive_threshold=1.0, negative_threshold=-1.0, **QUICK).fit(X)
    rows = [row for row in model.history_ if row["stage"] == "contrastive"]
    assert rows[0]["negative_pairs"] == 0
    assert rows[0]["pair_contrastive"] == 0


# ------------------------------------------------------------- what it gives back


def test_predictions_agree_with_labels(fitted, images):
    X, _ = images
    np.testing.assert_array_equal(fitted.predict(X), fitted.labels_)
    probabilities = fitted.predict_proba(X)
    assert probabilities.shape == (len(X), 5)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-12)
    np.testing.assert_array_equal(probabilities.argmax(1), fitted.labels_)
    np.testing.assert_array_equal(fitted.transform(X), fitted.embedding_)
    used = np.unique(fitted.labels_)
    np.testing.assert_array_equal(used, np.arange(len(used)))
    assert (np.diff(np.bincount(fitted.labels_)) <= 0).all()
    for k in used:
        np.testing.assert_allclose(
            fitted.cluster_centers_[k],
            fitted.embedding_[fitted.labels_ == k].mean(0),
            rtol=1e-5,
        )
    expected = neighbor_modularity(fitted.embedding_, fitted.labels_)
    assert fitted.score(X) == pytest.approx(expected)
    assert list(fitted.get_feature_names_out()) == [
        f"selfpacedcontrastiveclustering{i}" for i in range(4)
    ]


def test_predict_one_image_is_what_it_is_among_many(fitted, images):
    X, _ = images
    for rows in (slice(0, 1), slice(100, 117)):
        alone = fitted.transform(X[rows])
        np.testing.assert_allclose(alone, fitted.embedding_[rows], rtol=0, atol=1e-6)
        np.testing.assert_array_equal(fitted.predict(X[rows]), fitted.labels_[rows])


def test_image_forms_are_the_same_data(tiny, fitted, images):
    flat = images[0].reshape(len(images[0]), -1)
    for form, shape in ((images[0][:, None], None), (flat, (8, 8)), (flat, (1, 8, 8))):
        model = tiny(5, image_shape=shape, **QUICK).fit(form)
        np.testing.assert_array_equal(model.labels_, fitted.labels_)
        assert model.n_features_in_ == 64
        np.testing.assert_array_equal(model.predict(flat), fitted.labels_)


def test_narrow_images_are_taken_where_image_shape_names_them(tiny, images):
    X = images[0].reshape(-1, 8, 8)[:, :6, :3].repeat(5, axis=0).reshape(-1, 5, 6, 3)
    model = tiny(image_shape=(5, 6, 3), **FLAT).fit(X)
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    with pytest.raises(ValueError, match=r"image_shape=\(5, 6, 3\)"):
        tiny(**FLAT).fit(X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_transform_keeps_float_dtype(tiny, images, dtype):
    X = images[0][:40].astype(dtype)
    model = tiny(**FLAT).fit(X)
    expected = np.float32 if dtype == np.uint8 else dtype
    assert model.transform(X).dtype == expected
    assert model.embedding_.dtype == expected


def test_frames_in_and_out(tiny, blobs):
    X, _ = blobs
    names = list("abcdef")
    reference = tiny(**QUICK).fit(X)
    for frame in (pd.DataFrame(X, columns=names), pl.DataFrame(X, schema=names)):
        model = tiny(**QUICK).fit(frame)
        np.testing.assert_array_equal(model.labels_, reference.labels_)
        assert list(model.feature_names_in_) == names
    columns = list(reference.get_feature_names_out())
    out = model.set_output(transform="polars").transform(frame)
    assert out.columns == columns
    np.testing.assert_array_equal(out.to_numpy(), reference.embedding_)
    out = model.set_output(transform="pandas").fit_transform(pd.DataFrame(frame))
    assert list(out.columns) == columns


# ---------------------------------------------------------------------- real parts


def test_user_encoder_is_copied_not_changed(tiny, blobs):
    X, _ = blobs
    encoder = nn.Sequential(nn.Linear(6, 12), nn.Tanh())
    before = copy.deepcopy(encoder.state_dict())
    model = tiny(encoder=encoder, n_components=None, **QUICK).fit(X)
    assert model.embedding_.shape[1] == 12
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name])
    assert clone(model).encoder is not None
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(model)).predict(X), model.labels_
    )


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
    # Modules in a Sequential, as torchvision composes them.
    views = nn.Sequential(RandomErasing(), nn.Dropout(0.1))
    state = torch.get_rng_state()
    first = tiny(augmentation=views, **FLAT).fit(X)
    assert torch.equal(torch.get_rng_state(), state)
    second = tiny(augmentation=clone(first).augmentation, **FLAT).fit(X)
    np.testing.assert_array_equal(first.embedding_, second.embedding_)
    np.testing.assert_array_equal(first.predict(X), first.labels_)
    other = tiny(augmentation=RandomErasing(0.0), **FLAT).fit(X)
    assert (first.embedding_ != other.embedding_).any()


# -------------------------------------------------------------------------- faults


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
        return batch * torch.nan if calls > 2 * (4 + 1) else batch

    # Two views an epoch, of pretraining and of the first epoch after it.
    few = {"augmentation": augmentation, "encoder": "mlp", "pretrain_epochs": 4}
    model = tiny(center_epochs=2, **few)
    with pytest.warns(ConvergenceWarning) as told:
        model.fit(X)
    messages = [str(each.message) for each in told]
    assert "'center' with fine_tune_learning_rate=0.0003 stopped" in messages[0]
    assert "finite in epoch 2 of 2" in messages[0]
    assert "'contrastive' with" in messages[1]
    # The head learns what there is.
    assert stages(model) == ["pretraining", "center", "head", "final_head"]
    assert len([row for row in model.history_ if row["stage"] == "center"]) == 1
    calls = 0
    good = tiny(center_epochs=1, contrastive_epochs=0, **few).fit(X)
    np.testing.assert_array_equal(model.embedding_, good.embedding_)
