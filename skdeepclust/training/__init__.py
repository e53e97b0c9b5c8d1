"""Training that knows no method: batches, the loop over stages, who listens."""

from skdeepclust._utils.inputs import as_rows, sample_shape
from skdeepclust._utils.units import Unit
from skdeepclust.training.callbacks import Task, fit_task
from skdeepclust.training.checkpoint import NOWHERE, Checkpoint, FileCheckpoint
from skdeepclust.training.data import Batches, InputSpec, block_rows
from skdeepclust.training.device import (
    available_devices,
    default_settings,
    is_out_of_memory,
    repeatable,
    resolve_device,
    telling_memory,
    without_autocast,
)
from skdeepclust.training.distributed import SINGLE, Group, SingleProcess, current_group
from skdeepclust.training.events import History, Observer
from skdeepclust.training.fingerprint import fingerprint
from skdeepclust.training.loop import Training
from skdeepclust.training.stage import AutoEpochs, Rate, Stage, count_batches, draw_seed

__all__ = [
    "NOWHERE",
    "SINGLE",
    "AutoEpochs",
    "Batches",
    "Checkpoint",
    "FileCheckpoint",
    "Group",
    "History",
    "InputSpec",
    "Observer",
    "Rate",
    "SingleProcess",
    "Stage",
    "Task",
    "Training",
    "Unit",
    "as_rows",
    "available_devices",
    "block_rows",
    "count_batches",
    "current_group",
    "default_settings",
    "draw_seed",
    "fingerprint",
    "fit_task",
    "is_out_of_memory",
    "repeatable",
    "resolve_device",
    "sample_shape",
    "telling_memory",
    "without_autocast",
]
