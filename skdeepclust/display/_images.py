"""The most and the least certain images of each cluster."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from skdeepclust.graph._checks import _check_count

from ._checks import (
    check_axes,
    check_finite,
    check_labels,
    check_matplotlib,
    fitted_value,
    to_numpy,
)

TILE = 0.5  # inches, of a new figure
TALLEST = 24.0  # inches


class ClusterImagesDisplay:
    """The most and the least certain images of each cluster.

    Each cluster has a row: on the left the images that surely belong to it, the surest
    first; on the right, after a gap, those that hardly do, the least certain last. In
    a small cluster the two groups share its images, and none is drawn twice.

    Make it by :meth:`from_estimator` or :meth:`from_predictions`. All parameters are
    stored as attributes.

    Read more in the :ref:`User Guide <pictures>`.

    Parameters
    ----------
    images : ndarray of shape (n_samples, height, width) or \
            (n_samples, channels, height, width)
        The images. Those of type uint8 are in [0, 255], others in [0, 1] or scaled to
        it by their smallest and largest value.
    groups : list of list of ndarray
        For each group of columns, one or two of them, the samples of each cluster.
    names : array-like of shape (n_clusters,), default=None
        Names of the clusters. None: numbers from 0.
    headings : sequence of str, default=("most certain", "least certain")
        What is written over the groups.

    Attributes
    ----------
    im_ : matplotlib AxesImage
        All images in one. The paper between them is NaN, or transparent with colours.
    ax_ : matplotlib Axes
        Axes with the images.
    figure_ : matplotlib Figure
        Figure that holds the axes.

    See Also
    --------
    EmbeddingDisplay : All samples as points.

    Examples
    --------
    >>> import numpy as np
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

    def __init__(
        self,
        images: NDArray[Any],
        groups: Sequence[Sequence[NDArray[Any]]],
        *,
        names: Any = None,
        headings: Sequence[str] = ("most certain", "least certain"),
    ) -> None:
        self.images = images
        self.groups = groups
        self.names = names
        self.headings = headings

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        n_images: int = 5,
        image_shape: Sequence[int] | None = None,
        ax: Any = None,
        cmap: Any = "gray",
    ) -> "ClusterImagesDisplay":
        """Draw images by what a fitted estimator says of them.

        Parameters
        ----------
        estimator : estimator
            A fitted clusterer with `predict_proba`.
        X : array-like or torch.Tensor
            Images, as for `fit`; they may be others.
        n_images : int, default=5
            As for :meth:`from_predictions`.
        image_shape : tuple of int, default=None
            As for :meth:`from_predictions`. None takes the estimator's own.
        ax : matplotlib Axes, default=None
            As for :meth:`plot`.
        cmap : str or matplotlib Colormap, default="gray"
            As for :meth:`plot`.

        Returns
        -------
        ClusterImagesDisplay
            The display, drawn.
        """
        check_matplotlib(cls)
        mend = "pass images and labels to from_predictions"
        predict_proba = fitted_value(estimator, "predict_proba", mend)
        if image_shape is None:
            # The last step of a pipeline knows, too.
            steps = getattr(estimator, "steps", [(None, estimator)])
            image_shape = getattr(steps[-1][1], "image_shape", None)
        images = _check_images("X", X, image_shape)
        return cls.from_predictions(
            images, predict_proba(X), n_images=n_images, ax=ax, cmap=cmap
        )

    @classmethod
    def from_predictions(
        cls,
        images: Any,
        y_pred: ArrayLike,
        *,
        n_images: int = 5,
        image_shape: Sequence[int] | None = None,
        random_state: int | np.random.RandomState | None = None,
        ax: Any = None,
        cmap: Any = "gray",
    ) -> "ClusterImagesDisplay":
        """Draw images by their probabilities or their labels.

        Parameters
        ----------
        images : array-like of shape (n_samples, height, width), \
                (n_samples, channels, height, width) or (n_samples, n_pixels)
            Images of 1 channel (grey) or 3 (red, green, blue). Rows of pixels need
            `image_shape`.
        y_pred : array-like of shape (n_samples, n_clusters) or (n_samples,)
            The probability of each cluster, or the cluster. Clusters alone say nothing
            of certainty: there is one group, of random images.
        n_images : int, default=5
            Images of each group in a row.
        image_shape : tuple of int, default=None
            (channels, height, width) or (height, width) of images that are rows.
        random_state : int, RandomState instance or None, default=None
            Seeds the choice of random images.
        ax : matplotlib Axes, default=None
            As for :meth:`plot`.
        cmap : str or matplotlib Colormap, default="gray"
            As for :meth:`plot`.

        Returns
        -------
        ClusterImagesDisplay
            The display, drawn.
        """
        check_matplotlib(cls)
        images = _check_images("images", images, image_shape)
        n_images = _check_count("n_images", n_images)
        scores = to_numpy("y_pred", y_pred)
        if scores.ndim == 2:
            check_finite("y_pred", scores)
            names, clusters = check_labels(
                "y_pred", scores.argmax(axis=1), "images", len(images)
            )
            order = np.argsort(-scores.max(axis=1), kind="stable")
            headings: tuple[str, ...] = ("most certain", "least certain")
        else:
            names, clusters = check_labels("y_pred", scores, "images", len(images))
            order = check_random_state(random_state).permutation(len(images))
            headings = ("random images",)
        members = [order[clusters[order] == k] for k in range(len(names))]
        groups = [[m[: _n_first(len(m), n_images, len(headings))] for m in members]]
        if len(headings) == 2:
            rest = [
                m[len(first) :] for m, first in zip(members, groups[0], strict=True)
            ]
            groups.append([m[-n_images:] for m in rest])
        display = cls(images, groups, names=names, headings=headings)
        return display.plot(ax, cmap=cmap)

    def plot(self, ax: Any = None, *, cmap: Any = "gray") -> "ClusterImagesDisplay":
        """Draw the images.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure, large enough for all rows.
        cmap : str or matplotlib Colormap, default="gray"
            Colours of grey images.

        Returns
        -------
        ClusterImagesDisplay
            The display itself.
        """
        check_matplotlib(type(self))
        images = _check_images("images", self.images, None)
        canvas, rows, columns = _compose(images, self.groups)
        height, width = canvas.shape[:2]
        tile = TILE / images.shape[-2]
        ax = check_axes(ax, (1 + tile * width, min(TALLEST, 0.5 + tile * height)))
        self.im_ = ax.imshow(canvas, cmap=cmap, vmin=0, vmax=1)
        names = np.arange(len(rows)) if self.names is None else self.names
        ax.set_yticks(rows, [str(name) for name in names])
        inches = ax.get_window_extent().width / ax.figure.dpi
        room = inches * np.diff(columns).min(initial=width) / width
        headings = self.headings[: len(self.groups)]
        ax.set_xticks(
            columns,
            # Side by side they may be wider than few or small images.
            [text.replace(" ", "\n" if room < 1.2 else " ") for text in headings],
        )
        ax.xaxis.tick_top()
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_ylabel("cluster")
        self.ax_ = ax
        self.figure_ = ax.figure
        return self


def _n_first(n_members: int, n_images: int, n_groups: int) -> int:
    """Leave half of a small cluster to the second group."""
    return min(n_images, -(-n_members // n_groups))


def _check_images(name: str, images: Any, image_shape: Any) -> NDArray[Any]:
    """Return images without a channel, or with three in front."""
    images = to_numpy(name, images)
    if images.dtype.kind not in "buif":
        raise TypeError(
            f"{name} must hold real numbers; got type {images.dtype}: convert it."
        )
    if images.ndim == 2:
        if image_shape is None:
            raise ValueError(
                f"{name} must be images; got rows of shape {images.shape}: pass "
                "image_shape, (height, width) or (channels, height, width)."
            )
        if np.prod(image_shape) != images.shape[1]:
            raise ValueError(
                f"image_shape={tuple(image_shape)} must have as many pixels as the "
                f"rows of {name}; got {images.shape[1]}: pass the shape they had."
            )
        images = images.reshape(len(images), *image_shape)
    if images.ndim == 4 and images.shape[1] == 1:
        images = images[:, 0]
    if not (images.ndim == 3 or (images.ndim == 4 and images.shape[1] == 3)):
        raise ValueError(
            f"{name} must have shape (n_samples, height, width) or (n_samples, 1 or 3 "
            f"channels, height, width); got shape {images.shape}: move the channels "
            "to the second place, or pick 1 or 3 of them."
        )
    if images.size == 0:
        raise ValueError(
            f"{name} must hold an image or more; got shape {images.shape}: pass some."
        )
    return images


def _range(images: NDArray[Any]) -> tuple[float, float]:
    """Return what is black and what is white, as when fitting."""
    if images.dtype == np.uint8:
        return 0.0, 255.0
    low, high = float(images.min()), float(images.max())
    if not np.isfinite(low + high):
        raise ValueError(
            "images must be finite; got NaN or infinity: drop such images."
        )
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return low, max(high, low + 1e-12)


def _compose(
    images: NDArray[Any], groups: Sequence[Sequence[NDArray[Any]]]
) -> tuple[NDArray[Any], list[float], list[float]]:
    """Lay the images out in one; return it, and the middles of rows and of groups."""
    low, high = _range(images)
    height, width = images.shape[-2:]
    gap = max(1, round(height / 10))
    step_y, step_x = height + gap, width + gap
    n_columns = [max(1, *map(len, group)) for group in groups]
    starts = np.cumsum([0, *(n * step_x + max(2, width // 2) for n in n_columns)])
    shape = (len(groups[0]) * step_y - gap, starts[-2] + n_columns[-1] * step_x - gap)
    canvas = np.full(shape, np.nan) if images.ndim == 3 else np.zeros((*shape, 4))
    for start, group in zip(starts, groups, strict=False):
        for i, samples in enumerate(group):
            for j, sample in enumerate(samples):
                top, left = i * step_y, start + j * step_x
                tile = (images[sample].astype(float) - low) / (high - low)
                place = canvas[top : top + height, left : left + width]
                if images.ndim == 3:
                    place[:] = tile
                else:
                    place[..., :3] = tile.transpose(1, 2, 0)
                    place[..., 3] = 1
    rows = [i * step_y + (height - 1) / 2 for i in range(len(groups[0]))]
    columns = [
        start + (n * step_x - gap - 1) / 2
        for start, n in zip(starts, n_columns, strict=False)
    ]
    return canvas, rows, columns
