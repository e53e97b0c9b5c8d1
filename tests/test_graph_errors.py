"""What the graph functions refuse, and what they say."""

import numpy as np
import pytest
import torch
from graph_helpers import (
    normal,
)

from skdeepclust import graph

# errors


FUNCTIONS = {
    "coefficients": graph.self_expression_coefficients,
    "learned": graph.learned_self_expression,
    "nearest": lambda z: graph.nearest_neighbors(z, 1),
    "expressed": lambda z: graph.self_expression_neighbors(z, 1),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
@pytest.mark.parametrize(
    ("z", "error", "match"),
    [
        (np.zeros((3, 2)), TypeError, "z must be a torch.Tensor; got ndarray"),
        (torch.zeros(3, 2).long(), TypeError, "z must hold floating-point"),
        (torch.zeros(3), ValueError, r"z must be 2-D .* got shape \(3,\)"),
        (torch.zeros(0, 2), ValueError, "z must be 2-D with at least one row"),
        (torch.tensor([[1.0], [np.nan]]), ValueError, "z must be finite.*in row 1"),
        (torch.tensor([[np.inf], [1.0]]), ValueError, "z must be finite.*in row 0"),
    ],
)
def test_graph_rejects_bad_embeddings(function, z, error, match):
    with pytest.raises(error, match=match):
        function(z)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (
            lambda z: graph.nearest_neighbors(z, 4),
            "n_neighbors must be smaller.*n_neighbors=4 for 4 samples: pass at most 3",
        ),
        (
            lambda z: graph.self_expression_neighbors(z, 9),
            "n_neighbors=9 for 4 samples: pass at most 3",
        ),
        (lambda z: graph.nearest_neighbors(z, 0), "n_neighbors must be an integer"),
        (lambda z: graph.nearest_neighbors(z, 1.5), "n_neighbors must be an integer"),
        (lambda z: graph.nearest_neighbors(z, True), "n_neighbors must be an integer"),
        (
            lambda z: graph.nearest_neighbors(z, 1, "manhattan"),
            r"metric must be one of \['cosine', 'euclidean'\]; got 'manhattan'",
        ),
        (
            lambda z: graph.nearest_neighbors(z, 1, block_size=0),
            "block_size must be an integer of at least 1; got 0",
        ),
        (
            lambda z: graph.self_expression_neighbors(z, 1, method="exact"),
            r"method must be one of \['normalized', 'raw'\]; got 'exact'",
        ),
        (
            lambda z: graph.self_expression_neighbors(z, 1, regularization=0.0),
            "^regularization must be positive and finite; got 0.0",
        ),
        (
            lambda z: graph.self_expression_coefficients(z, weight=-1.0),
            "weight must be positive and finite; got -1.0",
        ),
        (
            lambda z: graph.learned_self_expression(z, weight=0.0),
            "weight must be positive and finite; got 0.0",
        ),
        (
            lambda z: graph.learned_self_expression(z, norm="nuclear"),
            'norm must be "fro2" or "l1"; got .nuclear.',
        ),
        (
            lambda z: graph.learned_self_expression(z, n_steps=0),
            "n_steps must be an integer of at least 1; got 0",
        ),
        (
            lambda z: graph.learned_self_expression(z, learning_rate=0.0),
            "learning_rate must be positive and finite; got 0.0",
        ),
        (
            lambda z: graph.learned_self_expression(torch.zeros(5001, 1)),
            "at most 5000 rows .* got 5001: use the closed form",
        ),
        (
            lambda z: graph.dense_affinity(z),
            r"coefficients must be square; got shape \(4, 2\)",
        ),
        (
            lambda z: graph.dense_affinity(torch.full((2, 2), torch.nan)),
            "coefficients must be finite",
        ),
        (
            lambda z: graph.dense_affinity(torch.eye(3), 3),
            "n_neighbors=3 for 3 samples: pass at most 2",
        ),
    ],
)
def test_graph_rejects_bad_parameters(call, match):
    with pytest.raises(ValueError, match=match):
        call(normal(4, 2))


@pytest.mark.parametrize(
    ("indices", "weights", "n", "match"),
    [
        ([[1], [0]], [[1.0], [1.0]], 0, "n must be an integer of at least 1; got 0"),
        ([1, 0], [1.0, 1.0], 2, r"indices must hold integers in n=2 rows; got .*\(2,"),
        ([[1], [0]], [[1.0], [1.0]], 3, "indices must hold integers in n=3 rows"),
        ([[1.0], [0.0]], [[1.0], [1.0]], 2, "got .* dtype float64"),
        ([[1], [0]], [[1.0, 1.0]], 2, "weights must have the shape of indices"),
        ([[2], [0]], [[1.0], [1.0]], 2, "between 0 and n - 1 = 1; got 0 to 2"),
        ([[-1], [0]], [[1.0], [1.0]], 2, "between 0 and n - 1 = 1; got -1 to 0"),
        ([[1], [0]], [[np.nan], [1.0]], 2, "weights must be finite"),
    ],
)
def test_symmetric_affinity_rejects_bad_input(indices, weights, n, match):
    with pytest.raises(ValueError, match=match):
        graph.symmetric_affinity(indices, weights, n)
