"""A request to grade into findings, and the grades into an answer. No value that was sent is ever repeated."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from msgspec import UNSET, structs

from features import grading_icans as icans
from features import grading_types as crs
from features.grading import CRS_SCHEMES, grade_crs, grade_icans
from features.grading_result import Grade, Scheme
from features.grading_tables import find, reasons, terms
from serving.course_facts import not_listed
from serving.grade_form import (
    Caution,
    CrsForm,
    GradeAnswer,
    GradeRequest,
    GradeShown,
    IcansForm,
    OxygenForm,
    RowShown,
    VasopressorForm,
)
from serving.refusal import bad_value

Kind = TypeVar("Kind", bound=StrEnum)
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class GradeCase:
    """What can be graded: the findings that were sent, None where there were none, and by which schemes."""

    id: str | None
    schemes: tuple[Scheme, ...]
    crs: crs.CrsFindings | None
    icans: icans.IcansFindings | None

    def holds(self, scheme: Scheme) -> bool:
        """Whether the findings for that scheme are there."""
        return (self.icans if scheme is Scheme.ICANS else self.crs) is not None


def take(request: GradeRequest, path: str = "$") -> GradeCase:
    """The findings of a request; Refusal 422 with the path of the first value that cannot be used."""
    if request.crs is None and request.icans is None:
        raise bad_value("value-missing", f"{path}.crs", "neither crs nor icans was sent", "send the findings of one")
    return GradeCase(
        request.id,
        _schemes(request, path),
        _crs(request.crs, f"{path}.crs") if request.crs else None,
        _icans(request.icans, f"{path}.icans") if request.icans else None,
    )


def graded(case: GradeCase) -> tuple[Grade, ...]:
    """The grades in the order of the schemes."""
    return tuple(_grade(case, scheme) for scheme in case.schemes)


def _grade(case: GradeCase, scheme: Scheme) -> Grade:
    if scheme is Scheme.ICANS:
        assert case.icans is not None  # a scheme without its findings was refused
        return grade_icans(case.icans)
    assert case.crs is not None
    return grade_crs(case.crs, scheme)


def answer(case: GradeCase) -> GradeAnswer:
    """The answer to POST /grade."""
    return GradeAnswer(tuple(map(shown, graded(case))), UNSET if case.id is None else case.id)


def shown(grade: Grade) -> GradeShown:
    """One grade as it is answered."""
    value, open_ = grade.value, grade.value is None
    return GradeShown(
        scheme=grade.scheme.value,
        status="ungradable" if open_ else "graded",
        reason=grade.reason,
        rows=tuple(RowShown(row.name, row.low, row.high, row.reason, row.verified) for row in grade.rows),
        attribution=grade.attribution.value,
        fever_waived=grade.fever_waived,
        verified=grade.verified,
        grade=UNSET if value is None else value,
        at_least=UNSET if grade.at_least is None else grade.at_least,
        at_most=grade.high if open_ else UNSET,
        cautions=tuple(_caution(key) for key in grade.cautions),
    )


def _caution(key: str) -> Caution:
    row = reasons()[key]
    return Caution(key, row.text, row.verified == "yes")


def _schemes(request: GradeRequest, path: str) -> tuple[Scheme, ...]:
    if not request.schemes:
        return (*(CRS_SCHEMES if request.crs else ()), *((Scheme.ICANS,) if request.icans else ()))
    named = [_member(Scheme, one, f"{path}.schemes[{place}]") for place, one in enumerate(request.schemes)]
    return tuple(dict.fromkeys(_sent(one, request, f"{path}.schemes[{place}]") for place, one in enumerate(named)))


def _sent(scheme: Scheme, request: GradeRequest, path: str) -> Scheme:
    """The scheme, where the findings it grades were sent."""
    part = "icans" if scheme is Scheme.ICANS else "crs"
    if getattr(request, part) is None:
        raise bad_value("value-missing", path, f"this scheme grades {part}, which was not sent", f"send {part}")
    return scheme


def _crs(form: CrsForm, path: str) -> crs.CrsFindings:
    given = structs.asdict(form) | {
        "masking": _each(form.masking, f"{path}.masking", lambda one, at: _masking(one.drug, one.given, at)),
        "fluids": _optional(crs.Fluids, form.fluids, f"{path}.fluids"),
        "vasopressors": _each(form.vasopressors, f"{path}.vasopressors", _vasopressor),
        "oxygen": _oxygen(form.oxygen, f"{path}.oxygen"),
        "organs": _each(form.organs, f"{path}.organs", lambda one, at: _organ(one.organ, one.grade, at)),
        "infusion": _optional(crs.Infusion, form.infusion, f"{path}.infusion"),
        "other_cause": _each(form.other_cause, f"{path}.other_cause", lambda one, at: _member(crs.Part, one, at)),
    }
    return _made(lambda: crs.CrsFindings(**given), path)


def _icans(form: IcansForm, path: str) -> icans.IcansFindings:
    given = structs.asdict(form) | {
        "consciousness": _optional(icans.Consciousness, form.consciousness, f"{path}.consciousness"),
        "seizure": _optional(icans.Seizure, form.seizure, f"{path}.seizure"),
        "motor": _optional(icans.Motor, form.motor, f"{path}.motor"),
        "oedema": _optional(icans.Oedema, form.oedema, f"{path}.oedema"),
        "other_cause": _each(form.other_cause, f"{path}.other_cause", lambda one, at: _member(icans.Sign, one, at)),
    }
    return _made(lambda: icans.IcansFindings(**given), path)


def _oxygen(form: OxygenForm, path: str) -> crs.Oxygen:
    given = structs.asdict(form) | {
        "device": _device(form.device, f"{path}.device"),
        "baseline_device": _device(form.baseline_device, f"{path}.baseline_device"),
    }
    return _made(lambda: crs.Oxygen(**given), path)


def _device(text: str | None, path: str) -> crs.Device | None:
    return None if text is None else crs.Device(_term("device", text, path))


def _vasopressor(form: VasopressorForm, path: str) -> crs.Vasopressor:
    name = crs.Pressor(_term("vasopressor", form.name, f"{path}.name"))
    unit = _optional(crs.DoseUnit, form.unit, f"{path}.unit")
    return _made(lambda: crs.Vasopressor(name, form.dose, unit, form.hours), path)


def _masking(drug: str, given: str, path: str) -> crs.Masking:
    return crs.Masking(crs.Drug(_term("masking", drug, f"{path}.drug")), _member(crs.Given, given, f"{path}.given"))


def _organ(organ: str, grade: int, path: str) -> crs.OrganToxicity:
    return _made(lambda: crs.OrganToxicity(_member(crs.Organ, organ, f"{path}.organ"), grade), path)


def _term(kind: str, text: str, path: str) -> str:
    key = find(kind, text)
    if key is None:
        raise not_listed(path, f"a {kind}", text, terms(kind))
    return key


def _member(kind: type[Kind], text: str, path: str) -> Kind:
    if text not in tuple(kind):
        raise bad_value("code-unknown", path, "not one of the listed words", f"send one of: {', '.join(kind)}")
    return kind(text)


def _optional(kind: type[Kind], text: str | None, path: str) -> Kind | None:
    return None if text is None else _member(kind, text, path)


def _each(given: Iterable[Made] | None, path: str, read: Callable[[Made, str], object]) -> tuple[object, ...] | None:
    return None if given is None else tuple(read(one, f"{path}[{place}]") for place, one in enumerate(given))


def _made(make: Callable[[], Made], path: str) -> Made:
    """The findings; a value that cannot be is refused by the path of its field."""
    try:
        return make()
    except crs.FindingError as error:
        remedy = "check the value and its unit, or leave out what is not known"
        raise bad_value("value-not-plausible", f"{path}.{error.name}", error.problem, remedy) from None
