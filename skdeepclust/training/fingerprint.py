"""What tells one fit from another: hashes of its data and its parameters."""

import hashlib
from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

import joblib
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from torch import nn

from skdeepclust._utils.units import parts_of
from skdeepclust.networks.packing import packed


def fingerprint(
    parameters: Mapping[str, Any], X: NDArray[Any], shape: tuple[int, ...]
) -> dict[str, str]:
    """Return a hash of each parameter, and of the data as ``"X"``.

    Equal for equal values in all processes. Functions are told apart by their names.
    """
    digest = hashlib.sha256()
    for part in parts_of(X):
        # A part is copied where its memory is not in the order of its axes.
        digest.update(part.tobytes())
    hashes = {name: _hashed(value) for name, value in parameters.items()}
    return {**hashes, "X": _hashed([digest.hexdigest(), X.dtype.str, *shape])}


def _hashed(value: Any) -> str:
    plain = _plain(value)
    try:
        found: str = joblib.hash(plain, coerce_mmap=True)
    except Exception:
        # What cannot be pickled, such as a lambda, has a name at least.
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
    return value


def _name_of(value: Any) -> str:
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
