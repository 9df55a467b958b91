"""From snapshots to coherent probabilities, with the bundle's boosters, prior and calibration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from features.bundle import PRIOR_ALONE, Bundle, Parts
from features.catalogue import Catalogue
from features.course import Snapshots
from features.errors import BundleError
from features.outcomes import OUTCOME_KEYS, OUTCOMES
from features.prior import Prior
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

    probability: coherent across grades; NaN where the outcome has happened already or no evidence covers the therapy.
    log_odds: of the answer before it is made coherent. trees: sum of the booster's leaves.
    """

    rows: Rows
    trees: Array
    log_odds: Array
    probability: Array


class Predictor:
    """One bundle, ready to answer. Safe to share between threads: it holds nothing that changes."""

    def __init__(self, bundle: Bundle, catalogue: Catalogue) -> None:
        self.bundle = bundle
        self.digest = bundle.digest
        self.catalogue = catalogue
        self.prior = Prior(bundle.evidence)
        self.builder = _builder(bundle, self.prior, catalogue)
        self.boosters = {key: _load(key, body, bundle.spec.names) for key, body in bundle.boosters.items()}
        self.calibration = tuple(bundle.calibration.get(key, PRIOR_ALONE) for key in OUTCOME_KEYS)

    def predict(self, batch: Snapshots, workers: int = 1) -> Prediction:
        """Probabilities of n courses at their index times."""
        rows = self.builder.build(batch, workers)
        return self.predict_rows(rows)

    def predict_rows(self, rows: Rows) -> Prediction:
        """Probabilities of rows that this bundle's row-builder made."""
        trees = np.column_stack([self.trees(key, rows.values) for key in OUTCOME_KEYS])
        log_odds = np.empty_like(trees)
        for place, calibration in enumerate(self.calibration):
            parts = Parts(rows.prior[:, place], rows.hours, rows.begun[:, place], rows.therapy)
            log_odds[:, place] = calibration.combine(parts, trees[:, place])
        # A grade that was reached is certain, so it never holds a worse grade down.
        probability = coherent(np.where(rows.reached, 1.0, sigmoid(log_odds)))
        return Prediction(rows, trees, log_odds, np.where(rows.reached, np.nan, probability))

    def trees(self, outcome: str, values: NDArray[np.float32]) -> Array:
        """(n,) what the trees of an outcome add; 0 where it has none."""
        if outcome not in self.boosters:
            return np.zeros(len(values))
        return sum_of_leaves(self.boosters[outcome], values).astype(np.float64)

    def log_odds(self, outcome: int, values: NDArray[np.float32], parts: Parts) -> Array:
        """(n,) log-odds of one outcome of rows that are laid out already, before coherence."""
        return self.calibration[outcome].combine(parts, self.trees(OUTCOME_KEYS[outcome], values))


def sum_of_leaves(booster: xgboost.Booster, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) what the trees add to the log-odds, without the prior."""
    leaves: NDArray[np.float32] = booster.inplace_predict(values, predict_type="margin")
    return leaves


def sigmoid(log_odds: Array) -> Array:
    """Probability of log-odds, without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * log_odds))


def log_odds_of(probability: Array) -> Array:
    """Log-odds of a probability, which is first moved off 0 and 1 by 1e-9."""
    held = np.clip(probability, 1e-9, 1 - 1e-9)
    return np.log(held) - np.log1p(-held)


def coherent(probability: Array) -> Array:
    """(n, outcomes), each worse grade at most as likely as the milder one; the milder grade, better known, stands."""
    result = probability.copy()
    for family in FAMILIES:
        result[:, family] = np.minimum.accumulate(result[:, family], axis=1)
    return result


def answers(predictor: Predictor, courses: list[CourseInput]) -> list[dict[str, Any]]:
    """Exact answers of courses, for golden records: float bytes as hex, so that a comparison is bit for bit."""
    prediction = predictor.predict(snapshots(predictor.catalogue, courses))
    return [
        {
            "row": prediction.rows.values[place].tobytes().hex(),
            "log_odds": [value.hex() for value in prediction.log_odds[place].tolist()],
            "probability": [value.hex() for value in prediction.probability[place].tolist()],
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
        for name in ("log_odds", "probability")
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
