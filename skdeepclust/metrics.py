"""Scores of a clustering, with and without known classes, and scorers for them."""

from numbers import Integral
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.neighbors import kneighbors_graph
from sklearn.utils import check_array

from skdeepclust._compat import ClassScorer, ClusterScorer, check_methods
from skdeepclust._labels import (
    best_match,
    check_column,
    check_labels,
    check_lengths,
    number_labels,
    to_numpy,
)

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

_AVERAGES = ("max", "min", "geometric", "arithmetic")


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
    TypeError
        If labels cannot be sorted, as numbers among strings cannot.
    ValueError
        If an argument is empty or not 1-D, has missing labels, or their lengths differ.

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
    y_true, y_pred = check_labels(y_true=y_true, y_pred=y_pred)
    _, classes = number_labels("y_true", y_true)
    _, clusters = number_labels("y_pred", y_pred)
    *_, n_agreeing = best_match(classes, clusters)
    return n_agreeing / len(classes)


def normalized_mutual_info(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    average_method: Literal["max", "min", "geometric", "arithmetic"] = "max",
) -> float:
    """Mutual information of classes and clusters, normalized by their entropies.

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
    TypeError
        If labels cannot be sorted, as numbers among strings cannot.
    ValueError
        If an argument is empty or not 1-D, has missing labels, their lengths differ, or
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
    if not isinstance(average_method, str) or average_method not in _AVERAGES:
        raise ValueError(
            f"average_method must be one of {', '.join(map(repr, _AVERAGES))}; got "
            f"{average_method!r}: pass 'arithmetic' for the mean of the entropies."
        )
    labels = _discrete(*check_labels(y_true=y_true, y_pred=y_pred))
    score = normalized_mutual_info_score(*labels, average_method=average_method)
    return float(score)


def align_labels(y_true: ArrayLike, y_pred: ArrayLike) -> NDArray[Any]:
    """Rename clusters to the classes that they match best.

    The map is the one of `clustering_accuracy`. Classes and clusters that are left, and
    have no samples in common, are paired in sorted order.

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
    TypeError
        If labels cannot be sorted, as numbers among strings cannot.
    ValueError
        If an argument is empty or not 1-D, has missing labels, their lengths differ, or
        `y_true` does not hold integers, or some too large for more to follow.

    Examples
    --------
    >>> from skdeepclust.metrics import align_labels
    >>> align_labels([0, 0, 1, 1], [1, 1, 0, 2])
    array([0, 0, 1, 2])
    """
    y_true, y_pred = check_labels(y_true=y_true, y_pred=y_pred)
    if y_true.dtype.kind not in "iu":
        raise ValueError(
            f"y_true must hold integers; got dtype {y_true.dtype}: encode the classes "
            f"with sklearn.preprocessing.LabelEncoder."
        )
    classes, inverse = np.unique(y_true, return_inverse=True)
    n_clusters, numbers = number_labels("y_pred", y_pred)
    matched_classes, matched_clusters, _ = best_match(inverse, numbers)
    # Whatever has no samples in common is paired in sorted order.
    rest = np.setdiff1d(np.arange(len(classes)), matched_classes)
    unmatched = np.setdiff1d(np.arange(n_clusters), matched_clusters)
    n_pairs = min(len(rest), len(unmatched))
    n_new = len(unmatched) - n_pairs
    largest = int(classes[-1])
    if largest + n_new > np.iinfo(np.int64).max:
        raise ValueError(
            f"y_true holds the class {largest}, which with {n_new} clusters "
            f"to be numbered after it is too large for int64: encode the classes with "
            f"sklearn.preprocessing.LabelEncoder."
        )
    names = np.empty(n_clusters, dtype=np.int64)
    names[matched_clusters] = classes[matched_classes]
    names[unmatched[:n_pairs]] = classes[rest[:n_pairs]]
    names[unmatched[n_pairs:]] = range(largest + 1, largest + 1 + n_new)
    return names[numbers]


def neighbor_modularity(
    embedding: ArrayLike, labels: ArrayLike, *, n_neighbors: int = 10
) -> float:
    """Modularity of a clustering on the nearest-neighbor graph of an embedding.

    A score without known classes: Newman's modularity [1]_, the fraction of edges
    within clusters minus what random edges between vertices of the same degrees would
    give. Two samples share an edge where one is among the other's nearest neighbors.

    Parameters
    ----------
    embedding : array-like of shape (n_samples, n_components)
        Embedding, as from `transform`.
    labels : array-like of shape (n_samples,)
        Clusters.
    n_neighbors : int, default=10
        Neighbors of a sample, without itself; at most ``n_samples - 1`` are used.

    Returns
    -------
    float
        The modularity, at least -0.5 and below 1; 0 for a single cluster.

    Raises
    ------
    TypeError
        If `labels` cannot be sorted, as numbers among strings cannot.
    ValueError
        If `embedding` is not 2-D with 2 rows or more, holds a value that is not
        finite, `labels` is not 1-D of the same length or has missing ones, or
        `n_neighbors` is not a positive integer.

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
        to_numpy("embedding", embedding),
        dtype=np.float64,
        ensure_min_samples=2,
        input_name="embedding",
    )
    labels = check_column("labels", labels)
    check_lengths(embedding=embedding, labels=labels)
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
    _, cluster = number_labels("labels", labels)
    # Every edge is stored in both directions, so `ends` counts it twice, as 2 m does.
    ends = graph.nnz
    within = np.count_nonzero(cluster[graph.row] == cluster[graph.col]) / ends
    share = np.bincount(cluster[graph.row]) / ends
    return float(within - share @ share)


class _AccuracyScorer(ClassScorer):
    """Score a fitted clusterer by `clustering_accuracy`.

    Call it as ``accuracy_scorer(estimator, X, y)``, or use it as `scoring`.

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
        The accuracy.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from skdeepclust.metrics import accuracy_scorer
    >>> X, y = [[0.0], [1.0], [8.0], [9.0]], [1, 1, 0, 0]
    >>> accuracy_scorer(KMeans(2, random_state=0).fit(X), X, y)
    1.0
    """


class _NMIScorer(ClassScorer):
    """Score a fitted clusterer by `normalized_mutual_info`, by the larger entropy.

    Call it as ``nmi_scorer(estimator, X, y)``, or use it as `scoring`.

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
        The normalized mutual information.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from skdeepclust.metrics import nmi_scorer
    >>> X, y = [[0.0], [1.0], [8.0], [9.0]], [1, 1, 0, 0]
    >>> round(nmi_scorer(KMeans(2, random_state=0).fit(X), X, y), 3)
    1.0
    """


class _ARIScorer(ClassScorer):
    """Score a fitted clusterer by the adjusted Rand index.

    Call it as ``ari_scorer(estimator, X, y)``, or use it as `scoring`.

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
        The adjusted Rand index.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from skdeepclust.metrics import ari_scorer
    >>> X, y = [[0.0], [1.0], [8.0], [9.0]], [1, 1, 0, 0]
    >>> ari_scorer(KMeans(2, random_state=0).fit(X), X, y)
    1.0
    """


class _ModularityScorer(ClusterScorer):
    """Score a fitted clusterer by `neighbor_modularity`, without known classes.

    The score is that of the predicted clusters on the embedding of `X`. Call it as
    ``modularity_scorer(estimator, X)``, or use it as `scoring`.

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
        The modularity.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from skdeepclust.metrics import modularity_scorer
    >>> X = [[float(i)] for i in range(20)] + [[float(i)] for i in range(90, 110)]
    >>> round(modularity_scorer(KMeans(2, random_state=0).fit(X), X), 3)
    0.5
    """

    def __repr__(self) -> str:
        return "modularity_scorer"

    def _value(self, estimator: Any, X: Any) -> float:
        check_methods(estimator, "transform", "predict")
        return neighbor_modularity(estimator.transform(X), estimator.predict(X))


def _adjusted_rand(y_true: Any, y_pred: Any) -> float:
    labels = check_labels(y_true=y_true, y_pred=y_pred)
    return float(adjusted_rand_score(*_discrete(*labels)))


def _discrete(y_true: NDArray[Any], y_pred: NDArray[Any]) -> list[NDArray[Any]]:
    """Return labels as scikit-learn takes them: it knows not every type."""
    return [
        column if column.dtype.kind in "biuf" else number_labels(name, column)[1]
        for name, column in (("y_true", y_true), ("y_pred", y_pred))
    ]


accuracy_scorer = _AccuracyScorer("accuracy_scorer", clustering_accuracy)
nmi_scorer = _NMIScorer("nmi_scorer", normalized_mutual_info)
ari_scorer = _ARIScorer("ari_scorer", _adjusted_rand)
modularity_scorer = _ModularityScorer()
