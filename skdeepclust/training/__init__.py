"""Training that knows no method: batches, the loop over stages, history."""

from skdeepclust.training.data import Batches, InputSpec
from skdeepclust.training.device import available_devices, resolve_device
from skdeepclust.training.events import History
from skdeepclust.training.inputs import as_rows, sample_shape
from skdeepclust.training.loop import Stage, run_stages

__all__ = [
    "Batches",
    "History",
    "InputSpec",
    "Stage",
    "as_rows",
    "available_devices",
    "resolve_device",
    "run_stages",
    "sample_shape",
]
