"""`score_samples` tells samples like the fitted ones from others."""

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import euclidean_distances

from skdeepclust import GraphContrastiveClustering, SelfPacedContrastiveClustering

QUICK = {"pretrain_epochs": 30, "head_epochs": 5, "random_state": 0}


def test_images_unlike_the_fitted_ones_score_lower():
    images = load_digits().images / 16
    fitted, held_out = images[:1200], images[1200:]
    model = SelfPacedContrastiveClustering(10, **QUICK).fit(fitted)
    usual = model.score_samples(held_out)
    rng = np.random.default_rng(0)
    flat = held_out.reshape(len(held_out), -1)
    unusual = {
        "inverted": 1 - held_out,
        "shuffled": rng.permuted(flat, axis=1).reshape(held_out.shape),
        "noise": rng.uniform(size=held_out.shape),
    }
    is_usual = np.repeat([1, 0], len(held_out))
    for name, others in unusual.items():
        scores = np.r_[usual, model.score_samples(others)]
        assert roc_auc_score(is_usual, scores) > 0.95, name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_are_mean_distances_to_the_nearest_ten(dtype):
    X = make_blobs(80, 4, random_state=0)[0].astype(dtype)
    model = GraphContrastiveClustering(3, pretrain_epochs=2, random_state=0).fit(X[:60])
    scores = model.score_samples(X[60:])
    distances = euclidean_distances(model.transform(X[60:]), model.embedding_)
    expected = -np.sort(distances, axis=1)[:, :10].mean(axis=1)
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-5)
    assert scores.dtype == dtype
    # Fitted samples are their own nearest ones.
    assert model.score_samples(X[:60]).mean() > scores.mean()


def test_few_fitted_samples_are_all_looked_at():
    X = make_blobs(6, 3, random_state=0)[0]
    model = GraphContrastiveClustering(2, pretrain_epochs=1, random_state=0).fit(X)
    expected = -euclidean_distances(model.transform(X), model.embedding_).mean(axis=1)
    np.testing.assert_allclose(model.score_samples(X), expected, rtol=1e-3, atol=1e-5)
