"""Stage 0, which every estimator shares: an encoder before there are clusters."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import joblib
import torch
from torch import Tensor

from skdeepclust import losses
from skdeepclust._stages.context import Context
from skdeepclust._utils.random import global_states, set_global_states
from skdeepclust.training.loop import Training
from skdeepclust.training.stage import Rate, Stage, count_batches
from skdeepclust.views.tables import mask_features

_GAP = 0.025  # of similarities that tell nothing, from being equal
_SOME = 2**18  # values of samples whose variance is that of all
_MASKED = 0.2  # share of the values that denoising swaps with those of other samples

Pretext = Literal["contrastive", "reconstruction", "denoising"]
Pretraining = Literal["auto", Pretext]


def resolve_pretraining(pretraining: Pretraining, has_views: bool) -> Pretext:
    """Apply the rule of ``pretraining="auto"``: what has views is contrasted."""
    if pretraining == "auto":
        return "contrastive" if has_views else "reconstruction"
    if pretraining == "contrastive" and not has_views:
        raise ValueError(
            "pretraining='contrastive' compares two random views and cannot go with "
            "augmentation=None: set augmentation='auto' or "
            "pretraining='reconstruction'."
        )
    return pretraining


@dataclass(frozen=True)
class PretrainingParameters:
    """Parameters of stage 0."""

    kind: Pretext
    n_epochs: int
    batch_size: int
    learning_rate: float
    temperature: float = 0.5


class PretrainingStage(Stage):
    """NT-Xent between two views (eq. 2.9), or reconstruction (eq. 2.1-2.4)."""

    schedule = "one_cycle"
    required = True

    def __init__(self, parameters: PretrainingParameters, context: Context) -> None:
        network = context.network
        trained = (
            network.autoencoder.encoder if network.unit_norm else network.autoencoder
        )
        rate = Rate("learning_rate", parameters.learning_rate, trained)
        super().__init__(
            "pretraining", parameters.n_epochs, parameters.batch_size, [rate]
        )
        self.parameters = parameters
        self.context = context

    def begin(self) -> None:
        """Compute the loss of a network that has learned nothing."""
        batches, parameters = self.context.batches, self.parameters
        if parameters.kind == "contrastive":
            n_batches = count_batches(len(batches), parameters.batch_size)
            n_views = 2 * (len(batches) // n_batches)
            self.chance = math.log(n_views - 1) - _GAP / parameters.temperature
            return
        n_most = max(2, _SOME // math.prod(batches.spec.shape))
        some = torch.arange(min(len(batches), n_most), device=batches.device)
        # Whoever knows nothing of a sample guesses the mean.
        self.chance = float(batches.take(some).var(0, correction=0).mean())

    def step(self, index: Tensor) -> dict[str, Tensor]:
        """Return the pretext loss of a batch."""
        context, kind = self.context, self.parameters.kind
        network, group = context.network, context.group
        n, x = len(index), context.batches.take(group.share(index))
        if kind == "contrastive":
            h, h_view = network.embed_views([x, x], context.view)
            loss = losses.nt_xent(
                group.gather(h, n),
                group.gather(h_view, n),
                temperature=self.parameters.temperature,
            )
            return {"loss": loss, "nt_xent": loss}
        corrupted = x
        if kind == "denoising":
            corrupted = mask_features(x, context.generator, _MASKED)
        x_hat = network.decode(network.embed(corrupted))
        loss = reconstruction_per_value(x, x_hat)
        return {"loss": loss, "reconstruction": loss}


def reconstruction_per_value(x: Tensor, x_hat: Tensor) -> Tensor:
    """Return eq. 4.1 as a mean over values, which does not grow with their number."""
    return losses.reconstruction(x, x_hat) / x[0].numel()


@dataclass(frozen=True)
class PretrainingCache:
    """Where pretrained networks are kept, for fits that pretrain alike."""

    memory: joblib.Memory
    identity: dict[str, str]
    """Hashes of the data, the encoder, the augmentation, the seed and the device."""


def pretrain(
    parameters: PretrainingParameters,
    context: Context,
    training: Training,
    cache: PretrainingCache | None,
) -> None:
    """Run stage 0, or take over what a fit with the same parameters has learned."""

    def run() -> None:
        training.run(lambda: PretrainingStage(parameters, context))

    if cache is None or training.has_begun or parameters.n_epochs == 0:
        run()
        return
    autoencoder, generator = context.network.autoencoder, context.generator
    history, device = training.history.rows, generator.device
    ran = False

    def learn() -> dict[str, Any]:
        nonlocal ran
        ran, n_before = True, len(history)
        run()
        return {
            "weights": {k: v.cpu() for k, v in autoencoder.state_dict().items()},
            "generator": generator.get_state(),
            "globals": global_states(device) if training.seeded else {},
            "history": history[n_before:],
        }

    identity = {**cache.identity, **{k: repr(v) for k, v in asdict(parameters).items()}}
    learned = cache.memory.cache(_learned, ignore=["learn"])(identity, learn)
    if ran:
        return
    autoencoder.load_state_dict(learned["weights"])
    generator.set_state(learned["generator"])
    if training.seeded:
        set_global_states(learned["globals"], device)
    history += learned["history"]
    training.skip()


def _learned(
    identity: dict[str, str], learn: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Return what `learn` does; joblib keeps it by `identity`."""
    return learn()
