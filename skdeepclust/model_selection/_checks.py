"""Checks of numbers."""

from numbers import Integral
from typing import Any


def check_count(name: str, value: Any, least: int) -> None:
    """Refuse what is no integer, or too small.

    Parameters
    ----------
    name : str
        The parameter.
    value : object
        What was given.
    least : int
        The smallest allowed number.

    Raises
    ------
    ValueError
        If it is refused.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(
            f"{name} must be an integer of at least {least}; got {value!r}: pass "
            f"{least} or more."
        )
