"""Loss terms and shares of pairs by epoch."""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from . import _shared as shared

PAIRS = ("positive_pairs", "negative_pairs", "ambiguous_pairs")
PAIR_COLORS = dict(zip(PAIRS, (*shared.COLORS[:2], shared.NOISE_INK), strict=True))
# Thin lines in the palest colors could hardly be seen.
TERMS = [color for color in shared.COLORS if color not in ("#e4c92c", "#a6cdfe")]
CELL, MAX_COLUMNS = (2.5, 1.6), 4  # inches
FEW = 20  # epochs, each of which gets a dot


class _PlotOptions(TypedDict, total=False):
    ax: Any
    stages: Sequence[str] | None
    terms: Sequence[str] | None
    line_kwargs: dict[str, Any] | None


@dataclass(eq=False, repr=False)
class TrainingCurveDisplay:
    """Loss terms by epoch, and the shares of pairs that self-pacing selects.

    Each term of each stage has a small panel with its own scale. The three shares of
    pairs have one panel, whose scale is linear up to 1 % and logarithmic above. Make
    the display by :meth:`from_estimator` or :meth:`from_history`. Read more in the
    :ref:`User Guide <pictures>`.

    Parameters
    ----------
    history : list of dict
        A row per epoch: "stage", "epoch", and named numbers.

    Attributes
    ----------
    panels_ : list of tuple
        What each panel shows: the stage, then the names of its terms.
    axes_ : ndarray of shape (n_panels,)
        A matplotlib Axes per panel, stage after stage.
    lines_ : list of list
        The matplotlib Line2D of each panel.
    ax_, figure_ : matplotlib Axes and Figure
        The first of `axes_`, and its figure.

    Examples
    --------
    >>> from skdeepclust.display import TrainingCurveDisplay
    >>> history = [{"stage": "head", "epoch": i, "loss": 1 / i} for i in (1, 2, 3)]
    >>> TrainingCurveDisplay.from_history(history).panels_
    [('head', 'loss')]
    """

    history: Sequence[Mapping[str, Any]]

    @classmethod
    def from_estimator(cls, estimator: Any, **options: Unpack[_PlotOptions]) -> Self:
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted clusterer with `history_`; or a pipeline, search or frozen
            estimator of one.
        **options
            `ax`, `stages`, `terms` and `line_kwargs`, as for :meth:`plot`.

        Returns
        -------
        TrainingCurveDisplay
        """
        shared.check_matplotlib(cls)
        hint = "pass an estimator of skdeepclust"
        model, _ = shared.fitted_step(estimator, None, hint, "history_")
        return cls.from_history(model.history_, **options)

    @classmethod
    def from_history(
        cls, history: Sequence[Mapping[str, Any]], **options: Unpack[_PlotOptions]
    ) -> Self:
        """Draw a history.

        Parameters
        ----------
        history : list of dict
            A row per epoch: "stage", "epoch", and named numbers.
        **options
            `ax`, `stages`, `terms` and `line_kwargs`, as for :meth:`plot`.

        Returns
        -------
        TrainingCurveDisplay
        """
        # The history of an estimator may go on, and the display may be changed.
        return cls(deepcopy(history)).plot(**options)

    def plot(
        self,
        ax: Any = None,
        *,
        stages: Sequence[str] | None = None,
        terms: Sequence[str] | None = None,
        line_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the panels.

        Parameters
        ----------
        ax : matplotlib Axes or array-like of Axes, default=None
            None makes a new figure. One of the axes of ``plt.subplots`` gives its place
            to the panels. An array has one for each of `panels_`.
        stages : list of str, default=None
            Stages to draw. None: all.
        terms : list of str, default=None
            Terms to draw. None: all that change, without "loss" where another term is
            the same. A stage in which nothing changes still has a panel.
        line_kwargs : dict, default=None
            Keywords for matplotlib's `plot`, in place of the defaults.

        Returns
        -------
        TrainingCurveDisplay
        """
        shared.check_matplotlib(type(self))
        from matplotlib.lines import Line2D

        runs = _read_history(self.history)
        panels = _choose_panels(runs, stages, terms)
        self.panels_ = [(stage.title, *names) for stage, names in panels]
        self.axes_ = _panel_axes(ax, self.panels_)
        colors = _term_colors(runs)
        self.lines_ = []
        for place, (stage, names) in zip(self.axes_, panels, strict=True):
            style: dict[str, Any] = {"linewidth": 1.6}
            if len(stage.epochs) < FEW:
                style |= {"marker": "o", "markersize": 3}
            lines = []
            for name in names:
                style |= {"color": colors[name], "label": name.removesuffix("_pairs")}
                look = shared.styled(Line2D, line_kwargs, **style)
                lines += place.plot(stage.epochs, stage.terms[name], **look)
            self.lines_.append(lines)
            _dress(place, stage.title, names)
        self.ax_, self.figure_ = self.axes_[0], self.axes_[0].figure
        return self


class _Stage(NamedTuple):
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
            loss, others = self.terms["loss"], [n for n in alone if n != "loss"]
            if any(np.array_equal(loss, self.terms[name]) for name in others):
                alone = others
        pairs = tuple(name for name in PAIRS if name in names)
        panels = [*((name,) for name in alone), *([pairs] if pairs else [])]
        if terms is not None:
            return panels
        return [p for p in panels if any(map(self._changes, p))] or panels[:1]

    def _changes(self, name: str) -> bool:
        # A single epoch says nothing about that.
        values = self.terms[name]
        return len(values) == 1 or bool(np.nanmin(values) < np.nanmax(values))


def _read_history(history: Any) -> list[_Stage]:
    """Split the history into runs of stages; a stage may run twice."""
    if not isinstance(history, Sequence) or isinstance(history, str):
        raise TypeError(
            f"history must be a list of dicts; got {type(history).__name__}: pass "
            "history_ of an estimator, or to_dict('records') of a frame."
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
    stages = []
    for i, (name, rows) in enumerate(zip(names, runs, strict=True)):
        terms = {}
        for term in dict.fromkeys(term for row in rows for term in row):
            if term not in ("stage", "epoch"):
                values = np.array([row.get(term, np.nan) for row in rows], dtype=float)
                # A table of all stages has NaN where a stage lacks a term.
                if not np.isnan(values).all():
                    terms[term] = values
        n_before = names[:i].count(name)
        title = f"{name} ({n_before + 1})" if n_before else name
        epochs = np.array([row["epoch"] for row in rows])
        stages.append(_Stage(name, title, epochs, terms))
    return stages


def _choose_panels(
    runs: list[_Stage], stages: Sequence[str] | None, terms: Sequence[str] | None
) -> list[tuple[_Stage, tuple[str, ...]]]:
    """Return the panels of the stages and terms that were asked for."""
    _check_names("stages", stages, (stage.name for stage in runs))
    runs = [stage for stage in runs if stages is None or stage.name in stages]
    _check_names("terms", terms, (name for stage in runs for name in stage.terms))
    panels = [(stage, names) for stage in runs for names in stage.panels(terms)]
    if not panels:
        raise ValueError(
            "history must have rows with numbers beside 'stage' and 'epoch'; got none: "
            "pass history_ of an estimator, trained for an epoch or more."
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


def _panel_axes(ax: Any, panels: list[tuple[str, ...]]) -> NDArray[Any]:
    """Return an Axes per panel; panels of pairs take two cells."""
    import matplotlib.pyplot as plt

    if np.ndim(ax) > 0:
        axes = [shared.check_axes(one) for one in np.asarray(ax, dtype=object).ravel()]
        if len(axes) != len(panels):
            raise ValueError(
                f"ax must have one Axes per panel, {len(panels)} of them; got "
                f"{len(axes)}: pass as many, or choose by stages and terms."
            )
        return np.array(axes, dtype=object)
    widths = [2 if names[-1] in PAIRS else 1 for _, *names in panels]
    n_columns = min(MAX_COLUMNS, sum(widths))
    if ax is not None:
        place = shared.check_axes(ax).get_subplotspec()
        if place is None:
            raise ValueError(
                "ax must have a place in a grid, which the panels can share; got axes "
                "without one: pass axes of plt.subplots(), or one for each panel."
            )
        n_columns = min(n_columns, max(1, int(shared.inches(ax) / 1.5)))
    # Rows are filled from the left.
    spans, row, column = [], 0, 0
    for width in widths:
        width = min(width, n_columns)
        if column + width > n_columns:
            row, column = row + 1, 0
        spans.append((row, slice(column, column + width)))
        column += width
    shape = (row + 1, n_columns)
    if ax is None:
        size = np.multiply(CELL, shape[::-1])
        figure = plt.figure(figsize=size, layout="constrained")
        grid = figure.add_gridspec(*shape)
    else:
        ax.set_axis_off()
        figure, grid = ax.figure, place.subgridspec(*shape)
    return np.array([figure.add_subplot(grid[span]) for span in spans], dtype=object)


def _term_colors(runs: list[_Stage]) -> dict[str, str]:
    """Give a term one color in all stages, whatever part of them is drawn."""
    names = dict.fromkeys(name for stage in runs for name in stage.terms)
    others = [name for name in names if name != "loss" and name not in PAIRS]
    colors = {name: TERMS[i % len(TERMS)] for i, name in enumerate(others)}
    return {"loss": shared.INK, **PAIR_COLORS, **colors}


def _dress(ax: Any, stage: str, names: tuple[str, ...]) -> None:
    """Set title, ticks and, for pairs, the legend of a panel."""
    from matplotlib import ticker

    is_pairs, narrow = names[0] in PAIRS, shared.inches(ax) < 3.5
    name = "share of pairs" if is_pairs else names[0].replace("_", " ")
    # Where the title and the legend do not fit into one line, the title moves up.
    pad = 18 if narrow and is_pairs else 6
    ax.set_title(f"{stage}: {name}", loc="left", fontsize="small", pad=pad)
    ax.set_xlabel("epoch", fontsize="small", labelpad=1)
    ax.xaxis.set_major_locator(ticker.MaxNLocator(4, integer=True, min_n_ticks=1))
    ax.tick_params(labelsize="small")
    ax.spines[["top", "right"]].set_visible(False)
    if not is_pairs:
        ax.yaxis.set_major_locator(ticker.MaxNLocator(3))
        # Without an offset, which would stand where the title is.
        ax.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:.4g}"))
        return
    # A pair in a hundred would be invisible beside the negatives; there may be none.
    ax.set_yscale("symlog", linthresh=0.01)
    ax.set_ylim(0, 1.1)
    ax.set_yticks([0, 0.01, 0.1, 1], ["0%", "1%", "10%", "100%"])
    x, side = (0, "left") if narrow else (1, "right")
    place = {"loc": f"lower {side}", "bbox_to_anchor": (x, 1), "frameon": False}
    space = {"borderaxespad": 0.1, "borderpad": 0.2, "handlelength": 1}
    space |= {"handletextpad": 0.4, "columnspacing": 1}
    ax.legend(ncols=len(names), fontsize="small", **place, **space)
