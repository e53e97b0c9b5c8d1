from functools import partial

import numpy as np
import pytest
import torch

from skdeepclust import load

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


@pytest.fixture
def compilers(monkeypatch):
    """Stand in for torch.compile, and count what is compiled and called."""
    calls = []

    def fake(function):
        def call(x):
            calls.append(torch.is_grad_enabled())
            return function(x)

        return call

    monkeypatch.setattr(torch, "compile", fake)
    return calls


def test_bfloat16_changes_digits_but_no_types(make, blobs):
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


def test_bfloat16_survives_a_file(tiny, blobs, tmp_path):
    model = tiny(precision="bfloat16", pretrain_epochs=2, head_epochs=2).fit(blobs[0])
    model.save(tmp_path / "model.npz")
    loaded = load(tmp_path / "model.npz")
    np.testing.assert_array_equal(
        loaded.predict_proba(blobs[0]), model.predict_proba(blobs[0])
    )


def test_compile_is_for_training_only(make, blobs, compilers):
    plain = make().fit(blobs[0])
    assert not compilers
    model = make(compile=True).fit(blobs[0])
    assert len(compilers) > 1
    assert all(compilers)
    np.testing.assert_array_equal(model.embedding_, plain.embedding_)
    if hasattr(model, "predict"):
        assert model.network_.compiled is None
        assert [*model.network_.state_dict()] == [*plain.network_.state_dict()]


def test_compile_without_a_compiler_names_the_mend(tiny, blobs, monkeypatch):
    def broken(function):
        raise RuntimeError("no g++ found")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(ValueError, match=r"no g\+\+ found.*set compile=False"):
        tiny(compile=True).fit(blobs[0])


@pytest.mark.slow
def test_compile_learns_the_same(tiny, blobs):
    X = np.float32(blobs[0])
    plain = tiny(pretrain_epochs=2).fit(X)
    model = tiny(pretrain_epochs=2, compile=True).fit(X)
    np.testing.assert_allclose(model.embedding_, plain.embedding_, atol=1e-3)
