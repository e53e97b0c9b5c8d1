"""Arrays and tensors in, batches on a device out."""

import math
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from skdeepclust.training.device import without_autocast
from skdeepclust.training.distributed import ALONE, Alone

INFERENCE_ROWS = 512
_FEW_ROWS, _LARGE = 256, 4096  # of samples with more values than this
_MAX_SIDE = 32  # of images that are looked at as rows
_BLOCK = 2**23  # values that are brought to float64 at once
_LARGEST = float(np.finfo(np.float32).max)
_NO_UNIT = 16.0  # what noise brings no image to whose black is 0 and white 1


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
    largest_byte : int, default=0
        The largest value of images of type uint8; 0 for all other data.
    """

    shape: tuple[int, ...]
    offset: NDArray[np.float64]
    scale: float
    largest_byte: int = 0

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
                return cls(shape, np.zeros(1), 255.0, int(X.max()))
            low, high = float(X.min()), float(X.max())
            _check_range(max(abs(low), abs(high)))
            if low >= 0.0 and high <= 1.0:
                return cls(shape, np.zeros(1), 1.0)
            return cls(shape, np.array([low]), (high - low) or 1.0)
        _check_range(max(abs(float(X.min())), abs(float(X.max()))))
        mean = sum(rows.sum(axis=0, dtype=np.float64) for rows in _blocks(X)) / len(X)
        largest = max(float(np.abs(rows - mean).max()) for rows in _blocks(X))
        if largest == 0.0:
            return cls(shape, mean, 1.0)
        # Divided first: the square of a large float32 value would overflow.
        blocks = ((rows - mean) / largest for rows in _blocks(X))
        variance = sum(np.square(rows).sum(axis=0) for rows in blocks) / len(X)
        scale = largest * float(np.sqrt(np.mean(variance)))
        # Values next to the smallest float64 have a scale that rounds to zero.
        return cls(shape, mean, scale or 1.0)

    def store(self, X: NDArray[Any]) -> Tensor:
        """Return `X` as the tensor to take batches from: uint8, or ready float32.

        What is ready as it is, is not copied.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Validated data.

        Returns
        -------
        Tensor of shape (n_samples, *shape)
            On the CPU.

        Raises
        ------
        ValueError
            If a value lies beyond the range of float32.
        """
        ready = X.dtype == np.uint8
        if not ready:
            _check_range(max(abs(float(X.min())), abs(float(X.max()))))
            ready = X.dtype == np.float32 and self._is_unit
        if not ready:
            blocks, X = _blocks(X), np.empty(X.shape, np.float32)
            for rows, scaled in zip(blocks, _blocks(X), strict=True):
                values = (rows - self.offset) / self.scale
                _check_scaled(values)
                scaled[:] = values
        elif not X.flags.writeable:
            X = X.copy()
        return torch.from_numpy(np.ascontiguousarray(X)).reshape(-1, *self.shape)

    def check_unit(self, X: NDArray[Any]) -> None:
        """Raise if new images go up to 255 and the fitted ones to 1, or reversed.

        1 is black to one of the two and white to the other; 0 is black to both. What
        goes further than 1, by noise or by interpolation, is left alone.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            All of what is given at once: a single image may be nearly black.

        Raises
        ------
        ValueError
            If they are.
        """
        if not self.is_image:
            return
        kind = "type uint8" if X.dtype == np.uint8 else "floats"
        largest = float(X.max())
        if self._is_unit and largest > (1 if X.dtype == np.uint8 else _NO_UNIT):
            raise ValueError(
                f"X holds images of {kind} with values up to {largest:.3g}, but those "
                "that were fitted were floats within [0, 1]: divide X by 255."
            )
        if X.dtype != np.uint8 and self.largest_byte > 1 and 0 < largest <= 1:
            raise ValueError(
                f"X holds images of floats with values up to {largest:.3g}, but those "
                f"that were fitted were of type uint8 and went up to "
                f"{self.largest_byte}: multiply X by 255 or, if it is that dark, cast "
                "it to uint8."
            )

    @property
    def _is_unit(self) -> bool:
        return self.scale == 1.0 and not self.offset.any()


def _blocks(X: NDArray[Any]) -> Iterator[NDArray[Any]]:
    step = max(1, _BLOCK // X.shape[1])
    return (X[start : start + step] for start in range(0, len(X), step))


def _is_on_disk(X: Any) -> bool:
    """Say whether an array is a view of a memory-mapped file."""
    while isinstance(X, np.ndarray):
        if isinstance(X, np.memmap):
            return True
        X = X.base
    return False


def _check_scaled(values: NDArray[Any]) -> None:
    largest = max(abs(float(values.min())), abs(float(values.max())))
    if not largest <= _LARGEST:
        raise ValueError(
            f"X lies {largest:.3g} times the scale of the data that were fitted away "
            "from them, beyond the range of float32, in which the network computes; "
            "scale X as those were."
        )


def _check_range(largest: float) -> None:
    if largest > _LARGEST:
        raise ValueError(
            f"X contains the value {largest:.3g} (in magnitude), beyond the range of "
            "float32, in which the network computes; scale X first, for instance "
            "with sklearn.preprocessing.StandardScaler."
        )


class Batches:
    """Samples that stay on a device, or on disk, taken by index.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Validated data, images flattened. A memory-mapped file is read batch by batch.
    spec : InputSpec
        How they are shaped and scaled.
    device : torch.device
        Where they are computed with.
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
        self.device = device
        self.data: Tensor | NDArray[Any] = (
            X if _is_on_disk(X) else spec.store(X).to(device)
        )
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
        if isinstance(self.data, Tensor):
            return self._ready(self.data.index_select(0, index))
        return self._read(index.cpu().numpy())

    def map(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply `function` to all samples without gradients.

        All batches have one size, to which the last one is padded by repeating its
        rows: in float32 the result of a sample depends, in the last digit, on how many
        rows are multiplied at once, and here it must not.

        Parameters
        ----------
        function : callable
            Maps a batch to a tensor with one row per sample.

        Returns
        -------
        Tensor of shape (n_samples, ...)
            On the device.
        """
        large = math.prod(self.spec.shape) > _LARGE
        n_rows = _FEW_ROWS if large else INFERENCE_ROWS
        starts = range(0, len(self.data), n_rows)
        group = self.group if len(starts) >= self.group.n_processes else ALONE
        own = group.share(starts)
        with torch.no_grad(), without_autocast(self.device):
            for i, start in enumerate(own):
                place = slice(start, start + n_rows)
                if isinstance(self.data, Tensor):
                    batch = self._ready(self.data[place])
                else:
                    batch = self._read(place)
                repeated = torch.arange(n_rows, device=batch.device) % len(batch)
                # A copy in any case: a module may change its input in place.
                result = function(batch[repeated])
                if i == 0:
                    # One piece of memory: small ones, each kept, would lie between
                    # what is freed, which then fits no later batch.
                    results = result.new_empty((len(own), *result.shape))
                results[i] = result
        whole = group.gather(results, len(starts))
        return whole.flatten(0, 1)[: len(self.data)]

    def rows(self, places: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return samples as rows on the host, large images made smaller.

        Parameters
        ----------
        places : ndarray of shape (n_rows,)
            Which samples.

        Returns
        -------
        ndarray of shape (n_rows, n_values)
            Of images, of at most 32 x 32 pixels.
        """
        parts = []
        for start in range(0, len(places), INFERENCE_ROWS):
            index = torch.from_numpy(places[start : start + INFERENCE_ROWS])
            x = self.take(index.to(self.device))
            if self.spec.is_image and max(x.shape[2:]) > _MAX_SIDE:
                height, width = (min(side, _MAX_SIDE) for side in x.shape[2:])
                x = adaptive_avg_pool2d(x, (height, width))
            parts.append(x.flatten(1).cpu().numpy())
        return np.concatenate(parts)

    def _read(self, place: Any) -> Tensor:
        assert not isinstance(self.data, Tensor)
        return self._ready(self.spec.store(self.data[place]).to(self.device))

    def _ready(self, batch: Tensor) -> Tensor:
        if batch.dtype != torch.uint8:
            return batch
        return (batch.to(torch.float32) - self._offset) / self.spec.scale
