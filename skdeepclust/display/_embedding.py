"""The embedding in two dimensions, colored by cluster."""

from dataclasses import KW_ONLY, dataclass
from typing import Any, Self, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.utils import check_random_state

from skdeepclust.graph._checks import _check_count

from . import _shared as shared

# With ten colors, markers tell up to 60 clusters apart. Neighbors in the list differ
# most, since clusters 0 and 10 have one color.
MARKERS = ("o", "x", "^", "+", "s", "v")
LEGEND_ROWS = 12
NARROW = 3.5  # inches


class _PlotOptions(TypedDict, total=False):
    ax: Any
    mark_centers: bool
    legend: bool
    scatter_kwargs: dict[str, Any] | None


@dataclass(eq=False, repr=False)
class EmbeddingDisplay:
    """The embedding in two dimensions, colored by cluster.

    Make the display by :meth:`from_estimator` or :meth:`from_predictions`. Read more in
    the :ref:`User Guide <pictures>`.

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
        The clusters' names at their medians, if asked for. Noise has none.
    legend_ : matplotlib Legend or None
        The legend.
    ax_, figure_ : matplotlib Axes and Figure
        Where the points are drawn.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepclust.display import EmbeddingDisplay
    >>> X, y = make_blobs(150, 10, centers=4, random_state=0)
    >>> EmbeddingDisplay.from_predictions(X, y, mark_centers=True).points.shape
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
        **options: Unpack[_PlotOptions],
    ) -> Self:
        """Draw the embedding of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted clusterer with `embedding_`, or with `transform` and `predict`; or
            a pipeline, search or frozen estimator of one.
        X : array-like, default=None
            Samples to embed, after the other steps of a pipeline. None draws the
            training data.
        method, max_samples, random_state : optional
            As for :meth:`from_predictions`.
        **options
            `ax`, `mark_centers`, `legend` and `scatter_kwargs`, as for :meth:`plot`.

        Returns
        -------
        EmbeddingDisplay
        """
        shared.check_options(cls, **options)
        if X is None:
            names = ("embedding_", "labels_")
            model, _ = shared.fitted_step(estimator, X, "pass X", *names)
            embedding, labels = model.embedding_, model.labels_
        else:
            hint = "leave X out to draw the training data"
            model, X = shared.fitted_step(estimator, X, hint, "transform", "predict")
            embedding, labels = model.transform(X), model.predict(X)
        return cls.from_predictions(
            embedding,
            labels,
            method=method,
            max_samples=max_samples,
            random_state=random_state,
            **options,
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
        **options: Unpack[_PlotOptions],
    ) -> Self:
        """Draw an embedding and its clusters.

        Parameters
        ----------
        embedding : array-like of shape (n_samples, n_components)
            The embedding. Two components are drawn as they are.
        labels : array-like of shape (n_samples,)
            Cluster of each sample. -1 is noise, drawn in gray.
        method : {"pca", "tsne"} or transformer, default="pca"
            What reduces more components to two. "pca" is fast; clusters that are apart
            may seem to overlap. "tsne" is slower and keeps neighbors together, but
            distances between clusters say little. A transformer has `fit_transform`; a
            clone of it is used.
        max_samples : int, default=5000
            Of more samples, so many random ones are shown. None shows all.
        random_state : int, RandomState instance or None, default=None
            Seeds the subset and t-SNE.
        **options
            `ax`, `mark_centers`, `legend` and `scatter_kwargs`, as for :meth:`plot`.

        Returns
        -------
        EmbeddingDisplay
        """
        shared.check_options(cls, **options)
        rows = shared.check_rows("embedding", embedding)
        names, clusters = shared.check_labels("labels", labels, embedding=rows)
        random, n = check_random_state(random_state), len(rows)
        indices = np.arange(n)
        most = n if max_samples is None else _check_count("max_samples", max_samples)
        if n > most:
            indices = np.sort(random.choice(n, most, replace=False))
        points, (xlabel, ylabel) = _to_plane(rows[indices], method, random)
        shown = names[clusters[indices]]
        display = cls(points, shown, indices=indices, xlabel=xlabel, ylabel=ylabel)
        return display.plot(**options)

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
            Axes to draw on. None makes a new figure. For the legend beside them, your
            own figure needs ``layout="constrained"``.
        mark_centers : bool, default=False
            Whether to write each cluster's name at its median. Noise has none.
        legend : bool, default=True
            Whether to explain colors and markers: on the right, or below narrow axes.
        scatter_kwargs : dict, default=None
            Keywords for matplotlib's `scatter`, in place of the defaults.

        Returns
        -------
        EmbeddingDisplay
        """
        shared.check_matplotlib(type(self))
        points = shared.check_rows("points", self.points)[:, :2]
        names, clusters = shared.check_labels("labels", self.labels, points=points)
        ax = shared.check_axes(ax)
        self.scatters_ = []
        self.center_texts_ = []
        for k, (name, look) in enumerate(zip(names, _looks(names), strict=True)):
            members = points[clusters == k]
            label = {"label": shared.name_cluster(name)}
            style = label | _style(look, len(points), scatter_kwargs)
            self.scatters_.append(ax.scatter(*members.T, **style))
            if mark_centers and not shared.is_noise(name):
                middle = np.median(members, axis=0)
                self.center_texts_.append(_write(ax, middle, name, look[0]))
        # Small clusters last, so that none disappears under a large one.
        for place, k in enumerate(np.argsort(-np.bincount(clusters), kind="stable")):
            above = 0 if shared.is_noise(names[k]) else place + 1
            self.scatters_[k].set_zorder(1 + 0.5 * above / (len(names) + 1))
        # Distances mean something, units do not.
        ax.set_aspect("equal", adjustable="datalim")
        ax.set(xticks=[], yticks=[], xlabel=self.xlabel, ylabel=self.ylabel)
        self.legend_ = _add_legend(ax, names) if legend else None
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _to_plane(
    rows: NDArray[Any], method: Any, random: np.random.RandomState
) -> tuple[NDArray[Any], tuple[str, str]]:
    """Return two columns and their names; rows of two columns as they are."""
    if not hasattr(method, "fit_transform") and method not in ("pca", "tsne"):
        raise ValueError(
            "method must be 'pca', 'tsne' or a transformer with fit_transform; got "
            f"{method!r}: pass one of these."
        )
    n, d = rows.shape
    if d == 2:
        return rows, ("component 1", "component 2")
    if isinstance(method, str):
        if n < 3:
            raise ValueError(
                f"embedding must have 3 samples or more for method={method!r}; got "
                f"{n}: pass more samples."
            )
        # Zeros exactly, if all rows are the same.
        rows = rows.astype(np.float64) - rows[0]
    if method == "pca":
        pca = PCA(2, random_state=random)
        with np.errstate(invalid="ignore"):
            # If all rows are the same, the shares are 0 / 0.
            points = pca.fit_transform(rows)
        first, second = np.nan_to_num(pca.explained_variance_ratio_)
        xlabel = f"principal component 1 ({first:.0%} of the variance)"
        return points, (xlabel, f"principal component 2 ({second:.0%})")
    name = "t-SNE"
    if method == "tsne":
        # Where the principal components vanish in float32, scikit-learn's t-SNE divides
        # by zero, and crashes. The scale of the rows does not matter to it.
        peak = np.abs(rows).max()
        rows, init = (rows / peak, "pca") if peak else (rows, "random")
        method = TSNE(perplexity=min(30, (n - 1) / 3), init=init, random_state=random)
    else:
        name, method = type(method).__name__, clone(method)
    points = method.fit_transform(rows)
    points = shared.check_rows("method.fit_transform(embedding)", points)
    return points[:, :2], (f"{name} 1", f"{name} 2")


def _looks(names: NDArray[Any]) -> list[tuple[str, str]]:
    """Return each cluster's color and marker.

    The color of an integer is always the same, even if other clusters are missing.
    Markers differ as long as there are some.
    """
    whole = names.dtype.kind in "biu"
    numbers = names.tolist() if whole else range(len(names))
    looks = {-1: (shared.NOISE_COLOR, "o")}
    # Negative numbers last: they must not take the marker of a usual one.
    for k in sorted({*numbers} - {-1}, key=lambda k: (k < 0, k)):
        first, color = divmod(k, len(shared.COLORS))
        first %= len(MARKERS)
        markers = (*MARKERS[first:], *MARKERS[:first])
        wanted = [(shared.COLORS[color], marker) for marker in markers]
        looks[k] = next((w for w in wanted if w not in looks.values()), wanted[0])
    return [looks[k] for k in numbers]


def _style(
    look: tuple[str, str], n_points: int, given: dict[str, Any] | None
) -> dict[str, Any]:
    from matplotlib.collections import PathCollection

    size = float(np.clip(500 / np.sqrt(n_points), 4, 25))
    color, marker = look
    # Crosses consist of lines alone, and look thinner than discs.
    size, width = (1.5 * size, 1) if marker in "x+" else (size, 0)
    looks = {"color": color, "marker": marker, "s": size, "linewidth": width}
    style: dict[str, Any] = shared.styled(PathCollection, given, alpha=0.85, **looks)
    if "c" in style:
        # Another name of it to `scatter`, which does not take both.
        del style["color"]
    return style


def _write(ax: Any, place: NDArray[Any], name: Any, color: str) -> Any:
    box: dict[str, Any] = {"boxstyle": "round,pad=0.25", "edgecolor": color}
    box |= {"facecolor": "white", "linewidth": 1.5, "alpha": 0.9}
    font = {"color": shared.INK, "fontsize": "small", "fontweight": "bold"}
    return ax.text(*place, str(name), ha="center", va="center", **font, bbox=box)


def _add_legend(ax: Any, names: NDArray[Any]) -> Any:
    from matplotlib.transforms import offset_copy

    room = shared.inches(ax)
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.02, 1)}
    n_columns = -(-len(names) // LEGEND_ROWS)
    if room < NARROW:
        # Below the name of the axis, however high the axes are.
        below = offset_copy(ax.transAxes, ax.figure, y=-22, units="points")
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0)}
        place["bbox_transform"] = below
        width = 0.4 + 0.07 * max(len(shared.name_cluster(name)) for name in names)
        n_columns = max(1, min(len(names), int(room / width)))
    text = {"title": "cluster", "fontsize": "small", "frameon": False}
    space = {"handletextpad": 0.1, "columnspacing": 0.8, "borderaxespad": 0}
    return ax.legend(ncols=n_columns, markerscale=2, **place, **text, **space)
