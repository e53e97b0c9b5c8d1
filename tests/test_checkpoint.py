"""Fits that are interrupted, and go on from their checkpoints."""

import io
import itertools
import json
import os
import pickle
import shutil
import subprocess
import sys
import time
import warnings
import zipfile
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from conftest import ALL, PREDICTING, Drawing, assert_same_fit, estimator
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from test_callbacks import Spy
from torch import nn

from skdeepclust.training.fingerprint import fingerprint
from skdeepclust.views import ImageViews, TableViews

# Few epochs are too few for some clusters.
pytestmark = pytest.mark.filterwarnings("ignore:.*clusters are empty")

# Centers are updated in the third epoch of their stage.
FEW = {
    "tiny": {"pretrain_epochs": 4, "center_epochs": 4, "head_epochs": 3},
    "tiny_graph": {"pretrain_epochs": 4, "head_epochs": 4, "joint_epochs": 4},
    "tiny_subspace": {"pretrain_epochs": 4, "joint_epochs": 3},
}


def few(kind, **given):
    """Make one of the estimators, of few epochs."""
    return estimator(kind, **{**FEW[kind], **given})


@pytest.fixture
def make(request):
    return partial(few, request.param)


@pytest.fixture
def quick():
    """Make one that asks no graphs, which takes most of the time."""
    return partial(few, "tiny", resolution=None)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


REAL_TIME = time.monotonic


def clock(monkeypatch, seconds):
    """Have so many seconds pass whenever someone looks at the clock."""
    ticks = itertools.count(REAL_TIME() + seconds, seconds)
    monkeypatch.setattr(time, "monotonic", lambda: next(ticks))


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch):
    """Have each epoch written, for it takes a minute."""
    clock(monkeypatch, 60.0)


def interrupt(steps, model, X, left, error=None):
    error = error or KeyboardInterrupt()
    with pytest.raises(type(error)):
        steps.fit(model, X, left, error)
    assert not model.__sklearn_is_fitted__()


def written(folder):
    """Return the one checkpoint that there is."""
    (path,) = folder.rglob("checkpoint.*")
    assert path.parent.parent == folder
    return path


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# -------------------------------------------------------------------- interrupted


@pytest.mark.parametrize("make", ALL, indirect=True)
def test_checkpoint_changes_no_bit_and_is_removed(
    make, blobs, folder, steps, monkeypatch
):
    X, _ = blobs
    plain = make()
    with monkeypatch.context() as patch:
        # Without a folder nothing is written.
        patch.setattr(torch, "save", None)
        patch.setattr(os, "fsync", None)
        n_steps = steps.fit(plain, X)
    model = make(checkpoint_dir=folder)
    # A fit after a finished one trains again.
    assert steps.fit(model, X) == steps.fit(model, X) == n_steps
    assert_same_fit(model, plain)
    assert files(folder) == []


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
    # And one when all has been trained and written.
    replace = os.replace

    def written_last(*arguments):
        replace(*arguments)
        raise KeyboardInterrupt

    model = make(checkpoint_dir=folder)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", written_last)
        interrupt(steps, model, X, None)
    assert steps.count == 1
    assert steps.fit(model, X) == 0
    assert_same_fit(model, plain)


CASES = [
    ("tiny", "blobs", {"end_to_end": True, "pair_update_interval": 2}),
    ("tiny", "blobs", {"degrees_of_freedom": 1.0, "pair_similarity": "cosine"}),
    ("tiny", "blobs", {"augmentation": None, "pretraining": "denoising"}),
    (
        "tiny",
        "blobs",
        {"center_epochs": 0, "head_epochs": 0, "contrastive_epochs": 6},
    ),
    ("tiny_graph", "blobs", {"graph_update_interval": 1}),
    ("tiny_graph", "blobs", {"graph": "self_expression", "resolution": None}),
    ("tiny_graph", "blobs", {"heads": "instance", "graph": "knn"}),
    ("tiny_graph", "blobs", {"joint_epochs": 0}),
    # Convolutions keep weights, and the optimizer's moments, in another order.
    ("tiny", "images", {}),
    ("tiny_graph", "images", {}),
    pytest.param(
        "tiny_subspace",
        "blobs",
        {"coefficients": "learned", "joint_epochs": 8},
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.no_cover
@pytest.mark.parametrize(("make", "data", "parameters"), CASES, indirect=["make"])
def test_interrupted_fit_goes_on_whatever_is_trained(
    make, data, parameters, request, folder, steps, monkeypatch
):
    X, _ = request.getfixturevalue(data)
    plain = make(**parameters)
    n_steps = steps.fit(plain, X)
    model = make(checkpoint_dir=folder, **parameters)
    for seconds in (60.0, 0.0, 60.0):
        # How often it is written changes nothing.
        clock(monkeypatch, seconds)
        interrupt(steps, model, X, n_steps // 4)
    assert 0 < steps.fit(model, X) < n_steps
    assert_same_fit(model, plain)


@pytest.mark.parametrize(("seconds", "n_each"), [(0.0, 10**9), (1.0, 6), (60.0, 1)])
def test_a_stage_is_written_every_few_seconds(
    quick, blobs, folder, monkeypatch, seconds, n_each
):
    X, _ = blobs
    n_written, replace = 0, os.replace

    def count(*arguments):
        nonlocal n_written
        n_written += 1
        replace(*arguments)

    clock(monkeypatch, seconds)
    monkeypatch.setattr(os, "replace", count)
    model = quick(checkpoint_dir=folder, head_epochs=20).fit(X)
    n_epochs = {}
    for row in model.history_:
        n_epochs[row["stage"]] = row["epoch"]
    # At the end of each stage, and after so many epochs.
    n_least = len(n_epochs) + sum((n - 1) // n_each for n in n_epochs.values())
    assert n_least <= n_written <= n_least + len(n_epochs)
    assert n_each > 1 or n_written == len(model.history_)


def test_a_search_with_workers_has_a_folder_for_each_fit(quick, blobs, folder):
    search = GridSearchCV(
        quick(checkpoint_dir=folder),
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


def test_another_fit_leaves_a_checkpoint_alone(quick, blobs, folder, steps):
    X, _ = blobs
    interrupt(steps, quick(checkpoint_dir=folder), X, 8)
    path = written(folder)
    content = path.read_bytes()
    changed = X.copy()
    changed[7, 3] += 1e-9
    n_steps = steps.fit(quick(), X)
    for data, parameters in (
        (changed, {}),
        (X.astype(np.float32), {}),
        (X, {"learning_rate": 0.02}),
        (X, {"random_state": 1}),
        (X, {"augmentation": torch.relu}),
        (X, {"encoder": nn.Linear(6, 4)}),
    ):
        assert steps.fit(quick(checkpoint_dir=folder, **parameters), data) == n_steps
        assert path.read_bytes() == content
    assert written(folder) == path
    # The same values in another order of memory.
    model = quick(checkpoint_dir=folder)
    assert steps.fit(model, np.asfortranarray(X)) == n_steps - 8


class _Extra(nn.Identity):
    def __init__(self, state):
        super().__init__()
        self.state = state


LINEAR = nn.Linear(2, 2)
VALUES = {
    "encoder": [
        *("mlp", "conv", LINEAR, nn.Linear(2, 2), nn.Linear(2, 2).bfloat16()),
        *(nn.Sequential(LINEAR), nn.Sequential(LINEAR, nn.ReLU())),
        *(nn.Sequential(LINEAR, nn.Tanh()), _Extra([1, 2]), _Extra([1, 3])),
    ],
    "augmentation": [
        *(None, "auto", torch.relu, partial(torch.relu), partial(torch.tanh)),
        *(partial(torch.clamp, min=0), partial(torch.clamp, min=1)),
        *(ImageViews(), ImageViews(noise=0.1), TableViews()),
    ],
    "random_state": [0, 1, np.random.RandomState(0), np.random.RandomState(1)],
    "graph": ["knn", "input", np.eye(9), sp.eye(9), 2 * sp.eye(9)],
}
SAME = {
    "hidden_layer_sizes": [(1, 2), [1, 2], [np.int64(1), 2], np.array([1, 2])],
    "learning_rate": [0.5, np.float64(0.5)],
    "encoder": [nn.ReLU(), nn.ReLU()],
    "graph": [sp.eye(3, format="csr"), sp.eye(3, format="coo")],
    "memory": ["here", Path("here")],
}


def test_fingerprint_tells_parameters_apart():
    def hashes(name, values):
        return [fingerprint({name: v}, np.eye(2), (2,))[name] for v in values]

    for name, values in VALUES.items():
        assert len({*hashes(name, values)}) == len(values)
    for name, values in SAME.items():
        assert len({*hashes(name, values)}) == 1


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("encoder failed")])
def test_fit_that_fails_goes_on(quick, blobs, folder, steps, error):
    X, _ = blobs
    interrupt(steps, quick(checkpoint_dir=folder), X, 9, error)
    model, plain = quick(checkpoint_dir=folder), quick()
    assert steps.fit(model, X) == steps.fit(plain, X) - 9
    assert_same_fit(model, plain)


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
    plain = make(n_init=3)
    n_steps = steps.fit(plain, X) // 3
    model = make(n_init=3, n_jobs=n_jobs, checkpoint_dir=folder)
    interrupt(steps, model.set_params(n_jobs=None), X, n_steps + n_steps // 2)
    (own,) = folder.iterdir()
    assert files(own) == [
        "run-0",
        "run-0/checkpoint.pt",
        "run-1",
        "run-1/checkpoint.pt",
    ]
    assert steps.fit(model.set_params(n_jobs=n_jobs), X) < 2 * n_steps
    assert_same_fit(model, plain)
    assert files(folder) == []


@pytest.mark.parametrize("make", PREDICTING, indirect=True)
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
    assert_same_fit(model, plain)


def test_fit_without_seed_goes_on_with_its_own(quick, blobs, folder, steps):
    X, _ = blobs
    model = quick(random_state=None, checkpoint_dir=folder)
    interrupt(steps, model, X, 9)
    seeds = torch.load(written(folder), weights_only=True)["seeds"]
    plain = quick(random_state=_Prescribed(seeds))
    assert steps.fit(model, X) == steps.fit(plain, X) - 9
    assert_same_fit(model, plain)


class _Prescribed(np.random.RandomState):
    def __init__(self, seeds):
        super().__init__(0)
        self.seeds = seeds

    def randint(self, *arguments, **keywords):
        return np.array(self.seeds)


def test_fit_with_random_state_goes_on(quick, blobs, folder, steps):
    X, _ = blobs
    model = quick(random_state=np.random.RandomState(3), checkpoint_dir=folder)
    interrupt(steps, model, X, 5)
    # In the same process, then as in another one.
    interrupt(steps, model, X, 5)
    model.set_params(random_state=np.random.RandomState(3))
    plain = quick(random_state=np.random.RandomState(3))
    assert steps.fit(model, X) == steps.fit(plain, X) - 10
    assert_same_fit(model, plain)
    assert model.random_state.rand() == plain.random_state.rand()


def test_training_that_stops_being_finite_removes_its_checkpoint(quick, images, folder):
    calls = 0

    def augmentation(batch):
        nonlocal calls
        calls += 1
        return batch * torch.nan if calls > 8 else batch

    with pytest.warns(UserWarning, match="stopped being finite"):
        quick(augmentation=augmentation, checkpoint_dir=folder).fit(images[0])
    assert files(folder) == []


def test_callbacks_hear_of_what_is_still_trained(quick, blobs, folder, steps):
    pytest.importorskip("sklearn.callback")
    X, _ = blobs
    plain = quick().fit(X)
    interrupt(steps, quick(checkpoint_dir=folder), X, 8)
    spy = Spy()
    model = quick(checkpoint_dir=folder).set_callbacks(spy).fit(X)
    assert len(spy.epochs()) == len(plain.history_) - 8
    assert model.history_ == plain.history_


# ------------------------------------------------------------------------- killed


# Two interpreters and twenty kills, which take most of a minute.
@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_fit_goes_on_bit_for_bit(tmp_path):
    script = [sys.executable, Path(__file__).with_name("killed.py"), tmp_path]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    # 0: by a process that was not there when the others were killed.
    for n in (10, 0):
        subprocess.run([*map(str, script), str(n), "0"], check=True, env=environment)
    for folder in tmp_path.iterdir():
        kills = json.loads((folder / "kills.json").read_text())
        assert len(kills) == 10
        assert len({kind for kind, _ in kills}) > 2
        whole = joblib.load(folder / "whole.joblib")
        ended = [*folder.glob("ended-*.joblib")]
        assert folder / "ended-last.joblib" in ended
        for path in ended:
            assert_same_fit(joblib.load(path), whole)
        assert files(folder / "checkpoints") == []


# ------------------------------------------------------------------------ refused


class Evil:
    """Executes code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def archived(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def test_damaged_checkpoint_is_refused(quick, blobs, folder, steps, tmp_path):
    X, _ = blobs
    model = quick(checkpoint_dir=folder)
    interrupt(steps, model, X, 8)
    path, mark = written(folder), tmp_path / "executed"
    good = path.read_bytes()
    content = torch.load(path, weights_only=True)

    def refuse(damaged):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="delete it") as caught:
            steps.fit(model, X)
        assert str(path) in str(caught.value)
        assert path.read_bytes() == damaged
        assert steps.count == 0

    def outcome():
        try:
            return steps.fit(model, X)
        except ValueError as error:
            return str(error)

    # Truncated, of others, or forged.
    for size in (0, 1, len(good) // 2, len(good) - 22, len(good) - 1):
        refuse(good[:size])
    evil = {**content, "seeds": Evil(mark)}
    for other in (b"\x80\x04N.", pickle.dumps(Evil(mark)), archived(evil)):
        refuse(other)
    for other in (3, {}, {"fingerprint": {}}, {**content, "fingerprint": 3}):
        refuse(archived(other))
    assert not mark.exists()
    # A changed bit anywhere is seen, or is in a gap.
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
    rng, plain = np.random.default_rng(0), quick()
    n_steps = steps.fit(plain, X)
    positions = [rng.integers(len(good), size=50), rng.integers(start, len(good), 50)]
    n_refused = 0
    for position in np.concatenate(positions):
        changed = bytearray(good)
        changed[position] ^= 1 << rng.integers(8)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(changed)
        found = outcome()
        if isinstance(found, str):
            n_refused += 1
            assert str(path) in found
            assert steps.count == 0
            assert path.read_bytes() == changed
        else:
            assert found == n_steps - 8
            assert_same_fit(model, plain)
    assert n_refused > 80
    # The attribute of a folder, of which torch would read nothing.
    path.parent.mkdir(exist_ok=True)
    changed = bytearray(good)
    changed[start + 38] |= 16
    refuse(bytes(changed))
    path.write_bytes(good)
    assert steps.fit(model, X) == n_steps - 8
    assert_same_fit(model, plain)


def test_damaged_run_is_refused_before_anything_is_trained(quick, blobs, folder, steps):
    X, _ = blobs
    model = quick(n_init=2, checkpoint_dir=folder)
    interrupt(steps, model, X, steps.fit(quick(), X) + 3)
    (path,) = folder.glob("*/run-1/checkpoint.pt")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"run-1.* damaged"):
        steps.fit(model, X)
    assert steps.count == 0


def test_checkpoint_in_the_place_of_another_is_refused(quick, blobs, folder, steps):
    X, _ = blobs
    interrupt(steps, quick(checkpoint_dir=folder), X, 2)
    first = written(folder)
    content = first.read_bytes()
    for parameters, named in [
        ({"learning_rate": 0.02}, "learning_rate"),
        ({"random_state": 1}, "random_state"),
        ({"augmentation": torch.relu}, "augmentation"),
        ({"temperature": 0.4, "center_epochs": 3}, "center_epochs, temperature"),
    ]:
        model = quick(checkpoint_dir=folder, **parameters)
        interrupt(steps, model, X, 2)
        (path,) = {*folder.rglob("checkpoint.pt")} - {first}
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"another fit, which differs in {named}"):
            model.fit(X)
        assert path.read_bytes() == content
        shutil.rmtree(path.parent)


def test_checkpoint_that_does_not_fit_is_refused(quick, blobs, folder, steps):
    # By the names of what is in it, all is well.
    X, _ = blobs
    model = quick(checkpoint_dir=folder)
    interrupt(steps, model, X, 8)
    path = written(folder)
    content = torch.load(path, weights_only=True)
    content["learned"]["network"].popitem()
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"checkpoint.pt does not fit what"):
        model.fit(X)


def test_what_changes_nothing_may_change(quick, blobs, folder, steps, tmp_path):
    X, _ = blobs
    interrupt(steps, quick(checkpoint_dir=str(folder)), X, 8)
    moved = shutil.move(folder, tmp_path / "moved")
    others = {"n_jobs": 2, "verbose": 0, "hidden_layer_sizes": [np.int64(16)]}
    others |= {"memory": str(tmp_path / "memory"), "learning_rate": np.float64(6e-3)}
    model = quick(checkpoint_dir=moved, **others)
    assert steps.fit(model, X) == steps.fit(quick(), X) - 8


@pytest.mark.parametrize("make", ALL, indirect=True)
def test_bad_folder_is_refused(make, blobs):
    with pytest.raises(ValueError, match="'checkpoint_dir' parameter"):
        make(checkpoint_dir=3).fit(blobs[0])


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


def test_full_disk_keeps_the_last_good_checkpoint(quick, blobs, small_disk, steps):
    X, _ = blobs
    folder = small_disk / "checkpoints"
    parameters = {"hidden_layer_sizes": (8,), "n_components": 2}
    plain = quick(**parameters).fit(X)
    interrupt(steps, quick(checkpoint_dir=folder, **parameters), X, 3)
    path = written(folder)
    kept = path.read_bytes()
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "other").write_bytes(bytes(2**21))
    # So full that a write breaks off in the middle.
    model = quick(checkpoint_dir=folder, **parameters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        interrupt(steps, model, X, 9)
    (warning,) = caught
    assert "cannot be written to" in str(warning.message)
    assert str(folder) in str(warning.message)
    assert files(path.parent) == ["checkpoint.pt"]
    assert path.read_bytes() == kept
    fit_warning_once(model, X)
    assert_same_fit(model, plain)


def test_read_only_disk_warns_once(quick, blobs, small_disk, steps):
    X, _ = blobs
    plain = quick().fit(X)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for folder in (small_disk, small_disk / "below"):
        model = quick(checkpoint_dir=folder)
        fit_warning_once(model, X)
        assert_same_fit(model, plain)


@pytest.mark.parametrize("function", ["fsync", "replace", "open"])
def test_failed_write_warns_once(quick, blobs, folder, steps, monkeypatch, function):
    X, _ = blobs
    plain = quick(n_init=2).fit(X)
    interrupt(steps, quick(n_init=2, checkpoint_dir=folder), X, 3)
    (own,) = folder.iterdir()
    path = own / "run-0" / "checkpoint.pt"
    kept = path.read_bytes()

    def fail(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(io if function == "open" else os, function, fail)
        model = quick(n_init=2, checkpoint_dir=folder)
        if function == "open":
            # Nor can it be read: that is an error, since it might be lost.
            with pytest.raises(ValueError, match=f"{path} is no .* No space left"):
                model.fit(X)
        else:
            with pytest.warns(UserWarning, match="cannot be written") as caught:
                interrupt(steps, model, X, 4)
            assert len(caught) == 1
    assert path.read_bytes() == kept
    assert files(own) == ["run-0", "run-0/checkpoint.pt"]
    assert_same_fit(quick(n_init=2, checkpoint_dir=folder).fit(X), plain)


def test_folder_that_cannot_be_made_warns_once(quick, blobs, tmp_path):
    X, _ = blobs
    (tmp_path / "file").write_text("")
    model = quick(checkpoint_dir=tmp_path / "file" / "below")
    fit_warning_once(model, X)
    assert_same_fit(model, quick().fit(X))
    with pytest.raises(ValueError, match=r"checkpoint_dir='.*file' is a file"):
        quick(checkpoint_dir=tmp_path / "file").fit(X)


def test_files_of_others_stay(quick, blobs, folder, steps):
    X, _ = blobs
    interrupt(steps, quick(n_init=2, checkpoint_dir=folder), X, 3)
    (own,) = folder.iterdir()
    for place in (folder, own, own / "run-0"):
        (place / "notes.txt").write_text("mine")
    (own / "run-0" / "checkpoint.pt.tmp17").write_text("of a killed process")
    quick(n_init=2, checkpoint_dir=folder).fit(X)
    assert files(own) == ["notes.txt", "run-0", "run-0/notes.txt"]
    assert files(folder)[:2] == [own.name, f"{own.name}/notes.txt"]
