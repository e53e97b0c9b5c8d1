"""The loop over stages, epochs and batches; it never knows the method."""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn

from skdeepclust._utils.random import global_states, set_global_states
from skdeepclust.training.checkpoint import NOWHERE, Checkpoint, Place, pack, unpack
from skdeepclust.training.distributed import SINGLE, SingleProcess
from skdeepclust.training.events import History, Observer
from skdeepclust.training.stage import Stage, count_batches

S = TypeVar("S", bound=Stage)
Result = TypeVar("Result")

_FAR = 2.0  # by which no weight grows at a learning rate that is not too high


class Training:
    """Trains one network stage by stage, and keeps what passes between stages.

    A method is written from top to bottom: it calls `run` for each stage, and `once`
    for each result that later stages need. A fit that resumes from a checkpoint goes
    the same way; what is done already is skipped.

    Parameters
    ----------
    network : torch.nn.Module
        What is trained, in place.
    n_samples : int
        The samples are numbered from 0.
    generator : torch.Generator
        Draws the order of the samples, on the device of `network`.
    history : History
        Gets a row per epoch.
    observers : sequence of Observer
        Are told of each stage and epoch, and may end a stage.
    checkpoint : Checkpoint
        Where training resumes from, and is written to.
    seeded : bool
        Whether the global generators are seeded for training; then they go into
        checkpoints too.
    pretrained : bool
        Whether `network` has been fitted before, so that it is worth keeping.
    group : SingleProcess
        The processes that train together. Their `network` and `generator` are equal.
    """

    def __init__(
        self,
        network: nn.Module,
        n_samples: int,
        *,
        generator: torch.Generator,
        history: History | None = None,
        observers: Sequence[Observer] = (),
        checkpoint: Checkpoint = NOWHERE,
        seeded: bool = False,
        pretrained: bool = False,
        group: SingleProcess = SINGLE,
    ) -> None:
        self.network = network
        self.n_samples = n_samples
        self.generator = generator
        self.history = History() if history is None else history
        self.observers = [self.history, *observers]
        self.checkpoint = checkpoint
        self.seeded = seeded
        self.pretrained = pretrained
        self.group = group
        self.results: dict[str, Any] = {}
        self._n_done = 0
        self._place = Place()
        self._ended: dict[str, Any] = {}

    def begin(self, n_stages: int) -> None:
        """Tell how many stages there are, and resume from a checkpoint."""
        for observer in self.observers:
            observer.begin(n_stages)
        self._place = self.checkpoint.resume(self.load_state_dict)

    def once(self, kind: type[Result], compute: Callable[[], Result]) -> Result:
        """Return the result of a kind, a dataclass, which is computed once per fit.

        Its fields are arrays, sparse matrices and plain values.
        """
        if kind.__name__ not in self.results:
            self.results[kind.__name__] = compute()
        found: Result = self._result(kind)
        return found

    def find(self, kind: type[Result]) -> Result | None:
        """Return the result of a kind, or None as long as there is none."""
        return self._result(kind) if kind.__name__ in self.results else None

    def _result(self, kind: type[Any]) -> Any:
        found = self.results[kind.__name__]
        if isinstance(found, dict):  # from a checkpoint
            found = self.results[kind.__name__] = kind(**found)
        return found

    def run(self, make: Callable[[], S]) -> S:
        """Build the next stage, run it unless that has been done, and return it.

        When a loss or a weight stops being finite, the stage ends with the weights of
        its last good epoch, and a warning names the epoch. A stage that is required
        raises a ValueError.
        """
        number, self._n_done = self._n_done, self._n_done + 1
        stage = make()
        if number < self._place.stage:
            stage.load_state_dict(self._ended.get(stage.name, {}))
            return stage
        start = self._place if number == self._place.stage else Place(number)
        if stage.n_epochs > 0:
            fault = self._run_epochs(stage, start)
            if fault:
                self._report(stage, fault)
            stage.end()
        self._ended[stage.name] = stage.state_dict()
        self.checkpoint.stage_end(Place(self._n_done), self.state_dict)
        return stage

    def skip(self) -> None:
        """Count a stage whose results have come from elsewhere."""
        self._n_done += 1

    @property
    def has_begun(self) -> bool:
        """Whether the next stage was begun, or ended, before an interruption."""
        place = self._place
        return place.stage > self._n_done or (
            place.stage == self._n_done and place.epoch > 0
        )

    # -------------------------------------------------------------------- checkpoints

    def state_dict(self) -> dict[str, Any]:
        """Return all that training changes, beside where it is."""
        device = self.generator.device
        return {
            "network": self.network.state_dict(),
            "generator": self.generator.get_state(),
            "globals": pack(global_states(device)) if self.seeded else {},
            "history": self.history.rows,
            "results": {name: pack(value) for name, value in self.results.items()},
            "ended": self._ended,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self.generator.set_state(state["generator"])
        if self.seeded:
            set_global_states(unpack(state["globals"]), self.generator.device)
        self.history.rows[:] = state["history"]
        # In place: the run looks at them, too.
        self.results.update(
            {name: unpack(value) for name, value in state["results"].items()}
        )
        self._ended = state["ended"]

    # ------------------------------------------------------------------------- epochs

    def _report(self, stage: Stage, fault: str) -> None:
        rates = " and ".join(f"{rate.name}={rate.given:g}" for rate in stage.rates)
        message = f"Stage {stage.name!r} with {rates} {fault}"
        hint = (
            "lower the rate, scale X, or look for NaN in an encoder or augmentation of "
            "your own."
        )
        if stage.required and not self.pretrained:
            # Later stages would start from weights that have learned nothing.
            raise ValueError(f"{message}, and all that follows needs it: {hint}")
        warnings.warn(
            f"{message}. Training goes on from its last finite epoch: {hint}",
            ConvergenceWarning,
            stacklevel=2,
        )

    def _run_epochs(self, stage: Stage, start: Place) -> str:
        """Run the epochs of a stage; say what is wrong with how it ended, if it is."""
        network, n_epochs = self.network, stage.n_epochs
        n_batches = count_batches(self.n_samples, stage.batch_size)
        stage.begin()
        optimizer = torch.optim.Adam(
            [{"params": rate.weights, "lr": rate.value} for rate in stage.rates],
            fused=self.generator.device.type in ("cpu", "cuda"),
        )
        scheduler = None
        if stage.schedule == "one_cycle":
            scheduler = torch.optim.lr_scheduler.OneCycleLR(
                optimizer,
                [rate.value for rate in stage.rates],
                total_steps=n_epochs * n_batches,
                cycle_momentum=False,
            )
        if start.epoch > 0:
            start.restore(stage, optimizer, scheduler)
        for observer in self.observers:
            observer.stage_begin(stage, n_epochs)
        fault, statistics, first = "", start.statistics, start.first
        if not first:
            first = {"weight": float(_largest(network))}
        for epoch in range(start.epoch, n_epochs):
            for observer in self.observers:
                observer.epoch_begin()
            good = {name: value.clone() for name, value in network.state_dict().items()}
            interval = stage.refresh_interval
            if interval is not None and epoch % interval == 0:
                statistics = stage.refresh(epoch)
            network.train()
            sums = self._run_epoch(stage, optimizer, scheduler, n_batches)
            self.group.average_buffers(network)
            # The one time in an epoch that the host waits for the device.
            *totals, largest = torch.stack([*sums.values(), _largest(network)]).tolist()
            means = {
                n: total / n_batches for n, total in zip(sums, totals, strict=True)
            }
            if not (math.isfinite(means["loss"]) and math.isfinite(largest)):
                network.load_state_dict(good)
                fault = f"stopped being finite in epoch {epoch + 1} of {n_epochs}"
                break
            first.setdefault("loss", means["loss"])
            if epoch + 1 == n_epochs:
                fault = _divergence(stage, first, means["loss"], largest)
            values = {**means, **statistics}
            # A list: all are told, also when the first one ends the stage.
            ends = [
                observer.epoch_end(epoch + 1, values) for observer in self.observers
            ]
            if self.group.either(any(ends)):
                break
            if epoch + 1 < n_epochs:
                place = Place(start.stage, epoch + 1, statistics, first)
                self.checkpoint.epoch_end(
                    place, self.state_dict, stage, optimizer, scheduler
                )
        for observer in self.observers:
            observer.stage_end()
        return fault

    def _run_epoch(
        self,
        stage: Stage,
        optimizer: torch.optim.Optimizer,
        scheduler: torch.optim.lr_scheduler.LRScheduler | None,
        n_batches: int,
    ) -> dict[str, Tensor]:
        generator, group = self.generator, self.group
        order = torch.randperm(
            self.n_samples, generator=generator, device=generator.device
        )
        sums: dict[str, Tensor] = {}
        with group.own_draws(generator):
            for batch in order.tensor_split(n_batches):
                terms = group.weigh(stage.step(batch), len(batch))
                optimizer.zero_grad()
                terms["loss"].backward()
                group.sum_gradients(optimizer)
                optimizer.step()
                if scheduler is not None:
                    scheduler.step()
                for name, value in terms.items():
                    value = value.detach()
                    sums[name] = sums[name] + value if name in sums else value
        return group.sum_terms(sums)


def _divergence(
    stage: Stage, first: dict[str, float], loss: float, largest: float
) -> str:
    # A loss whose targets are refreshed may well rise.
    lowers = stage.required and stage.refresh_interval is None
    if not lowers or largest <= first["weight"] + _FAR:
        return ""
    if loss <= min(first["loss"], stage.chance):
        return ""
    return (
        f"ended with a loss of {loss:.4g}, after {first['loss']:.4g} at first, and "
        f"with weights of up to {largest:.4g}"
    )


def _largest(network: nn.Module) -> Tensor:
    """Return the largest weight in magnitude: not finite if any weight is not."""
    weights = [p.detach() for p in network.parameters() if p.numel() > 0]
    extremes = [extreme for weight in weights for extreme in weight.aminmax()]
    return torch.stack(extremes).abs().amax()
