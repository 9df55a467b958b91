"""The service's own front page: what it is, which model answers, and where to read on. No script, no other origin."""

from collections.abc import Mapping
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from serving.answerer import Answerer

WEB = Path(__file__).parent / "web"


@cache
def style() -> bytes:
    return (WEB / "page.css").read_bytes()


def index(answerer: Answerer) -> bytes:
    """The page for the loaded model, as UTF-8."""
    facts = answerer.facts
    trained_on = facts["trained_on"]
    words = {
        "name": facts["name"],
        "version": facts["version"],
        "bundle": facts["bundle"],
        "trained_on": f"{trained_on.get('name', 'not stated')}, {trained_on.get('courses', 'unknown')} courses",
        "warning": " ".join(_warnings(answerer)),
        "grading": facts["grading"],
        "intended_use": facts["intended_use"],
    }
    page = Template((WEB / "index.html").read_text(encoding="utf-8"))
    outcomes = "\n".join(_row(one) for one in facts["outcomes"])
    return page.substitute({key: escape(str(text)) for key, text in words.items()}, outcomes=outcomes).encode()


def _warnings(answerer: Answerer) -> list[str]:
    synthetic = answerer.facts["trained_on"].get("synthetic")
    said = ["Trained on synthetic data: not for use with patients."] if synthetic else []
    return [*said, *(note.text for note in answerer.standing)]


def _row(outcome: dict[str, Any]) -> str:
    basis = "trained on data" if outcome["basis"] == "model" else "published rates alone"
    days = (f"{outcome['horizon_days']} days", f"{outcome['horizon_days_step_up']} days")
    cells = (outcome["label"], *days, basis, *_bands(outcome.get("thresholds")))
    return f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in cells)}</tr>"


def _bands(held: Mapping[str, float] | None) -> tuple[str, str]:
    """From which probability on the two upper bands begin."""
    if held is None:
        return "not stated", "not stated"
    return f"{100 * held['intermediate_from']:.1f} %", f"{100 * held['high_from']:.1f} %"
