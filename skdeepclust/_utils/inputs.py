"""What a user may pass, brought to NumPy, and as X to rows and one shape per sample."""

import math
import warnings
from collections.abc import Iterator, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

_LEAST_SIDE, _MOST_TIMES = 5, 4  # of images: the shorter side, the longer one
_ONE_PICTURE = 0.95  # least correlation of channels


def as_array(name: str, value: Any) -> NDArray[Any]:
    """Bring any dense array or tensor, called `name` in messages, to NumPy.

    Types that NumPy does not have become float32.
    """
    if not isinstance(value, torch.Tensor):
        try:
            return np.asarray(value)
        except (TypeError, ValueError, RuntimeError):
            if not hasattr(value, "__dlpack__"):
                raise
            # It lives on another device.
            value = torch.utils.dlpack.from_dlpack(value)
    value = value.detach()
    if value.layout != torch.strided or value.is_meta:
        raise TypeError(
            f"{name} is a tensor of layout {value.layout} on device {value.device}, "
            f"which holds no dense values; pass {name}.to_dense(), or a tensor that is "
            "not on 'meta'."
        )
    is_narrow = value.is_floating_point() and value.element_size() < 4
    if is_narrow and value.dtype != torch.float16:
        # NumPy has no bfloat16, and no float of 8 bits.
        value = value.float()
    array: NDArray[Any] = value.cpu().numpy()
    return array


def is_on_disk(X: Any) -> bool:
    """Say whether an array is a view of a memory-mapped file, not a copy of it."""
    while isinstance(X, np.ndarray):
        if isinstance(X, np.memmap):
            return getattr(X, "_mmap", None) is not None
        X = X.base
    return False


class Rows(NamedTuple):
    """Samples as rows."""

    values: Any  # For scikit-learn to validate. Images are flattened.
    shape: tuple[int, ...] | None  # (channels, height, width), None for a table.
    n_dims: int = 2  # Of the array that was given.
    # The order of the axes, as of the rows, of images that lie on disk in another one.
    axes: tuple[int, ...] | None = None

    def in_order(self, validated: NDArray[Any]) -> NDArray[Any]:
        """Return validated rows (n, n_values) in the order of their shape."""
        if self.axes is None or self.shape is None:
            return validated
        # Images on disk keep their axes: to flatten them would be to read them all.
        stored = validated.reshape(-1, *(self.shape[axis] for axis in self.axes))
        images = stored.transpose(0, *(1 + self.axes.index(axis) for axis in range(3)))
        return images if is_on_disk(images) else images.reshape(len(images), -1)


def as_rows(X: Any, *, image_shape: Any = None) -> Rows:
    """Flatten images to rows, and bring all kinds of arrays to NumPy.

    Tables are left for scikit-learn to validate. Images of just the shape `image_shape`
    are taken whatever they look like.
    """
    _refuse(X)
    if isinstance(X, torch.Tensor):
        X = as_array("X", X)
    if isinstance(X, list | tuple):
        X = _images_of_list(X)
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        raise ValueError(
            "X is a masked array with masked values: fill or impute them first."
        )
    n_dims = len(getattr(X, "shape", (0, 0)))
    if n_dims > 4:
        raise ValueError(
            f"Found array with dim {n_dims}, expected 2 (a table), 3 (gray images) or "
            "4 (n_samples, channels, height, width): reshape X."
        )
    if n_dims < 3:
        return Rows(X, None)
    if not isinstance(X, np.ndarray):
        X = as_array("X", X)
    shape = (1, *X.shape[1:]) if n_dims == 3 else tuple(X.shape[1:])
    named = () if image_shape is None else tuple(image_shape)
    if n_dims == 4 and shape != named and _has_channels_last(shape):
        raise ValueError(
            f"X of shape {tuple(X.shape)} looks like images with the channels last: "
            "pass (n_samples, channels, height, width), for instance with "
            "np.moveaxis(X, -1, 1). If the channels do come first, set "
            f"image_shape={shape}."
        )
    if is_on_disk(X) and n_dims == 4:
        axes = (*np.argsort([-abs(s) for s in X.strides[1:]], kind="stable").tolist(),)
        stored = X.transpose(0, *(1 + axis for axis in axes))
        if axes != (0, 1, 2) and stored.flags.c_contiguous:
            return Rows(stored.reshape(len(X), -1), shape, n_dims, axes)
    return Rows(X.reshape(X.shape[0], math.prod(shape)), shape, n_dims)


def validated_rows(
    estimator: BaseEstimator,
    X: Any,
    *,
    image_shape: Sequence[int] | None,
    fitted: tuple[int, ...] | None = None,
    fitted_dims: int | None = None,
    reset: bool,
    min_samples: int = 1,
) -> tuple[NDArray[Any], tuple[int, ...], int]:
    """Return samples as rows (n, ...), the shape of one, and the axes of the array.

    They have to go with the shape of those that were `fitted`, if any were.
    """
    rows = as_rows(X, image_shape=image_shape)
    if fitted is None:
        _check_gray(rows, image_shape)
    else:
        _check_new(rows, fitted, fitted_dims or rows.n_dims)
    try:
        values = validate_data(
            estimator,
            rows.values,
            reset=reset,
            # Other types become float64, which holds more integers exactly.
            dtype=[np.float64, np.float32, np.uint8],
            ensure_min_samples=min_samples,
        )
    except (TypeError, ValueError) as error:
        check_columns(X, error)
        raise
    shape = fitted or sample_shape(values.shape[1], rows.shape, image_shape)
    return rows.in_order(values), shape, rows.n_dims


def _has_channels_last(shape: tuple[int, ...]) -> bool:
    """Say whether (height, width, channels) is the better reading of a shape."""
    *sides, last = shape
    # The sides of an image are of about one length.
    return last < min(sides) and (
        last <= 4 or max(sides) / min(sides) < sides[1] / last
    )


def _refuse(X: Any) -> None:
    """Refuse what is no array, and say how to make one of it."""
    kind = f"X is a {type(X).__module__.split('.')[0]} {type(X).__name__}"
    if isinstance(X, torch.utils.data.DataLoader | torch.utils.data.Dataset):
        raise TypeError(
            f"{kind}, not an array: put its samples into one, for instance "
            "torch.stack([dataset[i][0] for i in range(len(dataset))])."
        )
    if isinstance(X, Iterator):
        raise TypeError(f"{kind}, not an array: pass np.stack(list(X)).")
    if type(X).__name__ == "LazyFrame":
        raise TypeError(f"{kind}, which holds no values yet: pass X.collect().")
    if isinstance(X, str | bytes | Path):
        raise TypeError(
            f"X={X!r} is text, not an array: load what it names, and pass that."
        )
    if sp.issparse(X):
        raise TypeError(
            f"X is a sparse matrix of shape {X.shape}, and dense data is required: "
            "pass X.toarray(), set sparse_threshold=0 in a ColumnTransformer, or put a "
            "TruncatedSVD before it."
        )


def _images_of_list(X: Any) -> Any:
    """Return a list of images as an array; tables are left to scikit-learn."""
    if len(X) and all(isinstance(item, str | bytes | Path) for item in X):
        raise ValueError(
            f"X is a list of text, beginning with {X[0]!r}: of images load the pixels, "
            "for instance np.stack([np.asarray(PIL.Image.open(path)) for path in X]); "
            "of documents take a TfidfVectorizer and a TruncatedSVD."
        )
    X = [as_array("X", row) if isinstance(row, torch.Tensor) else row for row in X]
    if len(X) and all(hasattr(row, "mode") and hasattr(row, "getbands") for row in X):
        X = [np.asarray(row) for row in X]  # of PIL
    shapes = {row.shape for row in X if isinstance(row, np.ndarray)}
    if len(shapes) > 1 and max(map(len, shapes)) > 1:
        some = " and ".join(map(str, sorted(shapes)[:2]))
        raise ValueError(
            f"X is a list of images of {len(shapes)} shapes, such as {some}: resize "
            "them to one shape, for instance with image.resize((32, 32)) of PIL."
        )
    try:
        array = np.asarray(X)
    except (ValueError, TypeError):
        # Of unequal lengths, which scikit-learn says in its own words.
        return X
    return array if array.ndim > 2 else X


def check_columns(X: Any, error: Exception) -> None:
    """Raise scikit-learn's `error` again with the columns that are no numbers."""
    told = str(error)
    nested = "setting an array element" in told
    signs = ("could not convert", "DType", "dtype", "datetime")
    if not nested and not any(sign in told for sign in signs):
        return
    names = []
    if hasattr(X, "dtypes") and hasattr(X, "columns"):
        kinds = zip(X.columns, X.dtypes, strict=True)
        names = [f"{n!r} ({t})" for n, t in kinds if not _is_number(t)]
    where = f"X has columns that are no numbers: {', '.join(names)}" if names else "X"
    hint = (
        "spread lists to columns of their own, for instance by np.stack"
        if nested
        else "encode text by a OneHotEncoder or OrdinalEncoder, turn times into numbers"
    )
    raise type(error)(f"{told} {where}: {hint}, or drop them.") from error


def _is_number(dtype: Any) -> bool:
    if hasattr(dtype, "is_numeric"):  # of polars
        return bool(dtype.is_numeric()) or str(dtype) == "Boolean"
    return getattr(dtype, "kind", "O") in "biuf"


def sample_shape(
    n_features: int,
    array_shape: tuple[int, ...] | None,
    image_shape: Sequence[int] | None,
) -> tuple[int, ...]:
    """Settle the shape of one sample: (n_features,) or (channels, height, width)."""
    if image_shape is None:
        return array_shape or (n_features,)
    wanted = tuple(image_shape)
    if len(wanted) == 2:
        wanted = (1, *wanted)
    whole = all(isinstance(side, Integral) and side >= 1 for side in wanted)
    if len(wanted) != 3 or not whole:
        raise ValueError(
            f"image_shape={tuple(image_shape)} must be (channels, height, width) or "
            "(height, width), integers of at least 1."
        )
    wanted = tuple(map(int, wanted))
    if array_shape is not None and array_shape != wanted:
        raise ValueError(
            f"image_shape={wanted} differs from the shape {array_shape} of the images "
            "in X: set image_shape=None for images that are not flattened."
        )
    if math.prod(wanted) != n_features:
        raise ValueError(
            f"image_shape={wanted} has {math.prod(wanted)} values per image, but X has "
            f"{n_features} features: pass the shape of one image, or None for a table."
        )
    return wanted


def _check_gray(rows: Rows, image_shape: Sequence[int] | None) -> None:
    """Refuse a 3-D array that looks like series, unless `image_shape` names it."""
    if rows.shape is None or rows.n_dims != 3 or image_shape is not None:
        return
    n_samples, (_, *sides) = len(rows.values), rows.shape
    if min(sides) < _LEAST_SIDE or max(sides) > _MOST_TIMES * min(sides):
        raise ValueError(
            f"X of shape {(n_samples, *sides)} does not look like {n_samples} gray "
            f"images of {sides[0]} x {sides[1]}: flatten series to rows by "
            "X.reshape(len(X), -1), or say that they are images by "
            f"image_shape={(*sides,)}."
        )


def _check_new(rows: Rows, fitted: tuple[int, ...], n_dims: int) -> None:
    """Refuse one image, or images of another shape than `fitted`, an array of `n_dims`.

    Warn if three gray images look like the channels of one color image.
    """
    if len(fitted) != 3:
        return
    n_channels, *sides = fitted
    given: tuple[int, ...] = np.shape(rows.values)
    if rows.shape is not None:
        given = (given[0], *rows.shape[4 - rows.n_dims :])
    is_one = rows.shape is None and n_channels == 1 and given == (*sides,) != (1, 1)
    if is_one or (n_channels > 1 and given == fitted):
        axes = "X[None]" if n_channels > 1 or n_dims == 3 else "X[None, None]"
        raise ValueError(
            f"X of shape {given} is one image, and the axis of the samples is missing: "
            f"pass {axes}."
        )
    if rows.shape is not None and rows.shape != fitted:
        raise ValueError(
            f"X has images of shape {rows.shape} (channels, height, width), and the "
            f"fitted images have shape {fitted}: resize X to that."
        )
    if n_channels == 1 and rows.n_dims == 3 and given[0] in (3, 4):
        what = (
            f"X of shape {given} may be {given[0]} gray images or one image of "
            f"{given[0]} channels, and the fitted images have one channel: "
        )
        if n_dims == 4:
            raise ValueError(f"{what}pass X[:, None] if they are gray.")
        if _is_one_picture(rows.values):
            warnings.warn(
                f"{what}the {given[0]} are nearly the same. Turn a color image into a "
                "gray one, for instance by X.mean(axis=0)[None].",
                UserWarning,
                stacklevel=6,
            )


def _is_one_picture(rows: NDArray[Any]) -> bool:
    """Say whether all rows rise and fall together, as channels do."""
    rows = np.asarray(rows, dtype=np.float64)
    if not np.isfinite(rows).all() or not rows.std(axis=1).all():
        return False
    return bool(np.corrcoef(rows).min() > _ONE_PICTURE)
