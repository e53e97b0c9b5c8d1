"""Checkpoints of unfinished training: the only disk I/O of the training loop."""

import hashlib
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from skdeepclust._container import leftovers, read, write
from skdeepclust.training.distributed import ALONE, Alone
from skdeepclust.training.events import Observer
from skdeepclust.training.stage import Remembering
from skdeepclust.views import global_states, set_global_states

_FILE = "checkpoint.npz"
_PART = "run-"
_KIND = "checkpoint"
_SHOWN = 16  # digits of a hash
_SECONDS = 5.0  # between two checkpoints of a stage
_TOLD = 5  # differences between two fits in a message


@dataclass
class Place:
    """Where training is.

    Parameters
    ----------
    stage : int, default=0
        Number of the stage.
    epoch : int, default=0
        Epochs of it that are done.
    statistics : dict of str to float
        What its last refresh has returned.
    optimizer, scheduler : dict
        Their states, if the stage has begun.
    first : dict of str to float, or None
        The loss of its first epoch, and the largest weight before.
    """

    stage: int = 0
    epoch: int = 0
    statistics: dict[str, float] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    scheduler: dict[str, Any] = field(default_factory=dict)
    first: dict[str, float] | None = None

    def restore(self, optimizer: torch.optim.Optimizer, scheduler: Any) -> None:
        """Put optimiser and schedule where they were.

        Parameters
        ----------
        optimizer : torch.optim.Optimizer
            Just made.
        scheduler : torch scheduler or None
            Just made.
        """
        optimizer.load_state_dict(self.optimizer)
        for parameter, state in optimizer.state.items():
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    # In the parameter's own order of memory, which is the one that
                    # the fused optimiser walks in.
                    state[name] = torch.empty_like(parameter).copy_(value)
        if scheduler is not None:
            scheduler.load_state_dict(self.scheduler)


@dataclass
class Learner:
    """All that training changes, beside where it is.

    Parameters
    ----------
    network : torch.nn.Module
        What is trained.
    generator : torch.Generator
        Draws what is random.
    observers : sequence of Observer
        Are told of each epoch.
    stages : object
        Builds the stages; asked for its state if it is a :class:`Remembering`.
    seeded : bool, default=False
        Whether the global generators are seeded for training, and go along.
    """

    network: nn.Module
    generator: torch.Generator
    observers: Sequence[Observer]
    stages: Any
    seeded: bool = False

    def state_dict(self) -> dict[str, Any]:
        """Return the state.

        Returns
        -------
        dict of str to object
            Tensors, arrays and plain values.
        """
        remembers = isinstance(self.stages, Remembering)
        return {
            "network": self.network.state_dict(),
            "generator": self.generator.get_state(),
            "globals": global_states(self.generator.device) if self.seeded else {},
            "observers": [observer.state_dict() for observer in self.observers],
            "stages": self.stages.state_dict() if remembers else {},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state.

        Parameters
        ----------
        state : dict of str to object
            From `state_dict`; tensors may be on another device.
        """
        device = self.generator.device
        self.network.load_state_dict(state["network"])
        self.generator.set_state(state["generator"])
        for observer, own in zip(self.observers, state["observers"], strict=True):
            observer.load_state_dict(own)
        if isinstance(self.stages, Remembering):
            self.stages.load_state_dict(_on_device(state["stages"], device))
        if self.seeded:
            set_global_states(state["globals"], device)


def _on_device(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {name: _on_device(item, device) for name, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_on_device(item, device) for item in value)
    return value


class Checkpoint:
    """Where training is written to, by default nowhere."""

    def start(self, seeds: list[int]) -> list[int]:
        """Begin a fit.

        Parameters
        ----------
        seeds : list of int
            Of its runs.

        Returns
        -------
        list of int
            The seeds to take: those of the fit that is gone on with.
        """
        return seeds

    def part(self, number: int) -> "Checkpoint":
        """Return the checkpoint of one of several runs.

        Parameters
        ----------
        number : int
            Of the run.

        Returns
        -------
        Checkpoint
            A place of its own.
        """
        return self

    def resume(self, learner: Learner) -> Place:
        """Take over what has been learnt before the interruption.

        Parameters
        ----------
        learner : Learner
            Just built.

        Returns
        -------
        Place
            Where to go on.
        """
        return Place()

    def epoch_end(
        self, place: Place, learner: Learner, optimizer: Any, scheduler: Any
    ) -> None:
        """Hear of an epoch that others follow in the same stage.

        Parameters
        ----------
        place : Place
            What comes next.
        learner : Learner
            As it is now.
        optimizer, scheduler : object
            Of the stage.
        """

    def stage_end(self, place: Place, learner: Learner) -> None:
        """Hear of the end of a stage.

        Parameters
        ----------
        place : Place
            What comes next.
        learner : Learner
            As it is now.
        """

    def finish(self) -> None:
        """Hear that the fit has come to a good end."""


NOWHERE = Checkpoint()
"""What is used without ``checkpoint_dir``."""


@dataclass
class FileCheckpoint(Checkpoint):
    """Written to a folder, which belongs to one fit at a time.

    Within a stage it is written every few seconds, and always at a stage's end.

    Parameters
    ----------
    folder : Path
        Made if need be.
    fingerprint : dict of str to str
        What tells the fit from others; see `fingerprint`.
    group : Alone, default=ALONE
        The processes that train together. The first one alone reads and writes.
    seeds : list of int
        Of the runs; set by `start`.
    failed : list
        Not empty once writing has failed; shared with the parts.
    """

    folder: Path
    fingerprint: dict[str, str]
    group: Alone = ALONE
    seeds: list[int] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    written: float = field(default_factory=time.monotonic)
    """When it was last written, in seconds of the clock."""

    @classmethod
    def within(
        cls, folder: Path, fingerprint: dict[str, str], group: Alone = ALONE
    ) -> "FileCheckpoint":
        """Return the checkpoint of a fit in a folder that others may use, too.

        Parameters
        ----------
        folder : Path
            With a folder for each fit.
        fingerprint : dict of str to str
            What tells the fit from others.
        group : Alone, default=ALONE
            The processes that train together.

        Returns
        -------
        FileCheckpoint
            In a folder that is named by a hash of the fingerprint.

        Raises
        ------
        ValueError
            If `folder` is a file.
        """
        if folder.exists() and not folder.is_dir():
            raise ValueError(
                f"checkpoint_dir={str(folder)!r} is a file; name a folder."
            )
        told = repr(sorted(fingerprint.items())).encode()
        name = hashlib.sha256(told).hexdigest()[:_SHOWN]
        return cls(folder / name, fingerprint, group)

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / _FILE

    def start(self, seeds: list[int]) -> list[int]:
        """Look at what is there, and refuse what is not of this fit."""
        found = self.group.first(self._find_seeds)
        self.seeds = found[0] if found else seeds
        self._remove([old for path in self._paths() for old in leftovers(path)])
        return self.seeds

    def part(self, number: int) -> Checkpoint:
        """Return a checkpoint in a folder below this one."""
        return replace(self, folder=self.folder / f"{_PART}{number}")

    def resume(self, learner: Learner) -> Place:
        """Take over the last good checkpoint, if there is one."""
        content = self.group.first(
            lambda: self._read(self.path) if self.path.exists() else None
        )
        if content is None:
            return Place()
        try:
            learner.load_state_dict(content["learner"])
            return Place(**content["place"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.path} does not fit what is trained: {error}"
            ) from error

    def epoch_end(
        self, place: Place, learner: Learner, optimizer: Any, scheduler: Any
    ) -> None:
        """Write, every so many seconds."""
        if time.monotonic() - self.written >= _SECONDS:
            place.optimizer = optimizer.state_dict()
            if scheduler is not None:
                place.scheduler = scheduler.state_dict()
            self._write(place, learner)

    def stage_end(self, place: Place, learner: Learner) -> None:
        """Write."""
        self._write(place, learner)

    def finish(self) -> None:
        """Remove the files: the next fit begins anew."""
        for path in self._paths():
            self._remove([path, *leftovers(path)])
        if not self.group.is_first:
            return
        for folder in (*(path.parent for path in self._paths()[1:]), self.folder):
            # What is not ours, if there is something, stays.
            with suppress(OSError):
                folder.rmdir()

    def _paths(self) -> list[Path]:
        parts = self.folder.glob(f"{_PART}*")
        return [self.path, *(part / _FILE for part in sorted(parts))]

    def _find_seeds(self) -> list[list[int]]:
        # All are looked at before anything is trained.
        return [self._read(path)["seeds"] for path in self._paths() if path.exists()]

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            content = read(path, _KIND)
            theirs = content["fingerprint"]
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"{error} To train from the beginning, delete it."
            ) from error
        ours = self.fingerprint
        differences = [
            f"{name} (there {theirs.get(name)}, here {ours.get(name)})"
            for name in {**theirs, **ours}
            if theirs.get(name) != ours.get(name)
        ]
        if differences:
            if len(differences) > _TOLD:
                differences[_TOLD:] = [f"{len(differences) - _TOLD} others"]
            raise ValueError(
                f"{path} is the checkpoint of another fit, which differs in "
                f"{', '.join(differences)}. Fit with what it is from, name another "
                "checkpoint_dir, or delete the file."
            )
        return content

    def _write(self, place: Place, learner: Learner) -> None:
        if not self.group.is_first:
            return
        content = {
            "fingerprint": self.fingerprint,
            "seeds": self.seeds,
            "place": vars(place),
            "learner": learner.state_dict(),
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write(self.path, _KIND, content)
            self.written = time.monotonic()
        except OSError as error:
            self._warn(error)

    def _remove(self, paths: list[Path]) -> None:
        if not self.group.is_first:
            return
        try:
            for path in paths:
                path.unlink(missing_ok=True)
        except OSError as error:
            self._warn(error)

    def _warn(self, error: OSError) -> None:
        if not self.failed:
            self.failed.append(str(error))
            warnings.warn(
                f"checkpoint_dir={str(self.folder)!r} cannot be written to: {error}. "
                "Training goes on; the last good checkpoint, if there is one, is kept.",
                UserWarning,
                stacklevel=2,
            )
