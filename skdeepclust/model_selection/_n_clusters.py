"""The number of clusters of a table, by itself."""

from typing import Literal, TypedDict, Unpack, overload

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_random_state

from skdeepclust._partition.number import count_clusters, warn_no_structure
from skdeepclust._utils.inputs import as_rows, check_columns
from skdeepclust.graph._checks import _check_count


class _Options(TypedDict, total=False):
    min_clusters: int
    max_clusters: int
    n_neighbors: int
    random_state: int | np.random.RandomState | None


@overload
def estimate_n_clusters(
    X: ArrayLike, *, return_scores: Literal[False] = ..., **options: Unpack[_Options]
) -> int: ...


@overload
def estimate_n_clusters(
    X: ArrayLike, *, return_scores: Literal[True], **options: Unpack[_Options]
) -> tuple[int, dict[int, float]]: ...


def estimate_n_clusters(
    X: ArrayLike,
    *,
    min_clusters: int = 1,
    max_clusters: int = 30,
    n_neighbors: int = 10,
    random_state: int | np.random.RandomState | None = None,
    return_scores: bool = False,
) -> int | tuple[int, dict[int, float]]:
    """Estimate into how many clusters samples fall.

    The estimate is the largest number of clusters that are clearly apart in a graph of
    nearest neighbors: the strongest link of two clusters is at most 0.4 of the weakest
    place within one. If none are, the modularity decides, provided that samples without
    groups would have worse clusters; else there is no structure. :ref:`how_many` has
    the rule. On real data the estimate is often off: look at the scores, too, and at
    :ref:`measured results <n_clusters>`.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        A table, features of a pretrained network, or `embedding_` of an estimator.
        Distances matter, so give columns comparable scales. Fewer than 4 rows or values
        that are not finite raise a ValueError.
    min_clusters : int, default=1
        Smallest number.
    max_clusters : int, default=30
        Largest number; with few samples fewer are tried.
    n_neighbors : int, default=10
        Neighbors of each sample in the graph.
    random_state : int, RandomState instance or None, default=None
        Seeds the choice of 2,000 samples, if there are more, the eigensolver and
        k-means.
    return_scores : bool, default=False
        Whether to return the scores, too.

    Returns
    -------
    n_clusters : int
        The estimate, which need not have the largest score.
    scores : dict of int to float
        The score of each number of clusters from 2, if `return_scores` is True: 1 minus
        the strongest link over the weakest place, at least 0.

    Warns
    -----
    ConvergenceWarning
        If there is no structure. The estimate is `min_clusters` then.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepclust.model_selection import estimate_n_clusters
    >>> X, _ = make_blobs(300, 10, centers=5, random_state=0)
    >>> estimate_n_clusters(X, random_state=0)
    5
    """
    given = as_rows(X)
    floats = [np.float64, np.float32]
    try:
        rows = check_array(
            given.values, dtype=floats, ensure_min_samples=4, input_name="X"
        )
    except (TypeError, ValueError) as error:
        check_columns(X, error)
        raise
    rows = given.in_order(rows).reshape(len(rows), -1)
    _check_count("min_clusters", min_clusters)
    _check_count("max_clusters", max_clusters, min_clusters)
    _check_count("n_neighbors", n_neighbors)
    if min_clusters > len(rows):
        raise ValueError(
            f"min_clusters={min_clusters} is more than n_samples={len(rows)}: lower it."
        )
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    count = count_clusters(
        np.asarray(rows),
        seed=int(seed),
        min_clusters=min_clusters,
        max_clusters=max_clusters,
        n_neighbors=n_neighbors,
    )
    if not count.structured:
        warn_no_structure(count.n_clusters)
    if return_scores:
        return count.n_clusters, count.separation
    return count.n_clusters
