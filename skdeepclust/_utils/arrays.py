"""Tensors as arrays, labels that are missing, and arrays that lie on disk."""

import cmath
from numbers import Number
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

_NEVER_NONE = {str, int, bool}


def as_array(name: str, value: torch.Tensor) -> NDArray[Any]:
    """Bring any dense tensor, called `name` in messages, to NumPy.

    Types that NumPy does not have become float32.
    """
    value = value.detach()
    if value.layout != torch.strided or value.is_meta:
        raise TypeError(
            f"{name} is a tensor of layout {value.layout} on device {value.device}, "
            f"which holds no dense values; pass {name}.to_dense(), or a tensor that is "
            "not on 'meta'."
        )
    is_narrow = value.is_floating_point() and value.element_size() < 4
    if is_narrow and value.dtype != torch.float16:
        # NumPy has no bfloat16, and no float of 8 bits.
        value = value.float()
    array: NDArray[Any] = value.cpu().numpy()
    return array


def is_missing(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Say which labels (n,) are none: NaN, infinity, None, NaT or pandas.NA."""
    if column.dtype.kind in "fc":
        return np.asarray(~np.isfinite(column))
    if column.dtype.kind in "mM":
        return np.asarray(np.isnat(column))
    if column.dtype.kind not in "OT":
        return np.zeros(len(column), dtype=bool)
    # NumPy's strings of any length say themselves what stands for a missing one.
    na = getattr(column.dtype, "na_object", None)
    labels = column.tolist()
    found = [v is na or (type(v) not in _NEVER_NONE and _is_none(v)) for v in labels]
    return np.array(found, dtype=bool)


def _is_none(value: Any) -> bool:
    if value is None or value is np.ma.masked or type(value).__name__ == "NAType":
        # pandas.NA is neither equal to itself nor different.
        return True
    try:
        if isinstance(value, Number):
            # Numbers need not be complex to mypy; what is not one raises a TypeError.
            return not cmath.isfinite(value)  # type: ignore[arg-type]
        return bool(value != value)
    except (ArithmeticError, TypeError, ValueError):
        # An integer that no float can hold, or an array, which is not one label.
        return False


def is_on_disk(X: Any) -> bool:
    """Say whether an array is a view of a memory-mapped file, not a copy of it."""
    while isinstance(X, np.ndarray):
        if isinstance(X, np.memmap):
            return getattr(X, "_mmap", None) is not None
        X = X.base
    return False
