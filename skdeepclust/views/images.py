"""Random views of images: batched, each sample with its own draws.

Images are float tensors of shape (n_samples, channels, height, width) with values in
[0, 1]. Random numbers are drawn on the generator's device, then moved to the images'.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .tables import add_noise

# ITU-R 601 luma, what image libraries use for gray.
_LUMA = (0.299, 0.587, 0.114)
# A quarter turn of colors about gray in the plane of I and Q of YIQ, which leaves luma
# alone: on red, green and blue.
_QUARTER_TURN = (
    (0.171275, 0.322647, -0.493921),
    (-0.332256, 0.039695, 0.292561),
    (1.261605, -1.050635, -0.210970),
)
_LOG_ASPECT = math.log(4 / 3)  # as in SimCLR, like the widths of blur
_CACHED = 2**17  # values that a processor's cache holds between two passes over them


def _uniform(x: Tensor, generator: torch.Generator, n_draws: int) -> Tensor:
    """Draw all numbers (n_draws, n_samples) of a transform, in [0, 1), at once."""
    shape, device = (n_draws, len(x)), generator.device
    u = torch.rand(shape, generator=generator, device=device, dtype=x.dtype)
    return u.to(x.device)


def _pixel_centers(n: int, x: Tensor) -> Tensor:
    """Return the grid coordinates of `n` pixels, corners not aligned."""
    steps = torch.arange(n, device=x.device, dtype=x.dtype)
    return (2 * steps + 1) / n - 1


def random_affine(
    x: Tensor,
    generator: torch.Generator,
    degrees: float = 10.0,
    shift: float = 0.1,
    scale: float = 0.1,
    crop: tuple[float, float] | None = None,
    flip: bool = False,
) -> Tensor:
    """Rotate, shift, scale, crop and flip in one interpolation: see `ImageViews`."""
    if not (degrees or shift or scale or flip) and crop is None:
        return x
    height, width = x.shape[-2:]
    u = _uniform(x, generator, 9)
    signed = 2 * u - 1
    angle = signed[0] * math.radians(degrees)
    factor = 1 + signed[1] * scale
    # Grid coordinates run over [-1, 1], so a whole side is 2.
    dx, dy = 2 * shift * signed[2], 2 * shift * signed[3]
    cos, sin = angle.cos() / factor, angle.sin() / factor
    # Rotate in pixels, not in grid coordinates, or oblong images would shear.
    matrix = [[cos, -sin * (height / width)], [sin * (width / height), cos]]

    if crop is not None:
        area = crop[0] + (crop[1] - crop[0]) * u[4]
        aspect = (signed[5] * _LOG_ASPECT).exp()
        w = (area * aspect).sqrt().clamp(max=1)
        h = (area / aspect).sqrt().clamp(max=1)
        cx, cy = (1 - w) * signed[6], (1 - h) * signed[7]
        dx = dx + matrix[0][0] * cx + matrix[0][1] * cy
        dy = dy + matrix[1][0] * cx + matrix[1][1] * cy
        matrix = [[row[0] * w, row[1] * h] for row in matrix]
    if flip:
        sign = signed[8].sign()
        matrix = [[row[0] * sign, row[1]] for row in matrix]

    # What `F.affine_grid` does in more operations: the input coordinates of each pixel,
    # sums of a part that varies along rows and one that varies along columns.
    (xx, xy), (yx, yy) = matrix
    columns = torch.stack([xx, yx], dim=1)[..., None] * _pixel_centers(width, x)
    rows = torch.stack([xy, yy], dim=1)[..., None] * _pixel_centers(height, x)
    rows = rows + torch.stack([dx, dy], dim=1)[..., None]
    # A permuted view of planes, whose rows are contiguous.
    grid = (rows[..., None] + columns[:, :, None]).permute(0, 2, 3, 1)
    # A crop enlarges: zeros would bleed into its edge pixels.
    padding = "zeros" if crop is None else "border"
    return F.grid_sample(x, grid, padding_mode=padding, align_corners=False)


def random_color(
    x: Tensor,
    generator: torch.Generator,
    jitter: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
    gray: float = 0.0,
    out: Tensor | None = None,
) -> Tensor:
    """Change brightness, contrast and colors of images: see `ImageViews`.

    All of it is linear in the color, and done at once: one matrix and one offset for
    each image. Contrast is around the image's mean; values are clipped to [0, 1] at the
    end. `out` is contiguous memory for the views, which may be that of `x`.
    """
    if out is None:
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    u = _uniform(x, generator, 5 if hue else 4)
    brightness, contrast = _factor(u[0], jitter), _factor(u[1], jitter)
    gain = (brightness * contrast)[:, None, None]
    lift = brightness[:, None, None] - gain
    mixes = x.shape[1] == 3 and bool(saturation or hue or gray)
    if mixes:
        kept = torch.where(u[3] < gray, 0, _factor(u[2], saturation))[:, None, None]
        luma = _filled(_LUMA, x)
        color = torch.eye(3, device=x.device, dtype=x.dtype)
        if hue:
            angle = ((2 * u[4] - 1) * (2 * math.pi * hue))[:, None, None]
            turned = torch.stack([_filled(row, x) for row in _QUARTER_TURN])
            color = luma + angle.cos() * (color - luma) + angle.sin() * turned
        gain = torch.lerp(luma.expand(3, 3), color, kept) * gain
    flat = x.flatten(2)
    n_cached = _CACHED // x.shape[1:].numel() if x.device.type == "cpu" else len(x)
    images = (flat, out.view(flat.shape), gain, lift)
    parts = (tensor.split(max(1, n_cached)) for tensor in images)
    # Not in half precision, whatever the network is trained in.
    with torch.autocast(x.device.type, enabled=False):
        for pixels, view, a, b in zip(*parts, strict=True):
            offset = pixels.mean((1, 2), keepdim=True) * b
            if mixes:
                changed = torch.baddbmm(offset, a, pixels)
            else:
                changed = torch.addcmul(offset, pixels, a)
            torch.clamp(changed, 0, 1, out=view)
    return out


def _filled(values: Sequence[float], x: Tensor) -> Tensor:
    # Filled where the images are: a copy from the host would wait for the device.
    return torch.stack([x.new_full((), value) for value in values])


def _factor(u: Tensor, strength: float) -> Tensor:
    """Bring draws from [0, 1) to [max(0, 1 - strength), 1 + strength)."""
    low = max(0.0, 1 - strength)
    return low + (1 + strength - low) * u


def blur(x: Tensor, generator: torch.Generator, p: float) -> Tensor:
    """Blur images, each with probability `p`, with a Gaussian of 0.1 to 2 pixels.

    The window is about a tenth of the shorter side, and at least 3 pixels.
    """
    radius = max(1, min(x.shape[-2:]) // 20)
    u = _uniform(x, generator, 2)
    sigma = 0.1 + 1.9 * u[0]
    offsets = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    weights = torch.softmax(-0.5 * (offsets / sigma[:, None]).square(), dim=1)
    # The other images get the identity's weights: one path for all of them.
    weights = torch.where(u[1, :, None] < p, weights, (offsets == 0).to(x.dtype))
    taps = weights.T[:, :, None, None, None]
    padded = F.pad(x, (radius, radius, radius, radius), mode="replicate")
    n_taps, (height, width) = len(taps), x.shape[-2:]
    rows = taps[0] * padded[:, :, :height]
    for k in range(1, n_taps):
        rows.addcmul_(taps[k], padded[:, :, k : k + height])
    view = taps[0] * rows[..., :width]
    for k in range(1, n_taps):
        view.addcmul_(taps[k], rows[..., k : k + width])
    return view


@dataclass(frozen=True)
class ImageViews:
    """Random views of images in [0, 1]; the defaults suit images with one channel.

    Parameters
    ----------
    degrees : float, default=10.0
        Rotations are uniform between minus and plus this angle.
    shift : float, default=0.1
        Shifts are uniform up to this fraction of each side.
    scale : float, default=0.1
        Scale factors are uniform in [1 - scale, 1 + scale].
    crop : (float, float) or None, default=None
        Range of the area of a random crop, a fraction of the image's, to whose size it
        is enlarged. Its relative aspect ratio is log-uniform in [3/4, 4/3]. What lies
        outside is zero, with a crop the nearest pixel.
    flip : bool, default=False
        Whether to flip from left to right, with probability 1/2.
    jitter : float, default=0.0
        Factors of brightness and contrast are uniform in 1 +- jitter, and not negative.
    gray : float, default=0.0
        Probability of gray. Without three channels there is no color: this,
        `saturation` and `hue` do nothing.
    blur : float, default=0.0
        Probability of blur, with a Gaussian of 0.1 to 2 pixels.
    noise : float, default=0.0
        Standard deviation of Gaussian noise, after which values are clipped to [0, 1].
    saturation : float, default=0.0
        The factor of saturation is uniform in 1 +- saturation, and not negative.
    hue : float, default=0.0
        Colors are turned about gray, at the same luma, by up to this fraction of a full
        turn to either side.
    """

    degrees: float = 10.0
    shift: float = 0.1
    scale: float = 0.1
    crop: tuple[float, float] | None = None
    flip: bool = False
    jitter: float = 0.0
    gray: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        if self.crop is not None and not (
            len(self.crop) == 2 and 0 < self.crop[0] <= self.crop[1] <= 1
        ):
            raise ValueError(
                "crop must be (low, high) with 0 < low <= high <= 1; got "
                f"{self.crop}: pass fractions of the area."
            )
        if not 0 <= self.scale < 1:
            raise ValueError(
                f"scale must be in [0, 1); got {self.scale}: pass 0 for none."
            )
        for name in ("gray", "blur"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(
                    f"{name} must be in [0, 1]; got {value}: pass a probability."
                )
        for name in ("degrees", "shift", "jitter", "noise", "saturation", "hue"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(
                    f"{name} must be finite and at least 0; got {value}: pass 0 for "
                    "none."
                )

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return a random view of each image; `x` itself if all strengths are zero."""
        if x.dtype in (torch.float16, torch.bfloat16):
            # Too coarse to tell the positions of pixels apart.
            wide = x.float()
            view = self(wide, generator)
            return x if view is wide else view.to(x.dtype)
        view = random_affine(
            x, generator, self.degrees, self.shift, self.scale, self.crop, self.flip
        )
        if self.jitter or self.saturation or self.hue or self.gray:
            out = view if view is not x and view.is_contiguous() else None
            view = random_color(
                view, generator, self.jitter, self.saturation, self.hue, self.gray, out
            )
        if self.blur:
            view = blur(view, generator, self.blur)
        if self.noise:
            view = add_noise(view, generator, self.noise).clamp(0, 1)
        return view
