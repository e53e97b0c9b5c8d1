"""What the losses of a graph refuse: each error names the argument and the mend."""

import math

import pytest
import torch
from test_losses import normal
from test_losses_graph import random_neighbors

from skdeepclust import losses

RING = torch.tensor([[1], [2], [3], [0]])
SQUARE = torch.ones(4, 4)
CALLS = {
    "neighbor_contrastive": (
        losses.neighbor_contrastive,
        {"h": SQUARE, "neighbors": RING},
        ["h"],
    ),
    "cluster_contrastive": (
        losses.cluster_contrastive,
        {"y": SQUARE, "y_neighbor": SQUARE},
        ["y", "y_neighbor"],
    ),
    "self_expression": (
        losses.self_expression,
        {"z": SQUARE, "coefficients": SQUARE},
        ["z", "coefficients"],
    ),
}
FLOATING = [(call, name) for call, (_, _, names) in CALLS.items() for name in names]


@pytest.mark.parametrize(("call", "name"), FLOATING)
@pytest.mark.parametrize("wrong", [SQUARE.long(), SQUARE.numpy(), None])
def test_graph_losses_reject_what_is_not_floating_tensors(call, name, wrong):
    function, arguments, _ = CALLS[call]
    with pytest.raises(TypeError, match=f"^{name} must .*got .*: convert it"):
        function(**arguments | {name: wrong})


@pytest.mark.parametrize(("call", "name"), FLOATING)
@pytest.mark.parametrize("wrong", [torch.ones(4), torch.ones(0, 3), torch.ones(4, 0)])
def test_graph_losses_reject_vectors_and_empty_tensors(call, name, wrong):
    function, arguments, _ = CALLS[call]
    with pytest.raises(ValueError, match=rf"^{name} must .*{wrong.shape[0]}"):
        function(**arguments | {name: wrong})


@pytest.mark.parametrize(
    ("call", "name"),
    [("cluster_contrastive", "y_neighbor"), ("self_expression", "coefficients")],
)
@pytest.mark.parametrize("shape", [(5, 4), (4, 5)])
def test_graph_losses_reject_shapes_that_do_not_fit(call, name, shape):
    function, arguments, _ = CALLS[call]
    message = rf"^{name} must have shape \(4, 4\), .*got \({shape[0]}, {shape[1]}\)"
    with pytest.raises(ValueError, match=message):
        function(**arguments | {name: torch.ones(shape)})


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("neighbor_contrastive", "temperature"),
        ("cluster_contrastive", "temperature"),
        ("self_expression", "weight"),
    ],
)
@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
def test_graph_losses_reject_scalars_that_are_not_positive(call, name, wrong):
    function, arguments, _ = CALLS[call]
    message = f"^{name} must be positive and finite; got {wrong}"
    with pytest.raises(ValueError, match=message):
        function(**arguments, **{name: wrong})


@pytest.mark.parametrize("wrong", ["fro", "L1", "nuc", 1, None, ["l1"]])
def test_self_expression_rejects_other_norms(wrong):
    with pytest.raises(ValueError, match=r'^norm must be "fro2" or "l1"; got') as error:
        losses.self_expression(SQUARE, SQUARE, norm=wrong)
    assert repr(wrong) in str(error.value)


@pytest.mark.parametrize("wrong", [RING.numpy(), RING.tolist(), None])
def test_neighbor_contrastive_rejects_neighbors_that_are_no_tensor(wrong):
    message = f"^neighbors must be a torch.Tensor; got {type(wrong).__name__}: convert"
    with pytest.raises(TypeError, match=message):
        losses.neighbor_contrastive(SQUARE, wrong)


@pytest.mark.parametrize("kind", [torch.float32, torch.bool, torch.complex64])
def test_neighbor_contrastive_rejects_neighbors_that_are_no_integers(kind):
    message = f"^neighbors must hold integers; got {kind}: convert it"
    with pytest.raises(TypeError, match=message):
        losses.neighbor_contrastive(SQUARE, RING.to(kind))


@pytest.mark.parametrize(
    ("n", "shape"),
    [(4, (4,)), (4, (4, 1, 1)), (4, (3, 1)), (4, (4, 0)), (4, (4, 4)), (1, (1, 1))],
)
def test_neighbor_contrastive_rejects_neighbors_of_another_shape(n, shape):
    message = r"^neighbors must have shape \(n_samples, k\) with k from 1 to .*got \("
    with pytest.raises(ValueError, match=message) as error:
        losses.neighbor_contrastive(
            torch.ones(n, 3), torch.zeros(shape, dtype=torch.int64)
        )
    assert f"got {shape} while h has n_samples = {n}: " in str(error.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([-1, 0], "lie between 0 and 4, the rows of h; got -1 in row 3: number"),
        ([0, 5], "lie between 0 and 4, the rows of h; got 5 in row 3: number"),
        ([3, 0], "be other samples; got 3 in row 3, the sample itself: leave"),
        ([2, 2], "be distinct within a row; got 2 more than once in row 3: keep"),
    ],
)
def test_neighbor_contrastive_rejects_numbers_that_are_no_neighbors(row, message):
    neighbors = random_neighbors(5, 2)
    neighbors[3] = torch.tensor(row)
    with pytest.raises(ValueError, match=f"^neighbors must {message}"):
        losses.neighbor_contrastive(normal(5, 3), neighbors)
