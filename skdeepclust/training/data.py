"""Arrays and tensors in, batches on a device out."""

import math
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from skdeepclust._arrays import is_on_disk
from skdeepclust.training.device import without_autocast
from skdeepclust.training.distributed import ALONE, Alone
from skdeepclust.training.units import Unit, parts_of

_MOST_ROWS = 512  # of a block that passes a network in prediction
_VALUES, _VALUES_FAST = 2**21, 2**24  # of its input: on a CPU, and elsewhere
_MAX_SIDE = 32  # of images that are looked at as rows
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
    unit : Unit or None
        Of images.
    n_dims : int, default=2
        Dimensions of the array that was fitted.
    """

    shape: tuple[int, ...]
    offset: NDArray[np.float64]
    scale: float
    unit: Unit | None = None
    n_dims: int = 2

    @property
    def is_image(self) -> bool:
        """Whether samples are images."""
        return len(self.shape) == 3

    @classmethod
    def from_data(
        cls, X: NDArray[Any], shape: tuple[int, ...], n_dims: int = 2
    ) -> "InputSpec":
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
        n_dims : int, default=2
            Dimensions of the array that `X` was.

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
            unit = Unit.of(X)
            if X.dtype == np.uint8:
                return cls(shape, np.zeros(1), 255.0, unit, n_dims)
            low, high = unit.low, unit.high
            _check_range(max(abs(low), abs(high)))
            if low >= 0.0 and high <= 1.0:
                return cls(shape, np.zeros(1), 1.0, unit, n_dims)
            return cls(shape, np.array([low]), (high - low) or 1.0, unit, n_dims)
        _check_range(max(abs(float(X.min())), abs(float(X.max()))))
        mean = sum(rows.sum(axis=0, dtype=np.float64) for rows in parts_of(X)) / len(X)
        largest = max(float(np.abs(rows - mean).max()) for rows in parts_of(X))
        if largest == 0.0:
            return cls(shape, mean, 1.0)
        # Divided first: the square of a large float32 value would overflow.
        blocks = ((rows - mean) / largest for rows in parts_of(X))
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
            blocks, X = parts_of(X), np.empty(X.shape, np.float32)
            for rows, scaled in zip(blocks, parts_of(X), strict=True):
                values = (rows - self.offset) / self.scale
                _check_scaled(values)
                scaled[:] = values
        elif not X.flags.writeable:
            X = np.array(X)
        return torch.from_numpy(np.ascontiguousarray(X)).reshape(-1, *self.shape)

    @property
    def _is_unit(self) -> bool:
        return self.scale == 1.0 and not self.offset.any()


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


def block_rows(
    n_samples: int, shape: tuple[int, ...], batch_size: int, device: torch.device
) -> int:
    """Return how many samples pass a network at once when nothing is trained.

    Parameters
    ----------
    n_samples : int
        Samples there are.
    shape : tuple of int
        Of one sample.
    batch_size : int
        Of training, of which a step takes two views and more memory for each.
    device : torch.device
        Where they are computed with.

    Returns
    -------
    int
        512, or fewer of large samples and of small batches; for few samples the next
        power of 2.
    """
    values = _VALUES if device.type == "cpu" else _VALUES_FAST
    most = min(_MOST_ROWS, 2 * batch_size, max(1, values // math.prod(shape)))
    few: int = 1 << max(0, n_samples - 1).bit_length()
    return min(most, few)


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
    batch_size : int, default=256
        Of training, which says what memory there is.
    """

    def __init__(
        self,
        X: NDArray[Any],
        spec: InputSpec,
        device: torch.device,
        group: Alone = ALONE,
        batch_size: int = 256,
    ) -> None:
        self.spec = spec
        self.dtype = X.dtype
        self.batch_size = batch_size
        self.group = group
        self.device = device
        self.data: Tensor | NDArray[Any] = (
            X if is_on_disk(X) else spec.store(X).to(device)
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

        All blocks have one size, see `block_rows`, to which the last one is padded by
        repeating its rows: in float32 the result of a sample depends, in the last
        digit, on how many rows are multiplied at once.

        Parameters
        ----------
        function : callable
            Maps a batch to a tensor with one row per sample.

        Returns
        -------
        Tensor of shape (n_samples, ...)
            On the device.
        """
        n_rows = self._block_rows(len(self.data))
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
        n_rows = self._block_rows(len(places))
        for start in range(0, len(places), n_rows):
            index = torch.from_numpy(places[start : start + n_rows])
            x = self.take(index.to(self.device))
            if self.spec.is_image and max(x.shape[2:]) > _MAX_SIDE:
                height, width = (min(side, _MAX_SIDE) for side in x.shape[2:])
                x = adaptive_avg_pool2d(x, (height, width))
            parts.append(x.flatten(1).cpu().numpy())
        return np.concatenate(parts)

    def _read(self, place: Any) -> Tensor:
        assert not isinstance(self.data, Tensor)
        part = self.data[place]
        rows = part.reshape(len(part), -1)
        return self._ready(self.spec.store(rows).to(self.device))

    def _block_rows(self, n_samples: int) -> int:
        return block_rows(n_samples, self.spec.shape, self.batch_size, self.device)

    def _ready(self, batch: Tensor) -> Tensor:
        if batch.dtype != torch.uint8:
            return batch
        return (batch.to(torch.float32) - self._offset) / self.spec.scale
