"""Random views of tables: masked features and noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def add_noise(x: Tensor, generator: torch.Generator, std: float) -> Tensor:
    """Add Gaussian noise.

    Parameters
    ----------
    x : Tensor of shape (n_samples, ...)
        The batch.
    generator : torch.Generator
        Source of the draws.
    std : float
        Standard deviation of the noise, in the units of `x`.

    Returns
    -------
    view : Tensor of shape (n_samples, ...)
        The noisy batch.
    """
    noise = torch.randn(
        x.shape, generator=generator, device=generator.device, dtype=x.dtype
    )
    return torch.add(x, noise.to(x.device), alpha=std)


def mask_features(
    x: Tensor, generator: torch.Generator, fraction: float, *, fill: str = "swap"
) -> Tensor:
    """Replace random entries, each independently of the others.

    Parameters
    ----------
    x : Tensor of shape (n_samples, n_features)
        The batch.
    generator : torch.Generator
        Source of the draws.
    fraction : float
        Probability that an entry is masked.
    fill : {"swap", "zero"}, default="swap"
        What replaces a masked entry: the same column's value in another random
        row of the batch, or zero. Swapped values stay within the column's
        distribution, whatever its location and scale.

    Returns
    -------
    view : Tensor of shape (n_samples, n_features)
        The masked batch. A batch of one row has no other row to swap with and
        keeps its values.
    """
    if fill not in ("swap", "zero"):
        raise ValueError(f"fill must be 'swap' or 'zero', got {fill!r}.")
    device = generator.device
    # Whatever the default type is, the same draws.
    draws = torch.rand(x.shape, generator=generator, device=device, dtype=torch.float32)
    masked = draws < fraction
    if fill == "zero":
        return x.masked_fill(masked.to(x.device), 0)
    n_samples = len(x)
    if n_samples < 2:
        return x
    # An offset of at least one row never lands on the row itself.
    offset = torch.randint(1, n_samples, x.shape, generator=generator, device=device)
    own = torch.arange(n_samples, device=device).view(-1, *[1] * (x.ndim - 1))
    source = torch.where(masked, (own + offset) % n_samples, own)
    return x.gather(0, source.to(x.device))


@dataclass(frozen=True)
class TableViews:
    """Random views of table rows: masked features, then noise.

    Parameters
    ----------
    noise : float
        Standard deviation of the noise, in the units of the input.
    mask : float
        Fraction of masked entries.
    fill : {"swap", "zero"}
        What replaces a masked entry: see `mask_features`.
    """

    noise: float = 0.1
    mask: float = 0.2
    fill: str = "swap"

    def __post_init__(self) -> None:
        """Reject values that have no meaning."""
        if not 0 <= self.noise < math.inf:
            raise ValueError(f"noise must be finite and >= 0, got {self.noise}.")
        if not 0 <= self.mask <= 1:
            raise ValueError(f"mask must be a fraction, got {self.mask}.")
        if self.fill not in ("swap", "zero"):
            raise ValueError(f"fill must be 'swap' or 'zero', got {self.fill!r}.")

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return one random view of each row.

        Parameters
        ----------
        x : Tensor of shape (n_samples, n_features)
            The batch.
        generator : torch.Generator
            Source of the draws.

        Returns
        -------
        view : Tensor of shape (n_samples, n_features)
            The views; the input itself where both strengths are zero.
        """
        if self.mask:
            x = mask_features(x, generator, self.mask, fill=self.fill)
        if self.noise:
            x = add_noise(x, generator, self.noise)
        return x
