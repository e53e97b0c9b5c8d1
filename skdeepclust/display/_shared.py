"""What the displays share: checks of what they are given, axes to draw on, colors."""

from collections.abc import Iterable
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skdeepclust._utils.compat import last_step
from skdeepclust._utils.labels import check_lengths, number_labels, to_numpy

# Ten colors, none of them gray, chosen by a search so that the nearest two of them
# are as far apart as can be for normal, red-, green- and blue-blind eyes alike.
COLORS = (
    *("#385fc5", "#e67b1c", "#15b9a0", "#a15876", "#e4c92c"),
    *("#581834", "#a183f3", "#5b5609", "#a6cdfe", "#002a81"),
)
INK = "#222222"
# Pale, so that it stays behind the clusters; its name has to be read.
NOISE_COLOR, NOISE_INK = "#c0c0c0", "#767676"


def check_matplotlib(caller: type) -> None:
    """Raise an error that names the extra if there is no matplotlib."""
    try:
        import matplotlib  # noqa: F401 (only whether it is there)
    except ImportError as error:
        raise ImportError(
            f"{caller.__name__} needs matplotlib: pip install skdeepclust[plot]."
        ) from error


def check_options(cls: Any, ax: Any = None, **options: Any) -> None:
    """Raise errors of matplotlib and of the options of `plot` before long work."""
    check_matplotlib(cls)
    signature(cls.plot).bind(cls, ax, **options)
    if ax is not None:
        check_axes(ax)


def check_axes(ax: Any, figsize: tuple[float, float] | None = None) -> Any:
    """Return `ax`, or the axes of a new figure if it is None."""
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


def inches(ax: Any) -> float:
    """Return the width of axes."""
    return float(ax.get_window_extent().width / ax.figure.dpi)


def styled(artist: Any, given: dict[str, Any] | None, **defaults: Any) -> Any:
    """Return keywords for an artist, short names made long: `given` over `defaults`."""
    from matplotlib.cbook import normalize_kwargs

    return normalize_kwargs(defaults, artist) | normalize_kwargs(given or {}, artist)


def as_numpy(name: str, values: Any) -> NDArray[Any]:
    """Return an array; a tensor may need a gradient or live on another device."""
    return np.asarray(to_numpy(name, values))


def check_rows(name: str, values: Any) -> NDArray[Any]:
    """Return 2-D finite numbers of two columns or more."""
    rows = as_numpy(name, values)
    if rows.ndim != 2 or len(rows) == 0 or rows.shape[1] < 2:
        raise ValueError(
            f"{name} must have shape (n_samples, n_components) with one sample and "
            f"2 components or more; got shape {rows.shape}: pass one row per sample."
        )
    check_finite(name, rows)
    return rows


def check_finite(name: str, values: NDArray[Any]) -> None:
    """Raise an error unless `values` are real numbers, all finite."""
    if values.dtype.kind not in "buif":
        raise TypeError(
            f"{name} must hold real numbers; got type {values.dtype}: convert it."
        )
    # The extremes take no memory, as a mask of all values would; NaN is both.
    if values.size and not np.isfinite([values.min(), values.max()]).all():
        raise ValueError(
            f"{name} must be finite; got NaN or infinity: drop such samples."
        )


def check_labels(
    name: str, labels: Any, **samples: Any
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the clusters' names, and the number of each of the named samples' cluster.

    Names are sorted, and noise is the last. Floats become integers if all are whole.
    """
    names, clusters = number_labels(name, labels)
    check_lengths(**{name: clusters}, **samples)
    if names.dtype.kind == "f":
        whole = (names == np.rint(names)) & (np.abs(names) < 2**53)
        names = names.astype(np.int64) if whole.all() else names
    order = np.argsort([is_noise(label) for label in names], kind="stable")
    return names[order], np.argsort(order)[clusters]


def is_noise(label: Any) -> bool:
    """Say whether it is -1, scikit-learn's label of samples in no cluster."""
    return not isinstance(label, str) and bool(label == -1)


def name_cluster(label: Any) -> str:
    """Return the name of a cluster in a picture."""
    return "noise" if is_noise(label) else str(label)


def name_ticks(axis: Any, places: Any, names: Iterable[Any], **style: Any) -> None:
    """Write the clusters' names along an axis; that of noise is gray."""
    names = [*names]
    axis.set_ticks(places, [name_cluster(name) for name in names], **style)
    for name, text in zip(names, axis.get_ticklabels(), strict=True):
        if is_noise(name):
            text.set_color(NOISE_INK)


def fitted_step(estimator: Any, X: Any, hint: str, *names: str) -> tuple[Any, Any]:
    """Return the last step of a fitted estimator, and the samples as they get there.

    Raise an error with a hint unless the step has attributes or methods of these names.
    """
    check_is_fitted(estimator)
    model, X = last_step(estimator, X)
    for name in names:
        if not hasattr(model, name):
            kind = type(model).__name__
            raise TypeError(f"estimator must have {name}; {kind} has none: {hint}.")
    return model, X
