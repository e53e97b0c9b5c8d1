"""Loss terms and shares of pairs by epoch."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Self, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from . import _shared as shared
from ._history import PAIRS, Stage, choose_panels, read_history

PAIR_COLORS = dict(zip(PAIRS, (*shared.COLORS[:2], shared.NOISE_INK), strict=True))
# Thin lines in the palest colors could hardly be seen.
TERMS = [color for color in shared.COLORS if color not in ("#e4c92c", "#a6cdfe")]
CELL, MAX_COLUMNS = (2.5, 1.6), 4  # inches
FEW = 20  # epochs, each of which gets a dot


class _Options(TypedDict, total=False):
    # Those of `plot`.
    ax: Any
    stages: Sequence[str] | None
    terms: Sequence[str] | None
    line_kwargs: dict[str, Any] | None


@dataclass(eq=False, repr=False)
class TrainingCurveDisplay:
    """Loss terms by epoch, and the shares of pairs that self-pacing selects.

    Each term of each stage has a small panel with its own scale. Terms that never
    change are left out. The three shares of pairs have one panel, whose scale is linear
    up to 1 % and logarithmic above.

    Make it by :meth:`from_estimator` or :meth:`from_history`; all parameters are stored
    as attributes. Read more in the :ref:`User Guide <pictures>`.

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
    def from_estimator(cls, estimator: Any, **options: Unpack[_Options]) -> Self:
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
        model, _ = shared.fitted_step(estimator)
        hint = "pass an estimator of skdeepclust"
        history = shared.fitted_value(model, "history_", hint)
        return cls.from_history(history, **options)

    @classmethod
    def from_history(
        cls, history: Sequence[Mapping[str, Any]], **options: Unpack[_Options]
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

        runs = read_history(self.history)
        panels = choose_panels(runs, stages, terms)
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
    most = min(MAX_COLUMNS, sum(widths))
    if ax is None:
        spans, shape = _flow(widths, most)
        size = np.multiply(CELL, shape[::-1])
        figure = plt.figure(figsize=size, layout="constrained")
        grid = figure.add_gridspec(*shape)
    else:
        figure, place = shared.check_axes(ax).figure, ax.get_subplotspec()
        if place is None:
            raise ValueError(
                "ax must have a place in a grid, which the panels can share; got axes "
                "without one: pass axes of plt.subplots(), or one for each panel."
            )
        spans, shape = _flow(widths, min(most, max(1, int(shared.inches(ax) / 1.5))))
        ax.set_axis_off()
        grid = place.subgridspec(*shape)
    return np.array([figure.add_subplot(grid[span]) for span in spans], dtype=object)


def _flow(
    widths: list[int], n_columns: int
) -> tuple[list[tuple[int, slice]], tuple[int, int]]:
    """Fill rows from the left; return each panel's cells, and the grid's shape."""
    spans, row, column = [], 0, 0
    for width in widths:
        width = min(width, n_columns)
        if column + width > n_columns:
            row, column = row + 1, 0
        spans.append((row, slice(column, column + width)))
        column += width
    return spans, (row + 1, n_columns)


def _term_colors(runs: list[Stage]) -> dict[str, str]:
    """Give a term one color in all stages, whatever part of them is drawn."""
    names = dict.fromkeys(name for stage in runs for name in stage.terms)
    others = [name for name in names if name != "loss" and name not in PAIRS]
    colors = {name: TERMS[i % len(TERMS)] for i, name in enumerate(others)}
    return {"loss": shared.INK, **PAIR_COLORS, **colors}


def _dress(ax: Any, stage: str, names: tuple[str, ...]) -> None:
    """Set title, ticks and, for pairs, the legend of a panel."""
    from matplotlib import ticker

    name = "share of pairs" if names[0] in PAIRS else names[0].replace("_", " ")
    title = f"{stage}: {name}"
    narrow = shared.inches(ax) < 3.5
    # Where the title and the legend do not fit into one line, the title moves up.
    pad = 18 if narrow and names[0] in PAIRS else 6
    ax.set_title(title, loc="left", fontsize="small", pad=pad)
    ax.set_xlabel("epoch", fontsize="small", labelpad=1)
    ax.xaxis.set_major_locator(ticker.MaxNLocator(4, integer=True, min_n_ticks=1))
    ax.tick_params(labelsize="small")
    ax.spines[["top", "right"]].set_visible(False)
    if names[0] not in PAIRS:
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
