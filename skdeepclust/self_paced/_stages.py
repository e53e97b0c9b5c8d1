"""Algorithm 3.3 from top to bottom, and stage 2, which is its own (algorithm 3.2)."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from skdeepclust import losses
from skdeepclust._partition.agreement import Agreement
from skdeepclust._stages.calibration import calibrate
from skdeepclust._stages.centers import CenterParameters, CenterStage, Start, find_start
from skdeepclust._stages.context import Context, finite_embedding
from skdeepclust._stages.head import (
    FINAL,
    OF_RATE,
    FinalTargets,
    HeadParameters,
    HeadStage,
    HeadTargets,
    LabelStage,
)
from skdeepclust._stages.pretraining import (
    PretrainingCache,
    PretrainingParameters,
    pretrain,
)
from skdeepclust._utils.random import draw_seed
from skdeepclust.training.loop import Training
from skdeepclust.training.stage import Rate, Stage

Similarity = Literal["assignments", "centered_cosine", "cosine"]


@dataclass(frozen=True)
class PairParameters:
    """Parameters of stage 2."""

    n_epochs: int
    batch_size: int
    learning_rate: float  # of the encoder
    pretrain_learning_rate: float  # three times that of the head
    temperature: float
    similarity: Similarity
    positive_threshold: float
    negative_threshold: float
    update_interval: int
    balance_weight: float
    pretext_weight: float
    pretext_temperature: float


@dataclass(frozen=True)
class Parameters:
    """Parameters of algorithm 3.3, by stage."""

    pretraining: PretrainingParameters
    centers: CenterParameters
    head: HeadParameters
    pairs: PairParameters
    final: HeadParameters
    resolution: float | Literal["auto"] | None
    end_to_end: bool


def train(
    parameters: Parameters,
    context: Context,
    training: Training,
    cached: PretrainingCache | None,
) -> Tensor | None:
    """Algorithm 3.3; returns the embedding of all samples, if it is known."""
    asks_neighbors = parameters.resolution is not None and len(context.batches) > 2
    refines = asks_neighbors and parameters.head.n_epochs > 0
    n_before = 0 if context.pretrained else 1
    training.begin(n_before + (2 if parameters.end_to_end else 3) + int(refines))

    # Stage 0: an encoder before there are clusters.
    if not context.pretrained:
        pretrain(parameters.pretraining, context, training, cached)

    # The first clusters.
    @cache  # it keeps the graph of the input, which both ends of training need
    def agreement(seed: int) -> Agreement | None:
        if parameters.resolution is None or not asks_neighbors:
            return None
        return Agreement(context.batches, seed, parameters.resolution)

    def first_clusters() -> Start:
        seed = draw_seed(context.generator)
        rate = parameters.pretraining.learning_rate
        return find_start(context, agreement(seed), seed, rate)

    start = training.once(Start, first_clusters)
    judge = agreement(start.seed) if refines else None

    # Stage 1: samples are pulled to soft cluster centers.
    centers = CenterStage(parameters.centers, context, start)
    if not parameters.end_to_end:
        centers = training.run(lambda: centers)

    # The head learns the assignments of stage 1, with the encoder held still.
    embedded = cache(context.embed_all)

    def first_targets() -> HeadTargets:
        centers.warn_coinciding(embedded())
        assigned = centers.assign(embedded())
        return HeadTargets(
            _refined(parameters, context, judge, start, embedded(), assigned)
        )

    targets = training.once(HeadTargets, first_targets)
    training.run(lambda: HeadStage("head", parameters.head, context, embedded, targets))

    # Stage 2: contrast between pairs, or both stages end to end (outlook, 5.2).
    pairs = PairStage(parameters.pairs, context, start, parameters.head.n_epochs > 0)
    if parameters.end_to_end:
        training.run(lambda: EndToEndStage(centers, pairs))
    else:
        training.run(lambda: pairs)

    # The final clusters.
    if judge is None:
        return None
    if start.kept is not None:
        kept = start.kept
        training.run(lambda: LabelStage(parameters.final, context, kept))
        h = context.embed_all()
        calibrate(context, h, judge.graphs(h), judge.index)
        return h
    embedded = cache(context.embed_all)

    def final_targets() -> FinalTargets:
        h = embedded()
        labels = _refined(parameters, context, judge, start, h, context.assign(h))
        votes = judge.votes(h, labels.astype(np.int64), context.n_clusters)
        return FinalTargets(context.group.same(votes))

    final = training.once(FinalTargets, final_targets)
    training.run(lambda: HeadStage(FINAL, parameters.final, context, embedded, final))
    calibrate(context, embedded(), judge.graphs(embedded()), judge.index)
    return embedded()


def _refined(
    parameters: Parameters,
    context: Context,
    judge: Agreement | None,
    start: Start,
    h: Tensor,
    assigned: Tensor,
) -> NDArray[np.generic]:
    """Return assignments (n, K), or cluster numbers (n,) that neighbors agree with."""
    if judge is None:
        soft: NDArray[np.generic] = assigned.cpu().numpy()
        return soft
    finite_embedding(h, parameters.pretraining.learning_rate)
    labels = start.kept
    if labels is None:
        labels = judge.refine(h, assigned.argmax(1).cpu().numpy(), start)
    return context.group.same(labels)


class PairStage(Stage):
    """Algorithm 3.2: eq. 3.7-3.9 on pairs that are recomputed every T2 epochs."""

    def __init__(
        self,
        parameters: PairParameters,
        context: Context,
        start: Start,
        head_is_trained: bool,
    ) -> None:
        encoder, head = context.network.autoencoder.encoder, context.network.head
        given = parameters.pretrain_learning_rate
        rates = [
            Rate("fine_tune_learning_rate", parameters.learning_rate, encoder),
            Rate("learning_rate", given, head, divided_by=OF_RATE),
        ]
        n_epochs, batch_size = parameters.n_epochs, parameters.batch_size
        super().__init__("contrastive", n_epochs, batch_size, rates)
        self.required = not head_is_trained
        self.refresh_interval = parameters.update_interval
        self.parameters = parameters
        self.context = context
        sizes, device = start.sizes, context.batches.device
        self.sizes = None if sizes is None else torch.from_numpy(sizes).to(device)
        self.factor: Tensor | None = None
        """U (n, r), whose products U U^T are the similarities of eq. 3.6."""

    def end(self) -> None:
        """Let go of the factor."""
        self.factor = None

    def state_dict(self) -> dict[str, Any]:
        """Return the factor, which a refresh long ago may have computed."""
        return {"factor": self.factor}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it over, if the stage had begun."""
        factor = state.get("factor")
        self.factor = None if factor is None else factor.to(self.context.batches.device)

    def refresh(self, epoch: int) -> dict[str, float]:
        """Eq. 3.6: the factor of the pairwise similarities of all samples."""
        context, similarity = self.context, self.parameters.similarity
        if similarity == "assignments":
            self.factor = context.logits_of_all().softmax(1)
        else:
            h = context.embed_all()
            centered = h - h.mean(0) if similarity == "centered_cosine" else h
            self.factor = normalize(centered, dim=1)
        return {}

    def step(self, index: Tensor) -> dict[str, Tensor]:
        """Eq. 3.7-3.9 on two views, an anchor's own view being a positive."""
        parameters, context = self.parameters, self.context
        network, group = context.network, context.group
        n, x = len(index), context.batches.take(group.share(index))
        hs = network.embed_views([x, x], context.view)
        h, h_view = (group.gather(own, n) for own in hs)
        y = network.assign(torch.cat([h, h_view])).softmax(1)
        assert self.factor is not None
        similarity = self.factor[index] @ self.factor[index].T
        similarity.fill_diagonal_(1.0)
        loss = losses.pair_contrastive(
            y,
            similarity.repeat(2, 2),
            temperature=parameters.temperature,
            positive_threshold=parameters.positive_threshold,
            negative_threshold=parameters.negative_threshold,
        )
        n_pairs = max(1, n * (n - 1))
        n_positive = (similarity >= parameters.positive_threshold).sum() - n
        n_negative = (similarity <= parameters.negative_threshold).sum()
        terms = {
            "pair_contrastive": loss,
            "positive_pairs": n_positive / n_pairs,
            "negative_pairs": n_negative / n_pairs,
            "ambiguous_pairs": 1 - (n_positive + n_negative) / n_pairs,
        }
        if network.unit_norm and parameters.pretext_weight > 0:
            terms["nt_xent"] = losses.nt_xent(
                h, h_view, temperature=parameters.pretext_temperature
            )
            loss = loss + parameters.pretext_weight * terms["nt_xent"]
        terms["cluster_balance"] = losses.cluster_balance(y, self.sizes)
        loss = loss + parameters.balance_weight * terms["cluster_balance"]
        return {"loss": loss, **terms}


class EndToEndStage(Stage):
    """Stages 1 and 2 at once: the sum of their losses, both refreshed."""

    refresh_interval = 1

    def __init__(self, centers: CenterStage, pairs: PairStage) -> None:
        network = centers.context.network
        center_rate, head_rate = centers.rates[0], pairs.rates[1]
        super().__init__(
            "end_to_end",
            max(centers.n_epochs, pairs.n_epochs),
            pairs.batch_size,
            [Rate(center_rate.name, center_rate.given, network.autoencoder), head_rate],
        )
        self.required = pairs.required
        self.centers = centers
        self.pairs = pairs

    def state_dict(self) -> dict[str, Any]:
        """Return the states of both."""
        return {"centers": self.centers.state_dict(), "pairs": self.pairs.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them over, if the stage had begun."""
        self.centers.load_state_dict(state.get("centers", {}))
        self.pairs.load_state_dict(state.get("pairs", {}))

    def refresh(self, epoch: int) -> dict[str, float]:
        """Refresh each of them in its own interval."""
        if epoch % self.pairs.parameters.update_interval == 0:
            self.pairs.refresh(epoch)
        if epoch % self.centers.parameters.update_interval == 0:
            return self.centers.refresh(epoch)
        return {"assignment_scale": self.centers.scale}

    def step(self, index: Tensor) -> dict[str, Tensor]:
        """Return the sums of the terms of both."""
        easy, hard = self.centers.step(index), self.pairs.step(index)
        # What both have counts twice, and with one weight.
        twice = {name: easy[name] + hard[name] for name in easy.keys() & hard.keys()}
        return {**easy, **hard, **twice}
