"""A seeded synthetic cohort in the canonical format, with the exact risk of every course beside it.

No row describes a person. The published rate of each product is the true mean rate, hidden inflammation moves grades
and baseline labs alike, and the risk given exactly what the tables hold at an index time is known, so the best score
that any model can reach is known too. The side table `truth` is for evaluation; training never reads it.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd

from data.files import Format
from data.synthetic_draw import Hidden, Samples, draw_drugs, draw_hidden, draw_samples
from data.synthetic_frames import courses_frame, draw_static, events_frame, observations_frame
from data.synthetic_laws import solve
from data.synthetic_likelihood import Charted
from data.synthetic_model import TABLES, Array, Model, read_model
from data.synthetic_truth import exact_risk, index_times
from data.tables import write_cohort
from features.catalogue import Catalogue, load
from features.course import HOUR
from features.outcomes import OUTCOMES

TRUTH = "truth"
#: Hex digits that tell one state of the reviewed tables from another in a folder's name.
VERSION_DIGITS = 12


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticCohort:
    """Three canonical tables and the truth.

    truth: course_id, index (name as in data.cohort), hours, outcome, risk, label; one row per course, index time and
    outcome at risk. label: 1, 0, or NaN where follow-up is too short to tell.
    """

    courses: pd.DataFrame
    observations: pd.DataFrame
    events: pd.DataFrame
    truth: pd.DataFrame


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """The same cohort as arrays: what is hidden, what is charted, every result in canonical units, end of follow-up."""

    model: Model
    hidden: Hidden
    charted: Charted
    samples: Samples
    follow_up: Array
    static: pd.DataFrame


def generate(n_courses: int, seed: int, with_truth: bool = True, catalogue: Catalogue | None = None) -> SyntheticCohort:
    """A cohort of `n_courses`; the same seed and catalogue give the same tables bit for bit.

    ValueError if n_courses is below 1.
    """
    if n_courses < 1:
        raise ValueError("a cohort needs at least one course")
    facts = catalogue or load()
    drawn = draw(n_courses, seed, facts)
    return SyntheticCohort(
        courses=courses_frame(drawn.model, drawn.hidden, drawn.charted.flags, drawn.static, drawn.follow_up),
        observations=observations_frame(
            drawn.model, facts, drawn.hidden, drawn.samples, drawn.follow_up, _ids(n_courses)
        ),
        events=events_frame(drawn.model, drawn.hidden, drawn.charted.drugs, drawn.static, drawn.follow_up),
        truth=_truth(drawn) if with_truth else _no_truth(),
    )


def version(catalogue: Catalogue | None = None) -> str:
    """Hex digits that change with the tables a synthetic cohort is made from: data/tables and the catalogue."""
    total = sha256((catalogue or load()).digest.encode())
    for path in sorted(TABLES.glob("*.csv")):
        total.update(path.name.encode() + b"\0" + sha256(path.read_bytes()).digest())
    return total.hexdigest()[:VERSION_DIGITS]


def write(folder: Path, cohort: SyntheticCohort, format: Format = "parquet", overwrite: bool = False) -> None:
    """Write the tables and the truth into a new folder, all or nothing; errors as data.tables.write_cohort."""
    side = {TRUTH: cohort.truth}
    write_cohort(folder, cohort.courses, cohort.observations, cohort.events, format, side, overwrite)


def draw(n: int, seed: int, catalogue: Catalogue) -> Draw:
    """The arrays behind `generate`, from independent random streams per part."""
    model = read_model(catalogue)
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(6)]
    hidden = draw_hidden(model, solve(model), n, streams[0])
    drugs = draw_drugs(model, hidden, streams[1])
    samples = draw_samples(model, dict(catalogue.analytes), hidden, drugs, streams[2])
    charted = Charted(hidden.arm, _recorded(model, hidden, streams[3]), hidden.crs, hidden.icans, drugs)
    static = draw_static(model, catalogue, hidden, _ids(n), streams[4])
    return Draw(model, hidden, charted, samples, _follow_up(model, n, streams[5]), static)


def _ids(n: int) -> np.ndarray:
    return np.array([f"synthetic-{place:06d}" for place in range(n)], dtype=object)


def _recorded(model: Model, hidden: Hidden, rng: np.random.Generator) -> Array:
    """(n, flags) as recorded: gaps at random by column and site; NaN too where the flag does not apply to the arm."""
    gaps = np.array([site.missing for site in model.sites])[hidden.site][:, None]
    lost = rng.random(hidden.flags.shape) < gaps * np.array([flag.missing for flag in model.flags])
    applies = np.array([[bool(arm.groups & set(flag.applies_to)) for flag in model.flags] for arm in model.arms])
    return np.where(lost | ~applies[hidden.arm], np.nan, hidden.flags)


def _follow_up(model: Model, n: int, rng: np.random.Generator) -> Array:
    """(n,) hours; a few end early, for no reason that has to do with the course."""
    whole, share, earliest = (model.policy[f"follow_up_{key}"] for key in ("hours", "cut_share", "cut_from_hours"))
    cut = np.round(rng.uniform(earliest, whole, n), 2)
    return np.where(rng.random(n) < share, cut, whole)


def true_risk(drawn: Draw) -> Array:
    """(n, index times, outcomes) exact risk, NaN where not at risk."""
    return exact_risk(drawn.model, solve(drawn.model), drawn.charted, drawn.samples)


def true_labels(drawn: Draw) -> Array:
    """(n, index times, outcomes) what really came, by the rule of data.labels, follow-up left aside."""
    times = [index_times(arm) for arm in drawn.model.arms]
    labels = np.full((len(drawn.hidden.arm), max(map(len, times)), len(OUTCOMES)), np.nan)
    for place, column in enumerate(OUTCOMES):
        graded = drawn.hidden.crs if column.key.startswith("crs") else drawn.hidden.icans
        reached = graded[:, column.grade - 1]
        for arm, asked in enumerate(times):
            mine = np.flatnonzero(drawn.hidden.arm == arm)
            for number, index in enumerate(asked):
                end = index.dose_hours + column.horizon_seconds(drawn.model.arms[arm].step_up) / HOUR
                when = reached[mine]
                labels[mine, number, place] = np.where(when <= index.hours, np.nan, when <= end)
    return labels


def _truth(drawn: Draw) -> pd.DataFrame:
    risk, label = true_risk(drawn), true_labels(drawn)
    row, number, outcome = np.nonzero(~np.isnan(risk))
    arm = drawn.hidden.arm[row]
    times = [index_times(one) for one in drawn.model.arms]
    most = max(map(len, times))
    name = np.array([[*(one.name for one in asked), *[""] * (most - len(asked))] for asked in times], dtype=object)
    hours = np.array([[*(one.hours for one in asked), *[np.nan] * (most - len(asked))] for asked in times])
    dose = np.array([[*(one.dose_hours for one in asked), *[np.nan] * (most - len(asked))] for asked in times])
    horizon = np.array([[one.horizon_seconds(bool(kind)) / HOUR for one in OUTCOMES] for kind in (0, 1)])
    end = dose[arm, number] + horizon[drawn.model.step_up[arm].astype(int), outcome]
    reached = _reached(drawn.hidden, row, outcome)
    came = label[row, number, outcome]
    seen = drawn.follow_up[row]
    return pd.DataFrame(
        {
            "course_id": _ids(len(drawn.hidden.arm))[row],
            "index": name[arm, number],
            "hours": hours[arm, number],
            "outcome": np.array([one.key for one in OUTCOMES], dtype=object)[outcome],
            "risk": risk[row, number, outcome],
            "label": np.where(np.where(came > 0, reached <= seen, seen >= end), came, np.nan),
        }
    )


def _reached(hidden: Hidden, row: np.ndarray, outcome: np.ndarray) -> Array:
    graded = np.stack([hidden.crs, hidden.icans])
    family = np.array([0 if one.key.startswith("crs") else 1 for one in OUTCOMES])
    grade = np.array([one.grade for one in OUTCOMES])
    found: Array = graded[family[outcome], row, grade[outcome] - 1]
    return found


def _no_truth() -> pd.DataFrame:
    return pd.DataFrame({name: [] for name in ("course_id", "index", "hours", "outcome", "risk", "label")})
