"""Training that knows no method: batches, the loop over stages, who listens."""

from skdeepclust._utils.inputs import as_rows
from skdeepclust._utils.random import draw_seed
from skdeepclust._utils.units import Unit
from skdeepclust.training.checkpoint import Checkpoint
from skdeepclust.training.data import Batches, InputSpec, block_rows
from skdeepclust.training.device import (
    available_devices,
    default_settings,
    repeatable,
    resolve_device,
    telling_memory,
    without_autocast,
)
from skdeepclust.training.distributed import SINGLE, Group, current_group
from skdeepclust.training.events import History, Observer, Task, fit_task
from skdeepclust.training.fingerprint import fingerprint
from skdeepclust.training.loop import Training
from skdeepclust.training.stage import AutoEpochs, Rate, Stage, count_batches

__all__ = [
    "SINGLE",
    "AutoEpochs",
    "Batches",
    "Checkpoint",
    "Group",
    "History",
    "InputSpec",
    "Observer",
    "Rate",
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
    "repeatable",
    "resolve_device",
    "telling_memory",
    "without_autocast",
]
