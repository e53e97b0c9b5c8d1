"""Arrays and tensors in, batches on a device out."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skdeepclust.training.distributed import ALONE, Alone

INFERENCE_ROWS = 256
_LARGEST = float(np.finfo(np.float32).max)


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
        scale = largest * float(np.sqrt(np.mean(deviation**2)))
        # Values next to the smallest float64 have a scale that rounds to zero.
        return cls(shape, mean, scale or 1.0)

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
            X = (X - self.offset) / self.scale
            largest = max(abs(float(X.min())), abs(float(X.max())))
            if not largest <= _LARGEST:
                raise ValueError(
                    f"X lies {largest:.3g} times the scale of the data that were "
                    "fitted away from them, beyond the range of float32, in which the "
                    "network computes; scale X as those were."
                )
            X = X.astype(np.float32)
        else:
            X = X.copy() if not X.flags.writeable else X
        return torch.from_numpy(np.ascontiguousarray(X)).reshape(-1, *self.shape)


def _check_range(largest: float) -> None:
    if largest > _LARGEST:
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
    group : Alone, default=ALONE
        The processes that train together, which all have all samples.
    """

    def __init__(
        self,
        X: NDArray[Any],
        spec: InputSpec,
        device: torch.device,
        group: Alone = ALONE,
    ) -> None:
        self.spec = spec
        self.group = group
        self.data = spec.store(X).to(device)
        self._offset = torch.as_tensor(
            spec.offset, dtype=torch.float32, device=device
        ).reshape(-1, *[1] * (len(spec.shape) - 1))

    def __len__(self) -> int:
        return len(self.data)

    def alone(self) -> "Batches":
        """Return the same samples, for one process.

        Returns
        -------
        Batches
            Whose `map` does not wait for others.
        """
        batches = copy(self)
        batches.group = ALONE
        return batches

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

        Every batch is padded to one fixed size: in float32 the result of a
        sample depends, in the last digit, on how many rows are multiplied at
        once, and here it must not.

        Parameters
        ----------
        function : callable
            Maps a batch to a tensor with one row per sample.

        Returns
        -------
        Tensor of shape (n_samples, ...)
            On the device.
        """
        results = []
        starts = range(0, len(self.data), INFERENCE_ROWS)
        group = self.group if len(starts) >= self.group.n_processes else ALONE
        with torch.no_grad():
            for start in group.share(starts):
                batch = self._ready(self.data[start : start + INFERENCE_ROWS])
                padded = batch.new_zeros(INFERENCE_ROWS, *batch.shape[1:])
                padded[: len(batch)] = batch
                results.append(function(padded))
        whole = group.gather(torch.stack(results), len(starts))
        return whole.flatten(0, 1)[: len(self.data)]

    def _ready(self, batch: Tensor) -> Tensor:
        if batch.dtype != torch.uint8:
            return batch
        return (batch.to(torch.float32) - self._offset) / self.spec.scale
