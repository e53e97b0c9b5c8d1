"""Objects as plain data: what a state may hold, in a pickle or in a file."""

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from skdeepclust.views import ImageViews, TableViews

_VIEWS = {views.__name__: views for views in (ImageViews, TableViews)}
_SPARSE = {
    f"{name}_{kind}": getattr(sp, f"{name}_{kind}")
    for name in ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
    for kind in ("array", "matrix")
}


def plain(value: Any) -> Any:
    """Take an object apart, down to arrays, numbers and strings.

    Parameters
    ----------
    value : object
        Dicts, lists and tuples are searched through. Tensors, sparse matrices,
        devices, paths, generators of NumPy and this package's views are taken apart.

    Returns
    -------
    object
        In place of each of these a dict with one key, which begins with "$". What is
        not known is left as it is.
    """
    if value is None or isinstance(value, str | int | float | np.ndarray):
        return value  # first, since a history is long
    if sp.issparse(value):  # before dicts, which some are
        return {"$sparse": _sparse_parts(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [plain(item) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, torch.Tensor):
        return {"$tensor": value.detach().cpu().numpy()}
    if isinstance(value, torch.device):
        return {"$device": str(value)}
    if isinstance(value, os.PathLike):
        return {"$path": os.fspath(value)}
    if isinstance(value, np.random.RandomState):
        return {"$random_state": value.get_state(legacy=False)}
    if type(value) in _VIEWS.values():
        return {"$views": [type(value).__name__, asdict(value)]}
    return value


def rich(value: Any) -> Any:
    """Put together what `plain` has taken apart.

    Parameters
    ----------
    value : object
        From `plain`.

    Returns
    -------
    object
        As it was; tensors are on the CPU.
    """
    if sp.issparse(value):
        return value  # put together before; some kinds are dicts
    if isinstance(value, dict):
        if len(value) == 1:
            ((tag, content),) = value.items()
            if tag in _MAKERS:
                return _MAKERS[tag](content)
        return {key: rich(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [rich(item) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    return value


def _sparse_parts(matrix: Any) -> dict[str, Any]:
    kind = f"{matrix.format}_{'array' if isinstance(matrix, sp.sparray) else 'matrix'}"
    if matrix.format == "csr":
        # As they are: sums of a row must not be taken in another order.
        names = ("data", "indices", "indptr")
        parts = {name: getattr(matrix, name) for name in names}
    else:
        coo = matrix.tocoo()
        parts = {"data": coo.data, "row": coo.row, "col": coo.col}
    return {"kind": kind, "shape": list(matrix.shape), **parts}


def _make_sparse(parts: dict[str, Any]) -> Any:
    make, shape = _SPARSE[parts["kind"]], tuple(parts["shape"])
    if "indptr" in parts:
        matrix = make((parts["data"], parts["indices"], parts["indptr"]), shape=shape)
        # Indices that point outside would read, and write, memory of others.
        matrix.check_format(full_check=True)
        return matrix
    coo = sp.coo_matrix((parts["data"], (parts["row"], parts["col"])), shape=shape)
    return make(coo)


def _make_tensor(array: np.ndarray) -> torch.Tensor:
    # Cloned into torch's own memory, which is aligned: fast kernels sum in an order
    # that may depend on it.
    return torch.from_numpy(array).clone()


def _make_random_state(state: dict[str, Any]) -> np.random.RandomState:
    random_state = np.random.RandomState()
    random_state.set_state(state)
    return random_state


_MAKERS: dict[str, Callable[[Any], Any]] = {
    "$tensor": _make_tensor,
    "$device": torch.device,
    "$path": Path,
    "$random_state": _make_random_state,
    "$views": lambda content: _VIEWS[content[0]](**rich(content[1])),
    "$sparse": _make_sparse,
}
