from functools import partial

import joblib
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

# Fits of two epochs a stage may leave clusters empty.
pytestmark = [
    pytest.mark.no_cover,  # fits, which other tests measure
    pytest.mark.filterwarnings("ignore:.*clusters are empty"),
]
STEPS = {
    "tiny": ("pretrain", "center", "head"),
    "tiny_graph": ("pretrain", "head", "joint"),
    "tiny_subspace": ("pretrain",),
}


@pytest.fixture(params=STEPS)
def make(request):
    """Make an estimator with two steps in each stage: bfloat16 is slow on many CPUs."""
    few = {f"{stage}_epochs": 2 for stage in STEPS[request.param]}
    return partial(request.getfixturevalue(request.param), **few)


def test_bfloat16_changes_decimals_but_no_types(make, blobs):
    X = np.float32(blobs[0])
    wide = make().fit(X)
    narrow = make(precision="bfloat16").fit(X)
    assert narrow.embedding_.dtype == np.float32
    assert not np.array_equal(narrow.embedding_, wide.embedding_)
    assert all(np.isfinite(row["loss"]) for row in narrow.history_)
    if hasattr(narrow, "predict"):
        weights = narrow.network_.parameters()
        assert {weight.dtype for weight in weights} == {torch.float32}
        np.testing.assert_array_equal(narrow.predict(X), narrow.labels_)
        np.testing.assert_array_equal(narrow.transform(X[:3]), narrow.embedding_[:3])


def test_bfloat16_computes_all_layers_narrow(make, blobs, monkeypatch):
    types = set()
    linear = torch.nn.functional.linear

    def recorded(*arguments):
        result = linear(*arguments)
        types.add(result.dtype)
        return result

    monkeypatch.setattr(torch.nn.functional, "linear", recorded)
    make(precision="bfloat16").fit(blobs[0])
    assert types == {torch.bfloat16}


@pytest.mark.parametrize("encoder", ["mlp", "conv"])
def test_bfloat16_learns_as_much(tiny, encoder):
    X = load_digits().images[:600]
    given = {"image_shape": None, "augmentation": "auto", "encoder": encoder}
    given |= {"pretrain_epochs": 10, "head_epochs": 20}

    def losses_of(precision):
        model = tiny(n_clusters=10, precision=precision, **given).fit(X)
        rows = [row for row in model.history_ if row["stage"] == "pretraining"]
        return rows[0]["nt_xent"], rows[-1]["nt_xent"]

    (first, last), (_, narrow) = losses_of("float32"), losses_of("bfloat16")
    assert narrow < last + 0.05 * (first - last)


def test_bfloat16_survives_a_file(tiny, blobs, tmp_path):
    model = tiny(precision="bfloat16", pretrain_epochs=2, head_epochs=2).fit(blobs[0])
    joblib.dump(model, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(
        loaded.predict_proba(blobs[0]), model.predict_proba(blobs[0])
    )
