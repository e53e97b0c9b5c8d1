"""Algorithm 4.3 from top to bottom, and joint training, which is its own."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor

from skdeepclust import losses
from skdeepclust._partition.agreement import Agreement
from skdeepclust._stages.centers import cluster_sizes
from skdeepclust._stages.context import Context
from skdeepclust._stages.head import (
    FINAL,
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
    reconstruction_per_value,
)
from skdeepclust.graph import Modularity
from skdeepclust.graph._build import given_graph, is_given, strongest_neighbors
from skdeepclust.graph_contrastive._clusters import (
    GivenGraph,
    GraphClusters,
    GraphParameters,
    GraphStart,
)
from skdeepclust.losses.graph import contrast_neighbors
from skdeepclust.training.loop import Training
from skdeepclust.training.stage import Rate, Stage

_NEVER = 2**31


@dataclass(frozen=True)
class JointParameters:
    """Parameters of joint training."""

    n_epochs: int
    batch_size: int
    learning_rate: float
    heads: Literal["both", "instance", "cluster"]
    instance_temperature: float
    cluster_temperature: float
    balance_weight: float
    pretext_weight: float
    update_interval: int | None


@dataclass(frozen=True)
class Parameters:
    """Parameters of algorithm 4.3, by stage.

    Of those of the head there are two: with clusters of a table that are kept, and
    with others.
    """

    pretraining: PretrainingParameters
    graph: GraphParameters
    head: HeadParameters
    kept_head: HeadParameters
    joint: JointParameters
    kept_final: HeadParameters


def train(
    parameters: Parameters,
    context: Context,
    training: Training,
    cached: PretrainingCache | None,
) -> Tensor | None:
    """Algorithm 4.3; returns the embedding of all samples, if it is known."""
    heads, trains_head = parameters.joint.heads, parameters.head.n_epochs > 0
    asks_graphs = parameters.graph.resolution is not None
    refines = trains_head and (heads == "instance" or (heads == "both" and asks_graphs))
    training.begin((1 if context.pretrained else 3) + int(refines))
    graph, given = parameters.graph.graph, None
    if is_given(graph):

        def find_given() -> GivenGraph:
            return GivenGraph(context.group.same(given_graph(graph, context.rows)))

        given = training.once(GivenGraph, find_given)

    @cache  # it keeps the graph of the input, which both ends of training need
    def judge(seed: int) -> Agreement:
        resolution = parameters.graph.resolution
        asked = "auto" if resolution is None else resolution
        return Agreement(context.batches, seed, asked)

    clusters = GraphClusters(parameters.graph, context, given, judge)

    # Stage 0: an encoder before there are clusters.
    if not context.pretrained:
        pretrain(parameters.pretraining, context, training, cached)

    # Algorithm 4.1: a graph, and the first clusters in it.
    embedded = cache(context.embed_all)
    start = training.once(
        GraphStart, lambda: _start(clusters, context, embedded(), trains_head)
    )

    # The head learns the first clusters, with the encoder held still.
    if not context.pretrained:
        head = parameters.head if start.kept is None else parameters.kept_head
        if start.labels is None:
            training.skip()
        else:
            targets = HeadTargets(start.labels)
            training.run(lambda: HeadStage("head", head, context, embedded, targets))

    # Joint training of both heads, and of the encoder.
    training.run(
        lambda: JointStage(parameters.joint, context, clusters, start, trains_head)
    )

    # The final clusters.
    if not refines:
        return None
    if start.kept is not None:
        kept = start.kept
        training.run(lambda: LabelStage(parameters.kept_final, context, kept))
        h = context.embed_all()
        clusters.calibrate(h, start)
        return h
    embedded = cache(context.embed_all)

    def final_targets() -> FinalTargets:
        if heads == "instance":
            found = clusters.kmeans(embedded())
        else:
            labels = context.assign(embedded()).argmax(1).cpu().numpy()
            found = clusters.find_end(embedded(), labels, start)
        return FinalTargets(context.group.same(found))

    final = training.once(FinalTargets, final_targets)
    training.run(lambda: HeadStage(FINAL, parameters.head, context, embedded, final))
    clusters.calibrate(embedded(), start)
    return embedded()


def _start(
    clusters: GraphClusters, context: Context, h: Tensor, trains_head: bool
) -> GraphStart:
    """Find the graph and the first clusters, or those that the head has already."""
    start = clusters.find_start(h, clusters=trains_head)
    if context.pretrained:
        labels = context.logits_of_all().argmax(1).cpu().numpy()
        value = Modularity([start.affinity])(labels)
        start = replace(start, labels=labels, modularity=value, kept=None)
    return context.group.same(start)


class JointStage(Stage):
    """Eq. 4.4-4.8: both heads, on samples and their neighbors in the graph."""

    def __init__(
        self,
        parameters: JointParameters,
        context: Context,
        clusters: GraphClusters,
        start: GraphStart,
        head_is_trained: bool,
    ) -> None:
        network = context.network
        name, rate = "joint_learning_rate", parameters.learning_rate
        super().__init__(
            "joint",
            parameters.n_epochs,
            parameters.batch_size,
            [Rate(name, rate, network.autoencoder), Rate(name, rate, network.head)],
        )
        self.required = not head_is_trained
        self.refresh_interval = parameters.update_interval or _NEVER
        self.parameters = parameters
        self.context = context
        self.clusters = clusters
        self.start = start
        self.sizes: Tensor | None = None
        if start.labels is not None and clusters.parameters.resolution is not None:
            sizes = torch.from_numpy(cluster_sizes(start.labels, context.n_clusters))
            self.sizes = sizes.to(context.batches.device)
        self.neighbors = self._neighbors(start.affinity)
        """Positives of each sample, (n, k)."""

    def state_dict(self) -> dict[str, Any]:
        """Return the neighbors, which a refresh may have changed."""
        return {"neighbors": self.neighbors}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them over, if the stage had begun."""
        if state:
            self.neighbors = state["neighbors"].to(self.neighbors.device)

    def refresh(self, epoch: int) -> dict[str, float]:
        """Take the neighbors from the current embedding; epoch 0 keeps the first."""
        if epoch > 0 and self.clusters.given is None and not self.start.from_input:
            own = self.clusters.build_graph(self.context.embed_all())
            self.neighbors = self.context.group.same(self._neighbors(own))
        value = self.start.modularity
        return {} if value is None else {"start_modularity": value}

    def step(self, index: Tensor) -> dict[str, Tensor]:
        """Eq. 4.8 for a batch of samples with one neighbor each."""
        parameters, context = self.parameters, self.context
        network, group, generator = context.network, context.group, context.generator
        n, index = len(index), group.share(index)
        draw = torch.randint(
            self.neighbors.shape[1],
            (len(index),),
            generator=generator,
            device=generator.device,
        )
        xs = [context.batches.take(i) for i in (index, self.neighbors[index, draw])]
        hs = network.embed_views(xs, context.view)
        z, logits = network.project(torch.cat([group.gather(h, n) for h in hs]))
        y = logits.softmax(1)
        terms: dict[str, Tensor] = {}
        loss = z.new_zeros(())
        if parameters.heads != "cluster":
            # The positive of a sample is its neighbor, and the other way round.
            partner = torch.arange(2 * n, device=z.device).roll(n).unsqueeze(1)
            terms["neighbor_contrastive"] = contrast_neighbors(
                z, partner, parameters.instance_temperature
            )
            loss = loss + terms["neighbor_contrastive"]
        if parameters.heads != "instance":
            terms["cluster_contrastive"] = losses.cluster_contrastive(
                y[:n], y[n:], temperature=parameters.cluster_temperature
            )
            terms["cluster_balance"] = losses.cluster_balance(y, self.sizes)
            loss = loss + terms["cluster_contrastive"]
            loss = loss + parameters.balance_weight * terms["cluster_balance"]
        if not network.unit_norm:
            x, x_hat = torch.cat(xs), network.decode(torch.cat(hs))
            terms["reconstruction"] = reconstruction_per_value(x, x_hat)
            loss = loss + parameters.pretext_weight * terms["reconstruction"]
        return {"loss": loss, **terms}

    def _neighbors(self, affinity: Any) -> Tensor:
        indices = strongest_neighbors(affinity, self.clusters.parameters.n_neighbors)
        return torch.from_numpy(indices).to(self.context.batches.device)
