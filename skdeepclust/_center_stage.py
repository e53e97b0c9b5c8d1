"""Stage 1 of algorithm 3.3: samples are pulled to soft cluster centres."""

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from skdeepclust import losses
from skdeepclust._agreement import Agreement
from skdeepclust._partition import Candidate, is_clear
from skdeepclust._run import check_finite
from skdeepclust.networks import ClusterNetwork
from skdeepclust.training import (
    Batches,
    Remembering,
    Stage,
    draw_seed,
)
from skdeepclust.views import Views


def cluster_sizes(labels: NDArray[np.int64], n_clusters: int) -> Tensor:
    """Return the shares of samples that clusters are to keep.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,)
        Clusters, from 0.
    n_clusters : int
        Number of clusters K.

    Returns
    -------
    Tensor of shape (n_clusters,)
        Positive, with a sum of 1: each cluster is counted with one sample more.
    """
    counts = np.bincount(labels, minlength=n_clusters) + 1.0
    return torch.from_numpy(counts / counts.sum())


def warn_unclear(found: Candidate) -> None:
    """Say so when one cluster holds most samples, and no graph says why.

    Parameters
    ----------
    found : Candidate
        The first clusters.
    """
    counts = np.bincount(found.labels)
    share = counts.max() / len(found.labels)
    if len(counts) > 1 and share > max(0.5, 1.5 / len(counts)) and not is_clear(found):
        warnings.warn(
            f"One of {len(counts)} clusters holds {share:.0%} of the samples, and the "
            f"clusters are hardly separated: {found.conductance:.0%} of the edge "
            "weights of a cluster leave it. The data may have no such groups: try "
            "fewer clusters, or resolution=1 for clusters of one size.",
            ConvergenceWarning,
            stacklevel=2,
        )


class CenterStage(Remembering):
    """Algorithm 3.1: eq. 3.5 with centres by eq. 3.4 every T1 epochs.

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
        Draws everything that is random.
    n_epochs : int
        Number of epochs, M1.
    assignment : {"gaussian", "student_t"}, default="gaussian"
        Soft assignments.
    degrees_of_freedom : float, default=1.0
        The alpha of eq. 3.3.
    goes_on : bool, default=False
        Whether the centres start from the clusters of the network's head.
    agreement : Agreement, default=None
        What chooses among the starts of k-means; without it, their inertia does.

    Attributes
    ----------
    centers : Tensor of shape (n_clusters, n_components)
        Cluster centres.
    scale : float
        Width of the Gaussian assignments.
    sizes : Tensor of shape (n_clusters,) or None
        Shares of the samples that the first clusters have, if neighbours found them.
    """

    _remembered = ("centers", "scale", "start_scale", "sizes")

    def __init__(
        self,
        estimator: Any,
        network: ClusterNetwork,
        batches: Batches,
        views: Views | None,
        generator: torch.Generator,
        *,
        n_epochs: int,
        assignment: str = "gaussian",
        degrees_of_freedom: float = 1.0,
        goes_on: bool = False,
        agreement: Agreement | None = None,
    ) -> None:
        self.params = estimator
        self.network = network
        self.batches = batches
        self.views = views
        self.generator = generator
        self.n_epochs = n_epochs
        self.assignment = assignment
        self.degrees_of_freedom = degrees_of_freedom
        self.goes_on = goes_on
        self.agreement = agreement
        self.sizes: Tensor | None = None

    def stage(self) -> Stage:
        """Start from k-means, unless there are centres, and return the stage."""
        params = self.params
        self.start_centers()
        return Stage(
            "center",
            self.n_epochs,
            [
                {
                    "params": self.network.autoencoder.parameters(),
                    "lr": params.center_learning_rate,
                    "name": "center_learning_rate",
                }
            ],
            self.terms,
            params.batch_size,
            refresh=self.update_centers,
            refresh_interval=params.center_update_interval,
        )

    def start_centers(self) -> None:
        """Give the first centres: by k-means, or by eq. 3.4; later calls give none."""
        if hasattr(self, "centers"):
            return
        h = self.batches.map(self.embed)
        check_finite(h.cpu().numpy(), self.params.learning_rate)
        if self.goes_on:
            # The head's own, so that clusters keep their numbers.
            assigned = self.batches.map(self.network).softmax(1)
            self.centers = losses.weighted_centers(h, assigned)
            labels = assigned.argmax(1).cpu().numpy()
            self.sizes = cluster_sizes(labels, self.params.n_clusters_).to(h)
        else:
            self.centers = self._kmeans_centers(h)
        # A number: as a tensor, its check would wait for the device in every step.
        self.scale = float(losses.gaussian_scale(h, self.centers))
        self.start_scale = self.scale

    def _kmeans_centers(self, h: Tensor) -> Tensor:
        n_clusters = self.params.n_clusters_
        if self.agreement is not None:
            centers, found = self.agreement.find_centers(h, n_clusters)
            warn_unclear(found)
            self.sizes = cluster_sizes(found.labels, n_clusters).to(h)
        else:
            seed, rows = draw_seed(self.generator), h.cpu().numpy()
            n_distinct = len(np.unique(rows, axis=0))
            kmeans = KMeans(min(n_clusters, n_distinct), n_init=10, random_state=seed)
            centers = torch.from_numpy(kmeans.fit(rows).cluster_centers_).to(h)
        if len(centers) < n_clusters:
            # Fewer distinct points than clusters: the last centre is repeated.
            missing = n_clusters - len(centers)
            centers = torch.cat([centers, centers[-1:].expand(missing, -1)])
        return self.batches.group.same(centers)

    def assign(self, h: Tensor) -> Tensor:
        """Soft assignment: ours, or eq. 3.3.

        Parameters
        ----------
        h : Tensor of shape (n_samples, n_components)
            Embedding.

        Returns
        -------
        Tensor of shape (n_samples, n_clusters)
            Rows sum to 1.
        """
        if self.assignment == "gaussian":
            return losses.gaussian_assignment(h, self.centers, scale=self.scale)
        return losses.student_t_assignment(
            h, self.centers, degrees_of_freedom=self.degrees_of_freedom
        )

    def update_centers(self, epoch: int) -> dict[str, float]:
        """Eq. 3.4, over views of all samples.

        Parameters
        ----------
        epoch : int
            0 keeps the centres that k-means has just given.

        Returns
        -------
        dict of str to float
            The width of the Gaussian assignments.
        """
        if epoch > 0:
            h = self.batches.map(self.embed)
            group = self.batches.group
            with group.own_draws(self.generator):
                h_view = self.batches.map(lambda x: self.embed(self.view(x)))
            self.centers = group.same(losses.weighted_centers(h_view, self.assign(h)))
            self.scale = float(losses.gaussian_scale(h, self.centers))
        return {"assignment_scale": self.scale}

    def warn_coinciding(self, h: Tensor) -> None:
        """Say so when centres have become the same point.

        Parameters
        ----------
        h : Tensor of shape (n_samples, n_components)
            Embedding, which tells what is far.
        """
        spread = (h - h.mean(0)).square().sum(1).mean().sqrt()
        same = torch.cdist(self.centers, self.centers) <= 0.01 * spread
        n_same = int(same.triu(diagonal=1).any(dim=0).sum())
        if n_same:
            warnings.warn(
                f"{n_same} of {len(self.centers)} cluster centers coincide with "
                "another one after stage 1: the data may hold fewer distinct groups, "
                "or the centers have drifted together (try assignment='gaussian').",
                ConvergenceWarning,
                stacklevel=2,
            )

    def terms(self, index: Tensor) -> dict[str, Tensor]:
        """Eq. 3.5, with the terms that keep the encoder from collapsing."""
        params, network, group = self.params, self.network, self.batches.group
        n, x = len(index), self.batches.take(group.share(index))
        terms: dict[str, Tensor] = {}
        if network.unit_norm:
            h, h_view = network.embed_views([x, x], self.view)
            terms["nt_xent"] = losses.nt_xent(
                group.gather(h, n),
                group.gather(h_view, n),
                temperature=params.temperature,
            )
            loss = params.contrastive_weight * terms["nt_xent"]
        else:
            h = network.embed(x)
            x_hat = network.decode(h)
            h_view = network.embed(self.view(x)) if self.views is not None else h
            terms["reconstruction"] = losses.reconstruction(x, x_hat) / x[0].numel()
            loss = params.reconstruction_weight * terms["reconstruction"]
        if self.views is not None:
            terms["view_consistency"] = losses.view_consistency(h, h_view)
            loss = loss + params.consistency_weight * terms["view_consistency"]
        terms["weighted_center"] = losses.weighted_center_loss(
            h, self.centers, self.assign(h)
        )
        loss = (
            loss + params.center_weight * terms["weighted_center"] / self.start_scale**2
        )
        return {"loss": loss, **terms}

    def view(self, x: Tensor) -> Tensor:
        """Return a random view of a batch, or the batch itself without views."""
        return x if self.views is None else self.views(x, self.generator)

    def embed(self, x: Tensor) -> Tensor:
        """Return the embedding of a batch as after training."""
        self.network.eval()
        return self.network.embed(x)
