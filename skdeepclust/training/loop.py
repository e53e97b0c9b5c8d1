"""The loop over stages, epochs and batches; it never knows the method."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, TypeVar

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn

from skdeepclust._utils.random import global_states, set_global_states
from skdeepclust.training.checkpoint import Checkpoint, Place, pack, unpack
from skdeepclust.training.distributed import SINGLE, Group
from skdeepclust.training.events import History, Observer
from skdeepclust.training.stage import Stage, count_batches

S = TypeVar("S", bound=Stage)
Result = TypeVar("Result")

_FAR = 2.0  # by which no weight grows at a learning rate that is not too high


@dataclass(eq=False)
class Training:
    """Trains one network stage by stage, and keeps what passes between stages.

    A method calls `run` for each stage, and `once` for each result that later stages
    need. A fit that resumes goes the same way; what is done already is skipped.
    """

    network: nn.Module  # Trained in place.
    n_samples: int  # They are numbered from 0.
    _: KW_ONLY
    generator: torch.Generator  # Draws their order; it is on the network's device.
    history: History = field(default_factory=History)
    observers: Sequence[Observer] = ()  # Others that hear of training.
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    seeded: bool = False  # The global generators are seeded: they are kept, too.
    pretrained: bool = False  # The network was fitted before: it is worth keeping.
    group: Group = SINGLE  # Their networks and generators are equal.
    results: dict[str, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.observers = [self.history, *self.observers]
        self._n_done = 0
        self._place = Place()
        self._ended: dict[str, Any] = {}

    def begin(self, n_stages: int) -> None:
        """Tell how many stages there are, and resume from a checkpoint."""
        for observer in self.observers:
            observer.begin(n_stages)
        self._place = self.checkpoint.resume(self._load)

    def once(self, kind: type[Result], compute: Callable[[], Result]) -> Result:
        """Return a result, a dataclass that `pack` knows, which is computed once."""
        name = kind.__name__
        if name not in self.results:
            self.results[name] = compute()
        elif isinstance(self.results[name], dict):  # from a checkpoint
            self.results[name] = kind(**self.results[name])
        found: Result = self.results[name]
        return found

    def run(self, make: Callable[[], S]) -> S:
        """Build the next stage, run it unless that has been done, and return it.

        When a loss or a weight stops being finite, the stage ends with the weights of
        its last good epoch and a warning, or a ValueError if the stage is required.
        """
        number, self._n_done = self._n_done, self._n_done + 1
        stage, place = make(), self._place
        if number < place.stage:
            stage.load_state_dict(self._ended.get(stage.name, {}))
            return stage
        if stage.n_epochs > 0:
            start = place if number == place.stage else Place(number)
            fault = self._run_epochs(stage, start)
            if fault:
                self._report(stage, fault)
            stage.end()
        self._ended[stage.name] = stage.state_dict()
        self.checkpoint.write(Place(self._n_done), self._state)
        return stage

    def skip(self) -> None:
        """Count a stage whose results have come from elsewhere."""
        self._n_done += 1

    @property
    def has_begun(self) -> bool:
        """Whether the next stage was begun, or ended, before an interruption."""
        return (self._place.stage, self._place.epoch) > (self._n_done, 0)

    # -------------------------------------------------------------------- checkpoints

    def _state(self) -> dict[str, Any]:
        """Return all that training changes, beside where it is."""
        device = self.generator.device
        return {
            "network": self.network.state_dict(),
            "generator": self.generator.get_state(),
            "globals": pack(global_states(device)) if self.seeded else {},
            "history": self.history.rows,
            "results": pack(self.results),
            "ended": self._ended,
        }

    def _load(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.generator.set_state(state["generator"])
        if self.seeded:
            set_global_states(unpack(state["globals"]), self.generator.device)
        # In place: the run looks at them, too.
        self.history.rows[:] = state["history"]
        self.results.update(unpack(state["results"]))
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
            raise ValueError(f"{message}, and later stages need it: {hint}")
        warnings.warn(
            f"{message}. Training goes on from its last finite epoch: {hint}",
            ConvergenceWarning,
            stacklevel=2,
        )

    def _run_epochs(self, stage: Stage, start: Place) -> str:
        """Run the epochs of a stage; say what is wrong with how it ended, if it is."""
        network, observers, n_epochs = self.network, self.observers, stage.n_epochs
        n_batches = count_batches(self.n_samples, stage.batch_size)
        stage.begin()
        optimizer = torch.optim.Adam(
            [{"params": rate.weights, "lr": rate.value} for rate in stage.rates],
            fused=self.generator.device.type in ("cpu", "cuda"),
        )
        scheduler = None
        parts: dict[str, Any] = {"stage": stage, "optimizer": optimizer}
        if stage.schedule == "one_cycle":
            scheduler = parts["scheduler"] = torch.optim.lr_scheduler.OneCycleLR(
                optimizer,
                [rate.value for rate in stage.rates],
                total_steps=n_epochs * n_batches,
                cycle_momentum=False,
            )
        if start.epoch > 0:
            for name, part in parts.items():
                part.load_state_dict(start.states[name])
        for observer in observers:
            observer.stage_begin(stage, n_epochs)
        fault, statistics, interval = "", start.statistics, stage.refresh_interval
        first = start.first or {"weight": float(_largest(network))}
        for epoch in range(start.epoch, n_epochs):
            for observer in observers:
                observer.epoch_begin()
            good = {name: value.clone() for name, value in network.state_dict().items()}
            if interval is not None and epoch % interval == 0:
                statistics = stage.refresh(epoch)
            network.train()
            sums = self._run_epoch(stage, optimizer, scheduler, n_batches)
            self.group.average_buffers(network)
            # The one time in an epoch that the host waits for the device.
            *totals, largest = torch.stack([*sums.values(), _largest(network)]).tolist()
            means = {n: t / n_batches for n, t in zip(sums, totals, strict=True)}
            if not (math.isfinite(means["loss"]) and math.isfinite(largest)):
                network.load_state_dict(good)
                fault = f"stopped being finite in epoch {epoch + 1} of {n_epochs}"
                break
            first.setdefault("loss", means["loss"])
            if epoch + 1 == n_epochs:
                fault = _divergence(stage, first, means["loss"], largest)
            values = {**means, **statistics}
            # A list: all are told, also when the first one ends the stage.
            ends = [observer.epoch_end(epoch + 1, values) for observer in observers]
            if self.group.either(any(ends)):
                break
            if epoch + 1 < n_epochs:
                place = Place(start.stage, epoch + 1, statistics, first)
                self.checkpoint.write(place, self._state, parts)
        for observer in observers:
            observer.stage_end()
        return fault

    def _run_epoch(
        self,
        stage: Stage,
        optimizer: torch.optim.Optimizer,
        scheduler: torch.optim.lr_scheduler.LRScheduler | None,
        n_batches: int,
    ) -> dict[str, Tensor]:
        """Return the sums over all batches of their loss terms."""
        generator, group, n = self.generator, self.group, self.n_samples
        order = torch.randperm(n, generator=generator, device=generator.device)
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
