"""From checked courses to answers: guard, predict, then say what is known, what is missing and what it came from."""

import uuid
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from features.bundle import Bundle
from features.catalogue import Catalogue
from features.home import MODEL_NAME
from features.outcomes import OUTCOMES
from features.predict import Predictor
from features.single import CourseInput, snapshots
from serving import guard
from serving.answer import GRADING, Answer, Missing, Model, Question, Risk, rounded
from serving.intake import Intake
from serving.published import Published, nearest
from serving.scored import scores


class Answerer:
    """One loaded bundle that answers courses. Safe to share between threads."""

    def __init__(self, predictor: Predictor, version: str) -> None:
        self.predictor = predictor
        self.catalogue: Catalogue = predictor.catalogue
        self.bundle: Bundle = predictor.bundle
        self.model = _model(predictor, version)
        self._analytes = _analytes(predictor)
        self._published: dict[tuple[str, str, str], Published | None] = {}

    def answer(self, intakes: Sequence[Intake]) -> tuple[Answer, ...]:
        """One answer per course, in their order."""
        refused = [guard.not_evaluated(self.bundle, self.catalogue, one.course) for one in intakes]
        probabilities = self._probabilities([one.course for one, why in zip(intakes, refused, strict=True) if not why])
        rows = iter(probabilities)
        return tuple(
            self._not_evaluated(one, why) if why else self._evaluated(one, next(rows))
            for one, why in zip(intakes, refused, strict=True)
        )

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What GET /model tells of the loaded version."""
        held = self.bundle.about
        shown = ("data_fingerprint", "code_commit", "metrics", "version_note")
        return {
            "name": self.model.name,
            "version": self.model.version,
            "bundle": self.model.bundle,
            "trained_on": self.model.trained_on,
            "intended_use": self.model.intended_use,
            "spec_fingerprint": self.bundle.spec.fingerprint,
            "columns": len(self.bundle.spec.columns),
            "catalogue": self.catalogue.digest,
            "outcomes": [self._outcome_facts(place) for place in range(len(OUTCOMES))],
            "card": dict(self.bundle.card),
            **{key: held[key] for key in shown if held.get(key)},
        }

    def _outcome_facts(self, place: int) -> dict[str, Any]:
        outcome = OUTCOMES[place]
        return {
            "outcome": outcome.key,
            "label": outcome.label,
            "basis": self._basis(outcome.key),
            "horizon_days": outcome.horizon_days,
            "horizon_days_step_up": outcome.horizon_days_step_up,
            "banded": outcome.key in self.bundle.policy.thresholds,
        }

    def _probabilities(self, courses: list[CourseInput]) -> NDArray[np.float64]:
        """(n, outcomes), NaN where the grade was reached."""
        if not courses:
            return np.empty((0, len(OUTCOMES)))
        return self.predictor.predict(snapshots(self.catalogue, courses)).probability

    def _not_evaluated(self, intake: Intake, why: tuple[guard.Note, ...]) -> Answer:
        return Answer(
            prediction_id=str(uuid.uuid4()),
            status="not_evaluated",
            question=self._question(intake),
            model=self.model,
            not_evaluated=why,
            cautions=intake.notes,
        )

    def _evaluated(self, intake: Intake, probability: NDArray[np.float64]) -> Answer:
        course = intake.course
        worst = _worst_grades(course)
        places = range(len(OUTCOMES))
        return Answer(
            prediction_id=str(uuid.uuid4()),
            status="evaluated",
            question=self._question(intake),
            model=self.model,
            risks=tuple(self._risk(course, place, float(probability[place]), worst) for place in places),
            missing=self._missing(course),
            cautions=(*intake.notes, *guard.cautions(self.bundle, course)),
            scores=scores(self.catalogue, course.observations),
        )

    def _question(self, intake: Intake) -> Question:
        course = intake.course
        step_up = guard.is_step_up(self.catalogue, course.therapy)
        return Question(
            course=intake.course_id,
            hours_since_start=rounded(guard.hours(course.index_seconds)),
            hours_since_dose=rounded(guard.hours(course.index_seconds - course.dose_seconds)),
            dose_number=course.dose_number,
            horizon_days={one.key: one.horizon_days_step_up if step_up else one.horizon_days for one in OUTCOMES},
            grading=GRADING,
            therapy=course.therapy or UNSET,
            indication=course.indication or UNSET,
        )

    def _risk(self, course: CourseInput, place: int, probability: float, worst: Mapping[str, float]) -> Risk:
        outcome = OUTCOMES[place]
        step_up = guard.is_step_up(self.catalogue, course.therapy)
        reached = worst.get(outcome.event, -1.0) >= outcome.grade
        status = "reached" if reached else _status(course, place, probability, step_up)
        evaluated = status == "evaluated"
        return Risk(
            outcome=outcome.key,
            label=outcome.label,
            status=status,
            horizon_ends_hours=guard.hours(course.dose_seconds + outcome.horizon_seconds(step_up)),
            probability=probability if evaluated else UNSET,
            band=self.bundle.policy.band(outcome.key, probability) if evaluated else UNSET,
            basis=self._basis(outcome.key) if evaluated else UNSET,
            published=self._nearest(course, outcome.key) or UNSET,
        )

    def _basis(self, outcome: str) -> str:
        return "model" if outcome in self.bundle.boosters else "published-rate"

    def _nearest(self, course: CourseInput, outcome: str) -> Published | None:
        """Looked up once per therapy, indication and outcome: they are few, and the catalogue never changes."""
        key = (course.therapy, course.indication, outcome)
        if key not in self._published:
            self._published[key] = nearest(self.catalogue, *key)
        return self._published[key]

    def _missing(self, course: CourseInput) -> tuple[Missing, ...]:
        seen = {one.code for one in course.observations}
        return tuple(one for one in self._analytes if one.what not in seen)


def _worst_grades(course: CourseInput) -> dict[str, float]:
    """Worst value of each code at or before the index time, of which only the grades are asked for."""
    worst: dict[str, float] = {}
    for one in course.observations:
        worst[one.code] = max(one.value, worst.get(one.code, one.value))
    return worst


def _status(course: CourseInput, place: int, probability: float, step_up: bool) -> str:
    if guard.horizon_over(course, place, step_up):
        return "horizon-over"
    return "not-evaluated" if np.isnan(probability) else "evaluated"


def _analytes(predictor: Predictor) -> tuple[Missing, ...]:
    """The analytes behind the bundle's columns, in the catalogue's order."""
    used = {column.source for column in predictor.bundle.spec.columns if column.kind == "stat"}
    analytes = predictor.catalogue.analytes.values()
    return tuple(Missing(one.key, one.name, one.unit) for one in analytes if one.key in used)


def _model(predictor: Predictor, version: str) -> Model:
    about = predictor.bundle.about
    return Model(
        name=str(about.get("name") or MODEL_NAME),
        version=version,
        bundle=predictor.digest,
        trained_on=_trained_on(predictor.bundle, about.get("trained_on") or {}),
        intended_use=predictor.bundle.policy.intended_use,
    )


def _trained_on(bundle: Bundle, given: Mapping[str, Any]) -> dict[str, Any]:
    if not bundle.boosters:
        return {"name": "published rates alone", "courses": 0, "synthetic": False}
    return {key: given[key] for key in ("name", "courses", "synthetic") if given.get(key) is not None}
