"""What the displays share: checks of what they are given, axes to draw on, colors."""

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skdeepclust import _compat
from skdeepclust._arrays import as_array, is_missing
from skdeepclust._labels import label_array

# Ten colors, none of them gray, chosen by a search so that the nearest two of them
# are as far apart as can be for normal, red-, green- and blue-blind eyes alike.
COLORS = (
    "#385fc5",
    "#e67b1c",
    "#15b9a0",
    "#a15876",
    "#e4c92c",
    "#581834",
    "#a183f3",
    "#5b5609",
    "#a6cdfe",
    "#002a81",
)
INK = "#222222"
NOISE = -1  # scikit-learn's label of samples in no cluster
# Pale, so that it stays behind the clusters; its name has to be read.
NOISE_COLOR, NOISE_INK = "#c0c0c0", "#767676"


def check_matplotlib(caller: Any) -> None:
    """Raise an error that names the extra when there is no matplotlib."""
    try:
        import matplotlib  # noqa: F401 (only whether it is there)
    except ImportError as error:
        raise ImportError(
            f"{caller.__name__} needs matplotlib: pip install skdeepclust[plot]."
        ) from error


def check_axes(ax: Any, figsize: tuple[float, float] | None = None) -> Any:
    """Return `ax`, or the axes of a new figure where it is None."""
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes

    if ax is None:
        # Legends stand beside the axes: only this layout leaves room for them.
        return plt.subplots(figsize=figsize, layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise TypeError(
            f"ax must be a matplotlib Axes or None; got {type(ax).__name__}: pass "
            "one of the axes that plt.subplots() returns."
        )
    return ax


def styled(artist: Any, given: dict[str, Any] | None, **defaults: Any) -> Any:
    """Return keywords for an artist: the defaults, and instead of them what is given.

    Short names count as the long ones, as they do in matplotlib.
    """
    from matplotlib.cbook import normalize_kwargs

    long_names = normalize_kwargs(given or {}, artist)
    return {**normalize_kwargs(defaults, artist), **long_names}


def to_numpy(name: str, values: Any) -> NDArray[Any]:
    """Return an array; a tensor may need a gradient or live on another device."""
    if isinstance(values, Tensor):
        return as_array(name, values)
    return np.asarray(values)


def check_rows(name: str, values: Any, n_columns: int) -> NDArray[Any]:
    """Return 2-D finite numbers of at least `n_columns` columns."""
    rows = to_numpy(name, values)
    if rows.ndim != 2 or len(rows) == 0 or rows.shape[1] < n_columns:
        raise ValueError(
            f"{name} must have shape (n_samples, n_components) with one sample and "
            f"{n_columns} components or more; got shape {rows.shape}: pass one row "
            "per sample."
        )
    check_finite(name, rows)
    return rows


def check_finite(name: str, values: NDArray[Any]) -> None:
    """Raise an error unless `values` are numbers, all finite."""
    if values.dtype.kind not in "buif":
        raise TypeError(
            f"{name} must hold real numbers; got type {values.dtype}: convert it."
        )
    if not np.isfinite(values).all():
        raise ValueError(
            f"{name} must be finite; got NaN or infinity: drop such samples."
        )


def check_labels(
    name: str, labels: Any, of: str, n_samples: int
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the clusters' names, and the number of each sample's cluster.

    Names are sorted, and noise is the last. Numbers become integers if all are whole.
    """
    labels = label_array(name, labels)
    if labels.ndim != 1:
        raise ValueError(
            f"{name} must be 1-D, one cluster per sample; got shape {labels.shape}: "
            "take the argmax of probabilities first."
        )
    if len(labels) != n_samples:
        raise ValueError(
            f"{name} must have one entry per sample of {of}; got {len(labels)} for "
            f"{n_samples} samples: pass both for the same samples."
        )
    missing = is_missing(labels)
    if missing.any():
        raise ValueError(
            f"{name} must be finite, none missing; got {labels[missing][0]} at index "
            f"{missing.argmax()}: drop such samples."
        )
    try:
        names, clusters = np.unique(_whole(labels), return_inverse=True)
    except TypeError as error:
        raise TypeError(
            f"{name} must be all numbers or all strings; got both: convert them."
        ) from error
    order = np.argsort([is_noise(label) for label in names], kind="stable")
    return names[order], np.argsort(order)[clusters]


def _whole(labels: NDArray[Any]) -> NDArray[Any]:
    if labels.dtype.kind == "f":
        whole = (labels == np.rint(labels)) & (np.abs(labels) < 2**53)
        return labels.astype(np.int64) if whole.all() else labels
    if labels.dtype.kind == "O" and all(isinstance(k, Integral) for k in labels):
        return np.array(labels.tolist())
    return labels


def is_noise(label: Any) -> bool:
    """Say whether it is the label of samples in no cluster."""
    return not isinstance(label, str) and label == NOISE


def name_cluster(label: Any) -> str:
    """Return what a picture calls a cluster."""
    return "noise" if is_noise(label) else str(label)


def last_step(estimator: Any, X: Any = None) -> tuple[Any, Any]:
    """Return what clusters, and the samples as they get there; None stays None."""
    check_is_fitted(estimator)
    model, X = _compat.last_step(estimator, X)
    check_is_fitted(model)
    return model, X


def fitted_value(estimator: Any, name: str, hint: str) -> Any:
    """Return an attribute or method of what `last_step` returns."""
    if not hasattr(estimator, name):
        raise TypeError(
            f"estimator must have {name}; {type(estimator).__name__} has none: {hint}."
        )
    return getattr(estimator, name)
