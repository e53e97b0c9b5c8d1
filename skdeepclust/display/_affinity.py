"""The affinity matrix, its rows and columns sorted by cluster."""

from dataclasses import KW_ONLY, dataclass
from typing import Any, Self, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from skdeepclust.graph._checks import _check_count

from . import _shared as shared

RANGE = 300  # weights below 1/300 of the largest share the faintest color
LINE = 0.12  # inches, height of a name


class _PlotOptions(TypedDict, total=False):
    ax: Any
    cmap: Any
    colorbar: bool
    im_kwargs: dict[str, Any] | None


@dataclass(eq=False, repr=False)
class AffinityDisplay:
    """The affinity matrix, its rows and columns sorted by cluster.

    Weights are summed over bins. A good partition has its weight in the squares along
    the diagonal. Make the display by :meth:`from_estimator` or
    :meth:`from_predictions`. Read more in the :ref:`User Guide <pictures>`.

    Parameters
    ----------
    weights : ndarray of shape (n_bins, n_bins)
        Sum of the weights in each bin.
    sizes : ndarray of shape (n_clusters,)
        Number of samples of each cluster, in the order of the rows.
    names : ndarray of shape (n_clusters,), default=None
        Names of the clusters; -1 is noise. None: numbers from 0.
    within_share : float, default=None
        Share of the weight that is inside clusters, without noise.

    Attributes
    ----------
    im_ : matplotlib AxesImage
        The matrix.
    borders_ : list of matplotlib LineCollection
        The borders between clusters, horizontal and vertical.
    colorbar_ : matplotlib Colorbar or None
        The color bar.
    ax_, figure_ : matplotlib Axes and Figure
        Where the matrix is drawn.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn.neighbors import kneighbors_graph
    >>> from skdeepclust.display import AffinityDisplay
    >>> X, y = make_blobs(300, centers=4, random_state=0, cluster_std=0.4)
    >>> graph = kneighbors_graph(X, 5)
    >>> AffinityDisplay.from_predictions(graph, y, n_bins=60).weights.shape
    (60, 60)
    """

    weights: NDArray[Any]
    sizes: NDArray[Any]
    _: KW_ONLY
    names: NDArray[Any] | None = None
    within_share: float | None = None

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, n_bins: int = 100, **options: Unpack[_PlotOptions]
    ) -> Self:
        """Draw the graph and the clusters of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted clusterer with `affinity_matrix_` and `labels_`, such as
            `GraphContrastiveClustering` or scikit-learn's `SpectralClustering`; or a
            pipeline, search or frozen estimator of one.
        n_bins : int, default=100
            As for :meth:`from_predictions`.
        **options
            `ax`, `cmap`, `colorbar` and `im_kwargs`, as for :meth:`plot`.

        Returns
        -------
        AffinityDisplay
        """
        shared.check_options(cls, **options)
        hint = "pass an estimator that builds a graph, or a matrix to from_predictions"
        names = ("affinity_matrix_", "labels_")
        model, _ = shared.fitted_step(estimator, None, hint, *names)
        affinity = model.affinity_matrix_
        return cls.from_predictions(affinity, model.labels_, n_bins=n_bins, **options)

    @classmethod
    def from_predictions(
        cls,
        affinity: Any,
        labels: ArrayLike,
        *,
        n_bins: int = 100,
        **options: Unpack[_PlotOptions],
    ) -> Self:
        """Draw an affinity matrix and clusters.

        Parameters
        ----------
        affinity : {array-like, sparse matrix} of shape (n_samples, n_samples)
            Weights, not negative. A sparse matrix is never made dense.
        labels : array-like of shape (n_samples,)
            Cluster of each sample. -1 is noise, and comes last.
        n_bins : int, default=100
            Number of bins along each side; with fewer samples, each is its own bin.
        **options
            `ax`, `cmap`, `colorbar` and `im_kwargs`, as for :meth:`plot`.

        Returns
        -------
        AffinityDisplay
        """
        shared.check_options(cls, **options)
        matrix = _check_affinity(affinity)
        n_samples = matrix.shape[0]
        place = np.empty(n_samples, dtype=np.int64)
        names, clusters = shared.check_labels("labels", labels, affinity=place)
        n_bins = min(_check_count("n_bins", n_bins), n_samples)
        place[np.argsort(clusters, kind="stable")] = np.arange(n_samples)
        bins = place * n_bins // n_samples
        row, col, data = matrix.row, matrix.col, matrix.data
        weights = np.bincount(bins[row] * n_bins + bins[col], data, n_bins**2)
        of_cluster = np.array([not shared.is_noise(name) for name in names])[clusters]
        inside = (clusters[row] == clusters[col]) & of_cluster[row]
        share = float(data[inside].sum() / data.sum())
        square, sizes = weights.reshape(n_bins, n_bins), np.bincount(clusters)
        return cls(square, sizes, names=names, within_share=share).plot(**options)

    def plot(
        self,
        ax: Any = None,
        *,
        cmap: Any = "Blues",
        colorbar: bool = True,
        im_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the matrix.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.
        cmap : str or matplotlib Colormap, default="Blues"
            Colors of the weights, on a logarithmic scale. Empty bins stay empty.
        colorbar : bool, default=True
            Whether to add a color bar.
        im_kwargs : dict, default=None
            Keywords for matplotlib's `imshow`, in place of the defaults.

        Returns
        -------
        AffinityDisplay
        """
        shared.check_matplotlib(type(self))
        from matplotlib.colors import LogNorm

        ax = shared.check_axes(ax)
        sizes = np.asarray(self.sizes)
        names = np.arange(len(sizes)) if self.names is None else self.names
        ends = np.cumsum(sizes)
        n = int(ends[-1])
        given = dict(im_kwargs or {})
        if "norm" not in given:
            largest = given.pop("vmax", np.max(self.weights))
            least = given.pop("vmin", largest / RANGE)
            given["norm"] = LogNorm(least, largest, clip=True)
        # Most bins of a sparse graph are empty: never blur them away.
        look = {"cmap": cmap, "extent": (0, n, n, 0), "interpolation": "nearest"}
        weights = np.ma.masked_less_equal(self.weights, 0)
        self.im_ = ax.imshow(weights, **{**look, **given})
        style = {"colors": shared.INK, "linewidths": 0.5, "alpha": 0.6}
        draws = (ax.hlines, ax.vlines)
        self.borders_ = [draw(ends[:-1], 0, n, **style) for draw in draws]
        _name_clusters(ax, ends - sizes / 2, sizes / n, names)
        if self.within_share is not None:
            title = f"weight within clusters: {self.within_share:.1%}"
            ax.set_title(title, fontsize="medium")
        self.colorbar_ = None
        if colorbar:
            # As high as the matrix, which a bar beside square axes is not.
            bar = ax.inset_axes((1.03, 0, 0.05, 1))
            label = "weight in a bin"
            self.colorbar_ = ax.figure.colorbar(self.im_, cax=bar, label=label)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _name_clusters(
    ax: Any, middles: NDArray[Any], shares: NDArray[Any], names: NDArray[Any]
) -> None:
    """Write the names of those clusters that are large enough for theirs."""
    box = ax.get_window_extent()
    room = shares * min(box.width, box.height) / ax.figure.dpi
    named = np.flatnonzero(room >= LINE)
    shown = [names[k] for k in named]
    for axis in (ax.xaxis, ax.yaxis):
        shared.name_ticks(axis, middles[named], shown, fontsize="small")
    longest = max(len(shared.name_cluster(name)) for name in names)
    upright = (room[named] < 0.05 + 0.08 * longest).any()
    ax.tick_params(length=0)
    ax.tick_params(axis="x", rotation=90 if upright else 0)
    ax.set(xlabel="cluster", ylabel="cluster")


def _check_affinity(affinity: Any) -> Any:
    """Return the matrix in coordinates, its weights finite and not negative."""
    is_sparse = sparse.issparse(affinity)
    if is_sparse:
        # Not every sparse format holds its weights in one array.
        affinity = sparse.coo_array(affinity)
    else:
        affinity = shared.as_numpy("affinity", affinity)
    if affinity.ndim != 2 or affinity.shape[0] != affinity.shape[1]:
        raise ValueError(
            "affinity must have shape (n_samples, n_samples); got shape "
            f"{affinity.shape}: pass one weight for each pair of samples."
        )
    shared.check_finite("affinity", affinity.data if is_sparse else affinity)
    matrix = sparse.coo_array(affinity, dtype=float)
    if matrix.nnz and matrix.data.min() < 0:
        raise ValueError(
            f"affinity must not be negative; got {matrix.data.min():.3g}: pass abs() "
            "of it, or clip it at 0."
        )
    if not matrix.data.sum() > 0:
        raise ValueError(
            "affinity must have positive weights; got none: pass the weights of a "
            "graph with edges."
        )
    return matrix
