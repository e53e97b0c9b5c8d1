"""What is private in scikit-learn, or differs between its versions."""

from collections.abc import Callable
from typing import Any, Self, TypeVar

from scipy.sparse import issparse
from sklearn.base import BaseEstimator, _fit_context
from sklearn.frozen import FrozenEstimator
from sklearn.metrics._scorer import _Scorer
from sklearn.pipeline import Pipeline
from sklearn.utils._param_validation import HasMethods as HasMethods
from sklearn.utils._param_validation import Interval as Interval
from sklearn.utils._param_validation import StrOptions as StrOptions
from sklearn.utils.metadata_routing import MetadataRequest

try:
    from sklearn.callback import CallbackSupportMixin as CallbackSupportMixin
except ImportError:
    # One name, two classes: which of them it is, the version decides.
    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in before scikit-learn 1.9, which brought callbacks: has none."""


_Method = TypeVar("_Method", bound=Callable[..., Any])


# The decorator of `fit`, typed to keep the type of what it decorates.
fit_context: Callable[..., Callable[[_Method], _Method]] = _fit_context


class SparseParamsMixin(BaseEstimator):
    """Shows parameters that are sparse matrices in a notebook."""

    def _get_params_html(self, *args: Any, **kwargs: Any) -> Any:
        # scikit-learn 1.9 compares each value with that of the signature, which is an
        # error in SciPy where the one is a matrix and the other text.
        params = self.get_params(deep=False)
        matrices = {name: value for name, value in params.items() if issparse(value)}
        if not matrices:
            return super()._get_params_html(*args, **kwargs)
        others = type(self)(**{**params, **dict.fromkeys(matrices, "a matrix")})
        shown = others._get_params_html(*args, **kwargs)
        shown.update(matrices)
        return shown


_DOC = """Score a fitted clusterer by {what}.

{more}Call it as ``{name}(estimator, X, y)``, or use it as `scoring`.

Parameters
----------
estimator : object
    A fitted clusterer with {needs}.
X : array-like of shape (n_samples, ...)
    Samples.
y : {y}

Returns
-------
float
    The score; more is better, and 1 the most.

Examples
--------
>>> from sklearn.cluster import KMeans
>>> from skdeepclust.{module} import {name}
>>> X, y = [[x] for x in (*range(20), *range(90, 110))], [1] * 20 + [0] * 20
>>> round({name}(KMeans(2, random_state=0).fit(X), X, y), 3)
{score}
"""


class ClusterScorer(_Scorer):
    """A scorer of fitted clusterers that takes no metadata, and so never changes.

    Subclasses define `__call__`.
    """

    _name: str
    # With several scorers scikit-learn asks each for this, to predict only once.
    _response_method = "predict"

    def __repr__(self) -> str:
        return self._name

    # scikit-learn's displays name callables by it.
    __name__ = property(repr)

    def set_score_request(self, **kwargs: Any) -> Self:
        """Return the scorer unchanged; a TypeError if metadata is requested."""
        asked = [k for k, alias in kwargs.items() if alias not in (None, False)]
        if asked:
            raise TypeError(
                f"{self!r} takes no metadata; got a request for {', '.join(asked)}: "
                "leave it out."
            )
        return self

    def _get_metadata_request(self) -> MetadataRequest:
        return MetadataRequest(owner=self)

    def _accept_sample_weight(self) -> bool:
        return False

    def _score(self, caller: Any, estimator: Any, X: Any, y: Any = None) -> float:
        return float(self(estimator, X))


class FunctionScorer(ClusterScorer):
    """A scorer without classes by a function; `words` are those of its docstring."""

    def __init__(
        self, name: str, function: Callable[[Any, Any], float], **words: str
    ) -> None:
        super().__init__(function, 1, {}, "predict")
        self._name = name
        words = {"more": "", "y": "object, default=None\n    Ignored.", **words}
        self.__doc__ = _DOC.format(name=name, **words)

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> float:
        """Score a fitted clusterer; `y` is ignored."""
        return float(self._score_func(estimator, X))


class ClassScorer(FunctionScorer):
    """A scorer of fitted clusterers by known classes."""

    def __init__(
        self, name: str, metric: Callable[[Any, Any], float], what: str
    ) -> None:
        words = {"needs": "`predict`", "module": "metrics", "score": "1.0"}
        y = "array-like of shape (n_samples,)\n    Classes."
        super().__init__(name, metric, what=what, y=y, **words)

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> float:
        """Score a fitted clusterer."""
        return float(_Scorer.__call__(self, estimator, X, y))

    def _score(self, caller: Any, estimator: Any, X: Any, y: Any = None) -> float:
        if y is None:
            raise ValueError(
                "y must hold the classes of X; got None: pass y, or score without "
                "classes by modularity_scorer."
            )
        check_methods(estimator, "predict")
        if hasattr(estimator, "__sklearn_tags__"):
            return float(_Scorer._score(self, caller, estimator, X, y))
        # Of another package; scikit-learn would ask what kind it is.
        return float(self._score_func(y, estimator.predict(X)))


def last_step(estimator: Any, X: Any = None) -> tuple[Any, Any]:
    """Return the last step of what is nested, and `X` as it gets to that step."""
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
    """Raise a TypeError unless an estimator has the methods that a scorer needs."""
    for name in names:
        if not hasattr(estimator, name):
            raise TypeError(
                f"estimator must have {' and '.join(names)} to be scored; got "
                f"{type(estimator).__name__}, which has no {name}: use one that has."
            )


def has_callbacks(estimator: Any) -> bool:
    """Say whether callbacks are set; where there are some, `fit_context` ends them."""
    return bool(getattr(estimator, "_skl_callbacks", None))
