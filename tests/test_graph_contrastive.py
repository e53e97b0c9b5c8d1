"""GraphContrastiveClustering: what it finds, its graph, and what it gives back."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from conftest import TINY_GRAPH, assert_a_center_for_each_cluster
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from test_self_paced import stages

from skdeepclust import LITERAL_GRAPH_PARAMETERS, GraphContrastiveClustering
from skdeepclust.graph import (
    Modularity,
    nearest_neighbors,
    self_expression_neighbors,
    symmetric_affinity,
)

# What is run here is measured by other tests; measuring would take longer.
pytestmark = pytest.mark.no_cover

STAGES = ["pretraining", "head", "joint", "final_head"]
FAST = {"pretrain_epochs": 2, "head_epochs": 10, "joint_epochs": 2}
"""Overrides for tests that need a fit but no good one."""


def without(*left_out):
    return [stage for stage in STAGES if stage not in left_out]


@pytest.fixture(scope="module")
def fitted(blobs):
    """Give an estimator that has been fitted once to blobs."""
    return GraphContrastiveClustering(3, **{**TINY_GRAPH, **FAST}).fit(blobs[0])


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


INSTANCES = {"neighbor_contrastive"}
CLUSTERS = {"cluster_contrastive", "cluster_balance"}
BOTH = INSTANCES | CLUSTERS
DECODED = BOTH | {"reconstruction"}


@pytest.mark.parametrize(
    ("parameters", "expected", "terms"),
    [
        ({"graph": "self_expression"}, STAGES, BOTH),
        ({"graph": "input"}, STAGES, BOTH),
        ({"graph": "learned"}, STAGES, BOTH),
        ({"graph": "knn"}, STAGES, BOTH),
        ({"resolution": None}, without("final_head"), BOTH),
        ({"heads": "instance"}, STAGES, INSTANCES),
        (
            {"heads": "instance", "resolution": None, "head_epochs": 150},
            STAGES,
            INSTANCES,
        ),
        ({"heads": "cluster"}, without("final_head"), CLUSTERS),
        ({"graph_update_interval": 1}, STAGES, BOTH),
        ({"pretraining": "reconstruction"}, STAGES, DECODED),
        ({"pretraining": "denoising"}, STAGES, DECODED),
        ({"augmentation": None}, STAGES, DECODED),
        ({"balance_weight": 0.0}, STAGES, BOTH),
        ({"joint_epochs": 0}, without("joint"), set()),
        ({"pretrain_epochs": 0}, without("pretraining"), BOTH),
        ({"head_epochs": 0}, without("head", "final_head"), BOTH),
    ],
    ids=lambda given: str(sorted(given) if isinstance(given, set) else given),
)
def test_fit_every_switch_trains(tiny_graph, blobs, parameters, expected, terms):
    """Along graphs of the embedding, and none of the clusters is kept."""
    X, y = blobs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # some leave clusters empty
        model = tiny_graph(**{"graph": "knn", "head_epochs": 60, **parameters}).fit(X)
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


def test_a_high_resolution_pulls_clusters_to_one_size(tiny_graph):
    X, y = make_blobs([200, 24, 16], 8, cluster_std=2.0, random_state=0)
    for resolution, least, most in (("auto", 0.98, 1.0), (1.0, 0.0, 0.6)):
        model = tiny_graph(3, resolution=resolution, joint_epochs=0, head_epochs=200)
        assert least <= adjusted_rand_score(y, model.fit(X).labels_) <= most


# ------------------------------------------------------------------------ the graph


@pytest.mark.parametrize("graph", ["self_expression", "knn"])
def test_graph_is_that_of_the_embedding_which_pretraining_leaves(
    tiny_graph, images, graph
):
    X, _ = images
    given = {**FAST, "joint_epochs": 0, "encoder": "mlp", "resolution": None}
    model = tiny_graph(graph=graph, n_neighbors=4, **given).fit(X)
    h = torch.from_numpy(model.embedding_)
    if graph == "knn":
        indices, distances = nearest_neighbors(h, 4, "cosine")
        weights = 1 - distances
    else:
        indices, weights = self_expression_neighbors(h, 4)
    expected = symmetric_affinity(indices, weights, len(X))
    assert abs(model.affinity_matrix_ - expected).max() < 1e-5


@pytest.mark.parametrize("clusters", [{}, {"resolution": None}], ids=str)
def test_graph_of_tables_is_that_of_the_input_unless_asked(tiny_graph, blobs, clusters):
    X, _ = blobs
    auto, given, own = (
        tiny_graph(**FAST, graph=graph, **clusters).fit(X).affinity_matrix_ > 0
        for graph in ("auto", "input", "self_expression")
    )
    assert (auto != given).nnz == 0
    assert (auto != own).nnz > 0


@pytest.mark.parametrize("kind", ["table", "images"])
def test_graph_of_the_input_is_by_cosine(tiny_graph, blobs, kind):
    """Of centered rows, and of pixels as they are, in their 64 leading dimensions."""
    X = blobs[0]
    rows = X - X.mean(0)
    if kind == "images":
        # Of six dimensions, so that none of them is left out.
        rows = np.abs(X) @ np.random.default_rng(0).random((6, 81))
        rows /= rows.max()
        X = rows.reshape(-1, 9, 9)
    few = {**FAST, "head_epochs": 0, "joint_epochs": 0, "encoder": "mlp"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = tiny_graph(graph="input", n_neighbors=4, **few).fit(X)
    indices, distances = nearest_neighbors(torch.from_numpy(rows), 4, "cosine")
    expected = symmetric_affinity(indices, 1 - distances, len(X))
    assert abs(model.affinity_matrix_ - expected).max() < 1e-4


def test_history_has_the_modularity_of_the_first_clusters(fitted, blobs):
    """On the graph that is trained on; three groups of a size, nothing between them."""
    _, y = blobs
    told = [
        row["start_modularity"] for row in fitted.history_ if row["stage"] == "joint"
    ]
    expected = Modularity([fitted.affinity_matrix_])(y)
    np.testing.assert_allclose(told, [expected] * FAST["joint_epochs"], rtol=1e-6)


def test_affinity_matrix_is_sparse_symmetric_not_negative(fitted, blobs):
    affinity, n = fitted.affinity_matrix_, len(blobs[0])
    assert isinstance(affinity, sp.csr_matrix)
    assert affinity.shape == (n, n)
    assert affinity.nnz < n**2 / 2
    assert abs(affinity - affinity.T).max() < 1e-6
    assert affinity.min() >= 0
    assert not affinity.diagonal().any()


class Views:
    """An augmentation that changes nothing, and keeps the rows that it is given."""

    def __init__(self):
        self.seen = []

    def __call__(self, batch):
        self.seen.append(batch.numpy().copy())
        return batch


@pytest.mark.parametrize("batch_size", [30, 2])
def test_in_a_joint_batch_each_sample_brings_a_neighbor(tiny_graph, blobs, batch_size):
    views = Views()
    given = {"pretraining": "reconstruction", "joint_epochs": 1, "head_epochs": 1}
    tiny_graph(batch_size=batch_size, augmentation=views, **given).fit(blobs[0][:90])
    assert len(views.seen) == 2 * 90 // batch_size
    assert {len(batch) for batch in views.seen} == {batch_size}


def test_the_graph_of_a_clear_table_stays_that_of_its_rows(tiny_graph):
    """Also where it is to be built again: the embedding has no part in it."""
    X, _ = make_blobs(80, 4, centers=3, random_state=0)
    views = Views()
    given = {"pretraining": "reconstruction", "augmentation": views}
    moving = {"joint_learning_rate": 1e-1, "joint_epochs": 20, "batch_size": 80}
    model = tiny_graph(3, graph_update_interval=1, n_neighbors=2, **given, **moving)
    affinity = model.fit(X).affinity_matrix_.toarray()
    assert len(views.seen) == 40
    order = np.argsort(-affinity, axis=1, kind="stable")[:, :2]
    rows = (X - X.mean(0)) / np.sqrt(X.var(0).mean())
    for samples, neighbors in zip(views.seen[::2], views.seen[1::2], strict=True):
        i, j = (
            np.abs(each[:, None] - rows).sum(axis=2).argmin(axis=1)
            for each in (samples, neighbors)
        )
        assert (order[i] == j[:, None]).any(axis=1).all()


def test_predict_needs_no_graph_and_agrees(tiny_graph, images):
    X, _ = images
    model = tiny_graph(**FAST).fit(X[:100])
    np.testing.assert_array_equal(model.predict(X[:100]), model.labels_)
    np.testing.assert_array_equal(model.transform(X[:100]), model.embedding_)
    probabilities = model.predict_proba(X)
    assert probabilities.shape == (len(X), 3)
    np.testing.assert_array_equal(probabilities.argmax(1), model.predict(X))


# -------------------------------------------------------------------------- faults


def test_a_learned_graph_refuses_many_samples_before_it_trains(tiny_graph):
    X = np.random.default_rng(0).normal(size=(5_001, 2))
    match = r"graph='learned' learns .* at most 5,000 samples; got 5,001: use graph="
    with pytest.raises(ValueError, match=match):
        tiny_graph(graph="learned", pretrain_epochs=10**6).fit(X)


def test_fit_one_cluster_works(tiny_graph, blobs):
    assert not tiny_graph(1, **FAST).fit(blobs[0]).labels_.any()


def test_fit_few_distinct_rows_warns_of_empty_clusters(tiny_graph):
    X = np.repeat(np.array([[0.0, 0.0], [1.0, 1.0]]), 10, axis=0)
    with pytest.warns(ConvergenceWarning, match=r"\d of n_clusters=5.* empty"):
        model = tiny_graph(5, heads="instance").fit(X)
    assert_a_center_for_each_cluster(model, X, 5)


def test_joint_training_that_is_not_finite_keeps_its_last_good_epoch(
    tiny_graph, images
):
    X, _ = images
    calls = 0

    def augmentation(batch):
        nonlocal calls
        calls += 1
        return batch * np.nan if calls > 2 * (4 + 1) else batch

    few = {"augmentation": augmentation, "encoder": "mlp", "pretrain_epochs": 4}
    # Two views an epoch, of pretraining and of the first one of joint training.
    with pytest.warns(ConvergenceWarning, match=r"'joint' .*finite in epoch 2 of"):
        model = tiny_graph(**few).fit(X)
    assert stages(model) == STAGES
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    calls = 0
    good = tiny_graph(joint_epochs=1, **few).fit(X)
    np.testing.assert_array_equal(model.embedding_, good.embedding_)
