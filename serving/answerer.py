"""From checked courses to answers: guard, predict, then say why, how sure, what is missing and what it came from."""

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from audit.prediction import policy_id
from features.catalogue import Catalogue
from features.outcomes import OUTCOMES
from features.predict import Predictor, log_odds_of
from features.single import CourseInput
from serving import guard, notes, provenance, symptom_tables
from serving.answer import Answer, Change, Interval, Question, Risk, rounded
from serving.before import asked_before
from serving.guidance import guidance
from serving.hazards import hazards
from serving.inputs import Inputs
from serving.intake import Intake
from serving.latest import latest
from serving.look_alikes import look_alikes
from serving.looked import Found, Looked, look_up
from serving.missing import Lacks, told
from serving.model_facts import model_facts, model_of
from serving.published import Published, nearest
from serving.reasons import Seen, reasons
from serving.scored import scores
from serving.symptoms import shown

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, and what it was made from. found: None where the course was not evaluated."""

    answer: Answer
    intake: Intake
    found: Found | None = None


class Answerer:
    """One loaded bundle that answers courses. Safe to share between threads."""

    def __init__(self, predictor: Predictor, version: str) -> None:
        self.predictor, self.bundle = predictor, predictor.bundle
        self.catalogue: Catalogue = predictor.catalogue
        self.model = model_of(predictor, version)
        self.grading = provenance.grading(predictor.bundle)
        # Each record names them, and computing them costs as much as an answer.
        self.policy_id, self.columns_id = policy_id(predictor.bundle.policy), predictor.bundle.spec.fingerprint
        self.inputs = Inputs(predictor)
        self.lacks = Lacks(predictor, self.inputs)
        #: Cautions of every answer, whatever was asked.
        self.standing: tuple[notes.Note, ...] = ()
        self._published: dict[tuple[str, str, str], Published | None] = {}
        # Read now, so that a broken table is found at the start and not by the first request.
        symptom_tables.load()

    def answer(self, intakes: Sequence[Intake]) -> tuple[Answer, ...]:
        """One answer per course, in their order."""
        return tuple(one.answer for one in self.answered(intakes))

    def answered(self, intakes: Sequence[Intake]) -> tuple[Answered, ...]:
        """One answer per course, in their order, with what its record needs."""
        refused = [guard.not_evaluated(self.bundle, self.catalogue, one.course) for one in intakes]
        answers = iter(self._evaluated([one for one, why in zip(intakes, refused, strict=True) if not why]))
        return tuple(
            Answered(self._not_evaluated(one, why), one) if why else next(answers)
            for one, why in zip(intakes, refused, strict=True)
        )

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What GET /model tells of the loaded version."""
        return model_facts(self.predictor, self.model)

    def _not_evaluated(self, intake: Intake, why: tuple[notes.Note, ...]) -> Answer:
        return Answer(
            prediction_id=str(uuid.uuid4()),
            status="not_evaluated",
            question=self._question(intake),
            model=self.model,
            not_evaluated=why,
            cautions=(*self.standing, *intake.notes),
            **self._beside(intake),
        )

    def _evaluated(self, intakes: Sequence[Intake]) -> list[Answered]:
        """The answers of courses that are evaluated, all predicted at once."""
        if not intakes:
            return []
        looked = [self._look(one) for one in intakes]
        found = look_up(self.predictor, looked)
        return [Answered(self._answer(*pair), pair[0].intake, pair[1]) for pair in zip(looked, found, strict=True)]

    def _look(self, intake: Intake) -> Looked:
        course, seen = intake.course, latest(intake.course.observations)
        earlier = asked_before(course, self._step_up(course), intake.previous_seconds)
        return Looked(intake, seen, self.lacks.of(course, seen), earlier)

    def _answer(self, looked: Looked, found: Found) -> Answer:
        course = looked.course
        risks = tuple(self._risk(course, place, found) for place in range(len(OUTCOMES)))
        evaluated = np.array([risk.status == "evaluated" for risk in risks])
        seen = Seen(self.catalogue, course, looked.latest)
        return Answer(
            prediction_id=str(uuid.uuid4()),
            status="evaluated",
            question=self._question(looked.intake),
            model=self.model,
            risks=risks,
            reasons=reasons(self.inputs, found.explained, found.place, seen, evaluated),
            changes=self._changes(looked, found, evaluated),
            missing=told(
                looked.lacking, found.tried, np.where(evaluated, found.probability, np.nan), self.bundle.policy
            ),
            cautions=(
                *self.standing,
                *looked.intake.notes,
                *guard.cautions(self.predictor, course, looked.latest, self.inputs.ranges),
            ),
            **self._beside(looked.intake),
        )

    def _beside(self, intake: Intake) -> dict[str, Any]:
        """What stands beside a risk and without one alike: scores, symptoms, look-alikes and guideline pointers."""
        course = intake.course
        return {
            "scores": scores(
                self.catalogue,
                course.observations,
                index_seconds=course.index_seconds,
                therapy=course.therapy,
                numbers=course.numbers,
                findings=intake.findings,
                at_limit=intake.at_limit,
            ),
            "hazards": hazards(self.catalogue, course.therapy),
            "symptoms": shown(intake.symptoms),
            "look_alikes": look_alikes(self.catalogue, course, intake.comparators),
            "guidance": guidance(course, self._step_up(course)),
        }

    def _question(self, intake: Intake) -> Question:
        course = intake.course
        step_up = self._step_up(course)
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

    def _step_up(self, course: CourseInput) -> bool:
        return guard.is_step_up(self.catalogue, course.therapy)

    def _risk(self, course: CourseInput, place: int, found: Found) -> Risk:
        outcome, step_up = OUTCOMES[place], self._step_up(course)
        probability = float(found.probability[place])
        status = "reached" if found.reached[place] else _status(course, place, probability, step_up)
        evaluated = status == "evaluated"
        basis = provenance.basis_of(self.bundle, outcome.key, step_up, course.dose_number)
        return Risk(
            outcome=outcome.key,
            label=outcome.label,
            status=status,
            horizon_ends_hours=guard.hours(course.dose_seconds + outcome.horizon_seconds(step_up)),
            probability=probability if evaluated else UNSET,
            interval=self._interval(course, place, found, basis) if evaluated else UNSET,
            band=self.bundle.policy.band(outcome.key, probability) if evaluated else UNSET,
            basis=basis if evaluated else UNSET,
            published=self._nearest(course, outcome.key) or UNSET,
        )

    def _interval(self, course: CourseInput, place: int, found: Found, basis: str) -> Interval:
        learnt = course.therapy in self.bundle.policy.therapies
        held = basis == "model" and OUTCOMES[place].key in self.bundle.intervals
        method = "published-rates" if not held else "venn-abers" if learnt else "both"
        return Interval(float(found.low[place]), float(found.high[place]), method)

    def _changes(self, looked: Looked, found: Found, evaluated: NDArray[np.bool_]) -> tuple[Change, ...]:
        """Every outcome that has an answer now and had one at the index time before."""
        if looked.earlier is None:
            return ()
        hours, step_up = rounded(guard.hours(looked.earlier.index_seconds)), self._step_up(looked.course)
        over = np.array([guard.horizon_over(looked.earlier, place, step_up) for place in range(len(OUTCOMES))])
        risen = log_odds_of(found.probability) - log_odds_of(found.before)
        return tuple(
            Change(
                outcome=OUTCOMES[place].key,
                hours_since_start=hours,
                probability=float(found.before[place]),
                band=self.bundle.policy.band(OUTCOMES[place].key, float(found.before[place])),
                log_odds=float(risen[place]),
            )
            for place in np.flatnonzero(evaluated & ~np.isnan(found.before) & ~over).tolist()
        )

    def _nearest(self, course: CourseInput, outcome: str) -> Published | None:
        """Looked up once per therapy, indication and outcome: they are few, and the catalogue never changes."""
        key = (course.therapy, course.indication, outcome)
        if key not in self._published:
            self._published[key] = nearest(self.catalogue, *key)
        return self._published[key]


def _status(course: CourseInput, place: int, probability: float, step_up: bool) -> str:
    if guard.horizon_over(course, place, step_up):
        return "horizon-over"
    return "not-evaluated" if math.isnan(probability) else "evaluated"
