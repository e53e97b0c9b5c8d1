"""Checkpoints of unfinished training: the only disk I/O of the training loop."""

import os
import time
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import scipy.sparse as sp
import torch

from skdeepclust.training.distributed import SINGLE, SingleProcess
from skdeepclust.training.stage import Stage

_FILE = "checkpoint.pt"
_PART = "run-"
_HALF = ".tmp"  # ends the name of a file that is being written
_SECONDS = 5.0  # between two checkpoints of a stage

StateDict = Callable[[], dict[str, Any]]


@dataclass
class Place:
    """Where training is: the number of the stage, and its epochs that are done."""

    stage: int = 0
    epoch: int = 0
    statistics: dict[str, float] = field(default_factory=dict)  # of the last refresh
    first: dict[str, float] = field(default_factory=dict)  # loss and weight at first
    states: dict[str, Any] = field(default_factory=dict)  # of stage and optimizer

    def restore(
        self, stage: Stage, optimizer: torch.optim.Optimizer, scheduler: Any
    ) -> None:
        """Put a stage, its optimizer and its schedule, just made, where they were."""
        stage.load_state_dict(self.states["stage"])
        optimizer.load_state_dict(self.states["optimizer"])
        if scheduler is not None:
            scheduler.load_state_dict(self.states["scheduler"])


# ------------------------------------------------- arrays as tensors, and back again


def pack(value: Any) -> Any:
    """Return tensors and plain values for what a checkpoint holds.

    ``torch.load(weights_only=True)``, which runs no code, knows no arrays.
    """
    if isinstance(value, np.ndarray):
        return {"array": torch.from_numpy(np.ascontiguousarray(value))}
    if sp.issparse(value):
        csr = sp.csr_matrix(value)
        parts = {name: pack(getattr(csr, name)) for name in _CSR}
        return {"csr": parts, "shape": csr.shape}
    if is_dataclass(value):
        return {part.name: pack(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, dict):
        return {name: pack(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return tuple(pack(item) for item in value)
    return value


_CSR = ("data", "indices", "indptr")


def unpack(value: Any) -> Any:
    """Return what `pack` was given; a dataclass comes back as a dict of its fields."""
    if isinstance(value, dict):
        if value.keys() == {"array"}:
            return value["array"].numpy()
        if value.keys() == {"csr", "shape"}:
            parts = [unpack(value["csr"][name]) for name in _CSR]
            return sp.csr_matrix(tuple(parts), shape=value["shape"])
        return {name: unpack(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return tuple(unpack(item) for item in value)
    return value


# ------------------------------------------------------------------------ the places


class Checkpoint:
    """Where training is written to, by default nowhere."""

    def start(self, seeds: list[int]) -> list[int]:
        """Return the seeds of the runs: those of the fit that is resumed, if any."""
        return seeds

    def part(self, number: int) -> "Checkpoint":
        """Return the checkpoint of one of several runs."""
        return self

    def resume(self, load: Callable[[dict[str, Any]], None]) -> Place:
        """Hand what was learned before an interruption to `load`; return the place."""
        return Place()

    def epoch_end(
        self,
        place: Place,
        learned: StateDict,
        stage: Stage,
        optimizer: torch.optim.Optimizer,
        scheduler: Any,
    ) -> None:
        """Hear of an epoch that others follow in the same stage."""

    def stage_end(self, place: Place, learned: StateDict) -> None:
        """Hear of the end of a stage."""

    def finish(self) -> None:
        """Hear that the fit has ended well."""


NOWHERE = Checkpoint()
"""What is used without ``checkpoint_dir``."""


@dataclass
class FileCheckpoint(Checkpoint):
    """Written to a folder, which belongs to one fit at a time.

    Within a stage it is written every few seconds, and always at a stage's end. Of
    several processes the first one alone reads and writes.
    """

    folder: Path
    fingerprint: dict[str, str]
    group: SingleProcess = SINGLE
    seeds: list[int] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)  # shared with the parts
    written: float = field(default_factory=time.monotonic)

    @classmethod
    def within(
        cls, folder: Path, fingerprint: dict[str, str], group: SingleProcess = SINGLE
    ) -> "FileCheckpoint":
        """Return the checkpoint of a fit in a folder that others may use, too."""
        if folder.exists() and not folder.is_dir():
            raise ValueError(
                f"checkpoint_dir={str(folder)!r} is a file; name a folder."
            )
        return cls(folder / joblib.hash(fingerprint)[:16], fingerprint, group)

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / _FILE

    def start(self, seeds: list[int]) -> list[int]:
        """Look at what is there, and refuse what is not of this fit."""
        found = self.group.first(self._find_seeds)
        self.seeds = found[0] if found else seeds
        self._remove([old for path in self._paths() for old in _half_written(path)])
        return self.seeds

    def part(self, number: int) -> Checkpoint:
        """Return a checkpoint in a folder below this one."""
        return replace(self, folder=self.folder / f"{_PART}{number}")

    def resume(self, load: Callable[[dict[str, Any]], None]) -> Place:
        """Take over the last good checkpoint, if there is one."""
        content = self.group.first(
            lambda: self._read(self.path) if self.path.exists() else None
        )
        if content is None:
            return Place()
        try:
            load(content["learned"])
            return Place(**content["place"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.path} does not fit what is trained: {error}. To train from the "
                "beginning, delete it."
            ) from error

    def epoch_end(
        self,
        place: Place,
        learned: StateDict,
        stage: Stage,
        optimizer: torch.optim.Optimizer,
        scheduler: Any,
    ) -> None:
        """Write, every so many seconds."""
        if time.monotonic() - self.written < _SECONDS:
            return
        states = {"stage": stage.state_dict(), "optimizer": optimizer.state_dict()}
        if scheduler is not None:
            states["scheduler"] = scheduler.state_dict()
        self._write(replace(place, states=states), learned)

    def stage_end(self, place: Place, learned: StateDict) -> None:
        """Write."""
        self._write(place, learned)

    def finish(self) -> None:
        """Remove the files: the next fit begins anew."""
        paths = self._paths()
        self._remove([old for path in paths for old in (path, *_half_written(path))])
        if not self.group.is_first:
            return
        for folder in (*(path.parent for path in paths[1:]), self.folder):
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
        hint = "To train from the beginning, delete it."
        try:
            # torch.load does not look at the checksums, and reads no entry that has
            # the attribute of a folder, but takes memory as it is.
            with zipfile.ZipFile(path) as archive:
                folders = [p.filename for p in archive.filelist if p.external_attr]
                damaged = archive.testzip() or next(iter(folders), None)
            if damaged:
                raise ValueError(f"the part {damaged} is damaged")
            content: dict[str, Any] = torch.load(
                path, map_location="cpu", weights_only=True
            )
            theirs = dict(content["fingerprint"])
            content["seeds"], content["place"], content["learned"]
        except Exception as error:
            raise ValueError(
                f"{path} is no checkpoint, or a damaged one: {error}. {hint}"
            ) from error
        ours = self.fingerprint
        differ = [
            name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)
        ]
        if differ:
            raise ValueError(
                f"{path} is the checkpoint of another fit, which differs in "
                f"{', '.join(differ)}. Fit with what it is from, or name another "
                f"checkpoint_dir. {hint}"
            )
        return content

    def _write(self, place: Place, learned: StateDict) -> None:
        if not self.group.is_first:
            return
        content = {
            "fingerprint": self.fingerprint,
            "seeds": self.seeds,
            "place": vars(place),
            "learned": learned(),
        }
        half = self.path.with_name(f"{_FILE}{_HALF}{os.getpid()}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(half, "wb") as file:
                torch.save(content, file)
                file.flush()
                os.fsync(file.fileno())
            # At once: whoever is killed before it leaves the last good one.
            os.replace(half, self.path)
            self.written = time.monotonic()
        except (OSError, RuntimeError) as error:
            # torch raises a RuntimeError where a disk is full.
            with suppress(OSError):
                half.unlink(missing_ok=True)
            self._warn(error)

    def _remove(self, paths: list[Path]) -> None:
        if not self.group.is_first:
            return
        try:
            for path in paths:
                path.unlink(missing_ok=True)
        except OSError as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        if not self.failed:
            self.failed.append(str(error))
            warnings.warn(
                f"checkpoint_dir={str(self.folder)!r} cannot be written to: {error}. "
                "Training goes on; the last good checkpoint, if there is one, is kept.",
                UserWarning,
                stacklevel=2,
            )


def _half_written(path: Path) -> list[Path]:
    """Return files that an interrupted fit has left beside its checkpoint."""
    return [*path.parent.glob(f"{_FILE}{_HALF}*")]
