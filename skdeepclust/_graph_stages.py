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
from skdeepclust._agreement import Agreement
from skdeepclust._center_stage import CenterStage, cluster_sizes, warn_unclear
from skdeepclust._head_stage import LABEL_SMOOTHING, head_stage, lesson_stage
from skdeepclust._partition import (
    Candidate,
    find_clusters,
    find_table_clusters,
    is_clear,
    matched,
    sum_of_graphs,
    table_graphs,
)
from skdeepclust._pretraining import pretraining_stage
from skdeepclust._run import check_finite
from skdeepclust._spectral import consensus_labels, kmeans_labels
from skdeepclust._warm_start import (
    WarmStart,
    build_affinities,
    input_affinities,
    spectral_start,
    strongest_neighbors,
    symmetrized,
    uncenter,
)
from skdeepclust.graph import Modularity
from skdeepclust.losses.graph import contrast_neighbors
from skdeepclust.networks import ClusterNetwork
from skdeepclust.training import (
    Batches,
    Remembering,
    Stage,
    draw_seed,
    least_steps,
)
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
    sizes : Tensor of shape (n_clusters,) or None
        Shares of the samples that the first clusters have.
    resolution : float
        At which the first clusters were found.
    first : ndarray of shape (n_samples,) or None
        Clusters as they were found first.
    kept : ndarray of shape (n_samples,) or None
        Clusters of a table that training is not to change.
    """

    _remembered = (
        "easy",
        "affinity",
        "input_graph",
        "neighbors",
        "statistics",
        "lesson",
        "sizes",
        "resolution",
        "first",
        "kept",
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
        self.sizes: Tensor | None = None
        self.resolution = 1.0
        self.first: NDArray[np.int64] | None = None
        self.kept: NDArray[np.int64] | None = None
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
            least = self._least("min_pretrain_steps", 400, 50)
            yield lambda: pretraining_stage(*parts, least=least)
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
        tables = 400 if self.kept is None else 30
        least = self._least("min_head_steps", 1000, tables)
        return self._head_stage(self.lesson, least)

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
            self.kept = None
        start = self.batches.group.same(start)
        self.first = start.labels
        self.kept = self.batches.group.same(self.kept)
        self.affinity = start.affinity
        self.statistics = {"start_modularity": start.modularity}
        self.neighbors = self._neighbors(start.affinity)
        if self.params.init == "spectral":
            sizes = cluster_sizes(start.labels, self.params.n_clusters)
            self.sizes = sizes.to(self.neighbors.device, torch.float32)
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
        if kind == "input" and (
            self.batches.spec.is_image or params.init != "spectral"
        ):
            self.input_graph = self.build_input_graphs(seed)[0]
        if params.init == "spectral":
            if kind in _EMBEDDED:
                return self._start_in_embedding(h, seed)
            return self._start_in_graph(h, seed)
        graphs = self.build_graphs(h)
        if params.init == "kmeans":
            labels = kmeans_labels(embedding, params.n_clusters, seed=seed)
        else:
            labels = np.random.default_rng(seed).integers(
                params.n_clusters, size=len(h)
            )
        value = Modularity(graphs[:1])(labels)
        return WarmStart(graphs[0], labels, value, params.init)

    def _start_in_graph(self, h: Tensor, seed: int) -> WarmStart:
        """Find clusters in the graphs of a table, or in the one that was given.

        Where the graphs of a table are unclear, the embedding has its say as well.
        """
        find: Callable[..., Candidate] = find_clusters
        if self._kind() == "precomputed":
            graphs = {"given": symmetrized(self.params.graph)}
        elif self.batches.spec.is_image:
            assert self.input_graph is not None
            graphs = {"input": self.input_graph}
        else:
            find, graphs = find_table_clusters, self._table_graphs()
        found = self._note(find(graphs, **self._how(seed)))
        own, clear = graphs.get("sum", graphs[found.graph]), is_clear(found)
        if not self.batches.spec.is_image and clear:
            self.kept = found.labels
        elif find is find_table_clusters:
            self.input_graph = own = self.build_input_graphs(seed)[0]
            agreement = Agreement(self.batches, self.generator, self.params.resolution)
            labels = agreement.find_in_embedding(h, self.params.n_clusters)
            return WarmStart(own, labels, Modularity([own])(labels), "kmeans")
        if find is find_table_clusters:
            self.input_graph = own
        value = Modularity([own])(found.labels)
        return WarmStart(own, found.labels, value, found.graph)

    def _start_in_embedding(self, h: Tensor, seed: int) -> WarmStart:
        """Find clusters in the embedding's graphs and, unless barred, the input's."""
        params = self.params
        graphs, given = self.build_graphs(h), None
        if params.input_neighbors:
            given, wide = self.build_input_graphs(seed)
        start = spectral_start(
            h.cpu().numpy(),
            graphs,
            given,
            params.n_clusters,
            may_replace=params.graph == "auto",
            seed=seed,
        )
        if start.source == "input":
            self.input_graph = given
            voting = {"sum": wide}
        else:
            beside = [] if given is None else [wide]
            total = sum_of_graphs(graphs[-1], *beside)
            voting = {"embedding": graphs[-1], "sum": total}
        found = find_clusters(
            voting,
            level=start.labels,
            voting=["sum"],
            telling=[*voting][:1],
            **self._how(seed),
        )
        return replace(start, labels=self._note(found).labels)

    def _how(self, seed: int) -> dict[str, Any]:
        params = self.params
        return {
            "n_clusters": params.n_clusters,
            "resolution": params.resolution,
            "seed": seed,
        }

    def _note(self, found: Candidate) -> Candidate:
        warn_unclear(found)
        self.resolution = found.resolution
        return found

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
        return build_affinities(
            h, kind, self._sizes(len(h)), params.self_expression_weight
        )

    def build_input_graphs(self, seed: int) -> list[sp.csr_matrix]:
        """Build graphs of the samples themselves.

        Parameters
        ----------
        seed : int
            Seeds what is random in them.

        Returns
        -------
        list of scipy.sparse.csr_matrix
            Of nearest neighbours by cosine, of two sizes of neighbourhoods.
        """
        spec = self.batches.spec
        rows = self.batches.map(lambda x: x.flatten(1))
        if not spec.is_image:
            uncenter(rows, spec)
        return input_affinities(
            rows, self._sizes(len(rows)), project=spec.is_image, seed=seed
        )

    def _table_graphs(self) -> dict[str, sp.csr_matrix]:
        rows = self.batches.map(lambda x: x.flatten(1)).cpu().numpy()
        return table_graphs(rows, self._sizes(len(rows))[-1])

    def _sizes(self, n_samples: int) -> list[int]:
        sizes = {min(f * self.params.n_neighbors, n_samples - 1) for f in _SIZES}
        return [min(sizes), max(sizes)]

    def _kind(self) -> str:
        params = self.params
        if not isinstance(params.graph, str):
            return "precomputed"
        if params.graph != "auto":
            return str(params.graph)
        # Views of tables are guesses; the neighbours of their rows are not.
        from_input = not self.batches.spec.is_image and params.input_neighbors
        return "input" if from_input else "self_expression"

    def _least(self, name: str, images: int, tables: int) -> int:
        given, is_image = getattr(self.params, name), self.batches.spec.is_image
        return least_steps(given, is_image, images=images, tables=tables)

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
            min_steps=self._least("min_joint_steps", 400, 40),
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
        """Teach the head the final clusters; those that are kept, the encoder, too."""
        if self.kept is not None:
            least = self._least("min_head_steps", 1000, 120)
            kept = torch.from_numpy(self.kept).to(self.generator.device)
            return lesson_stage(
                self.params, self.network, self.batches, kept, least=least
            )
        if self.lesson is None:
            self.lesson = self._lesson(self.batches.group.same(self.find_end()))
        return self._head_stage(self.lesson, self._least("min_head_steps", 1000, 400))

    def _lesson(self, labels: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        h = self.batches.map(self.embed)
        return h, torch.from_numpy(labels).to(self.generator.device)

    def _head_stage(self, lesson: tuple[Tensor, Tensor], least: int) -> Stage:
        return head_stage(
            self.params,
            self.network,
            *lesson,
            label_smoothing=LABEL_SMOOTHING,
            least=least,
        )

    def find_end(self) -> NDArray[np.int64]:
        """Find the clusters of the network as it is now.

        Returns
        -------
        ndarray of shape (n_samples,)
            Where the first clusters were of one size, the consensus of the head,
            k-means and the graph, all of which pull to one size; else those of the
            head, samples moved to the clusters of their neighbours.
        """
        params, seed = self.params, draw_seed(self.generator)
        h = self.batches.map(self.embed)
        embedding = h.cpu().numpy()
        if params.level == "instance":
            return kmeans_labels(embedding, params.n_clusters, seed=seed)
        labels = self.batches.map(self.network).argmax(1).cpu().numpy()
        graphs = self.build_graphs(h)
        if self.resolution < 1:
            return self._refined(graphs, labels, seed)
        start = spectral_start(embedding, graphs, None, params.n_clusters, seed=seed)
        votes = [
            kmeans_labels(embedding, params.n_clusters, seed=seed),
            labels,
            start.labels,
        ]
        return consensus_labels(votes, params.n_clusters, seed=seed)

    def _refined(
        self, graphs: list[sp.csr_matrix], labels: NDArray[np.int64], seed: int
    ) -> NDArray[np.int64]:
        """Return the best of the head's clusters, the first, and such as found anew."""
        judges = graphs[-1:]
        embedded = self._kind() in _EMBEDDED and self.input_graph is None
        if embedded and self.params.input_neighbors:
            judges.append(self.build_input_graphs(seed)[-1])
        wide = sum_of_graphs(*judges)
        anew = find_clusters(
            {"sum": wide}, self.params.n_clusters, seed=seed, resolution=self.resolution
        )
        found = [labels, anew.labels]
        if self.first is not None:
            found.append(self.first)
        criterion = Modularity(judges, self.resolution)
        unbroken = [np.unique(each, return_inverse=True)[1] for each in found]
        # Modularity of low resolution would rather have fewer clusters.
        most = max(each.max() for each in unbroken)
        refined = [
            criterion.refine(each, seed=seed) for each in unbroken if each.max() == most
        ]
        return matched(max(refined, key=criterion), labels)

    def embed(self, x: Tensor) -> Tensor:
        """Embed a batch as after training."""
        self.network.eval()
        return self.network.embed(x)

    def _neighbors(self, affinity: sp.csr_matrix) -> Tensor:
        indices = strongest_neighbors(affinity, self.params.n_neighbors)
        return torch.from_numpy(indices).to(self.generator.device)
