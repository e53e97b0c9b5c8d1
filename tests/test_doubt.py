"""`score_samples` tells samples like the fitted ones from others."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import euclidean_distances
from torch import nn

from skdeepclust import GraphContrastiveClustering, SelfPacedContrastiveClustering

# What is run here is measured by other tests; measuring would take longer.
pytestmark = pytest.mark.no_cover

QUICK = {"pretrain_epochs": 2, "random_state": 0}


def test_images_unlike_the_fitted_ones_score_lower():
    images = load_digits().images / 16
    fitted, held_out = images[:1200], images[1200:]
    short = {"head_epochs": 1, "center_epochs": 1, "contrastive_epochs": 1}
    model = SelfPacedContrastiveClustering(10, **QUICK, **short).fit(fitted)
    usual = model.score_samples(held_out)
    rng = np.random.default_rng(0)
    flat = held_out.reshape(len(held_out), -1)
    unusual = {
        "white": np.ones_like(held_out),
        "inverted": 1 - held_out,
        "shuffled": rng.permuted(flat, axis=1).reshape(held_out.shape),
        "noise": rng.uniform(size=held_out.shape),
    }
    is_usual = np.repeat([1, 0], len(held_out))
    for name, others in unusual.items():
        scores = np.r_[usual, model.score_samples(others)]
        assert roc_auc_score(is_usual, scores) > 0.96, name


def test_rows_far_from_all_others_score_lower():
    """Though embeddings of unit length know no distance from the middle."""
    X = make_blobs(300, 6, centers=3, random_state=0)[0]
    model = GraphContrastiveClustering(3, **QUICK).fit(X[:200])
    far = 10 * (X[200:] - X.mean(axis=0))
    assert model.score_samples(far).max() < model.score_samples(X[200:]).min()


def mlp_hidden(model, X):
    """What the last hidden layer makes of rows."""
    x = (X - X[:60].mean(axis=0)) / np.sqrt(X[:60].var(axis=0).mean())
    with torch.no_grad():
        encoder = model.network_.autoencoder.encoder
        return encoder[:-1](torch.from_numpy(x).float()).numpy()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_are_mean_distances_to_the_nearest_ten(dtype):
    X = make_blobs(80, 4, random_state=0)[0].astype(dtype)
    model = GraphContrastiveClustering(3, **QUICK).fit(X[:60])
    scores = model.score_samples(X[60:])
    h = mlp_hidden(model, X)
    np.testing.assert_allclose(
        np.sort(model.hidden_sample_, axis=None), np.sort(h[:60], axis=None), atol=1e-5
    )
    distances = euclidean_distances(h[60:], h[:60])
    expected = -np.sort(distances, axis=1)[:, :10].mean(axis=1)
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-5)
    assert scores.dtype == dtype
    # Fitted samples are their own nearest ones.
    assert model.score_samples(X[:60]).mean() > scores.mean()


def test_few_fitted_samples_are_all_looked_at():
    X = make_blobs(6, 3, random_state=0)[0]
    model = GraphContrastiveClustering(2, **QUICK).fit(X)
    assert model.hidden_sample_.shape == (6, 256)
    h = model.hidden_sample_
    expected = -euclidean_distances(h, h).mean(axis=1)
    found = model.score_samples(X)
    np.testing.assert_allclose(np.sort(found), np.sort(expected), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("n_samples", "n_hidden", "n_kept"), [(2100, 16, 2000), (900, 4096, 512)]
)
def test_of_many_samples_or_values_a_part_is_kept(n_samples, n_hidden, n_kept):
    X = make_blobs(n_samples, 4, random_state=0)[0]
    model = GraphContrastiveClustering(
        3, **QUICK, hidden_layer_sizes=(n_hidden,), joint_epochs=0, head_epochs=1
    ).fit(X)
    assert model.hidden_sample_.shape == (n_kept, n_hidden)
    assert len(np.unique(model.hidden_sample_, axis=0)) == n_kept


def test_of_a_module_without_layers_after_it_the_output_counts():
    X = make_blobs(60, 4, random_state=0)[0]
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 5))
    model = GraphContrastiveClustering(3, **QUICK, encoder=module).fit(X)
    assert model.hidden_sample_.shape == (60, 5)
    assert (model.score_samples(X) <= 0).all()
    with_layer = model.set_params(n_components=3).fit(X)
    assert with_layer.hidden_sample_.shape == (60, 5)
    assert with_layer.embedding_.shape == (60, 3)
