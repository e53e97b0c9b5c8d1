"""Training that knows no method: batches, the loop over stages, who listens."""

from skdeepclust.training.callbacks import Task, fit_task
from skdeepclust.training.checkpoint import NOWHERE, Checkpoint, FileCheckpoint
from skdeepclust.training.data import Batches, InputSpec, block_rows
from skdeepclust.training.device import (
    available_devices,
    compiled,
    default_settings,
    repeatable,
    resolve_device,
    telling_memory,
    without_autocast,
)
from skdeepclust.training.distributed import ALONE, Alone, current_group
from skdeepclust.training.events import EarlyStopping, History, Observer
from skdeepclust.training.fingerprint import fingerprint
from skdeepclust.training.inputs import as_rows, sample_shape
from skdeepclust.training.loop import run_stages
from skdeepclust.training.stage import AutoEpochs, Remembering, Stage, draw_seed
from skdeepclust.training.units import Unit

__all__ = [
    "ALONE",
    "NOWHERE",
    "Alone",
    "AutoEpochs",
    "Batches",
    "Checkpoint",
    "EarlyStopping",
    "FileCheckpoint",
    "History",
    "InputSpec",
    "Observer",
    "Remembering",
    "Stage",
    "Task",
    "Unit",
    "as_rows",
    "available_devices",
    "block_rows",
    "compiled",
    "current_group",
    "default_settings",
    "draw_seed",
    "fingerprint",
    "fit_task",
    "repeatable",
    "resolve_device",
    "run_stages",
    "sample_shape",
    "telling_memory",
    "without_autocast",
]
