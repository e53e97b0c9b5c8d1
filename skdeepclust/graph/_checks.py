"""What the graphs share: checks of arguments, and the precision they compute in."""

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from skdeepclust.losses._checks import _check_rows


def _check_z(z: Tensor) -> Tensor:
    """Rows that are finite, without gradient."""
    _check_rows("z", z)
    if not z.isfinite().all():
        row = int((~z.isfinite()).any(dim=1).nonzero()[0])
        raise ValueError(
            f"z must be finite; got NaN or infinity in row {row}: drop such rows or "
            f"train with a smaller learning rate."
        )
    return z.detach()


def _check_count(name: str, value: Any, least: int = 1) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(
            f"{name} must be an integer of at least {least}; got {value!r}: pass "
            f"{least} or more."
        )
    return int(value)


def _check_n_neighbors(n_neighbors: int, n: int) -> int:
    n_neighbors = _check_count("n_neighbors", n_neighbors)
    if n_neighbors >= n:
        raise ValueError(
            f"n_neighbors must be smaller than the number of samples; got "
            f"n_neighbors={n_neighbors} for {n} samples: pass at most {n - 1}, or more "
            f"samples."
        )
    return n_neighbors


def _check_choice(name: str, value: str, allowed: Iterable[str]) -> None:
    names = list(allowed)
    if value not in names:
        raise ValueError(f"{name} must be one of {names}; got {value!r}: pass one.")


def _double(x: Tensor) -> Tensor:
    """In float64, or in float32 on the one kind of device that has none."""
    return x.to(torch.float32 if x.device.type == "mps" else torch.float64)
