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
from skdeepclust._center_stage import CenterStage
from skdeepclust._head_stage import LABEL_SMOOTHING, head_stage
from skdeepclust._pretraining import pretraining_stage
from skdeepclust._run import check_finite
from skdeepclust._spectral import consensus_labels, kmeans_labels
from skdeepclust._warm_start import (
    WarmStart,
    build_affinities,
    input_affinity,
    resolution_for,
    spectral_start,
    strongest_neighbors,
    symmetrized,
    uncenter,
)
from skdeepclust.graph import Modularity
from skdeepclust.losses.graph import contrast_neighbors
from skdeepclust.networks import ClusterNetwork
from skdeepclust.training import Batches, Remembering, Stage, draw_seed
from skdeepclust.views import Views

_EMBEDDED = ("self_expression", "candidates", "exact", "knn")  # of the embedding
_SIZES = (1, 2)  # neighbourhoods in which partitions are sought, times n_neighbors


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
    lesson : tuple of Tensors, or None
        Embeddings and clusters that the head is being taught.
    """

    _remembered = (
        "easy",
        "affinity",
        "input_graph",
        "neighbors",
        "statistics",
        "lesson",
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
        self.input_graph: sp.csr_matrix | None = None  # where it is trained on
        self.lesson: tuple[Tensor, Tensor] | None = None
        self.easy = CenterStage(
            estimator, network, batches, views, generator, goes_on=goes_on
        )

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
            yield lambda: pretraining_stage(*parts)
        if self.params.center_epochs > 0:
            yield self.easy.stage
        if not self.goes_on:
            yield self.warm_up_head
        yield self.joint
        if self.params.head_epochs > 0 and (
            self.params.level == "instance"
            or (self.params.level == "both" and self.params.consensus)
        ):
            yield self.teach_end

    # --------------------------------------------------- algorithm 4.1, and a start

    def warm_up_head(self) -> Stage:
        """Build the graph, cut it, and teach the head the clusters found."""
        if self.lesson is None:
            self.lesson = self._lesson(self.start().labels)
        return self._head_stage(self.lesson)

    def start(self) -> WarmStart:
        """Build the graph, and keep it to train on.

        Returns
        -------
        WarmStart
            With the clusters found, or with those that the head has.
        """
        start = self.find_start(self.batches.map(self.embed))
        if self.goes_on:
            labels = self.batches.map(self.network).argmax(1).cpu().numpy()
            value = Modularity([start.affinity])(labels)
            start = replace(start, labels=labels, modularity=value)
        start = self.batches.group.same(start)
        self.affinity = start.affinity
        self.statistics = {"start_modularity": start.modularity}
        self.neighbors = self._neighbors(start.affinity)
        return start

    def find_start(self, h: Tensor) -> WarmStart:
        """Build the graph and the clusters that training starts from.

        Parameters
        ----------
        h : Tensor of shape (n_samples, n_components)
            Embedding.

        Returns
        -------
        WarmStart
            By ``init``.
        """
        params, seed = self.params, draw_seed(self.generator)
        embedding = h.cpu().numpy()
        check_finite(embedding, params.learning_rate)
        kind = self._kind()
        if kind == "input":
            self.input_graph = self.build_input_graph(seed)
        graphs = self.build_graphs(h)
        if params.init == "spectral":
            given = None
            if kind in _EMBEDDED and params.input_neighbors:
                given = self.build_input_graph(seed)
            start = spectral_start(
                embedding,
                graphs,
                given,
                params.n_clusters,
                may_replace=isinstance(params.graph, str) and params.graph == "auto",
                resolution=resolution_for(params.balance_weight),
                seed=seed,
            )
            if start.source == "input":
                self.input_graph = given
            return start
        if params.init == "kmeans":
            labels = kmeans_labels(embedding, params.n_clusters, seed=seed)
        else:
            labels = np.random.default_rng(seed).integers(
                params.n_clusters, size=len(h)
            )
        value = Modularity(graphs[:1])(labels)
        return WarmStart(graphs[0], labels, value, params.init)

    def build_graphs(self, h: Tensor) -> list[sp.csr_matrix]:
        """Build the graph to train on, then others to seek partitions in.

        Parameters
        ----------
        h : Tensor of shape (n_samples, n_components)
            Embedding.

        Returns
        -------
        list of scipy.sparse.csr_matrix
            Just the one that was given or is the input's, or of two sizes of
            neighbourhoods.
        """
        params = self.params
        if self.input_graph is not None:
            return [self.input_graph]
        kind = self._kind()
        if kind == "precomputed":
            return [symmetrized(params.graph)]
        sizes = {min(factor * params.n_neighbors, len(h) - 1) for factor in _SIZES}
        return build_affinities(h, kind, sorted(sizes), params.self_expression_weight)

    def build_input_graph(self, seed: int) -> sp.csr_matrix:
        """Build the graph of the samples themselves.

        Parameters
        ----------
        seed : int
            Seeds what is random in it.

        Returns
        -------
        scipy.sparse.csr_matrix
            Of nearest neighbours by cosine.
        """
        spec = self.batches.spec
        rows = self.batches.map(lambda x: x.flatten(1))
        if not spec.is_image:
            uncenter(rows, spec)
        return input_affinity(
            rows, self.params.n_neighbors, project=spec.is_image, seed=seed
        )

    def _kind(self) -> str:
        params = self.params
        if not isinstance(params.graph, str):
            return "precomputed"
        if params.graph != "auto":
            return str(params.graph)
        # Views of tables are guesses; the neighbours of their rows are not.
        from_input = not self.batches.spec.is_image and params.input_neighbors
        return "input" if from_input else "self_expression"

    # ------------------------------------------------------- eq. 4.4-4.8, both levels

    def joint(self) -> Stage:
        """Train both levels on samples and their neighbours in the graph."""
        params, self.lesson = self.params, None
        if self.affinity is None:
            # Nothing was to be taught to a head that has been trained before.
            self.start()
        return Stage(
            "joint",
            params.joint_epochs,
            [
                {
                    "params": self.network.autoencoder.parameters(),
                    "lr": params.joint_learning_rate,
                },
                {
                    "params": self.network.head.parameters(),
                    "lr": params.head_learning_rate,
                },
            ],
            self.joint_terms,
            # Every sample brings a neighbour along.
            max(2, params.batch_size // 2),
            min_steps=params.min_joint_steps,
            refresh=self.update_graph,
            refresh_interval=params.graph_update_interval or 2**31,
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
            graphs = self.build_graphs(self.batches.map(self.embed))
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
        hs = network.embed_views(xs, self.easy.view)
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
            terms["cluster_balance"] = losses.cluster_balance(y)
            loss = loss + terms["cluster_contrastive"]
            loss = loss + params.balance_weight * terms["cluster_balance"]
        if not network.unit_norm:
            x, x_hat = torch.cat(xs), network.decode(torch.cat(hs))
            terms["reconstruction"] = losses.reconstruction(x, x_hat) / x[0].numel()
            loss = loss + params.reconstruction_weight * terms["reconstruction"]
        return {"loss": loss, **terms}

    # ----------------------------------------------------------------- labels

    def teach_end(self) -> Stage:
        """Teach the head the final clusters."""
        if self.lesson is None:
            self.lesson = self._lesson(self.batches.group.same(self.find_end()))
        return self._head_stage(self.lesson)

    def _lesson(self, labels: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        h = self.batches.map(self.embed)
        return h, torch.from_numpy(labels).to(self.generator.device)

    def _head_stage(self, lesson: tuple[Tensor, Tensor]) -> Stage:
        return head_stage(
            self.params, self.network, *lesson, label_smoothing=LABEL_SMOOTHING
        )

    def find_end(self) -> NDArray[np.int64]:
        """Find the consensus of the head, k-means and the graph as they are now.

        Returns
        -------
        ndarray of shape (n_samples,)
            Clusters.
        """
        params, seed = self.params, draw_seed(self.generator)
        h = self.batches.map(self.embed)
        embedding = h.cpu().numpy()
        votes = [kmeans_labels(embedding, params.n_clusters, seed=seed)]
        if params.level == "both":
            votes.append(self.batches.map(self.network).argmax(1).cpu().numpy())
            graphs = self.build_graphs(h)
            votes.append(
                spectral_start(
                    embedding,
                    graphs,
                    None,
                    params.n_clusters,
                    resolution=resolution_for(params.balance_weight),
                    seed=seed,
                ).labels
            )
        return consensus_labels(votes, params.n_clusters, seed=seed)

    def embed(self, x: Tensor) -> Tensor:
        """Embed a batch as after training."""
        self.network.eval()
        return self.network.embed(x)

    def _neighbors(self, affinity: sp.csr_matrix) -> Tensor:
        indices = strongest_neighbors(affinity, self.params.n_neighbors)
        return torch.from_numpy(indices).to(self.generator.device)
