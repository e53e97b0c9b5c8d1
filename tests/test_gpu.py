"""What holds on a GPU alone: no waiting in a step, and the same seed, the same labels.

`pytest -m gpu` runs them, and says so where there is no GPU.
"""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits

from skdeepclust import (
    DeepSubspaceClustering,
    GraphContrastiveClustering,
    SelfPacedContrastiveClustering,
)
from skdeepclust.metrics import clustering_accuracy
from skdeepclust.training.loop import Training
from skdeepclust.views import ImageViews

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]
SHORT = {
    "pretrain_epochs": 2,
    "head_epochs": 20,
    "random_state": 0,
    "device": "cuda",
}
GRAPH = {**SHORT, "joint_epochs": 2}
SELF_PACED = {
    **SHORT,
    "center_epochs": 3,
    "contrastive_epochs": 2,
}
SUBSPACE = {"pretrain_epochs": 2, "joint_epochs": 2}
SUBSPACE |= {"random_state": 0, "device": "cuda"}
COLORS = ImageViews(
    crop=(0.5, 1), flip=True, jitter=0.4, saturation=0.4, hue=0.1, gray=0.2, blur=0.5
)
MODELS = {
    "graph": GraphContrastiveClustering(10, **GRAPH),
    "graph, denoising": GraphContrastiveClustering(
        10, pretraining="denoising", **GRAPH
    ),
    "graph, updated": GraphContrastiveClustering(
        10, graph_update_interval=1, encoder="mlp", **GRAPH
    ),
    "self-paced": SelfPacedContrastiveClustering(10, **SELF_PACED),
    "self-paced, end to end": SelfPacedContrastiveClustering(
        10, end_to_end=True, pair_similarity="centered_cosine", **SELF_PACED
    ),
    "self-paced, student_t": SelfPacedContrastiveClustering(
        10, degrees_of_freedom=1.0, pretraining="reconstruction", **SELF_PACED
    ),
    "bfloat16": GraphContrastiveClustering(10, precision="bfloat16", **GRAPH),
    "subspace": DeepSubspaceClustering(10, **SUBSPACE),
}


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return (data.images[:400, None] * 15).astype(np.uint8), data.target[:400]


@pytest.fixture
def steps_never_wait(monkeypatch):
    """Let whatever waits for the device within an epoch's steps fail."""
    run_epoch = Training._run_epoch

    def watched(*arguments):
        torch.cuda.set_sync_debug_mode("error")
        try:
            return run_epoch(*arguments)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Training, "_run_epoch", watched)


@pytest.mark.usefixtures("steps_never_wait")
@pytest.mark.parametrize("name", MODELS)
def test_no_step_waits_for_the_device(name, digits):
    model = MODELS[name].fit(digits[0])
    assert model.labels_.shape == (400,)
    assert np.isfinite(model.embedding_).all()


@pytest.mark.usefixtures("steps_never_wait")
def test_no_step_of_a_resnet_on_colors_waits(digits):
    X = np.repeat(digits[0], 3, axis=1)
    model = GraphContrastiveClustering(
        10, encoder="resnet18", augmentation=COLORS, precision="bfloat16", **GRAPH
    ).fit(X)
    assert model.network_.autoencoder.encoder[0].conv1.weight.is_cuda


@pytest.mark.parametrize("name", ["graph", "self-paced"])
def test_same_seed_same_labels(name, digits):
    first = MODELS[name].fit(digits[0])
    labels, embedding = first.labels_, first.embedding_
    again = MODELS[name].fit(digits[0])
    np.testing.assert_array_equal(again.labels_, labels)
    np.testing.assert_array_equal(again.embedding_, embedding)


@pytest.mark.parametrize("name", ["graph", "self-paced"])
def test_the_gpu_finds_what_the_cpu_finds(name, digits):
    X, y = digits
    full = type(MODELS[name])
    scores = [
        clustering_accuracy(y, full(10, random_state=0, device=device).fit_predict(X))
        for device in ("cpu", "cuda")
    ]
    # Other draws and other rounding: another run of the same training.
    assert abs(scores[0] - scores[1]) < 0.1
    assert scores[1] > 0.85


@pytest.mark.parametrize("name", ["graph", "self-paced"])
def test_an_interrupted_fit_goes_on(name, digits, tmp_path, steps):
    X, model = digits[0], clone(MODELS[name])
    n_steps = steps.fit(model, X)
    expected = model.labels_
    model.set_params(checkpoint_dir=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        steps.fit(model, X, n_steps // 2)
    assert steps.fit(model, X) < n_steps
    np.testing.assert_array_equal(model.labels_, expected)


@pytest.mark.parametrize("name", ["graph", "self-paced"])
def test_pretraining_that_was_kept_goes_on(name, digits, tmp_path, steps):
    X, model = digits[0], clone(MODELS[name])
    expected = model.fit(X).embedding_
    model.set_params(memory=tmp_path)
    n_steps = steps.fit(model, X)
    assert steps.fit(model, X) < n_steps
    np.testing.assert_array_equal(model.embedding_, expected)


def test_a_model_of_a_gpu_loads_without_one(digits):
    X = digits[0]
    model = GraphContrastiveClustering(10, **GRAPH).fit(X)
    expected = model.predict_proba(X)
    # The name of a device that is not there stands for a machine without it.
    other = pickle.loads(pickle.dumps(model.set_params(device="cuda:99")))
    assert all(weight.device.type == "cpu" for weight in other.network_.parameters())
    np.testing.assert_allclose(other.predict_proba(X), expected, atol=1e-2)
