"""The history of a fit, cut into stages and terms."""

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

    def panels(self) -> list[tuple[str, ...]]:
        """Group the terms that share a panel: only the pairs do."""
        panels: list[tuple[str, ...]]
        panels = [(name,) for name in self.terms if name not in PAIRS]
        pairs = tuple(name for name in PAIRS if name in self.terms)
        return [*panels, pairs] if pairs else panels

    def changing(self) -> "Stage":
        """Keep the panels of terms that change; if none does, one panel."""
        panels = self.panels()
        shown = [names for names in panels if any(map(self._changes, names))]
        kept = {name for names in shown or panels[:1] for name in names}
        return self._replace(terms={n: y for n, y in self.terms.items() if n in kept})

    def _changes(self, name: str) -> bool:
        # A single epoch says nothing about that.
        values = self.terms[name]
        return len(values) == 1 or bool(np.nanmin(values) < np.nanmax(values))


def read_history(history: Any) -> list[Stage]:
    """Cut the history into runs of stages; one that is run twice comes twice."""
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
    names = dict.fromkeys(name for row in rows for name in row)
    terms = {
        name: np.array([row.get(name, np.nan) for row in rows], dtype=float)
        for name in names
        if name not in ("stage", "epoch")
    }
    # A table of all stages has NaN where a stage lacks a term.
    terms = {name: y for name, y in terms.items() if not np.isnan(y).all()}
    name = rows[0]["stage"]
    title = f"{name} ({n_before + 1})" if n_before else name
    return Stage(name, title, np.array([row["epoch"] for row in rows]), terms)


def choose_stages(
    runs: list[Stage], stages: Sequence[str] | None, terms: Sequence[str] | None
) -> list[Stage]:
    """Keep the stages and terms that were asked for."""
    _check_names("stages", stages, (stage.name for stage in runs))
    runs = [stage for stage in runs if stages is None or stage.name in stages]
    _check_names("terms", terms, (name for stage in runs for name in stage.terms))
    chosen = []
    for stage in runs:
        names = [*stage.terms] if terms is None else terms
        kept = {name: stage.terms[name] for name in names if name in stage.terms}
        others = [y for name, y in kept.items() if name not in ("loss", *PAIRS)]
        if terms is None and any(
            np.array_equal(kept["loss"], y) for y in others if "loss" in kept
        ):
            del kept["loss"]
        if kept:
            stage = stage._replace(terms=kept)
            chosen.append(stage.changing() if terms is None else stage)
    if not chosen:
        raise ValueError(
            "history must have numbers beside 'stage' and 'epoch'; got none: pass "
            "history_ of an estimator."
        )
    return chosen


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
