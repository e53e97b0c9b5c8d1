"""What tells one fit from another: its data and its parameters, as short strings."""

import hashlib
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import nn

from skdeepclust._arrays import as_array

_ROWS = 4096
_SHOWN = 12  # digits of a hash


def fingerprint(
    parameters: Mapping[str, Any], X: NDArray[Any], shape: tuple[int, ...]
) -> dict[str, str]:
    """Describe a fit.

    Parameters
    ----------
    parameters : mapping of str to object
        Whatever changes what is learnt.
    X : ndarray of shape (n_samples, n_features)
        The validated training data.
    shape : tuple of int
        The shape of one sample.

    Returns
    -------
    dict of str to str
        A description of each parameter, and of ``"X"``. Modules and arrays are told
        apart by hashes of what they hold, functions by their names alone.
    """
    described = {name: describe(value) for name, value in parameters.items()}
    return {**described, "X": f"{len(X)} samples of shape {shape}, {_hashed(X)}"}


def describe(value: Any) -> str:
    """Describe the value of a parameter.

    Parameters
    ----------
    value : object
        The value.

    Returns
    -------
    str
        Equal for equal values, in this process and in others.
    """
    if isinstance(value, nn.Module):
        weights = value.state_dict().items()
        inside = "".join(f"{name} {_of_state(part)}" for name, part in weights)
        return f"{_name_of(type(value))}, {_digest(_shown(value) + inside)}"
    if sp.issparse(value):
        parts = sp.csr_matrix(value)
        inside = "".join(map(_hashed, (parts.data, parts.indices, parts.indptr)))
        return f"sparse, of shape {value.shape}, {_digest(inside)}"
    if isinstance(value, np.random.RandomState):
        state = value.get_state(legacy=False)
        return f"RandomState, {_digest(repr([*_flat(state)]))}"
    if isinstance(value, np.ndarray | np.generic):
        return describe(value.tolist())
    if isinstance(value, partial):
        keywords = [[name, value.keywords[name]] for name in sorted(value.keywords)]
        return f"partial of {describe([value.func, *value.args, keywords])}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(describe, value))}]"
    return _shown(value)


def _of_state(part: Any) -> str:
    if not isinstance(part, torch.Tensor):
        return describe(part)  # of get_extra_state
    return f"{part.dtype} {_hashed(as_array('the state', part))}"


def _shown(value: Any) -> str:
    text = repr(value)
    if " at 0x" not in text:
        return text
    # An address is another one in each process.
    return _name_of(value if hasattr(value, "__qualname__") else type(value))


def _name_of(function: Any) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _flat(state: Any) -> Any:
    if isinstance(state, dict):
        for item in state.values():
            yield from _flat(item)
    else:
        yield state.tolist() if isinstance(state, np.ndarray) else state


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:_SHOWN]


def _hashed(array: NDArray[Any]) -> str:
    sha256 = hashlib.sha256(repr(array.shape).encode())
    rows = np.atleast_1d(array)
    for start in range(0, len(rows), _ROWS):
        # In parts, since each is copied where its memory is not in order.
        sha256.update(np.ascontiguousarray(rows[start : start + _ROWS]).tobytes())
    return f"{array.dtype} {sha256.hexdigest()[:_SHOWN]}"
