"""One self-contained page per evaluation, drawn from its JSON document: no script, nothing that is fetched."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from training import report_figures as figures
from training.breadth import EVERYONE
from training.evaluate import ALL_TIMES, FEWEST
from training.report_html import NONE, estimate, figure, listing, number, paragraph, table
from training.report_text import (
    CAPTIONS,
    COLUMNS,
    CSS,
    HOW_TO_READ,
    NOT_A_DEVICE,
    NOT_JUDGED,
    PREDICTORS,
    SYNTHETIC,
    WITHHELD,
)
from training.subgroups import INDEX_TIME

Body = Mapping[str, Any]


def page(body: Body) -> str:
    """The report as HTML; `body` is training.report_document's, with "reporting" of training.tripod."""
    parts = [*_head(body), *(part for one in body["outcomes"] for part in _outcome(one, body)), *_data(body)]
    parts += [*_reporting(body), paragraph(NOT_A_DEVICE, "note")]
    title = escape(body["title"])
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{CSS}</style></head>\n'
        f"<body>{chr(10).join(parts)}</body></html>\n"
    )


def _head(body: Body) -> Iterator[str]:
    if body["synthetic"]:
        yield f'<div class="warning">{escape(SYNTHETIC)}</div>'
    if body["caution"]:
        yield f'<div class="warning">CAUTION: {escape(body["caution"])}</div>'
    yield f"<h1>{escape(body['title'])}</h1>"
    yield paragraph(f"Made on {body['made_on']}. {NOT_A_DEVICE}", "note")
    yield paragraph(body["design"]["text"])
    yield table(("what", "value"), [(key.replace("_", " "), value) for key, value in _about(body)])
    yield '<h2 class="first">In short</h2>'
    yield table(
        ("outcome", "rows", "events", *COLUMNS.values()),
        [(one["label"], *_counts(one["cells"][0]), *_figures(one["cells"][0], COLUMNS)) for one in body["outcomes"]],
    )
    if body["not_judged"]:
        yield paragraph(f"{NOT_JUDGED} {'; '.join(body['not_judged'])}.")
    yield listing(HOW_TO_READ)
    yield paragraph(WITHHELD.format(fewest=FEWEST, smallest=body["policy"]["smallest_count"]), "note")


def _about(body: Body) -> Iterator[tuple[str, str]]:
    yield from ((f"model: {key}", str(value)) for key, value in body["model"].items() if key != "name" and value)
    for key in ("courses", "patients", "sites"):
        yield f"cohort: {key}", number(body["cohort"][key])
    yield "cohort: SHA-256", body["cohort"]["fingerprint"]


def _counts(cell: Body) -> tuple[str, str]:
    return number(cell["rows"]), number(cell["events"])


def _figures(cell: Body, names: Mapping[str, str]) -> list[str]:
    """Each figure with its interval; the reason in the first place where there is none."""
    found = [estimate(cell["figures"].get(name)) for name in names]
    return [cell["note"], *found[1:]] if not cell["figures"] else found


def _outcome(one: Body, body: Body) -> Iterator[str]:
    yield f"<h2>{escape(one['label'])}</h2>"
    everyone, key = one["cells"][0], one["key"]
    if one["curves"]:
        yield f'<div class="figures">{"".join(_curves(key, one["curves"], everyone))}</div>'
        yield "<h3>Acting on it</h3>"
        yield _decisions(everyone, body["policy"])
    yield "<h3>Beside what it has to beat</h3>"
    yield _comparison(one["comparison"])
    yield "<h3>By index time and in subgroups</h3>"
    yield from _groups(key, one["cells"])
    if one["key"] in body["effects"]:
        drawn = figures.effects(f"effects-{key}", body["effects"][key])
        yield figure(drawn, "What moves the answers", CAPTIONS["effects"])


def _curves(key: str, curves: Body, everyone: Body) -> Iterator[str]:
    observed = everyone["figures"]["observed"]["value"]
    yield figure(figures.roc(f"roc-{key}", curves["roc"]), "ROC curve", CAPTIONS["roc"])
    drawn = figures.precision_recall(f"pr-{key}", curves["precision_recall"], observed)
    yield figure(drawn, "Precision and recall", CAPTIONS["precision_recall"])
    drawn = figures.calibration(f"calibration-{key}", everyone["bins"], curves["histogram"])
    yield figure(drawn, "Calibration", CAPTIONS["calibration"])
    drawn = figures.decision(f"decision-{key}", curves["decision"], observed)
    yield figure(drawn, "Decision curve", CAPTIONS["decision"])


def _decisions(cell: Body, policy: Body) -> str:
    held = cell["figures"]
    net = [
        (f"act from a probability of {one:g}", *_at(held, ("net_benefit", "treat_all"), f"at_{one:g}"), number(0.0))
        for one in policy["thresholds"]
    ]
    alerts = [
        (f"find {one:.0%} of the events", *_alerts(held, f"at_sensitivity_{one:g}")) for one in policy["sensitivities"]
    ]
    right = table(("alerts", "of them right (PPV)", "alerts per 100 rows"), alerts)
    return table(("net benefit", "on the model", "on all", "on none"), net) + right


def _alerts(held: Body, where: str) -> list[str]:
    return [estimate(held[f"ppv_{where}"]), estimate(held[f"alerts_per_100_{where}"], digits=1)]


def _at(held: Body, names: Sequence[str], where: str) -> list[str]:
    return [estimate(held[f"{name}_{where}"]) for name in names]


def _comparison(results: Sequence[Body]) -> str:
    """Every predictor over all index times."""
    rows = [one for one in results if one["index_time"] == ALL_TIMES]
    names = ("auroc", "log_loss", "brier")
    return table(
        ("predictor", "rows", "events", "AUROC", "log loss", "Brier score"),
        [
            (
                PREDICTORS.get(one["predictor"], one["predictor"].replace("_", " ")),
                *_counts(one),
                *(estimate(one["metrics"].get(name)) for name in names),
            )
            for one in rows
        ],
    )


def _groups(key: str, cells: Sequence[Body]) -> Iterator[str]:
    whole = [one for one in cells if one["index_time"] == ALL_TIMES]
    times = [one for one in whole if one["axis"] == INDEX_TIME and one["figures"]]
    others = [one for one in whole if one["axis"] not in (INDEX_TIME, EVERYONE) and one["figures"]]
    if times:
        yield figure(figures.trend(f"trend-{key}", times), "By index time", CAPTIONS["trend"])
    if others:
        everyone = cells[0]["figures"].get("auroc", {}).get("value")
        yield figure(figures.forest(f"forest-{key}", others, everyone), "In subgroups", CAPTIONS["forest"])
    yield _cell_table([one for one in whole if one["axis"] != EVERYONE], ("axis", "group"))
    crossed = [one for one in cells if one["index_time"] != ALL_TIMES]
    if crossed:
        inside = _cell_table(crossed, ("axis", "group", "index_time"))
        yield f"<details><summary>Each subgroup at each index time</summary>{inside}</details>"


def _cell_table(cells: Sequence[Body], by: Sequence[str]) -> str:
    head = (*(one.replace("_", " ") for one in by), "rows", "events", *COLUMNS.values())
    return table(head, [(*(one[name] for name in by), *_counts(one), *_figures(one, COLUMNS)) for one in cells])


def _data(body: Body) -> Iterator[str]:
    yield "<h2>Courses and data</h2>"
    steps = [step for step in (body["attrition"] or [{}])[0] if step not in ("outcome", "index_time")]
    for one in body["outcomes"]:
        rows = [row for row in body["attrition"] if row["outcome"] == one["key"]]
        drawn = figures.flow(f"flow-{one['key']}", rows, steps)
        yield figure(drawn, f"Courses at each step: {one['label']}", CAPTIONS["attrition"])
    yield "<h3>Drift against training</h3>"
    if not body["drift"]:
        yield paragraph("Not given: this design has no one set of training rows to compare with.", "note")
        return
    yield figure(figures.drift("drift", body["drift"]), "Inputs in training and here", CAPTIONS["drift"])
    rows = [(one["column"], one["unit"], *(_plain(one[key]) for key in SHIFT)) for one in body["drift"]]
    yield table(("input", "unit", *SHIFT.values()), rows)


#: What is shown of an input's drift -> the title of its column.
SHIFT = {
    "present_in_training": "there in training",
    "present": "there here",
    "outside": "outside the middle 98 % of training",
    "typical_in_training": "median in training",
    "here": "median here",
}


def _plain(value: float | None) -> str:
    return NONE if value is None else f"{value:.3g}"


def _reporting(body: Body) -> Iterator[str]:
    yield "<h2>What is reported, and what is not known</h2>"
    for one in body["reporting"].values():
        yield f"<h3>{escape(one['title'])}</h3>"
        yield paragraph(f"{one['count'] - one['unknown']} of {one['count']} items filled, {one['unknown']} unknown.")
        rows = [(x["item"], x["what"], x["filled"]) for x in one["items"]]
        yield f'<div class="items">{table(("item", "what", "this run"), rows)}</div>'
