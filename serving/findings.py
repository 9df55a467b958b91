"""Findings that only the published scores read. They are no features of the model, and none is ever assumed."""

from dataclasses import dataclass
from math import isfinite

from serving.api import Cirs, Findings
from serving.refusal import bad_value

#: organomegaly -> how many of liver and spleen are enlarged.
ORGANS = {"none": 0.0, "one": 1.0, "both": 2.0}
HIGHEST_CIRS = 4


@dataclass(frozen=True, slots=True)
class Known:
    """Findings as numbers by name; what is not known is absent. Yes is 1, no is 0."""

    values: dict[str, float]

    def get(self, name: str) -> float | None:
        return self.values.get(name)


NOTHING_KNOWN = Known({})


def known(findings: Findings | None, path: str) -> Known:
    """The findings that are known; Refusal 422 for one that cannot be used or contradicts another."""
    if findings is None:
        return NOTHING_KNOWN
    stated = {
        "organomegaly": _organs(findings.organomegaly, path),
        "splenomegaly": _flag(findings.splenomegaly),
        "haemophagocytosis": _flag(findings.haemophagocytosis),
        "immunosuppression": _flag(findings.known_immunosuppression),
        "nk_activity": _flag(findings.nk_activity_low_or_absent),
        "molecular_hlh": _flag(findings.molecular_hlh),
        **_cirs(findings.cirs, f"{path}.cirs"),
    }
    return Known(_with_spleen({name: value for name, value in stated.items() if value is not None}, path))


def _flag(value: bool | None) -> float | None:
    return None if value is None else float(value)


def _organs(text: str | None, path: str) -> float | None:
    if text is not None and text not in ORGANS:
        problem = "not none, one or both"
        raise bad_value("value-not-accepted", f"{path}.organomegaly", problem, "say how many of liver and spleen")
    return None if text is None else ORGANS[text]


def _with_spleen(values: dict[str, float], path: str) -> dict[str, float]:
    """Both organs enlarged, or none, says what the spleen is; a contradiction is refused."""
    organs = values.get("organomegaly")
    if organs is None or organs == ORGANS["one"]:
        return values
    spleen = float(organs == ORGANS["both"])
    if values.setdefault("splenomegaly", spleen) != spleen:
        problem = "contradicts organomegaly"
        raise bad_value("value-not-accepted", f"{path}.splenomegaly", problem, "send the two so that they agree")
    return values


def _cirs(cirs: Cirs | None, path: str) -> dict[str, float | None]:
    if cirs is None:
        return {}
    return {f"cirs_{name}": _grade(getattr(cirs, name), f"{path}.{name}") for name in Cirs.__struct_fields__}


def _grade(value: float | None, path: str) -> float | None:
    if value is None:
        return None
    if not (isfinite(value) and 0 <= value <= HIGHEST_CIRS and value == int(value)):
        problem = f"not a whole number from 0 to {HIGHEST_CIRS}"
        raise bad_value("value-not-plausible", path, problem, "send the charted CIRS grade of that organ system")
    return value
