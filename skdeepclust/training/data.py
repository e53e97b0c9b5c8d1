"""Arrays and tensors in, batches on a device out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

INFERENCE_ROWS = 512
_FEW_ROWS, _LARGE = 256, 4096  # of samples with more values than this


@dataclass(frozen=True)
class InputSpec:
    """The shape of one sample and how its values are brought to unit scale.

    Parameters
    ----------
    shape : tuple of int
        ``(n_features,)`` for a table, ``(channels, height, width)`` for images.
    offset : ndarray
        Subtracted; one value, or one per column of a table.
    scale : float
        Then divided by; one value for all columns, which keeps the distances
        between rows in proportion.
    """

    shape: tuple[int, ...]
    offset: NDArray[np.float64]
    scale: float

    @property
    def is_image(self) -> bool:
        """Whether samples are images."""
        return len(self.shape) == 3

    @classmethod
    def from_data(cls, X: NDArray[Any], shape: tuple[int, ...]) -> "InputSpec":
        """Learn offset and scale from the training data.

        Images of type uint8 are divided by 255; images of floats are left alone
        inside [0, 1] and otherwise mapped to it from their smallest and largest
        value. The columns of a table are centred and divided by the root of
        their mean variance.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            The validated training data, images flattened.
        shape : tuple of int
            The shape of one sample.

        Returns
        -------
        InputSpec
            What prepares these data, and new ones.

        Raises
        ------
        ValueError
            If a value lies beyond the range of float32.
        """
        if len(shape) == 3:
            if X.dtype == np.uint8:
                return cls(shape, np.zeros(1), 255.0)
            low, high = float(X.min()), float(X.max())
            _check_range(max(abs(low), abs(high)))
            if low >= 0.0 and high <= 1.0:
                return cls(shape, np.zeros(1), 1.0)
            return cls(shape, np.array([low]), (high - low) or 1.0)
        _check_range(max(abs(float(X.min())), abs(float(X.max()))))
        mean = X.mean(axis=0, dtype=np.float64)
        largest = float(np.abs(X - mean).max())
        if largest == 0.0:
            return cls(shape, mean, 1.0)
        # Divided first: the square of a large float32 value would overflow.
        deviation = X.std(axis=0, dtype=np.float64) / largest
        return cls(shape, mean, largest * float(np.sqrt(np.mean(deviation**2))))

    def store(self, X: NDArray[Any]) -> Tensor:
        """Return `X` as the tensor that stays resident: uint8, or ready float32.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Validated data.

        Returns
        -------
        Tensor of shape (n_samples, *shape)
            On the CPU.
        """
        if X.dtype != np.uint8:
            _check_range(max(abs(float(X.min())), abs(float(X.max()))))
            X = ((X - self.offset) / self.scale).astype(np.float32)
        else:
            X = X.copy() if not X.flags.writeable else X
        return torch.from_numpy(np.ascontiguousarray(X)).reshape(-1, *self.shape)


def _check_range(largest: float) -> None:
    if largest > float(np.finfo(np.float32).max):
        raise ValueError(
            f"X contains the value {largest:.3g} (in magnitude), beyond the range of "
            "float32, in which the network computes; scale X first, for instance "
            "with sklearn.preprocessing.StandardScaler."
        )


class Batches:
    """Samples that stay on a device, taken by index.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Validated data, images flattened.
    spec : InputSpec
        How they are shaped and scaled.
    device : torch.device
        Where they stay.
    """

    def __init__(self, X: NDArray[Any], spec: InputSpec, device: torch.device) -> None:
        self.spec = spec
        self.data = spec.store(X).to(device)
        self._offset = torch.as_tensor(
            spec.offset, dtype=torch.float32, device=device
        ).reshape(-1, *[1] * (len(spec.shape) - 1))

    def __len__(self) -> int:
        return len(self.data)

    def take(self, index: Tensor) -> Tensor:
        """Return the samples at `index`, ready for the network.

        Parameters
        ----------
        index : Tensor of shape (batch,)
            Integers on the device.

        Returns
        -------
        Tensor of shape (batch, *shape)
            float32.
        """
        return self._ready(self.data.index_select(0, index))

    def map(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply `function` to all samples without gradients.

        All batches have one size, to which the last one is padded: in float32
        the result of a sample depends, in the last digit, on how many rows are
        multiplied at once, and here it must not.

        Parameters
        ----------
        function : callable
            Maps a batch to a tensor with one row per sample.

        Returns
        -------
        Tensor of shape (n_samples, ...)
            On the device.
        """
        n_rows = INFERENCE_ROWS if self.data[0].numel() <= _LARGE else _FEW_ROWS
        results = []
        with torch.no_grad():
            for part in self.data.split(n_rows):
                batch = self._ready(part)
                if len(batch) < n_rows:
                    padding = batch.new_zeros(n_rows - len(batch), *batch.shape[1:])
                    batch = torch.cat([batch, padding])
                results.append(function(batch)[: len(part)])
        return torch.cat(results)

    def _ready(self, batch: Tensor) -> Tensor:
        if batch.dtype != torch.uint8:
            return batch
        return (batch.to(torch.float32) - self._offset) / self.spec.scale
