"""Fits that go on from an earlier one, by ``warm_start``."""

import copy
import pickle

import numpy as np
import pytest
from conftest import estimator
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score

# Few epochs are too few for some clusters.
pytestmark = pytest.mark.filterwarnings("ignore:.*clusters are empty")

FEW = {"pretrain_epochs": 10, "head_epochs": 20}
AGAIN = {
    "tiny": ["center", "head", "contrastive", "final_head"],
    "tiny_graph": ["joint", "final_head"],
}


@pytest.fixture(scope="module")
def fitted(blobs):
    """Give one of the estimators, that has been fitted once to all the blobs."""
    models = {k: estimator(k, warm_start=True, **FEW).fit(blobs[0]) for k in AGAIN}
    return lambda name: copy.deepcopy(models[name])


def stages(history):
    return list(dict.fromkeys(row["stage"] for row in history))


def weights(model):
    return {k: v.numpy().copy() for k, v in model.network_.state_dict().items()}


@pytest.mark.parametrize("name", AGAIN)
def test_warm_start_runs_all_stages_but_pretraining(fitted, name, blobs):
    X, _ = blobs
    model = fitted(name)
    first, labels = model.history_, model.labels_
    model.fit(X)
    assert model.history_[: len(first)] == first
    assert stages(model.history_[len(first) :]) == AGAIN[name]
    assert model.n_iter_ == len(model.history_)
    assert adjusted_rand_score(model.labels_, labels) > 0.9
    np.testing.assert_array_equal(model.predict(X), model.labels_)


@pytest.mark.parametrize("name", AGAIN)
def test_warm_start_begins_with_the_fitted_weights(fitted, name, blobs):
    X, _ = blobs
    model = fitted(name)
    before, labels, network = weights(model), model.labels_, model.network_
    embedding = model.transform(X)
    still = ("center_epochs", "head_epochs", "contrastive_epochs", "joint_epochs")
    model.set_params(**{k: 0 for k in still if k in model.get_params()}).fit(X)
    # Nothing is trained, and nothing is learned anew.
    np.testing.assert_equal(weights(model), before)
    np.testing.assert_array_equal(model.labels_, labels)
    assert model.network_ is not network
    # Other data are scaled as those were that the weights were learned from.
    model.fit(2 * X[50:] + 0.1)
    np.testing.assert_array_equal(model.transform(X), embedding)


@pytest.mark.parametrize("name", AGAIN)
def test_warm_start_takes_new_data_and_is_deterministic(fitted, name, blobs):
    X, y = blobs
    model = fitted(name)
    loaded = pickle.loads(pickle.dumps(model))
    model.fit(X[50:] + 0.1)
    assert model.labels_.shape == (70,)
    assert model.embedding_.shape == (70, 4)
    assert adjusted_rand_score(y, model.predict(X)) > 0.9
    loaded.fit(X[50:] + 0.1)
    np.testing.assert_equal(weights(loaded), weights(model))
    assert loaded.history_ == model.history_


def test_warm_start_of_a_clone_begins_anew(fitted, blobs):
    model = fitted("tiny")
    assert clone(model).fit(blobs[0]).history_ == model.history_


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"n_clusters": 4}, "n_clusters=4 is not the 3 of the fit"),
        ({"n_init": 2}, "n_init=2 makes several runs"),
        ({"n_components": 5}, "encoder, n_components or hidden_layer_sizes"),
        ({"hidden_layer_sizes": (8,)}, "set it back"),
        (
            {"pretraining": "reconstruction"},
            "pretraining='reconstruction' with augmentation='auto' would make",
        ),
        (
            {"augmentation": None},
            "pretraining='auto' with augmentation=None would make",
        ),
        ({"image_shape": (2, 3)}, r"image_shape=\(2, 3\) is not the shape \(6,\)"),
        ({"image_shape": (3, 3)}, "9 values per image, but X has 6"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_warm_start_refuses_another_network_and_keeps_the_fit(
    fitted, blobs, parameters, match
):
    X, _ = blobs
    model = fitted("tiny")
    before, labels = weights(model), model.labels_
    with pytest.raises(ValueError, match=match):
        model.set_params(**parameters).fit(X)
    np.testing.assert_equal(weights(model), before)
    assert model.labels_ is labels


def test_warm_start_refuses_other_features(fitted, tiny, blobs, images):
    X, _ = blobs
    model = fitted("tiny")
    with pytest.raises(ValueError, match=r"X has 4 features, but .* expecting 6"):
        model.fit(X[:, :4])
    with pytest.raises(ValueError, match="minimum of 2"):
        model.fit(X[:1])
    quick = {**FEW, "encoder": "mlp", "warm_start": True}
    pictures = tiny(**quick).fit(images[0][:30])
    with pytest.raises(ValueError, match=r"X has images of shape \(1, 4, 16\)"):
        pictures.fit(images[0].reshape(-1, 4, 16))


def test_interrupted_warm_start_keeps_the_fit_and_goes_on(fitted, blobs, tmp_path):
    X, _ = blobs
    model = fitted("tiny")
    first = pickle.dumps(model)
    labels = model.labels_

    def interrupting(batch):
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        return batch

    def fit(model, n_calls):
        nonlocal left
        left = n_calls
        return model.set_params(augmentation=interrupting).fit(X)

    left = 0
    plain = fit(pickle.loads(first), -1)
    model.set_params(checkpoint_dir=tmp_path / "checkpoints")
    with pytest.raises(KeyboardInterrupt):
        fit(model, 6)
    assert model.labels_ is labels
    # A model that has not been fitted begins with other weights, and elsewhere.
    assert fit(clone(model), -1).history_[0]["stage"] == "pretraining"
    loaded = pickle.loads(first)
    fit(loaded.set_params(checkpoint_dir=tmp_path / "checkpoints"), -1)
    np.testing.assert_equal(weights(loaded), weights(plain))
    assert loaded.history_ == plain.history_
