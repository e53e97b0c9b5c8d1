"""The stages of algorithm 3.3, in the thesis's order."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from skdeepclust import losses
from skdeepclust._agreement import Agreement
from skdeepclust._center_stage import CenterStage
from skdeepclust._head_stage import FINAL, LABEL_SMOOTHING, head_stage, label_stage
from skdeepclust._pretraining import pretraining_stage
from skdeepclust._run import check_finite
from skdeepclust.networks import ClusterNetwork
from skdeepclust.training import AutoEpochs, Batches, Remembering, Stage
from skdeepclust.views import Views

_AT_ONCE = 4096  # samples that the head maps
# What "auto" stands for.
_PRETRAIN = AutoEpochs(8, images=300, tables=50)
_CENTER = AutoEpochs(3, images=100, tables=20)
_HEAD = AutoEpochs(5, images=200, tables=30)
_CONTRASTIVE = AutoEpochs(2, images=75, tables=20)
_FINAL = AutoEpochs(5, images=200, tables=120)


class SelfPacedStages(Remembering):
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
    goes_on : bool, default=False
        Whether `network` has been fitted before: nothing is pretrained.

    Attributes
    ----------
    easy : CenterStage
        Stage 1, which holds the centres.
    agreement : Agreement or None
        What neighbours say of clusters, if they are asked.
    pairs : Tensor of shape (n_samples, rank)
        The factor U whose products U U^T are the similarities of eq. 3.6.
    targets : tuple of Tensors, or None
        Embeddings and assignments that the head is trained on.
    """

    _remembered = ("easy", "agreement", "pairs", "targets")

    def __init__(
        self,
        estimator: Any,
        network: ClusterNetwork,
        batches: Batches,
        views: Views | None,
        generator: torch.Generator,
        *,
        goes_on: bool = False,
    ) -> None:
        self.params = estimator
        self.network = network
        self.goes_on = goes_on
        self.batches = batches
        self.generator = generator
        self.targets: tuple[Tensor, Tensor] | None = None
        self.agreement = (
            Agreement(batches, generator, estimator.resolution)
            if estimator.init == "neighbors" and len(batches) > 2
            else None
        )
        self.easy = CenterStage(
            estimator,
            network,
            batches,
            views,
            generator,
            n_epochs=self._epochs("center_epochs", _CENTER),
            assignment=estimator.assignment,
            degrees_of_freedom=estimator.degrees_of_freedom,
            goes_on=goes_on,
            agreement=self.agreement,
        )

    def __iter__(self) -> Iterator[Callable[[], Stage]]:
        parts = (self.network, self.batches, self.easy.views, self.generator)
        if not self.goes_on:
            yield lambda: pretraining_stage(
                self.params, *parts, n_epochs=self._epochs("pretrain_epochs", _PRETRAIN)
            )
        if self.params.training == "joint":
            yield self.warm_up_head
            yield self.joint
        else:
            yield self.easy.stage
            yield self.warm_up_head
            yield self.contrastive
        if self.agreement is not None and self.params.head_epochs != 0:
            yield self.teach_end

    # --------------------------------------------------------- stage 2: hard samples

    def warm_up_head(self) -> Stage:
        """Teach the head the assignments of stage 1, with the encoder held still."""
        easy = self.easy
        if self.targets is None:
            easy.start_centers()
            h = self.batches.map(easy.embed)
            easy.warn_coinciding(h)
            self.targets = h, self.teach(h, easy.assign(h))
        smoothing = 0.0 if self.agreement is None else LABEL_SMOOTHING
        return head_stage(
            self.params,
            self.network,
            *self.targets,
            n_epochs=self._epochs("head_epochs", _HEAD),
            label_smoothing=smoothing,
        )

    def teach(self, h: Tensor, assigned: Tensor) -> Tensor:
        """Return what the head is taught.

        Parameters
        ----------
        h : Tensor of shape (n_samples, n_components)
            Embedding.
        assigned : Tensor of shape (n_samples, n_clusters)
            Assignments of stage 1, or the head's logits at the end.

        Returns
        -------
        Tensor of shape (n_samples, n_clusters) or (n_samples,)
            These assignments, or cluster numbers that neighbours agree with.
        """
        if self.agreement is None or self.params.head_epochs == 0:
            return assigned
        check_finite(h.cpu().numpy(), self.params.learning_rate)
        labels = self.agreement.kept
        if labels is None:
            labels = self.agreement.refine(h, assigned.argmax(1).cpu().numpy())
        return torch.from_numpy(self.batches.group.same(labels)).to(assigned.device)

    def contrastive(self) -> Stage:
        """Algorithm 3.2: eq. 3.7-3.9 on pairs that are refreshed every T2 epochs."""
        params, self.targets = self.params, None
        return Stage(
            "contrastive",
            self._epochs("contrastive_epochs", _CONTRASTIVE),
            [
                {
                    "params": self.network.autoencoder.encoder.parameters(),
                    "lr": params.fine_tune_learning_rate,
                    "name": "fine_tune_learning_rate",
                },
                {
                    "params": self.network.head.parameters(),
                    "lr": params.head_learning_rate,
                    "name": "head_learning_rate",
                },
            ],
            self.pair_terms,
            params.batch_size,
            refresh=self.update_pairs,
            refresh_interval=params.pair_update_interval,
            required=params.head_epochs == 0,
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
            h = self.batches.map(self.easy.embed)
            self.pairs = normalize(
                h - h.mean(0) if kind == "centered_cosine" else h, dim=1
            )
        return {}

    def pair_terms(self, index: Tensor) -> dict[str, Tensor]:
        """Eq. 3.7-3.9 on two views, an anchor's own view being a positive."""
        params, network, group = self.params, self.network, self.batches.group
        n, x = len(index), self.batches.take(group.share(index))
        hs = network.embed_views([x, x], self.easy.view)
        h, h_view = (group.gather(own, n) for own in hs)
        z = network.assign(torch.cat([h, h_view])).softmax(1)
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
        terms["cluster_balance"] = losses.cluster_balance(z, self.easy.sizes)
        loss = loss + params.balance_weight * terms["cluster_balance"]
        return {"loss": loss, **terms}

    def teach_end(self) -> Stage:
        """Train the head on the final clusters, and the encoder on those kept."""
        assert self.agreement is not None
        n_epochs = self._epochs("head_epochs", _FINAL)
        if self.agreement.kept is not None:
            kept = torch.from_numpy(self.agreement.kept).to(self.generator.device)
            return label_stage(
                self.params, self.network, self.batches, kept, n_epochs=n_epochs
            )
        if self.targets is None:
            h = self.batches.map(self.easy.embed)
            with torch.no_grad():
                # In parts: the head is wider than what it maps.
                parts = [self.network.assign(part) for part in h.split(_AT_ONCE)]
            labels = self.teach(h, torch.cat(parts)).cpu().numpy()
            votes = self.agreement.votes(h, labels, self.params.n_clusters_)
            target = torch.from_numpy(self.batches.group.same(votes)).to(h.device)
            self.targets = h, target
        return head_stage(
            self.params, self.network, *self.targets, n_epochs=n_epochs, name=FINAL
        )

    def _epochs(self, name: str, rule: AutoEpochs) -> int:
        params = self.params
        return rule.resolve(getattr(params, name), self.batches, params.batch_size)

    # ----------------------------------------------- both at once (outlook, 5.2)

    def joint(self) -> Stage:
        """Stages 1 and 2 end to end: the sum of their losses, both refreshed."""
        params, self.targets = self.params, None

        def step(index: Tensor) -> dict[str, Tensor]:
            easy, hard = self.easy.terms(index), self.pair_terms(index)
            # What both have counts twice, and with one weight.
            twice = {n: easy[n] + hard[n] for n in easy.keys() & hard.keys()}
            return {**easy, **hard, **twice}

        def refresh(epoch: int) -> dict[str, float]:
            if epoch % params.pair_update_interval == 0:
                self.update_pairs(epoch)
            if epoch % params.center_update_interval == 0:
                return self.easy.update_centers(epoch)
            return {"assignment_scale": self.easy.scale}

        return Stage(
            "joint",
            max(self.easy.n_epochs, self._epochs("contrastive_epochs", _CONTRASTIVE)),
            [
                {
                    "params": self.network.autoencoder.parameters(),
                    "lr": params.center_learning_rate,
                    "name": "center_learning_rate",
                },
                {
                    "params": self.network.head.parameters(),
                    "lr": params.head_learning_rate,
                    "name": "head_learning_rate",
                },
            ],
            step,
            params.batch_size,
            refresh=refresh,
            required=params.head_epochs == 0,
        )
