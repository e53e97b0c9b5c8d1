"""The losses of a graph: against the slow reference, in blocks, and on the edge."""

import math

import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_losses import (
    DTYPES,
    TOLERANCE,
    check_finite,
    check_gradient,
    check_value,
    differentiable,
    gradients,
    normal,
    numpy,
    probabilities,
    seeds,
)
from torch.utils._python_dispatch import TorchDispatchMode

from skdeepclust import losses

INTEGERS = [torch.uint8, torch.int16, torch.int32, torch.int64]
NORMS = ["fro2", "l1"]


def random_neighbors(n, k, seed=0):
    rng = np.random.default_rng(seed)
    rows = [rng.choice(np.delete(np.arange(n), i), k, replace=False) for i in range(n)]
    return torch.from_numpy(np.stack(rows))


def all_pairs(h, neighbors, temperature):
    """Equations 4.4-4.6 with an n x n matrix, differentiable."""
    unit = torch.nn.functional.normalize(h)
    logits = unit @ unit.T / temperature
    positive = torch.zeros_like(logits, dtype=torch.bool).scatter(1, neighbors, True)
    excluded = positive | torch.eye(len(h), dtype=torch.bool)
    spread = logits.masked_fill(excluded, -math.inf).logsumexp(1)
    return (spread - logits.gather(1, neighbors).mean(1)).mean()


# values


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("k", [1, 3, 8])
def test_neighbor_contrastive_matches_reference(dtype, temperature, k):
    h, neighbors = normal(10, 4, dtype=dtype), random_neighbors(10, k)
    expected = reference.neighbor_contrastive(numpy(h), neighbors, temperature)
    actual = losses.neighbor_contrastive(h, neighbors, temperature=temperature)
    check_value(actual, expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("n_clusters", [1, 2, 5])
def test_cluster_contrastive_matches_reference(dtype, temperature, n_clusters):
    y = probabilities(7, n_clusters, dtype=dtype)
    y_neighbor = probabilities(7, n_clusters, seed=1, dtype=dtype)
    expected = reference.cluster_contrastive(numpy(y), numpy(y_neighbor), temperature)
    actual = losses.cluster_contrastive(y, y_neighbor, temperature=temperature)
    check_value(actual, expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("weight", [0.1, 1.0, 30.0])
def test_self_expression_matches_reference(dtype, norm, weight):
    z, coefficients = normal(6, 3, dtype=dtype), normal(6, 6, seed=1, dtype=dtype)
    expected = reference.self_expression(numpy(z), numpy(coefficients), weight, norm)
    actual = losses.self_expression(z, coefficients, weight=weight, norm=norm)
    check_value(actual, expected, dtype)


def test_neighbor_contrastive_has_the_form_of_pair_contrastive():
    h, neighbors = normal(9, 4), random_neighbors(9, 2)
    similarity = torch.zeros(9, 9).scatter(1, neighbors, 1.0)
    pairs = losses.pair_contrastive(h, similarity)
    torch.testing.assert_close(losses.neighbor_contrastive(h, neighbors), pairs)


@pytest.mark.parametrize("integer", INTEGERS)
def test_neighbor_contrastive_takes_any_integers(integer):
    h, neighbors = normal(9, 4), random_neighbors(9, 2)
    given = neighbors.to(integer)
    before = given.clone()
    actual = losses.neighbor_contrastive(h, given)
    assert actual == losses.neighbor_contrastive(h, neighbors)
    assert torch.equal(given, before)


def test_cluster_contrastive_known_value():
    # Four clusters apart from each other: cosine 1 to themselves, 0 to the others.
    value = losses.cluster_contrastive(torch.eye(4), torch.eye(4), temperature=0.5)
    assert value.item() == pytest.approx(math.log(math.exp(2) + 3) - 2)


def closed_form(z, weight):
    """Minimiser of eq. 4.2 with the squared norm, row by row."""
    inner = z.T @ z + torch.eye(z.shape[1], dtype=z.dtype) / weight
    hat = z @ torch.linalg.solve(inner, z.T)
    coefficients = hat / (1 - hat.diagonal()).unsqueeze(1)
    return coefficients.fill_diagonal_(0)


@pytest.mark.parametrize("weight", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("shape", [(9, 4), (4, 6)])
def test_self_expression_is_least_at_the_closed_form(shape, weight):
    z = normal(*shape)
    best = closed_form(z, weight)
    value, (gradient,) = gradients(
        lambda c: losses.self_expression(z, c, weight=weight), best
    )
    assert gradient.abs().max() < 1e-12 * weight * z.square().sum()
    for seed in range(10):
        nearby = best + 0.01 * normal(len(z), len(z), seed=seed)
        assert losses.self_expression(z, nearby, weight=weight) > value


@pytest.mark.parametrize("norm", NORMS)
def test_self_expression_ignores_the_diagonal(norm):
    z, coefficients = normal(6, 3), normal(6, 6, seed=1)
    value, (_, gradient) = gradients(
        lambda z, c: losses.self_expression(z, c, norm=norm), z, coefficients
    )
    assert (gradient.diagonal() == 0).all()
    assert (gradient != 0).sum() == 30
    before = coefficients.clone()
    for fill in (0.0, 7.0, math.nan):
        coefficients.fill_diagonal_(fill)
        other, (_, same) = gradients(
            lambda z, c: losses.self_expression(z, c, norm=norm), z, coefficients
        )
        assert other == value
        assert torch.equal(same, gradient)
    losses.self_expression(z, before)
    assert torch.equal(before, normal(6, 6, seed=1))


# gradients


@pytest.mark.parametrize("temperature", [0.01, 0.1, 0.5])
def test_neighbor_contrastive_gradient(temperature):
    neighbors = random_neighbors(7, 2)
    check_gradient(
        lambda h: losses.neighbor_contrastive(h, neighbors, temperature=temperature),
        normal(7, 3),
    )


def test_neighbor_contrastive_gradient_in_blocks(monkeypatch):
    monkeypatch.setattr(losses.graph, "_BLOCK_ROWS", 3)
    neighbors = random_neighbors(7, 2)
    check_gradient(lambda h: losses.neighbor_contrastive(h, neighbors), normal(7, 3))


def test_neighbor_contrastive_gradient_scales_and_repeats():
    (h,), neighbors = differentiable(normal(7, 3)), random_neighbors(7, 2)
    loss = losses.neighbor_contrastive(h, neighbors)
    (once,) = torch.autograd.grad(loss, h, retain_graph=True)
    (again,) = torch.autograd.grad(3 * loss, h)
    torch.testing.assert_close(again, 3 * once)


def test_neighbor_contrastive_refuses_second_derivatives():
    (h,), neighbors = differentiable(normal(7, 3)), random_neighbors(7, 2)
    loss = losses.neighbor_contrastive(h, neighbors)
    with pytest.raises(RuntimeError, match=r"^neighbor_contrastive cannot be"):
        torch.autograd.grad(loss, h, create_graph=True)


def test_cluster_contrastive_gradient():
    check_gradient(
        losses.cluster_contrastive, probabilities(5, 3), probabilities(5, 3, seed=1)
    )


@pytest.mark.parametrize("norm", NORMS)
def test_self_expression_gradient(norm):
    check_gradient(
        lambda z, c: losses.self_expression(z, c, weight=0.7, norm=norm),
        normal(5, 3),
        normal(5, 5, seed=1),
    )


# blocks


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [0.01, 0.5])
@pytest.mark.parametrize("n", [40, 256, 257, 512, 513, 700])
def test_neighbor_contrastive_in_blocks_equals_all_pairs(n, temperature, dtype):
    h, neighbors = normal(n, 5, dtype=dtype), random_neighbors(n, 4)
    value, (gradient,) = gradients(
        lambda h: losses.neighbor_contrastive(h, neighbors, temperature=temperature), h
    )
    expected, (wanted,) = gradients(
        lambda h: all_pairs(h, neighbors, temperature), h.double()
    )
    tolerance = {torch.float32: 1e-6, torch.float64: 1e-12}[dtype]
    if temperature < 0.1:
        tolerance *= 0.5 / temperature  # rounding of a cosine is divided by it
    assert value.dtype == gradient.dtype == dtype
    assert abs(value.double() - expected) < tolerance * abs(expected)
    assert (gradient.double() - wanted).norm() < tolerance * wanted.norm()


@pytest.mark.parametrize("need_gradient", [True, False])
def test_neighbor_contrastive_holds_and_computes_no_more_than_it_must(need_gradient):
    n = 1100
    sizes, functions = [], []

    class Record(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            functions.append(function)
            if isinstance(result, torch.Tensor):
                sizes.append(result.numel())
            return result

    h = normal(n, 3, dtype=torch.float32).requires_grad_()
    neighbors = random_neighbors(n, 5)
    with Record(), torch.set_grad_enabled(need_gradient):
        loss = losses.neighbor_contrastive(h, neighbors)
        if need_gradient:
            loss.backward()
    assert max(sizes) == 256 * n
    products = functions.count(torch.ops.aten.mm.out)
    assert products == math.ceil(n / 256) * (2 if need_gradient else 1)


def test_neighbor_contrastive_keeps_its_precision_under_autocast():
    h, neighbors = normal(300, 5, dtype=torch.float32), random_neighbors(300, 4)
    value, (gradient,) = gradients(
        lambda h: losses.neighbor_contrastive(h, neighbors), h
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        other, (same,) = gradients(
            lambda h: losses.neighbor_contrastive(h, neighbors), h
        )
    assert other == value
    assert torch.equal(same, gradient)


# symmetries


@settings(max_examples=20, deadline=None)
@given(seed=seeds, n=st.integers(3, 12))
def test_graph_losses_do_not_depend_on_the_order_of_samples(seed, n):
    order = torch.from_numpy(np.random.default_rng(seed).permutation(n))
    rank = order.argsort()
    h, neighbors = normal(n, 3, seed=seed), random_neighbors(n, n - 2, seed)
    torch.testing.assert_close(
        losses.neighbor_contrastive(h[order], rank[neighbors[order]].flip(1)),
        losses.neighbor_contrastive(h, neighbors),
    )
    y, y_neighbor = probabilities(n, 4, seed=seed), probabilities(n, 4, seed=seed + 1)
    value = losses.cluster_contrastive(y, y_neighbor)
    torch.testing.assert_close(
        losses.cluster_contrastive(y[order], y_neighbor[order]), value
    )
    columns = torch.from_numpy(np.random.default_rng(seed).permutation(4))
    torch.testing.assert_close(
        losses.cluster_contrastive(y[:, columns], y_neighbor[:, columns]), value
    )
    coefficients = normal(n, n, seed=seed)
    for norm in NORMS:
        torch.testing.assert_close(
            losses.self_expression(h[order], coefficients[order][:, order], norm=norm),
            losses.self_expression(h, coefficients, norm=norm),
        )


@settings(max_examples=20, deadline=None)
@given(seed=seeds, power=st.integers(-30, 30))
def test_graph_contrasts_do_not_depend_on_lengths(seed, power):
    h, neighbors = normal(6, 3, seed=seed), random_neighbors(6, 2, seed)
    torch.testing.assert_close(
        losses.neighbor_contrastive(h * 10.0**power, neighbors),
        losses.neighbor_contrastive(h, neighbors),
    )
    y, y_neighbor = probabilities(6, 3, seed=seed), probabilities(6, 3, seed=seed + 1)
    torch.testing.assert_close(
        losses.cluster_contrastive(y * 10.0**power, y_neighbor),
        losses.cluster_contrastive(y, y_neighbor),
    )


# degenerate input


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [2, 5, 600])
def test_neighbor_contrastive_is_zero_without_negatives(n, dtype):
    h, neighbors = normal(n, 3, dtype=dtype), random_neighbors(n, n - 1)
    value, (gradient,) = gradients(
        lambda h: losses.neighbor_contrastive(h, neighbors), h
    )
    check_value(value, 0.0, dtype)
    assert (gradient == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [3, 5, 600])
@pytest.mark.parametrize("fill", [0.0, 0.1, 1e-30, 1e30])
def test_neighbor_contrastive_is_finite_for_equal_rows(fill, n, dtype):
    h, neighbors = torch.full((n, 3), fill, dtype=dtype), random_neighbors(n, 1)
    value, _ = check_finite(lambda h: losses.neighbor_contrastive(h, neighbors), h)
    assert value.item() == pytest.approx(math.log(n - 2), rel=1e-6)


@pytest.mark.parametrize("temperature", [1e-3, 1e3])
def test_graph_contrasts_are_finite_at_extreme_temperatures(temperature):
    h, y = normal(8, 3, dtype=torch.float32), probabilities(8, 3, dtype=torch.float32)
    neighbors = random_neighbors(8, 2)
    check_finite(
        lambda h: losses.neighbor_contrastive(h, neighbors, temperature=temperature), h
    )
    check_finite(lambda y: losses.cluster_contrastive(y, y, temperature=temperature), y)


def test_neighbor_contrastive_zero_row_has_cosine_zero_and_gradient_zero():
    h, neighbors = normal(6, 4), random_neighbors(6, 2)
    h[1] = 0
    value, (gradient,) = check_finite(
        lambda h: losses.neighbor_contrastive(h, neighbors), h
    )
    check_value(value, reference.neighbor_contrastive(h, neighbors), torch.float64)
    assert (gradient[1] == 0).all()
    assert (gradient[0] != 0).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_cluster_contrastive_zero_column_has_cosine_zero_and_gradient_zero(dtype):
    y, y_neighbor = torch.eye(3, dtype=dtype), torch.eye(3, dtype=dtype)
    y[:, 1] = 0
    value, grads = check_finite(losses.cluster_contrastive, y, y_neighbor)
    check_value(value, reference.cluster_contrastive(y, y_neighbor), dtype)
    assert (grads[0][:, 1] == 0).all()
    nothing = torch.zeros(3, 3, dtype=dtype)
    value, grads = check_finite(losses.cluster_contrastive, nothing, nothing)
    check_value(value, math.log(3), dtype)
    assert (grads[0] == 0).all()
    assert (grads[1] == 0).all()


@pytest.mark.parametrize("n", [1, 4])
def test_cluster_contrastive_cannot_tell_equal_clusters(n):
    y = torch.full((n, 5), 0.2, dtype=torch.float64)
    value, (gradient, _) = check_finite(losses.cluster_contrastive, y, y)
    check_value(value, math.log(5), torch.float64)
    assert gradient.abs().max() < 1e-12


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("norm", NORMS)
def test_self_expression_of_nothing(norm, dtype):
    z, none = normal(4, 3, dtype=dtype), torch.zeros(4, 4, dtype=dtype)

    def cost(z, coefficients):
        return losses.self_expression(z, coefficients, norm=norm)

    value, _ = check_finite(cost, z, none)
    check_value(value, numpy(z.square().sum()), dtype)
    assert check_finite(cost, torch.zeros_like(z), none)[0] == 0
    one = torch.ones(1, 1, dtype=dtype)
    value, (gradient, of_coefficients) = check_finite(cost, 3 * one, one)
    assert (value, gradient, of_coefficients) == (9, 6, 0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_graph_losses_compute_half_precision_in_float32(dtype):
    h, neighbors = normal(6, 3).to(dtype), random_neighbors(6, 2)
    y, y_neighbor = probabilities(6, 2).to(dtype), probabilities(6, 2, seed=1).to(dtype)
    coefficients = normal(6, 6, seed=1).to(dtype)
    results = [
        (lambda h: losses.neighbor_contrastive(h * 300, neighbors), (h,)),
        (losses.cluster_contrastive, (y, y_neighbor)),
        (losses.self_expression, (h, coefficients)),
    ]
    for function, arguments in results:
        result, grads = check_finite(function, *arguments)
        assert result.dtype == dtype
        assert all(gradient.dtype == dtype for gradient in grads)
        wide = function(*(argument.float() for argument in arguments))
        torch.testing.assert_close(result, wide.to(dtype))


def test_graph_losses_have_the_dtype_of_the_first_argument():
    one, other = normal(4, 4, dtype=torch.float32), normal(4, 4, seed=1)
    for function in (losses.cluster_contrastive, losses.self_expression):
        for arguments in ((one, other), (other, one)):
            result = function(*arguments)
            assert result.dtype == arguments[0].dtype
            wide = function(*(argument.double() for argument in arguments))
            assert result.item() == pytest.approx(wide.item(), rel=TOLERANCE[one.dtype])
