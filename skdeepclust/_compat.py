"""What is private in scikit-learn, or differs between versions of it or of SciPy."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import issparse
from scipy.sparse.linalg import eigsh
from sklearn.base import BaseEstimator
from sklearn.base import _fit_context as fit_context
from sklearn.frozen import FrozenEstimator
from sklearn.metrics._scorer import _BaseScorer, _Scorer
from sklearn.pipeline import Pipeline
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metadata_routing import MetadataRequest

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:
    # One name, two classes: which of them it is, the version decides.
    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in before scikit-learn 1.9, which brought callbacks: has none."""


CALLBACKS = "_skl_callbacks"
"""The attribute that holds an estimator's callbacks."""

__all__ = [
    "CALLBACKS",
    "CallbackSupportMixin",
    "ClassScorer",
    "ClusterScorer",
    "Interval",
    "SparseParamsMixin",
    "StrOptions",
    "check_methods",
    "eigsh_seed",
    "fit_context",
    "has_callbacks",
    "last_step",
]


class SparseParamsMixin(BaseEstimator):
    """Shows parameters that are sparse matrices in a notebook."""

    def _get_params_html(self, *args: Any, **kwargs: Any) -> Any:
        # scikit-learn 1.9 asks whether each value is that of the signature, and SciPy
        # raises an error when a matrix is compared with text.
        params = self.get_params(deep=False)
        matrices = {name: value for name, value in params.items() if issparse(value)}
        if not matrices:
            return super()._get_params_html(*args, **kwargs)
        others = type(self)(**{**params, **dict.fromkeys(matrices, "a matrix")})
        shown = others._get_params_html(*args, **kwargs)
        shown.update(matrices)
        return shown


class _NoMetadata:
    """A scorer that takes no metadata, and so never changes."""

    @property
    def __name__(self) -> str:
        # scikit-learn's displays name callables by it.
        return repr(self)

    def set_score_request(self, **kwargs: Any) -> Any:
        """Refuse requests for metadata.

        Parameters
        ----------
        **kwargs : bool, None or str
            Names of metadata; True or another name requests them.

        Returns
        -------
        self : object
            The scorer itself, unchanged.

        Raises
        ------
        TypeError
            If metadata is requested.
        """
        asked = [k for k, alias in kwargs.items() if alias not in (None, False)]
        if asked:
            raise TypeError(
                f"{self!r} takes no metadata; got a request for {', '.join(asked)}: "
                f"leave it out."
            )
        return self

    def _get_metadata_request(self) -> MetadataRequest:
        return MetadataRequest(owner=self)

    def _accept_sample_weight(self) -> bool:
        return False


class ClassScorer(_NoMetadata, _Scorer):
    """Scores a fitted clusterer by its predictions and known classes.

    It is what `sklearn.metrics.make_scorer` returns.

    Parameters
    ----------
    name : str
        How the scorer is shown.
    metric : callable
        Gives a score from classes and predictions.
    """

    def __init__(self, name: str, metric: Callable[[Any, Any], float]) -> None:
        super().__init__(metric, 1, {}, "predict")
        self._name = name

    def __repr__(self) -> str:
        return self._name

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> float:
        """Score a fitted clusterer.

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
            The score.
        """
        score: float = super().__call__(estimator, X, y)
        return score

    def _score(
        self, method_caller: Any, estimator: Any, X: Any, y_true: Any = None
    ) -> float:
        if y_true is None:
            raise ValueError(
                "y must hold the classes of X; got None: pass y, or score without "
                "classes by modularity_scorer."
            )
        check_methods(estimator, "predict")
        if not hasattr(estimator, "__sklearn_tags__"):
            # Of another package; scikit-learn would ask what kind it is.
            return self._score_func(y_true, estimator.predict(X))
        score: float = super()._score(method_caller, estimator, X, y_true)
        return score


class ClusterScorer(_NoMetadata, _BaseScorer):
    """Scores a fitted clusterer by the samples alone.

    Subclasses define ``_value(estimator, X)``.
    """

    # With several scorers scikit-learn asks each for this, to predict only once.
    _response_method = "predict"

    # That of scikit-learn takes a metric of classes and predictions.
    def __init__(self) -> None:
        pass

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> float:
        """Score a fitted clusterer.

        Parameters
        ----------
        estimator : object
            Fitted.
        X : array-like of shape (n_samples, ...)
            Samples.
        y : object, default=None
            Ignored.

        Returns
        -------
        float
            The score.
        """
        return self._value(estimator, X)

    def _score(
        self, method_caller: Any, estimator: Any, X: Any, y_true: Any = None
    ) -> float:
        return self._value(estimator, X)

    def _value(self, estimator: Any, X: Any) -> float:
        raise NotImplementedError


def last_step(estimator: Any, X: Any = None) -> tuple[Any, Any]:
    """Return the last step of pipelines, frozen estimators and searches.

    They may be within each other.

    Parameters
    ----------
    estimator : estimator
        Any; of a search, the best one counts.
    X : array-like, default=None
        Samples.

    Returns
    -------
    estimator : estimator
        The last step.
    X : array-like or None
        The samples as they get there.
    """
    while True:
        if isinstance(estimator, Pipeline):
            if X is not None and len(estimator) > 1:
                X = estimator[:-1].transform(X)
            estimator = estimator[-1]
        elif isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            return estimator, X


def check_methods(estimator: Any, *names: str) -> None:
    """Raise an error unless an estimator has the methods that a scorer needs.

    Parameters
    ----------
    estimator : object
        Fitted.
    *names : str
        The methods.

    Raises
    ------
    TypeError
        If it lacks one.
    """
    for name in names:
        if not hasattr(estimator, name):
            raise TypeError(
                f"estimator must have {' and '.join(names)} to be scored; got "
                f"{type(estimator).__name__}, which has no {name}: use one that has."
            )


def eigsh_seed(seed: int) -> dict[str, Any]:
    """Return what seeds the restarts of SciPy's `eigsh`, to be passed to it.

    Parameters
    ----------
    seed : int
        The seed.

    Returns
    -------
    dict
        Empty where SciPy is too old to be told.
    """
    known = inspect.signature(eigsh).parameters
    return {"rng": np.random.default_rng(seed)} if "rng" in known else {}


def has_callbacks(estimator: Any) -> bool:
    """Say whether callbacks are set; where there are some, `fit_context` ends them.

    Parameters
    ----------
    estimator : estimator
        With or without `set_callbacks`.

    Returns
    -------
    bool
        False before scikit-learn 1.9.
    """
    return bool(getattr(estimator, CALLBACKS, None))
