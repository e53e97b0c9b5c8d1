"""Callbacks of scikit-learn 1.9 and newer; before it, estimators do without."""

import importlib.util
import json
import pickle
import random
import sys
import warnings

import numpy as np
import pytest
import torch
from conftest import ALL, PREDICTING
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted
from torch import nn

from skdeepclust._utils import compat
from skdeepclust.metrics import accuracy_scorer, modularity_scorer

# Few epochs are too few for some clusters.
pytestmark = pytest.mark.filterwarnings("ignore:.*clusters are empty")

STAGES = {
    "tiny": ["pretraining", "center", "head", "contrastive", "final_head"],
    "tiny_graph": ["pretraining", "head", "joint", "final_head"],
    "tiny_subspace": ["pretraining", "joint"],
}


@pytest.fixture
def callbacks():
    """Give scikit-learn's module, or skip."""
    return pytest.importorskip(
        "sklearn.callback", reason="scikit-learn 1.9 brought callbacks"
    )


@pytest.fixture
def recorder(tmp_path):
    return Recorder(tmp_path / "record")


class Callback:
    """One that does nothing."""

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        pass


class Recorder(Callback):
    """Writes the tasks to a file, to which other processes can write too."""

    max_propagation_depth = None

    def __init__(self, path):
        self.path = path
        path.touch()

    def on_fit_task_begin(self, estimator, context):
        self.write("begin", context)

    def on_fit_task_end(self, estimator, context):
        self.write("end", context)

    def write(self, hook, context):
        ids, task = [], context
        while task is not None:
            ids, task = [task.task_id, *ids], task.parent
        row = [hook, ids, context.task_name, context.max_subtasks]
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def read(self):
        """Return the tasks that began by their ids; each must have ended."""
        begun, ended = {}, []
        for line in self.path.read_text().splitlines():
            hook, ids, name, max_subtasks = json.loads(line)
            if hook == "begin":
                assert tuple(ids) not in begun
                begun[tuple(ids)] = name, max_subtasks
            else:
                ended.append(tuple(ids))
        assert sorted(ended) == sorted(begun)
        return begun

    def children(self, parent):
        """Return the names of the tasks below one."""
        below = {i: task for i, task in self.read().items() if i[:-1] == parent}
        return [name for _, (name, _) in sorted(below.items())]


class Spy(Callback):
    """Asks for everything at each end, and may end stages at an epoch."""

    def __init__(self, *stops):
        self.stops = stops
        self.seen = []

    def __getstate__(self):
        return {"stops": self.stops, "seen": []}

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, fitted_estimator=None
    ):
        # What a callback draws must not reach the training.
        random.random()
        np.random.rand()  # noqa: NPY002
        torch.rand(1)
        self.seen.append((estimator, context, X, y, fitted_estimator))
        if context.task_name != "epoch":
            # No answer but an epoch's counts.
            return True
        return (context.parent.task_name, context.task_id + 1) in self.stops

    def epochs(self):
        return [seen for seen in self.seen if seen[1].task_name == "epoch"]


def n_epochs(model, stage):
    return sum(row["stage"] == stage for row in model.history_)


# ------------------------------------------------------------------- every version


@pytest.mark.parametrize("make", ALL, indirect=True)
def test_estimators_fit_without_callbacks(make, blobs):
    model = make().fit(*blobs)
    assert hasattr(model, "set_callbacks") == (
        importlib.util.find_spec("sklearn.callback") is not None
    )
    assert not [name for name in vars(model) if "callback" in name]


def test_compat_stands_in_before_callbacks(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    spec = importlib.util.spec_from_file_location("older_compat", compat.__file__)
    older = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(older)
    assert not hasattr(older.CallbackSupportMixin(), "set_callbacks")
    assert not older.has_callbacks(older.CallbackSupportMixin())


# ------------------------------------------------------------------ the tree of tasks


@pytest.mark.parametrize("make", ALL, indirect=True)
def test_callback_sees_stages_and_epochs(callbacks, request, make, recorder, blobs):
    name = request.node.callspec.params["make"]
    model = make().set_callbacks(recorder).fit(*blobs)
    tasks = recorder.read()
    assert tasks[(0,)] == ("fit", len(STAGES[name]))
    assert recorder.children((0,)) == STAGES[name]
    total = 0
    for i in range(len(STAGES[name])):
        epochs = recorder.children((0, i))
        assert set(epochs) == {"epoch"}
        assert tasks[(0, i)] == (STAGES[name][i], len(epochs))
        assert tasks[(0, i, 0)] == ("epoch", 0)
        total += len(epochs)
    assert total == model.n_iter_ == len(model.history_)


@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_callback_sees_no_stage_without_epochs(callbacks, make, recorder, blobs):
    make(center_epochs=0).set_callbacks(recorder).fit(*blobs)
    assert recorder.children((0,)) == [
        "pretraining",
        "head",
        "contrastive",
        "final_head",
    ]


@pytest.mark.xdist_group("workers")
# Two jobs start interpreters, which takes half a minute.
@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_callback_sees_runs(callbacks, make, recorder, blobs, n_jobs):
    plain = make(n_init=2).fit(*blobs)
    model = make(n_init=2, n_jobs=n_jobs).set_callbacks(recorder).fit(*blobs)
    np.testing.assert_array_equal(model.embedding_, plain.embedding_)
    np.testing.assert_array_equal(model.labels_, plain.labels_)
    assert model.history_ == plain.history_
    tasks = recorder.read()
    assert tasks[(0,)] == ("fit", 2)
    assert recorder.children((0,)) == ["run", "run"]
    assert tasks[(0, 0)] == ("run", 5)
    for run in (0, 1):
        assert recorder.children((0, run)) == STAGES["tiny"]


@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_callback_sees_the_end_of_what_stops_being_finite(
    callbacks, make, recorder, blobs
):
    calls = 0

    def augmentation(batch):
        nonlocal calls
        calls += 1
        return batch * torch.nan if calls > 10 else batch

    model = make(augmentation=augmentation).set_callbacks(recorder)
    with pytest.warns(ConvergenceWarning, match=r"'center' .*epoch 2 of"):
        model.fit(*blobs)
    # The second epoch of the center stage has been taken back.
    assert recorder.children((0,)) == STAGES["tiny"]
    assert recorder.children((0, 1)) == ["epoch", "epoch"]
    assert n_epochs(model, "center") == 1


@pytest.mark.parametrize("make", ALL, indirect=True)
def test_progress_bar_runs_to_its_end(callbacks, make, blobs, capsys):
    pytest.importorskip("rich", reason="the progress bar needs rich")
    name = type(make()).__name__
    make().set_callbacks(callbacks.ProgressBar()).fit(*blobs)
    out = capsys.readouterr().out
    assert f"{name} - pretraining" in out
    assert "100%" in out


# --------------------------------------------------------------- fitted_estimator


@pytest.mark.parametrize("make", PREDICTING, indirect=True)
def test_fitted_estimator_is_as_if_fit_had_stopped(callbacks, make, blobs):
    X, y = blobs
    spy = Spy()
    model = make().set_callbacks(spy).fit(X, y)
    assert len(spy.epochs()) == model.n_iter_
    for i in (0, -1):
        estimator, _, seen_X, seen_y, fitted = spy.epochs()[i]
        assert seen_X is X
        assert seen_y is y
        assert estimator is model
        assert fitted is not model
        assert type(fitted) is type(model)
        assert fitted.get_params() == model.get_params()
        check_is_fitted(fitted)
        np.testing.assert_array_equal(fitted.predict(X), fitted.labels_)
        np.testing.assert_array_equal(fitted.predict_proba(X).argmax(1), fitted.labels_)
        np.testing.assert_allclose(fitted.transform(X), fitted.embedding_)
        assert np.isfinite(fitted.score(X))
        assert fitted.get_feature_names_out().shape == (fitted.embedding_.shape[1],)
        np.testing.assert_array_equal(
            pickle.loads(pickle.dumps(fitted)).predict(X), fitted.labels_
        )
    first, last = spy.epochs()[0][4], spy.epochs()[-1][4]
    assert first.history_ == model.history_[:1]
    assert first.n_iter_ == 1
    assert not np.array_equal(first.embedding_, last.embedding_)
    # The last epoch, and the whole fit, leave what the fit leaves.
    for fitted in (last, spy.seen[-1][4]):
        assert fitted.history_ == model.history_
        np.testing.assert_array_equal(fitted.embedding_, model.embedding_)
        np.testing.assert_array_equal(fitted.labels_, model.labels_)


@pytest.mark.parametrize("make", ["tiny_graph"], indirect=True)
def test_fitted_estimator_has_the_graph_of_its_own_fit(callbacks, make, blobs):
    X, y = blobs
    spy = Spy()
    model = make(n_neighbors=5, warm_start=True).set_callbacks(spy).fit(X, y)
    stages = [row["stage"] for row in model.history_]
    for stage, seen in zip(stages, spy.epochs(), strict=True):
        # There is none in the first stage, whose embedding it is built from.
        assert hasattr(seen[4], "affinity_matrix_") == (stage != "pretraining")
    assert (spy.epochs()[-1][4].affinity_matrix_ != model.affinity_matrix_).nnz == 0
    n_before = len(spy.epochs())
    first = model.affinity_matrix_
    model.set_params(n_neighbors=8).fit(X, y)
    assert model.affinity_matrix_.nnz > first.nnz
    stages = [row["stage"] for row in model.history_[n_before:]]
    assert stages[0] == "joint"
    for seen in spy.epochs()[n_before:]:
        assert seen[4].n_features_in_ == X.shape[1]
        assert (seen[4].affinity_matrix_ != model.affinity_matrix_).nnz == 0


@pytest.mark.parametrize("make", ["tiny_subspace"], indirect=True)
def test_fitted_estimator_is_none_without_predict(callbacks, make, blobs):
    spy = Spy()
    make(n_init=2).set_callbacks(spy).fit(*blobs)
    assert spy.seen
    assert all(seen[4] is None for seen in spy.seen)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("make", "n_init"), [("tiny", 2), ("tiny_graph", 1)], indirect=["make"]
)
def test_callback_changes_no_result(callbacks, make, blobs, n_init):
    # Dropout draws from the global generator, and batch statistics know the mode.
    encoder = nn.Sequential(
        nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Dropout(0.2), nn.Linear(16, 4)
    )
    parameters = {"encoder": encoder, "n_init": n_init}
    plain = make(**parameters).fit(*blobs)
    model = make(**parameters).set_callbacks(Spy()).fit(*blobs)
    assert model.history_ == plain.history_
    np.testing.assert_array_equal(model.labels_, plain.labels_)
    np.testing.assert_array_equal(model.embedding_, plain.embedding_)


@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_callback_changes_no_global_generator(callbacks, make, blobs):
    draws = []
    for model in (make(), make().set_callbacks(Spy())):
        torch.manual_seed(0)  # noqa: TID251 (a test may)
        model.fit(*blobs)
        draws.append(torch.rand(1))
    assert torch.equal(*draws)


class Counting(nn.Module):
    """Counts the batches that are embedded without training."""

    n_embedded = 0

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 4)

    def forward(self, x):
        Counting.n_embedded += not self.training
        return self.linear(x)


@pytest.mark.parametrize("make", PREDICTING, indirect=True)
def test_fitted_estimator_is_not_built_unless_asked_for(
    callbacks, make, blobs, recorder
):
    counts, encoder = [], Counting()
    for given in ((), (recorder,), (Spy(),)):
        Counting.n_embedded = 0
        model = make(encoder=encoder).set_callbacks(*given).fit(*blobs)
        counts.append(Counting.n_embedded)
    assert recorder.read()
    assert counts[0] == counts[1] <= counts[2] - model.n_iter_


@pytest.mark.parametrize(
    "scoring",
    [
        "adjusted_rand_score",
        {"accuracy": accuracy_scorer, "modularity": modularity_scorer},
    ],
    ids=["name", "scorers"],
)
@pytest.mark.parametrize("make", PREDICTING, indirect=True)
def test_scoring_monitor_scores_each_epoch(callbacks, make, blobs, scoring):
    monitor = callbacks.ScoringMonitor(scoring=scoring)
    model = make().set_callbacks(monitor).fit(*blobs)
    frame = monitor.get_logs().data_as_pandas
    # One more for the whole fit, which is as the last epoch has left it.
    assert (frame["task_name"] == "epoch").sum() == model.n_iter_ == len(frame) - 1
    scores = frame[[scoring] if isinstance(scoring, str) else [*scoring]].to_numpy()
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores[0], scores[-1])


# ------------------------------------------------------------------------- stopping


@pytest.mark.parametrize("make", ALL, indirect=True)
def test_callback_ends_a_stage(callbacks, request, make, blobs):
    stages = STAGES[request.node.callspec.params["make"]]
    plain = make().fit(*blobs)
    model = make().set_callbacks(Spy(("pretraining", 3))).fit(*blobs)
    assert n_epochs(plain, "pretraining") == 4
    assert n_epochs(model, "pretraining") == 3
    for stage in stages[1:]:
        assert n_epochs(model, stage) == n_epochs(plain, stage)


@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_callback_that_ends_a_stage_silences_no_other(callbacks, make, blobs):
    spies = Spy(*((stage, 1) for stage in STAGES["tiny"])), Spy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = make().set_callbacks(*spies).fit(*blobs)
    assert [row["stage"] for row in model.history_] == STAGES["tiny"]
    assert len(spies[0].epochs()) == len(spies[1].epochs()) == 5


# ------------------------------------------------------- inside scikit-learn's tools


@pytest.mark.parametrize("make", ALL, indirect=True)
def test_callback_of_a_pipeline_reaches_the_last_step(
    callbacks, request, make, recorder, blobs
):
    model = make()
    make_pipeline(StandardScaler(), model).set_callbacks(recorder).fit(*blobs)
    # Of the steps, the scaler and the model.
    assert recorder.children((0,)) == ["fit", "fit"]
    assert recorder.children((0, 0)) == []
    assert recorder.children((0, 1)) == STAGES[request.node.callspec.params["make"]]
    assert not [name for name in vars(model) if "callback" in name]


@pytest.mark.parametrize("make", PREDICTING, indirect=True)
def test_callback_of_a_pipeline_reaches_a_transformer(callbacks, make, blobs):
    pytest.importorskip("rich", reason="the progress bar needs rich")
    spy = Spy()
    pipeline = make_pipeline(make().set_callbacks(spy), StandardScaler())
    pipeline.set_callbacks(callbacks.ProgressBar()).fit(*blobs)
    assert len(spy.epochs()) == pipeline[0].n_iter_


@pytest.mark.xdist_group("workers")
# Two jobs start interpreters, which takes half a minute.
@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_callbacks_in_a_grid_search(callbacks, make, recorder, blobs, n_jobs):
    X, y = blobs
    monitor = callbacks.ScoringMonitor(scoring="adjusted_rand_score")
    search = GridSearchCV(
        make(resolution=None).set_callbacks(monitor),
        {"learning_rate": [3e-3, 1e-2]},
        cv=2,
        n_jobs=n_jobs,
        error_score="raise",
    )
    search.set_callbacks(recorder).fit(X, y)
    frame = monitor.get_logs().data_as_pandas
    fits = frame[frame["task_name"] == "fit"]
    # Two candidates on two splits, and the best one again.
    assert len(fits) == 5
    assert fits["adjusted_rand_score"].notna().all()
    tasks = recorder.read()
    stages = STAGES["tiny"][:-1]  # no graphs, no final head
    for path in fits["task_id_path"]:
        assert tasks[tuple(path)] == ("fit", len(stages))
        assert recorder.children(tuple(path)) == stages


# ----------------------------------------------------------------- errors and state


@pytest.mark.parametrize(
    ("hook", "n_init"),
    [
        ("setup", 1),
        ("on_fit_task_begin", 1),
        ("on_fit_task_end", 1),
        ("on_fit_task_end", 2),
    ],
)
@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_callback_that_raises_leaves_estimator_unfitted(
    callbacks, make, blobs, hook, n_init
):
    torn_down = []

    class Failing(Callback):
        def teardown(self, estimator, context):
            torn_down.append(context.task_name)

    def fail(estimator, context):
        if hook == "setup" or context.task_name == "epoch":
            raise RuntimeError("callback failed")

    callback = Failing()
    setattr(callback, hook, fail)
    model = make(n_init=n_init, resolution=None).fit(*blobs)
    fitted = {*vars(model)}
    model.set_callbacks(callback)
    with pytest.raises(RuntimeError, match="callback failed"):
        model.fit(*blobs)
    assert torn_down == ["fit"]
    assert not model.__sklearn_is_fitted__()
    assert {*vars(model)} == {*model.get_params(), "_skl_callbacks"}
    # It fits again once the callback is gone.
    assert {*vars(model.set_callbacks().fit(*blobs))} == fitted


@pytest.mark.parametrize("make", PREDICTING, indirect=True)
def test_callbacks_survive_clone_and_pickle(callbacks, make, blobs, recorder):
    X, y = blobs
    model = make().set_callbacks(recorder).fit(X, y)
    n_begun = len(recorder.read())
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict(X), model.labels_)
    assert not hasattr(clone(model), "labels_")
    for other in (copy, clone(model)):
        recorder.path.write_text("")
        other.fit(X, y)
        assert len(recorder.read()) == n_begun
