"""Checkpoints of unfinished training: the only disk I/O of the training loop."""

import os
import time
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any, Self

import joblib
import numpy as np
import scipy.sparse as sp
import torch

from skdeepclust.training.distributed import SINGLE, Group

_FILE = "checkpoint.pt"
_HALF = f"{_FILE}.tmp"  # begins the name of a file that is being written
_PART = "run-"
_SECONDS = 5.0  # between two checkpoints of a stage
_HINT = "To train from the beginning, delete it."
_CSR = ("data", "indices", "indptr")


@dataclass
class Place:
    """Where training is: the number of the stage, and its epochs that are done."""

    stage: int = 0
    epoch: int = 0
    statistics: dict[str, float] = field(default_factory=dict)  # of the last refresh
    first: dict[str, float] = field(default_factory=dict)  # loss and weight at first
    states: dict[str, Any] = field(default_factory=dict)  # of stage and optimizer


# ------------------------------------------------- arrays as tensors, and back again


def pack(value: Any) -> Any:
    """Return what ``torch.load(weights_only=True)``, which runs no code, can read."""
    if isinstance(value, np.ndarray):
        return {"array": torch.from_numpy(np.ascontiguousarray(value))}
    if sp.issparse(value):
        csr = sp.csr_matrix(value)
        parts = {name: pack(getattr(csr, name)) for name in _CSR}
        return {"csr": parts, "shape": csr.shape}
    if is_dataclass(value):
        value = vars(value)
    if isinstance(value, dict):
        return {name: pack(item) for name, item in value.items()}
    return value


def unpack(value: Any) -> Any:
    """Return what `pack` was given; a dataclass comes back as a dict of its fields."""
    if isinstance(value, dict):
        if value.keys() == {"array"}:
            return value["array"].numpy()
        if value.keys() == {"csr", "shape"}:
            parts = tuple(unpack(value["csr"][name]) for name in _CSR)
            return sp.csr_matrix(parts, shape=value["shape"])
        return {name: unpack(item) for name, item in value.items()}
    return value


# ------------------------------------------------------------------------ the places


@dataclass
class Checkpoint:
    """Where the first process writes training to: a folder of one fit, or nowhere."""

    folder: Path | None = None
    fingerprint: dict[str, str] = field(default_factory=dict)
    group: Group = SINGLE
    seeds: list[int] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)  # shared with the parts
    written: float = field(default_factory=time.monotonic)

    @classmethod
    def within(cls, folder: Path, fingerprint: dict[str, str], group: Group) -> Self:
        """Return the checkpoint of a fit in a folder that others may use, too."""
        if folder.exists() and not folder.is_dir():
            raise ValueError(
                f"checkpoint_dir={str(folder)!r} is a file: pass a folder."
            )
        return cls(folder / joblib.hash(fingerprint)[:16], fingerprint, group)

    def start(self, seeds: list[int]) -> list[int]:
        """Return the seeds of the runs: those of the fit that is resumed, if any."""
        # All are looked at before anything is trained.
        found = self.group.first(
            lambda: [c["seeds"] for c in map(self._read, self._folders()) if c]
        )
        self.seeds = found[0] if found else seeds
        self._remove(f"{_HALF}*")
        return self.seeds

    def part(self, number: int) -> "Checkpoint":
        """Return the checkpoint of one of several runs, in a folder below this one."""
        folder = self.folder
        return replace(self, folder=folder and folder / f"{_PART}{number}")

    def resume(self, load: Callable[[dict[str, Any]], None]) -> Place:
        """Hand what was learned before an interruption to `load`; return the place."""
        folder = self.folder
        if folder is None:
            return Place()
        content = self.group.first(lambda: self._read(folder))
        if content is None:
            return Place()
        try:
            load(content["learned"])
            return Place(**content["place"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f"{folder / _FILE} does not fit what is trained: {error}. {_HINT}"
            ) from error

    def write(
        self,
        place: Place,
        learned: Callable[[], dict[str, Any]],
        parts: dict[str, Any] | None = None,
    ) -> None:
        """Write; amid a stage, whose `parts` have states, only every few seconds."""
        if self.folder is None or not self.group.is_first:
            return
        if parts is not None:
            if time.monotonic() - self.written < _SECONDS:
                return
            states = {name: part.state_dict() for name, part in parts.items()}
            place = replace(place, states=states)
        content = {
            "fingerprint": self.fingerprint,
            "seeds": self.seeds,
            "place": vars(place),
            "learned": learned(),
        }
        half = self.folder / f"{_HALF}{os.getpid()}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(half, "wb") as file:
                torch.save(content, file)
                file.flush()
                os.fsync(file.fileno())
            # At once: whoever is killed before it leaves the last good one.
            os.replace(half, self.folder / _FILE)
            self.written = time.monotonic()
        except (OSError, RuntimeError) as error:
            # torch raises a RuntimeError where a disk is full.
            with suppress(OSError):
                half.unlink(missing_ok=True)
            self._warn(error)

    def finish(self) -> None:
        """Remove the files: the next fit begins anew."""
        self._remove(_FILE, f"{_HALF}*")

    def _folders(self) -> list[Path]:
        """Return the folders of the fit and of its runs."""
        if self.folder is None:
            return []
        return [self.folder, *sorted(self.folder.glob(f"{_PART}*"))]

    def _read(self, folder: Path) -> dict[str, Any] | None:
        path = folder / _FILE
        if not path.exists():
            return None
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
            theirs, ours = dict(content["fingerprint"]), self.fingerprint
            content["seeds"], content["place"], content["learned"]
        except Exception as error:
            raise ValueError(
                f"{path} is no checkpoint, or a damaged one: {error}. {_HINT}"
            ) from error
        differ = [n for n in {**theirs, **ours} if theirs.get(n) != ours.get(n)]
        if differ:
            raise ValueError(
                f"{path} is the checkpoint of another fit, which differs in "
                f"{', '.join(differ)}. Pass the data and parameters of that fit, or "
                f"another checkpoint_dir. {_HINT}"
            )
        return content

    def _remove(self, *patterns: str) -> None:
        """Remove files of the fit, and its folders where they are empty then."""
        if not self.group.is_first:
            return
        for folder in reversed(self._folders()):
            try:
                for old in [path for name in patterns for path in folder.glob(name)]:
                    old.unlink(missing_ok=True)
            except OSError as error:
                self._warn(error)
            # What is not ours, if there is something, stays.
            with suppress(OSError):
                folder.rmdir()

    def _warn(self, error: Exception) -> None:
        if not self.failed:
            self.failed.append(str(error))
            warnings.warn(
                f"checkpoint_dir={str(self.folder)!r} cannot be written to: {error}. "
                "Training goes on, and the last good checkpoint is kept. Free space, "
                "or pass another folder.",
                UserWarning,
                stacklevel=2,
            )
