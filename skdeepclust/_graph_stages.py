"""The stages of GraphContrastiveClustering: algorithm 4.3 of the thesis."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from skdeepclust import losses
from skdeepclust._center_stage import cluster_sizes
from skdeepclust._graph_clusters import GraphClusters
from skdeepclust._head_stage import FINAL, LABEL_SMOOTHING, head_stage, label_stage
from skdeepclust._pretraining import pretraining_stage
from skdeepclust._warm_start import WarmStart, strongest_neighbors
from skdeepclust.graph import Modularity
from skdeepclust.losses.graph import contrast_neighbors
from skdeepclust.networks import ClusterNetwork
from skdeepclust.training import AutoEpochs, Batches, Remembering, Stage
from skdeepclust.views import Views

# What "auto" stands for; tables whose clusters are kept need less.
_PRETRAIN = AutoEpochs(10, images=400, tables=50)
_HEAD = AutoEpochs(5, images=1000, tables=400)
_KEPT = AutoEpochs(5, images=1000, tables=30)
_KEPT_END = AutoEpochs(5, images=1000, tables=120)
_JOINT = AutoEpochs(5, images=400, tables=40)


class GraphStages(Remembering):
    """What is trained, in the order of algorithm 4.3.

    Parameters
    ----------
    estimator : GraphContrastiveClustering
        Gives the parameters.
    network : ClusterNetwork
        What is trained; its head is a GraphHead.
    batches : Batches
        The training data.
    views : Views or None
        Random views.
    generator : torch.Generator
        Draws everything that is random.
    fitted : dict
        Where the estimator's ``affinity_matrix_`` is put.
    goes_on : bool, default=False
        Whether `network` has been fitted before: nothing is pretrained, and its head
        has its clusters.

    Attributes
    ----------
    neighbors : Tensor of shape (n_samples, n_neighbors)
        Positives of each sample.
    targets : tuple of Tensors, or None
        Embeddings and clusters that the head is trained on.
    sizes : Tensor of shape (n_clusters,) or None
        Shares of the samples that the first clusters have.
    clusters : GraphClusters
        Finds the graph and the clusters.
    """

    _remembered = (
        "affinity",
        "neighbors",
        "statistics",
        "targets",
        "sizes",
        "clusters",
    )

    def __init__(
        self,
        estimator: Any,
        network: ClusterNetwork,
        batches: Batches,
        views: Views | None,
        generator: torch.Generator,
        fitted: dict[str, Any],
        *,
        goes_on: bool = False,
    ) -> None:
        self.goes_on = goes_on
        self.params = estimator
        self.network = network
        self.batches = batches
        self.views = views
        self.generator = generator
        self.fitted = fitted
        self.targets: tuple[Tensor, Tensor] | None = None
        self.sizes: Tensor | None = None
        self.clusters = GraphClusters(estimator, batches, generator)

    @property
    def affinity(self) -> sp.csr_matrix | None:
        """The graph that is trained on first, once it is built."""
        return self.fitted.get("affinity_matrix_")

    @affinity.setter
    def affinity(self, value: sp.csr_matrix | None) -> None:
        # A checkpoint from before it is built holds None.
        if value is not None:
            self.fitted["affinity_matrix_"] = value

    def __iter__(self) -> Iterator[Callable[[], Stage]]:
        parts = (self.params, self.network, self.batches, self.views, self.generator)
        if not self.goes_on:
            n_epochs = self._epochs("pretrain_epochs", _PRETRAIN)
            yield lambda: pretraining_stage(*parts, n_epochs=n_epochs)
        if not self.goes_on:
            yield self.warm_up_head
        yield self.joint
        if self.params.head_epochs != 0 and (
            self.params.level == "instance"
            or (self.params.level == "both" and self.params.consensus)
        ):
            yield self.teach_end

    # --------------------------------------------------- algorithm 4.1, and a start

    def warm_up_head(self) -> Stage:
        """Build the graph, cut it, and teach the head the clusters found."""
        if self.targets is None:
            self.targets = self._targets(self.start().labels)
        rule = _HEAD if self.clusters.kept is None else _KEPT
        return self._head_stage("head", self.targets, rule)

    def start(self) -> WarmStart:
        """Build the graph, and keep it to train on.

        Returns
        -------
        WarmStart
            With the clusters found, or with those that the head has.
        """
        start = self.clusters.find_start(self.batches.map(self.embed))
        if self.goes_on:
            labels = self.batches.map(self.network).argmax(1).cpu().numpy()
            value = Modularity([start.affinity])(labels)
            start = replace(start, labels=labels, modularity=value)
            self.clusters.kept = None
        start = self.batches.group.same(start)
        self.clusters.first = start.labels
        self.clusters.kept = self.batches.group.same(self.clusters.kept)
        self.affinity = start.affinity
        self.statistics = {"start_modularity": start.modularity}
        self.neighbors = self._neighbors(start.affinity)
        if self.params.init == "spectral":
            sizes = cluster_sizes(start.labels, self.params.n_clusters_)
            self.sizes = sizes.to(self.neighbors.device, torch.float32)
        return start

    def _epochs(
        self, name: str, rule: AutoEpochs, batch_size: int | None = None
    ) -> int:
        given, size = getattr(self.params, name), batch_size or self.params.batch_size
        return rule.resolve(given, self.batches, size)

    # ------------------------------------------------------- eq. 4.4-4.8, both levels

    def joint(self) -> Stage:
        """Train both levels on samples and their neighbours in the graph."""
        params, self.targets = self.params, None
        if self.affinity is None:
            # Nothing was to be taught to a head that has been trained before.
            self.start()
        # Every sample brings a neighbour along.
        batch_size = max(2, params.batch_size // 2)
        return Stage(
            "joint",
            self._epochs("joint_epochs", _JOINT, batch_size),
            [
                {
                    "params": self.network.autoencoder.parameters(),
                    "lr": params.joint_learning_rate,
                    "name": "joint_learning_rate",
                },
                {
                    "params": self.network.head.parameters(),
                    "lr": params.head_learning_rate,
                    "name": "head_learning_rate",
                },
            ],
            self.joint_terms,
            batch_size,
            refresh=self.update_graph,
            refresh_interval=params.graph_update_interval or 2**31,
            required=params.head_epochs == 0,
        )

    def update_graph(self, epoch: int) -> dict[str, float]:
        """Take the neighbours from the embedding as it is now.

        Parameters
        ----------
        epoch : int
            0 keeps the graph that has just been built.

        Returns
        -------
        dict of str to float
            The modularity of the clusters that training started from.
        """
        if epoch > 0:
            graphs = self.clusters.build_graphs(self.batches.map(self.embed))
            self.neighbors = self.batches.group.same(self._neighbors(graphs[0]))
        return self.statistics

    def joint_terms(self, index: Tensor) -> dict[str, Tensor]:
        """Eq. 4.8 for a batch of samples with one neighbour each.

        Parameters
        ----------
        index : Tensor of shape (batch,)
            The samples.

        Returns
        -------
        dict of str to Tensor
            Loss terms.
        """
        params, network, group = self.params, self.network, self.batches.group
        n, index = len(index), group.share(index)
        draw = torch.randint(
            self.neighbors.shape[1],
            (len(index),),
            generator=self.generator,
            device=self.generator.device,
        )
        xs = [self.batches.take(i) for i in (index, self.neighbors[index, draw])]
        hs = network.embed_views(xs, self.view)
        z, logits = network.project(torch.cat([group.gather(h, n) for h in hs]))
        y = logits.softmax(1)
        terms: dict[str, Tensor] = {}
        loss = z.new_zeros(())
        if params.level != "cluster":
            # The positive of a sample is its neighbour, and the other way round.
            partner = torch.arange(2 * n, device=z.device).roll(n).unsqueeze(1)
            terms["neighbor_contrastive"] = contrast_neighbors(
                z, partner, params.instance_temperature
            )
            loss = loss + terms["neighbor_contrastive"]
        if params.level != "instance":
            terms["cluster_contrastive"] = losses.cluster_contrastive(
                y[:n], y[n:], temperature=params.cluster_temperature
            )
            terms["cluster_balance"] = losses.cluster_balance(y, self.sizes)
            loss = loss + terms["cluster_contrastive"]
            loss = loss + params.balance_weight * terms["cluster_balance"]
        if not network.unit_norm:
            x, x_hat = torch.cat(xs), network.decode(torch.cat(hs))
            terms["reconstruction"] = losses.reconstruction(x, x_hat) / x[0].numel()
            loss = loss + params.reconstruction_weight * terms["reconstruction"]
        return {"loss": loss, **terms}

    # ----------------------------------------------------------------- labels

    def teach_end(self) -> Stage:
        """Train the head on the final clusters, and the encoder on those kept."""
        if self.clusters.kept is not None:
            kept = torch.from_numpy(self.clusters.kept).to(self.generator.device)
            n_epochs = self._epochs("head_epochs", _KEPT_END)
            return label_stage(
                self.params, self.network, self.batches, kept, n_epochs=n_epochs
            )
        if self.targets is None:
            h = self.batches.map(self.embed)
            labels = self.batches.map(self.network).argmax(1).cpu().numpy()
            found = self.clusters.find_end(h, labels)
            self.targets = self._targets(self.batches.group.same(found))
        return self._head_stage(FINAL, self.targets, _HEAD)

    def _targets(self, labels: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        h = self.batches.map(self.embed)
        return h, torch.from_numpy(labels).to(self.generator.device)

    def _head_stage(
        self, name: str, targets: tuple[Tensor, Tensor], rule: AutoEpochs
    ) -> Stage:
        return head_stage(
            self.params,
            self.network,
            *targets,
            n_epochs=self._epochs("head_epochs", rule),
            label_smoothing=LABEL_SMOOTHING,
            name=name,
        )

    def view(self, x: Tensor) -> Tensor:
        """Return a random view of a batch, or the batch itself without views."""
        return x if self.views is None else self.views(x, self.generator)

    def embed(self, x: Tensor) -> Tensor:
        """Embed a batch as after training."""
        self.network.eval()
        return self.network.embed(x)

    def _neighbors(self, affinity: sp.csr_matrix) -> Tensor:
        indices = strongest_neighbors(affinity, self.params.n_neighbors)
        return torch.from_numpy(indices).to(self.generator.device)
