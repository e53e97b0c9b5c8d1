"""The embedding in two dimensions, colored by cluster."""

from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from skdeepclust.graph._checks import _check_count

from ._checks import (
    COLORS,
    INK,
    NOISE_COLOR,
    check_axes,
    check_labels,
    check_matplotlib,
    check_rows,
    fitted_step,
    fitted_value,
    inches,
    is_noise,
    name_cluster,
    styled,
)
from ._plane import to_plane

# With ten colors, markers tell up to 60 clusters apart. Neighbors in the list differ
# most, since clusters 0 and 10 have one color.
MARKERS = ("o", "x", "^", "+", "s", "v")
LEGEND_ROWS = 12
NARROW = 3.5  # inches


@dataclass(eq=False, repr=False)
class EmbeddingDisplay:
    """The embedding in two dimensions, colored by cluster.

    Make it by :meth:`from_estimator` or :meth:`from_predictions`. All parameters are
    stored as attributes. Read more in the :ref:`User Guide <pictures>`.

    Parameters
    ----------
    points : ndarray of shape (n_points, 2)
        Where each sample is drawn.
    labels : ndarray of shape (n_points,)
        Cluster of each sample; -1 is noise.
    indices : ndarray of shape (n_points,), default=None
        Rows of the data that the points stand for. None: all of them, in order.
    xlabel, ylabel : str, default=None
        Names of the axes.

    Attributes
    ----------
    scatters_ : list of matplotlib PathCollection
        The points of each cluster, in the order of the clusters' names; noise is last.
    center_texts_ : list of matplotlib Text
        The clusters' names in their middles; empty unless asked for. Noise has none.
    legend_ : matplotlib Legend or None
        The legend, if there is one.
    ax_, figure_ : matplotlib Axes and Figure
        Where the points are drawn.

    See Also
    --------
    ClusterImagesDisplay : Images of each cluster.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepclust.display import EmbeddingDisplay
    >>> X, y = make_blobs(150, 10, centers=4, random_state=0)
    >>> display = EmbeddingDisplay.from_predictions(X, y, mark_centers=True)
    >>> display.points.shape
    (150, 2)
    """

    points: NDArray[Any]
    labels: NDArray[Any]
    _: KW_ONLY
    indices: NDArray[Any] | None = None
    xlabel: str | None = None
    ylabel: str | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        *,
        method: Any = "pca",
        max_samples: int | None = 5000,
        random_state: int | np.random.RandomState | None = None,
        ax: Any = None,
        mark_centers: bool = False,
        legend: bool = True,
        scatter_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the embedding of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted clusterer with `embedding_`, or with `transform` and `predict`; or
            a pipeline that ends with one, a search, or a frozen estimator.
        X : array-like, default=None
            Samples to embed, transformed by the other steps of a pipeline first. None
            draws the training data.
        method, max_samples, random_state : optional
            As for :meth:`from_predictions`.
        ax, mark_centers, legend, scatter_kwargs : optional
            As for :meth:`plot`.

        Returns
        -------
        EmbeddingDisplay
            The display, drawn.
        """
        check_matplotlib(cls)
        model, X = fitted_step(estimator, X)
        if X is None:
            embedding = fitted_value(model, "embedding_", "pass X")
            labels = fitted_value(model, "labels_", "pass X")
        else:
            hint = "leave X out to draw the training data"
            embedding = fitted_value(model, "transform", hint)(X)
            labels = fitted_value(model, "predict", hint)(X)
        return cls.from_predictions(
            embedding,
            labels,
            method=method,
            max_samples=max_samples,
            random_state=random_state,
            ax=ax,
            mark_centers=mark_centers,
            legend=legend,
            scatter_kwargs=scatter_kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        embedding: ArrayLike,
        labels: ArrayLike,
        *,
        method: Any = "pca",
        max_samples: int | None = 5000,
        random_state: int | np.random.RandomState | None = None,
        ax: Any = None,
        mark_centers: bool = False,
        legend: bool = True,
        scatter_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw an embedding and its clusters.

        Parameters
        ----------
        embedding : array-like of shape (n_samples, n_components)
            The embedding. Two components are drawn as they are.
        labels : array-like of shape (n_samples,)
            Cluster of each sample. -1 is noise, drawn in gray.
        method : {"pca", "tsne"} or transformer, default="pca"
            What reduces more components to two.

            - "pca": the first principal components. Fast; clusters that are apart in
              the picture are apart, but others may seem to overlap.
            - "tsne": keeps neighbors together. It shows clusters better, takes
              longer, and distances between clusters say little.
            - a transformer with `fit_transform`; a clone of it is used.
        max_samples : int, default=5000
            Number of samples, drawn at random, that are shown if there are more; keeps
            t-SNE fast. None shows all.
        random_state : int, RandomState instance or None, default=None
            Seeds the subset and t-SNE.
        ax, mark_centers, legend, scatter_kwargs : optional
            As for :meth:`plot`.

        Returns
        -------
        EmbeddingDisplay
            The display, drawn.
        """
        check_matplotlib(cls)
        # Wrong axes should not be found out after minutes of t-SNE.
        ax = None if ax is None else check_axes(ax)
        rows = check_rows("embedding", embedding)
        names, clusters = check_labels("labels", labels, "embedding", len(rows))
        random = check_random_state(random_state)
        indices = np.arange(len(rows))
        if max_samples is not None and len(rows) > _check_count(
            "max_samples", max_samples
        ):
            indices = np.sort(random.choice(len(rows), max_samples, replace=False))
        points, (xlabel, ylabel) = to_plane(rows[indices], method, random)
        shown = names[clusters[indices]]
        display = cls(points, shown, indices=indices, xlabel=xlabel, ylabel=ylabel)
        return display.plot(
            ax, mark_centers=mark_centers, legend=legend, scatter_kwargs=scatter_kwargs
        )

    def plot(
        self,
        ax: Any = None,
        *,
        mark_centers: bool = False,
        legend: bool = True,
        scatter_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the points.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure. The legend stands outside the
            axes; your own figure needs ``layout="constrained"`` to make room.
        mark_centers : bool, default=False
            Whether to write each cluster's name in its middle (its median). Noise has
            no middle.
        legend : bool, default=True
            Whether to explain colors and markers: on the right, or below narrow axes.
        scatter_kwargs : dict, default=None
            Keywords for matplotlib's `scatter`, such as ``{"s": 5}``. They replace the
            defaults.

        Returns
        -------
        EmbeddingDisplay
            The display itself.
        """
        check_matplotlib(type(self))
        points = check_rows("points", self.points)[:, :2]
        names, clusters = check_labels("labels", self.labels, "points", len(points))
        ax = check_axes(ax)
        looks = _looks(names)
        self.scatters_ = []
        self.center_texts_ = []
        for k, (name, look) in enumerate(zip(names, looks, strict=True)):
            members = points[clusters == k]
            style = _style(look, len(points), scatter_kwargs)
            self.scatters_.append(
                ax.scatter(*members.T, **{"label": name_cluster(name), **style})
            )
            if mark_centers and look is not None:
                middle = np.median(members, axis=0)
                self.center_texts_.append(_write(ax, middle, name, COLORS[look[0]]))
        # Small clusters last, so that none disappears under a large one.
        for place, k in enumerate(np.argsort(-np.bincount(clusters), kind="stable")):
            above = 0 if is_noise(names[k]) else place + 1
            self.scatters_[k].set_zorder(1 + 0.5 * above / (len(names) + 1))
        # Distances mean something, units do not.
        ax.set_aspect("equal", adjustable="datalim")
        ax.set(xticks=[], yticks=[], xlabel=self.xlabel, ylabel=self.ylabel)
        self.legend_ = _add_legend(ax, names) if legend else None
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _looks(names: NDArray[Any]) -> list[tuple[int, int] | None]:
    """Return the numbers of each cluster's color and marker; None for noise.

    The color of an integer is always the same, so that a cluster looks the same in
    pictures from which others are missing. Markers differ as long as there are some.
    """
    whole = names.dtype.kind in "biu"
    numbers = names.tolist() if whole else range(len(names))
    looks: dict[int, tuple[int, int] | None] = {}
    taken: set[tuple[int, int]] = set()
    # Negative numbers last: they must not take the marker of a usual one.
    for k in sorted(numbers, key=lambda k: (k < 0, k)):
        if is_noise(k):
            looks[k] = None
            continue
        first, color = divmod(k, len(COLORS))
        wanted = [(color, (first + i) % len(MARKERS)) for i in range(len(MARKERS))]
        looks[k] = look = next((w for w in wanted if w not in taken), wanted[0])
        taken.add(look)
    return [looks[k] for k in numbers]


def _style(
    look: tuple[int, int] | None, n_points: int, given: dict[str, Any] | None
) -> dict[str, Any]:
    from matplotlib.collections import PathCollection

    size = float(np.clip(500 / np.sqrt(n_points), 4, 25))
    marker = "o" if look is None else MARKERS[look[1]]
    # Crosses consist of lines alone, and look thinner than discs.
    crossed = marker in "x+"
    style: dict[str, Any] = styled(
        PathCollection,
        given,
        color=NOISE_COLOR if look is None else COLORS[look[0]],
        marker=marker,
        s=1.5 * size if crossed else size,
        linewidth=1 if crossed else 0,
        alpha=0.85,
    )
    if "c" in style:
        # Another name of it to `scatter`, which does not take both.
        del style["color"]
    return style


def _write(ax: Any, place: NDArray[Any], name: Any, color: str) -> Any:
    box = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": color}
    return ax.text(
        *place,
        str(name),
        color=INK,
        fontsize="small",
        fontweight="bold",
        ha="center",
        va="center",
        bbox={**box, "linewidth": 1.5, "alpha": 0.9},
    )


def _add_legend(ax: Any, names: NDArray[Any]) -> Any:
    from matplotlib.transforms import offset_copy

    narrow = inches(ax) < NARROW
    width = 0.4 + 0.07 * max(len(name_cluster(name)) for name in names)
    fitting = max(1, min(len(names), int(inches(ax) / width)))
    # Below the name of the axis, however high the axes are.
    below = offset_copy(ax.transAxes, ax.figure, y=-22, units="points")
    return ax.legend(
        loc="upper center" if narrow else "upper left",
        bbox_to_anchor=(0.5, 0) if narrow else (1.02, 1),
        bbox_transform=below if narrow else ax.transAxes,
        ncols=fitting if narrow else -(-len(names) // LEGEND_ROWS),
        title="cluster",
        fontsize="small",
        markerscale=2,
        handletextpad=0.1,
        columnspacing=0.8,
        frameon=False,
        borderaxespad=0,
    )
