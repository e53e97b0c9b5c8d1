"""Stages that train a cluster head on given targets."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from skdeepclust._stages.context import Context, Embedded
from skdeepclust.training.stage import Rate, Stage

LABEL_SMOOTHING = 0.1  # of cluster numbers as targets
_PEAK = 3e-3  # of a learning rate that is chosen for another loss
OF_RATE = 3  # the head's rate is the learning rate divided by this
FINAL = "final_head"
"""Name of the last stage, which trains the head on the final clusters."""


@dataclass(frozen=True)
class HeadTargets:
    """Head targets: soft assignments (n, K), or cluster numbers (n,)."""

    values: NDArray[np.generic]


@dataclass(frozen=True)
class FinalTargets(HeadTargets):
    """Head targets of the last stage."""


@dataclass(frozen=True)
class HeadParameters:
    """Parameters of a stage that trains the head."""

    n_epochs: int
    batch_size: int
    learning_rate: float
    """That of pretraining."""
    label_smoothing: float = 0.0


class HeadStage(Stage):
    """Train the cluster head alone, on the embedding as it is.

    Of several processes each computes it all: a head is small.
    """

    def __init__(
        self,
        name: str,
        parameters: HeadParameters,
        context: Context,
        embedded: Embedded,
        targets: HeadTargets,
    ) -> None:
        head, given = context.network.head, parameters.learning_rate
        rate = Rate("learning_rate", given, head, divided_by=OF_RATE)
        super().__init__(name, parameters.n_epochs, parameters.batch_size, [rate])
        self.required = name != FINAL
        self.label_smoothing = parameters.label_smoothing
        self.context = context
        self.embedded = embedded
        self.targets = targets

    def begin(self) -> None:
        """Embed all samples."""
        self.h = self.embedded().detach()
        self.target = torch.from_numpy(self.targets.values).to(self.h.device)

    def end(self) -> None:
        """Let go of the embedding."""
        del self.h, self.target

    def step(self, index: Tensor) -> dict[str, Tensor]:
        """Return the cross-entropy of a batch."""
        loss = cross_entropy(
            self.context.network.assign(self.h[index]),
            self.target[index],
            label_smoothing=self.label_smoothing,
        )
        return {"loss": loss, "cross_entropy": loss}


class LabelStage(Stage):
    """Self-train encoder and head on the final clusters.

    The head alone could not learn clusters that the embedding does not separate.
    """

    schedule = "one_cycle"

    def __init__(
        self, parameters: HeadParameters, context: Context, labels: NDArray[np.int64]
    ) -> None:
        network = context.network
        peak = min(parameters.learning_rate, _PEAK)
        rate = Rate("learning_rate", peak, network.autoencoder.encoder, network.head)
        super().__init__(FINAL, parameters.n_epochs, parameters.batch_size, [rate])
        self.context = context
        self.target = torch.from_numpy(labels).to(context.generator.device)

    def step(self, index: Tensor) -> dict[str, Tensor]:
        """Return the cross-entropy of a batch."""
        network, group = self.context.network, self.context.group
        h = network.embed(self.context.batches.take(group.share(index)))
        logits = network.assign(group.gather(h, len(index)))
        loss = cross_entropy(
            logits, self.target[index], label_smoothing=LABEL_SMOOTHING
        )
        return {"loss": loss, "cross_entropy": loss}
