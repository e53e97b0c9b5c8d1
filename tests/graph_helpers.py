"""What the tests of the graphs share."""

import numpy as np
import reference_graph as reference
import torch
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from skdeepclust import graph

METRICS = ["cosine", "euclidean"]
METHODS = ["normalized", "raw"]
SEARCHES = METRICS + METHODS
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
seeds = st.integers(0, 2**32 - 1)


def normal(*shape, seed=0, dtype=torch.float64):
    values = np.random.default_rng(seed).standard_normal(shape)
    return torch.from_numpy(values).to(dtype)


def search(z, k, kind):
    if kind in METRICS:
        return graph.nearest_neighbors(z, k, kind)
    return graph.self_expression_neighbors(z, k, method=kind)


def check_neighbors(indices, values, n, k):
    """Distinct, never the sample itself, finite, in order of their values."""
    assert indices.shape == values.shape == (n, k)
    assert indices.dtype == torch.int64
    assert ((indices >= 0) & (indices < n)).all()
    assert (indices != torch.arange(n).unsqueeze(1)).all()
    ordered = indices.sort(dim=1).values
    assert (ordered.diff(dim=1) > 0).all()
    assert values.isfinite().all()


def nearest_first(values, kind):
    steps = values.double().diff(dim=1)
    return ((steps if kind in METRICS else -steps) >= 0).all()


def expected_neighbors(z, k, kind):
    z = z.double().numpy()
    if kind in METRICS:
        return reference.first(reference.distances(z, kind), k)
    indices, negated = reference.first(-reference.strengths(z, kind), k)
    return indices, -negated


class RecordSizes(TorchDispatchMode):
    """Numbers in the largest tensor that any operation returned."""

    def __init__(self):
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(value, torch.Tensor) and value._base is None:
                self.largest = max(self.largest, value.numel())
        return result
