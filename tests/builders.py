"""Builders for the floor's tests. Every course, rate and booster here is made up; none means anything."""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xgboost
from hypothesis import strategies as st

from features import catalogue, golden, pooling, spec
from features.assay_evidence import AssayEvidence
from features.bundle import Bundle
from features.calibration import Calibration, Terms
from features.catalogue import Catalogue, Rate
from features.course import DAY, HOUR, LATEST_SECONDS, LOOKBACK_SECONDS, Event, Observations, Snapshots
from features.evidence import TherapyEvidence
from features.interval import IntervalTable
from features.outcomes import OUTCOME_KEYS
from features.policy import Policy, Thresholds
from features.predict import Prediction, Predictor
from features.prior import Prior
from features.rows import RowBuilder, Rows
from features.single import CourseInput, Observed, snapshots
from features.spec import Spec

CATALOGUE = catalogue.load()
NOT_KNOWN = "no-such-therapy"


@functools.cache
def evidence() -> Mapping[str, TherapyEvidence]:
    """What the shipped tables say."""
    return pooling.pool(CATALOGUE)


@functools.cache
def full_spec() -> Spec:
    return spec.full(CATALOGUE)


@functools.cache
def row_builder() -> RowBuilder:
    return RowBuilder(full_spec(), Prior(evidence()), CATALOGUE)


def build(*courses: CourseInput) -> Rows:
    """Rows of courses as one batch."""
    return row_builder().build(snapshots(CATALOGUE, courses))


def cell(rows: Rows, column: str, place: int = 0) -> float:
    return float(rows.values[place, full_spec().names.index(column)])


# Made-up cohorts


def cohort(therapy: str, indication: str = "", n: float = 100.0, **changed: Any) -> Rate:
    """A published cohort that reports nothing but what is given."""
    nothing: dict[str, Any] = {
        "trial": "made up",
        "crs_1plus": math.nan,
        "crs_2plus": math.nan,
        "crs_3plus": math.nan,
        "crs_grading": "ASTCT-2019",
        "crs_grading_confirmed": True,
        "icans_1plus": math.nan,
        "icans_2plus": math.nan,
        "icans_3plus": math.nan,
        "icans_grading": "ASTCT-2019",
        "icans_grading_confirmed": True,
        "crs_onset_median_hours": math.nan,
        "crs_duration_median_hours": math.nan,
        "population": "trial",
        "mitigation": "",
        "superseded": False,
        "source": "made up",
        "verified": "yes",
        "note": "",
    }
    return Rate(therapy=therapy, indication=indication, n=n, **{**nothing, **changed})


def pooled(*rates: Rate) -> dict[str, TherapyEvidence]:
    """Evidence of the shipped classes and products from these cohorts alone."""
    return pooling.pool(with_rates(rates))


def with_rates(rates: Sequence[Rate]) -> Catalogue:
    return replace(CATALOGUE, rates=tuple(rates))


# Random courses

#: Analytes for each way of summarising: logarithm, upper limit, low is worse, plain, no default limit.
CODES = ("crp", "ldh", "ast", "platelets", "creatinine", "spo2", "temperature", "il6", "inr")
EVENTS = (Event.CRS_GRADE, Event.ICANS_GRADE, Event.TOCILIZUMAB)
THERAPIES = ("axicabtagene-ciloleucel", "teclistamab", "cd19-car-t", "nivolumab", NOT_KNOWN, "")
INDICATIONS = ("lbcl", "dlbcl", "mm", "b-all", "")


@st.composite
def observed(draw: st.DrawFn) -> Observed:
    """One observation or event; seconds fall on few values, so that several meet at one time and at the edges."""
    # The looking-back limit, the index times of `course_inputs`, and one second on both sides of each.
    edges = [at + step for at in (-LOOKBACK_SECONDS, 0, DAY, 2 * DAY, LATEST_SECONDS) for step in (-1, 0, 1)]
    seconds = draw(st.sampled_from(edges) | st.integers(-3 * DAY, 3 * DAY))
    if draw(st.booleans()):
        event = draw(st.sampled_from(EVENTS))
        return Observed(event, seconds, 1.0 if event == Event.TOCILIZUMAB else float(draw(st.integers(0, 5))))
    analyte = CATALOGUE.analytes[draw(st.sampled_from(CODES))]
    value = draw(st.floats(analyte.plausible_low, analyte.plausible_high, allow_subnormal=False))
    limit = draw(st.just(math.nan) | st.sampled_from([30.0, 45.0, 250.0, 480.0]))
    return Observed(analyte.key, seconds, value, limit)


@st.composite
def course_inputs(draw: st.DrawFn) -> CourseInput:
    """One made-up course at one index time."""
    index = draw(st.sampled_from([0, DAY, 2 * DAY, LATEST_SECONDS]) | st.integers(0, 3 * DAY))
    names = draw(st.lists(st.sampled_from(CATALOGUE.course_columns), unique=True, max_size=4))
    return CourseInput(
        therapy=draw(st.sampled_from(THERAPIES)),
        indication=draw(st.sampled_from(INDICATIONS)),
        index_seconds=index,
        dose_seconds=draw(st.integers(0, index)),
        dose_number=draw(st.integers(1, 6)),
        numbers={name: float(draw(st.integers(0, 1))) for name in names},
        observations=tuple(draw(st.lists(observed(), max_size=12))),
    )


def many_courses(n: int, seed: int = 7) -> list[CourseInput]:
    """n made-up courses from a generator; fast enough for thousands."""
    random = np.random.default_rng(seed)
    therapies = [*CATALOGUE.therapies, *CATALOGUE.classes, NOT_KNOWN]
    indications = [*CATALOGUE.indications, ""]
    return [_random_course(random, therapies, indications) for _ in range(n)]


def _random_course(random: np.random.Generator, therapies: list[str], indications: list[str]) -> CourseInput:
    index = int(random.integers(0, 96)) * HOUR
    return CourseInput(
        therapy=str(random.choice(therapies)),
        indication=str(random.choice(indications)),
        index_seconds=index,
        dose_seconds=int(random.integers(0, index + 1)),
        dose_number=int(random.integers(1, 5)),
        numbers={"age_years": float(random.integers(1, 90))} if random.random() < 0.8 else {},
        observations=tuple(_random_observed(random) for _ in range(random.integers(0, 14))),
    )


def _random_observed(random: np.random.Generator) -> Observed:
    seconds = int(random.integers(-72, 120)) * HOUR
    if random.random() < 0.15:
        return Observed(str(random.choice(EVENTS)), seconds, float(random.integers(1, 4)))
    analyte = CATALOGUE.analytes[str(random.choice(CODES))]
    value = float(random.uniform(analyte.plausible_low, analyte.plausible_high))
    return Observed(analyte.key, seconds, value, float(random.choice([math.nan, 200.0, 480.0])))


def shuffled(batch: Snapshots, seed: int = 3) -> Snapshots:
    """The same batch with its observations in another order."""
    order = np.random.default_rng(seed).permutation(len(batch.observations))
    held = batch.observations
    mixed = Observations(
        held.course[order], held.code[order], held.seconds[order], held.value[order], held.limit[order]
    )
    return replace(batch, observations=mixed)


# Bundles


@functools.cache
def small_booster(names: tuple[str, ...], seed: int = 0) -> bytes:
    """A booster of a few shallow trees on random rows, as UBJSON; the first column, of hours, is what it splits on."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(200, len(names))).astype(np.float32)
    values[random.random(values.shape) < 0.3] = np.nan
    values[:, 0] = random.uniform(0, 100, 200)
    label = (random.random(200) < np.where(values[:, 0] > 40, 0.7, 0.2)).astype(float)
    matrix = xgboost.DMatrix(values, label=label, feature_names=list(names), nthread=1)
    settings = {"objective": "binary:logistic", "base_score": 0.5, "max_depth": 2, "eta": 0.4, "nthread": 1}
    return bytes(xgboost.train(settings, matrix, 4).save_raw("ubj"))


def believing(weight: float) -> dict[str, Any]:
    """Calibration fields that give the trees this weight at every hour."""
    return {"early_slope": weight, "late_slope": weight}


def empty_policy() -> Policy:
    return Policy("made up for tests; not for any use", {}, (), (), 0.0, 110.0)


def prior_only_bundle() -> Bundle:
    """A bundle that answers from the published rates alone."""
    return Bundle(
        full_spec(), evidence(), {}, {}, {}, empty_policy(), {"courses": []}, {"name": "made up"}, {"name": "prior"}
    )


#: Cut-offs at 0.2 and 0.6; the other figures are made up.
THRESHOLDS = Thresholds(0.2, 0.6, 0.9, 12.0, 0.5, 0.97, 30.0, 0.9, 0.2)


def both(**terms: float) -> Calibration:
    """The same terms for every kind of dosing."""
    held = Terms(**terms)
    return Calibration(held, held, held)


def wide_ends() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Ends of an interval table over log-odds -6 to 6, half a unit of log-odds to either side."""
    middle = np.linspace(-6.0, 6.0, 25)
    low, high = (1.0 / (1.0 + np.exp(-(middle + shift))) for shift in (-0.5, 0.5))
    return tuple(low.tolist()), tuple(high.tolist())


@functools.cache
def trained_bundle() -> Bundle:
    """A bundle with a booster for three outcomes, thresholds, ranges, and its golden courses recorded."""
    columns = full_spec().with_ranges(build(*many_courses(60)).values)
    keys = ("crs_1plus", "crs_3plus", "icans_2plus")
    blank = replace(
        prior_only_bundle(),
        spec=columns,
        boosters={key: small_booster(columns.names, seed) for seed, key in enumerate(keys)},
        calibration={key: both(intercept=0.125, **believing(0.75)) for key in keys},
        intervals={key: IntervalTable(-6.0, 0.5, *wide_ends()) for key in keys},
        policy=replace(empty_policy(), thresholds={keys[0]: THRESHOLDS}),
        about={"name": "made up", "seed": 7},
    )
    return replace(blank, golden=golden.record(Predictor(blank, CATALOGUE)))


@functools.cache
def trained_predictor() -> Predictor:
    return Predictor(trained_bundle(), CATALOGUE)


def outcome_place(key: str) -> int:
    return OUTCOME_KEYS.index(key)


def predict(predictor: Predictor, *courses: CourseInput) -> Prediction:
    return predictor.predict(snapshots(CATALOGUE, courses))


#: What a reviewed assay might say; no such assay was read.
ASSAY_ROW = AssayEvidence(
    therapy="tgn1412",
    therapy_class="antibody",
    format="pbmc-coated-air-dried",
    hazard_class="moderate",
    severity_cytokines=("il2",),
    position=0.5,
    position_low=0.4,
    position_high=0.6,
    positions=("il2 0.5 0.4 0.6",),
    reference_positive="alemtuzumab",
    reference_negative="natalizumab",
    responder_fraction=1.0,
    responder_low=0.6915,
    responder_high=1.0,
    donors=10,
    formats_concordant="",
    key_events=("immune-cell-activation",),
    quality="full",
    limits=("TNF and IL-8 alone overcall", "10 of 10 donors respond"),
    assay_sha256="a" * 64,
    reviewed_by="A. Reviewer",
    reviewed_on="2026-11-21",
    source="synthetic",
    verified="partly",
)
