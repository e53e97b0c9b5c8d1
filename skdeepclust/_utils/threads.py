"""Settings of the whole process, which several threads change at the same time."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from threadpoolctl import ThreadpoolController  # comes with scikit-learn

Found = TypeVar("Found")


@dataclass(eq=False)
class SharedSetting(Generic[Found]):
    """A process-wide setting that is changed as long as any thread is in its scope."""

    find: Callable[[], Found]  # What is set before the first thread enters.
    enter: Callable[[Found], None]  # Called for each thread with what was found.
    leave: Callable[[Found, bool], None]  # Also hears whether the thread is the last.

    def __post_init__(self) -> None:
        self._reset()
        if hasattr(os, "register_at_fork"):  # not on Windows
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        # The other threads are not in a forked process, and one of them may have held
        # the lock.
        self._within = _Within[Found]()

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Return the scope in which the setting is changed."""
        # A process that is forked in the scope leaves the one of its parent.
        within = self._within
        with within.lock:
            if within.n_threads == 0:
                within.found = self.find()
            self.enter(within.found)
            within.n_threads += 1
        try:
            yield
        finally:
            with within.lock:
                within.n_threads -= 1
                self.leave(within.found, within.n_threads == 0)


class _Within(Generic[Found]):
    """The threads in a scope, and what the first of them found."""

    found: Found

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_threads = 0


# Torch's number of threads, and those of the libraries: NumPy's and SciPy's products
# and eigenvectors compute on several threads, too.
_Numbers = tuple[int, list[tuple[Any, int]]]


def _find_numbers() -> _Numbers:
    libraries = ThreadpoolController().lib_controllers
    numbers = [(library, library.num_threads) for library in libraries]
    return torch.get_num_threads(), numbers


def _set_numbers(n_threads: int, libraries: list[tuple[Any, int]]) -> None:
    torch.set_num_threads(n_threads)
    for library, number in libraries:
        # Newer threadpoolctl lets only the thread that came first set some of them.
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)
        library.set_num_threads(number)


def _put_numbers_back(found: _Numbers, is_last: bool) -> None:
    if is_last:
        _set_numbers(*found)
        return
    # OpenMP counts for each thread, so that each one puts it back for itself.
    for library, number in found[1]:
        if library.internal_api == "openmp":
            library.set_num_threads(number)


one_thread = SharedSetting(
    _find_numbers,
    lambda found: _set_numbers(1, [(library, 1) for library, _ in found[1]]),
    _put_numbers_back,
).scope
"""Return a scope that computes on one thread, which several threads may be in."""
