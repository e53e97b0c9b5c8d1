"""The stages of algorithm 3.3, in the thesis's order."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from skdeepclust import losses
from skdeepclust._pretraining import pretraining_stage
from skdeepclust.networks import ClusterNetwork
from skdeepclust.training import Batches, Stage
from skdeepclust.views import Views


class SelfPacedStages:
    """Builds each stage when its turn comes, and holds what passes between them.

    Parameters
    ----------
    estimator : SelfPacedContrastiveClustering
        Gives the parameters.
    network : ClusterNetwork
        What is trained.
    batches : Batches
        The training data.
    views : Views or None
        Random views of a batch.
    generator : torch.Generator
        The source of all draws.

    Attributes
    ----------
    centers : Tensor of shape (n_clusters, n_components)
        mu of eq. 3.2-3.4.
    scale : Tensor of shape ()
        Width of the Gaussian assignments.
    pairs : Tensor of shape (n_samples, rank)
        The factor U whose products U U^T are the similarities of eq. 3.6.
    """

    def __init__(
        self,
        estimator: Any,
        network: ClusterNetwork,
        batches: Batches,
        views: Views | None,
        generator: torch.Generator,
    ) -> None:
        self.params = estimator
        self.network = network
        self.batches = batches
        self.views = views
        self.generator = generator

    def __iter__(self) -> Iterator[Callable[[], Stage]]:
        yield lambda: pretraining_stage(
            self.params, self.network, self.batches, self.views, self.generator
        )
        if self.params.training == "joint":
            yield self.warm_up_head
            yield self.joint
        else:
            yield self.center
            yield self.warm_up_head
            yield self.contrastive

    # ---------------------------------------------------------- stage 1: easy samples

    def center(self) -> Stage:
        """Algorithm 3.1: eq. 3.5 with centres by eq. 3.4 every T1 epochs."""
        params = self.params
        self.start_centers()
        return Stage(
            "center",
            params.center_epochs,
            [
                {
                    "params": self.network.autoencoder.parameters(),
                    "lr": params.center_learning_rate,
                }
            ],
            self.center_terms,
            params.batch_size,
            min_steps=params.min_center_steps,
            refresh=self.update_centers,
            refresh_interval=params.center_update_interval,
        )

    def start_centers(self) -> None:
        """K-means in the latent space gives the first centres."""
        h = self.batches.map(self._eval_embed)
        seed = int(
            torch.randint(
                2**31 - 1, (1,), generator=self.generator, device=self.generator.device
            )
        )
        n_distinct = len(np.unique(h.cpu().numpy(), axis=0))
        kmeans = KMeans(
            min(self.params.n_clusters, n_distinct), n_init=10, random_state=seed
        )
        kmeans.fit(h.cpu().numpy())
        centers = torch.from_numpy(kmeans.cluster_centers_).to(h)
        if len(centers) < self.params.n_clusters:
            # Fewer distinct points than clusters: the last centre is repeated.
            missing = self.params.n_clusters - len(centers)
            centers = torch.cat([centers, centers[-1:].expand(missing, -1)])
        self.centers = centers
        self.scale = losses.gaussian_scale(h, centers)
        self.start_scale = self.scale

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
        if self.params.assignment == "gaussian":
            return losses.gaussian_assignment(h, self.centers, scale=self.scale)
        return losses.student_t_assignment(
            h, self.centers, degrees_of_freedom=self.params.degrees_of_freedom
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
            h = self.batches.map(self._eval_embed)
            h_view = self.batches.map(lambda x: self._eval_embed(self.view(x)))
            self.centers = losses.weighted_centers(h_view, self.assign(h))
            self.scale = losses.gaussian_scale(h, self.centers)
        return {"assignment_scale": float(self.scale)}

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

    def center_terms(self, index: Tensor) -> dict[str, Tensor]:
        """Eq. 3.5, with the terms that keep the encoder from collapsing."""
        params, network = self.params, self.network
        x = self.batches.take(index)
        terms: dict[str, Tensor] = {}
        if network.unit_norm:
            h, h_view = network.embed(self.view(x)), network.embed(self.view(x))
            terms["nt_xent"] = losses.nt_xent(h, h_view, temperature=params.temperature)
            loss = params.contrastive_weight * terms["nt_xent"]
        else:
            h, x_hat = network.autoencoder(x)
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

    # --------------------------------------------------------- stage 2: hard samples

    def warm_up_head(self) -> Stage:
        """Teach the head the assignments of stage 1, with the encoder held still."""
        params = self.params
        if not hasattr(self, "centers"):
            self.start_centers()
        with torch.no_grad():
            h = self.batches.map(self._eval_embed)
            self.warn_coinciding(h)
            target = self.assign(h)

        def step(index: Tensor) -> dict[str, Tensor]:
            logits = self.network.head(h[index])
            loss = cross_entropy(logits, target[index])
            return {"loss": loss, "cross_entropy": loss}

        return Stage(
            "head",
            params.head_epochs,
            [
                {
                    "params": self.network.head.parameters(),
                    "lr": params.head_learning_rate,
                }
            ],
            step,
            params.batch_size,
            min_steps=params.min_head_steps,
        )

    def contrastive(self) -> Stage:
        """Algorithm 3.2: eq. 3.7-3.9 on pairs that are refreshed every T2 epochs."""
        params = self.params
        return Stage(
            "contrastive",
            params.contrastive_epochs,
            [
                {
                    "params": self.network.autoencoder.encoder.parameters(),
                    "lr": params.fine_tune_learning_rate,
                },
                {
                    "params": self.network.head.parameters(),
                    "lr": params.head_learning_rate,
                },
            ],
            self.pair_terms,
            params.batch_size,
            min_steps=params.min_contrastive_steps,
            refresh=self.update_pairs,
            refresh_interval=params.pair_update_interval,
        )

    def update_pairs(self, epoch: int) -> dict[str, float]:
        """Eq. 3.6: the factor of the pairwise similarities of all samples.

        Parameters
        ----------
        epoch : int
            Not used: every call refreshes.

        Returns
        -------
        dict of str to float
            Nothing.
        """
        self.network.eval()
        kind = self.params.pair_similarity
        if kind == "assignments":
            self.pairs = self.batches.map(self.network).softmax(1)
        else:
            h = self.batches.map(self._eval_embed)
            self.pairs = normalize(
                h - h.mean(0) if kind == "centered_cosine" else h, dim=1
            )
        return {}

    def pair_terms(self, index: Tensor) -> dict[str, Tensor]:
        """Eq. 3.7-3.9 on two views, an anchor's own view being a positive."""
        params, network = self.params, self.network
        x = self.batches.take(index)
        h, h_view = network.embed(self.view(x)), network.embed(self.view(x))
        z = network.head(torch.cat([h, h_view])).softmax(1)
        similarity = self.pairs[index] @ self.pairs[index].T
        similarity.fill_diagonal_(1.0)
        loss = losses.pair_contrastive(
            z,
            similarity.repeat(2, 2),
            temperature=params.temperature,
            positive_threshold=params.positive_threshold,
            negative_threshold=params.negative_threshold,
        )
        n_pairs = max(1, similarity.numel() - len(similarity))
        n_positive = (similarity >= params.positive_threshold).sum() - len(similarity)
        n_negative = (similarity <= params.negative_threshold).sum()
        terms = {
            "pair_contrastive": loss,
            "positive_pairs": n_positive / n_pairs,
            "negative_pairs": n_negative / n_pairs,
            "ambiguous_pairs": 1 - (n_positive + n_negative) / n_pairs,
        }
        if network.unit_norm and params.contrastive_weight > 0:
            terms["nt_xent"] = losses.nt_xent(h, h_view, temperature=params.temperature)
            loss = loss + params.contrastive_weight * terms["nt_xent"]
        terms["cluster_balance"] = losses.cluster_balance(z)
        loss = loss + params.balance_weight * terms["cluster_balance"]
        return {"loss": loss, **terms}

    # ----------------------------------------------- both at once (outlook, 5.2)

    def joint(self) -> Stage:
        """Stages 1 and 2 end to end: the sum of their losses, both refreshed."""
        params = self.params

        def step(index: Tensor) -> dict[str, Tensor]:
            easy, hard = self.center_terms(index), self.pair_terms(index)
            return {**easy, **hard, "loss": easy["loss"] + hard["loss"]}

        def refresh(epoch: int) -> dict[str, float]:
            if epoch % params.pair_update_interval == 0:
                self.update_pairs(epoch)
            if epoch % params.center_update_interval == 0:
                return self.update_centers(epoch)
            return {"assignment_scale": float(self.scale)}

        return Stage(
            "joint",
            max(params.center_epochs, params.contrastive_epochs),
            [
                {
                    "params": self.network.autoencoder.parameters(),
                    "lr": params.center_learning_rate,
                },
                {
                    "params": self.network.head.parameters(),
                    "lr": params.head_learning_rate,
                },
            ],
            step,
            params.batch_size,
            min_steps=max(params.min_center_steps, params.min_contrastive_steps),
            refresh=refresh,
        )

    def view(self, x: Tensor) -> Tensor:
        """Return a random view of a batch, or the batch itself without views."""
        return x if self.views is None else self.views(x, self.generator)

    def _eval_embed(self, x: Tensor) -> Tensor:
        self.network.eval()
        return self.network.embed(x)
