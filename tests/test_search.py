"""Searches: with and without classes, in pipelines, on several processes."""

import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skdeepclust.metrics import accuracy_scorer, modularity_scorer
from skdeepclust.model_selection import silhouette_scorer, stability_scorer

# Few epochs are too few for some clusters.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*clusters are empty"),
    # What is run here is measured by other tests; measuring would take longer.
    pytest.mark.no_cover,
]

FEW = {
    "tiny": {
        "pretrain_epochs": 4,
        "center_epochs": 2,
        "head_epochs": 20,
        "resolution": None,
    },
    "tiny_graph": {
        "pretrain_epochs": 4,
        "head_epochs": 20,
        "joint_epochs": 4,
        "resolution": None,
    },
}
GRIDS = {
    "tiny": {"pretext_temperature": [0.2, 0.5, 1.0], "n_clusters": [3, 4]},
    "tiny_graph": {
        "instance_temperature": [0.2, 1.0],
        "n_neighbors": [3, 8],
        "n_clusters": [3],
    },
}
LABEL_FREE = {
    "modularity": modularity_scorer,
    "silhouette": silhouette_scorer,
    "stability": stability_scorer,
}


@pytest.fixture(params=[*FEW])
def kind(request):
    return request.param


@pytest.fixture
def estimator(request, kind):
    return request.getfixturevalue(kind)(**FEW[kind])


def scores(search):
    """Return the scores of all candidates and folds."""
    return {
        name: values
        for name, values in search.cv_results_.items()
        if name.startswith("split")
    }


def assert_same_scores(search, other):
    assert search.cv_results_["params"] == other.cv_results_["params"]
    found, expected = scores(search), scores(other)
    assert [*found] == [*expected]
    for name in found:
        np.testing.assert_array_equal(found[name], expected[name])


# ------------------------------------------------------------------- one process


HALVES = [(np.arange(60, 120), np.arange(60)), (np.arange(60), np.arange(60, 120))]
"""What ``cv=2`` makes of the blobs, as pairs of training and test samples."""


def assert_scores_of_best(search, X, y, **scorers):
    """Fit by hand what a search has fitted for its best candidate."""
    for train, test in HALVES:
        model = clone(search.estimator).set_params(**search.best_params_).fit(X[train])
        half = f"split{int(train[0] == 0)}_test"
        for name, scorer in scorers.items():
            found = search.cv_results_[f"{half}_{name}"][search.best_index_]
            assert found == scorer(model, X[test], y[test])


def test_search_with_classes(estimator, kind, blobs):
    X, y = blobs
    search = GridSearchCV(estimator, GRIDS[kind], scoring=accuracy_scorer, cv=2)
    search.fit(X, y)
    assert_scores_of_best(search, X, y, score=accuracy_scorer)
    assert search.best_score_ == search.cv_results_["mean_test_score"].max()
    assert search.best_score_ > 0.8
    best = clone(estimator).set_params(**search.best_params_).fit(X)
    np.testing.assert_array_equal(search.predict(X), best.labels_)


def test_search_without_classes(estimator, kind, blobs):
    X, y = blobs
    grid = {name: values[:2] for name, values in GRIDS[kind].items()}
    grid["n_clusters"] = [3]
    search = GridSearchCV(estimator, grid, scoring=LABEL_FREE, refit="silhouette", cv=2)
    search.fit(X)
    assert search.best_index_ == search.cv_results_["mean_test_silhouette"].argmax()
    assert_scores_of_best(search, X, y, **LABEL_FREE)
    assert search.score(X) == silhouette_scorer(search.best_estimator_, X)


def test_search_scores_by_modularity_unless_told_otherwise(tiny, blobs):
    X, _ = blobs
    model = tiny(**FEW["tiny"])
    search = GridSearchCV(model, {"pretext_temperature": [0.2]}, cv=2).fit(X)
    assert search.score(X) == modularity_scorer(search.best_estimator_, X)


def test_search_in_a_pipeline(estimator, kind, blobs):
    X, y = blobs
    name = type(estimator).__name__.lower()
    grid = {f"{name}__{key}": values[:1] for key, values in GRIDS[kind].items()}
    grid["standardscaler__with_std"] = [True, False]
    pipeline = make_pipeline(StandardScaler(), estimator)
    scoring = {"accuracy": accuracy_scorer, **LABEL_FREE}
    search = GridSearchCV(pipeline, grid, scoring=scoring, refit="silhouette", cv=2)
    search.fit(X, y)
    assert_scores_of_best(search, X, y, **scoring)
    best = clone(pipeline).set_params(**search.best_params_).fit(X)
    np.testing.assert_array_equal(search.predict(X), best[-1].labels_)
    # Scores without classes are those of the last step, on what the others make of X.
    assert search.score(X) == silhouette_scorer(best[-1], best[:-1].transform(X))


# ------------------------------------------------------------- several processes


@pytest.fixture
def one_thread():
    """Compute on one thread, as the workers are told to."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(n_threads)


def six_candidates(tiny, **options):
    grid = {"pretext_temperature": [0.2, 0.5, 1.0], "n_clusters": [3, 4]}
    scoring = {"accuracy": accuracy_scorer, "silhouette": silhouette_scorer}
    model = tiny(**FEW["tiny"])
    return GridSearchCV(model, grid, scoring=scoring, refit=False, cv=2, **options)


@pytest.mark.xdist_group("workers")
def test_n_jobs_does_not_change_scores(tiny, blobs, one_thread):
    alone = six_candidates(tiny, n_jobs=1).fit(*blobs)
    # Left alone, the two workers share the processors, and sums may have other digits.
    # The oldest joblib has no parallel_config yet.
    with joblib.parallel_backend("loky", inner_max_num_threads=1):
        together = six_candidates(tiny, n_jobs=2).fit(*blobs)
    assert_same_scores(together, alone)
    # The candidates do differ.
    assert len(np.unique(alone.cv_results_["mean_test_silhouette"])) == 6


# It starts interpreters, which takes half a minute.
@pytest.mark.slow
def test_dask_does_not_change_scores(tiny, blobs, one_thread):
    distributed = pytest.importorskip(
        "distributed", reason="searches on many machines need dask's distributed"
    )
    alone = six_candidates(tiny, n_jobs=1).fit(*blobs)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        with joblib.parallel_config(backend="dask"):
            together = six_candidates(tiny).fit(*blobs)
        used = client.run(torch.get_num_threads)
    assert_same_scores(together, alone)
    assert [*used.values()] == [1, 1]


THREADS = """
import skdeepclust, torch
from joblib import Parallel, cpu_count, delayed
from threadpoolctl import threadpool_info

def look(_):
    import skdeepclust
    pools = [pool["num_threads"] for pool in threadpool_info()]
    return [torch.get_num_threads(), *pools]

found = Parallel(n_jobs=2)(delayed(look)(i) for i in range(4))
print(max(map(max, found)), max(1, cpu_count() // 2))
"""


# It starts interpreters, which takes half a minute.
@pytest.mark.slow
def test_workers_share_the_processors(monkeypatch):
    # A fresh interpreter: the threads of this one may be limited.
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    out = subprocess.run(
        [sys.executable, "-c", THREADS], capture_output=True, text=True, check=True
    ).stdout
    most, allowed = map(int, out.split())
    assert most <= allowed
