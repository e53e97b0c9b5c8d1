import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from conftest import assert_a_center_for_each_cluster
from sklearn.base import BaseEstimator
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import kneighbors_graph
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_self_paced import _one_thread, _Seeds, stages

from skdeepclust import LITERAL_GRAPH_PARAMETERS, GraphContrastiveClustering
from skdeepclust.graph_contrastive._stages import GraphStages
from skdeepclust._partition import table_graphs
from skdeepclust.graph import (
    Modularity,
    nearest_neighbors,
    self_expression_neighbors,
    symmetric_affinity,
)
from skdeepclust.metrics import accuracy_scorer

# What is run here is measured by other tests; measuring would take longer.
pytestmark = pytest.mark.no_cover

STAGES = ["pretraining", "head", "joint", "final_head"]
FAST = {"pretrain_epochs": 2, "head_epochs": 10, "joint_epochs": 2}
"""Overrides for tests that need a fit but no good one."""


# ------------------------------------------------------------------ what it learns


def test_fit_finds_blobs(tiny_graph, blobs):
    X, y = blobs
    model = tiny_graph().fit(X)
    assert adjusted_rand_score(y, model.labels_) > 0.9
    assert stages(model) == STAGES
    assert model.n_iter_ == len(model.history_)


def test_fit_finds_digits_as_images(tiny_graph, images):
    X, y = images
    model = tiny_graph(pretrain_epochs=100).fit(X)
    assert adjusted_rand_score(y, model.labels_) > 0.8


def test_fit_does_not_look_at_labels(tiny_graph, blobs):
    X, y = blobs
    np.testing.assert_array_equal(
        tiny_graph(**FAST).fit(X, y).labels_, tiny_graph(**FAST).fit(X).labels_
    )


def without(*left_out):
    return [stage for stage in STAGES if stage not in left_out]


INSTANCES = {"neighbor_contrastive"}
CLUSTERS = {"cluster_contrastive", "cluster_balance"}


@pytest.mark.parametrize(
    ("parameters", "expected", "terms"),
    [
        ({"graph": "self_expression"}, STAGES, INSTANCES | CLUSTERS),
        ({"graph": "candidates"}, STAGES, INSTANCES | CLUSTERS),
        ({"graph": "input"}, STAGES, INSTANCES | CLUSTERS),
        ({"graph": "exact"}, STAGES, INSTANCES | CLUSTERS),
        ({"graph": "knn"}, STAGES, INSTANCES | CLUSTERS),
        ({"init": "kmeans"}, STAGES, INSTANCES | CLUSTERS),
        ({"init": "random"}, STAGES, INSTANCES | CLUSTERS),
        ({"level": "instance"}, STAGES, INSTANCES),
        ({"level": "cluster"}, without("final_head"), CLUSTERS),
        ({"input_neighbors": False}, STAGES, INSTANCES | CLUSTERS),
        ({"consensus": False}, without("final_head"), INSTANCES | CLUSTERS),
        ({"graph_update_interval": 1}, STAGES, INSTANCES | CLUSTERS),
        (
            {"pretraining": "reconstruction"},
            STAGES,
            INSTANCES | CLUSTERS | {"reconstruction"},
        ),
        ({"augmentation": None}, STAGES, INSTANCES | CLUSTERS | {"reconstruction"}),
        ({"balance_weight": 0.0}, STAGES, INSTANCES | CLUSTERS),
        ({"joint_epochs": 0}, without("joint"), set()),
        ({"pretrain_epochs": 0}, without("pretraining"), INSTANCES | CLUSTERS),
        ({"head_epochs": 0}, without("head", "final_head"), INSTANCES | CLUSTERS),
    ],
    ids=lambda given: str(sorted(given) if isinstance(given, set) else given),
)
def test_fit_every_switch_trains(tiny_graph, blobs, parameters, expected, terms):
    """Along graphs of the embedding, and none of the clusters is kept."""
    X, y = blobs
    given = {"graph": "knn", **parameters}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # some leave clusters empty
        model = tiny_graph(**given).fit(X)
    assert stages(model) == expected
    for row in model.history_:
        if row["stage"] == "joint":
            told = {"stage", "epoch", "loss", "start_modularity"}
            assert {*row} - told == terms
    for stage in {"pretraining", "head"}.intersection(expected):
        losses = [row["loss"] for row in model.history_ if row["stage"] == stage]
        assert losses[-1] < losses[0]
    # A random head merges clusters; and ties are within the blobs, which lie apart.
    least = 0.95 if parameters.get("head_epochs", 1) else 0.5
    assert adjusted_rand_score(y, model.labels_) > least
    rows, columns = model.affinity_matrix_.nonzero()
    assert (y[rows] == y[columns]).mean() > 0.95


@pytest.mark.parametrize("graph", ["self_expression", "candidates", "knn"])
def test_graph_is_that_of_the_embedding_which_pretraining_leaves(
    tiny_graph, images, graph
):
    X, _ = images
    model = tiny_graph(
        graph=graph, n_neighbors=4, joint_epochs=0, encoder="mlp", init="kmeans"
    ).fit(X)
    h = torch.from_numpy(model.embedding_)
    if graph == "knn":
        indices, distances = nearest_neighbors(h, 4, "cosine")
        weights = 1 - distances
    else:
        method = "candidates" if graph == "candidates" else "normalized"
        indices, weights = self_expression_neighbors(h, 4, method=method)
    expected = symmetric_affinity(indices, weights, len(X))
    assert abs(model.affinity_matrix_ - expected).max() < 1e-5


def test_graph_of_tables_is_that_of_the_input_unless_asked(tiny_graph, blobs):
    X, _ = blobs
    ties = {
        str(parameters): tiny_graph(**FAST, **parameters).fit(X).affinity_matrix_ > 0
        for parameters in (
            {},
            {"graph": "input"},
            {"input_neighbors": False},
            {"graph": "self_expression", "input_neighbors": False},
        )
    }
    auto, given, without, own = ties.values()
    assert (auto != given).nnz == 0
    assert (without != own).nnz == 0
    assert (auto != own).nnz > 0


def test_history_has_the_modularity_of_the_first_clusters(tiny_graph, blobs):
    """On the graph that is trained on; three groups of a size, nothing between them."""
    X, y = blobs
    model = tiny_graph(**FAST).fit(X)
    told = [
        row["start_modularity"] for row in model.history_ if row["stage"] == "joint"
    ]
    expected = Modularity([model.affinity_matrix_])(y)
    np.testing.assert_allclose(told, [expected] * FAST["joint_epochs"], rtol=1e-6)


@pytest.mark.parametrize(("batch_size", "pairs"), [(30, 15), (2, 2)])
def test_joint_batch_is_filled_by_samples_and_their_neighbors(
    tiny_graph, blobs, monkeypatch, batch_size, pairs
):
    sizes = set()

    def terms(self, index):
        sizes.add(len(index))
        return joint_terms(self, index)

    joint_terms = GraphStages.joint_terms
    monkeypatch.setattr(GraphStages, "joint_terms", terms)
    tiny_graph(batch_size=batch_size, joint_epochs=1).fit(blobs[0][:90])
    assert sizes == {pairs}


def test_fit_literal_recipe_trains(blobs):
    X, _ = blobs
    parameters = {
        **LITERAL_GRAPH_PARAMETERS,
        "pretrain_epochs": 1,
        "joint_epochs": 2,
        "graph_update_interval": 1,
        "hidden_layer_sizes": (8,),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = GraphContrastiveClustering(3, random_state=0, **parameters).fit(X)
    assert stages(model) == ["pretraining", "joint"]
    # Equation 4.8, and none of our terms.
    row = model.history_[-1]
    terms = ("neighbor_contrastive", "cluster_contrastive", "reconstruction")
    assert row["loss"] == pytest.approx(sum(row[name] for name in terms), rel=1e-5)


# ------------------------------------------------------------------------ the graph


def test_affinity_matrix_is_sparse_symmetric_not_negative(tiny_graph, blobs):
    X, _ = blobs
    affinity = tiny_graph(**FAST).fit(X).affinity_matrix_
    assert isinstance(affinity, sp.csr_matrix)
    assert affinity.shape == (len(X), len(X))
    assert affinity.nnz < len(X) ** 2 / 2
    assert abs(affinity - affinity.T).max() < 1e-6
    assert affinity.min() >= 0
    assert not affinity.diagonal().any()


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.coo_array])
def test_given_graph_decides(tiny_graph, blobs, kind):
    # Ties that follow a column that says little: the clusters have to follow the ties.
    wanted = np.arange(len(blobs[0])) % 2
    X = np.column_stack([blobs[0], wanted])
    ties = np.where(wanted[:, None] == wanted, 1.0, 0.0)
    np.fill_diagonal(ties, 0)
    model = tiny_graph(2, graph=kind(ties), head_epochs=200).fit(X)
    np.testing.assert_allclose(model.affinity_matrix_.toarray(), ties)
    assert adjusted_rand_score(wanted, model.labels_) > 0.9
    own = tiny_graph(2, head_epochs=200).fit(X)
    assert adjusted_rand_score(wanted, own.labels_) < 0.1


def test_given_graph_is_made_symmetric_and_may_have_isolated_nodes(tiny_graph, blobs):
    X, y = blobs
    graph = kneighbors_graph(X, 6, include_self=True).tolil()
    graph[0] = 0
    graph[:, 0] = 0
    model = tiny_graph(graph=graph.tocsr()).fit(X)
    assert model.affinity_matrix_[0].nnz == 0
    assert abs(model.affinity_matrix_ - model.affinity_matrix_.T).max() == 0
    assert adjusted_rand_score(y, model.labels_) > 0.9


def test_predict_needs_no_graph_and_agrees(tiny_graph, images):
    X, _ = images
    model = tiny_graph(**FAST).fit(X[:100])
    np.testing.assert_array_equal(model.predict(X[:100]), model.labels_)
    np.testing.assert_array_equal(model.transform(X[:100]), model.embedding_)
    probabilities = model.predict_proba(X)
    assert probabilities.shape == (len(X), 3)
    np.testing.assert_array_equal(probabilities.argmax(1), model.predict(X))


@pytest.mark.parametrize("kind", ["bsr", "coo", "csc", "csr", "dia", "dok", "lil"])
def test_a_given_graph_is_shown_in_notebooks(kind):
    graph = sp.eye_array(5).asformat(kind)
    model = GraphContrastiveClustering(3, graph=graph)
    assert "GraphContrastiveClustering" in model._repr_html_()
    if hasattr(BaseEstimator, "_get_params_html"):  # not before scikit-learn 1.7
        shown = model._get_params_html()
        assert shown["graph"] is graph
        assert set(shown.non_default) == {"n_clusters", "graph"}


# ------------------------------------------------------------------- reproducible


@pytest.mark.xdist_group("workers")
def test_same_seed_same_result_for_any_n_jobs_and_after_pickling(tiny_graph, blobs):
    X, _ = blobs
    model = tiny_graph(n_init=2, **FAST).fit(X)
    parallel = tiny_graph(n_init=2, n_jobs=2, **FAST).fit(X)
    np.testing.assert_array_equal(parallel.labels_, model.labels_)
    np.testing.assert_array_equal(parallel.embedding_, model.embedding_)
    data = pickle.dumps(model)
    assert b"torch" not in data
    other = pickle.loads(data)
    np.testing.assert_array_equal(other.predict(X), model.labels_)
    assert (other.affinity_matrix_ != model.affinity_matrix_).nnz == 0


def test_n_init_keeps_one_run_as_it_is_with_its_graph(tiny_graph, images):
    X, _ = images
    quick = {**FAST, "encoder": "mlp"}
    seeds = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=3)
    with _one_thread():
        singles = [
            tiny_graph(**{**quick, "random_state": _Seeds(seed)}).fit(X)
            for seed in seeds
        ]
        model = tiny_graph(n_init=3, **quick).fit(X)
    (kept,) = (
        i
        for i, single in enumerate(singles)
        if np.array_equal(single.embedding_, model.embedding_)
    )
    np.testing.assert_array_equal(model.labels_, singles[kept].labels_)
    assert (model.affinity_matrix_ != singles[kept].affinity_matrix_).nnz == 0
    assert model.history_ == singles[kept].history_
    assert model.n_iter_ == len(model.history_)


def test_pipeline_and_grid_search(tiny_graph, blobs):
    X, y = blobs
    pipeline = make_pipeline(StandardScaler(), tiny_graph(**FAST))
    search = GridSearchCV(
        pipeline,
        {"graphcontrastiveclustering__n_neighbors": [3, 5]},
        cv=2,
        scoring=accuracy_scorer,
        error_score="raise",
    ).fit(X, y)
    assert search.best_score_ > 0.9


# -------------------------------------------------------------------------- faults


GOOD = np.random.default_rng(0).normal(size=(30, 6))


def ties(value=1.0, n=30):
    graph = sp.eye(n, k=1, format="lil")
    graph[2, 3] = value
    return graph.tocsr()


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"n_neighbors": 30}, "n_neighbors=30 must be below n_samples=30"),
        ({"n_neighbors": 0}, "n_neighbors"),
        ({"graph": ties(n=29)}, r"graph must have shape \(30, 30\).*\(29, 29\)"),
        ({"graph": ties(-1.0)}, r"not negative; got -1\.0.*abs"),
        ({"graph": ties(np.nan)}, "finite"),
        ({"graph": "delaunay"}, "graph"),
        ({"balance_weight": -1.0}, "balance_weight"),
        ({"instance_temperature": 0.0}, "instance_temperature"),
        ({"cluster_temperature": -1.0}, "cluster_temperature"),
        ({"level": "instance", "head_epochs": 0}, "level='instance'.*head_epochs=0"),
        ({"level": "none"}, "level"),
        ({"init": "warm"}, "init"),
        ({"joint_epochs": -1}, "joint_epochs"),
        ({"graph_update_interval": 0}, "graph_update_interval"),
    ],
    ids=str,
)
def test_fit_bad_parameter_says_what_and_leaves_nothing(tiny_graph, parameters, match):
    model = tiny_graph(**FAST).fit(GOOD)
    model.set_params(**parameters)
    with pytest.raises(ValueError, match=match):
        model.fit(GOOD)
    with pytest.raises(NotFittedError):
        model.predict(GOOD)
    assert not [name for name in vars(model) if name.endswith("_")]


def test_exact_graph_refuses_many_samples_before_it_trains(tiny_graph, monkeypatch):
    monkeypatch.setattr("skdeepclust._partition.start._MAX_EXACT", 20)
    with pytest.raises(ValueError, match=r"at most 20 samples; got 30.*self_express"):
        tiny_graph(graph="exact", pretrain_epochs=10**6).fit(GOOD)


def test_fit_duplicates_and_single_cluster_work(tiny_graph, blobs):
    X = np.repeat(blobs[0][:15], 4, axis=0)
    model = tiny_graph(**FAST).fit(X)
    for start in range(0, 60, 4):
        assert len(set(model.labels_[start : start + 4])) == 1
    assert not tiny_graph(1, **FAST).fit(GOOD).labels_.any()


def test_fit_few_distinct_rows_warns_of_empty_clusters(tiny_graph):
    X = np.repeat(np.array([[0.0, 0.0], [1.0, 1.0]]), 10, axis=0)
    with pytest.warns(ConvergenceWarning, match=r"\d of n_clusters=5.* empty"):
        model = tiny_graph(5, level="instance").fit(X)
    assert_a_center_for_each_cluster(model, X, 5)


def test_joint_training_that_is_not_finite_keeps_its_last_good_epoch(
    tiny_graph, images
):
    X, _ = images
    calls = 0

    def augmentation(batch):
        nonlocal calls
        calls += 1
        return batch * np.nan if calls > 42 else batch

    model = tiny_graph(augmentation=augmentation)
    # Two views an epoch, of pretraining and of the first one of joint training.
    with pytest.warns(ConvergenceWarning, match=r"'joint' .*finite in epoch 2 of"):
        model.fit(X)
    assert stages(model) == STAGES
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    calls = 0
    good = tiny_graph(augmentation=augmentation, joint_epochs=1).fit(X)
    np.testing.assert_array_equal(model.embedding_, good.embedding_)


def test_a_high_resolution_pulls_clusters_to_one_size(tiny_graph):
    X, y = make_blobs([200, 24, 16], 8, cluster_std=2.0, random_state=0)
    for resolution, least, most in (("auto", 0.98, 1.0), (1.0, 0.0, 0.6)):
        model = tiny_graph(3, resolution=resolution, joint_epochs=0)
        labels = model.set_params(head_epochs=200).fit(X).labels_
        assert least <= adjusted_rand_score(y, labels) <= most


def test_the_graph_of_a_clear_table_stays_that_of_its_rows(monkeypatch, tiny_graph):
    """Also where it is to be built again: the embedding has no part in it."""
    X, _ = make_blobs(80, 4, centers=3, random_state=0)

    def fail(*arguments):
        raise AssertionError

    monkeypatch.setattr("skdeepclust.graph_contrastive._clusters.build_affinities", fail)
    model = tiny_graph(3, graph_update_interval=1, joint_epochs=2).fit(X)
    expected = table_graphs(X, 10)["sum"]
    assert abs(model.affinity_matrix_ - expected).max() < 1e-4
