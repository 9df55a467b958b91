"""Challenger and champion on the very same locked test courses and rows, each by its own preprocessing."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.tables import Cohort
from features.outcomes import OUTCOME_KEYS
from features.predict import Predictor
from training.config import Settings
from training.evaluate import Array, bundle_scores
from training.evaluation_policy import evaluation_policy
from training.subgroups import Words, axes
from training.table import Table

#: Index times before anything of the treatment can show.
START = ("0h", "dose1+0h")
CHAMPION, PUBLISHED, BASE_RATE = "champion", "published rate", "base rate"


@dataclass(frozen=True, slots=True)
class Sample:
    """The rows of one outcome that both models answer; arrays are (n,).

    label: 1 or 0. patient: whole numbers, the same for every outcome. challenger: log-odds. rivals: name -> log-odds of
    what it is compared with. scores: published score -> value, NaN where an input is missing. start: rows before
    treatment can show. groups: axis -> the group of each row. fitted: whether data moved the challenger's answer.
    must_be_judged: whether data moved the answer of either model. lost: rows that the champion alone answers.
    """

    outcome: str
    label: Array
    patient: NDArray[np.int64]
    challenger: Array
    rivals: Mapping[str, Array]
    scores: Mapping[str, Array]
    start: NDArray[np.bool_]
    groups: Mapping[str, Words]
    fitted: bool
    must_be_judged: bool
    lost: int = 0

    @property
    def reference(self) -> str:
        """What subgroups are compared with: the champion, or the published rate where there is none."""
        return CHAMPION if CHAMPION in self.rivals else PUBLISHED

    def patients(self, rows: NDArray[np.bool_] | None = None) -> int:
        """How many patients have rows with the outcome or rows without it, whichever are fewer."""
        own = np.ones(len(self.label), dtype=bool) if rows is None else rows
        return min(len(np.unique(self.patient[own & (self.label == value)])) for value in (0.0, 1.0))


def samples(challenger: Predictor, champion: Predictor | None, test: Cohort, workers: int = 1) -> list[Sample]:
    """One sample per outcome that has a label on rows which every model answers."""
    settings = Settings(workers=workers)
    table, own = bundle_scores(challenger, test, settings)
    other = bundle_scores(champion, test, settings) if champion else None
    if other is not None:
        # Rows and labels come from the cohort alone; only columns and priors are a bundle's own.
        assert np.array_equal(other[0].course, table.course)
        assert np.array_equal(other[0].index_name, table.index_name)
    groups = {
        **axes(table, test, challenger.catalogue, evaluation_policy().age_bands),
        "therapy": table.therapy.astype(str),
    }
    found = [_sample(place, challenger, champion, table, own, other, groups) for place in range(len(OUTCOME_KEYS))]
    return [one for one in found if one is not None]


_Scores = dict[int, dict[str, Array]]


def _sample(
    place: int,
    challenger: Predictor,
    champion: Predictor | None,
    table: Table,
    own: _Scores,
    other: tuple[Table, _Scores] | None,
    groups: Mapping[str, Words],
) -> Sample | None:
    key = OUTCOME_KEYS[place]
    theirs = _known(other[0], other[1], place) if other else {}
    mine = _known(table, own, place)
    both = ~np.isnan(mine["model"]) & ~np.isnan(theirs.get("model", np.zeros(len(table))))
    lost = int((np.isnan(mine["model"]) & ~np.isnan(theirs["model"])).sum()) if theirs else 0
    if not both.any() and not lost:
        return None
    label, patient, index = table.label[both, place], table.patient[both], table.index_name[both]
    rivals = {PUBLISHED: mine["published_rate"][both], BASE_RATE: base_rate(label, patient, index)}
    if theirs:
        rivals = {CHAMPION: theirs["model"][both], **rivals}
    fitted = [one.bundle.fitted(key) for one in (challenger, champion) if one]
    return Sample(
        outcome=key,
        label=label,
        patient=patient,
        challenger=mine["model"][both],
        rivals=rivals,
        scores={name: score[both] for name, score in {**theirs, **mine}.items() if name in ("easix", "m_easix")},
        start=np.isin(index, START),
        groups={axis: held[both] for axis, held in groups.items()},
        fitted=fitted[0],
        must_be_judged=any(fitted),
        lost=lost,
    )


def _known(table: Table, scores: _Scores, place: int) -> dict[str, Array]:
    """Predictor -> (N,) scores of one outcome, NaN where the row has no label or no answer."""
    usable = table.usable(place)
    nowhere = {name: np.full((1, len(table)), np.nan) for name in ("model", "published_rate")}
    return {name: np.where(usable, score[0], np.nan) for name, score in scores.get(place, nowhere).items()}


def base_rate(label: Array, patient: NDArray[np.int64], index: NDArray[np.str_]) -> Array:
    """(n,) log-odds of the event rate of the other patients' rows at the same index time, half an event added of each
    kind so that it is finite."""
    found = np.empty(len(label))
    for name in np.unique(index):
        rows = index == name
        _, place = np.unique(patient[rows], return_inverse=True)
        own, count = np.bincount(place, label[rows])[place], np.bincount(place)[place]
        events = label[rows].sum() - own + 0.5
        found[rows] = np.log(events / (rows.sum() - count - events + 1.0))
    return found
