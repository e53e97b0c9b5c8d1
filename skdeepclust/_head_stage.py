"""The stage that teaches a cluster head, with the encoder held still."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from skdeepclust.networks import ClusterNetwork
from skdeepclust.training import Batches, Observer, Stage, run_stages

LABEL_SMOOTHING = 0.1  # of cluster numbers that a head is taught


def head_stage(
    estimator: Any,
    network: ClusterNetwork,
    h: Tensor,
    target: Tensor,
    *,
    label_smoothing: float = 0.0,
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
        min_steps=estimator.min_head_steps,
    )


def teach_head(
    estimator: Any,
    network: ClusterNetwork,
    batches: Batches,
    labels: NDArray[np.int64],
    generator: torch.Generator,
    observers: list[Observer],
) -> None:
    """Teach the cluster head given clusters, by a stage of its own.

    Parameters
    ----------
    estimator : estimator
        Gives the parameters.
    network : ClusterNetwork
        Its head is trained.
    batches : Batches
        The training data.
    labels : ndarray of shape (n_samples,)
        Clusters.
    generator : torch.Generator
        Draws the order of the samples.
    observers : list of Observer
        Are told of the stage.
    """
    network.eval()
    stage = head_stage(
        estimator,
        network,
        batches.map(network.embed),
        torch.from_numpy(labels).to(generator.device),
    )
    run_stages(
        network,
        [lambda: stage],
        len(batches),
        generator=generator,
        observers=observers,
        learnt=True,
        group=batches.group,
    )
