"""Scores of a clustering, with and without known classes, and scorers for them."""

from numbers import Integral
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.neighbors import kneighbors_graph
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from torch import Tensor

from skdeepclust._arrays import as_array, is_missing

__all__ = [
    "accuracy_scorer",
    "align_labels",
    "ari_scorer",
    "clustering_accuracy",
    "modularity_scorer",
    "neighbor_modularity",
    "nmi_scorer",
    "normalized_mutual_info",
]


def clustering_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Fraction of samples in the right class under the best map of clusters to classes.

    The map is one-to-one (equation 3.9 of [1]_). There may be more clusters than
    classes, or fewer: samples of an unmatched cluster or class count as wrong.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Classes.
    y_pred : array-like of shape (n_samples,)
        Clusters. Noise, often -1, is a cluster like any other.

    Returns
    -------
    float
        The accuracy, above 0 and at most 1.

    Raises
    ------
    ValueError
        If an argument is empty or not 1-D, lacks labels, or their lengths differ.

    References
    ----------
    .. [1] R. Xing, "Research on Deep Clustering Algorithm Based on Contrastive
       Learning", master's thesis, Shanxi University of Finance & Economics, 2023.

    Examples
    --------
    >>> from skdeepclust.metrics import clustering_accuracy
    >>> clustering_accuracy([0, 0, 1, 1], [1, 1, 0, 2])
    0.75
    """
    y_true, y_pred = _check_labels(y_true=y_true, y_pred=y_pred)
    table = contingency_matrix(y_true, y_pred)
    classes, clusters = linear_sum_assignment(table, maximize=True)
    return float(table[classes, clusters].sum() / y_true.shape[0])


def normalized_mutual_info(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    average_method: Literal["max", "min", "geometric", "arithmetic"] = "max",
) -> float:
    """Mutual information of classes and clusters, normalised by their entropies.

    The thesis divides by the larger entropy (equation 3.10 of [1]_), scikit-learn by
    their mean unless told otherwise: the scores differ, so name the average.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Classes.
    y_pred : array-like of shape (n_samples,)
        Clusters.
    average_method : {"max", "min", "geometric", "arithmetic"}, default="max"
        What to divide by: this average of the two entropies.

    Returns
    -------
    float
        The score, between 0 and 1.

    Raises
    ------
    ValueError
        If an argument is empty or not 1-D, lacks labels, their lengths differ, or
        `average_method` is unknown.

    References
    ----------
    .. [1] R. Xing, "Research on Deep Clustering Algorithm Based on Contrastive
       Learning", master's thesis, Shanxi University of Finance & Economics, 2023.

    Examples
    --------
    >>> from skdeepclust.metrics import normalized_mutual_info
    >>> round(normalized_mutual_info([0, 0, 1, 1], [0, 0, 1, 2]), 3)
    0.667
    """
    y_true, y_pred = _check_labels(y_true=y_true, y_pred=y_pred)
    score = normalized_mutual_info_score(y_true, y_pred, average_method=average_method)
    return float(score)


def align_labels(y_true: ArrayLike, y_pred: ArrayLike) -> NDArray[Any]:
    """Rename clusters to the classes that they match best.

    The map is the one of `clustering_accuracy`.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Classes, as integers.
    y_pred : array-like of shape (n_samples,)
        Clusters.

    Returns
    -------
    ndarray of shape (n_samples,)
        The clusters under their new names. Clusters without a class are numbered, in
        sorted order, from the largest class plus 1.

    Raises
    ------
    ValueError
        If an argument is empty or not 1-D, lacks labels, their lengths differ, or
        `y_true` does not hold integers, or some too large for more to follow.

    Examples
    --------
    >>> from skdeepclust.metrics import align_labels
    >>> align_labels([0, 0, 1, 1], [1, 1, 0, 2])
    array([0, 0, 1, 2])
    """
    y_true, y_pred = _check_labels(y_true=y_true, y_pred=y_pred)
    if y_true.dtype.kind not in "iu":
        raise ValueError(
            f"y_true must hold integers; got dtype {y_true.dtype}: encode the classes "
            f"with sklearn.preprocessing.LabelEncoder."
        )
    clusters, inverse = np.unique(y_pred, return_inverse=True)
    rows, columns = linear_sum_assignment(
        contingency_matrix(y_true, y_pred), maximize=True
    )
    unmatched = np.setdiff1d(np.arange(clusters.shape[0]), columns)
    largest = int(y_true.max())
    if largest + len(unmatched) > np.iinfo(np.int64).max:
        raise ValueError(
            f"y_true holds the class {largest}, which with {len(unmatched)} clusters "
            f"to be numbered after it is too large for int64: encode the classes with "
            f"sklearn.preprocessing.LabelEncoder."
        )
    names = np.empty(clusters.shape[0], dtype=np.int64)
    names[columns] = np.unique(y_true)[rows]
    names[unmatched] = range(largest + 1, largest + 1 + len(unmatched))
    return names[inverse]


def neighbor_modularity(
    embedding: ArrayLike, labels: ArrayLike, *, n_neighbors: int = 10
) -> float:
    """Modularity of a clustering on the nearest-neighbour graph of an embedding.

    A score without known classes: Newman's modularity [1]_, the fraction of edges
    within clusters minus what random edges between vertices of the same degrees would
    give. Two samples share an edge where one is among the other's nearest neighbours.

    Parameters
    ----------
    embedding : array-like of shape (n_samples, n_components)
        Embedding, as from `transform`.
    labels : array-like of shape (n_samples,)
        Clusters.
    n_neighbors : int, default=10
        Neighbours of a sample, without itself; at most ``n_samples - 1`` are used.

    Returns
    -------
    float
        The modularity, at least -0.5 and below 1; 0 for a single cluster.

    Raises
    ------
    ValueError
        If `embedding` is not 2-D with 2 rows or more, holds a value that is not
        finite, `labels` is not 1-D of the same length or lacks some, or `n_neighbors`
        is not a positive integer.

    References
    ----------
    .. [1] M. E. J. Newman, "Modularity and community structure in networks", PNAS
       103 (23), 2006.

    Examples
    --------
    >>> from skdeepclust.metrics import neighbor_modularity
    >>> neighbor_modularity([[0.0], [1.0], [8.0], [9.0]], [0, 0, 1, 1], n_neighbors=1)
    0.5
    """
    embedding = check_array(
        _to_numpy("embedding", embedding),
        dtype=np.float64,
        ensure_min_samples=2,
        input_name="embedding",
    )
    labels = _check_column("labels", labels)
    _check_lengths(embedding=embedding, labels=labels)
    if not isinstance(n_neighbors, Integral) or n_neighbors < 1:
        raise ValueError(
            f"n_neighbors must be a positive integer; got {n_neighbors!r}: pass 1 or "
            f"more."
        )
    # In many columns scikit-learn takes |a|^2 + |b|^2 - 2 a b, which loses its digits
    # far from the origin.
    embedding = embedding / (np.abs(embedding).max() or 1.0)
    embedding -= embedding.mean(axis=0)
    embedding /= np.abs(embedding).max() or 1.0
    graph = kneighbors_graph(embedding, min(int(n_neighbors), len(labels) - 1))
    graph = graph.maximum(graph.T).tocoo()
    _, cluster = np.unique(labels, return_inverse=True)
    # Every edge is stored in both directions, so `ends` counts it twice, as 2 m does.
    ends = graph.nnz
    within = np.count_nonzero(cluster[graph.row] == cluster[graph.col]) / ends
    share = np.bincount(cluster[graph.row]) / ends
    return float(within - share @ share)


def accuracy_scorer(estimator: Any, X: Any, y: ArrayLike) -> float:
    """Score a fitted clusterer by `clustering_accuracy`.

    Parameters
    ----------
    estimator : object
        Fitted, with `predict`.
    X : array-like of shape (n_samples, ...)
        Samples.
    y : array-like of shape (n_samples,)
        Classes.

    Returns
    -------
    float
        The accuracy; use the function itself as `scoring`.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from skdeepclust.metrics import accuracy_scorer
    >>> X, y = [[0.0], [1.0], [8.0], [9.0]], [1, 1, 0, 0]
    >>> accuracy_scorer(KMeans(2, random_state=0).fit(X), X, y)
    1.0
    """
    return clustering_accuracy(_require_classes(y), estimator.predict(X))


def nmi_scorer(estimator: Any, X: Any, y: ArrayLike) -> float:
    """Score a fitted clusterer by `normalized_mutual_info`, by the larger entropy.

    Parameters
    ----------
    estimator : object
        Fitted, with `predict`.
    X : array-like of shape (n_samples, ...)
        Samples.
    y : array-like of shape (n_samples,)
        Classes.

    Returns
    -------
    float
        The normalised mutual information; use the function itself as `scoring`.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from skdeepclust.metrics import nmi_scorer
    >>> X, y = [[0.0], [1.0], [8.0], [9.0]], [1, 1, 0, 0]
    >>> round(nmi_scorer(KMeans(2, random_state=0).fit(X), X, y), 3)
    1.0
    """
    return normalized_mutual_info(_require_classes(y), estimator.predict(X))


def ari_scorer(estimator: Any, X: Any, y: ArrayLike) -> float:
    """Score a fitted clusterer by the adjusted Rand index.

    Parameters
    ----------
    estimator : object
        Fitted, with `predict`.
    X : array-like of shape (n_samples, ...)
        Samples.
    y : array-like of shape (n_samples,)
        Classes.

    Returns
    -------
    float
        The adjusted Rand index; use the function itself as `scoring`.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from skdeepclust.metrics import ari_scorer
    >>> X, y = [[0.0], [1.0], [8.0], [9.0]], [1, 1, 0, 0]
    >>> ari_scorer(KMeans(2, random_state=0).fit(X), X, y)
    1.0
    """
    y_true, y_pred = _check_labels(
        y_true=_require_classes(y), y_pred=estimator.predict(X)
    )
    return float(adjusted_rand_score(y_true, y_pred))


def modularity_scorer(estimator: Any, X: Any, y: Any = None) -> float:
    """Score a fitted clusterer by `neighbor_modularity`, without known classes.

    Parameters
    ----------
    estimator : object
        Fitted, with `transform` and `predict`.
    X : array-like of shape (n_samples, ...)
        Samples.
    y : object, default=None
        Ignored.

    Returns
    -------
    float
        The modularity of the predicted clusters on the embedding of `X`; use the
        function itself as `scoring`.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from skdeepclust.metrics import modularity_scorer
    >>> X = [[float(i)] for i in range(20)] + [[float(i)] for i in range(90, 110)]
    >>> round(modularity_scorer(KMeans(2, random_state=0).fit(X), X), 3)
    0.5
    """
    return neighbor_modularity(estimator.transform(X), estimator.predict(X))


def _check_labels(**labels: Any) -> list[NDArray[Any]]:
    """Labels as 1-D arrays of one length."""
    checked = [_check_column(name, value) for name, value in labels.items()]
    if 0 in map(len, checked):
        raise ValueError(f"{' and '.join(labels)} must hold at least one label.")
    _check_lengths(**dict(zip(labels, checked, strict=True)))
    return checked


def _check_column(name: str, value: Any) -> NDArray[Any]:
    value = _to_numpy(name, value)
    shape = np.shape(value)
    if len(shape) != 1 and not (len(shape) == 2 and shape[1] == 1):
        raise ValueError(
            f"{name} must be 1-D, one label per sample; got shape {shape}: take the "
            f"argmax of probabilities or one-hot rows first."
        )
    column: NDArray[Any] = column_or_1d(value)
    missing = is_missing(column)
    if missing.any():
        raise ValueError(
            f"{name} has {missing.sum()} labels that are missing or not finite, the "
            f"first at index {missing.argmax()}: drop these samples, or give them a "
            f"label of their own."
        )
    if column.dtype == object and all(isinstance(v, Integral) for v in column):
        column = np.array(column.tolist())
    return column


def _to_numpy(name: str, value: Any) -> Any:
    if isinstance(value, Tensor):
        return as_array(name, value)
    if np.ma.is_masked(value):
        raise ValueError(
            f"{name} is a masked array with masked values: drop these samples first."
        )
    # NumPy makes floats or objects of what pandas keeps as integers.
    return value.to_numpy() if hasattr(value, "to_numpy") else value


def _check_lengths(**arrays: Any) -> None:
    try:
        check_consistent_length(*arrays.values())
    except ValueError as error:
        lengths = {name: len(value) for name, value in arrays.items()}
        raise ValueError(
            f"{' and '.join(arrays)} must have one length; got {lengths}: pass them "
            f"for the same samples."
        ) from error


def _require_classes(y: Any) -> Any:
    if y is None:
        raise ValueError(
            "y must hold the classes of X; got None: pass y, or score without classes "
            "by modularity_scorer."
        )
    return y
