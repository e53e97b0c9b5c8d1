"""Pretrained networks that `memory` keeps for fits with the same data and seed."""

from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from conftest import ALL, Drawing, assert_same_fit, few_epochs, noisy
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn

# Few epochs are too few for some clusters.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*clusters are empty"),
    # What is run here is measured by other tests; measuring would take longer.
    pytest.mark.no_cover,
]

# Steps of pretraining, one each epoch.
N_STEPS = 4
LATER = {
    "tiny": {"center_epochs": 3, "temperature": 0.4, "degrees_of_freedom": 1.0},
    "tiny_graph": {"joint_epochs": 1, "graph": "knn", "heads": "instance"},
    "tiny_subspace": {"joint_epochs": 1, "self_expression_weight": 2.0},
}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "memory"


def alike():
    """Return views of one name: of other code, another constant, another default."""

    def scaled(factor):
        return lambda batch: batch * factor

    return [
        *(scaled(1.1), scaled(1.2), lambda batch: batch + 0.1),
        *(lambda batch, by=by: batch + by for by in (0.1, 0.2)),
        *(partial(torch.mul, other=by) for by in (1.1, 1.2)),
    ]


def n_kept(folder):
    return len([*folder.rglob("output.pkl")])


@pytest.mark.parametrize("kind", ALL)
def test_a_fit_with_other_later_parameters_does_not_pretrain_again(
    kind, blobs, folder, steps
):
    X, _ = blobs
    for later in ({}, {}, LATER[kind]):
        plain, model = (few_epochs(kind, **later, memory=m) for m in (None, folder))
        n_saved = N_STEPS if n_kept(folder) else 0
        assert steps.fit(model, X) == steps.fit(plain, X) - n_saved
        assert_same_fit(model, plain)
        assert model.history_[N_STEPS - 1]["stage"] == "pretraining"
    assert n_kept(folder) == 1


def test_algorithms_share_what_both_pretrain(quick, blobs, folder, steps):
    X, _ = blobs
    quick(memory=folder).fit(X)
    plain, model = (few_epochs("tiny_graph", memory=m) for m in (None, folder))
    assert steps.fit(model, X) == steps.fit(plain, X) - N_STEPS
    assert_same_fit(model, plain)


def test_another_pretraining_is_another_entry(quick, blobs, folder, steps):
    X, _ = blobs
    quick(memory=folder).fit(X)
    changed = X.copy()
    changed[7, 3] += 1e-9
    others = [
        (changed, {}),
        (X[:-1], {}),
        (X.astype(np.float32), {}),
        *(
            (X, given)
            for given in (
                {"random_state": 1},
                {"pretrain_epochs": 3},
                {"pretraining": "reconstruction"},
                {"pretraining": "denoising"},
                {"pretext_temperature": 0.4},
                {"learning_rate": 1e-3},
                {"batch_size": 60},
                {"augmentation": noisy},
                *({"augmentation": view} for view in alike()),
                {"encoder": nn.Linear(6, 4)},
                {"encoder": nn.Sequential(nn.Linear(6, 4))},
                {"n_components": 3},
                {"hidden_layer_sizes": (8,)},
                {"precision": "bfloat16"},
            )
        ),
    ]
    for n_others, (data, given) in enumerate(others, 1):
        model = quick(memory=folder, **given)
        n_steps = steps.fit(model, data)
        assert n_kept(folder) == 1 + n_others
        n_pretrained = sum(row["stage"] == "pretraining" for row in model.history_)
        n_batches = 2 if "batch_size" in given else 1
        # And it is found again.
        assert steps.fit(model, data) == n_steps - n_batches * n_pretrained
    # The same values in another order of memory are no other data.
    model = quick(memory=folder).fit(np.asfortranarray(X))
    assert n_kept(folder) == 1 + n_others


@pytest.mark.parametrize("kind", [str, Path, lambda p: joblib.Memory(p, verbose=0)])
def test_memory_is_a_path_or_one_of_joblib(quick, blobs, folder, steps, kind):
    X, _ = blobs
    n_steps = steps.fit(quick(memory=kind(folder)), X)
    assert steps.fit(clone(quick(memory=kind(folder))), X) == n_steps - N_STEPS


@pytest.mark.parametrize("make", ALL, indirect=True)
def test_what_is_no_memory_is_refused(make, blobs):
    with pytest.raises(ValueError, match="The 'memory' parameter of"):
        make(memory=3).fit(blobs[0])


def test_code_that_draws_goes_on_as_if_it_had_pretrained(quick, blobs, folder, steps):
    X, _ = blobs
    own = {"encoder": Drawing(), "augmentation": noisy}
    plain = quick(**own)
    n_steps = steps.fit(plain, X)
    model = quick(**own, memory=folder)
    for n_saved in (0, N_STEPS):
        assert steps.fit(model, X) == n_steps - n_saved
        assert_same_fit(model, plain)


def test_each_run_has_its_own(quick, blobs, folder, steps):
    X, _ = blobs
    plain, model = (quick(n_init=2, memory=memory) for memory in (None, folder))
    n_steps = steps.fit(plain, X)
    for n_saved in (0, 2 * N_STEPS):
        assert steps.fit(model, X) == n_steps - n_saved
        assert_same_fit(model, plain)
    assert n_kept(folder) == 2
    # One of them is that of the fit with one run.
    assert steps.fit(quick(memory=folder), X) == n_steps // 2 - N_STEPS


def test_a_fit_without_seed_or_pretraining_finds_nothing(quick, blobs, folder, steps):
    X, _ = blobs
    n_steps = steps.fit(quick(), X)
    for _ in range(2):
        assert steps.fit(quick(random_state=None, memory=folder), X) == n_steps
    assert n_kept(folder) == 2
    quick(pretrain_epochs=0, memory=folder).fit(X)
    model = quick(memory=folder, warm_start=True).fit(X)
    assert n_kept(folder) == 3
    # What goes on is no pretraining.
    assert steps.fit(model.set_params(random_state=1), X) == n_steps - N_STEPS
    assert n_kept(folder) == 3


@pytest.mark.parametrize("is_kept", [True, False])
@pytest.mark.parametrize("n_before", [2, N_STEPS, N_STEPS + 2])
def test_an_interrupted_fit_goes_on(
    quick, blobs, folder, tmp_path, steps, monkeypatch, is_kept, n_before
):
    X, _ = blobs
    plain = quick()
    n_steps = steps.fit(plain, X)
    if is_kept:
        quick(memory=folder).fit(X)
        n_steps -= N_STEPS
        n_before -= 2
    # Each epoch is written, however short it is.
    monkeypatch.setattr("time.monotonic", iter(range(10**9, 10**10, 60)).__next__)
    model = quick(memory=folder, checkpoint_dir=tmp_path / "checkpoints")
    with pytest.raises(KeyboardInterrupt):
        steps.fit(model, X, n_before)
    assert steps.fit(model, X) == n_steps - n_before
    assert_same_fit(model, plain)
    assert not [*(tmp_path / "checkpoints").iterdir()]


@pytest.mark.xdist_group("workers")
def test_a_search_with_workers_pretrains_once_per_fold(quick, blobs, folder):
    search = GridSearchCV(
        quick(memory=folder),
        {"temperature": [0.3, 0.4, 0.5]},
        cv=2,
        n_jobs=2,
        error_score="raise",
    ).fit(blobs[0])
    # Each of two folds, and the refit.
    assert n_kept(folder) == 3
    plain = clone(search).set_params(n_jobs=None, estimator__memory=None).fit(blobs[0])
    for name in ("split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(search.cv_results_[name], plain.cv_results_[name])
    assert_same_fit(search.best_estimator_, plain.best_estimator_)
