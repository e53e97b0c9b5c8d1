"""Scores of a clustering, with and without known classes, and scorers for them.

Labels are lists, arrays, tensors or columns of frames, of anything that can be sorted.
Noise, often -1, is a label like any other. Labels of several types raise a TypeError;
missing, empty or 2-D labels raise a ValueError. Equations are those of R. Xing,
"Research on Deep Clustering Algorithm Based on Contrastive Learning", master's thesis,
Shanxi University of Finance & Economics, 2023.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.neighbors import kneighbors_graph
from sklearn.utils import check_array

from skdeepclust._utils.compat import ClassScorer, FunctionScorer, check_methods
from skdeepclust._utils.labels import (
    best_match,
    check_labels,
    check_lengths,
    number_labels,
    to_numpy,
)
from skdeepclust.graph._checks import _check_count

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

    The map is one-to-one (equation 3.9). There may be more clusters than classes, or
    fewer: samples of an unmatched cluster or class count as wrong.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Classes and clusters.

    Returns
    -------
    float
        The accuracy, above 0 and at most 1.

    Examples
    --------
    >>> from skdeepclust.metrics import clustering_accuracy
    >>> clustering_accuracy([0, 0, 1, 1], [1, 1, 0, 2])
    0.75
    """
    (_, classes), (_, clusters) = check_labels(y_true=y_true, y_pred=y_pred)
    *_, n_agreeing = best_match(classes, clusters)
    return n_agreeing / len(classes)


def normalized_mutual_info(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    average_method: Literal["max", "min", "geometric", "arithmetic"] = "max",
) -> float:
    """Mutual information of classes and clusters, normalized by their entropies.

    The thesis divides by the larger entropy (equation 3.10), scikit-learn by default by
    their mean. Scores differ: report the average.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Classes and clusters.
    average_method : {"max", "min", "geometric", "arithmetic"}, default="max"
        The average of the two entropies to divide by.

    Returns
    -------
    float
        The score, between 0 and 1.

    Examples
    --------
    >>> from skdeepclust.metrics import normalized_mutual_info
    >>> round(normalized_mutual_info([0, 0, 1, 1], [0, 0, 1, 2]), 3)
    0.667
    """
    (_, classes), (_, clusters) = check_labels(y_true=y_true, y_pred=y_pred)
    return float(
        normalized_mutual_info_score(classes, clusters, average_method=average_method)
    )


def align_labels(y_true: ArrayLike, y_pred: ArrayLike) -> NDArray[Any]:
    """Rename clusters to the classes that they match best.

    The map is the one of `clustering_accuracy`. Remaining classes and clusters are
    paired in sorted order.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Classes, which are integers, and clusters.

    Returns
    -------
    ndarray of shape (n_samples,)
        The clusters under their new names. Those without a class are numbered, in
        sorted order, from the largest class plus 1.

    Examples
    --------
    >>> from skdeepclust.metrics import align_labels
    >>> align_labels([0, 0, 1, 1], [1, 1, 0, 2])
    array([0, 0, 1, 2])
    """
    numbered = check_labels(y_true=y_true, y_pred=y_pred)
    (classes, y_class), (clusters, y_cluster) = numbered
    if classes.dtype.kind not in "iu":
        raise ValueError(
            f"y_true must hold integers; got dtype {classes.dtype}: encode the classes "
            f"with sklearn.preprocessing.LabelEncoder."
        )
    matched_classes, matched_clusters, _ = best_match(y_class, y_cluster)
    rest = np.setdiff1d(np.arange(len(classes)), matched_classes)
    unmatched = np.setdiff1d(np.arange(len(clusters)), matched_clusters)
    n_pairs = min(len(rest), len(unmatched))
    n_new = len(unmatched) - n_pairs
    largest = int(classes[-1])
    if largest + n_new > np.iinfo(np.int64).max:
        raise ValueError(
            f"y_true holds the class {largest}, which with {n_new} clusters to be "
            "numbered after it is too large for int64: encode the classes with "
            "sklearn.preprocessing.LabelEncoder."
        )
    names = np.empty(len(clusters), dtype=np.int64)
    names[matched_clusters] = classes[matched_classes]
    names[unmatched[:n_pairs]] = classes[rest[:n_pairs]]
    names[unmatched[n_pairs:]] = range(largest + 1, largest + 1 + n_new)
    return names[y_cluster]


def neighbor_modularity(
    embedding: ArrayLike, labels: ArrayLike, *, n_neighbors: int = 10
) -> float:
    """Modularity of a clustering on the nearest-neighbor graph of an embedding.

    A score without known classes: the fraction of edges within clusters minus what
    random edges between vertices of the same degrees would give (M. E. J. Newman, PNAS
    103 (23), 2006). Nearest neighbors, one of the other or both, share an edge.

    Parameters
    ----------
    embedding : array-like of shape (n_samples, n_components)
        Embedding, as from `transform`: finite, of 2 samples or more.
    labels : array-like of shape (n_samples,)
        Clusters.
    n_neighbors : int, default=10
        Neighbors of each sample; at most ``n_samples - 1`` are used.

    Returns
    -------
    float
        The modularity, at least -0.5 and below 1; 0 for a single cluster.

    Examples
    --------
    >>> from skdeepclust.metrics import neighbor_modularity
    >>> neighbor_modularity([[0.0], [1.0], [8.0], [9.0]], [0, 0, 1, 1], n_neighbors=1)
    0.5
    """
    given, name = to_numpy("embedding", embedding), "embedding"
    rows = check_array(given, dtype=float, ensure_min_samples=2, input_name=name)
    _, clusters = number_labels("labels", labels)
    check_lengths(embedding=rows, labels=clusters)
    n_neighbors = min(_check_count("n_neighbors", n_neighbors), len(clusters) - 1)
    # With many columns scikit-learn computes |a|^2 + |b|^2 - 2 a b, which loses its
    # decimals far from the origin.
    rows = rows / (np.abs(rows).max() or 1.0)
    rows -= rows.mean(axis=0)
    rows /= np.abs(rows).max() or 1.0
    graph = kneighbors_graph(rows, n_neighbors)
    graph = graph.maximum(graph.T).tocoo()
    ends = graph.nnz  # every edge counts twice, as in 2 m
    within = np.count_nonzero(clusters[graph.row] == clusters[graph.col]) / ends
    share = np.bincount(clusters[graph.row]) / ends
    return float(within - share @ share)


def _adjusted_rand(y_true: Any, y_pred: Any) -> float:
    (_, classes), (_, clusters) = check_labels(y_true=y_true, y_pred=y_pred)
    return float(adjusted_rand_score(classes, clusters))


def _modularity(estimator: Any, X: Any) -> float:
    check_methods(estimator, "transform", "predict")
    return neighbor_modularity(estimator.transform(X), estimator.predict(X))


accuracy_scorer = ClassScorer(
    "accuracy_scorer", clustering_accuracy, "`clustering_accuracy`"
)
_NMI = "`normalized_mutual_info`, by the larger entropy"
nmi_scorer = ClassScorer("nmi_scorer", normalized_mutual_info, _NMI)
ari_scorer = ClassScorer("ari_scorer", _adjusted_rand, "the adjusted Rand index")
modularity_scorer = FunctionScorer(
    "modularity_scorer",
    _modularity,
    what="`neighbor_modularity` of the predicted clusters on the embedding of `X`",
    needs="`transform` and `predict`",
    module="metrics",
    score="0.5",
)

# Doctest does not find made docstrings.
_SCORERS = (accuracy_scorer, nmi_scorer, ari_scorer, modularity_scorer)
__test__ = {scorer.__name__: scorer.__doc__ for scorer in _SCORERS}
