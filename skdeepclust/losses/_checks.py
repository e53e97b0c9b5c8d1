"""Shared by the losses: checks, promotion, rows of length 1, saved gradients."""

from typing import Any

import torch
from torch import Tensor


def check_tensor(name: str, value: Tensor) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name} must be a torch.Tensor; got {type(value).__name__}: convert it "
            f"with torch.as_tensor."
        )


def check_floating(name: str, value: Tensor) -> None:
    check_tensor(name, value)
    if not value.is_floating_point():
        raise TypeError(
            f"{name} must hold floating-point numbers; got {value.dtype}: convert it "
            f"with {name}.float()."
        )


def check_rows(**tensors: Tensor) -> None:
    for name, value in tensors.items():
        check_floating(name, value)
        if value.ndim != 2 or value.numel() == 0:
            raise ValueError(
                f"{name} must be 2-D with at least one row and column; got shape "
                f"{tuple(value.shape)}: reshape it to one row per sample."
            )


def check_shape(name: str, value: Tensor, expected: tuple[int, ...], why: str) -> None:
    if tuple(value.shape) != expected:
        raise ValueError(
            f"{name} must have shape {expected}, {why}; got {tuple(value.shape)}: "
            f"pass tensors that belong together."
        )


def check_positive(name: str, value: float | Tensor) -> None:
    if isinstance(value, Tensor) and value.ndim > 0:
        raise ValueError(
            f"{name} must be one number; got shape {tuple(value.shape)}: pass a float."
        )
    if not 0 < value < float("inf"):
        raise ValueError(
            f"{name} must be positive and finite; got {value}: pass a number above 0."
        )


def check_temperature(temperature: float | Tensor) -> None:
    check_positive("temperature", temperature)
    if isinstance(temperature, Tensor) and temperature.requires_grad:
        raise ValueError(
            "temperature must be a constant; got a tensor that needs a gradient: pass "
            "float(temperature)."
        )


def promote(*tensors: Tensor) -> list[Tensor]:
    """Cast to the widest dtype among the tensors, at least float32."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return [tensor.to(dtype) for tensor in tensors]


def alike(**tensors: Tensor) -> list[Tensor]:
    """Check that two tensors have rows, and are of one shape; return them promoted."""
    check_rows(**tensors)
    (name, value), (other_name, other) = tensors.items()
    check_shape(other_name, other, tuple(value.shape), f"the shape of {name}")
    return promote(value, other)


def unit_rows(x: Tensor) -> Tensor:
    """Rows scaled to length 1; rows of zeros stay, with a zero gradient."""
    # Scaling by the largest entry first keeps tiny and huge rows from under- and
    # overflowing when squared. The result does not depend on it: no gradient needed.
    peak = x.detach().abs().amax(dim=1, keepdim=True)
    zero = peak < torch.finfo(x.dtype).tiny
    x = (x / peak.masked_fill(zero, 1.0)).masked_fill(zero, 0.0)
    norm = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    unit: Tensor = x / norm.masked_fill(zero, 1.0)
    return unit


class _WithGradient(torch.autograd.Function):
    """A loss of `unit`; `compute` also fills its gradient, which may be None."""

    @staticmethod
    def forward(ctx: Any, unit: Tensor, compute: Any, what: str) -> Tensor:
        gradient = torch.zeros_like(unit) if ctx.needs_input_grad[0] else None
        loss: Tensor = compute(unit, gradient)
        if gradient is not None:
            ctx.save_for_backward(gradient)
        ctx.what = what
        return loss

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None]:
        # torch's `once_differentiable` does not notice, and second derivatives are
        # wrong, wherever the incoming gradient is a constant.
        if torch.is_grad_enabled():
            hint = "leave out create_graph=True"
            raise RuntimeError(f"{ctx.what} cannot be differentiated twice: {hint}.")
        return grad_output * ctx.saved_tensors[0], None, None


with_gradient: Any = _WithGradient.apply  # untyped in torch
