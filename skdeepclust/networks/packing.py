"""Modules whose pickle has arrays in place of tensors: the same bytes everywhere."""

import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parameter import is_lazy


def packed(module: nn.Module) -> nn.Module:
    """Copy a module, with arrays in place of its tensors.

    The copy is to be pickled, hashed or deeply copied: the result has tensors again.
    """
    memo: dict[int, Any] = {}
    tensors = [*module.parameters(), *module.buffers()]
    for part in module.modules():
        if isinstance(part, torch.jit.ScriptModule):
            torch.jit.save(part, buffer := io.BytesIO())
            memo[id(part)] = _Packed(_unscripted, buffer.getvalue())
        else:
            tensors += [v for v in vars(part).values() if isinstance(v, Tensor)]
    for tensor in tensors:
        if is_lazy(tensor):
            continue  # without values
        # A copy, which has no gaps, in whichever layout it is.
        bare = tensor.detach().cpu().clone()
        # NumPy has no bfloat16; every one is a float32.
        known = bare.float() if bare.dtype == torch.bfloat16 else bare
        memo[id(tensor)] = _Packed(
            _unpacked,
            # Row by row, for the strides of an array are part of its hash.
            np.array(known.numpy(), order="C"),
            str(bare.dtype).removeprefix("torch."),
            bare.stride(),
            tensor.requires_grad if isinstance(tensor, nn.Parameter) else None,
        )
    # What the memo knows is taken from it, and not copied. Shared tensors stay so.
    return copy.deepcopy(module, memo)


class _Packed:
    """What is, copied or loaded, the result of a function of plain values."""

    def __init__(self, function: Callable[..., Any], *values: Any) -> None:
        self.reduced = function, values

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def _unpacked(
    array: NDArray[Any], dtype: str, strides: tuple[int, ...], trained: bool | None
) -> Tensor:
    """Bring back a tensor on the CPU; `trained` is None for a buffer."""
    # In the layout that it had: the last bits of results depend on it.
    tensor = torch.empty_strided(array.shape, strides, dtype=getattr(torch, dtype))
    # A copy: a loaded file that stays on disk may not be written to.
    tensor.copy_(torch.from_numpy(np.array(array)))
    return tensor if trained is None else nn.Parameter(tensor, requires_grad=trained)


def _unscripted(content: bytes) -> nn.Module:
    """Bring back a traced or scripted module, which pickle does not know."""
    module: nn.Module = torch.jit.load(io.BytesIO(content), map_location="cpu")
    return module
