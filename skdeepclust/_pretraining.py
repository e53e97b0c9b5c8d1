"""Stage 0, which every estimator shares: an encoder before there are clusters."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from skdeepclust import losses
from skdeepclust.networks import ClusterNetwork
from skdeepclust.training import Batches, Stage
from skdeepclust.training.stage import count_batches
from skdeepclust.views import Views
from skdeepclust.views.tables import mask_features

_GAP = 0.025  # of similarities that tell nothing, from their being the same
_SOME = 2**18  # values of samples whose variance is that of all


def resolve_pretraining(pretraining: str, has_views: bool) -> str:
    """Apply the documented rule of ``pretraining="auto"``.

    Parameters
    ----------
    pretraining : {"auto", "contrastive", "reconstruction"}
        The parameter.
    has_views : bool
        Whether there are random views; without them nothing can be contrasted.

    Returns
    -------
    {"contrastive", "reconstruction"}
        What has views is contrasted, the rest is reconstructed.

    Raises
    ------
    ValueError
        If "contrastive" is asked for without views.
    """
    if pretraining == "auto":
        return "contrastive" if has_views else "reconstruction"
    if pretraining == "contrastive" and not has_views:
        raise ValueError(
            "pretraining='contrastive' compares two random views and cannot go with "
            "augmentation=None; choose augmentation='auto' or "
            "pretraining='reconstruction'."
        )
    return pretraining


def pretraining_stage(
    estimator: Any,
    network: ClusterNetwork,
    batches: Batches,
    views: Views | None,
    generator: torch.Generator,
    *,
    n_epochs: int,
) -> Stage:
    """Build stage 0 from an estimator's parameters.

    Parameters
    ----------
    estimator : estimator
        Gives the parameters.
    network : ClusterNetwork
        What is trained.
    batches : Batches
        The training data.
    views : Views or None
        Random views.
    generator : torch.Generator
        Draws them.
    n_epochs : int
        Number of epochs.

    Returns
    -------
    Stage
        "pretraining".
    """
    contrastive, group = network.unit_norm, batches.group

    def step(index: Tensor) -> dict[str, Tensor]:
        n, x = len(index), batches.take(group.share(index))
        if contrastive:
            assert views is not None
            h, h_view = network.embed_views([x, x], lambda x: views(x, generator))
            loss = losses.nt_xent(
                group.gather(h, n),
                group.gather(h_view, n),
                temperature=estimator.temperature,
            )
            return {"loss": loss, "nt_xent": loss}
        corrupted = (
            mask_features(x, generator, estimator.denoising)
            if estimator.denoising
            else x
        )
        x_hat = network.decode(network.embed(corrupted))
        loss = losses.reconstruction(x, x_hat) / x[0].numel()
        return {"loss": loss, "reconstruction": loss}

    if contrastive:
        n_views = 2 * (
            len(batches) // count_batches(len(batches), estimator.batch_size)
        )
        chance = math.log(n_views - 1) - _GAP / estimator.temperature
    else:
        n_most = max(2, _SOME // math.prod(batches.spec.shape))
        some = torch.arange(min(len(batches), n_most), device=batches.device)
        # Whoever knows nothing of a sample guesses the mean.
        chance = float(batches.take(some).var(0, correction=0).mean())
    trained: nn.Module = (
        network.autoencoder.encoder if contrastive else network.autoencoder
    )
    return Stage(
        "pretraining",
        n_epochs,
        [
            {
                "params": [*trained.parameters()],
                "lr": estimator.learning_rate,
                "name": "learning_rate",
            }
        ],
        step,
        estimator.batch_size,
        schedule="one_cycle",
        required=True,
        chance=chance,
    )
