"""Confidence: probabilities that say how often neighbors have the label."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from torch import Tensor

from skdeepclust._partition.graphs import neighbor_shares
from skdeepclust._stages.context import Context

_LARGEST = 20.0  # factor of logits, where all neighbors agree, and its inverse


def calibrate(
    context: Context, h: Tensor, graphs: Sequence[Any], index: Tensor | None = None
) -> None:
    """Choose the scale of the logits by which probabilities fit neighbors' labels.

    Of the embedding h (n, d), graphs have the rows of `index`, or all. No label
    changes. It is temperature scaling (Guo et al., 2017), whose held-out classes are
    replaced by the labels of neighbors: training has brought the logits to any scale.
    """
    logits = context.assign(h if index is None else h[index])
    z = logits.double().cpu().numpy()
    own = np.eye(z.shape[1])[z.argmax(1)]
    shares = np.mean([neighbor_shares(graph, own) for graph in graphs], axis=0)
    factor = context.group.same(fitted_factor(z, shares))
    context.network.logit_scale.fill_(factor)


def fitted_factor(logits: NDArray[np.float64], shares: NDArray[np.float64]) -> float:
    """Return the b with the smallest cross-entropy of softmax(b logits) to shares.

    Both are of shape (n, K); rows of `shares` sum to 1. It is between 1/20 and 20, for
    shares without any doubt ask for an infinite one.
    """

    def loss(b: float) -> float:
        z = b * logits
        return float(np.mean(logsumexp(z, axis=1) - (shares * z).sum(axis=1)))

    found = minimize_scalar(
        lambda t: loss(np.exp(t)), bounds=(-np.log(_LARGEST), np.log(_LARGEST))
    )
    return float(np.exp(found.x))
