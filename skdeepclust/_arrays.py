"""Tensors as arrays, and what arrays of labels lack."""

import cmath
from numbers import Number
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

_NEVER_NONE = {str, int, bool}


def as_array(name: str, value: torch.Tensor) -> NDArray[Any]:
    """Bring a tensor to NumPy.

    Parameters
    ----------
    name : str
        What messages call it.
    value : Tensor
        It may need a gradient, live on any device, and be of any type.

    Returns
    -------
    ndarray
        Types that NumPy does not have become float32.

    Raises
    ------
    TypeError
        If it has no dense values.
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
    """Say which labels are none: NaN, infinity, None, NaT or what pandas has for it.

    Parameters
    ----------
    column : ndarray of shape (n_samples,)
        Labels.

    Returns
    -------
    ndarray of shape (n_samples,)
        Of booleans.
    """
    if column.dtype.kind in "fc":
        return ~np.isfinite(column)
    if column.dtype.kind in "mM":
        return np.isnat(column)
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
            return not cmath.isfinite(value)  # type: ignore[arg-type]
        return bool(value != value)
    except (ArithmeticError, TypeError, ValueError):
        # An integer that no float can hold, or an array, which is not one label.
        return False


def is_on_disk(X: Any) -> bool:
    """Say whether an array is a view of a memory-mapped file.

    Parameters
    ----------
    X : object
        Any.

    Returns
    -------
    bool
        Not of a copy, which is in memory.
    """
    while isinstance(X, np.ndarray):
        if isinstance(X, np.memmap):
            return getattr(X, "_mmap", None) is not None
        X = X.base
    return False
