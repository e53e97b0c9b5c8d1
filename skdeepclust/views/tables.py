"""Random views of tables: masked features and noise."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def add_noise(x: Tensor, generator: torch.Generator, std: float) -> Tensor:
    """Add Gaussian noise to a batch (n, ...); `std` is in its units."""
    noise = torch.randn(
        x.shape, generator=generator, device=generator.device, dtype=x.dtype
    )
    return torch.add(x, noise.to(x.device), alpha=std)


def mask_features(
    x: Tensor, generator: torch.Generator, fraction: float, *, fill: str = "swap"
) -> Tensor:
    """Replace random entries of a batch (n, ...), each with probability `fraction`.

    It gets the same column's value in another random row, so that it stays in the
    column's distribution, or zero with `fill="zero"`. A single row keeps its values.
    """
    device, n_samples = generator.device, len(x)
    # Whatever the default type is, the same draws.
    draws = torch.rand(x.shape, generator=generator, device=device, dtype=torch.float32)
    masked = draws < fraction
    if fill == "zero":
        return x.masked_fill(masked.to(x.device), 0)
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
    noise : float, default=0.1
        Standard deviation of Gaussian noise, in the units of the input.
    mask : float, default=0.2
        Fraction of masked entries.
    fill : {"swap", "zero"}, default="swap"
        What replaces an entry: the column's value in another random row, or zero.
    """

    noise: float = 0.1
    mask: float = 0.2
    fill: str = "swap"

    def __post_init__(self) -> None:
        if not 0 <= self.noise < math.inf:
            raise ValueError(
                f"noise must be finite and at least 0; got {self.noise}: pass 0 for "
                "none."
            )
        if not 0 <= self.mask <= 1:
            raise ValueError(
                f"mask must be in [0, 1]; got {self.mask}: pass a fraction."
            )
        if self.fill not in ("swap", "zero"):
            raise ValueError(
                f"fill must be 'swap' or 'zero'; got {self.fill!r}: pass one."
            )

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return one random view of each row; `x` itself if both strengths are zero."""
        if self.mask:
            x = mask_features(x, generator, self.mask, fill=self.fill)
        if self.noise:
            x = add_noise(x, generator, self.noise)
        return x
