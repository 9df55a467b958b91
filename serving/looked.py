"""Courses looked at together: scored now, as last asked about, and with each fact that they lack, in one batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.predict import Explanation, Prediction, Predictor
from features.single import CourseInput, Observed, snapshots
from serving.intake import Intake
from serving.missing import Lacking
from serving.what_if import joined, with_changes

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Looked:
    """A course that is evaluated, what was last seen of it, what it lacks, and the course as last asked about."""

    intake: Intake
    latest: dict[str, Observed]
    lacking: tuple[Lacking, ...]
    earlier: CourseInput | None

    @property
    def course(self) -> CourseInput:
        return self.intake.course


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of one course. probability, low, high, log_odds: (outcomes,), NaN where there is no answer.

    reached: (outcomes,) flags. before: (outcomes,) probability at the index time before, NaN where there was none.
    tried: (tries, outcomes) probability with each fact tried. predicted, explained: of the whole batch, this course at
    `place`.
    """

    place: int
    probability: Array
    low: Array
    high: Array
    reached: NDArray[np.bool_]
    before: Array
    tried: Array
    explained: Explanation
    predicted: Prediction


def look_up(predictor: Predictor, looked: Sequence[Looked]) -> list[Found]:
    """What is found of each course, in their order."""
    n = len(looked)
    earlier = [one.earlier for one in looked if one.earlier is not None]
    base = snapshots(predictor.catalogue, [*(one.course for one in looked), *earlier])
    tries = [[change for lacking in one.lacking for change in lacking.changes] for one in looked]
    varied = [with_changes(base, place, changes) for place, changes in enumerate(tries) if changes]
    predicted = predictor.predict(joined([base, *varied]) if varied else base)
    explained = predictor.explain(predicted, np.arange(n))
    before = np.full((n, predicted.probability.shape[1]), np.nan)
    before[[place for place, one in enumerate(looked) if one.earlier is not None]] = predicted.probability[
        n : len(base)
    ]
    ends = len(base) + np.cumsum([len(changes) for changes in tries])
    return [
        Found(
            place=place,
            probability=predicted.probability[place],
            low=predicted.low[place],
            high=predicted.high[place],
            reached=predicted.rows.reached[place],
            before=before[place],
            tried=predicted.probability[end - len(changes) : end],
            explained=explained,
            predicted=predicted,
        )
        for place, (changes, end) in enumerate(zip(tries, ends.tolist(), strict=True))
    ]
