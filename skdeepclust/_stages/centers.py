"""Stage 1 of algorithm 3.3: samples are pulled to soft cluster centers."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from skdeepclust import losses
from skdeepclust._partition.agreement import Agreement, FirstClusters
from skdeepclust._partition.candidates import Candidate
from skdeepclust._partition.choice import is_clear
from skdeepclust._stages.context import Context, finite_embedding
from skdeepclust._stages.pretraining import reconstruction_per_value
from skdeepclust.training.stage import Rate, Stage

_WEIGHT = 0.05
"""Of the center loss. Adam does not see the scale of a loss: the weights of the two
other terms say as much as three would."""


@dataclass(frozen=True)
class CenterParameters:
    """Parameters of stage 1."""

    n_epochs: int
    batch_size: int
    learning_rate: float
    update_interval: int
    degrees_of_freedom: float | None
    consistency_weight: float
    pretext_weight: float
    pretext_temperature: float


@dataclass(frozen=True)
class Start(FirstClusters):
    """Where stage 1 starts from."""

    centers: NDArray[np.float32]  # (K, d)
    scale: float  # of Gaussian assignments
    sizes: NDArray[np.float32] | None  # (K,), shares of the samples, if graphs tell


def cluster_sizes(labels: NDArray[np.int64], n_clusters: int) -> NDArray[np.float32]:
    """Return the shares of samples that clusters are to keep, which are positive.

    Each cluster is counted with one sample more.
    """
    counts = np.bincount(labels, minlength=n_clusters) + 1.0
    return np.asarray(counts / counts.sum(), dtype=np.float32)


def warn_unclear(found: Candidate) -> None:
    """Warn when one cluster holds most samples, and no graph says why."""
    counts = np.bincount(found.labels)
    share = counts.max() / len(found.labels)
    if len(counts) > 1 and share > max(0.5, 1.5 / len(counts)) and not is_clear(found):
        warnings.warn(
            f"One of {len(counts)} clusters holds {share:.0%} of the samples, and the "
            f"clusters are hardly separated: {found.conductance:.0%} of the edge "
            "weights of a cluster leave it. The data may have no such groups: lower "
            "n_clusters, or set resolution=1 for clusters of one size.",
            ConvergenceWarning,
            stacklevel=2,
        )


def find_start(
    context: Context, agreement: Agreement | None, seed: int, learning_rate: float
) -> Start:
    """Find the first clusters: by graphs, by k-means, or those of an earlier fit.

    `learning_rate` is that of pretraining, for a message.
    """
    h = context.embed_all()
    rows, n_clusters = finite_embedding(h, learning_rate), context.n_clusters
    given = "auto" if agreement is None else agreement.resolution
    first = FirstClusters(seed, None, 1.0 if given == "auto" else given, None)
    sizes = None
    if context.pretrained:
        # The head's own, so that clusters keep their numbers.
        assigned = context.logits_of_all().softmax(1)
        centers = losses.weighted_centers(h, assigned)
        sizes = cluster_sizes(assigned.argmax(1).cpu().numpy(), n_clusters)
    elif agreement is not None:
        centers, found, kept = agreement.find_centers(h, n_clusters)
        warn_unclear(found)
        first = FirstClusters(seed, found.labels, found.resolution, kept)
        sizes = cluster_sizes(found.labels, n_clusters)
    else:
        n_distinct = len(np.unique(rows, axis=0))
        kmeans = KMeans(min(n_clusters, n_distinct), n_init=10, random_state=seed)
        centers = torch.from_numpy(kmeans.fit(rows).cluster_centers_).to(h)
    if len(centers) < n_clusters:
        # Fewer distinct points than clusters: the last center is repeated.
        missing = n_clusters - len(centers)
        centers = torch.cat([centers, centers[-1:].expand(missing, -1)])
    centers = context.group.same(centers)
    scale = float(losses.gaussian_scale(h, centers))
    return Start(**vars(first), centers=centers.cpu().numpy(), scale=scale, sizes=sizes)


class CenterStage(Stage):
    """Algorithm 3.1: eq. 3.5, with centers by eq. 3.4 every T1 epochs."""

    def __init__(
        self, parameters: CenterParameters, context: Context, start: Start
    ) -> None:
        trained = context.network.autoencoder
        rate = Rate("fine_tune_learning_rate", parameters.learning_rate, trained)
        super().__init__("center", parameters.n_epochs, parameters.batch_size, [rate])
        self.refresh_interval = parameters.update_interval
        self.parameters = parameters
        self.context = context
        self.centers = torch.from_numpy(start.centers).to(context.batches.device)
        # A number: as a tensor, its check would wait for the device in every step.
        self.scale = self.start_scale = start.scale

    def state_dict(self) -> dict[str, Any]:
        """Return the centers, and the scale of Gaussian assignments."""
        return {"centers": self.centers, "scale": self.scale}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them over, if the stage had begun."""
        if state:
            self.centers = state["centers"].to(self.centers.device)
            self.scale = state["scale"]

    def assign(self, h: Tensor) -> Tensor:
        """Return soft assignments (n, K): Gaussian ones, or those of eq. 3.3."""
        degrees_of_freedom = self.parameters.degrees_of_freedom
        if degrees_of_freedom is None:
            return losses.gaussian_assignment(h, self.centers, scale=self.scale)
        return losses.student_t_assignment(
            h, self.centers, degrees_of_freedom=degrees_of_freedom
        )

    def refresh(self, epoch: int) -> dict[str, float]:
        """Eq. 3.4, over views of all samples; epoch 0 keeps the first centers."""
        context, group = self.context, self.context.group
        if epoch > 0:
            h = context.embed_all()
            with group.own_draws(context.generator):
                h_view = context.batches.map(lambda x: context.embed(context.view(x)))
            self.centers = group.same(losses.weighted_centers(h_view, self.assign(h)))
            self.scale = float(losses.gaussian_scale(h, self.centers))
        return {"assignment_scale": self.scale}

    def step(self, index: Tensor) -> dict[str, Tensor]:
        """Eq. 3.5, with the pretext loss, which keeps the encoder from collapsing."""
        parameters, context = self.parameters, self.context
        network, group = context.network, context.group
        n, x = len(index), context.batches.take(group.share(index))
        terms: dict[str, Tensor] = {}
        if network.unit_norm:
            h, h_view = network.embed_views([x, x], context.view)
            terms["nt_xent"] = losses.nt_xent(
                group.gather(h, n),
                group.gather(h_view, n),
                temperature=parameters.pretext_temperature,
            )
            loss = parameters.pretext_weight * terms["nt_xent"]
        else:
            h = network.embed(x)
            x_hat = network.decode(h)
            h_view = h if context.views is None else network.embed(context.view(x))
            terms["reconstruction"] = reconstruction_per_value(x, x_hat)
            loss = parameters.pretext_weight * terms["reconstruction"]
        if context.views is not None:
            terms["view_consistency"] = losses.view_consistency(h, h_view)
            loss = loss + parameters.consistency_weight * terms["view_consistency"]
        terms["weighted_center"] = losses.weighted_center_loss(
            h, self.centers, self.assign(h)
        )
        loss = loss + _WEIGHT * terms["weighted_center"] / self.start_scale**2
        return {"loss": loss, **terms}

    def warn_coinciding(self, h: Tensor) -> None:
        """Warn when centers have become one point, as measured by the embedding."""
        spread = (h - h.mean(0)).square().sum(1).mean().sqrt()
        same = torch.cdist(self.centers, self.centers) <= 0.01 * spread
        n_same = int(same.triu(diagonal=1).any(dim=0).sum())
        if n_same:
            warnings.warn(
                f"{n_same} of {len(self.centers)} cluster centers coincide with "
                "another one after stage 1: the data may have fewer groups, or the "
                "centers drifted together. Lower n_clusters, or set "
                "degrees_of_freedom=None.",
                ConvergenceWarning,
                stacklevel=2,
            )
