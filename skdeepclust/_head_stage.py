"""The stage that teaches a cluster head, with the encoder held still."""

from typing import Any

from torch import Tensor
from torch.nn.functional import cross_entropy

from skdeepclust.networks import ClusterNetwork
from skdeepclust.training import Batches, Stage

LABEL_SMOOTHING = 0.1  # of cluster numbers that a head is taught


def head_stage(
    estimator: Any,
    network: ClusterNetwork,
    h: Tensor,
    target: Tensor,
    *,
    label_smoothing: float = 0.0,
    least: int = 0,
) -> Stage:
    """Build the stage from an estimator's parameters.

    Parameters
    ----------
    estimator : estimator
        Gives the parameters.
    network : ClusterNetwork
        Its head is trained.
    h : Tensor of shape (n_samples, n_components)
        Embedding of all samples.
    target : Tensor of shape (n_samples, n_clusters) or (n_samples,)
        Soft assignments, or cluster numbers.
    label_smoothing : float, default=0.0
        Share of each target that is spread over all clusters.
    least : int, default=0
        Least number of optimiser steps.

    Returns
    -------
    Stage
        "head".
    """
    h, target = h.detach(), target.detach()
    # Of several processes each computes it all: a head is small.

    def step(index: Tensor) -> dict[str, Tensor]:
        loss = cross_entropy(
            network.assign(h[index]), target[index], label_smoothing=label_smoothing
        )
        return {"loss": loss, "cross_entropy": loss}

    return Stage(
        "head",
        estimator.head_epochs,
        [
            {
                "params": network.head.parameters(),
                "lr": estimator.head_learning_rate,
            }
        ],
        step,
        estimator.batch_size,
        min_steps=least,
    )


def label_stage(
    estimator: Any,
    network: ClusterNetwork,
    batches: Batches,
    target: Tensor,
    *,
    least: int,
) -> Stage:
    """Build the stage that trains encoder and head on given labels.

    The head alone could not learn clusters that the embedding does not separate.

    Parameters
    ----------
    estimator : estimator
        Gives the parameters.
    network : ClusterNetwork
        Its encoder and its head are trained.
    batches : Batches
        The training data.
    target : Tensor of shape (n_samples,)
        Cluster numbers.
    least : int
        Least number of optimiser steps.

    Returns
    -------
    Stage
        "head", as the one that trains the head alone.
    """
    group = batches.group

    def step(index: Tensor) -> dict[str, Tensor]:
        h = network.embed(batches.take(group.share(index)))
        logits = network.assign(group.gather(h, len(index)))
        loss = cross_entropy(logits, target[index], label_smoothing=LABEL_SMOOTHING)
        return {"loss": loss, "cross_entropy": loss}

    return Stage(
        "head",
        estimator.head_epochs,
        [
            {
                "params": [
                    *network.autoencoder.encoder.parameters(),
                    *network.head.parameters(),
                ],
                "lr": estimator.learning_rate,
            }
        ],
        step,
        estimator.batch_size,
        min_steps=least,
        schedule="one_cycle",
    )
