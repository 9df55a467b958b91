"""How much each input moves the answers of a bundle, on average: exact TreeSHAP, summed per input."""

import numpy as np
from numpy.typing import NDArray

from data.cohort import layers
from data.tables import Cohort
from features.outcomes import OUTCOME_KEYS
from features.predict import Predictor

Array = NDArray[np.float64]

#: What is not an input of the trees: the published rate, and how long the course has gone without the outcome.
PRIOR, CLOCK = "published rate", "clock"
#: Inputs named per outcome.
MOST = 12


def mean_effects(
    predictor: Predictor, cohort: Cohort, most_rows: int, seed: int, workers: int
) -> dict[str, list[tuple[str, float]]]:
    """Outcome -> (input, mean absolute effect in log-odds), largest first, at most `MOST`; rows are drawn per layer.

    The effect of the published rate, and of the clock, is the mean distance from its mean. Rows without an answer are
    left out.
    """
    random = np.random.default_rng(seed)
    parts = []
    for layer in layers(cohort):
        chosen = np.sort(random.permutation(len(layer))[:most_rows])
        prediction = predictor.predict_rows(predictor.builder.build(layer.snapshots, workers).take(chosen))
        found = predictor.explain(prediction, np.arange(len(chosen)))
        parts.append((found.prior, found.clock, found.columns, ~np.isnan(prediction.probability)))
    prior, clock, columns, known = (np.concatenate(one) for one in zip(*parts, strict=True))
    sources = np.array([column.source for column in predictor.bundle.spec.columns])
    return {
        key: _largest(sources, prior[rows, place], clock[rows, place], columns[rows, place])
        for place, key in enumerate(OUTCOME_KEYS)
        if (rows := known[:, place]).any()
    }


def _largest(sources: NDArray[np.str_], prior: Array, clock: Array, columns: Array) -> list[tuple[str, float]]:
    """Inputs by mean absolute effect, those without any left out."""
    found = {name: float(np.abs(columns[:, sources == name].sum(axis=1)).mean()) for name in dict.fromkeys(sources)}
    found |= {PRIOR: float(np.abs(prior - prior.mean()).mean()), CLOCK: float(np.abs(clock - clock.mean()).mean())}
    ranked = sorted(((str(name), value) for name, value in found.items() if value > 0), key=lambda one: -one[1])
    return ranked[:MOST]
