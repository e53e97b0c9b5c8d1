"""Losses against the slow reference, their gradients, symmetries and edge cases."""

import math
from functools import partial

import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from skdeepclust import losses

DTYPES = [torch.float32, torch.float64]
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-10}
seeds = st.integers(0, 2**32 - 1)


def normal(*shape, seed=0, dtype=torch.float64):
    values = np.random.default_rng(seed).standard_normal(shape)
    return torch.from_numpy(values).to(dtype)


def probabilities(*shape, seed=0, dtype=torch.float64):
    return normal(*shape, seed=seed, dtype=dtype).softmax(dim=1)


def similarities(n, seed=0):
    """Symmetric, most pairs decided, an ambiguous rest; unit diagonal."""
    values = torch.from_numpy(np.random.default_rng(seed).uniform(size=(n, n)))
    return torch.maximum(values.triu(1), values.triu(1).T) + torch.eye(n)


def unit_factor(n, rank=6, seed=0, dtype=torch.float64):
    return torch.nn.functional.normalize(normal(n, rank, seed=seed, dtype=dtype))


def numpy(tensor):
    return tensor.detach().double().numpy()


def check_value(actual, expected, dtype):
    assert actual.dtype == dtype
    assert actual.shape == np.shape(expected)
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(numpy(actual), expected, rtol=tolerance, atol=tolerance)


def gradients(function, *tensors):
    tensors = [tensor.clone().requires_grad_() for tensor in tensors]
    value = function(*tensors)
    return value.detach(), torch.autograd.grad(value.sum(), tensors)


def check_finite(function, *tensors):
    value, grads = gradients(function, *tensors)
    assert value.isfinite().all()
    assert all(grad.isfinite().all() for grad in grads)
    return value, grads


def differentiable(*tensors):
    return tuple(tensor.clone().requires_grad_() for tensor in tensors)


# values


@pytest.mark.parametrize("dtype", DTYPES)
def test_view_consistency_matches_reference(dtype):
    h, h_view = normal(7, 4, dtype=dtype), normal(7, 4, seed=1, dtype=dtype)
    expected = reference.view_consistency(numpy(h), numpy(h_view))
    check_value(losses.view_consistency(h, h_view), expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("degrees_of_freedom", [0.5, 1.0, 9.0])
def test_student_t_assignment_matches_reference(dtype, degrees_of_freedom):
    h, centers = normal(7, 4, dtype=dtype), normal(3, 4, seed=1, dtype=dtype)
    expected = reference.student_t_assignment(
        numpy(h), numpy(centers), degrees_of_freedom
    )
    actual = losses.student_t_assignment(h, centers, degrees_of_freedom)
    check_value(actual, expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gaussian_scale_matches_reference(dtype):
    h, centers = normal(7, 4, dtype=dtype), normal(3, 4, seed=1, dtype=dtype)
    expected = reference.gaussian_scale(numpy(h), numpy(centers))
    check_value(losses.gaussian_scale(h, centers), expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [None, 0.3, 2.0])
def test_gaussian_assignment_matches_reference(dtype, scale):
    h, centers = normal(7, 4, dtype=dtype), normal(3, 4, seed=1, dtype=dtype)
    expected = reference.gaussian_assignment(numpy(h), numpy(centers), scale)
    actual = losses.gaussian_assignment(h, centers, scale)
    check_value(actual, expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_weighted_center_loss_matches_reference(dtype):
    h, centers = normal(7, 4, dtype=dtype), normal(3, 4, seed=1, dtype=dtype)
    p = probabilities(7, 3, dtype=dtype)
    expected = reference.weighted_center_loss(numpy(h), numpy(centers), numpy(p))
    check_value(losses.weighted_center_loss(h, centers, p), expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_weighted_centers_matches_reference(dtype):
    h, p = normal(7, 4, dtype=dtype), probabilities(7, 3, dtype=dtype)
    expected = reference.weighted_centers(numpy(h), numpy(p))
    check_value(losses.weighted_centers(h, p), expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("thresholds", [(0.8, 0.2), (0.6, 0.5), (0.95, 0.05)])
def test_pair_contrastive_matches_reference(dtype, temperature, thresholds):
    z, similarity = normal(12, 4, dtype=dtype), similarities(12)
    positive, negative = thresholds
    expected = reference.pair_contrastive(
        numpy(z), numpy(similarity), temperature, positive, negative
    )
    actual = losses.pair_contrastive(
        z,
        similarity.to(dtype),
        temperature=temperature,
        positive_threshold=positive,
        negative_threshold=negative,
    )
    check_value(actual, expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_pair_contrastive_factor_matches_reference(dtype):
    z, factor = normal(30, 4, dtype=dtype), unit_factor(30, rank=2, dtype=dtype)
    similarity = numpy(factor) @ numpy(factor).T
    expected = reference.pair_contrastive(numpy(z), similarity)
    assert expected != 0
    check_value(losses.pair_contrastive(z, factor), expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5, 6), (5, 2, 3, 3)])
def test_reconstruction_matches_reference(dtype, shape):
    x, x_hat = normal(*shape, dtype=dtype), normal(*shape, seed=1, dtype=dtype)
    expected = reference.reconstruction(numpy(x), numpy(x_hat))
    check_value(losses.reconstruction(x, x_hat), expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_nt_xent_matches_reference(dtype, temperature):
    z_i, z_j = normal(6, 4, dtype=dtype), normal(6, 4, seed=1, dtype=dtype)
    expected = reference.nt_xent(numpy(z_i), numpy(z_j), temperature)
    actual = losses.nt_xent(z_i, z_j, temperature=temperature)
    check_value(actual, expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_clusters", [1, 2, 5])
def test_cluster_balance_matches_reference(dtype, n_clusters):
    y = probabilities(7, n_clusters, dtype=dtype)
    check_value(losses.cluster_balance(y), reference.cluster_balance(numpy(y)), dtype)
    sizes = torch.arange(1, n_clusters + 1, dtype=dtype)
    sizes = sizes / sizes.sum()
    expected = reference.cluster_balance(numpy(y), numpy(sizes))
    check_value(losses.cluster_balance(y, sizes), expected, dtype)
    # Nothing is lost where the mean has these sizes.
    level = sizes.expand(5, -1)
    check_value(losses.cluster_balance(level, sizes), 0.0, dtype)
    with pytest.raises(ValueError, match="sizes must have a positive number for each"):
        losses.cluster_balance(y, sizes[:-1])


def test_pair_contrastive_known_value():
    # Anchors 0 and 1 have one positive and one negative, at cosines 1 and 0; anchor 2
    # has no positive and is not counted: log(exp(0)) - 1 / 0.5.
    z = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    similarity = torch.tensor([[1.0, 0.9, 0.1], [0.9, 1.0, 0.0], [0.1, 0.0, 1.0]])
    assert losses.pair_contrastive(z, similarity).item() == pytest.approx(-2.0)


def test_pair_contrastive_includes_the_thresholds():
    z = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    similarity = torch.tensor([[1.0, 0.75, 0.25], [0.75, 1, 0.5], [0.25, 0.5, 1.0]])
    actual = losses.pair_contrastive(
        z, similarity, positive_threshold=0.75, negative_threshold=0.25
    )
    assert actual.item() == pytest.approx(-2.0)


def test_pair_contrastive_reads_a_square_tensor_as_similarities():
    z, square = normal(8, 3), similarities(8)
    actual = losses.pair_contrastive(z, square)
    assert actual.item() != losses.pair_contrastive(z, square @ square.T).item()
    check_value(actual, reference.pair_contrastive(z, square), torch.float64)


def test_pair_contrastive_leaves_similarity_unchanged():
    similarity = similarities(8)
    before = similarity.clone()
    losses.pair_contrastive(normal(8, 3), similarity)
    assert torch.equal(similarity, before)


# gradients


def check_gradient(function, *tensors):
    assert torch.autograd.gradcheck(function, differentiable(*tensors))


def test_view_consistency_gradient():
    check_gradient(losses.view_consistency, normal(4, 3), normal(4, 3, seed=1))


def test_student_t_assignment_gradient():
    check_gradient(losses.student_t_assignment, normal(4, 3), normal(2, 3, seed=1))


def test_gaussian_scale_gradient():
    check_gradient(losses.gaussian_scale, normal(4, 3), normal(2, 3, seed=1))


def test_gaussian_assignment_gradient():
    scale = torch.tensor(1.3, dtype=torch.float64)
    tensors = normal(4, 3), normal(2, 3, seed=1), scale
    check_gradient(losses.gaussian_assignment, *tensors)


def test_gaussian_assignment_default_scale_is_constant():
    h, centers = normal(6, 3), normal(2, 3, seed=1)
    scale = losses.gaussian_scale(h, centers).item()
    weights = normal(6, 2, seed=2)
    value, default = gradients(
        lambda h, c: losses.gaussian_assignment(h, c) * weights, h, centers
    )
    other, fixed = gradients(
        lambda h, c: losses.gaussian_assignment(h, c, scale) * weights, h, centers
    )
    torch.testing.assert_close(value, other)
    torch.testing.assert_close(default, fixed)


def test_weighted_center_loss_gradient():
    p = probabilities(4, 2)
    check_gradient(
        lambda h, c: losses.weighted_center_loss(h, c, p),
        normal(4, 3),
        normal(2, 3, seed=1),
    )


def test_weighted_center_loss_has_no_gradient_through_the_assignment():
    h, p = differentiable(normal(4, 3), probabilities(4, 2))
    losses.weighted_center_loss(h, normal(2, 3, seed=1), p).backward()
    assert h.grad is not None
    assert p.grad is None


def test_weighted_centers_gradient():
    check_gradient(losses.weighted_centers, normal(4, 3), probabilities(4, 2))


def test_pair_contrastive_gradient():
    similarity = similarities(8)
    check_gradient(lambda z: losses.pair_contrastive(z, similarity), normal(8, 3))


def test_pair_contrastive_gradient_in_blocks(monkeypatch):
    monkeypatch.setattr(losses.contrastive, "_DENSE_ROWS", 4)
    monkeypatch.setattr(losses.contrastive, "_BLOCK_ROWS", 3)
    similarity = similarities(8)
    check_gradient(lambda z: losses.pair_contrastive(z, similarity), normal(8, 3))


def test_pair_contrastive_gradient_in_tiles(monkeypatch):
    monkeypatch.setattr(losses.contrastive, "_DENSE_ROWS", 4)
    monkeypatch.setattr(losses.contrastive, "_TILE_ROWS", 3)
    factor = unit_factor(8, seed=1)
    check_gradient(lambda z: losses.pair_contrastive(z, factor), normal(8, 3))


@pytest.mark.parametrize("temperature", [0.024, 0.025])
def test_pair_contrastive_of_a_factor_is_exact_at_low_temperatures(temperature):
    """Above and below what exponentials in float32 can hold without a peak."""
    z, factor = normal(100, 3), unit_factor(100, seed=1)
    similarity = factor @ factor.T
    wanted = gradients(
        lambda z: losses.pair_contrastive(z, similarity, temperature=temperature), z
    )
    factor = factor.float()
    found = gradients(
        lambda z: losses.pair_contrastive(z, factor, temperature=temperature), z.float()
    )
    torch.testing.assert_close(found[0].double(), wanted[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[1][0].double(), wanted[1][0], rtol=1e-4, atol=1e-4)


def test_pair_contrastive_in_blocks_refuses_a_second_derivative(monkeypatch):
    monkeypatch.setattr("skdeepclust.losses.contrastive._DENSE_ROWS", 4)
    z = normal(8, 3).requires_grad_()
    loss = losses.pair_contrastive(z, normal(8, 2))
    with pytest.raises(RuntimeError, match="cannot be differentiated"):
        torch.autograd.grad(loss, z, create_graph=True)


def test_pair_contrastive_in_blocks_survives_anchors_without_positives(monkeypatch):
    """At a low temperature their exponentials overflow, and must not be seen."""
    monkeypatch.setattr("skdeepclust.losses.contrastive._DENSE_ROWS", 4)
    z = normal(8, 3).float().requires_grad_()
    factor = torch.eye(8)[:, :7]
    factor[1] = factor[0]
    loss = losses.pair_contrastive(z, factor, temperature=1e-3)
    (gradient,) = torch.autograd.grad(loss, z)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()


def test_pair_contrastive_has_no_gradient_through_similarity():
    z, similarity = differentiable(normal(8, 3), similarities(8))
    losses.pair_contrastive(z, similarity).backward()
    assert z.grad.abs().sum() > 0
    assert similarity.grad is None


def test_reconstruction_gradient():
    check_gradient(losses.reconstruction, normal(3, 2, 2), normal(3, 2, 2, seed=1))


def test_nt_xent_gradient():
    check_gradient(losses.nt_xent, normal(4, 3), normal(4, 3, seed=1))


def test_cluster_balance_gradient():
    check_gradient(losses.cluster_balance, probabilities(5, 3))
    sizes = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    check_gradient(partial(losses.cluster_balance, sizes=sizes), probabilities(5, 3))


# dense and factor form


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [40, 64, 65, 384, 385, 800])
def test_pair_contrastive_factor_equals_dense(n, dtype):
    z, factor = normal(n, 5, dtype=dtype), unit_factor(n, seed=1, dtype=dtype)
    value, (gradient,) = gradients(lambda z: losses.pair_contrastive(z, factor), z)
    unit = torch.nn.functional.normalize(z.double()).requires_grad_()
    similarity = factor.double() @ factor.double().T
    same = torch.eye(n, dtype=torch.bool)
    positive, negative = (similarity >= 0.8) & ~same, (similarity <= 0.2) & ~same
    counted = positive.any(1) & negative.any(1)
    assert counted.any()
    logits = unit @ unit.T / 0.5
    weights = positive.double() / positive.sum(1, keepdim=True).clamp_min(1)
    spread = (logits.exp() * negative).sum(1)[counted].log()
    expected = (spread - (weights * logits).sum(1)[counted]).mean()
    tolerance = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(value, expected.to(dtype), **tolerance)
    (through_unit,) = torch.autograd.grad(expected, unit)
    tangent = through_unit - (through_unit * unit).sum(1, keepdim=True) * unit
    wanted = (tangent / z.double().norm(dim=1, keepdim=True)).to(dtype)
    torch.testing.assert_close(gradient, wanted, **tolerance)
    dense = losses.pair_contrastive(z, (factor @ factor.T).detach())
    torch.testing.assert_close(value, dense, **tolerance)


def test_pair_contrastive_factor_never_holds_all_pairs():
    n = 1100
    sizes = []

    class RecordSizes(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                sizes.append(result.numel())
            return result

    (z,) = differentiable(normal(n, 3, dtype=torch.float32))
    factor = unit_factor(n, dtype=torch.float32)
    with RecordSizes():
        losses.pair_contrastive(z, factor).backward()
    assert max(sizes) == 4 * 384**2  # however large n is


# symmetries


@settings(max_examples=20, deadline=None)
@given(seed=seeds, n=st.integers(2, 12))
def test_losses_do_not_depend_on_the_order_of_samples(seed, n):
    order = torch.from_numpy(np.random.default_rng(seed).permutation(n))
    a, b = normal(n, 3, seed=seed), normal(n, 3, seed=seed + 1)
    centers, p = normal(2, 3, seed=seed + 2), probabilities(n, 2, seed=seed)
    sim = similarities(n, seed=seed)
    pairs = [
        (
            losses.pair_contrastive(a, sim),
            losses.pair_contrastive(a[order], sim[order][:, order]),
        ),
        (
            losses.weighted_center_loss(a, centers, p),
            losses.weighted_center_loss(a[order], centers, p[order]),
        ),
        (losses.weighted_centers(a, p), losses.weighted_centers(a[order], p[order])),
        (
            losses.gaussian_assignment(a, centers)[order],
            losses.gaussian_assignment(a[order], centers),
        ),
        (
            losses.student_t_assignment(a, centers)[order],
            losses.student_t_assignment(a[order], centers),
        ),
    ]
    for function in (losses.view_consistency, losses.nt_xent, losses.reconstruction):
        pairs.append((function(a, b), function(a[order], b[order])))
        pairs.append((function(a, b), function(b, a)))
    for one, other in pairs:
        torch.testing.assert_close(one, other)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, n=st.integers(1, 12), n_clusters=st.integers(1, 6))
def test_cluster_balance_ignores_the_order_of_samples_and_clusters(seed, n, n_clusters):
    rng = np.random.default_rng(seed)
    rows = torch.from_numpy(rng.permutation(n))
    columns = torch.from_numpy(rng.permutation(n_clusters))
    y = probabilities(n, n_clusters, seed=seed)
    value = losses.cluster_balance(y)
    assert -1e-12 < value < math.log(n_clusters) + 1e-12
    torch.testing.assert_close(losses.cluster_balance(y[rows]), value)
    torch.testing.assert_close(losses.cluster_balance(y[:, columns]), value)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, shift=st.floats(-1e3, 1e3))
def test_assignments_are_distributions_that_ignore_a_shift(seed, shift):
    h, centers = normal(6, 3, seed=seed), normal(4, 3, seed=seed + 1)
    for function in (losses.gaussian_assignment, losses.student_t_assignment):
        p = function(h, centers)
        torch.testing.assert_close(p.sum(dim=1), torch.ones(6, dtype=torch.float64))
        assert (p >= 0).all()
        torch.testing.assert_close(function(h + shift, centers + shift), p)
        torch.testing.assert_close(function(h, centers.flip(0)), p.flip(1))


@settings(max_examples=20, deadline=None)
@given(seed=seeds, power=st.integers(-30, 30))
def test_contrastive_losses_do_not_depend_on_the_length_of_rows(seed, power):
    a, b = normal(5, 3, seed=seed), normal(5, 3, seed=seed + 1)
    sim = similarities(5, seed=seed)
    scaled = a * 10.0**power
    torch.testing.assert_close(losses.nt_xent(scaled, b), losses.nt_xent(a, b))
    torch.testing.assert_close(
        losses.view_consistency(scaled, b), losses.view_consistency(a, b)
    )
    torch.testing.assert_close(
        losses.pair_contrastive(scaled, sim), losses.pair_contrastive(a, sim)
    )


def test_distances_keep_their_digits_far_from_the_origin():
    h = normal(50, 4, dtype=torch.float32)
    centers, p = normal(3, 4, dtype=torch.float32), probabilities(50, 3)
    far = torch.tensor([4096.0, -4096.0, 0.0, 4096.0])
    # Rounded to multiples of 1/256 so that the shift itself is exact.
    h, centers = (h * 256).round() / 256, (centers * 256).round() / 256
    near = losses.weighted_center_loss(h, centers, p)
    moved = losses.weighted_center_loss(h + far, centers + far, p)
    assert moved.item() == pytest.approx(near.item(), rel=1e-5)


# degenerate input


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("fill", [0.0, 0.1, 1e-30, 1e30])
def test_cosine_losses_are_finite_for_equal_rows(fill, n, dtype):
    rows = torch.full((n, 3), fill, dtype=dtype)
    similarity = similarities(n).to(dtype)
    check_finite(losses.view_consistency, rows, rows)
    check_finite(losses.nt_xent, rows, rows)
    check_finite(lambda z: losses.pair_contrastive(z, similarity), rows)


def test_zero_row_has_cosine_zero_and_gradient_zero():
    h, h_view = normal(3, 4), normal(3, 4, seed=1)
    h[1] = 0
    value, (gradient, other) = check_finite(losses.view_consistency, h, h_view)
    check_value(value, reference.view_consistency(h, h_view), torch.float64)
    assert (gradient[1] == 0).all()
    assert (other[1] == 0).all()
    assert gradient[0].abs().sum() > 0
    _, (gradient, _) = check_finite(losses.nt_xent, h, h_view)
    assert (gradient[1] == 0).all()
    similarity = similarities(3)
    _, (gradient,) = check_finite(lambda z: losses.pair_contrastive(z, similarity), h)
    assert (gradient[1] == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0.0, 0.1, 1e-30, 1e15])
def test_assignments_are_finite_for_samples_on_their_centers(offset, dtype):
    h = torch.full((5, 3), offset, dtype=dtype)
    for centers in (h[:1], h[:2], torch.cat([h[:1], h[:1] + 1])):
        check_finite(losses.student_t_assignment, h, centers)
        check_finite(losses.gaussian_scale, h, centers)
        p, _ = check_finite(losses.gaussian_assignment, h, centers)
        torch.testing.assert_close(p.sum(dim=1), torch.ones(5, dtype=dtype))
        weights = p.detach()
        check_finite(
            lambda h, c, w=weights: losses.weighted_center_loss(h, c, w), h, centers
        )


@pytest.mark.parametrize("dtype", DTYPES)
def test_gaussian_assignment_is_certain_for_separate_duplicates(dtype):
    centers = torch.tensor([[0.0, 0.0], [1.0, 5.0]], dtype=dtype)
    h = centers.repeat(4, 1)
    p, _ = check_finite(losses.gaussian_assignment, h, centers)
    torch.testing.assert_close(p, torch.eye(2, dtype=dtype).repeat(4, 1))
    assert losses.gaussian_scale(h, centers) > 0


def test_distances_never_round_below_zero():
    # So few degrees of freedom turn a squared distance of -1e-7 into a NaN.
    h = normal(50, 8, dtype=torch.float32)
    p, _ = check_finite(lambda h, c: losses.student_t_assignment(h, c, 1e-9), h, h)
    assert (p.argmax(dim=1) == torch.arange(50)).all()


def test_gaussian_assignment_splits_evenly_between_equal_centers():
    h, centers = normal(5, 3), normal(1, 3, seed=1).repeat(2, 1)
    p, _ = check_finite(losses.gaussian_assignment, h, centers)
    torch.testing.assert_close(p, torch.full((5, 2), 0.5, dtype=torch.float64))


def test_weighted_center_loss_is_zero_on_the_centers():
    h = normal(3, 4)
    value, (gradient, _) = check_finite(
        lambda h, c: losses.weighted_center_loss(h, c, torch.eye(3)), h, h
    )
    assert 0 <= value < 1e-14
    assert gradient.abs().max() < 1e-14


@pytest.mark.parametrize("dtype", DTYPES)
def test_weighted_centers_puts_an_empty_cluster_at_the_origin(dtype):
    h, p = normal(5, 3, dtype=dtype), torch.zeros(5, 2, dtype=dtype)
    p[:, 1] = 0.2
    centers, _ = check_finite(losses.weighted_centers, h, p)
    torch.testing.assert_close(centers, torch.stack([h[0] * 0, h.mean(dim=0)]))


@pytest.mark.parametrize("n", [1, 6, 600])
@pytest.mark.parametrize("fill", [1.0, 0.5, 0.0])
def test_pair_contrastive_is_zero_without_contributing_anchors(fill, n):
    z = normal(n, 3)
    similarity = torch.full((n, n), fill)
    value, (gradient,) = gradients(lambda z: losses.pair_contrastive(z, similarity), z)
    assert value == 0
    assert (gradient == 0).all()


def test_pair_contrastive_ignores_anchors_with_an_empty_set():
    z, similarity = normal(8, 3), similarities(8)
    similarity[5], similarity[6] = 0.9, 0.1
    value, _ = check_finite(lambda z: losses.pair_contrastive(z, similarity), z)
    check_value(value, reference.pair_contrastive(z, similarity), torch.float64)


@pytest.mark.parametrize("temperature", [1e-3, 1e3])
def test_contrastive_losses_are_finite_at_extreme_temperatures(temperature):
    a, b = normal(8, 3, dtype=torch.float32), normal(8, 3, seed=1, dtype=torch.float32)
    check_finite(lambda a, b: losses.nt_xent(a, b, temperature=temperature), a, b)
    sim = similarities(8)
    check_finite(lambda z: losses.pair_contrastive(z, sim, temperature=temperature), a)


def test_nt_xent_of_one_sample_is_zero():
    value, _ = check_finite(losses.nt_xent, normal(1, 3), normal(1, 3, seed=1))
    assert value == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_clusters", [1, 2, 10])
def test_cluster_balance_is_log_k_when_one_cluster_takes_all(n_clusters, dtype):
    y = torch.eye(n_clusters, dtype=dtype)[:1].repeat(6, 1)
    value, _ = check_finite(losses.cluster_balance, y)
    check_value(value, math.log(n_clusters), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_clusters", [1, 2, 10])
def test_cluster_balance_is_zero_when_clusters_are_used_alike(n_clusters, dtype):
    uniform = torch.full((6, n_clusters), 1 / n_clusters, dtype=dtype)
    one_each = torch.eye(n_clusters, dtype=dtype)
    for y in (uniform, one_each):
        value, (gradient,) = check_finite(losses.cluster_balance, y)
        check_value(value, 0.0, dtype)
        # Even use is the minimum: no direction that keeps the sum of a row descends.
        torch.testing.assert_close(gradient, gradient[:1, :1].expand_as(gradient))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_losses_compute_half_precision_in_float32(dtype):
    a, b = normal(6, 3).to(dtype) * 300, normal(6, 3, seed=1).to(dtype) * 300
    p = probabilities(6, 2).to(dtype)
    sim = similarities(6)
    results = [
        (losses.view_consistency, (a, b)),
        (losses.nt_xent, (a, b)),
        (losses.pair_contrastive, (a, sim)),
        (losses.pair_contrastive, (a, b / 300)),
        (losses.gaussian_assignment, (a, b[:2])),
        (losses.gaussian_scale, (a, b[:2])),
        (losses.student_t_assignment, (a, b[:2])),
        (losses.weighted_centers, (a, p)),
        (losses.cluster_balance, (p,)),
        (losses.reconstruction, (a / 300, b / 300)),
        (losses.weighted_center_loss, (a / 300, b[:2] / 300, p)),
    ]
    for function, arguments in results:
        result = function(*arguments)
        assert result.dtype == dtype
        wide = function(*(argument.float() for argument in arguments))
        torch.testing.assert_close(result, wide.to(dtype))


# errors

ROWS, OTHER = torch.ones(4, 3), torch.ones(5, 2)
CALLS = {
    "view_consistency": (losses.view_consistency, ["h", "h_view"]),
    "student_t_assignment": (losses.student_t_assignment, ["h", "centers"]),
    "gaussian_scale": (losses.gaussian_scale, ["h", "centers"]),
    "gaussian_assignment": (losses.gaussian_assignment, ["h", "centers"]),
    "weighted_center_loss": (
        losses.weighted_center_loss,
        ["h", "centers", "assignment"],
    ),
    "weighted_centers": (losses.weighted_centers, ["h_view", "assignment"]),
    "pair_contrastive": (losses.pair_contrastive, ["z", "similarity"]),
    "reconstruction": (losses.reconstruction, ["x", "x_hat"]),
    "nt_xent": (losses.nt_xent, ["z_i", "z_j"]),
    "cluster_balance": (losses.cluster_balance, ["y"]),
}
ARGUMENTS = [(call, name) for call, (_, names) in CALLS.items() for name in names]
SECOND = [(call, names[-1]) for call, (_, names) in CALLS.items() if len(names) > 1]


def valid(names):
    arguments = {name: torch.ones(4, 3) for name in names}
    if "centers" in arguments and "assignment" in arguments:
        arguments["assignment"] = torch.ones(4, 4)
    return arguments


@pytest.mark.parametrize(("call", "name"), ARGUMENTS)
@pytest.mark.parametrize(
    "wrong", [torch.ones(4, 3, dtype=torch.int64), np.ones((4, 3))]
)
def test_losses_reject_what_is_not_floating_tensors(call, name, wrong):
    function, names = CALLS[call]
    arguments = valid(names) | {name: wrong}
    with pytest.raises(TypeError, match=f"^{name} must .*got .*: convert it"):
        function(**arguments)


@pytest.mark.parametrize(("call", "name"), ARGUMENTS)
@pytest.mark.parametrize("wrong", [torch.ones(4), torch.ones(0, 3), torch.ones(4, 0)])
def test_losses_reject_vectors_and_empty_tensors(call, name, wrong):
    function, names = CALLS[call]
    arguments = valid(names) | {name: wrong}
    with pytest.raises(ValueError, match=rf"^{name} must .*{wrong.shape[0]}"):
        function(**arguments)


@pytest.mark.parametrize(("call", "name"), SECOND)
def test_losses_reject_shapes_that_do_not_fit(call, name):
    function, names = CALLS[call]
    arguments = valid(names) | {name: OTHER}
    with pytest.raises(ValueError, match=rf"^{name} must have shape .*\(5, 2\)"):
        function(**arguments)


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
def test_losses_reject_scalars_that_are_not_positive(wrong):
    message = f"must be positive and finite; got {wrong}"
    with pytest.raises(ValueError, match=f"^temperature {message}"):
        losses.nt_xent(ROWS, ROWS, temperature=wrong)
    with pytest.raises(ValueError, match=f"^temperature {message}"):
        losses.pair_contrastive(ROWS, ROWS, temperature=wrong)
    with pytest.raises(ValueError, match=f"^degrees_of_freedom {message}"):
        losses.student_t_assignment(ROWS, ROWS, wrong)
    with pytest.raises(ValueError, match=f"^scale {message}"):
        losses.gaussian_assignment(ROWS, ROWS, wrong)
    with pytest.raises(ValueError, match=f"^scale {message}"):
        losses.gaussian_assignment(ROWS, ROWS, torch.tensor(wrong))


@pytest.mark.parametrize(
    "loss",
    [
        losses.nt_xent,
        losses.pair_contrastive,
        losses.cluster_contrastive,
        lambda z, _, **given: losses.neighbor_contrastive(
            z, (torch.arange(4)[:, None] + 1) % 4, **given
        ),
    ],
)
def test_losses_reject_a_temperature_that_is_learnt(loss):
    wrong = torch.tensor(0.5, requires_grad=True)
    with pytest.raises(ValueError, match=r"^temperature must be a constant; got"):
        loss(ROWS, ROWS, temperature=wrong)


def test_gaussian_assignment_rejects_a_scale_per_cluster():
    with pytest.raises(
        ValueError, match=r"^scale must be one number; got shape \(4,\)"
    ):
        losses.gaussian_assignment(ROWS, ROWS, torch.ones(4))


@pytest.mark.parametrize(
    ("positive", "negative"), [(0.2, 0.8), (0.5, 0.5), (math.nan, 0.2), (0.8, math.nan)]
)
def test_pair_contrastive_rejects_crossed_thresholds(positive, negative):
    message = "^negative_threshold must be below positive_threshold; got "
    with pytest.raises(ValueError, match=f"{message}{negative} and {positive}"):
        losses.pair_contrastive(
            ROWS, ROWS, positive_threshold=positive, negative_threshold=negative
        )
