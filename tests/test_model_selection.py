"""Scorers without classes, and the number of clusters."""

import copy
import inspect
import pickle
import random

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.datasets import load_iris, make_blobs
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import (
    adjusted_rand_score,
    check_scoring,
    make_scorer,
    silhouette_score,
)
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skdeepclust.metrics import (
    accuracy_scorer,
    ari_scorer,
    modularity_scorer,
    nmi_scorer,
)
from skdeepclust.model_selection import (
    StabilityScorer,
    estimate_n_clusters,
    silhouette_scorer,
    stability_scorer,
)

# Few epochs are too few for some clusters.
pytestmark = pytest.mark.filterwarnings("ignore:.*clusters are empty")

CLASS_SCORERS = {
    "accuracy_scorer": accuracy_scorer,
    "nmi_scorer": nmi_scorer,
    "ari_scorer": ari_scorer,
}
LABEL_FREE = {
    "modularity_scorer": modularity_scorer,
    "silhouette_scorer": silhouette_scorer,
    "stability_scorer": stability_scorer,
    "StabilityScorer(n_refits=0, n_views=2, random_state=0)": StabilityScorer(0),
}
SCORERS = {**CLASS_SCORERS, **LABEL_FREE}


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


@pytest.fixture(scope="module")
def many():
    """More samples than the silhouette looks at."""
    return make_blobs(5_100, 3, centers=3, cluster_std=4, random_state=0)[0]


def test_silhouette_scorer_takes_sparse_samples(blobs, many):
    for X in (blobs[0], many):
        X = np.where(np.abs(X) < 1, 0, X)
        kmeans = KMeans(3, n_init=2, random_state=0).fit(X)
        score = silhouette_scorer(kmeans, sparse.csc_array(X))
        assert score == pytest.approx(silhouette_scorer(kmeans, X))


@pytest.mark.no_cover  # fits, which other tests measure
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


@pytest.mark.parametrize("scorer", [silhouette_scorer, stability_scorer])
def test_scorers_refuse_missing_labels(scorer, blobs):
    X = blobs[0][:4]
    with pytest.raises(ValueError, match=r"^labels has 1 labels that are missing"):
        scorer(Fixed([0, 1, np.nan, 1]), X)
    with pytest.raises(TypeError, match=r"^labels must hold labels that can be sorted"):
        scorer(Fixed(np.array(["a", 1, "b", 2], dtype=object)), X)
    names = scorer(Fixed(np.array(["a", "b", "b", "a"], dtype=object)), X)
    assert names == scorer(Fixed([0, 1, 1, 0]), X)


def test_silhouette_scorer_draws_the_same_samples(many):
    kmeans = KMeans(3, n_init=2, random_state=0).fit(many)
    whole = silhouette_score(many, kmeans.labels_)
    score = silhouette_scorer(kmeans, many)
    assert score == silhouette_scorer(kmeans, many) != whole
    assert score == pytest.approx(whole, abs=0.01)


def test_silhouette_scorer_takes_frames(model, blobs):
    X, _ = blobs
    expected = silhouette_scorer(model, X)
    assert silhouette_scorer(model.set_output(transform="pandas"), X) == expected


# ----------------------------------------------------------------------- stability


@pytest.mark.no_cover  # fits, which other tests measure
@pytest.mark.parametrize("make", ["tiny", "tiny_graph"])
def test_stability_scorer_tells_clear_clusters_from_none(request, blobs, make):
    X, y = blobs
    noise = np.random.default_rng(0).normal(size=(60, 6))
    model = request.getfixturevalue(make)().fit(noise)
    unclear = stability_scorer(model, noise)
    model.fit(X)
    score = stability_scorer(model, X, y)
    assert type(score) is float
    assert 0 < unclear < score - 0.2 < 0.8
    assert score == stability_scorer(model, X)
    assert score == StabilityScorer()(pickle.loads(pickle.dumps(model)), X)


def test_stability_scorer_is_the_mean_of_both_agreements(model, blobs):
    views = StabilityScorer(n_refits=0)(model, blobs[0])
    refits = StabilityScorer(n_views=0)(model, blobs[0])
    assert stability_scorer(model, blobs[0]) == (views + refits) / 2


def test_stability_scorer_depends_on_its_seed(tiny, images):
    model = tiny(image_shape=(8, 8), pretrain_epochs=4).fit(images[0])
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


@pytest.mark.no_cover  # fits, which other tests measure
@pytest.mark.parametrize("scorer", [silhouette_scorer, stability_scorer])
def test_scorers_of_a_search_are_those_of_its_best(tiny, images, scorer):
    X, _ = images
    search = GridSearchCV(tiny(pretrain_epochs=4), {"temperature": [0.5]}, cv=2)
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


# ------------------------------------------------- all scorers, inside scikit-learn


@pytest.fixture(params=SCORERS)
def name(request):
    return request.param


@pytest.fixture
def kmeans():
    return KMeans(3, n_init=2, random_state=0)


# Of other estimators than ours there are no views.
WITHOUT_VIEWS = {name: s for name, s in SCORERS.items() if "n_refits=0" not in name}


def test_scorers_show_their_names(name):
    assert repr(SCORERS[name]) == SCORERS[name].__name__ == name
    assert repr(copy.deepcopy(SCORERS[name])) == name


def test_scorers_are_documented_as_they_are_called(name):
    scorer = SCORERS[name]
    assert scorer.__doc__.startswith(("Score a fitted", "Scores a fitted"))
    assert [*inspect.signature(scorer).parameters] == ["estimator", "X", "y"]


def test_class_scorers_are_those_of_make_scorer():
    for scorer in CLASS_SCORERS.values():
        assert isinstance(scorer, type(make_scorer(adjusted_rand_score)))


@pytest.mark.parametrize(
    "copied",
    [lambda scorer: pickle.loads(pickle.dumps(scorer)), copy.deepcopy, clone],
    ids=["pickle", "deepcopy", "clone"],
)
def test_copied_scorers_score_alike(name, copied, model, blobs):
    scorer = SCORERS[name]
    again = copied(scorer) if copied is not clone else clone(scorer, safe=False)
    assert type(again) is type(scorer)
    assert again(model, *blobs) == scorer(model, *blobs)


def test_label_free_scorers_do_not_look_at_classes(model, blobs):
    X, y = blobs
    for scorer in LABEL_FREE.values():
        score = scorer(model, X)
        assert score == scorer(model, X, y) == scorer(estimator=model, X=X, y=None)


def test_class_scorers_ask_for_classes(kmeans, blobs):
    X, _ = blobs
    message = r"^y must hold the classes of X; got None: pass y, or score without"
    for name, scorer in CLASS_SCORERS.items():
        for arguments in ((X,), (X, None)):
            with pytest.raises(ValueError, match=message):
                scorer(kmeans.fit(X), *arguments)
        for scoring in (scorer, {name: scorer}, {name: scorer, "other": scorer}):
            with pytest.raises(ValueError, match=message):
                cross_validate(kmeans, X, scoring=scoring, error_score="raise")


def test_scorers_ask_for_predict(name, blobs):
    model = AgglomerativeClustering(3).fit(blobs[0])
    with pytest.raises(TypeError, match=r"^estimator must have .*got Agglomerative"):
        SCORERS[name](model, *blobs)


def test_scorers_take_estimators_of_other_packages(blobs):
    class Foreign:
        def predict(self, X):
            return (X[:, 0] > 0).astype(int)

        def transform(self, X):
            return X

    X, _ = blobs
    labels = Foreign().predict(X)
    for scorer in CLASS_SCORERS.values():
        assert scorer(Foreign(), X, labels) == pytest.approx(1)
    assert modularity_scorer(Foreign(), X) > 0
    assert silhouette_scorer(Foreign(), X) == silhouette_score(X, labels)


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("kind", ["one", "several"])
@pytest.mark.parametrize("name", WITHOUT_VIEWS)
def test_scorers_score_in_searches(name, kind, routing, kmeans, blobs):
    X, y = blobs
    scorer, grid = SCORERS[name], {"n_clusters": [2, 3]}
    scoring = scorer if kind == "one" else {"own": scorer, "accuracy": accuracy_scorer}
    key = "score" if kind == "one" else "own"
    weights = {"sample_weight": np.ones(len(X))} if routing else {}
    with config_context(enable_metadata_routing=routing):
        if routing:
            kmeans.set_fit_request(sample_weight=True)
        search = GridSearchCV(kmeans, grid, scoring=scoring, refit=key == "score", cv=2)
        search.fit(X, y, **weights)
        scores = search.cv_results_[f"mean_test_{key}"]
        assert np.isfinite(scores).all()
        assert scores[1] == scores.max()
        found = cross_validate(
            kmeans, X, y, scoring=scoring, cv=2, error_score="raise", params=weights
        )
        np.testing.assert_allclose(found[f"test_{key}"].mean(), scores[1])
        if kind == "one":
            assert search.score(X, y) == scorer(search.best_estimator_, X, y)


def test_scorers_score_without_classes_in_searches(kmeans, blobs):
    X, _ = blobs
    scoring = {name: s for name, s in WITHOUT_VIEWS.items() if name in LABEL_FREE}
    for routing in (False, True):
        with config_context(enable_metadata_routing=routing):
            # The oldest scikit-learn routes no parameters only where they are empty.
            found = cross_validate(
                kmeans,
                X,
                cv=KFold(3),
                scoring=scoring,
                error_score="raise",
                params={},
                return_estimator=True,
            )
        for i, (_, test) in enumerate(KFold(3).split(X)):
            model = found["estimator"][i]
            for name, scorer in scoring.items():
                assert found[f"test_{name}"][i] == scorer(model, X[test])


def test_scorers_take_no_metadata(name, kmeans, blobs):
    X, y = blobs
    scorer = SCORERS[name]
    assert scorer.set_score_request(sample_weight=False, groups=None) is scorer
    with pytest.raises(TypeError, match=r" takes no metadata; .* for sample_weight: "):
        scorer.set_score_request(sample_weight=True)
    with (
        config_context(enable_metadata_routing=True),
        pytest.raises(
            ValueError, match=r"sample_weight.* not explicitly set|requested"
        ),
    ):
        # Nobody asks for the weights.
        cross_validate(
            kmeans, X, y, scoring=scorer, params={"sample_weight": np.ones(len(X))}
        )


@pytest.mark.no_cover  # fits, which other tests measure
@pytest.mark.parametrize("kind", ["one", "several"])
def test_scoring_monitor_takes_scorers(name, kind, tiny, blobs):
    callback = pytest.importorskip(
        "sklearn.callback", reason="scikit-learn 1.9 brought callbacks"
    )
    X, y = blobs
    scorer = SCORERS[name]
    scoring = scorer if kind == "one" else {"own": scorer, "accuracy": accuracy_scorer}
    monitor = callback.ScoringMonitor(scoring=scoring)
    epochs = dict.fromkeys(
        ["pretrain_epochs", "center_epochs", "head_epochs", "contrastive_epochs"], 1
    )
    model = tiny(**epochs).set_callbacks(monitor).fit(X, y)
    frame = monitor.get_logs().data_as_pandas
    scores = frame["score" if kind == "one" else "own"].to_numpy()
    assert len(scores) > 4
    assert np.isfinite(scores).all()
    whole = frame["task_name"] == "fit"
    np.testing.assert_allclose(scores[whole], scorer(model, X, y), rtol=1e-6)


def test_scorers_do_with_what_names_callables(kmeans, blobs):
    pytest.importorskip("matplotlib")
    from sklearn.model_selection import LearningCurveDisplay

    display = LearningCurveDisplay.from_estimator(
        kmeans, *blobs, scoring=silhouette_scorer, cv=2, train_sizes=[0.5, 1.0]
    )
    assert display.ax_.get_ylabel() == "Silhouette scorer"


def test_check_scoring_returns_scorers_as_they_are(name, kmeans):
    assert check_scoring(kmeans, SCORERS[name]) is SCORERS[name]


def test_stability_scorers_are_values():
    assert StabilityScorer(2) == StabilityScorer(n_refits=2) != StabilityScorer()
    assert len({StabilityScorer(2), StabilityScorer(n_refits=2)}) == 1
    with pytest.raises(AttributeError, match="n_views"):
        StabilityScorer().n_views = 1


# -------------------------------------------------------------- number of clusters


@pytest.mark.parametrize("n_clusters", [2, 6])
def test_estimate_n_clusters_finds_clear_clusters(n_clusters):
    X, _ = make_blobs(50 * n_clusters, 10, centers=n_clusters, random_state=1)
    found = estimate_n_clusters(X, max_clusters=9, random_state=0)
    assert type(found) is int
    assert found == n_clusters


def test_estimate_n_clusters_draws_from_many_samples():
    X, _ = make_blobs(3000, 8, centers=4, random_state=0)
    assert estimate_n_clusters(X, max_clusters=8, random_state=0) == 4


def test_estimate_n_clusters_returns_scores():
    X, _ = load_iris(return_X_y=True)
    options = {"max_clusters": 7, "random_state": 0}
    best, scores = estimate_n_clusters(X, **options, return_scores=True)
    assert [*scores] == [2, 3, 4, 5, 6, 7]
    assert best == estimate_n_clusters(X, **options)
    assert all(0 <= score <= 1 for score in scores.values())
    _, again = estimate_n_clusters(X, **options, return_scores=True)
    assert again == scores


def test_estimate_n_clusters_keeps_within_bounds():
    X, _ = load_iris(return_X_y=True)
    bounds = {"min_clusters": 4, "max_clusters": 5, "random_state": 0}
    best, scores = estimate_n_clusters(X, **bounds, return_scores=True)
    assert [*scores] == [4, 5]
    assert best in scores


def test_estimate_n_clusters_takes_images_and_tensors():
    X, _ = make_blobs(90, 16, centers=3, random_state=0)
    options = {"max_clusters": 5, "random_state": 0, "return_scores": True}
    expected = estimate_n_clusters(X, **options)
    assert estimate_n_clusters(X.reshape(90, 4, 4), **options) == expected
    assert estimate_n_clusters(torch.from_numpy(X), **options) == expected


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"min_clusters": 0}, r"min_clusters must be .* at least 1; got 0"),
        ({"min_clusters": 5, "max_clusters": 3}, r"max_clusters must .* 5; got 3"),
        ({"n_neighbors": 0}, r"n_neighbors must be .* at least 1; got 0"),
        ({"n_neighbors": 2.5}, r"n_neighbors must be .* at least 1; got 2\.5"),
        ({"max_clusters": 0}, r"max_clusters must be .* at least 1; got 0"),
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
