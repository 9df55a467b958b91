"""A table to grade: one case per row, its columns and words into the requests of POST /grade."""

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from features.errors import DataError
from features.grading_result import Scheme
from features.grading_tables import find
from serving import grade_notes as words
from serving.grade_form import CrsForm, GradeRequest, IcansForm, OxygenForm
from serving.grade_notes import Notes

Found = TypeVar("Found")

CRS_COLUMNS = (
    "temperature_c",
    "antipyretic_or_anticytokine",
    "vasopressors",
    "vasopressin",
    "oxygen_device",
    "oxygen_flow_lpm",
    "fio2_pct",
)
ICANS_COLUMNS = ("ice_score", "capd", "consciousness", "seizure", "motor", "edema")
COLUMNS = ("id", "scheme", *CRS_COLUMNS, "organ_notes", *ICANS_COLUMNS)
#: Columns that a table may carry and that are not read.
IGNORED = ("expected_grade", "reason", "source", "verified")
#: Other names of the schemes in the column `scheme`.
ALIASES: Mapping[str, Scheme] = {
    "ASTCT-CRS": Scheme.ASTCT,
    "ASTCT-CRS-BsAb-label": Scheme.LABEL,
    "CTCAE-v5": Scheme.CTCAE_5,
    "CTCAE-v4": Scheme.CTCAE_4,
    "ASTCT-ICANS": Scheme.ICANS,
    "ASTCT-ICANS-CAPD": Scheme.ICANS,
}


@dataclass(frozen=True, slots=True)
class TableCase:
    """One row as a request. place: line of the file. unread: notes that are not understood and were left aside."""

    place: str
    request: GradeRequest
    unread: int


def read_table(text: str, name: str) -> Iterator[TableCase]:
    """The cases of a CSV text; DataError naming line and column where it cannot be read."""
    lines = csv.DictReader(text.splitlines(), strict=True)
    header = lines.fieldnames or ()
    for column in header:
        if column not in (*COLUMNS, *IGNORED):
            raise DataError(f"{name}", "a column is not known", f"the columns are {', '.join(COLUMNS)}")
    if "id" not in header:
        raise DataError(f"{name}.id", "required column missing", "name each case")
    for row in lines:
        if None in row or None in row.values():
            raise DataError(f"{name} line {lines.line_num}", "more or fewer cells than columns", "check the quotes")
        cells = {column: (row.get(column) or "").strip() for column in COLUMNS}
        yield _case(cells, f"{name} line {lines.line_num}")


def _case(cells: Mapping[str, str], place: str) -> TableCase:
    notes = words.read_notes(cells["organ_notes"])
    _read(place, "organ_notes", lambda: [notes.flag(key, None) for key in words.FLAGS])
    scheme = _scheme(cells["scheme"], place)
    neuro = scheme is Scheme.ICANS or (scheme is None and any(cells[name] for name in ICANS_COLUMNS))
    crs = scheme is not Scheme.ICANS and (scheme is not None or any(cells[name] for name in CRS_COLUMNS))
    request = GradeRequest(
        id=cells["id"] or None,
        schemes=(scheme.value,) if scheme else (),
        crs=_crs(cells, notes, place) if crs else None,
        icans=_icans(cells, notes, place) if neuro else None,
    )
    return TableCase(place, request, notes.unread)


def _scheme(text: str, place: str) -> Scheme | None:
    if not text:
        return None
    if text in ALIASES:
        return ALIASES[text]
    if text not in tuple(Scheme):
        raise DataError(f"{place}, scheme", "not a scheme", f"use one of {', '.join(Scheme)}")
    return Scheme(text)


def _read(place: str, column: str, read: Callable[[], Found]) -> Found:
    try:
        return read()
    except ValueError as error:
        # Our own words of remedy; Python's own message would repeat the cell.
        own = "could not convert" not in str(error) and "invalid literal" not in str(error)
        raise DataError(
            f"{place}, {column}", "the cell cannot be read", str(error) if own else "write a plain number"
        ) from None


def _crs(cells: Mapping[str, str], notes: Notes, place: str) -> CrsForm:
    drugs = _read(place, "vasopressors", lambda: words.vasopressors(cells["vasopressors"], notes))
    vasopressin = _read(place, "vasopressin", lambda: _yes_no(cells["vasopressin"]))
    fluids = words.fluids(notes)
    treated = bool(drugs) or bool(vasopressin) or fluids not in (None, "none")
    return CrsForm(
        temperature_c=_number(cells, "temperature_c", place),
        masking=_read(
            place, "antipyretic_or_anticytokine", lambda: words.masking(cells["antipyretic_or_anticytokine"])
        ),
        hypotension=_read(place, "organ_notes", lambda: notes.flag("hypotension", None if treated else False)),
        fluids=fluids,
        vasopressors=() if drugs is None and vasopressin else drugs,
        vasopressin=vasopressin,
        high_dose=_read(place, "organ_notes", lambda: notes.flag("high_dose", None)),
        oxygen=_oxygen(cells, notes, place),
        symptoms=notes.said.get("symptoms") is True,
        organs=tuple(notes.organs),
        coagulopathy_treated=notes.said.get("coagulopathy_treated") is True,
        hospital_care=notes.said.get("hospital_care") is True,
        infusion=_text(notes, "infusion"),
        urgent=notes.said.get("urgent") is True,
        other_cause=("fever", "hypotension", "hypoxia") if notes.keys.get("attributable_other") == "yes" else None,
        died=notes.said.get("died_of_crs") is True,
        days=_read(place, "organ_notes", lambda: notes.number("day_after_infusion")),
    )


def _oxygen(cells: Mapping[str, str], notes: Notes, place: str) -> OxygenForm:
    device = cells["oxygen_device"]
    told = _read(place, "organ_notes", lambda: notes.flag("supplemental_o2", notes.flag("oxygen", None)))
    home = _read(place, "organ_notes", lambda: notes.number("baseline_home_o2_lpm"))
    baseline = next((word for word in re.split(r"\W+", notes.keys.get("baseline", "")) if find("device", word)), None)
    return OxygenForm(
        device=None if device in ("", "unknown") else device,
        flow_lpm=_number(cells, "oxygen_flow_lpm", place),
        fio2_pct=_number(cells, "fio2_pct", place),
        given=told if device in ("", "unknown") else None,
        airway_only="airway" in notes.keys.get("reason", ""),
        baseline_device=baseline,
        baseline_flow_lpm=home,
    )


def _icans(cells: Mapping[str, str], notes: Notes, place: str) -> IcansForm:
    fit, minutes = _read(place, "seizure", lambda: words.seizure(cells["seizure"]))
    state = cells["consciousness"]
    return IcansForm(
        age_years=_read(place, "organ_notes", lambda: notes.number("age_y")),
        developmental_delay=notes.said.get("developmental_delay") is True,
        ice=_whole(cells, "ice_score", place),
        capd=_whole(cells, "capd", place),
        rass=_read(place, "organ_notes", lambda: int(notes.keys["rass"]) if "rass" in notes.keys else None),
        consciousness={"": None, "unknown": None, "intubated_sedated": "sedated"}.get(state, state),
        seizure=fit,
        seizure_minutes=minutes,
        motor=_read(place, "motor", lambda: words.motor(cells["motor"])),
        oedema=_read(place, "edema", lambda: words.oedema(cells["edema"])),
        other_cause=("consciousness",) if notes.keys.get("attributable_other") == "sedation" else None,
        died=notes.said.get("died_of_icans") is True,
    )


def _text(notes: Notes, name: str) -> str | None:
    value = notes.said.get(name)
    return value if isinstance(value, str) else None


def _number(cells: Mapping[str, str], column: str, place: str) -> float | None:
    return _read(place, column, lambda: float(cells[column]) if cells[column] else None)


def _whole(cells: Mapping[str, str], column: str, place: str) -> int | None:
    return _read(place, column, lambda: int(cells[column]) if cells[column] else None)


def _yes_no(text: str) -> bool | None:
    if text not in ("", *words.YES_NO):
        raise ValueError("use yes, no or unknown")
    return words.YES_NO[text] if text else None
