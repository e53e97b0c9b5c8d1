"""Graphs that a user gives: matrices of affinities, and transformers."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsTransformer, kneighbors_graph
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from skdeepclust import GraphContrastiveClustering

pytestmark = pytest.mark.filterwarnings("ignore:.*clusters are empty")

FAST = {"pretrain_epochs": 2, "head_epochs": 10, "joint_epochs": 2}
"""For tests that need a fit but no good one."""
KINDS = {
    "csr_matrix": sp.csr_matrix,
    "coo_array": sp.coo_array,
    "dense": np.asarray,
    "frame": pd.DataFrame,
    "tensor": torch.from_numpy,
}


@pytest.fixture(scope="module")
def tied(blobs):
    """Ties that follow a column that says little, and their groups."""
    wanted = np.arange(len(blobs[0])) % 2
    ties = np.where(wanted[:, None] == wanted, 1.0, 0.0)
    np.fill_diagonal(ties, 0)
    return np.column_stack([blobs[0], wanted]), wanted, ties


class Graph(TransformerMixin, BaseEstimator):
    """A transformer that returns what it is told to, and keeps what it was given."""

    seen = []

    def __init__(self, result=None):
        self.result = result

    def fit(self, X, y=None):
        self.seen.append(X)
        return self

    def transform(self, X):
        return self.result


class Plain:
    """A class with nothing but `fit_transform`."""

    def fit_transform(self, X):
        return kneighbors_graph(X, 4, mode="distance")


# -------------------------------------------------------------------- what is found


@pytest.mark.parametrize("kind", KINDS)
def test_given_matrix_decides(tiny_graph, tied, kind):
    """The clusters have to follow the ties."""
    X, wanted, ties = tied
    model = tiny_graph(2, graph=KINDS[kind](ties), head_epochs=200).fit(X)
    assert isinstance(model.affinity_matrix_, sp.csr_matrix)
    np.testing.assert_allclose(model.affinity_matrix_.toarray(), ties)
    assert adjusted_rand_score(wanted, model.labels_) > 0.9


def test_without_the_matrix_other_clusters_are_found(tiny_graph, tied):
    X, wanted, _ = tied
    own = tiny_graph(2, head_epochs=200).fit(X)
    assert adjusted_rand_score(wanted, own.labels_) < 0.1


def test_given_graph_is_made_symmetric_and_may_have_isolated_nodes(tiny_graph, blobs):
    X, y = blobs
    graph = kneighbors_graph(X, 6, include_self=True).tolil()
    graph[0] = 0
    graph[:, 0] = 0
    # There is no n_neighbors too large for a graph that is there.
    model = tiny_graph(graph=graph.tocsr(), n_neighbors=200).fit(X)
    assert model.affinity_matrix_[0].nnz == 0
    assert abs(model.affinity_matrix_ - model.affinity_matrix_.T).max() == 0
    assert adjusted_rand_score(y, model.labels_) > 0.9


def mean_of_both_directions(graph):
    return (graph + graph.T) / 2


def test_distances_of_a_transformer_are_scaled_by_the_farthest_neighbor(
    tiny_graph, blobs
):
    X, y = blobs
    model = tiny_graph(graph=KNeighborsTransformer(n_neighbors=4)).fit(X)
    distances = kneighbors_graph(X, 4, mode="distance").toarray()
    scale = distances.max(axis=1)
    near = distances > 0
    weights = near * np.exp(-(distances**2) / np.outer(scale, scale))
    expected = mean_of_both_directions(weights)
    np.testing.assert_allclose(model.affinity_matrix_.toarray(), expected, rtol=1e-6)
    assert adjusted_rand_score(y, model.labels_) > 0.9
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    with pytest.raises(NotFittedError):
        check_is_fitted(model.graph)  # a clone was


def test_connectivity_of_a_transformer_is_taken_as_it_is(tiny_graph, blobs):
    X, y = blobs
    graph = KNeighborsTransformer(mode="connectivity", n_neighbors=5)
    model = tiny_graph(graph=graph).fit(X)
    ties = graph.fit_transform(X).toarray() * (1 - np.eye(len(X)))
    expected = mean_of_both_directions(ties)
    np.testing.assert_array_equal(model.affinity_matrix_.toarray(), expected)
    assert adjusted_rand_score(y, model.labels_) > 0.9


def test_samples_that_coincide_have_finite_affinities(tiny_graph, blobs):
    X = blobs[0].repeat(6, axis=0)[:120]
    graph = KNeighborsTransformer(n_neighbors=3)
    affinity = tiny_graph(graph=graph, **FAST).fit(X).affinity_matrix_
    assert np.isfinite(affinity.data).all()
    assert affinity.nnz >= 3 * len(X)


@pytest.mark.parametrize(
    "graph",
    [Plain(), make_pipeline(StandardScaler(), KNeighborsTransformer(n_neighbors=4))],
    ids=["plain", "pipeline"],
)
def test_transformers_of_your_own(tiny_graph, blobs, graph):
    X, y = blobs
    model = tiny_graph(graph=graph).fit(X)
    assert adjusted_rand_score(y, model.labels_) > 0.9
    rows, columns = model.affinity_matrix_.nonzero()
    assert (y[rows] == y[columns]).all()


def test_a_transformer_gets_the_rows_as_they_are_given(tiny_graph, images):
    X, _ = images
    Graph.seen = []
    graph = Graph(kneighbors_graph(X.reshape(len(X), -1), 4, mode="distance"))
    tiny_graph(graph=graph, encoder="mlp", **FAST).fit(X)
    (seen,) = Graph.seen
    np.testing.assert_array_equal(seen, X.reshape(len(X), -1))


def test_parameters_of_the_transformer_can_be_searched(tiny_graph, blobs):
    X, _ = blobs
    model = tiny_graph(graph=KNeighborsTransformer(), **FAST)
    grid = {"graph__n_neighbors": [2, 20]}

    def spread(model, X, y=None):
        return model.transform(X).std()

    given = {"cv": 2, "error_score": "raise", "scoring": spread}
    search = GridSearchCV(model, grid, **given).fit(X)
    best = search.best_estimator_
    assert best.graph.n_neighbors == search.best_params_["graph__n_neighbors"]
    assert len({*search.cv_results_["mean_test_score"]}) == 2
    n_ties = [
        model.set_params(graph__n_neighbors=n).fit(X).affinity_matrix_.nnz
        for n in grid["graph__n_neighbors"]
    ]
    assert n_ties[0] < 4 * len(X) < 20 * len(X) <= n_ties[1]
    assert best.affinity_matrix_.nnz in n_ties


class Stop(Exception):
    """Ends a fit from within."""


class Drawing(Graph):
    """Gives another graph every time."""

    def transform(self, X):
        places = np.random.default_rng(len(self.seen)).random((len(X), 2))
        return kneighbors_graph(places, 4, mode="distance")


@pytest.mark.parametrize("n_views", [1, 3])
def test_a_resumed_fit_keeps_the_graph_that_a_transformer_drew(
    tiny_graph, blobs, tmp_path, n_views
):
    X, _ = blobs
    left = n_views

    def augmentation(batch):
        nonlocal left
        left -= 1
        if left == 0:
            raise Stop
        return batch

    Graph.seen = []
    model = tiny_graph(
        graph=Drawing(),
        augmentation=augmentation,
        pretraining="reconstruction",  # views are then those of joint training
        checkpoint_dir=tmp_path,
        **FAST,
    )
    with pytest.raises(Stop):
        model.fit(X)
    assert len(Graph.seen) == 1
    resumed, embedding = model.fit(X).affinity_matrix_, model.embedding_
    assert len(Graph.seen) == 1
    other = model.fit(X).affinity_matrix_  # the checkpoint is gone
    assert len(Graph.seen) == 2
    assert (resumed != other).nnz > 0
    whole = model.set_params(graph=resumed, checkpoint_dir=None).fit(X)
    np.testing.assert_array_equal(whole.embedding_, embedding)


# ------------------------------------------------------------------- what is refused

GOOD = np.random.default_rng(0).normal(size=(30, 6))


def ties(value=1.0, n=30):
    graph = sp.eye(n, k=1, format="lil")
    graph[2, 3] = value
    return graph.tocsr()


WRONG = {
    "fewer samples": (ties(n=29), r"graph must have shape \(30, 30\).*\(29, 29\)"),
    "not square": (ties()[:, :-1], r"graph must have shape \(30, 30\).*\(30, 29\)"),
    "negative": (ties(-1.0), r"graph must hold affinities.*not negative; got -1\.0"),
    "NaN": (ties(np.nan), "graph must hold affinities that are finite"),
    "infinite": (ties(np.inf), "graph must hold affinities that are finite"),
    "complex": (ties().astype(complex), "graph must hold real numbers.*complex128"),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("kind", ["sparse", "dense", "transformer"])
def test_wrong_graph_is_refused_before_training(tiny_graph, kind, wrong):
    graph, match = WRONG[wrong]
    if kind == "dense":
        graph = graph.toarray()
    if kind == "transformer":
        graph = Graph(graph)
    model = tiny_graph(graph=graph, pretrain_epochs=10**6)
    with pytest.raises(ValueError, match=match):
        model.fit(GOOD)
    assert not [name for name in vars(model) if name.endswith("_")]


def test_a_message_says_how_to_fix_negative_values(tiny_graph):
    with pytest.raises(ValueError, match=r"pass abs\(graph\)"):
        tiny_graph(graph=ties(-1.0)).fit(GOOD)
    with pytest.raises(ValueError, match="let it return distances"):
        tiny_graph(graph=Graph(ties(-1.0))).fit(GOOD)


@pytest.mark.parametrize("result", [ties().toarray(), None], ids=["dense", "None"])
def test_a_transformer_has_to_return_a_sparse_graph(tiny_graph, result):
    match = r"graph=Graph\(.*\) must return a sparse graph.*KNeighborsTransformer"
    with pytest.raises(ValueError, match=f"(?s){match}"):
        tiny_graph(graph=Graph(result)).fit(GOOD)


@pytest.mark.parametrize("graph", [np.ones(30), np.full((30, 30), "a")], ids=str)
def test_no_matrix_at_all_is_refused(tiny_graph, graph):
    with pytest.raises(ValueError, match=r"graph (must|is no valid)"):
        tiny_graph(graph=graph).fit(GOOD)


@pytest.mark.parametrize("kind", ["bsr", "coo", "csc", "csr", "dia", "dok", "lil"])
def test_a_given_graph_is_shown_in_notebooks(kind):
    graph = sp.eye_array(5).asformat(kind)
    model = GraphContrastiveClustering(3, graph=graph)
    assert "GraphContrastiveClustering" in model._repr_html_()
    if hasattr(BaseEstimator, "_get_params_html"):  # not before scikit-learn 1.7
        shown = model._get_params_html()
        assert shown["graph"] is graph
        assert set(shown.non_default) == {"n_clusters", "graph"}
