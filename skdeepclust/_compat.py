"""Every name of scikit-learn that is private or differs between versions."""

from typing import Any

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
    "StrOptions",
    "fit_context",
    "has_callbacks",
]


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
