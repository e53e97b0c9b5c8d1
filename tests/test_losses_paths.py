"""What the losses do by default, at their thresholds and along each way they compute.

`pair_contrastive` has three ways: all pairs at once, blocks of rows, and tiles of a
factor. All must mean the same.
"""

import warnings

import pytest
import reference
import torch
from test_losses import (
    check_value,
    gradients,
    normal,
    numpy,
    probabilities,
    similarities,
    unit_factor,
)
from test_losses_graph import random_neighbors

from skdeepclust import losses


def test_losses_have_the_documented_defaults():
    a, b = normal(7, 4), normal(7, 4, seed=1)
    p, q = probabilities(7, 3), probabilities(7, 3, seed=1)
    neighbors, similarity = random_neighbors(7, 2), similarities(7)
    pairs = [
        (losses.nt_xent(a, b), reference.nt_xent(a, b, 0.5)),
        (
            losses.pair_contrastive(a, similarity),
            reference.pair_contrastive(a, similarity, 0.5, 0.8, 0.2),
        ),
        (
            losses.student_t_assignment(a, b[:3]),
            reference.student_t_assignment(numpy(a), numpy(b[:3]), 1.0),
        ),
        (
            losses.neighbor_contrastive(a, neighbors),
            reference.neighbor_contrastive(a, neighbors, 0.5),
        ),
        (losses.cluster_contrastive(p, q), reference.cluster_contrastive(p, q, 1.0)),
        (
            losses.self_expression(a, normal(7, 7)),
            reference.self_expression(numpy(a), numpy(normal(7, 7)), 1.0, "fro2"),
        ),
    ]
    for actual, expected in pairs:
        check_value(actual, expected, torch.float64)


# A factor of zeros and ones has whole numbers as similarities, without rounding: many
# lie on the thresholds.
WAYS = {
    "all at once": (40, 0.5, False),
    "blocks": (70, 0.5, True),
    "blocks of a factor": (70, 0.02, False),
    "tiles of a factor": (70, 0.5, False),
}


@pytest.mark.parametrize(("n", "temperature", "square"), WAYS.values(), ids=WAYS)
def test_pair_contrastive_includes_the_thresholds_each_way(n, temperature, square):
    z, factor = normal(n, 3), (normal(n, 3, seed=1) > 0).double()
    similarity = factor @ factor.T
    actual = losses.pair_contrastive(
        z,
        similarity if square else factor,
        temperature=temperature,
        positive_threshold=2.0,
        negative_threshold=1.0,
    )
    expected = reference.pair_contrastive(
        numpy(z), numpy(similarity), temperature, 2.0, 1.0
    )
    check_value(actual, expected, torch.float64)


@pytest.mark.parametrize(("n", "temperature", "square"), WAYS.values(), ids=WAYS)
def test_pair_contrastive_needs_no_gradient_nor_one_dtype(n, temperature, square):
    z, factor = normal(n, 3, dtype=torch.float32), unit_factor(n, rank=3)
    similarity = factor @ factor.T if square else factor

    def loss(z):
        return losses.pair_contrastive(z, similarity, temperature=temperature)

    value, _ = gradients(loss, z)
    plain = loss(z)
    assert not plain.requires_grad
    assert plain.dtype == torch.float32
    assert plain == value
    torch.testing.assert_close(loss(z.double()).float(), plain)


def test_blocks_of_losses_reuse_memory_without_a_warning():
    n = 300  # the last block is smaller than the others
    z, factor, neighbors = normal(n, 3), unit_factor(n), random_neighbors(n, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses.pair_contrastive(z, factor @ factor.T)
        losses.pair_contrastive(z, factor, temperature=0.02)
        losses.pair_contrastive(z, factor)
        losses.neighbor_contrastive(z, neighbors)


def test_pair_contrastive_of_64_samples_can_be_differentiated_twice():
    for n, possible in ((64, True), (65, False)):
        z = normal(n, 3).requires_grad_()
        loss = losses.pair_contrastive(z, similarities(n))
        if possible:
            (gradient,) = torch.autograd.grad(loss, z, create_graph=True)
            assert gradient.requires_grad
        else:
            with pytest.raises(RuntimeError, match="more than 64 samples cannot"):
                torch.autograd.grad(loss, z, create_graph=True)


@pytest.mark.parametrize("length", [1e-20, 1e20])
def test_gaussian_assignment_follows_the_scale_of_the_data(length):
    h, centers = normal(7, 4), normal(3, 4, seed=1)
    scale = losses.gaussian_scale(h, centers)
    scaled = losses.gaussian_scale(h * length, centers * length)
    torch.testing.assert_close(scaled, scale * length, rtol=1e-12, atol=0)
    torch.testing.assert_close(
        losses.gaussian_assignment(h * length, centers * length),
        losses.gaussian_assignment(h, centers),
    )


def one_anchor_alone(n=70):
    """Similarities of which one anchor alone has a positive and a negative."""
    similarity = torch.full((n, n), 0.5, dtype=torch.float64)
    similarity[5, 40] = similarity[40, 5] = 0.9
    similarity[5, 60] = similarity[60, 5] = 0.1
    similarity.fill_diagonal_(2.0)
    z = normal(n, 4)
    # The exponential of the only negative is below 1.
    z[60] = -z[5]
    return z, similarity


@pytest.mark.parametrize("is_factor", [False, True])
@pytest.mark.parametrize("with_gradient", [False, True])
def test_one_anchor_that_counts_is_not_divided(is_factor, with_gradient, monkeypatch):
    monkeypatch.setattr("skdeepclust.losses.contrastive._TILE_ROWS", 16)
    z, similarity = one_anchor_alone()
    expected = reference.pair_contrastive(z, similarity, 0.5, 0.8, 0.2)
    if is_factor:
        root = torch.linalg.cholesky(similarity)
        similarity = torch.cat([root, torch.zeros(len(root), 1).double()], dim=1)
    z.requires_grad_(with_gradient)
    check_value(losses.pair_contrastive(z, similarity), expected, torch.float64)
