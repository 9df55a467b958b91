"""Published scores of a course at its index time, from the latest values, with what went into them."""

from collections.abc import Iterable

import numpy as np

from features.catalogue import Catalogue
from features.scores import easix, m_easix
from features.single import Observed
from serving.answer import Input, Score, rounded
from serving.guard import hours

SOURCE = "Pennisi 2021, Blood Adv, doi:10.1182/bloodadvances.2020003885"
_INPUTS = {"easix": ("ldh", "creatinine", "platelets"), "m_easix": ("ldh", "crp", "platelets")}


def scores(catalogue: Catalogue, observations: Iterable[Observed]) -> tuple[Score, ...]:
    """EASIX and modified EASIX, each only where all of its inputs are known and it can be computed."""
    latest = _latest(observations)
    computed = (_score(catalogue, name, latest) for name in _INPUTS)
    return tuple(one for one in computed if one)


def _score(catalogue: Catalogue, name: str, latest: dict[str, Observed]) -> Score | None:
    if not all(key in latest for key in _INPUTS[name]):
        return None
    held = [latest[key] for key in _INPUTS[name]]
    value = _value(name, *(np.array([one.value]) for one in held))
    if not np.isfinite(value):
        return None
    inputs = (
        Input(one.code, rounded(one.value), catalogue.analytes[one.code].unit, hours(one.seconds)) for one in held
    )
    return Score(name, rounded(value), tuple(inputs), SOURCE)


def _value(name: str, ldh: np.ndarray, second: np.ndarray, platelets: np.ndarray) -> float:
    """CRP is held in mg/L and enters m-EASIX in mg/dL."""
    score = easix(ldh, second, platelets) if name == "easix" else m_easix(ldh, second / 10.0, platelets)
    return float(score[0])


def _latest(observations: Iterable[Observed]) -> dict[str, Observed]:
    """The latest of each code; of several at one time the larger, as in the row."""
    found: dict[str, Observed] = {}
    for one in observations:
        held = found.get(one.code)
        if held is None or (one.seconds, one.value) >= (held.seconds, held.value):
            found[one.code] = one
    return found
