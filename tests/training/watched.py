"""A ledger of made-up answers and outcomes, written as time goes by. No course is a person's."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.events import Kind
from audit.ledger import Ledger, opened
from audit.outcome import Report, Taken, record
from audit.prediction import packed
from audit.settings import Settings
from features import bundle
from features.bundle import Bundle
from features.home import BUNDLE_FOLDER, MODEL_NAME, Home
from features.outcomes import OUTCOME_KEYS

AXI, ENGAGER = "axicabtagene-ciloleucel", "teclistamab"
START = datetime(2025, 1, 1, tzinfo=UTC)
CHAMPION = "c" * 64


@dataclass
class Years:
    """A ledger whose clock is set by hand."""

    ledger: Ledger
    now: list[datetime] = field(default_factory=lambda: [START])

    def at(self, days: float) -> "Years":
        self.now[0] = START + timedelta(days=days)
        return self

    def asked(self, name: str, course: str = "", **changed: Any) -> None:
        """One evaluated answer of a course; `changed` replaces fields of the record."""
        self.ledger.append(Kind.PREDICTION, prediction(course or name, **changed), name)

    def told(self, name: str, **fields: Any) -> Taken:
        return record(self.ledger, report(name, **fields))


@contextmanager
def years(home: Home) -> Iterator[Years]:
    now = [START]
    with opened(home, Settings(), clock=lambda: now[0]) as ledger:
        yield Years(ledger, now)


def prediction(course: str, **changed: Any) -> dict[str, Any]:
    """The body of a prediction's record, as far as monitoring reads it."""
    body: dict[str, Any] = {
        "status": "evaluated",
        "therapy": AXI,
        "indication": "lbcl",
        "hours_since_start": 0.0,
        "hours_since_dose": 0.0,
        "dose_number": 1,
        "treated": False,
        "probabilities": dict.fromkeys(OUTCOME_KEYS, 0.2),
        "bands": {"crs_2plus": "low"},
        "bundle": CHAMPION,
        "version": "1",
        "patient": "",
        "course": course,
    }
    return {**body, **changed}


def report(name: str, **fields: Any) -> Report:
    """A course followed to the end, without CRS and ICANS where nothing else is given."""
    quiet = {"crs_grade": 0, "crs_grading": "ASTCT-2019", "icans_grade": 0, "icans_grading": "ASTCT-2019"}
    return Report(name, **{"complete": True, **quiet, **fields})


def graded(grade: int, icans: int = 0) -> dict[str, Any]:
    """The fields of a course with those worst grades, reached at 30 h and 70 h."""
    crs = {"crs_grade": grade, **({"crs_onset_hours": 30.0, "crs_worst_hours": 30.0} if grade else {})}
    neuro = {"icans_grade": icans, **({"icans_onset_hours": 70.0, "icans_worst_hours": 70.0} if icans else {})}
    return {**crs, **neuro}


def vectors(courses: int, columns: int, seed: int) -> NDArray[np.float32]:
    """(courses, columns) random rows, half of each missing."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(courses, columns)).astype(np.float32)
    values[random.random(values.shape) < 0.5] = np.nan
    return values


def lived(
    held: Years, probability: NDArray[np.float64], rows: NDArray[np.float32], odds: float, seed: int, **changed: Any
) -> None:
    """Courses over a year whose true odds are `odds` times the stated ones; told 31 days later.

    probability: (n, outcomes); rows: (n, columns).
    """
    random, count = np.random.default_rng(seed), len(probability)
    moments = [(365 * place / count + late, late > 0, place) for place in range(count) for late in (0, 31)]
    drawn = random.random((count, 2))
    for days, told, place in sorted(moments):
        name = f"p{place}"
        if told:
            held.at(days).told(name, **graded(*_grades(probability[place], odds, drawn[place])))
        else:
            stated = dict(zip(OUTCOME_KEYS, probability[place].tolist(), strict=True))
            held.at(days).asked(name, **{**packed(rows[place]), "probabilities": stated, **changed})


def _grades(stated: NDArray[np.float64], odds: float, drawn: NDArray[np.float64]) -> Sequence[int]:
    true = stated * odds / (1 + stated * (odds - 1))
    crs = int((drawn[0] < true[:3]).sum())
    return crs, 3 if drawn[1] < true[4] else 2 if drawn[1] < true[3] else 0


def risks(count: int, seed: int) -> NDArray[np.float64]:
    """(n, outcomes) stated probabilities, in order across grades."""
    first = np.random.default_rng(seed).beta(6, 2, count)
    shares: Mapping[str, float] = dict(zip(OUTCOME_KEYS, (1.0, 0.4, 0.1, 0.2, 0.07), strict=True))
    return np.column_stack([first * share for share in shares.values()])


def in_store(home: Home, held: Bundle) -> str:
    """Put a bundle where the model store keeps it; returns its digest."""
    digest = held.digest
    bundle.write(held, home.bentoml / "models" / MODEL_NAME / digest[:16] / BUNDLE_FOLDER)
    return digest


def own(folder: Path) -> Home:
    return Home(folder / "home")
