"""Tests of the random views."""

import math
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skdeepclust.views import ImageViews, SeededCallable, TableViews, make_views
from skdeepclust.views.images import blur, random_affine, random_color
from skdeepclust.views.tables import mask_features

EVERYTHING = ImageViews(
    crop=(0.5, 1.0),
    flip=True,
    jitter=0.4,
    saturation=0.4,
    hue=0.1,
    gray=0.5,
    blur=0.5,
    noise=0.1,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n=6, channels=1, height=12, width=12):
    return torch.rand((n, channels, height, width), generator=seeded(7))


def draw_all(x):
    """Draw a little from every global generator."""
    noise = random.random() + float(np.random.rand())  # noqa: NPY002
    return x + noise * torch.rand_like(x)


VIEWS = [
    (ImageViews(), images()),
    (EVERYTHING, images(channels=3, width=17)),
    (EVERYTHING, images(channels=2, height=5, width=3)),
    (TableViews(), images().flatten(1)),
    (TableViews(fill="zero"), images().flatten(1)),
    (SeededCallable(draw_all), images()),
]


def global_states():
    _, keys, *rest = np.random.get_state()  # noqa: NPY002
    return (
        torch.random.get_rng_state().tolist(),
        keys.tolist(),
        rest,
        random.getstate(),
    )


@pytest.mark.parametrize(("views", "x"), VIEWS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_views_keep_shape_dtype_and_input(views, x, dtype):
    x = x.to(dtype)
    before = x.clone()
    view = views(x, seeded())
    assert view.shape == x.shape
    assert view.dtype == dtype
    assert torch.isfinite(view).all()
    assert torch.equal(x, before)


@pytest.mark.parametrize(("views", "x"), VIEWS)
def test_views_depend_on_the_generator_alone(views, x):
    states = global_states()
    generator = seeded(3)
    first, second = views(x, generator), views(x, generator)
    assert global_states() == states
    # What is drawn elsewhere must not matter.
    random.random()
    np.random.rand()  # noqa: NPY002
    torch.rand(1)
    assert torch.equal(views(x, seeded(3)), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize(("views", "x"), VIEWS)
def test_views_draw_for_each_sample(views, x):
    same = x[:1].expand_as(x)
    view = views(same, seeded())
    assert len(torch.unique(view.flatten(1), dim=0)) > 1


@pytest.mark.parametrize("shape", [(9, 9), (8, 15)])
def test_random_affine_zero_strength_is_the_identity(shape):
    x = images(height=shape[0], width=shape[1])
    none = {"degrees": 0.0, "shift": 0.0, "scale": 0.0}
    assert random_affine(x, seeded(), **none) is x
    view = random_affine(x, seeded(), **none, crop=(1.0, 1.0))
    # The aspect ratio still varies where the area is full, cut to the image.
    assert view.shape == x.shape
    tiny = random_affine(x, seeded(), degrees=1e-6, shift=0.0, scale=0.0)
    torch.testing.assert_close(tiny, x, atol=1e-5, rtol=0)


def test_random_affine_flip_mirrors_about_half():
    x = images(n=200)
    view = random_affine(x, seeded(), degrees=0, shift=0, scale=0, flip=True)
    kept = (view - x).abs().amax(dim=(1, 2, 3)) < 1e-5
    flipped = (view - x.flip(-1)).abs().amax(dim=(1, 2, 3)) < 1e-5
    assert (kept ^ flipped).all()
    assert 60 < flipped.sum() < 140


def test_random_affine_rotates_in_pixels():
    # On an oblong image a disc must stay a disc.
    rows, columns = torch.meshgrid(
        torch.arange(21.0), torch.arange(61.0), indexing="ij"
    )
    distance = ((rows - 10) ** 2 + (columns - 30) ** 2).sqrt()
    x = (7 - distance).clamp(0, 1).expand(20, 1, -1, -1)
    view = random_affine(x, seeded(), degrees=90, shift=0, scale=0)
    torch.testing.assert_close(view, x, atol=0.3, rtol=0)


def test_random_affine_agrees_with_torch():
    x = images(n=1, height=10, width=14)
    u = 2 * torch.rand((9, 1), generator=seeded()) - 1
    shift = 0.2 * 2 * u[2:4, 0]
    theta = torch.tensor([[[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]]])
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    expected = F.grid_sample(x, grid, align_corners=False)
    view = random_affine(x, seeded(), degrees=0, shift=0.2, scale=0)
    torch.testing.assert_close(view, expected)


def test_random_affine_pads_with_zeros_but_never_a_crop():
    x = torch.ones(50, 1, 10, 10)
    assert random_affine(x, seeded(), shift=0.3).min() == 0
    view = random_affine(x, seeded(), degrees=0, shift=0, scale=0, crop=(0.3, 1))
    torch.testing.assert_close(view, x)


def test_random_affine_crop_stays_inside():
    ramp = torch.linspace(0, 1, 16).expand(100, 1, 16, 16).contiguous()
    view = random_affine(ramp, seeded(), degrees=0, shift=0, scale=0, crop=(0.4, 0.4))
    span = view[:, 0, 0, -1] - view[:, 0, 0, 0]
    # Widths of a crop of area 0.4: sqrt(0.4 a) with a in [3/4, 4/3].
    assert span.min() > 0.45
    assert span.max() < 0.8


def test_random_color_without_jitter_is_the_identity():
    x = images(channels=3)
    torch.testing.assert_close(random_color(x, seeded(), jitter=0.0), x)
    view = random_color(x, seeded(), jitter=2.0)
    assert view.min() >= 0
    assert view.max() <= 1


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_random_color_makes_gray_by_the_probability(p):
    x = images(channels=3)
    view = random_color(x, seeded(), gray=p)
    is_gray = torch.allclose(view[:, 0], view[:, 1])
    assert is_gray == (p == 1)
    if p == 0:
        assert torch.equal(view, x)


def test_random_color_makes_gray_of_three_channels():
    x = images(channels=4)
    assert torch.equal(random_color(x, seeded(), gray=1.0), x)


def turned(image, angle):
    """Turn the colors of one image in the plane of I and Q, from their definition."""
    luma = torch.tensor([0.299, 0.587, 0.114], dtype=image.dtype)
    red, _, blue = torch.eye(3, dtype=image.dtype)
    in_phase = 0.74 * (red - luma) - 0.27 * (blue - luma)
    quadrature = 0.48 * (red - luma) + 0.41 * (blue - luma)
    to_yiq = torch.stack([luma, in_phase, quadrature])
    y, i, q = torch.einsum("dc,chw->dhw", to_yiq, image)
    sin, cos = math.sin(angle), math.cos(angle)
    yiq = torch.stack([y, cos * i - sin * q, sin * i + cos * q])
    return torch.einsum("cd,dhw->chw", torch.linalg.inv(to_yiq), yiq)


def slow_color(x, u, jitter, saturation, gray, hue=0):
    """One image after the other, one change after the other, clipped at the end."""
    views = []
    for image, draw in zip(x.double(), u.double().T, strict=True):
        factors = [
            max(0, 1 - strength) + (1 + strength - max(0, 1 - strength)) * value
            for strength, value in zip((jitter, jitter, saturation), draw, strict=False)
        ]
        brightness, contrast, kept = factors
        image = image * brightness
        image = image.mean() + contrast * (image - image.mean())
        if len(image) == 3:
            red, green, blue = image
            luma = 0.299 * red + 0.587 * green + 0.114 * blue
            if hue:
                image = turned(image, 2 * math.pi * hue * float(2 * draw[4] - 1))
            image = luma + (0 if draw[3] < gray else kept) * (image - luma)
        views.append(image.clamp(0, 1))
    return torch.stack(views).to(x.dtype)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    ("jitter", "saturation", "gray"),
    [(0.4, 0.4, 0.2), (0.8, 0, 0), (0, 1.5, 0), (0, 0, 0.5), (0, 0.3, 0.5), (2, 0, 1)],
)
def test_random_color_agrees_with_one_image_at_a_time(
    channels, jitter, saturation, gray
):
    x = images(n=50, channels=channels, height=5, width=7)
    view = random_color(x, seeded(), jitter=jitter, saturation=saturation, gray=gray)
    u = torch.rand((4, 50), generator=seeded())
    torch.testing.assert_close(view, slow_color(x, u, jitter, saturation, gray))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "strengths",
    [
        {"jitter": 0.4, "saturation": 0.4, "gray": 0.2, "hue": 0.1},
        {"jitter": 0, "saturation": 0, "gray": 0, "hue": 0.5},
    ],
)
def test_random_color_turns_the_hue(channels, strengths):
    x = images(n=50, channels=channels, height=5, width=7)
    u = torch.rand((5, 50), generator=seeded())
    view = random_color(x, seeded(), **strengths)
    expected = slow_color(x, u, **strengths)
    torch.testing.assert_close(view, expected, rtol=0, atol=1e-5)
    if channels == 3:
        assert not torch.allclose(view, x, atol=0.1)


def test_hue_keeps_gray_and_luma():
    # Of pale colors, so that nothing is clipped.
    x = 0.5 + 0.05 * images(n=9, channels=3)
    luma = torch.tensor([0.299, 0.587, 0.114])
    view = random_color(x, seeded(), hue=0.5)
    torch.testing.assert_close(
        torch.einsum("nchw,c->nhw", view, luma), torch.einsum("nchw,c->nhw", x, luma)
    )
    gray = x[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(random_color(gray, seeded(), hue=0.5), gray)


@pytest.mark.parametrize("strengths", [{"jitter": 0.4}, {"jitter": 0.4, "gray": 0.3}])
def test_random_color_goes_in_parts_and_in_place(strengths):
    x = images(n=7, channels=3, height=160, width=160)
    before = x.clone()
    view = random_color(x, seeded(), **strengths)
    assert torch.equal(x, before)
    full = {"saturation": 0.0, "gray": 0.0, **strengths}
    u = torch.rand((4, len(x)), generator=seeded())
    torch.testing.assert_close(view, slow_color(x, u, **full))
    assert random_color(x, seeded(), **strengths, out=x) is x
    assert torch.equal(x, view)


def test_random_color_of_no_image():
    assert random_color(images(n=0, channels=3), seeded(), gray=0.5).shape[0] == 0


def test_image_views_keep_their_input():
    x = images(channels=3)
    before = x.clone()
    for shapes in ({}, {"degrees": 0.0, "shift": 0.0, "scale": 0.0}):
        ImageViews(**shapes, jitter=0.4, gray=0.2, blur=0.5, noise=0.1)(x, seeded())
        assert torch.equal(x, before)


def test_random_color_takes_any_layout():
    x = images(channels=3, width=9)
    for strengths in ({"jitter": 0.4}, {"jitter": 0.4, "saturation": 0.4}):
        expected = random_color(x, seeded(), **strengths)
        last = x.contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(random_color(last, seeded(), **strengths), expected)


def test_random_color_is_not_halved_by_autocast():
    x = images(channels=3)
    expected = random_color(x, seeded(), saturation=0.4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        view = random_color(x, seeded(), saturation=0.4)
    assert torch.equal(view, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_image_views_in_half_precision_are_those_of_float32(dtype):
    x = images(channels=3, height=40, width=300).to(dtype)
    views = ImageViews(crop=(0.4, 1.0), flip=True, jitter=0.4, hue=0.1, blur=0.5)
    assert torch.equal(views(x, seeded()), views(x.float(), seeded()).to(dtype))
    none = ImageViews(degrees=0.0, shift=0.0, scale=0.0)
    assert none(x, seeded()) is x


def test_image_views_without_color_ignore_saturation():
    none = {"degrees": 0.0, "shift": 0.0, "scale": 0.0, "saturation": 0.5, "gray": 0.5}
    x = images(channels=2)
    assert torch.equal(ImageViews(**none)(x, seeded()), x)
    x = images(channels=3)
    assert not torch.equal(ImageViews(**none)(x, seeded()), x)


def test_blur_follows_the_probability():
    x = images(height=41, width=43)
    assert torch.equal(blur(x, seeded(), 0.0), x)
    view = blur(x, seeded(), 1.0)
    assert view.std() < x.std()
    flat = torch.full((3, 1, 9, 9), 0.3)
    torch.testing.assert_close(blur(flat, seeded(), 1.0), flat)


def test_image_noise_stays_in_range():
    view = ImageViews(noise=3.0)(images(), seeded())
    assert view.min() >= 0
    assert view.max() <= 1


def test_mask_features_swaps_within_the_column():
    x = torch.arange(40.0).view(10, 4)
    view = mask_features(x, seeded(), 1.0)
    assert (view != x).all()
    assert torch.equal(view % 4, x % 4)
    view = mask_features(x.repeat(100, 1), seeded(), 0.2)
    changed = (view != x.repeat(100, 1)).float().mean().item()
    assert 0.14 < changed < 0.22


def test_mask_features_of_images_swaps_within_the_pixel():
    x = torch.arange(960.0).view(10, 2, 6, 8)
    view = mask_features(x, seeded(), 1.0)
    assert (view != x).all()
    assert torch.equal(view % 96, x % 96)


def test_mask_features_fills_with_zeros():
    x = torch.ones(100, 20)
    view = mask_features(x, seeded(), 0.25, fill="zero")
    assert set(view.unique().tolist()) == {0.0, 1.0}
    assert 0.2 < (view == 0).float().mean().item() < 0.3


def test_mask_features_keeps_a_single_row():
    x = torch.ones(1, 5)
    assert torch.equal(mask_features(x, seeded(), 1.0), x)


def test_table_views_noise_is_absolute():
    x = torch.zeros(200, 50)
    view = TableViews(noise=0.3, mask=0.0)(x, seeded())
    assert view.std().item() == pytest.approx(0.3, rel=0.05)


def test_make_views_auto_never_flips_gray_images():
    views = make_views("auto", (1, 28, 28))
    assert isinstance(views, ImageViews)
    assert not views.flip
    # Bright on the left: a flip would move the weight to the right.
    x = torch.zeros(300, 1, 28, 28)
    x[..., :12] = 1
    view = views(x, seeded())
    assert (view[..., :14].sum(dim=(1, 2, 3)) > view[..., 14:].sum(dim=(1, 2, 3))).all()


def test_make_views_auto_follows_the_shape():
    color = make_views("auto", (3, 32, 32))
    assert color == make_views("auto", (5, 32, 32))
    assert color.flip
    assert color.crop == (0.4, 1.0)
    assert make_views("auto", (30,)) == TableViews()
    assert make_views(None, (30,)) is None


def test_make_views_passes_its_own_views_through():
    for views, shape in ((EVERYTHING, (3, 8, 8)), (TableViews(0.5), (4,))):
        assert make_views(views, shape) is views
    wrapped = make_views(draw_all, (4,))
    assert isinstance(wrapped, SeededCallable)
    assert make_views(wrapped, (4,)) is wrapped


def test_views_of_images_are_none_of_tables():
    with pytest.raises(ValueError, match="augmentation ImageViews does not fit"):
        make_views(EVERYTHING, (4,))


@pytest.mark.parametrize(
    "fields",
    [
        {"crop": (0.0, 1.0)},
        {"crop": (0.4,)},
        {"crop": (0.4, 1.0, 1.0)},
        {"degrees": float("nan")},
        {"jitter": float("inf")},
        {"scale": 1.0},
        {"gray": 1.5},
        {"blur": -0.1},
        {"noise": -1.0},
        {"saturation": -0.1},
        {"hue": -0.1},
    ],
)
def test_image_views_name_the_bad_field(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        ImageViews(**fields)


@pytest.mark.parametrize(
    "fields",
    [{"noise": -1.0}, {"noise": float("nan")}, {"mask": 2.0}, {"fill": "mean"}],
)
def test_table_views_name_the_bad_field(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        TableViews(**fields)


def test_seeded_callable_runs_modules_without_gradients():
    dropout = nn.Dropout(0.5)
    x = torch.ones(4, 100, requires_grad=True)
    view = SeededCallable(dropout)(x, seeded())
    assert not view.requires_grad
    assert 0.3 < (view == 0).float().mean().item() < 0.7


def test_seeded_callable_protects_the_batch():
    x = torch.ones(4, 3)
    view = SeededCallable(lambda batch: batch.mul_(2))(x, seeded())
    assert torch.equal(x, torch.ones(4, 3))
    assert torch.equal(view, 2 * x)


def test_seeded_callable_returns_the_dtype_of_the_batch():
    x = torch.ones(4, 3)
    assert SeededCallable(lambda b: b.double())(x, seeded()).dtype == x.dtype


def test_seeded_callable_restores_the_generators_after_an_error():
    def fail(x):
        draw_all(x)
        raise RuntimeError("of the user's own")

    states = global_states()
    with pytest.raises(RuntimeError, match="of the user's own"):
        SeededCallable(fail)(torch.ones(2, 2), seeded())
    assert global_states() == states


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (lambda x: x.numpy(), TypeError),
        (lambda x: None, TypeError),
        (lambda x: x.long(), TypeError),
        (lambda x: x[:1], ValueError),
        (lambda x: x[:, None], ValueError),
    ],
)
def test_seeded_callable_names_the_augmentation(function, error):
    with pytest.raises(error, match="augmentation"):
        SeededCallable(function)(torch.ones(4, 3), seeded())


# `-m gpu` on a machine without one says so instead of failing for want of a device.
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("views", "x"), VIEWS)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_views_run_on_a_gpu(views, x, device):
    x = x.cuda()
    state = torch.cuda.get_rng_state()
    first = views(x, torch.Generator(device).manual_seed(0))
    assert first.device == x.device
    assert torch.equal(torch.cuda.get_rng_state(), state)
    again = views(x, torch.Generator(device).manual_seed(0))
    torch.testing.assert_close(first, again)
