"""Scorers without classes, and the number of clusters."""

import pickle
import random

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.datasets import load_iris, make_blobs
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skdeepclust.model_selection import (
    StabilityScorer,
    _scorers,
    estimate_n_clusters,
    silhouette_scorer,
    stability_scorer,
)

# Few epochs are too few for some clusters.
pytestmark = pytest.mark.filterwarnings("ignore:.*clusters are empty")

METHODS = ["modularity", "stability", "eigengap"]
CUTS = {"method": "modularity"}


class Fixed(BaseEstimator):
    """Predicts what it is told to, and does nothing else."""

    def __init__(self, labels=()):
        self.labels = labels

    def fit(self, X, y=None):
        return self

    def predict(self, X):
        return np.asarray(self.labels)


@pytest.fixture
def model(tiny, blobs):
    return tiny().fit(blobs[0])


@pytest.fixture
def piped(tiny, blobs):
    return make_pipeline(StandardScaler(), tiny()).fit(blobs[0])


# ---------------------------------------------------------------------- silhouette


def test_silhouette_scorer_looks_at_the_embedding(model, blobs):
    X, _ = blobs
    score = silhouette_scorer(model, X, "ignored")
    assert type(score) is float
    expected = silhouette_score(model.transform(X), model.predict(X))
    assert score == pytest.approx(expected, abs=1e-6)


def test_silhouette_scorer_of_a_pipeline_is_that_of_its_last_step(piped, blobs):
    X, _ = blobs
    rows = piped[:-1].transform(X)
    expected = silhouette_scorer(piped[-1], rows)
    assert silhouette_scorer(piped, X) == expected
    assert silhouette_scorer(make_pipeline(piped), X) == expected
    assert silhouette_scorer(make_pipeline(piped[-1]), rows) == expected


def test_silhouette_scorer_of_other_clusterers_looks_at_the_samples(blobs):
    X, _ = blobs
    kmeans = KMeans(3, n_init=2, random_state=0).fit(X)
    assert silhouette_scorer(kmeans, X) == silhouette_score(X, kmeans.labels_)
    scaled = make_pipeline(StandardScaler(), kmeans).fit(X)
    rows = scaled[:-1].transform(X)
    assert silhouette_scorer(scaled, X) == silhouette_score(rows, scaled[-1].labels_)


def test_silhouette_scorer_takes_sparse_samples(blobs, monkeypatch):
    X = np.where(np.abs(blobs[0]) < 1, 0, blobs[0])
    kmeans = KMeans(3, n_init=2, random_state=0).fit(X)
    for most in (len(X), 40):
        monkeypatch.setattr(_scorers, "_SILHOUETTE_SAMPLES", most)
        score = silhouette_scorer(kmeans, sparse.csc_array(X))
        assert score == pytest.approx(silhouette_scorer(kmeans, X))


@pytest.mark.parametrize("scorer", [silhouette_scorer, stability_scorer])
def test_scorers_look_into_frozen_estimators(scorer, piped, model, blobs):
    X, _ = blobs
    assert scorer(FrozenEstimator(model), X) == scorer(model, X)
    assert scorer(FrozenEstimator(piped), X) == scorer(piped, X)
    ends = Pipeline([*piped.steps[:-1], ("last", FrozenEstimator(piped[-1]))])
    assert scorer(ends, X) == scorer(piped, X)


@pytest.mark.parametrize(
    ("labels", "expected"), [([4] * 10, -1.0), ([*range(10)], 0.0)]
)
def test_silhouette_scorer_at_its_limits(blobs, labels, expected):
    assert silhouette_scorer(Fixed(labels), blobs[0][:10]) == expected


def test_silhouette_scorer_draws_the_same_samples(model, blobs, monkeypatch):
    X, _ = blobs
    whole = silhouette_scorer(model, X)
    monkeypatch.setattr(_scorers, "_SILHOUETTE_SAMPLES", 40)
    score = silhouette_scorer(model, X)
    assert score == silhouette_scorer(model, X) != whole


def test_silhouette_scorer_takes_frames(model, blobs):
    X, _ = blobs
    expected = silhouette_scorer(model, X)
    assert silhouette_scorer(model.set_output(transform="pandas"), X) == expected


# ----------------------------------------------------------------------- stability


@pytest.mark.parametrize("make", ["tiny", "tiny_graph"])
def test_stability_scorer_is_between_chance_and_one(request, blobs, make):
    X, y = blobs
    model = request.getfixturevalue(make)().fit(X)
    score = stability_scorer(model, X, y)
    assert type(score) is float
    assert 0 < score <= 1
    assert score == stability_scorer(model, X)
    assert score == StabilityScorer()(pickle.loads(pickle.dumps(model)), X)


def test_stability_scorer_is_the_mean_of_both_agreements(model, blobs):
    views = StabilityScorer(n_refits=0)(model, blobs[0])
    refits = StabilityScorer(n_views=0)(model, blobs[0])
    assert stability_scorer(model, blobs[0]) == (views + refits) / 2


def test_stability_scorer_depends_on_its_seed(tiny, images):
    model = tiny(image_shape=(8, 8), min_pretrain_steps=4).fit(images[0])
    scores = {
        StabilityScorer(n_refits=0, random_state=seed)(model, images[0])
        for seed in range(5)
    }
    assert len(scores) > 1


def test_stability_scorer_compares_views_of_the_augmentation(tiny, blobs):
    X, _ = blobs
    seen = []

    def augmentation(batch):
        seen.append(batch + 0.1 * torch.randn(batch.shape))
        return seen[-1]

    model = tiny(augmentation=augmentation).fit(X)
    seen.clear()
    score = StabilityScorer(n_refits=0, n_views=3)(model, X)
    assert len(seen) == 3
    labels = [model.network_(view[: len(X)]).argmax(1).numpy() for view in seen]
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = np.mean([adjusted_rand_score(labels[i], labels[j]) for i, j in pairs])
    assert score == pytest.approx(expected)


def test_stability_scorer_fits_clones_on_the_scored_samples(model, blobs, monkeypatch):
    fitted = []
    fit = type(model).fit

    def spy(self, X, y=None):
        fitted.append((self.random_state, len(X)))
        return fit(self, X, y)

    monkeypatch.setattr(type(model), "fit", spy)
    StabilityScorer(n_refits=2)(model, blobs[0][:70])
    (seed, n), (other_seed, other_n) = fitted
    assert (n, other_n) == (70, 70)
    assert len({seed, other_seed, model.random_state}) == 3
    fitted.clear()
    StabilityScorer(n_refits=0)(model, blobs[0])
    assert not fitted


def test_stability_scorer_fits_the_last_step_of_a_pipeline(piped, blobs):
    X, _ = blobs
    expected = stability_scorer(piped[-1], piped[:-1].transform(X))
    assert stability_scorer(piped, X) == expected


@pytest.mark.parametrize("scorer", [silhouette_scorer, stability_scorer])
def test_scorers_of_a_search_are_those_of_its_best(tiny, images, scorer):
    X, _ = images
    search = GridSearchCV(tiny(min_pretrain_steps=4), {"temperature": [0.5]}, cv=2)
    search.fit(X[:60])
    expected = scorer(search.best_estimator_, X[:60])
    assert scorer(search, X[:60]) == expected
    assert scorer(FrozenEstimator(search), X[:60]) == expected


def test_stability_scorer_seeds_what_an_estimator_holds(blobs):
    X, _ = blobs
    seeds = []

    class Spy(KMeans):
        def fit(self, X, y=None):
            seeds.append(self.random_state)
            return super().fit(X)

    class Around(BaseEstimator):
        def __init__(self, inner):
            self.inner = inner

        def fit(self, X, y=None):
            self.inner.fit(X)
            return self

        def predict(self, X):
            return self.inner.predict(X)

    model = Around(Spy(3, n_init=1, random_state=0)).fit(X)
    StabilityScorer(n_refits=2)(model, X)
    assert len({*seeds}) == 3
    assert model.inner.random_state == 0


def test_stability_scorer_does_without_views(tiny, blobs):
    model = tiny(augmentation=None).fit(blobs[0])
    expected = StabilityScorer(n_views=0)(model, blobs[0])
    assert stability_scorer(model, blobs[0]) == expected
    with pytest.raises(ValueError, match=r"n_refits=0: set n_refits to 1 or more"):
        StabilityScorer(n_refits=0)(model, blobs[0])


def test_stability_scorer_takes_other_clusterers(blobs):
    X, y = blobs
    assert stability_scorer(KMeans(3, n_init=5, random_state=0).fit(X), X) == 1.0
    # Neither seed nor augmentation.
    assert stability_scorer(Fixed(y), X) == 1.0


def test_one_cluster_of_everything_is_not_stable(blobs):
    assert stability_scorer(Fixed(np.zeros(120, int)), blobs[0]) == 0.0


def test_stability_scorer_leaves_everything_as_it_was(tiny, blobs, tmp_path):
    X, _ = blobs

    def augmentation(batch):
        return batch + 0.1 * torch.randn(batch.shape) + random.random()

    model = tiny(augmentation=augmentation).fit(X)
    params, labels = clone(model).get_params(), model.labels_.copy()
    states = torch.get_rng_state(), np.random.get_state()[1], random.getstate()  # noqa: NPY002
    stability_scorer(model, X)
    assert torch.equal(torch.get_rng_state(), states[0])
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert random.getstate() == states[2]
    assert model.get_params() == params
    np.testing.assert_array_equal(model.labels_, labels)


def test_stability_scorer_of_an_encoder_that_draws(tiny, blobs):
    class Drawing(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x) + 0.3 * torch.randn(len(x), 4)

    model = tiny(encoder=Drawing(6, 4)).fit(blobs[0])
    state = torch.get_rng_state()
    scorer = StabilityScorer(n_refits=0)
    assert scorer(model, blobs[0]) == scorer(model, blobs[0])
    assert torch.equal(torch.get_rng_state(), state)


def test_stability_scorer_calls_no_callbacks(tiny, blobs):
    pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 brought callbacks")

    class Counter:
        n_calls = 0

        def setup(self, estimator, context):
            Counter.n_calls += 1

        teardown = on_fit_task_begin = on_fit_task_end = setup

    model = tiny().set_callbacks(Counter()).fit(blobs[0])
    n_calls = Counter.n_calls
    assert n_calls > 0
    stability_scorer(model, blobs[0])
    assert Counter.n_calls == n_calls


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_refits": -1}, r"n_refits must be an integer of at least 0; got -1"),
        ({"n_refits": 1.0}, r"n_refits must be an integer of at least 0; got 1\.0"),
        ({"n_views": 1}, r"n_views must be 0 or at least 2.* got 1: pass 2"),
        ({"random_state": None}, r"random_state must be an integer .* got None"),
    ],
)
def test_stability_scorer_refuses_other_numbers(parameters, message):
    with pytest.raises(ValueError, match=message):
        StabilityScorer(**parameters)


@pytest.mark.parametrize("scorer", [silhouette_scorer, stability_scorer])
def test_scorers_need_predict(scorer, blobs):
    model = AgglomerativeClustering(3).fit(blobs[0])
    with pytest.raises(TypeError, match=r"got AgglomerativeClustering, which has no"):
        scorer(model, blobs[0])


# -------------------------------------------------------------- number of clusters


@pytest.mark.parametrize("method", ["separation", *METHODS])
@pytest.mark.parametrize("n_clusters", [2, 6])
def test_estimate_n_clusters_finds_clear_clusters(method, n_clusters):
    X, _ = make_blobs(50 * n_clusters, 10, centers=n_clusters, random_state=1)
    found = estimate_n_clusters(X, method=method, max_clusters=9, random_state=0)
    assert type(found) is int
    assert found == n_clusters


def test_estimate_n_clusters_draws_from_many_samples():
    X, _ = make_blobs(3000, 8, centers=4, random_state=0)
    assert estimate_n_clusters(X, max_clusters=8, random_state=0) == 4


@pytest.mark.parametrize("method", METHODS)
def test_estimate_n_clusters_returns_scores(method):
    X, _ = load_iris(return_X_y=True)
    options = {"method": method, "max_clusters": 7, "random_state": 0}
    best, scores = estimate_n_clusters(X, **options, return_scores=True)
    assert [*scores] == [2, 3, 4, 5, 6, 7]
    assert best == max(scores, key=scores.get) == estimate_n_clusters(X, **options)
    # The largest modularity of K clusters, of which all scores are made.
    ceiling = 1 - 1 / np.array([*scores])
    values = np.array([*scores.values()])
    assert (values <= (ceiling / 2 if method == "modularity" else ceiling)).all()
    _, again = estimate_n_clusters(X, **options, return_scores=True)
    assert again == scores
    _, other = estimate_n_clusters(X, **{**options, "random_state": 1}, return_scores=1)
    assert other != scores


@pytest.mark.parametrize("method", METHODS)
def test_estimate_n_clusters_keeps_within_bounds(method):
    X, _ = load_iris(return_X_y=True)
    bounds = {"min_clusters": 4, "max_clusters": 5, "random_state": 0}
    _, scores = estimate_n_clusters(X, method=method, **bounds, return_scores=True)
    assert [*scores] == [4, 5]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("X", [np.arange(4.0)[:, None], np.ones((12, 3))])
def test_estimate_n_clusters_of_next_to_nothing(method, X):
    found, scores = estimate_n_clusters(X, method=method, return_scores=True)
    assert 2 <= found < len(X)
    assert np.isfinite([*scores.values()]).all()


def test_estimate_n_clusters_takes_images_and_tensors():
    X, _ = make_blobs(90, 16, centers=3, random_state=0)
    options = {"max_clusters": 5, "random_state": 0, "return_scores": True}
    expected = estimate_n_clusters(X, **options)
    assert estimate_n_clusters(X.reshape(90, 4, 4), **options) == expected
    assert estimate_n_clusters(torch.from_numpy(X), **options) == expected


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"method": "gap"}, r"method must be one of \['separation', .*got 'gap'"),
        ({"min_clusters": 0}, r"min_clusters must be .* at least 1; got 0"),
        ({**CUTS, "min_clusters": 1}, r"min_clusters must be .* at least 2; got 1"),
        ({**CUTS, "max_clusters": 1}, r"min_clusters must be .* at least 2; got 1"),
        ({"min_clusters": 5, "max_clusters": 3}, r"max_clusters must .* 5; got 3"),
        ({"n_neighbors": 0}, r"n_neighbors must be .* at least 1; got 0"),
        ({"n_neighbors": 2.5}, r"n_neighbors must be .* at least 1; got 2\.5"),
        ({**CUTS, "min_clusters": 9}, r"=9 must be below .*, 8 of n_samples=10"),
        ({"min_clusters": 11}, r"min_clusters=11 is more than n_samples=10"),
    ],
)
def test_estimate_n_clusters_refuses_other_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        estimate_n_clusters(np.eye(10), **parameters)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.eye(3), r"minimum of 4 is required"),
        (np.full((9, 2), np.nan), r"X contains NaN"),
    ],
)
def test_estimate_n_clusters_refuses_other_samples(X, message):
    with pytest.raises(ValueError, match=message):
        estimate_n_clusters(X)
