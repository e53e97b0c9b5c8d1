"""The history of a fit, split into stages and terms."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PAIRS = ("positive_pairs", "negative_pairs", "ambiguous_pairs")


class Stage(NamedTuple):
    """One run of a stage: its epochs and, by name, its numbers."""

    name: str
    title: str
    epochs: NDArray[Any]
    terms: dict[str, NDArray[Any]]

    def panels(self, terms: Sequence[str] | None) -> list[tuple[str, ...]]:
        """Group terms into panels, which only pairs share.

        By default those that change; if none does, there is one panel.
        """
        chosen = self.terms if terms is None else dict.fromkeys(terms)
        names = [name for name in chosen if name in self.terms]
        alone = [name for name in names if name not in PAIRS]
        if terms is None and "loss" in alone:
            loss = self.terms["loss"]
            others = (self.terms[name] for name in alone if name != "loss")
            if any(np.array_equal(loss, values) for values in others):
                alone.remove("loss")
        pairs = tuple(name for name in PAIRS if name in names)
        panels = [*((name,) for name in alone), *([pairs] if pairs else [])]
        if terms is not None:
            return panels
        return [p for p in panels if any(map(self._changes, p))] or panels[:1]

    def _changes(self, name: str) -> bool:
        # A single epoch says nothing about that.
        values = self.terms[name]
        return len(values) == 1 or bool(np.nanmin(values) < np.nanmax(values))


def read_history(history: Any) -> list[Stage]:
    """Split the history into runs of stages; a stage may run twice."""
    if not isinstance(history, Sequence) or isinstance(history, str):
        raise TypeError(
            f"history must be a list of dicts; got {type(history).__name__}: pass "
            "history_ of an estimator, or to_dict('records') of a frame."
        )
    if not history:
        raise ValueError(
            "history must have one row or more; got none: train for an epoch or more."
        )
    runs: list[list[Mapping[str, Any]]] = []
    for i, row in enumerate(history):
        if not isinstance(row, Mapping) or not {"stage", "epoch"} <= set(row):
            raise ValueError(
                f"history must hold dicts with 'stage' and 'epoch'; got {row!r} in row "
                f"{i}: pass history_ of an estimator."
            )
        last = runs[-1][-1] if runs else None
        if last and last["stage"] == row["stage"] and last["epoch"] < row["epoch"]:
            runs[-1].append(row)
        else:
            runs.append([row])
    names = [rows[0]["stage"] for rows in runs]
    return [_stage(rows, names[:i].count(names[i])) for i, rows in enumerate(runs)]


def _stage(rows: list[Mapping[str, Any]], n_before: int) -> Stage:
    terms = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        if name not in ("stage", "epoch"):
            values = np.array([row.get(name, np.nan) for row in rows], dtype=float)
            # A table of all stages has NaN where a stage lacks a term.
            if not np.isnan(values).all():
                terms[name] = values
    name = rows[0]["stage"]
    title = f"{name} ({n_before + 1})" if n_before else name
    return Stage(name, title, np.array([row["epoch"] for row in rows]), terms)


def choose_panels(
    runs: list[Stage], stages: Sequence[str] | None, terms: Sequence[str] | None
) -> list[tuple[Stage, tuple[str, ...]]]:
    """Return the panels of the stages and terms that were asked for."""
    _check_names("stages", stages, (stage.name for stage in runs))
    runs = [stage for stage in runs if stages is None or stage.name in stages]
    _check_names("terms", terms, (name for stage in runs for name in stage.terms))
    panels = [(stage, names) for stage in runs for names in stage.panels(terms)]
    if not panels:
        raise ValueError(
            "history must have numbers beside 'stage' and 'epoch'; got none: pass "
            "history_ of an estimator."
        )
    return panels


def _check_names(
    parameter: str, names: Sequence[str] | None, known: Iterable[str]
) -> None:
    if names is None:
        return
    known = [*dict.fromkeys(known)]
    unknown = [name for name in names if name not in known]
    if isinstance(names, str) or unknown or not len(names):
        raise ValueError(
            f"{parameter} must be a list of names out of {known}; got {names!r}: pass "
            "some of these, or None for all."
        )
