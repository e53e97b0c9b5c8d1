"""Settings of the whole process, which several threads change at the same time."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Generic, TypeVar

import torch
from threadpoolctl import ThreadpoolController  # comes with scikit-learn

Found = TypeVar("Found")


class SharedSetting(Generic[Found]):
    """A process-wide setting that is changed as long as any thread is in its scope.

    `find` returns what is set before the first thread enters. `enter` and `leave` are
    called for each thread with that value; `leave` also hears whether the thread is the
    last one, which puts everything back.
    """

    def __init__(
        self,
        find: Callable[[], Found],
        enter: Callable[[Found], None],
        leave: Callable[[Found, bool], None],
    ) -> None:
        self._find, self._enter, self._leave = find, enter, leave
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
                within.found = self._find()
            self._enter(within.found)
            within.n_threads += 1
        try:
            yield
        finally:
            with within.lock:
                within.n_threads -= 1
                self._leave(within.found, within.n_threads == 0)


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
    n_threads = torch.get_num_threads()
    libraries = ThreadpoolController().lib_controllers
    return n_threads, [(library, library.num_threads) for library in libraries]


def _set_numbers(numbers: _Numbers) -> None:
    n_threads, libraries = numbers
    torch.set_num_threads(n_threads)
    for library, number in libraries:
        # Newer threadpoolctl lets only the thread that came first set some of them.
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)
        library.set_num_threads(number)


def _set_one(found: _Numbers) -> None:
    _set_numbers((1, [(library, 1) for library, _ in found[1]]))


def _put_numbers_back(found: _Numbers, is_last: bool) -> None:
    if is_last:
        _set_numbers(found)
        return
    # OpenMP counts for each thread, so that each one puts it back for itself.
    for library, number in found[1]:
        if library.internal_api == "openmp":
            library.set_num_threads(number)


_THREADS = SharedSetting(_find_numbers, _set_one, _put_numbers_back)


def one_thread() -> AbstractContextManager[None]:
    """Return a scope that computes on one thread, which several threads may be in."""
    return _THREADS.scope()
