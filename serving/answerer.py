"""From checked courses to answers: guard, predict, then say what is known, what is missing and what it came from."""

import math
import uuid
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from msgspec import UNSET

from features.bundle import Bundle
from features.catalogue import Catalogue
from features.home import MODEL_NAME
from features.outcomes import OUTCOMES
from features.predict import Predictor
from features.single import CourseInput, snapshots
from serving import guard, provenance
from serving.answer import Answer, Missing, Model, Question, Risk, rounded
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
        self.grading = provenance.grading(predictor.bundle)
        self._analytes = _analytes(predictor)
        self._published: dict[tuple[str, str, str], Published | None] = {}

    def answer(self, intakes: Sequence[Intake]) -> tuple[Answer, ...]:
        """One answer per course, in their order."""
        refused = [guard.not_evaluated(self.bundle, self.catalogue, one.course) for one in intakes]
        rows = self._risks([one.course for one, why in zip(intakes, refused, strict=True) if not why])
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
            "grading": self.grading,
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
            "basis": provenance.basis(self.bundle, outcome.key),
            "horizon_days": outcome.horizon_days,
            "horizon_days_step_up": outcome.horizon_days_step_up,
            "banded": outcome.key in self.bundle.policy.thresholds,
        }

    def _risks(self, courses: list[CourseInput]) -> Iterator[tuple[Risk, ...]]:
        """The risks of each course, predicted all at once."""
        if not courses:
            return iter(())
        found = self.predictor.predict(snapshots(self.catalogue, courses))
        pairs = zip(courses, found.probability.tolist(), found.rows.reached.tolist(), strict=True)
        return (
            tuple(self._risk(course, place, chances[place], reached[place]) for place in range(len(OUTCOMES)))
            for course, chances, reached in pairs
        )

    def _not_evaluated(self, intake: Intake, why: tuple[guard.Note, ...]) -> Answer:
        return Answer(
            prediction_id=str(uuid.uuid4()),
            status="not_evaluated",
            question=self._question(intake),
            model=self.model,
            not_evaluated=why,
            cautions=intake.notes,
        )

    def _evaluated(self, intake: Intake, risks: tuple[Risk, ...]) -> Answer:
        course = intake.course
        return Answer(
            prediction_id=str(uuid.uuid4()),
            status="evaluated",
            question=self._question(intake),
            model=self.model,
            risks=risks,
            missing=self._missing(course),
            cautions=(*intake.notes, *guard.cautions(self.bundle, self.catalogue, course)),
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
            grading=self.grading,
            therapy=course.therapy or UNSET,
            indication=course.indication or UNSET,
        )

    def _risk(self, course: CourseInput, place: int, probability: float, reached: bool) -> Risk:
        outcome = OUTCOMES[place]
        step_up = guard.is_step_up(self.catalogue, course.therapy)
        status = "reached" if reached else _status(course, place, probability, step_up)
        evaluated = status == "evaluated"
        return Risk(
            outcome=outcome.key,
            label=outcome.label,
            status=status,
            horizon_ends_hours=guard.hours(course.dose_seconds + outcome.horizon_seconds(step_up)),
            probability=probability if evaluated else UNSET,
            band=self.bundle.policy.band(outcome.key, probability) if evaluated else UNSET,
            basis=provenance.basis(self.bundle, outcome.key) if evaluated else UNSET,
            published=self._nearest(course, outcome.key) or UNSET,
        )

    def _nearest(self, course: CourseInput, outcome: str) -> Published | None:
        """Looked up once per therapy, indication and outcome: they are few, and the catalogue never changes."""
        key = (course.therapy, course.indication, outcome)
        if key not in self._published:
            self._published[key] = nearest(self.catalogue, *key)
        return self._published[key]

    def _missing(self, course: CourseInput) -> tuple[Missing, ...]:
        seen = {one.code for one in course.observations}
        return tuple(one for one in self._analytes if one.what not in seen)


def _status(course: CourseInput, place: int, probability: float, step_up: bool) -> str:
    if guard.horizon_over(course, place, step_up):
        return "horizon-over"
    return "not-evaluated" if math.isnan(probability) else "evaluated"


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
        trained_on=provenance.trained_on(predictor.bundle),
        intended_use=predictor.bundle.policy.intended_use,
    )
