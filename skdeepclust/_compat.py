"""What is private in scikit-learn, or differs between versions of it or of SciPy."""

import inspect
from typing import Any

import numpy as np
from scipy.sparse import issparse
from scipy.sparse.linalg import eigsh
from sklearn.base import BaseEstimator
from sklearn.base import _fit_context as fit_context
from sklearn.utils._param_validation import Interval, StrOptions

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
    "Interval",
    "SparseParamsMixin",
    "StrOptions",
    "eigsh_seed",
    "fit_context",
    "has_callbacks",
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
