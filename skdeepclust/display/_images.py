"""Images of each cluster, by certainty or at random."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import Any, Self, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from skdeepclust.graph._checks import _check_count

from . import _shared as shared

IMAGE_SIZE, TALLEST = 0.5, 24.0  # inches, of a new figure
MOST = 200  # images of a cluster, where all are asked for
MAX_COLUMNS = 10
LETTER = 0.1  # inches, width of one in a heading
DARK = 128  # bytes: images with none as large could hardly be seen


class _PlotOptions(TypedDict, total=False):
    ax: Any
    clusters: Any
    n_columns: int | None
    image_size: float | None
    cmap: Any


@dataclass(eq=False, repr=False)
class ClusterImagesDisplay:
    """Images of each cluster, by default the most and the least certain.

    Each cluster has a row, or several: on the left the most certain images, the most
    certain first; on the right the least certain, the least certain last. No image of
    a small cluster is drawn twice. Make the display by :meth:`from_estimator` or
    :meth:`from_predictions`. Read more in the :ref:`User Guide <pictures>`.

    Parameters
    ----------
    images : ndarray of shape (n_samples, height, width) or \
            (n_samples, channels, height, width)
        The images, gray or with 3 channels (red, green, blue). Those of type uint8 are
        in [0, 255], or scaled by their largest value if that is below 128. Others are
        in [0, 1], or scaled to it by their smallest and largest value.
    groups : list of list of ndarray
        For each of one or two groups of columns, the samples of each cluster.
    names : array-like of shape (n_clusters,), default=None
        Names of the clusters; -1 is noise. None: numbers from 0.
    headings : sequence of str, default=("most certain", "least certain")
        What is written over the groups.

    Attributes
    ----------
    im_ : matplotlib AxesImage
        All images in one. The space between them is NaN, or transparent with colors.
    ax_, figure_ : matplotlib Axes and Figure
        Where the images are drawn.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.mixture import GaussianMixture
    >>> from skdeepclust.display import ClusterImagesDisplay
    >>> digits = load_digits(n_class=3)
    >>> model = GaussianMixture(3, reg_covar=1.0, random_state=0).fit(digits.data)
    >>> display = ClusterImagesDisplay.from_estimator(
    ...     model, digits.data, n_images=3, image_shape=(8, 8)
    ... )
    >>> [len(samples) for samples in display.groups[0]]
    [3, 3, 3]
    """

    images: NDArray[Any]
    groups: Sequence[Sequence[NDArray[Any]]]
    _: KW_ONLY
    names: Any = None
    headings: Sequence[str] = ("most certain", "least certain")

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        n_images: int | None = 5,
        image_shape: Sequence[int] | None = None,
        **options: Unpack[_PlotOptions],
    ) -> Self:
        """Draw images by the probabilities that a fitted estimator predicts.

        Parameters
        ----------
        estimator : estimator
            A fitted clusterer with `predict_proba`; or a pipeline, search or frozen
            estimator of one.
        X : array-like or torch.Tensor
            Images, as for `fit`. They are drawn as they are, before any pipeline.
        n_images, image_shape : optional
            As for :meth:`from_predictions`. None takes the estimator's own shape.
        **options
            `ax`, `clusters`, `n_columns`, `image_size`, `cmap`, as for :meth:`plot`.

        Returns
        -------
        ClusterImagesDisplay
        """
        shared.check_options(cls, **options)
        hint = "pass images and labels to from_predictions"
        model, rows = shared.fitted_step(estimator, X, hint, "predict_proba")
        if image_shape is None:
            image_shape = getattr(model, "image_shape", None)
        images, proba = _check_images("X", X, image_shape), model.predict_proba(rows)
        return cls.from_predictions(images, proba, n_images=n_images, **options)

    @classmethod
    def from_predictions(
        cls,
        images: Any,
        y_pred: ArrayLike,
        *,
        n_images: int | None = 5,
        image_shape: Sequence[int] | None = None,
        random_state: int | np.random.RandomState | None = None,
        **options: Unpack[_PlotOptions],
    ) -> Self:
        """Draw images by their probabilities or their labels.

        Parameters
        ----------
        images : array-like of shape (n_samples, height, width), \
                (n_samples, channels, height, width) or (n_samples, n_pixels)
            Images of 1 channel (gray) or 3 (red, green, blue). With another number of
            channels, their mean is drawn. Rows of pixels need `image_shape`.
        y_pred : array-like of shape (n_samples, n_clusters) or (n_samples,)
            The probability of each cluster, or the cluster; -1 is noise, and comes
            last. Of clusters alone, one group of random images is drawn.
        n_images : int, default=5
            Images of each cluster in each group. None draws all in one group, from the
            most to the least certain; of more than 200, 200 evenly spaced ones.
        image_shape : tuple of int, default=None
            (channels, height, width) or (height, width) of images that are rows.
        random_state : int, RandomState instance or None, default=None
            Seeds the choice of random images.
        **options
            `ax`, `clusters`, `n_columns`, `image_size`, `cmap`, as for :meth:`plot`.

        Returns
        -------
        ClusterImagesDisplay
        """
        shared.check_options(cls, **options)
        images = _check_images("images", images, image_shape)
        if n_images is not None:
            n_images = _check_count("n_images", n_images)
        scores = shared.as_numpy("y_pred", y_pred)
        by_certainty = scores.ndim == 2
        if by_certainty:
            shared.check_finite("y_pred", scores)
            order = np.argsort(-scores.max(axis=1), kind="stable")
            scores = scores.argmax(axis=1)
        names, numbers = shared.check_labels("y_pred", scores, images=images)
        if not by_certainty:
            order = check_random_state(random_state).permutation(len(images))
        members = [order[numbers[order] == k] for k in range(len(names))]
        headings = ["most to least certain" if by_certainty else "random images"]
        if n_images is None:
            groups = [[_spread(m) for m in members]]
        elif by_certainty:
            # A small cluster leaves half of its images to the second group.
            firsts = [m[: min(n_images, -(-len(m) // 2))] for m in members]
            rest = [m[len(first) :] for m, first in zip(members, firsts, strict=True)]
            groups = [firsts, [m[-n_images:] for m in rest]]
            headings = ["most certain", "least certain"]
        else:
            groups = [[m[:n_images] for m in members]]
        return cls(images, groups, names=names, headings=headings).plot(**options)

    def plot(
        self,
        ax: Any = None,
        *,
        clusters: Any = None,
        n_columns: int | None = None,
        image_size: float | None = None,
        cmap: Any = "gray",
    ) -> Self:
        """Draw the images.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure, large enough for all rows.
        clusters : label or list of labels, default=None
            Clusters to draw, in this order. None: all.
        n_columns : int, default=None
            Images of each group in a row; others follow in further rows. None: at most
            10, the same number in all rows.
        image_size : float, default=None
            The longer side of an image in inches, in a new figure. None: 0.5, or less
            if the figure would be higher than 24.
        cmap : str or matplotlib Colormap, default="gray"
            Colors of gray images.

        Returns
        -------
        ClusterImagesDisplay
        """
        shared.check_matplotlib(type(self))
        images = _check_images("images", self.images, None)
        is_number = isinstance(image_size, Real) and not isinstance(image_size, bool)
        if image_size is not None and not (is_number and 0 < image_size < np.inf):
            raise ValueError(
                f"image_size must be a positive number of inches or None; got "
                f"{image_size!r}: pass 0.5, for instance."
            )
        names = np.arange(len(self.groups[0])) if self.names is None else self.names
        chosen = _choose(names, clusters)
        groups = [[group[k] for k in chosen] for group in self.groups]
        if n_columns is None:
            longest = max(1, *(len(samples) for group in groups for samples in group))
            n_columns = -(-longest // -(-longest // MAX_COLUMNS))
        n_columns = _check_count("n_columns", n_columns)
        canvas, rows, columns = _compose(images, groups, n_columns)
        height, width = canvas.shape[:2]
        pixel = (image_size or IMAGE_SIZE) / max(images.shape[-2:])
        tallest = TALLEST if image_size is None else np.inf
        size = (1 + pixel * width, min(tallest, 0.5 + pixel * height))
        ax = shared.check_axes(ax, size)
        self.im_ = ax.imshow(canvas, cmap=cmap, vmin=0, vmax=1)
        shared.name_ticks(ax.yaxis, rows, [names[k] for k in chosen])
        room = shared.inches(ax) * np.diff(columns).min(initial=width) / width
        headings = self.headings[: len(self.groups)]
        # Side by side they may be wider than few or small images.
        between = "\n" if room < LETTER * max(map(len, headings)) else " "
        ax.set_xticks(columns, [text.replace(" ", between) for text in headings])
        ax.xaxis.tick_top()
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_ylabel("cluster")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _spread(samples: NDArray[Any]) -> NDArray[Any]:
    """Return at most `MOST` of them, evenly spaced."""
    n = min(MOST, len(samples))
    places = np.linspace(0, len(samples) - 1, n).round().astype(int)
    return np.take(samples, places)


def _choose(names: Any, clusters: Any) -> list[int]:
    """Return the places of the clusters that were asked for."""
    known = np.asarray(names).tolist()
    if clusters is None:
        return [*range(len(known))]
    wanted = np.atleast_1d(shared.as_numpy("clusters", clusters)).tolist()
    if not wanted or any(name not in known for name in wanted):
        raise ValueError(
            f"clusters must be a label or a list of labels out of {known}; got "
            f"{clusters!r}: pass some of these, or None for all."
        )
    return [known.index(name) for name in wanted]


def _check_images(name: str, images: Any, image_shape: Any) -> NDArray[Any]:
    """Return images without a channel, or with three in front."""
    array = shared.as_numpy(name, images)
    shared.check_finite(name, array)
    is_table = array.ndim == 2
    if is_table:
        if image_shape is None:
            raise ValueError(
                f"{name} must be images; got rows of shape {array.shape}: pass "
                "image_shape, (height, width) or (channels, height, width)."
            )
        shape = tuple(image_shape)
        if len(shape) not in (2, 3) or np.prod(shape) != array.shape[1]:
            raise ValueError(
                f"image_shape={shape} must have two or three sizes and as many values "
                f"as the rows of {name}; got {array.shape[1]}: pass the shape they had."
            )
        array = array.reshape(len(array), *shape)
    if array.ndim not in (3, 4) or (not is_table and _is_channels_last(array)):
        raise ValueError(
            f"{name} must have shape (n_samples, height, width) or (n_samples, "
            f"channels, height, width); got shape {array.shape}: move the channels to "
            "the second place."
        )
    if array.size == 0:
        raise ValueError(
            f"{name} must hold an image or more; got shape {array.shape}: pass one."
        )
    if array.ndim == 3 or array.shape[1] == 3:
        return array
    mean: NDArray[Any] = array[:, 0] if array.shape[1] == 1 else array.mean(axis=1)
    # The type says what is black and what is white.
    return mean.round().astype(np.uint8) if array.dtype == np.uint8 else mean


def _is_channels_last(images: NDArray[Any]) -> bool:
    if images.ndim != 4 or images.shape[1] in (1, 3):
        return False
    n_last = images.shape[3]
    return n_last in (1, 3) or n_last <= 4 < min(images.shape[1:3])


def _compose(
    images: NDArray[Any], groups: Sequence[Sequence[NDArray[Any]]], n_columns: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Lay the images out in one; return it, and the middles of clusters and groups.

    Each group has so many columns at most. Further images go to the next lines of their
    cluster.
    """
    # What is black and what is white, as when fitting.
    low, high = float(images.min()), float(images.max())
    if images.dtype == np.uint8:
        low, high = 0.0, 255.0 if high >= DARK else max(high, 1.0)
    elif low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low == high:
        high += abs(low)
    height, width = images.shape[-2:]
    gap = max(1, round(height / 10))
    step_y, step_x = height + gap, width + gap
    counts = np.array([[len(samples) for samples in group] for group in groups])
    n_across = np.clip(counts.max(axis=1), 1, n_columns)
    n_down = np.maximum(1, -(-counts.max(axis=0) // n_columns))
    between = max(2, width // 2)
    # Lines of one cluster are closer to each other than to those of the next.
    apart = 0 if n_down.max() == 1 else max(2, height // 2)
    lefts = np.append(0, np.cumsum(n_across * step_x + between))
    tops = np.append(0, np.cumsum(n_down * step_y + apart))
    # The last sums are the size.
    shape = (tops[-1] - apart - gap, lefts[-1] - between - gap)
    canvas = np.full(shape, np.nan) if images.ndim == 3 else np.zeros((*shape, 4))
    for left, group in zip(lefts, groups, strict=False):
        for top, samples in zip(tops, group, strict=False):
            for i, sample in enumerate(samples):
                line, column = divmod(i, n_columns)
                y, x = top + line * step_y, left + column * step_x
                tile = (images[sample].astype(float) - low) / (high - low)
                if images.ndim == 4:
                    tile = np.dstack([*tile, np.ones((height, width))])
                canvas[y : y + height, x : x + width] = tile
    rows = tops[:-1] + (n_down * step_y - gap - 1) / 2
    columns = lefts[:-1] + (n_across * step_x - gap - 1) / 2
    return canvas, rows, columns
