"""Scorers of fitted clusterers that need no classes."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.utils import check_array

from skdeepclust._base.clusterer import BaseDeepClusterer
from skdeepclust._utils.compat import (
    ClusterScorer,
    FunctionScorer,
    check_methods,
    last_step,
)
from skdeepclust._utils.labels import number_labels
from skdeepclust.graph._checks import _check_count
from skdeepclust.views import make_views

_SILHOUETTE_SAMPLES = 5_000


def _silhouette(estimator: Any, X: Any) -> float:
    model, X = last_step(estimator, X)
    check_methods(model, "predict")
    labels = _predicted(model, X)
    embedding = model.transform(X) if isinstance(model, BaseDeepClusterer) else X
    floats = [np.float64, np.float32]
    rows = check_array(embedding, accept_sparse="csr", dtype=floats, input_name="X")
    if len(labels) > _SILHOUETTE_SAMPLES:
        rng = np.random.default_rng(0)
        drawn = rng.choice(len(labels), _SILHOUETTE_SAMPLES, replace=False)
        rows, labels = rows[drawn], labels[drawn]
    n_clusters = len(np.unique(labels))
    if n_clusters == 1:
        return -1.0
    if n_clusters == len(labels):
        return 0.0  # that of a sample alone in its cluster, by definition
    return float(silhouette_score(rows, labels))


@dataclass(frozen=True)
class StabilityScorer(ClusterScorer):
    """Scores a fitted clusterer by how stable its clusters are.

    The score is the mean of two adjusted Rand indices, at most 1 and about 0 by chance:
    of the clusters of random views of the samples, made by the estimator's
    augmentation, and of the predictions of the estimator and of a clone fitted on the
    scored samples from another seed. A single cluster scores 0. Call it as
    ``scorer(estimator, X)``, or use it as `scoring`. Of a pipeline, the last step alone
    is fitted again; of a search, the best estimator is scored.

    Parameters
    ----------
    n_refits : int, default=1
        Clones to fit. With 0 only the views count, which takes next to no time.
    n_views : int, default=2
        Views of each sample, 2 or more; all pairs are compared. With 0, or without an
        augmentation, only the refits count; without either, a ValueError is raised.
    random_state : int, default=0
        Seeds the views and the clones. The same seed gives the same score.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from skdeepclust.model_selection import StabilityScorer
    >>> X = [[0.0], [1.0], [8.0], [9.0]]
    >>> StabilityScorer(n_refits=2)(KMeans(2, random_state=0).fit(X), X)
    1.0
    """

    n_refits: int = 1
    n_views: int = 2
    random_state: int = 0

    def __post_init__(self) -> None:
        for name in ("n_refits", "n_views", "random_state"):
            _check_count(name, getattr(self, name), 0)
        if self.n_views == 1:
            raise ValueError(
                "n_views must be 0 or at least 2, since views are compared with each "
                "other; got 1: pass 2."
            )

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> float:
        """Score a fitted clusterer; `y` is ignored."""
        model, X = last_step(estimator, X)
        check_methods(model, "predict")
        rng = np.random.default_rng(self.random_state)
        view_seed, *refit_seeds = rng.integers(2**31 - 1, size=1 + self.n_refits)
        views = _labels_of_views(model, X, self.n_views, int(view_seed))
        agreements = []
        if views:
            pairs = combinations(views, 2)
            agreements.append(np.mean([_agreement(*pair) for pair in pairs]))
        if self.n_refits:
            labels = _predicted(model, X)
            refits = [_predicted(_refit(model, X, int(s)), X) for s in refit_seeds]
            agreements.append(np.mean([_agreement(labels, other) for other in refits]))
        if not agreements:
            raise ValueError(
                f"stability needs views or refits; got n_views={self.n_views}, an "
                f"estimator with augmentation={getattr(model, 'augmentation', None)}, "
                f"and n_refits=0: set n_refits to 1 or more."
            )
        return float(np.mean(agreements))


_NEEDS = "`predict`, or a pipeline that ends with one"
silhouette_scorer = FunctionScorer(
    "silhouette_scorer",
    _silhouette,
    more="""The silhouette is that of the predicted clusters in the embedding, as from
`transform`, of at most 5,000 samples, the same in every call. Clusters of other
packages' estimators are scored in the space of the samples that `predict` gets. A
single cluster scores -1.

""",
    what="the mean silhouette of its clusters",
    score="0.922",
    needs=_NEEDS,
    module="model_selection",
)
stability_scorer = FunctionScorer(
    "stability_scorer",
    StabilityScorer(),
    what="a `StabilityScorer` with its defaults",
    score="1.0",
    needs=_NEEDS,
    module="model_selection",
)

# Doctest does not find made docstrings.
__test__ = {s.__name__: s.__doc__ for s in (silhouette_scorer, stability_scorer)}


def _predicted(model: Any, X: Any) -> NDArray[np.intp]:
    """Return the predicted clusters, numbered from 0."""
    return number_labels("labels", model.predict(X))[1]


def _labels_of_views(
    model: Any, X: Any, n_views: int, seed: int
) -> list[NDArray[np.integer]]:
    """Return the clusters of random views; none where there are no views."""
    if n_views == 0 or not isinstance(model, BaseDeepClusterer):
        return []
    batches = model._batches(X)
    views = make_views(model.augmentation, batches.spec.shape)
    if views is None:
        return []
    generator = torch.Generator(batches.device).manual_seed(seed)

    def label(x: Any) -> Any:
        return model.network_(views(x, generator)).argmax(1)

    with model._seeded(seed, batches.device):
        return [batches.map(label).cpu().numpy() for _ in range(n_views)]


def _refit(model: Any, X: Any, seed: int) -> Any:
    """Fit a clone from another seed."""
    # Made from the parameters, so that callbacks do not hear of it.
    fresh = type(model)(**clone(model).get_params(deep=False))
    # Of what it holds, too.
    others = {"random_state": seed, "checkpoint_dir": None}
    names = {name: name.rsplit("__", 1)[-1] for name in fresh.get_params()}
    fresh.set_params(**{k: others[v] for k, v in names.items() if v in others})
    return fresh.fit(X)


def _agreement(labels: NDArray[Any], others: NDArray[Any]) -> float:
    # One cluster of everything would agree perfectly with another one.
    if min(len(np.unique(labels)), len(np.unique(others))) == 1:
        return 0.0
    return float(adjusted_rand_score(labels, others))
