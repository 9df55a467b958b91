"""What stands behind a bundle's answers: local data or published rates, and whose grades."""

from collections.abc import Mapping
from typing import Any

from features.bundle import Bundle
from features.calibration import dosing
from features.course import Event
from features.outcomes import OUTCOME_KEYS, OUTCOMES

UNSTATED = "not stated"
#: Published cohorts were graded by whatever system their trial used; each stands beside its rate.
PUBLISHED_GRADING = "published rates, several systems"
_SHORT = {Event.CRS_GRADE: "CRS", Event.ICANS_GRADE: "ICANS"}


def is_fitted(bundle: Bundle) -> bool:
    """Whether local data moved any answer of the bundle."""
    return any(bundle.fitted(key) for key in OUTCOME_KEYS)


def basis(bundle: Bundle, outcome: str) -> str:
    """ "model" where local data moved the outcome's answer, else "published-rate"."""
    return "model" if bundle.fitted(outcome) else "published-rate"


def basis_of(bundle: Bundle, outcome: str, step_up: bool, dose_number: int) -> str:
    """As `basis`, of courses at that dose: training data may have held other kinds of dosing alone."""
    return "model" if bundle.moved(outcome)[dosing(step_up, dose_number)] else "published-rate"


def trained_on(bundle: Bundle) -> dict[str, Any]:
    """name, courses and synthetic of the training data, each where stated."""
    given = _stated(bundle)
    if not is_fitted(bundle):
        return {"name": "published rates alone", "courses": 0, "synthetic": is_synthetic(bundle)}
    return {key: given[key] for key in ("name", "courses", "synthetic") if given.get(key) is not None}


def is_synthetic(bundle: Bundle) -> bool:
    """Whether any course behind the bundle was synthetic."""
    return bool(_stated(bundle).get("synthetic"))


def grading(bundle: Bundle) -> str:
    """The systems of the grades that the answers are about, in one text where CRS and ICANS share them."""
    found = {event: _grading(bundle, event) for event in _SHORT}
    if len(set(found.values())) == 1:
        return found[Event.CRS_GRADE]
    return "; ".join(f"{_SHORT[event]}: {system}" for event, system in found.items())


def _grading(bundle: Bundle, event: Event) -> str:
    if not any(bundle.fitted(one.key) for one in OUTCOMES if one.event == event):
        return PUBLISHED_GRADING
    systems = _stated(bundle).get("grading") or {}
    return str(systems.get(event.value) or UNSTATED)


def _stated(bundle: Bundle) -> Mapping[str, Any]:
    return bundle.about.get("trained_on") or {}
