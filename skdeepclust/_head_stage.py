"""The stage that teaches a cluster head, with the encoder held still."""

from typing import Any

from torch import Tensor
from torch.nn.functional import cross_entropy

from skdeepclust.networks import ClusterNetwork
from skdeepclust.training import Batches, Stage

LABEL_SMOOTHING = 0.1  # of cluster numbers that a head is taught
_PEAK = 3e-3  # of a learning rate that is chosen for another loss
FINAL = "final_head"
"""Name of the last stage, which teaches the final clusters."""


def head_stage(
    estimator: Any,
    network: ClusterNetwork,
    h: Tensor,
    target: Tensor,
    *,
    n_epochs: int,
    label_smoothing: float = 0.0,
    name: str = "head",
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
    n_epochs : int
        Number of epochs.
    label_smoothing : float, default=0.0
        Share of each target that is spread over all clusters.
    name : str, default="head"
        Of the stage.

    Returns
    -------
    Stage
        The stage.
    """
    h, target = h.detach(), target.detach()
    # Of several processes each computes it all: a head is small.

    def step(index: Tensor) -> dict[str, Tensor]:
        loss = cross_entropy(
            network.assign(h[index]), target[index], label_smoothing=label_smoothing
        )
        return {"loss": loss, "cross_entropy": loss}

    return Stage(
        name,
        n_epochs,
        [
            {
                "params": network.head.parameters(),
                "lr": estimator.head_learning_rate,
                "name": "head_learning_rate",
            }
        ],
        step,
        estimator.batch_size,
        required=name != FINAL,
    )


def label_stage(
    estimator: Any,
    network: ClusterNetwork,
    batches: Batches,
    target: Tensor,
    *,
    n_epochs: int,
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
    n_epochs : int
        Number of epochs.

    Returns
    -------
    Stage
        Named `FINAL`.
    """
    group = batches.group

    def step(index: Tensor) -> dict[str, Tensor]:
        h = network.embed(batches.take(group.share(index)))
        logits = network.assign(group.gather(h, len(index)))
        loss = cross_entropy(logits, target[index], label_smoothing=LABEL_SMOOTHING)
        return {"loss": loss, "cross_entropy": loss}

    return Stage(
        FINAL,
        n_epochs,
        [
            {
                "params": [
                    *network.autoencoder.encoder.parameters(),
                    *network.head.parameters(),
                ],
                "lr": min(estimator.learning_rate, _PEAK),
                "name": "learning_rate",
            }
        ],
        step,
        estimator.batch_size,
        schedule="one_cycle",
    )
