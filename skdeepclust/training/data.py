"""Arrays and tensors in, batches on a device out."""

import math
from collections.abc import Callable
from copy import copy
from dataclasses import InitVar, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from skdeepclust._utils.inputs import is_on_disk
from skdeepclust._utils.units import Unit, parts_of
from skdeepclust.training.device import without_autocast
from skdeepclust.training.distributed import SINGLE, Group

_MOST_ROWS = 512  # of a block that passes a network in prediction
_VALUES, _VALUES_FAST = 2**21, 2**24  # of its input: on a CPU, and elsewhere
_MAX_SIDE = 32  # of images that are looked at as rows
_LARGEST = float(np.finfo(np.float32).max)

Shape = tuple[int, ...]  # (n_features,) or (channels, height, width)


@dataclass(frozen=True)
class InputSpec:
    """The shape of one sample, and how its values are brought to unit scale."""

    shape: Shape
    offset: NDArray[np.float64]  # Subtracted: one value, or one per column.
    scale: float  # Then divided by: one value keeps distances in proportion.
    unit: Unit | None = None  # Of images.
    n_dims: int = 2  # Of the array that was fitted.

    @property
    def is_image(self) -> bool:
        """Whether samples are images."""
        return len(self.shape) == 3

    @classmethod
    def from_data(cls, X: NDArray[Any], shape: Shape, n_dims: int = 2) -> "InputSpec":
        """Learn from training data, images as rows, how to map images to [0, 1].

        Tables are centered and divided by the root of their mean variance.
        """
        if len(shape) == 3:
            unit = Unit.of(X)
            low, high = unit.low, unit.high
            _check_range(max(abs(low), abs(high)))
            if X.dtype == np.uint8:
                low, high = 0.0, 255.0
            elif low >= 0.0 and high <= 1.0:
                low, high = 0.0, 1.0
            return cls(shape, np.array([low]), (high - low) or 1.0, unit, n_dims)
        _check_range(_magnitude(X))
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
        """Return rows as a tensor (n, *shape): uint8 as it is, or scaled float32."""
        is_bytes = X.dtype == np.uint8
        if not is_bytes:
            _check_range(_magnitude(X))
        is_unit = self.scale == 1.0 and not self.offset.any()
        if not is_bytes and not (X.dtype == np.float32 and is_unit):
            blocks, X = parts_of(X), np.empty(X.shape, np.float32)
            for rows, scaled in zip(blocks, parts_of(X), strict=True):
                values = (rows - self.offset) / self.scale
                largest = _magnitude(values)
                if not largest <= _LARGEST:
                    raise ValueError(
                        f"X has values {largest:.3g} times the scale of the fitted "
                        "data, beyond the range of float32, in which the network "
                        "computes: scale X as the fitted data."
                    )
                scaled[:] = values
        elif not X.flags.writeable:
            X = np.array(X)
        return torch.from_numpy(np.ascontiguousarray(X)).reshape(-1, *self.shape)


def _magnitude(values: NDArray[Any]) -> float:
    return max(abs(float(values.min())), abs(float(values.max())))


def _check_range(largest: float) -> None:
    if largest > _LARGEST:
        raise ValueError(
            f"X contains the value {largest:.3g} (in magnitude), beyond the range of "
            "float32, in which the network computes: scale X first, for instance "
            "with sklearn.preprocessing.StandardScaler."
        )


def block_rows(
    n_samples: int, shape: Shape, batch_size: int, device: torch.device
) -> int:
    """Return how many samples pass a network at once when nothing is trained."""
    # A small batch size says that there is little memory.
    values = _VALUES if device.type == "cpu" else _VALUES_FAST
    most = min(_MOST_ROWS, 2 * batch_size, max(1, values // math.prod(shape)))
    few: int = 1 << max(0, n_samples - 1).bit_length()
    return min(most, few)


@dataclass(eq=False)
class Batches:
    """Samples that stay on a device, taken by index; all processes have all of them."""

    X: InitVar[NDArray[Any]]  # Validated rows. A file on disk is read batch by batch.
    spec: InputSpec
    device: torch.device
    group: Group = SINGLE
    batch_size: int = 256  # That of training.

    def __post_init__(self, X: NDArray[Any]) -> None:
        self.dtype = X.dtype
        spec, device, stays = self.spec, self.device, is_on_disk(X)
        self.data: Tensor | NDArray[Any] = X if stays else spec.store(X).to(device)
        offset = torch.as_tensor(spec.offset, dtype=torch.float32, device=device)
        self._offset = offset.reshape(-1, *[1] * (len(spec.shape) - 1))

    def __len__(self) -> int:
        return len(self.data)

    def alone(self) -> "Batches":
        """Return the same samples for one process, whose `map` waits for no other."""
        batches = copy(self)
        batches.group = SINGLE
        return batches

    def take(self, index: Tensor | slice) -> Tensor:
        """Return the samples at `index` as float32 (n, *shape), for the network."""
        data = self.data
        if not isinstance(data, Tensor):
            part = data[index.cpu().numpy() if isinstance(index, Tensor) else index]
            batch = self.spec.store(part.reshape(len(part), -1)).to(self.device)
        elif isinstance(index, slice):
            batch = data[index]
        else:
            batch = data.index_select(0, index)
        if batch.dtype == torch.uint8:
            return (batch.to(torch.float32) - self._offset) / self.spec.scale
        return batch

    def map(
        self, function: Callable[[Tensor], Tensor], of: Tensor | None = None
    ) -> Tensor:
        """Apply `function` to all samples, or to rows `of` them, by blocks.

        There are no gradients. All blocks have one size, see `block_rows`, to which
        the last one is padded by repeating its rows: in float32 the result of a sample
        depends, in the last decimal, on how many rows are multiplied at once.
        """
        n = len(self.data) if of is None else len(of)
        n_rows = self._block_rows(n)
        starts = range(0, n, n_rows)
        group = self.group if len(starts) >= self.group.n_processes else SINGLE
        own = group.share(starts)
        with torch.no_grad(), without_autocast(self.device):
            for i, start in enumerate(own):
                block = slice(start, start + n_rows)
                batch = self.take(block) if of is None else of[block]
                repeated = torch.arange(n_rows, device=batch.device) % len(batch)
                # A copy in any case: a module may change its input in place.
                result = function(batch[repeated])
                if i == 0:
                    # One piece of memory: small ones, each kept, would lie between
                    # what is freed, which then fits no later batch.
                    results = result.new_empty((len(own), *result.shape))
                results[i] = result
        whole = group.gather(results, len(starts))
        return whole.flatten(0, 1)[:n]

    def rows(self, places: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the samples at `places` as rows, of at most 32 x 32 pixels."""
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

    def _block_rows(self, n_samples: int) -> int:
        return block_rows(n_samples, self.spec.shape, self.batch_size, self.device)
