"""Fits that are interrupted, and go on from their checkpoints."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn

from skdeepclust import _container
from skdeepclust.training import checkpoint, loop
from skdeepclust.training.fingerprint import describe
from skdeepclust.views import ImageViews, TableViews

# Few epochs are too few for some clusters.
pytestmark = pytest.mark.filterwarnings("ignore:.*clusters are empty")

FEW = {
    "tiny": {"pretrain_epochs": 6, "center_epochs": 5, "head_epochs": 7},
    "tiny_graph": {"pretrain_epochs": 6, "head_epochs": 9, "joint_epochs": 6},
    "tiny_subspace": {"pretrain_epochs": 6, "joint_epochs": 4},
}
ALL = [*FEW]


@pytest.fixture
def make(request, tmp_path):
    """Make one of the estimators, of few epochs."""
    make, quick = request.getfixturevalue(request.param), FEW[request.param]
    return lambda **parameters: make(**{**quick, **parameters})


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch):
    """Have each epoch written, however short it is."""
    monkeypatch.setattr(checkpoint, "_SECONDS", 0.0)


class Steps:
    """Counts the optimiser's steps, and raises before one of them."""

    def __init__(self, monkeypatch):
        self.left = None
        self.count = 0
        run_epoch = loop._run_epoch

        def run(stage, *arguments):
            def step(index):
                if self.left == 0:
                    raise self.error
                self.count += 1
                if self.left is not None:
                    self.left -= 1
                return stage.step(index)

            return run_epoch(dataclasses.replace(stage, step=step), *arguments)

        monkeypatch.setattr(loop, "_run_epoch", run)

    def fit(self, model, X, left=None, error=None):
        """Fit; return the steps that were taken, if it comes to its end."""
        self.left, self.error, self.count = left, error or KeyboardInterrupt(), 0
        try:
            model.fit(X)
        finally:
            self.left = None
        return self.count


@pytest.fixture
def steps(monkeypatch):
    return Steps(monkeypatch)


def interrupt(steps, model, X, left, error=None):
    error = error or KeyboardInterrupt()
    with pytest.raises(type(error)):
        steps.fit(model, X, left, error)
    assert not model.__sklearn_is_fitted__()


def assert_same(model, other):
    """Everything that was learnt is the same, bit for bit."""
    state, other_state = model.__getstate__(), other.__getstate__()
    assert {*state} == {*other_state}
    for name in state:
        if name.endswith("_"):
            np.testing.assert_equal(state[name], other_state[name], err_msg=name)


def written(folder):
    """Return the one checkpoint that there is."""
    (path,) = folder.rglob("checkpoint.npz")
    assert path.parent.parent == folder
    return path


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# -------------------------------------------------------------------- interrupted


@pytest.mark.parametrize("make", ALL, indirect=True)
def test_checkpoint_changes_no_digit_and_is_removed(make, blobs, folder, steps):
    X, _ = blobs
    plain = make()
    n_steps = steps.fit(plain, X)
    model = make(checkpoint_dir=folder)
    # A fit after a finished one trains again.
    assert steps.fit(model, X) == steps.fit(model, X) == n_steps
    assert_same(model, plain)
    assert files(folder) == []


@pytest.mark.parametrize("make", ALL, indirect=True)
def test_fit_without_checkpoint_dir_writes_nothing(make, blobs, monkeypatch):
    monkeypatch.setattr(_container, "write", None)
    monkeypatch.setattr(os, "fsync", None)
    make().fit(blobs[0])


@pytest.mark.parametrize("make", ALL, indirect=True)
def test_interrupted_fit_goes_on_from_each_step(
    make, blobs, folder, steps, monkeypatch
):
    X, _ = blobs
    plain = make()
    n_steps = steps.fit(plain, X)
    # A whole fit of interruptions, a step after each of them.
    for _ in range(n_steps - 1):
        interrupt(steps, make(checkpoint_dir=folder), X, 1)
        path = written(folder)
        assert files(folder) == [path.parent.name, f"{path.parent.name}/{path.name}"]
    # And one when all has been trained.
    model = make(checkpoint_dir=folder)
    with monkeypatch.context() as patch:
        patch.setattr(type(model), "_keep", None)
        with pytest.raises(TypeError):
            model.fit(X)
    assert not model.__sklearn_is_fitted__()
    assert steps.fit(model, X) == 0
    assert_same(model, plain)


CASES = [
    ("tiny", {"training": "joint", "pair_update_interval": 2}),
    ("tiny", {"assignment": "student_t", "pair_similarity": "cosine"}),
    ("tiny", {"early_stopping": True, "n_iter_no_change": 2, "tol": 0.5}),
    ("tiny", {"augmentation": None, "denoising": 0.2}),
    ("tiny", {"center_epochs": 0, "head_epochs": 0, "contrastive_epochs": 6}),
    ("tiny_graph", {"graph_update_interval": 1}),
    ("tiny_graph", {"graph": "self_expression", "init": "kmeans"}),
    ("tiny_graph", {"early_stopping": True, "n_iter_no_change": 2, "tol": 0.5}),
    ("tiny_graph", {"level": "instance", "input_neighbors": False}),
    ("tiny_graph", {"joint_epochs": 0}),
    pytest.param("tiny_subspace", {"coefficients": "learned"}, marks=pytest.mark.slow),
]


@pytest.mark.no_cover
@pytest.mark.parametrize(("make", "parameters"), CASES, indirect=["make"])
def test_interrupted_fit_goes_on_whatever_is_trained(
    make, parameters, blobs, folder, steps, monkeypatch
):
    X, _ = blobs
    plain = make(**parameters)
    n_steps = steps.fit(plain, X)
    model = make(checkpoint_dir=folder, **parameters)
    for seconds in (0, 60, 0, 60):
        # How often it is written changes nothing.
        monkeypatch.setattr(checkpoint, "_SECONDS", seconds)
        interrupt(steps, model, X, n_steps // 5)
    assert 0 < steps.fit(model, X) < n_steps
    assert_same(model, plain)


@pytest.mark.no_cover
@pytest.mark.parametrize("make", ["tiny", "tiny_graph"], indirect=True)
def test_interrupted_fit_of_images_goes_on(make, images, folder, steps):
    # Convolutions keep weights, and the optimiser's moments, in another order.
    X, _ = images
    plain = make()
    n_steps = steps.fit(plain, X)
    for left in (n_steps // 3, n_steps // 3):
        interrupt(steps, make(checkpoint_dir=folder), X, left)
    model = make(checkpoint_dir=folder)
    assert steps.fit(model, X) < n_steps // 2
    assert_same(model, plain)


@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_short_epochs_are_not_written_one_by_one(
    make, blobs, folder, steps, monkeypatch
):
    X, _ = blobs
    n_written, replace = 0, os.replace

    def count(*arguments):
        nonlocal n_written
        n_written += 1
        replace(*arguments)

    monkeypatch.undo()
    monkeypatch.setattr(os, "replace", count)
    model = make(checkpoint_dir=folder, head_epochs=60).fit(X)
    # The ends of its stages, and what a slow machine has time for.
    assert len(model.history_) > 100
    assert 5 <= n_written < 20


def test_a_search_with_workers_has_a_folder_for_each_fit(tiny, blobs, folder):
    search = GridSearchCV(
        tiny(head_epochs=5, checkpoint_dir=folder),
        {"temperature": [0.4, 0.5]},
        cv=2,
        n_jobs=2,
        error_score="raise",
    )
    # The oldest joblib has no parallel_config yet.
    with joblib.parallel_backend("threading"):
        search.fit(blobs[0])
    plain = clone(search).set_params(n_jobs=None, estimator__checkpoint_dir=None)
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"],
        plain.fit(blobs[0]).cv_results_["mean_test_score"],
    )
    assert files(folder) == []


@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_another_fit_leaves_a_checkpoint_alone(make, blobs, folder, steps):
    X, _ = blobs
    interrupt(steps, make(checkpoint_dir=folder), X, 8)
    path = written(folder)
    content = path.read_bytes()
    changed = X.copy()
    changed[7, 3] += 1e-9
    n_steps = steps.fit(make(), X)
    for data, parameters in (
        (changed, {}),
        (X.astype(np.float32), {}),
        (X, {"learning_rate": 0.01}),
        (X, {"random_state": 1}),
        (X, {"augmentation": torch.relu}),
        (X, {"encoder": nn.Linear(6, 4)}),
    ):
        assert steps.fit(make(checkpoint_dir=folder, **parameters), data) == n_steps
        assert path.read_bytes() == content
    assert written(folder) == path
    # The same values in another order of memory.
    model = make(checkpoint_dir=folder)
    assert steps.fit(model, np.asfortranarray(X)) == n_steps - 8


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("encoder failed")])
@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_fit_that_fails_goes_on(make, blobs, folder, steps, error):
    X, _ = blobs
    interrupt(steps, make(checkpoint_dir=folder), X, 9, error)
    model = make(checkpoint_dir=folder)
    assert steps.fit(model, X) == steps.fit(make(), X) - 9
    assert_same(model, make().fit(X))


# Slow with workers, which are interpreters that have to start.
@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("make", "n_jobs"),
    [
        ("tiny", None),
        pytest.param("tiny", 2, marks=pytest.mark.slow),
        ("tiny_subspace", None),
    ],
    indirect=["make"],
)
def test_interrupted_runs_go_on(make, blobs, folder, steps, n_jobs):
    X, _ = blobs
    plain = make(n_init=3).fit(X)
    n_steps = steps.fit(make(), X)
    model = make(n_init=3, n_jobs=n_jobs, checkpoint_dir=folder)
    interrupt(steps, model.set_params(n_jobs=None), X, n_steps + n_steps // 2)
    (own,) = folder.iterdir()
    assert files(own) == [
        "run-0",
        "run-0/checkpoint.npz",
        "run-1",
        "run-1/checkpoint.npz",
    ]
    steps.fit(model.set_params(n_jobs=n_jobs), X)
    assert_same(model, plain)
    assert files(folder) == []


class Drawing(nn.Module):
    """Draws from the global generator of torch even when it is not trained."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 4)

    def forward(self, x):
        return self.linear(x) + 0.01 * torch.randn(len(x), 4)


@pytest.mark.parametrize("make", ["tiny", "tiny_graph"], indirect=True)
def test_global_generators_go_on(make, blobs, folder, steps):
    X, _ = blobs
    encoder = Drawing()
    plain = make(encoder=encoder)
    n_steps = steps.fit(plain, X)
    for _ in range(3):
        torch.rand(5)
        model = make(encoder=encoder, checkpoint_dir=folder)
        interrupt(steps, model, X, n_steps // 4)
    before = torch.get_rng_state()
    assert steps.fit(model, X) > 0
    assert torch.equal(torch.get_rng_state(), before)
    assert model.history_ == plain.history_


@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_fit_without_seed_goes_on_with_its_own(make, blobs, folder, steps):
    X, _ = blobs
    model = make(random_state=None, checkpoint_dir=folder)
    interrupt(steps, model, X, 9)
    seeds = _container.read(written(folder), "checkpoint")["seeds"]
    assert steps.fit(model, X) < steps.fit(make(), X)
    plain = make(random_state=_Prescribed(seeds)).fit(X)
    assert_same(model, plain)


class _Prescribed(np.random.RandomState):
    def __init__(self, seeds):
        super().__init__(0)
        self.seeds = seeds

    def randint(self, *arguments, **keywords):
        return np.array(self.seeds)


@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_fit_with_random_state_goes_on(make, blobs, folder, steps):
    X, _ = blobs
    random_state = np.random.RandomState(3)
    model = make(random_state=random_state, checkpoint_dir=folder)
    interrupt(steps, model, X, 9)
    # In the same process, then as in another one.
    interrupt(steps, model, X, 9)
    model.set_params(random_state=np.random.RandomState(3))
    assert steps.fit(model, X) == steps.fit(make(), X) - 18
    plain = make(random_state=np.random.RandomState(3)).fit(X)
    assert_same(model, plain)
    assert model.random_state.rand() == plain.random_state.rand()


@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_training_that_stops_being_finite_removes_its_checkpoint(make, images, folder):
    calls = 0

    def augmentation(batch):
        nonlocal calls
        calls += 1
        return batch * torch.nan if calls > 12 else batch

    with pytest.warns(UserWarning, match="stopped being finite"):
        make(augmentation=augmentation, checkpoint_dir=folder).fit(images[0])
    assert files(folder) == []


@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_callbacks_hear_of_what_is_still_trained(make, blobs, folder, steps):
    pytest.importorskip("sklearn.callback")
    told = []

    class Callback:
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context):
            told.append(context.task_name)

    X, _ = blobs
    plain = make().fit(X)
    interrupt(steps, make(checkpoint_dir=folder), X, 8)
    model = make(checkpoint_dir=folder).set_callbacks(Callback())
    steps.fit(model, X)
    assert told.count("epoch") == len(plain.history_) - 8
    assert told[-1] == "fit"
    assert model.history_ == plain.history_


# ------------------------------------------------------------------------- killed


# Two interpreters and twenty kills, which take most of a minute.
@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_fit_goes_on_bit_for_bit(tmp_path):
    script = [sys.executable, Path(__file__).with_name("killed.py"), tmp_path]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    # 0: by a process that was not there when the others were killed.
    for n in (7, 0):
        subprocess.run([*map(str, script), str(n), "0"], check=True, env=environment)
    for folder in tmp_path.iterdir():
        kills = json.loads((folder / "kills.json").read_text())
        assert len(kills) == 7
        assert len({kind for kind, _ in kills}) > 2
        whole = np.load(folder / "whole.npz", allow_pickle=False)
        ended = [*folder.glob("ended-*.npz")]
        assert folder / "ended-last.npz" in ended
        for path in ended:
            found = np.load(path, allow_pickle=False)
            assert found.files == whole.files
            for entry in whole.files:
                np.testing.assert_equal(found[entry], whole[entry], err_msg=entry)
        assert files(folder / "checkpoints") == []


# ------------------------------------------------------------------------ refused


def edit(path, position, change):
    content = bytearray(path.read_bytes())
    content[position] = change(content[position])
    path.write_bytes(content)


@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_damaged_checkpoint_is_refused(make, blobs, folder, steps):
    X, _ = blobs
    model = make(checkpoint_dir=folder)
    interrupt(steps, model, X, 8)
    path = written(folder)
    good = path.read_bytes()
    damaged = [good[:-1], good[: len(good) // 2], b"", b"\x80\x04N.", good + b"\0"]
    for position in np.random.default_rng(0).integers(len(good), size=20):
        changed = bytearray(good)
        changed[position] ^= 1
        damaged.append(bytes(changed))
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ValueError, match="delete it") as caught:
            model.fit(X)
        assert str(path) in str(caught.value)
        assert path.read_bytes() == content
    path.write_bytes(good)
    assert steps.fit(model, X) == steps.fit(make(), X) - 8


@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_damaged_run_is_refused_before_anything_is_trained(make, blobs, folder, steps):
    X, _ = blobs
    model = make(n_init=2, checkpoint_dir=folder)
    interrupt(steps, model, X, steps.fit(make(), X) + 3)
    (own,) = folder.iterdir()
    edit(own / "run-1" / "checkpoint.npz", 5000, lambda byte: byte ^ 1)
    with pytest.raises(ValueError, match=r"run-1.* is damaged"):
        steps.fit(model, X)
    assert steps.count == 0


@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_checkpoint_in_the_place_of_another_is_refused(make, blobs, folder, steps):
    X, _ = blobs
    interrupt(steps, make(checkpoint_dir=folder), X, 8)
    first = written(folder)
    others = [
        ({"learning_rate": 0.01}, r"learning_rate \(there 0.003, here 0.01\)"),
        ({"random_state": 1}, r"random_state \(there 0, here 1\)"),
        ({"augmentation": torch.relu}, r"augmentation \(there 'auto', here .*relu\)"),
        (
            {"temperature": 0.4, "tol": 0.1},
            r"temperature \(there 0.5, here 0.4\), tol \(there 0.0001, here 0.1\)",
        ),
    ]
    for parameters, named in others:
        model = make(checkpoint_dir=folder, **parameters)
        interrupt(steps, model, X, 8)
        (path,) = {*folder.rglob("checkpoint.npz")} - {first}
        content = first.read_bytes()
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"another fit, which differs in {named}"):
            model.fit(X)
        assert path.read_bytes() == content
        shutil.rmtree(path.parent)


@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_checkpoint_that_does_not_fit_is_refused(make, blobs, folder, steps):
    # By the names of what is in it, all is well.
    X, _ = blobs
    model = make(checkpoint_dir=folder)
    interrupt(steps, model, X, 8)
    path = written(folder)
    content = _container.read(path, "checkpoint")
    content["learner"]["network"].popitem()
    _container.write(path, "checkpoint", content)
    with pytest.raises(ValueError, match=r"checkpoint.npz does not fit what"):
        model.fit(X)


@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_what_changes_nothing_may_change(make, blobs, folder, steps, tmp_path):
    X, _ = blobs
    interrupt(steps, make(checkpoint_dir=str(folder)), X, 8)
    moved = shutil.move(folder, tmp_path / "moved")
    others = {"n_jobs": 2, "verbose": 0, "hidden_layer_sizes": [np.int64(16)]}
    model = make(checkpoint_dir=moved, **others)
    assert steps.fit(model, X) == steps.fit(make(), X) - 8


class _Extra(nn.Identity):
    def __init__(self, state):
        super().__init__()
        self.state = state

    def get_extra_state(self):
        return self.state


def test_describe_tells_parameters_apart():
    import scipy.sparse as sp

    linear = nn.Linear(2, 2)
    values = [
        None,
        "auto",
        0.5,
        [1, 2],
        torch.relu,
        partial(torch.relu),
        partial(torch.tanh),
        partial(torch.clamp, min=0),
        partial(torch.clamp, min=1),
        linear,
        nn.Linear(2, 2),
        nn.Linear(2, 2).bfloat16(),
        nn.Sequential(linear),
        nn.Sequential(linear, nn.ReLU()),
        nn.Sequential(linear, nn.Tanh()),
        _Extra([1, 2]),
        _Extra([1, 3]),
        sp.eye(3),
        2 * sp.eye(3),
        np.random.RandomState(0),
        np.random.RandomState(1),
        ImageViews(),
        ImageViews(noise=0.1),
        TableViews(),
    ]
    assert len({*map(describe, values)}) == len(values)
    assert describe((1, 2)) == describe(np.array([1, 2]))
    assert describe(np.float64(0.5)) == describe(0.5)
    assert describe(sp.eye(3, format="csr")) == describe(sp.eye(3, format="coo"))
    assert describe(nn.ReLU()) == describe(nn.ReLU())


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("checkpoint_dir", 3)],
)
@pytest.mark.parametrize("make", ALL, indirect=True)
def test_bad_parameters_are_refused(make, blobs, parameter, value):
    with pytest.raises(ValueError, match=f"'{parameter}' parameter"):
        make(**{parameter: value}).fit(blobs[0])


# ------------------------------------------------------------- nothing can be written


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of 1 MB, where that is allowed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if (
        not shutil.which("mount")
        or subprocess.run(mount, capture_output=True).returncode
    ):
        pytest.skip("mounting is not allowed")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def fit_warning_once(model, X, match="cannot be written"):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X)
    assert sum(match in str(warning.message) for warning in caught) == 1


@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_full_disk_keeps_the_last_good_checkpoint(make, blobs, small_disk, steps):
    X, _ = blobs
    folder = small_disk / "checkpoints"
    parameters = {"hidden_layer_sizes": (8,), "n_components": 2}
    plain = make(**parameters).fit(X)
    interrupt(steps, make(checkpoint_dir=folder, **parameters), X, 3)
    path = written(folder)
    kept = path.read_bytes()
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "other").write_bytes(bytes(2**21))
    # So full that a write breaks off in the middle.
    model = make(checkpoint_dir=folder, **parameters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        interrupt(steps, model, X, 9)
    (warning,) = caught
    assert "No space left" in str(warning.message)
    assert str(folder) in str(warning.message)
    assert files(path.parent) == ["checkpoint.npz"]
    assert path.read_bytes() == kept
    fit_warning_once(model, X)
    assert_same(model, plain)


@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_read_only_disk_warns_once(make, blobs, small_disk, steps):
    X, _ = blobs
    plain = make().fit(X)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for folder in (small_disk, small_disk / "below"):
        model = make(checkpoint_dir=folder)
        fit_warning_once(model, X)
        assert_same(model, plain)


@pytest.mark.parametrize("function", ["fsync", "replace", "open"])
@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_failed_write_warns_once(make, blobs, folder, steps, monkeypatch, function):
    X, _ = blobs
    plain = make(n_init=2).fit(X)
    interrupt(steps, make(n_init=2, checkpoint_dir=folder), X, 3)
    (own,) = folder.iterdir()
    path = own / "run-0" / "checkpoint.npz"
    kept = path.read_bytes()

    def fail(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*((Path, "open") if function == "open" else (os, function)), fail)
        if function == "open":
            # Nor can it be read: that is an error, since it might be lost.
            with pytest.raises(OSError, match="No space left"):
                make(n_init=2, checkpoint_dir=folder).fit(X)
        else:
            with pytest.warns(UserWarning, match="cannot be written") as caught:
                interrupt(steps, make(n_init=2, checkpoint_dir=folder), X, 4)
            assert len(caught) == 1
    if function != "fsync":
        assert path.read_bytes() == kept
    assert files(own) == ["run-0", "run-0/checkpoint.npz"]
    model = make(n_init=2, checkpoint_dir=folder)
    steps.fit(model, X)
    assert_same(model, plain)


@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_folder_that_cannot_be_made_warns_once(make, blobs, tmp_path):
    X, _ = blobs
    (tmp_path / "file").write_text("")
    model = make(checkpoint_dir=tmp_path / "file" / "below")
    fit_warning_once(model, X)
    assert_same(model, make().fit(X))
    with pytest.raises(ValueError, match=r"checkpoint_dir='.*file' is a file"):
        make(checkpoint_dir=tmp_path / "file").fit(X)


@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_files_of_others_stay(make, blobs, folder, steps):
    X, _ = blobs
    interrupt(steps, make(n_init=2, checkpoint_dir=folder), X, 3)
    (own,) = folder.iterdir()
    for place in (folder, own, own / "run-0"):
        (place / "notes.txt").write_text("mine")
    (own / "run-0" / ".checkpoint.npz.0.tmp").write_text("of a killed process")
    make(n_init=2, checkpoint_dir=folder).fit(X)
    assert files(own) == ["notes.txt", "run-0", "run-0/notes.txt"]
    assert files(folder)[:2] == [own.name, f"{own.name}/notes.txt"]
