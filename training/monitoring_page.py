"""The page of `crs monitor`: one self-contained file, drawn from its JSON report, printable."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from training.monitoring_checks import CALIBRATION
from training.report_figures import FAINT, INK, MODEL, OTHER, draw
from training.report_html import NONE, figure, listing, number, paragraph, table
from training.report_text import CSS, NOT_A_DEVICE

Body = Mapping[str, Any]

_DAY = 86_400
#: Key of a group in a calibration check -> what a reader calls it.
GROUPS = {
    "everyone": "not treated before the question",
    "without_treated_because_warned": "... without those treated after a warning",
    "treated_because_warned": "... those treated after a warning alone",
    "treated_before": "treated before the question",
}
HOW_TO_READ = (
    "Steady: nothing stands out, and a change as large as the policy names would probably have shown.",
    "Watch: look again soon. It comes by chance more often than an alarm does.",
    "Alarm: chance hardly explains it. Find the reason; recalibrate, train again or stop.",
    "Too few to judge: neither good nor bad is known. It is no all-clear.",
    "A shift is of the log-odds: 0 is right, 0.69 means that the odds are twice what was stated.",
    "The chart passes its limit only if a run of courses does not fit. Its limits hold however often one looks; the "
    "intervals beside it hold for one look.",
    "Treated after a warning: in the band that alerts, treated after the question and before the outcome, or without "
    "it. Such a treatment may prevent the outcome, so that a right warning looks wrong: with these courses the risk "
    "seems overstated. Without them it seems understated, because a course whose outcome came first stays in. Neither "
    "line is free of bias; they err in opposite directions.",
)
CHART = (
    "Evidence for more (up) and for fewer events (down) than stated, course by course, with the limits at which it "
    "alarms. Good: the lines stay between the limits."
)


def page(body: Body) -> str:
    """The report as HTML."""
    parts = [*_head(body), *(part for one in body["checks"] for part in _check(one)), paragraph(NOT_A_DEVICE, "note")]
    title = f"Monitoring of version {body['model']['version']}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{CSS}</style></head>\n'
        f"<body><h1>{escape(title)}</h1>{chr(10).join(parts)}</body></html>\n"
    )


def _head(body: Body) -> Iterator[str]:
    yield paragraph(f"Made on {body['made_on']}. {body['since']} to {body['until']}. {NOT_A_DEVICE}", "note")
    yield f'<div class="warning">Verdict: {escape(body["verdict"])}</div>'
    yield paragraph(
        f"{body['courses']} courses, {body['answers']} answers of bundle {body['model']['digest'][:16]}; "
        f"{body['other_versions']} other versions answered in that time and are not judged here."
    )
    yield table(("check", "what was found", "verdict"), [(c["name"], c["text"], c["verdict"]) for c in body["checks"]])
    yield listing(HOW_TO_READ)


def _check(check: Body) -> Iterator[str]:
    numbers = check["numbers"]
    if check["name"].startswith(CALIBRATION) and numbers.get("everyone"):
        yield f"<h2>{escape(check['name'])}</h2>"
        yield table(("courses", "n", "observed", "expected", "shift (exact 95 %)"), list(_calibration(numbers)))
        yield figure(_chart(check["name"], numbers["chart"]), "Chart", CHART)
    elif numbers.get("moved"):
        yield f"<h2>{escape(check['name'])}</h2>"
        head = ("column", "distance", "p over all columns", "reference", "recent")
        cells = ("distance", "p", "before", "now")
        yield table(head, [(one["column"], *(number(one[name]) for name in cells)) for one in numbers["moved"]])


def _calibration(numbers: Body) -> Iterator[tuple[str, ...]]:
    for key, words in GROUPS.items():
        if found := numbers[key]:
            shift = f"{number(found['shift'])} ({_end(found['low'])} to {_end(found['high'])})"
            yield words, number(found["courses"]), number(found["observed"]), number(found["expected"], 1), shift
    if (every := numbers["all_landmarks"]) and every["shift"]["value"] is not None:
        shift = every["shift"]
        told = f"{number(shift['value'])} ({_end(shift['low'])} to {_end(shift['high'])})"
        yield "all times of asking, resampled courses", number(every["rows"]), number(every["events"]), NONE, told


def _end(value: float | None) -> str:
    return "open" if value is None else number(value)


def _chart(name: str, chart: Body) -> str:
    known = np.array(chart["known_on"])
    days = (known - known[0]) / _DAY
    statistic = np.array(chart["statistic"])
    limit = np.array(chart["limit"], dtype=np.float64)

    def plot(axes: Axes) -> None:
        axes.axhline(0, color=FAINT)
        for side, sign in enumerate((1, -1)):
            axes.step(days, sign * statistic[:, side], where="post", color=MODEL)
            axes.step(days, sign * limit[:, side], where="post", color=OTHER, linestyle="--")
        axes.set(ylabel="fewer     more")

    def below(axes: Axes) -> None:
        axes.step(days, chart["excess"], where="post", color=INK)
        axes.axhline(0, color=FAINT)
        axes.set(xlabel="days since the first known outcome", ylabel="observed - expected")

    return draw(name.replace(" ", "-").replace(":", ""), (7.4, 4.2), plot, below, ratios=(3, 2))
