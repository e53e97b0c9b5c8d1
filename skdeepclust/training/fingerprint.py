"""What tells one fit from another: hashes of its data and its parameters."""

import hashlib
from collections.abc import Mapping
from dis import get_instructions
from functools import partial
from inspect import isfunction
from os import PathLike, fspath
from types import CodeType, FunctionType
from typing import Any

import joblib
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from torch import nn

from skdeepclust._utils.units import parts_of
from skdeepclust.networks.packing import packed

_FIXED = (str, bytes, int, float, complex, tuple, type(None))


def fingerprint(
    parameters: Mapping[str, Any], X: NDArray[Any], shape: tuple[int, ...]
) -> dict[str, str]:
    """Return a hash of each parameter, and of the data as ``"X"``.

    Functions are told apart by their names and by what is written in them alone.
    """
    digest = hashlib.sha256()
    for part in parts_of(X):
        # A part is copied where its memory is not in the order of its axes.
        digest.update(part.tobytes())
    hashes = {name: _hashed(value) for name, value in parameters.items()}
    return {**hashes, "X": _hashed([digest.hexdigest(), X.dtype.str, *shape])}


def _hashed(value: Any) -> str:
    try:
        found: str = joblib.hash(_plain(value), coerce_mmap=True)
    except Exception:
        # What cannot be pickled, or is within itself, has a name at least.
        found = joblib.hash(_name_of(value))
    return found


def _plain(value: Any) -> Any:
    """Return what is hashed: equal numbers and sequences, whatever holds them."""
    if isinstance(value, nn.Module):
        return [_name_of(value), packed(value)]
    if isinstance(value, np.generic | np.ndarray) and value.ndim < 2:
        return value.tolist()
    if sp.issparse(value):
        csr = sp.csr_matrix(value)
        return [csr.shape, csr.data, csr.indices, csr.indptr]
    if isinstance(value, PathLike):
        return fspath(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, partial):
        keywords = sorted(value.keywords.items())
        return _plain([value.func, *value.args, *keywords])
    if isfunction(value):
        # A pickle would have the name alone, and all lambdas have one.
        defaults = [value.__defaults__, value.__kwdefaults__]
        return _plain([_name_of(value), value.__code__, *defaults, *_enclosed(value)])
    if isinstance(value, CodeType):
        return [value.co_code.hex(), value.co_names, _plain(value.co_consts)]
    return value


def _enclosed(function: FunctionType) -> list[Any]:
    """Return what a function finds around it, but for what changes with each call."""
    code = function.__code__
    steps = [step for step in get_instructions(code) if step.opname == "STORE_DEREF"]
    counted = {step.argval for step in steps}
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    found = [cell.cell_contents for name, cell in cells if name not in counted]
    # Lists and the like may change, too.
    return [part for part in found if isinstance(part, _FIXED) or callable(part)]


def _name_of(value: Any) -> str:
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
