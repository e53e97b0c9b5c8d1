import pickle

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from skdeepclust import DeepSubspaceClustering
from skdeepclust.graph import dense_affinity, self_expression_coefficients
from skdeepclust.graph.self_expression import _expressed


@pytest.fixture(scope="module")
def subspaces():
    """Rows on three planes through the origin of 12 dimensions."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 40)
    bases = np.linalg.qr(rng.normal(size=(12, 6)))[0].T.reshape(3, 2, 12)
    X = np.einsum("ij,ijk->ik", rng.normal(size=(120, 2)), bases[y])
    return X, y


def test_fit_finds_subspaces(tiny_subspace, subspaces):
    X, y = subspaces
    # A linear autoencoder that keeps all dimensions keeps the planes.
    encoder = torch.nn.Linear(12, 12)
    with torch.no_grad():
        encoder.weight.copy_(torch.eye(12))
        encoder.bias.zero_()
    model = tiny_subspace(encoder=encoder, n_components=None, pretrain_epochs=0)
    model.set_params(joint_epochs=0).fit(X)
    assert adjusted_rand_score(y, model.labels_) > 0.9
    assert model.affinity_matrix_.shape == (120, 120)
    assert model.embedding_.dtype == X.dtype


@pytest.mark.parametrize(
    "parameters",
    [
        {"coefficients": "learned"},
        {"coefficients": "learned", "norm": "l1"},
        {"n_init": 2},
        {"pretraining": "denoising"},
        {"joint_epochs": 0},
    ],
    ids=str,
)
def test_fit_every_switch_trains(tiny_subspace, blobs, parameters):
    X, y = blobs
    model = tiny_subspace(**parameters).fit(X)
    n_epochs = {"pretraining": 20, "joint": parameters.get("joint_epochs", 2)}
    found = [row["stage"] for row in model.history_]
    assert found == [stage for stage, n in n_epochs.items() for _ in range(n)]
    losses = [row["loss"] for row in model.history_ if row["stage"] == "pretraining"]
    assert losses[-1] < losses[0]
    joint = [row for row in model.history_ if row["stage"] == "joint"]
    assert all(0 < row["self_expression"] < row["loss"] for row in joint)
    assert adjusted_rand_score(y, model.labels_) > 0.95
    ties = model.affinity_matrix_.tocoo()
    within = ties.data[y[ties.row] == y[ties.col]].sum()
    assert within > 0.9 * ties.data.sum()


@pytest.mark.parametrize("weight", [0.5, 20.0])
def test_affinity_is_that_of_the_strongest_coefficients(tiny_subspace, blobs, weight):
    """Eq. 2.8 of the embedding that training leaves, its rows scaled to length 1."""
    model = tiny_subspace(self_expression_weight=weight, n_neighbors=4).fit(blobs[0])
    h = torch.nn.functional.normalize(torch.from_numpy(model.embedding_))
    coefficients = self_expression_coefficients(h, weight=weight)
    expected = dense_affinity(coefficients, 4)
    assert abs(model.affinity_matrix_ - expected).max() < 1e-4 * expected.max()


def test_fit_predict_is_labels_and_the_seed_decides(tiny_subspace, images):
    X, y = images
    model = tiny_subspace()
    labels = model.fit_predict(X)
    np.testing.assert_array_equal(labels, model.labels_)
    np.testing.assert_array_equal(labels, tiny_subspace().fit(X).labels_)
    assert adjusted_rand_score(y, labels) > 0.5
    other = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(other.labels_, labels)


def test_it_is_transductive(tiny_subspace):
    for method in ("predict", "predict_proba", "transform"):
        assert not hasattr(tiny_subspace(), method)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("n_samples", "rank", "weight"),
    [
        (30, 5, 0.7),
        (200, 2, 10.0),
        (200, 2, 1e8),
        (12, 3, 1e4),
        (9, 4, 1e8),
        # As many dimensions as samples, or one more: each sample stands alone.
        (5, 5, 1e6),
        (4, 4, 1e6),
    ],
)
def test_expressed_is_the_closed_form_without_the_matrix(
    n_samples, rank, weight, dtype
):
    # Rows of a low rank are those of an encoder from fewer inputs than n_components.
    generator = torch.Generator().manual_seed(0)
    low = torch.randn(n_samples, rank, generator=generator, dtype=torch.float64)
    h = low @ torch.randn(rank, 5, generator=generator, dtype=torch.float64)
    expected = self_expression_coefficients(h, weight=weight) @ h
    torch.testing.assert_close(_expressed(h.to(dtype), weight), expected.to(dtype))


@pytest.mark.parametrize("weight", [1.0, 1e4, 1e8])
def test_expressed_where_one_row_has_a_direction_of_its_own(weight):
    h = torch.randn(50, 5, generator=torch.Generator().manual_seed(0)).double()
    h[:, 4] = 0
    h[0, 4] = 3
    expected = self_expression_coefficients(h, weight=weight) @ h
    torch.testing.assert_close(_expressed(h, weight), expected)


def test_expressed_of_equal_rows_is_finite():
    h = torch.full((50, 10), 0.3)
    torch.testing.assert_close(_expressed(h, 1e8), h)
    assert not _expressed(torch.zeros(50, 10), 1e8).any()


GOOD = np.random.default_rng(0).normal(size=(30, 6))


def test_default_neighbors_of_few_samples(tiny_subspace):
    for n in (2, 10):
        model = tiny_subspace(2, n_neighbors=None).fit(GOOD[:n])
        assert model.affinity_matrix_.nnz == n * (n - 1)
    with pytest.raises(ValueError, match="n_neighbors=10 must be below n_samples=10"):
        tiny_subspace(2, n_neighbors=10).fit(GOOD[:10])


def test_learned_refuses_many_samples(tiny_subspace):
    X = np.random.default_rng(0).normal(size=(5_001, 2))
    match = r"coefficients='learned' learns .* at most 5,000 samples; got 5,001"
    with pytest.raises(ValueError, match=match):
        tiny_subspace(coefficients="learned", pretrain_epochs=10**6).fit(X)


def test_fit_exploding_learning_rate_is_refused(blobs):
    X, _ = blobs
    told = r"'pretraining' with learning_rate=1e\+30 stopped .*: lower the rate"
    with pytest.raises(ValueError, match=told):
        DeepSubspaceClustering(3, learning_rate=1e30, random_state=0).fit(X)


def test_fit_exploding_joint_learning_rate_is_named(tiny_subspace, blobs):
    X, _ = blobs
    with pytest.raises(ValueError, match="lower joint_learning_rate=1e"):
        tiny_subspace(joint_learning_rate=1e20, joint_epochs=5).fit(X)
