"""Losses and graphs of random shapes, values, dtypes and layouts, against the slow."""

from dataclasses import dataclass

import numpy as np
import pytest
import reference
import reference_graph
import torch
from graph_helpers import SEARCHES, check_neighbors, expected_neighbors, search
from hypothesis import given, settings
from hypothesis import strategies as st
from test_losses_graph import random_neighbors

from skdeepclust import graph, losses

FAST = settings(max_examples=10, deadline=None, database=None)
MANY = settings(max_examples=5000, deadline=None, database=None)
# Rounding of the inputs' products, of which some differences are small.
TOLERANCE = {torch.float32: 2e-3, torch.float64: 1e-8}


@dataclass(frozen=True)
class Case:
    """Some random samples, and how they lie in memory."""

    seed: int
    n: int
    d: int
    n_clusters: int
    values: str
    layout: str
    dtype: torch.dtype

    def rows(self, n, d, offset=0):
        """Draw `n` rows of `d` values."""
        rng = np.random.default_rng((self.seed, offset))
        x = rng.standard_normal((n, d))
        if self.values == "ties":
            x = rng.integers(-1, 2, (n, d)).astype(float)
        if self.values == "copies":
            x = x[rng.integers(0, max(1, n // 2), n)]
        if self.values == "large":
            x *= 1e3
        if self.values == "small":
            x *= 1e-3
        return self.laid(torch.from_numpy(x))

    def shares(self, n, k, offset=0):
        """Draw `n` distributions over `k` clusters."""
        rng = np.random.default_rng((self.seed, offset))
        return self.laid(torch.from_numpy(rng.dirichlet(np.ones(k), n)))

    def laid(self, x):
        """Bring a matrix to the dtype and the layout."""
        x = x.to(self.dtype, copy=True)
        if self.layout == "columns":
            return x.T.contiguous().T
        if self.layout == "gaps":
            wide = torch.full((2 * len(x), 3 * x.shape[1]), torch.nan, dtype=x.dtype)
            wide[::2, 1::3] = x
            return wide[::2, 1::3]
        if self.layout == "grad":
            return x.requires_grad_()
        return x


cases = st.builds(
    Case,
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(2, 8),
    d=st.integers(1, 6),
    n_clusters=st.integers(1, 5),
    values=st.sampled_from(["normal", "ties", "copies", "large", "small"]),
    layout=st.sampled_from(["rows", "columns", "gaps", "grad"]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)


def slow(function):
    """Say the same slowly, in float64."""

    def call(*tensors, **options):
        return function(*(t.detach().double().numpy() for t in tensors), **options)

    return call


def check_loss(case, function, expected, *tensors):
    """It is the slow value, with finite gradients, wherever the tensors lie."""
    before = [tensor.detach().clone() for tensor in tensors]
    free = [tensor.clone().requires_grad_() for tensor in before]
    value = function(*free)
    assert value.dtype == case.dtype
    assert value.isfinite().all()
    if value.requires_grad:
        grads = torch.autograd.grad(value.sum(), free, allow_unused=True)
        assert all(grad is None or grad.isfinite().all() for grad in grads)
    laid = function(*tensors)
    # Other strides, another order of the sums, whose terms may cancel.
    eps = torch.finfo(case.dtype).eps
    largest = max(float(tensor.abs().max()) for tensor in before)
    torch.testing.assert_close(
        laid.detach(),
        value.detach(),
        rtol=max(16 * eps, 1e-7),
        atol=max(1e-5, 4 * eps * largest),
    )
    for tensor, kept in zip(tensors, before, strict=True):
        assert torch.equal(tensor.detach(), kept)
    tolerance = TOLERANCE[case.dtype]
    wanted = np.asarray(expected(*tensors))
    np.testing.assert_allclose(
        value.detach().double().numpy(), wanted, rtol=tolerance, atol=tolerance
    )


def check_losses(case):
    n, d, k = case.n, case.d, case.n_clusters
    rng = np.random.default_rng(case.seed)
    a, b = case.rows(n, d, 1), case.rows(n, d, 2)
    p, q = case.shares(n, k, 3), case.shares(n, k, 4)
    centers = case.rows(k, d, 5)
    similarity = torch.from_numpy(rng.uniform(-1, 1, (n, n))).to(case.dtype)
    similarity = torch.maximum(similarity, similarity.T)
    t = float(rng.choice([0.1, 0.5, 2.0]))
    order = torch.from_numpy(rng.permutation(n))

    def check(function, expected, *tensors, **options):
        def called(*given):
            return function(*given, **options)

        check_loss(case, called, expected, *tensors)
        value = called(*tensors).detach()
        if value.ndim == 0:
            moved = called(*(x[order] if len(x) == n else x for x in tensors))
            tolerance = TOLERANCE[case.dtype]
            torch.testing.assert_close(
                moved.detach(), value, rtol=tolerance, atol=tolerance
            )

    def told(name, **options):
        function = slow(getattr(reference, name))
        return lambda *tensors: function(*tensors, **options)

    check(losses.view_consistency, told("view_consistency"), a, b)
    check(losses.reconstruction, told("reconstruction"), a, b)
    check(losses.nt_xent, told("nt_xent", t=t), a, b, temperature=t)
    check(losses.student_t_assignment, told("student_t_assignment"), a, centers)
    check(losses.weighted_centers, told("weighted_centers"), a, p)
    check(losses.cluster_balance, told("cluster_balance"), p)
    check(losses.cluster_contrastive, told("cluster_contrastive"), p, q)
    if n != k:  # the centres would be moved along with the samples
        check(losses.weighted_center_loss, told("weighted_center_loss"), a, centers, p)
    # So wide that the slow one, which subtracts no maximum, does not underflow.
    scale = (
        0.2 * float(torch.cdist(a.detach().double(), centers.detach().double()).max())
        + 1e-3
    )
    check(
        losses.gaussian_assignment,
        told("gaussian_assignment", scale=scale),
        a,
        centers,
        scale=scale,
    )

    pairs = losses.pair_contrastive
    check_loss(
        case,
        lambda z: pairs(z, similarity, temperature=t),
        lambda z: slow(reference.pair_contrastive)(z, similarity, t=t),
        a,
    )
    moved = pairs(a[order], similarity[order][:, order], temperature=t)
    close(case, moved, pairs(a, similarity, temperature=t))
    if n > 2:
        neighbors = random_neighbors(n, int(rng.integers(1, n - 1)), case.seed)
        check_loss(
            case,
            lambda h: losses.neighbor_contrastive(h, neighbors, temperature=t),
            lambda h: slow(reference.neighbor_contrastive)(h, neighbors, t=t),
            a,
        )
        moved = losses.neighbor_contrastive(a[order], order.argsort()[neighbors[order]])
        close(case, moved, losses.neighbor_contrastive(a, neighbors))


def close(case, actual, expected):
    tolerance = TOLERANCE[case.dtype]
    torch.testing.assert_close(
        actual.detach(), expected.detach(), rtol=tolerance, atol=tolerance
    )


def check_graphs(case):
    n, rng = case.n, np.random.default_rng(case.seed)
    z = case.rows(n, case.d, 1)
    kept, k = z.detach().clone(), int(rng.integers(1, n))
    order = torch.from_numpy(rng.permutation(n))
    for kind in SEARCHES:
        indices, values = search(z, k, kind)
        check_neighbors(indices, values, n, k)
        assert not values.requires_grad
        scale = float(kept.norm(dim=1).max()) if kind == "euclidean" else 1.0
        tolerance = TOLERANCE[case.dtype] * max(scale, 1e-3)
        _, wanted = expected_neighbors(kept, k, kind)
        found = values.double().numpy()
        # Where strengths tie, the others may be another choice; the values may not.
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=tolerance)
        _, moved = search(z[order], k, kind)
        np.testing.assert_allclose(
            moved.double().numpy(), found[order], rtol=1e-3, atol=tolerance
        )
        affinity = graph.symmetric_affinity(indices, values, n).toarray()
        np.testing.assert_array_equal(affinity, affinity.T)
        assert (affinity >= 0).all()
        assert not affinity.diagonal().any()
        slowly = reference_graph.symmetric_affinity(indices.numpy(), found, n)
        np.testing.assert_allclose(affinity, slowly, rtol=1e-5, atol=1e-6 * scale)
    unit = torch.nn.functional.normalize(kept.double(), dim=1)
    coefficients = graph.self_expression_coefficients(case.laid(unit))
    np.testing.assert_allclose(
        coefficients.detach().double().numpy(),
        reference_graph.self_expression_coefficients(unit.numpy()),
        rtol=TOLERANCE[case.dtype],
        atol=TOLERANCE[case.dtype],
    )
    assert not coefficients.diagonal().any()
    assert torch.equal(z.detach(), kept)


@FAST
@given(cases)
def test_losses_of_anything(case):
    check_losses(case)


@FAST
@given(cases)
def test_graphs_of_anything(case):
    check_graphs(case)


@pytest.mark.slow
@MANY
@given(cases)
def test_losses_of_much(case):
    check_losses(case)


@pytest.mark.slow
@MANY
@given(cases)
def test_graphs_of_much(case):
    check_graphs(case)
