"""From snapshots to coherent probabilities, with the bundle's boosters, prior and calibration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import xgboost
from numpy.typing import NDArray

from features.bundle import Bundle
from features.calibration import PRIOR_ALONE, Parts, Stack
from features.catalogue import Catalogue
from features.course import Snapshots
from features.errors import BundleError
from features.interval import Tables, around
from features.outcomes import MILDER, OUTCOME_KEYS, OUTCOMES
from features.prior import Prior, log_odds, sigmoid
from features.rows import RowBuilder, Rows
from features.single import CourseInput, snapshots

Array = NDArray[np.float64]

#: Outcomes of one event from the mildest grade to the worst: a worse grade is never likelier than a milder one.
FAMILIES = tuple(
    tuple(place for place, one in enumerate(OUTCOMES) if one.event == event)
    for event in dict.fromkeys(one.event for one in OUTCOMES)
)


@dataclass(frozen=True, slots=True)
class Prediction:
    """n courses; arrays are (n, outcomes) in the order of OUTCOMES.

    trees: sum of the booster's leaves. log_odds: of the answer before it is made coherent.
    probability: coherent across grades; NaN where the outcome has happened already or no evidence covers the therapy.
    low, high: ends of the interval around the probability, coherent across grades, NaN where it is.
    """

    rows: Rows
    trees: Array
    log_odds: Array
    probability: Array
    low: Array
    high: Array


@dataclass(frozen=True, slots=True)
class Explanation:
    """What makes up the log-odds of n answers: prior + level + clock + columns summed + recalibration + order = answer.

    prior, level, clock, recalibration, order: (n, outcomes). level holds the trees' average, too. columns: (n,
    outcomes, columns), the exact TreeSHAP values of each column, weighted as the trees are. order: what keeping the
    grades in order took away.
    """

    prior: Array
    level: Array
    clock: Array
    columns: Array
    recalibration: Array
    order: Array


class Predictor:
    """One bundle, ready to answer. Safe to share between threads: it holds nothing that changes."""

    def __init__(self, bundle: Bundle, catalogue: Catalogue) -> None:
        self.bundle = bundle
        self.digest = bundle.digest
        self.catalogue = catalogue
        self.prior = Prior(bundle.evidence)
        self.builder = _builder(bundle, self.prior, catalogue)
        self.boosters = {key: _load(key, body, bundle.spec.names) for key, body in bundle.boosters.items()}
        self.stack = Stack([bundle.calibration.get(key, PRIOR_ALONE) for key in OUTCOME_KEYS], MILDER)
        self._moved = np.array([bundle.moved(key) for key in OUTCOME_KEYS])
        self._tables = Tables([bundle.intervals.get(key) for key in OUTCOME_KEYS])
        self._learnt = frozenset(bundle.policy.therapies)

    def predict(self, batch: Snapshots, workers: int = 1) -> Prediction:
        """Probabilities of n courses at their index times."""
        rows = self.builder.build(batch, workers)
        return self.predict_rows(rows)

    def predict_rows(self, rows: Rows) -> Prediction:
        """Probabilities of rows that this bundle's row-builder made."""
        trees = self._trees(rows.values)
        log_odds = self.stack.shares(parts_of(rows), trees).log_odds
        three = np.stack([sigmoid(log_odds), *self._ends(rows, log_odds)])
        # A grade that was reached is certain, so it never holds a worse grade down.
        probability, low, high = np.where(rows.reached, np.nan, coherent(np.where(rows.reached, 1.0, three)))
        return Prediction(rows, trees, log_odds, probability, np.fmin(low, probability), np.fmax(high, probability))

    def log_odds(self, values: NDArray[np.float32], parts: Parts) -> Array:
        """(n, outcomes) log-odds, before coherence, of rows that are laid out already; parts of all outcomes."""
        return self.stack.shares(parts, self._trees(values)).log_odds

    def explain(self, prediction: Prediction, places: NDArray[np.int64]) -> Explanation:
        """The parts of the answers at those places of a prediction; NaN where there is no answer."""
        rows = prediction.rows.take(places)
        parts = parts_of(rows)
        shares, leaves = self.stack.shares(parts, prediction.trees[places]), self._leaves(rows, parts)
        return Explanation(
            prior=shares.prior,
            level=shares.level + leaves[:, :, -1],
            clock=shares.clock,
            columns=leaves[:, :, :-1],
            recalibration=shares.recalibration,
            order=log_odds_of(prediction.probability[places]) - prediction.log_odds[places],
        )

    def _trees(self, values: NDArray[np.float32]) -> Array:
        """(n, outcomes) sum of the leaves."""
        return np.column_stack([self.trees(key, values) for key in OUTCOME_KEYS])

    def trees(self, outcome: str, values: NDArray[np.float32]) -> Array:
        """(n,) what the trees of an outcome add; 0 where it has none."""
        if outcome not in self.boosters:
            return np.zeros(len(values))
        return sum_of_leaves(self.boosters[outcome], values).astype(np.float64)

    def _leaves(self, rows: Rows, parts: Parts) -> Array:
        """(n, outcomes, columns + 1) what each column adds through the trees, the average last."""
        matrix = xgboost.DMatrix(rows.values, nthread=1)
        weight, said = self.stack.weights(parts)
        found: list[Array] = []
        for place, below in enumerate(MILDER):
            leaves = weight[:, place, None] * self._contributions(OUTCOME_KEYS[place], matrix, rows)
            found.append(leaves if below is None else leaves + said[:, place, None] * found[below])
        return np.stack(found, axis=1)

    def _contributions(self, outcome: str, matrix: xgboost.DMatrix, rows: Rows) -> Array:
        """(n, columns + 1) exact TreeSHAP values in log-odds, the average last; the columns were checked at load."""
        if outcome not in self.boosters:
            return np.zeros((len(rows), rows.values.shape[1] + 1))
        found = self.boosters[outcome].predict(matrix, pred_contribs=True, validate_features=False)
        return np.asarray(found, dtype=np.float64)

    def _ends(self, rows: Rows, log_odds: Array) -> tuple[Array, Array]:
        """(n, outcomes) ends of the intervals before they are put in order across grades.

        A therapy that the training data held has its Venn-Abers interval; any other the spread of its published rate;
        an outcome that data moved, for a therapy they did not hold, spans both.
        """
        low, high = around(log_odds, self.prior.spread(rows.evidence))
        own_low, own_high = self._tables.at(log_odds)
        learnt = np.array([key in self._learnt for key in rows.therapy], dtype=bool)[:, None]
        moved = self._moved[:, rows.dosing].T & self._tables.known
        return (
            np.where(moved, np.where(learnt, own_low, np.fmin(own_low, low)), low),
            np.where(moved, np.where(learnt, own_high, np.fmax(own_high, high)), high),
        )


class Laid(Protocol):
    """Rows as the row-builder or the training table lays them out; see features.rows.Rows."""

    @property
    def prior(self) -> Array: ...
    @property
    def hours(self) -> Array: ...
    @property
    def begun(self) -> NDArray[np.bool_]: ...
    @property
    def reached(self) -> NDArray[np.bool_]: ...
    @property
    def dosing(self) -> NDArray[np.int64]: ...
    @property
    def therapy(self) -> tuple[str, ...] | NDArray[np.str_]: ...


_BELOW = np.array([0 if below is None else below for below in MILDER])
_HAS_BELOW = np.array([below is not None for below in MILDER])


def parts_of(rows: Laid) -> Parts:
    """What calibration looks at besides the trees, of all outcomes."""
    passed = rows.reached[:, _BELOW] & _HAS_BELOW
    return Parts(rows.prior, rows.hours, rows.begun, rows.dosing, rows.therapy, np.zeros(rows.prior.shape), passed)


def sum_of_leaves(booster: xgboost.Booster, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) what the trees add to the log-odds, without the prior."""
    leaves: NDArray[np.float32] = booster.inplace_predict(values, predict_type="margin")
    return leaves


def log_odds_of(probability: Array) -> Array:
    """Log-odds of a probability, which is first moved off 0 and 1 by 1e-9."""
    return log_odds(np.clip(probability, 1e-9, 1 - 1e-9))


def coherent(probability: Array) -> Array:
    """(..., outcomes), each worse grade at most as likely as the milder one; the milder grade, better known, stands."""
    result = probability.copy()
    for place, below in enumerate(MILDER):
        if below is not None:
            np.minimum(result[..., place], result[..., below], out=result[..., place])
    return result


#: What a golden record keeps of an answer, besides the row.
_RECORDED = ("log_odds", "probability", "low", "high")


def answers(predictor: Predictor, courses: list[CourseInput]) -> list[dict[str, Any]]:
    """Exact answers of courses, for golden records: float bytes as hex, so that a comparison is bit for bit."""
    prediction = predictor.predict(snapshots(predictor.catalogue, courses))
    return [
        {
            "row": prediction.rows.values[place].tobytes().hex(),
            **{name: [value.hex() for value in getattr(prediction, name)[place].tolist()] for name in _RECORDED},
        }
        for place in range(len(courses))
    ]


#: Largest difference in an answer that another processor's arithmetic explains: the last bits of a logarithm.
LAST_BITS = 1e-9


def verify_golden(predictor: Predictor) -> int:
    """Re-score the bundle's golden courses; BundleError if an answer differs. Returns how many there were.

    Log-odds and probabilities may differ by `LAST_BITS`, a row by one step of its 32-bit numbers: numpy's logarithms
    differ in their last bits between processors. On the machine that made the bundle the answers are the same bits.
    """
    records = predictor.bundle.golden["courses"]
    courses = [CourseInput.from_json(record["input"]) for record in records]
    for place, (found, record) in enumerate(zip(answers(predictor, courses), records, strict=True)):
        if not _same_answer(found, record["answer"]):
            raise BundleError(
                "golden.json",
                f"golden course {place} no longer gives its recorded answer on this machine",
                "serve with the release and libraries that made the bundle, or train again",
            )
    return len(records)


def _same_answer(found: Mapping[str, Any], recorded: Mapping[str, Any]) -> bool:
    rows = [np.frombuffer(bytes.fromhex(one["row"]), dtype=np.float32) for one in (found, recorded)]
    if len(rows[0]) != len(rows[1]):
        return False
    alike = np.allclose(rows[0], rows[1], rtol=np.finfo(np.float32).eps, atol=0.0, equal_nan=True)
    return alike and all(
        np.allclose(_floats(found[name]), _floats(recorded[name]), rtol=0.0, atol=LAST_BITS, equal_nan=True)
        for name in _RECORDED
    )


def _floats(hexadecimal: list[str]) -> Array:
    return np.array([float.fromhex(text) for text in hexadecimal])


def _builder(bundle: Bundle, prior: Prior, catalogue: Catalogue) -> RowBuilder:
    try:
        return RowBuilder(bundle.spec, prior, catalogue)
    except (KeyError, ValueError) as error:
        raise BundleError("spec.json", "a column names an analyte that this release does not have") from error


def _load(key: str, body: bytes, names: tuple[str, ...]) -> xgboost.Booster:
    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(bytearray(body))
    except xgboost.core.XGBoostError as error:
        raise BundleError(f"model-{key}.ubj", "the file is not a model that XGBoost reads", "train again") from error
    if tuple(booster.feature_names or ()) != names:
        raise BundleError(f"model-{key}.ubj", "its columns are not those of spec.json, in that order", "train again")
    return booster
