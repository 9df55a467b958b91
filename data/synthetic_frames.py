"""The synthetic arrays as canonical tables: ids, units and assays of the sites, gaps, and columns without effect."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.synthetic_draw import Drugs, Hidden, Samples
from data.synthetic_model import Array, Model
from features.catalogue import Analyte, Catalogue
from features.course import Event

Words = NDArray[np.object_]

#: First day of the synthetic calendar.
EPOCH = np.datetime64("2021-01-01T12:00:00")
#: Significant digits of a reported value; far finer than the noise, so the exact risk is not touched.
DIGITS = 7
#: Marrow percentages on either side of the flag's edge.
MARROW_EDGE, MARROW_LOW, MARROW_HIGH = 25.0, 0.0, 95.0


def draw_static(
    model: Model, catalogue: Catalogue, hidden: Hidden, ids: Words, rng: np.random.Generator
) -> pd.DataFrame:
    """Columns without effect on any outcome, ids, start times, and what only fills a cell (marrow, peak grade 3 or 4).

    Age, sex, performance status and the rest are drawn apart from everything else; the sources find them mostly
    without effect (facts C1).
    """
    n = len(hidden.arm)
    frame = pd.DataFrame({"course_id": ids, "patient_id": _patients(model, n, rng)})
    frame["site"] = np.array([site.site for site in model.sites], dtype=object)[hidden.site]
    frame["start_time"] = pd.to_datetime(_starts(model, hidden, rng), utc=True)
    frame["age_years"] = np.clip(np.round(rng.normal(60, 12, n)), 18, 88)
    frame["sex"] = np.where(rng.random(n) < 0.58, "M", "F").astype(object)
    frame["ecog"] = rng.choice(3, n, p=[0.4, 0.5, 0.1]).astype(float)
    frame["prior_lines"] = np.clip(1 + rng.poisson(2.0, n), 1, 12).astype(float)
    single = ~model.step_up[hidden.arm]
    for name, share in (("fludarabine_cyclophosphamide", 0.95), ("bridging_therapy", 0.6)):
        frame[name] = np.where(single, (rng.random(n) < share).astype(float), np.nan)
    held = {flag.column for flag in model.flags}
    for name in (key for key in catalogue.comorbidities if key not in held):
        frame[name] = (rng.random(n) < 0.08).astype(float)
    effectless = [name for name in frame.columns if name not in ("course_id", "patient_id", "site", "start_time")]
    for name in effectless:
        frame.loc[rng.random(n) < model.policy["missing_static"], name] = None if name == "sex" else np.nan
    low, high = rng.uniform(MARROW_LOW, MARROW_EDGE - 1, n), rng.uniform(MARROW_EDGE, MARROW_HIGH, n)
    frame["_marrow_low"], frame["_marrow_high"] = np.round(low), np.round(high)
    frame["_crs_fourth"], frame["_icans_fourth"] = (rng.random(n) < model.policy["grade_4_share"] for _ in range(2))
    return frame


def _patients(model: Model, n: int, rng: np.random.Generator) -> Words:
    """Patient ids; a few patients have two courses, which have nothing else in common."""
    whose = np.arange(n)
    again = rng.random(n) > model.policy["patients_per_course"]
    whose[again] = rng.integers(0, n, int(again.sum()))
    return np.array([f"synthetic-patient-{place:06d}" for place in whose], dtype=object)


def _starts(model: Model, hidden: Hidden, rng: np.random.Generator) -> NDArray[np.datetime64]:
    first, last = (
        np.array([getattr(site, name) for site in model.sites])[hidden.site] for name in ("from_day", "to_day")
    )
    days = first + np.floor(rng.random(len(first)) * (last - first))
    found: NDArray[np.datetime64] = EPOCH + days.astype(np.int64).astype("timedelta64[D]")
    return found


def courses_frame(
    model: Model, hidden: Hidden, recorded: Array, static: pd.DataFrame, follow_up: Array
) -> pd.DataFrame:
    """The table `courses`."""
    frame = static[[name for name in static.columns if not name.startswith("_")]].copy()
    frame.insert(2, "therapy", np.array([arm.therapy for arm in model.arms], dtype=object)[hidden.arm])
    frame.insert(3, "indication", np.array([arm.indication for arm in model.arms], dtype=object)[hidden.arm])
    for place, flag in enumerate(model.flags):
        frame[flag.column] = recorded[:, place]
    marrow = np.where(frame["marrow_blasts_pct"] > 0, static["_marrow_high"], static["_marrow_low"])
    frame["marrow_blasts_pct"] = np.where(frame["marrow_blasts_pct"].isna(), np.nan, marrow)
    return frame.assign(follow_up_hours=follow_up)


def observations_frame(
    model: Model, catalogue: Catalogue, hidden: Hidden, samples: Samples, follow_up: Array, ids: Words
) -> pd.DataFrame:
    """The table `observations`, each site in its own units; an LDH assay's scale stands in value and limit alike."""
    held = samples.hours <= follow_up[samples.course]
    course, lab = samples.course[held], samples.lab[held]
    site = hidden.site[course]
    factor, offset, limit, unit, scale = _site_tables(model, catalogue)
    canonical = samples.value[held] * scale[lab, site]
    return pd.DataFrame(
        {
            "course_id": ids[course],
            "hours": samples.hours[held],
            "code": np.array([one.analyte for one in model.labs], dtype=object)[lab],
            "value": _rounded((canonical - offset[lab, site]) / factor[lab, site]),
            "unit": unit[lab, site],
            "upper_limit": _rounded(limit[lab, site] * scale[lab, site]),
        }
    )


def _site_tables(model: Model, catalogue: Catalogue) -> tuple[Array, Array, Array, Words, Array]:
    """(labs, sites) conversion factor, offset, upper limit where assays differ (else NaN), unit, and assay scale."""
    factor, offset, limit, scale = np.ones((4, len(model.labs), len(model.sites)))
    unit = np.empty(factor.shape, dtype=object)
    for row, lab in enumerate(model.labs):
        analyte: Analyte = catalogue.analytes[lab.analyte]
        for column, site in enumerate(model.sites):
            unit[row, column] = site.unit(lab.analyte, analyte.unit)
            conversion = analyte.units[unit[row, column]]
            factor[row, column], offset[row, column] = conversion.factor, conversion.offset
            limit[row, column] = analyte.reference_high if analyte.per_upper_limit else np.nan
            scale[row, column] = site.ldh_factor if lab.analyte == "ldh" else 1.0
    return factor, offset, limit, unit, scale


def _rounded(values: Array) -> Array:
    """To DIGITS significant digits."""
    size = np.floor(np.log10(np.maximum(np.abs(values), 1e-12)))
    scale = 10.0 ** (DIGITS - 1 - size)
    return np.round(values * scale) / scale


def events_frame(model: Model, hidden: Hidden, drugs: Drugs, static: pd.DataFrame, follow_up: Array) -> pd.DataFrame:
    """The table `events`: each grade when it is reached, drugs, and the doses of a step-up schedule."""
    parts = [
        *_grade_events(Event.CRS_GRADE, hidden.crs, static["_crs_fourth"].to_numpy()),
        *_grade_events(Event.ICANS_GRADE, hidden.icans, static["_icans_fourth"].to_numpy()),
        *(_events(Event(name), getattr(drugs, name), 1.0) for name in Drugs.__slots__),
        *_dose_events(model, hidden),
    ]
    frame = pd.concat(parts, ignore_index=True)
    frame = frame[frame["hours"] <= follow_up[frame["course"]]]
    frame = frame.sort_values(["course", "hours", "event", "value"], kind="stable").reset_index(drop=True)
    frame.insert(0, "course_id", static["course_id"].to_numpy()[frame["course"]])
    graded = frame["event"].isin((Event.CRS_GRADE.value, Event.ICANS_GRADE.value))
    return frame.drop(columns="course").assign(grading=graded.map({True: "ASTCT-2019", False: None}).astype(object))


def _grade_events(event: Event, hours: Array, fourth: NDArray[np.bool_]) -> list[pd.DataFrame]:
    values: list[float | Array] = [1.0, 2.0, np.where(fourth, 4.0, 3.0)]
    return [_events(event, hours[:, place], value) for place, value in enumerate(values)]


def _events(event: Event, hours: Array, value: float | Array) -> pd.DataFrame:
    frame = pd.DataFrame({"course": np.arange(len(hours)), "hours": hours, "event": event.value, "value": value})
    return frame[np.isfinite(hours)]


def _dose_events(model: Model, hidden: Hidden) -> list[pd.DataFrame]:
    doses = max(len(arm.dose_hours) for arm in model.arms)
    table = np.full((len(model.arms), doses), np.inf)
    for place, arm in enumerate(model.arms):
        if arm.step_up:
            table[place, : len(arm.dose_hours)] = arm.dose_hours
    return [_events(Event.STEP_DOSE, table[hidden.arm, number], number + 1.0) for number in range(doses)]
