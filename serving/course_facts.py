"""What does not change over a course: therapy, indication, and the numbers and flags of the row."""

import difflib
from collections.abc import Iterable

from features.catalogue import Catalogue, TherapyClass
from features.course import COURSE_NUMBERS
from serving import notes
from serving.api import Course
from serving.notes import Note
from serving.refusal import RefusalError, bad_value

_FLAGS = (
    "high_disease_burden",
    "fludarabine_cyclophosphamide",
    "bridging_therapy",
    "prophylactic_tocilizumab",
    "prophylactic_corticosteroid",
)
_NUMBERS = ("age_years", "ecog", "prior_lines", "marrow_blasts_pct", "dose_fraction")
_SEXES = {"F": 0.0, "M": 1.0}


def therapy_of(catalogue: Catalogue, course: Course, path: str) -> tuple[str, tuple[Note, ...]]:
    """Key of the therapy or class ("" where unknown) and what to say about it."""
    given = _therapy_class(catalogue, course.therapy_class, path)
    found = catalogue.find_therapy(course.therapy)
    if found is None:
        return (given, (notes.THERAPY_NOT_IN_CATALOGUE,)) if given else ("", ())
    if given and given not in catalogue.lineage(found.key):
        problem = "this is not a class of the therapy that was named"
        raise bad_value("value-not-accepted", f"{path}.therapy_class", problem, "leave it out for a known therapy")
    return found.key, (notes.THERAPY_IS_A_CLASS,) if isinstance(found, TherapyClass) else ()


def _therapy_class(catalogue: Catalogue, text: str | None, path: str) -> str:
    found = catalogue.find_therapy(text) if text else None
    if text and not isinstance(found, TherapyClass):
        raise not_listed(f"{path}.therapy_class", "a therapy class", text, catalogue.classes)
    return found.key if found else ""


def indication_of(catalogue: Catalogue, course: Course) -> tuple[str, tuple[Note, ...]]:
    found = catalogue.find_indication(course.indication) if course.indication else None
    return (found.key, ()) if found else ("", (notes.INDICATION_UNKNOWN,))


def numbers_of(catalogue: Catalogue, course: Course, path: str) -> dict[str, float]:
    """Known course columns; what was not sent is absent."""
    given = {name: getattr(course, name) for name in (*_NUMBERS, *_FLAGS)}
    numbers = {name: float(value) for name, value in given.items() if value is not None}
    for name, value in numbers.items():
        low, high = COURSE_NUMBERS[name]
        if not low <= value <= high:
            raise bad_value("value-not-plausible", f"{path}.{name}", f"not from {low:g} to {high:g}", "check the value")
    if course.sex is not None:
        numbers["sex_male"] = _sex(course.sex, path)
    return numbers | _comorbidities(catalogue, course, path)


def _sex(text: str, path: str) -> float:
    if text not in _SEXES:
        raise bad_value("value-not-accepted", f"{path}.sex", "not F or M", "send F or M, or leave it out")
    return _SEXES[text]


def _comorbidities(catalogue: Catalogue, course: Course, path: str) -> dict[str, float]:
    for name in course.comorbidities:
        if name not in catalogue.comorbidities:
            raise not_listed(f"{path}.comorbidities", "a comorbidity", name, catalogue.comorbidities)
    return {name: float(value) for name, value in course.comorbidities.items() if value is not None}


def not_listed(path: str, kind: str, text: str, known: Iterable[str]) -> RefusalError:
    """Names a near key of ours, never what was sent."""
    near = difflib.get_close_matches(text[:60].lower(), list(known), n=1)
    remedy = f"did you mean `{near[0]}`?" if near else "docs/api.md says where the accepted ones are listed"
    return bad_value("code-unknown", path, f"not {kind} of the catalogue", remedy)
