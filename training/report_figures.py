"""The figures of a report as SVG text. matplotlib draws; the text says nothing of where or when it was drawn."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK, MODEL, OTHER, FAINT = "#22303c", "#1f5a96", "#b35900", "#c8ced4"
#: No font is embedded and no link is written; a fixed salt makes ids the same in every run.
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}
NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}


def draw(name: str, size: tuple[float, float], *plots: Callable[[Axes], None], ratios: Sequence[float] = (1,)) -> str:
    """One figure of plots under one another, as an SVG element. name: unique on its page."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots(len(plots), 1, squeeze=False, sharex=len(plots) > 1, height_ratios=list(ratios))
        for plot, one in zip(plots, axes[:, 0], strict=True):
            plot(one)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata=NO_METADATA)
    svg = text.getvalue()
    # Group ids such as "figure_1" repeat between figures; nothing refers to them.
    return svg[svg.index("<svg") :].replace('<g id="', f'<g data-part="{name}-').strip()


def roc(name: str, curve: Mapping[str, Any]) -> str:
    def plot(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=FAINT, linestyle="--", label="coin")
        axes.plot(curve["false_alerts"], curve["found"], color=MODEL, label="model")
        _unit_square(axes, "non-events alerted", "events found")
        axes.legend(loc="lower right")

    return draw(name, (3.6, 3.2), plot)


def precision_recall(name: str, curve: Mapping[str, Any], observed: float) -> str:
    def plot(axes: Axes) -> None:
        axes.axhline(observed, color=FAINT, linestyle="--", label="alerting on all")
        axes.plot(curve["found"], curve["ppv"], color=MODEL, label="model")
        _unit_square(axes, "events found", "alerts that are right (PPV)")
        axes.legend(loc="upper right")

    return draw(name, (3.6, 3.2), plot)


def calibration(name: str, bins: Sequence[Mapping[str, Any]], histogram: Mapping[str, Any]) -> str:
    top = min(1.0, 1.15 * max(one["observed"]["high"] or one["observed"]["value"] for one in bins))
    reach = max(top, min(1.0, 1.15 * bins[-1]["predicted"]))

    def plot(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=FAINT, linestyle="--", label="perfect")
        values = [one["observed"]["value"] for one in bins]
        axes.errorbar(
            [one["predicted"] for one in bins], values, yerr=_bars([one["observed"] for one in bins]),
            color=MODEL, marker="o", markersize=4, linewidth=1.2, capsize=2, label="model",
        )  # fmt: skip
        axes.set(ylim=(0, reach), ylabel="observed share")
        axes.legend(loc="lower right")

    def below(axes: Axes) -> None:
        edges = np.array(histogram["edges"])
        axes.bar(edges[:-1], histogram["rows"], width=np.diff(edges), align="edge", color=FAINT, edgecolor="white")
        axes.set(xlim=(0, reach), xlabel="predicted probability", ylabel="rows")

    return draw(name, (3.6, 3.6), plot, below, ratios=(3, 1))


def decision(name: str, curve: Mapping[str, Any], observed: float) -> str:
    def plot(axes: Axes) -> None:
        axes.axhline(0, color=INK, linewidth=0.8, label="act on none")
        axes.plot(curve["threshold"], curve["treat_all"], color=OTHER, linestyle="--", label="act on all")
        axes.plot(curve["threshold"], curve["model"], color=MODEL, label="act on the model")
        axes.set(xlim=(0, 0.6), ylim=(-0.25 * observed, 1.1 * observed))
        axes.set(xlabel="probability from which one acts", ylabel="net benefit")
        axes.legend(loc="upper right")

    return draw(name, (3.6, 3.2), plot)


def trend(name: str, cells: Sequence[Mapping[str, Any]]) -> str:
    """AUROC, and the shift of calibration, by index time; cells with figures only."""
    times = [one["group"] for one in cells]

    def panel(figure: str, title: str, right: float) -> Callable[[Axes], None]:
        def plot(axes: Axes) -> None:
            found = [one["figures"][figure] for one in cells]
            axes.axhline(right, color=FAINT, linestyle="--")
            axes.errorbar(
                range(len(times)), [one["value"] for one in found], yerr=_bars(found),
                color=MODEL, marker="o", markersize=4, linewidth=0, elinewidth=1.2, capsize=2,
            )  # fmt: skip
            axes.set(ylabel=title, xlim=(-0.5, len(times) - 0.5))
            axes.set_xticks(range(len(times)), times, rotation=45, ha="right")

        return plot

    plots = panel("auroc", "AUROC", 0.5), panel("calibration_intercept", "calibration\nintercept", 0.0)
    return draw(name, (max(3.6, 0.45 * len(times) + 1), 3.8), *plots, ratios=(1, 1))


def forest(name: str, cells: Sequence[Mapping[str, Any]], everyone: float) -> str:
    """AUROC with interval per group, one line each; cells with figures only."""
    rows = np.arange(len(cells))[::-1]

    def plot(axes: Axes) -> None:
        found = [one["figures"]["auroc"] for one in cells]
        axes.axvline(everyone, color=OTHER, linewidth=1, label="everyone")
        axes.axvline(0.5, color=FAINT, linestyle="--", label="coin")
        axes.errorbar(
            [one["value"] for one in found], rows, xerr=_bars(found),
            color=MODEL, marker="s", markersize=4, linewidth=0, elinewidth=1.2, capsize=2,
        )  # fmt: skip
        axes.set_yticks(rows, [f"{one['axis']}: {one['group']}" for one in cells])
        axes.set(xlabel="AUROC (95 % interval)", xlim=(0.2, 1.0), ylim=(-0.7, len(cells) - 0.3))
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)

    return draw(name, (7.4, 0.23 * len(cells) + 1.0), plot)


def effects(name: str, found: Sequence[Sequence[Any]]) -> str:
    """Mean absolute effect per input, largest at the top."""

    def plot(axes: Axes) -> None:
        names, values = [str(one[0]).replace("_", " ") for one in found], [one[1] for one in found]
        axes.barh(names[::-1], values[::-1], color=MODEL, height=0.65)
        axes.set(xlabel="mean absolute effect (log-odds)")

    return draw(name, (3.6, 0.22 * len(found) + 0.9), plot)


def drift(name: str, found: Sequence[Mapping[str, Any]]) -> str:
    """How often each input is there, in training and here."""
    rows = np.arange(len(found))[::-1]

    def plot(axes: Axes) -> None:
        before, now = ([one[key] for one in found] for key in ("present_in_training", "present"))
        axes.hlines(rows, before, now, color=FAINT)
        axes.plot(before, rows, "o", color=OTHER, markersize=5, label="training")
        axes.plot(now, rows, "o", color=MODEL, markersize=4, label="here")
        axes.set_yticks(rows, [one["column"] for one in found])
        axes.set(xlim=(-0.03, 1.03), xlabel="share of rows that hold it")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)

    return draw(name, (7.4, 0.24 * len(found) + 1.0), plot)


def flow(name: str, rows: Sequence[Mapping[str, Any]], steps: Sequence[str]) -> str:
    """Courses at each step, one group of bars per index time."""

    def plot(axes: Axes) -> None:
        width = 0.8 / len(steps)
        for number, (step, colour) in enumerate(zip(steps, (FAINT, OTHER, MODEL), strict=True)):
            place = np.arange(len(rows)) + number * width
            axes.bar(place, [one[step] for one in rows], width=width, color=colour, label=step, align="edge")
        axes.set_xticks(np.arange(len(rows)) + 0.4, [one["index_time"] for one in rows], rotation=45, ha="right")
        axes.set(ylabel="courses")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(steps))

    return draw(name, (max(3.6, 0.45 * len(rows) + 1), 3.0), plot)


def _bars(found: Sequence[Mapping[str, Any]]) -> Any:
    """(2, n) lengths of error bars below and above; 0 where an end is not known."""
    ends = [
        (one["value"] - (one["low"] or one["value"]), (one["high"] or one["value"]) - one["value"]) for one in found
    ]
    return np.maximum(np.array(ends).T, 0.0)


def _unit_square(axes: Axes, x: str, y: str) -> None:
    axes.set(xlim=(0, 1.01), ylim=(0, 1.01), xlabel=x, ylabel=y)
