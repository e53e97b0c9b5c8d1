"""Coefficients of self-expression, in closed form and learned."""

import numpy as np
import pytest
import reference_graph as reference
import torch
from graph_helpers import (
    DTYPES,
    normal,
)

from skdeepclust import graph, losses

# closed form


@pytest.mark.parametrize("shape", [(12, 3), (5, 5), (4, 9), (30, 1), (1, 3)])
@pytest.mark.parametrize("weight", [1e-3, 1.0, 10.0])
def test_self_expression_coefficients_match_direct_solves(shape, weight):
    z = normal(*shape)
    actual = graph.self_expression_coefficients(z, weight)
    expected = reference.solved_coefficients(z.numpy(), weight)
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-10)
    assert (actual.diagonal() == 0).all()


@pytest.mark.no_cover
@pytest.mark.parametrize("weight", [1e-300, 1e-9, 1e6, 1e12, 1e20, 1e30, 1e300])
@pytest.mark.parametrize("n_components", [3, 5, 30])
def test_self_expression_coefficients_are_stable_for_extreme_weights(
    weight, n_components
):
    # One sample alone in its direction, one without which two equal ones cannot be
    # told from a line, and a group in a plane.
    z = torch.zeros(9, n_components, dtype=torch.float64)
    z[0, 0] = 2.0
    z[1, 1] = 1.0
    z[2:4, 1:3] = 1.0
    z[4:, -2:] = normal(5, 2)
    actual = graph.self_expression_coefficients(z, weight)
    expected = reference.exact_coefficients(z, weight)
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("weight", [1e4, 1e7])
@pytest.mark.parametrize("n_others", [0, 4])
def test_self_expression_coefficients_of_samples_that_stand_alone(weight, n_others):
    # Five that nearly nothing expresses, neither each other nor some in a plane.
    z = normal(5 + n_others, 8)
    z[5:, :6] = 0
    actual = graph.self_expression_coefficients(z, weight)
    expected = reference.exact_coefficients(z, weight)
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)


def test_self_expression_has_a_weight_of_1_by_default():
    z = normal(8, 3)
    expected = reference.solved_coefficients(z.numpy(), 1.0)
    np.testing.assert_allclose(graph.self_expression_coefficients(z), expected)


def test_self_expression_coefficients_are_the_minimum():
    z = normal(15, 6)
    best = graph.self_expression_coefficients(z, 2.0)
    value = losses.self_expression(z, best, weight=2.0)
    for seed in range(5):
        other = best + 0.01 * normal(15, 15, seed=seed)
        assert losses.self_expression(z, other, weight=2.0) > value


@pytest.mark.parametrize("scale", [1e-200, 1e-3, 1e3, 1e150])
def test_self_expression_coefficients_scale_with_the_weight(scale):
    z = normal(8, 3)
    expected = graph.self_expression_coefficients(z, 1.5)
    if 1e-100 < scale < 1e100:
        actual = graph.self_expression_coefficients(z * scale, 1.5 / scale**2)
        torch.testing.assert_close(actual, expected)
    assert graph.self_expression_coefficients(z * scale).isfinite().all()


def test_self_expression_coefficients_share_evenly_among_equal_rows():
    z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    actual = graph.self_expression_coefficients(z.double(), 1e14)
    expected = torch.zeros(5, 5, dtype=torch.float64)
    expected[:3, :3] = 0.5
    torch.testing.assert_close(actual, expected.fill_diagonal_(0))
    assert (actual[4] == 0).all()
    assert (actual[:, 4] == 0).all()
    assert (graph.self_expression_coefficients(torch.zeros(3, 2)) == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_self_expression_coefficients_keep_the_dtype(dtype):
    z = normal(7, 3, dtype=dtype).requires_grad_()
    actual = graph.self_expression_coefficients(z)
    exact = graph.self_expression_coefficients(z.double())
    assert actual.dtype == dtype
    assert not actual.requires_grad
    torch.testing.assert_close(actual, exact.to(dtype))


# learned


@pytest.mark.parametrize(("scale", "weight"), [(0.1, 1.0), (1.0, 5.0), (4.0, 1.0)])
def test_learned_self_expression_reaches_the_closed_form(scale, weight):
    z = scale * normal(20, 4)
    actual = graph.learned_self_expression(z, weight=weight)
    expected = graph.self_expression_coefficients(z, weight)
    assert (actual.diagonal() == 0).all()
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-3)


def test_learned_self_expression_lowers_the_l1_objective():
    z = normal(20, 4, dtype=torch.float32)
    actual = graph.learned_self_expression(z, norm="l1", weight=2.0)
    assert actual.dtype == torch.float32
    closed = graph.self_expression_coefficients(z, weight=2.0)
    value, other = (
        losses.self_expression(z, c, weight=2.0, norm="l1") for c in (actual, closed)
    )
    assert value < 0.9 * other


def test_learned_self_expression_draws_from_the_generator_alone():
    z = normal(6, 3, dtype=torch.float16)
    state = torch.random.get_rng_state()

    def learn(generator):
        return graph.learned_self_expression(z, n_steps=3, generator=generator)

    one, two = (learn(torch.Generator().manual_seed(5)) for _ in range(2))
    assert one.dtype == torch.float16
    assert not one.requires_grad
    assert torch.equal(one, two)
    assert torch.equal(learn(None), learn(None))
    assert not torch.equal(one, learn(None))
    assert torch.equal(torch.random.get_rng_state(), state)
    with torch.no_grad():
        assert torch.equal(learn(None), learn(None))


def test_learned_self_expression_starts_near_zero():
    z = normal(10, 3)
    start = graph.learned_self_expression(z, n_steps=1, learning_rate=1e-12)
    off_diagonal = start[~torch.eye(10, dtype=torch.bool)]
    assert (off_diagonal != 0).all()
    assert off_diagonal.abs().max() < 0.005


def test_learned_self_expression_takes_as_many_rows_as_it_says(monkeypatch):
    monkeypatch.setattr("skdeepclust.graph.self_expression._MAX_LEARNED", 4)
    assert graph.learned_self_expression(normal(4, 2), n_steps=1).shape == (4, 4)
    with pytest.raises(ValueError, match="at most 4 rows"):
        graph.learned_self_expression(normal(5, 2), n_steps=1)


def test_learned_self_expression_breaks_ties():
    # One step from zero coefficients would leave them all at plus or minus the rate.
    z = normal(10, 3)
    row = graph.learned_self_expression(z, n_steps=1)[0, 1:]
    assert row.abs().unique().numel() == 9
