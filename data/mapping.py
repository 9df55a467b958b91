"""A site's own extract into the canonical tables, by its mapping file. Nothing about a site stands in this code."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.extract import Extract, read_extract
from data.mapping_events import extract_events
from data.mapping_spec import AnalyteColumn, Block, CodeList, Mapping, Repair, TimeRule, read_mapping
from data.report import NOTED, REJECTED, Finding, RejectionReport
from data.sieve import numbers, words
from features.course import Event
from features.errors import DataError

__all__ = ["CanonicalTables", "convert_extract", "read_mapping"]

REPAIRED, DROPPED = "repaired", "dropped"
EVENTS = tuple(event.value for event in Event)
#: One observation on its way; `column` and `block` say where it stood in the extract.
CELL = ("course", "hours", "code", "value", "unit", "comparator", "column", "block")


@dataclass(frozen=True, slots=True)
class CanonicalTables:
    """Three canonical tables, not yet validated (see data.tables.cohort_from_frames), and what was done on the way."""

    courses: pd.DataFrame
    observations: pd.DataFrame
    events: pd.DataFrame
    report: RejectionReport


def convert_extract(path: Path, mapping: Mapping) -> CanonicalTables:
    """Read the extract and apply the mapping. DataError if they do not fit together."""
    extract = read_extract(path, mapping)
    findings: list[Finding] = []
    courses = _courses(extract, mapping, findings)
    hours = _hours(extract, mapping)
    read_cells = _long_cells if mapping.long else _wide_cells
    cells = read_cells(extract, hours, mapping, findings)
    events, noted = extract_events(extract, hours, mapping)
    events = pd.concat([events, _long_events(cells)], ignore_index=True) if mapping.long else events
    observations = cells[~cells["code"].isin(EVENTS)]
    report = RejectionReport((*findings, *noted), {"extract": len(extract.rows)})
    return CanonicalTables(
        courses=courses.drop(columns="course"),
        observations=_of_courses(observations.drop(columns=["column", "block"]), courses),
        events=_of_courses(events, courses),
        report=report,
    )


def _hours(extract: Extract, mapping: Mapping) -> pd.Series:
    name = mapping.time.day or mapping.time.hours
    values, wrong = numbers(extract.rows[name])
    if wrong.any():
        raise DataError(f"extract.{name}", f"{int(wrong.sum())} cells are not numbers", "clean the extract")
    return pd.Series(values * (mapping.time.hours_per_day if mapping.time.day else 1.0))


def _of_courses(table: pd.DataFrame, courses: pd.DataFrame) -> pd.DataFrame:
    names = courses.set_index("course")["course_id"]
    kept = table[table["course"].isin(names.index)].reset_index(drop=True)
    kept.insert(0, "course_id", kept["course"].map(names).astype("str"))
    return kept.drop(columns="course")


def _courses(extract: Extract, mapping: Mapping, findings: list[Finding]) -> pd.DataFrame:
    numbered = pd.Series(extract.course)
    patient = words(extract.rows[mapping.course.patient]).groupby(numbered).first()
    table = pd.DataFrame({"course": patient.index, "patient_id": patient.to_numpy()})
    turn = table.groupby("patient_id").cumcount() + 1
    table.insert(0, "course_id", table["patient_id"] + "-" + turn.astype("str"))
    sites = {block.name: block.site for block in mapping.block}
    table["site"] = pd.Series(extract.block).groupby(numbered).first().map(sites).to_numpy()
    for target, value in mapping.constants.items():
        table[target] = value
    kept = np.ones(len(table), dtype=bool)
    for target, source in mapping.course_columns.items():
        first = words(extract.rows[source.column]).replace("", None).groupby(numbered).first().fillna("")
        values, listed = _coded(first.reset_index(drop=True), mapping.codes.get(source.codes), source.column)
        table[target] = values
        kept &= _keep(findings, "code-not-listed", source.column, kept & ~listed)
    kept &= _with_outcome(extract, mapping, findings, kept)
    if mapping.follow_up:
        table["follow_up_hours"] = _last_charted(extract, mapping)
    return table[kept].reset_index(drop=True)


def _coded(values: pd.Series, codes: CodeList | None, column: str) -> tuple[pd.Series, NDArray[np.bool_]]:
    """Canonical values, and where the value stands in the list; an empty cell stays empty and counts as listed."""
    if codes is None:
        return values, np.ones(len(values), dtype=bool)
    listed = {_fold(name, codes): target for name, target in codes.values.items()}
    folded = values.map(lambda text: _fold(text.split()[0] if codes.match == "first-word" and text else text, codes))
    known = (folded.isin(listed) | folded.eq("")).to_numpy()
    if codes.unknown == "error" and not known.all():
        problem = f"{int((~known).sum())} values not in the code list"
        raise DataError(f"extract.{column}", problem, "add them to the list")
    return folded.map(listed).fillna("").astype("str"), known


def _fold(text: str, codes: CodeList) -> str:
    return " ".join(text.lower().split()) if codes.fold_case else text


def _keep(findings: list[Finding], rule: str, column: str, out: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if out.any():
        remedy = "declare it in the mapping file, or leave it out"
        findings.append(Finding(REJECTED, rule, "courses", column, int(out.sum()), remedy))
    return ~out


def _with_outcome(
    extract: Extract, mapping: Mapping, findings: list[Finding], kept: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    found = np.ones(len(kept), dtype=bool)
    for column in mapping.course.require:
        filled = extract.rows[column].notna().groupby(extract.course).any().to_numpy()
        found &= _keep(findings, "course-without-outcome", column, kept & found & ~filled)
    return found


def _last_charted(extract: Extract, mapping: Mapping) -> NDArray[np.float64]:
    assert mapping.follow_up is not None
    filled = extract.rows[list(mapping.follow_up.last_charted)].notna().any(axis=1)
    return _hours(extract, mapping).where(filled).groupby(extract.course).max().to_numpy(dtype=np.float64)


def _wide_cells(extract: Extract, hours: pd.Series, mapping: Mapping, findings: list[Finding]) -> pd.DataFrame:
    """One row per filled cell of an analyte column, repaired; exact repeats of a row once."""
    dropped = {(block.name, name): reason for block in mapping.block for name, reason in block.drop.items()}
    frames = [
        _column_cells(extract, hours, analyte, block, dropped, findings)
        for block in mapping.block
        for analyte in mapping.analyte
    ]
    none = pd.DataFrame(columns=CELL)
    return _finish(pd.concat(frames, ignore_index=True) if frames else none, mapping, findings)


def _column_cells(
    extract: Extract,
    hours: pd.Series,
    analyte: AnalyteColumn,
    block: Block,
    dropped: dict[tuple[str, str], str],
    findings: list[Finding],
) -> pd.DataFrame:
    column = extract.rows[analyte.column]
    filled = column.notna() & (extract.block == block.name)
    if reason := dropped.get((block.name, analyte.column)):
        lost = int(filled.sum())
        findings.append(Finding(DROPPED, f"dropped in {block.name}", "extract", analyte.column, lost, reason))
        filled &= False
    return pd.DataFrame(
        {
            "course": extract.course[filled],
            "hours": hours[filled].to_numpy(),
            "code": analyte.analyte,
            "value": column[filled].to_numpy(),
            "unit": analyte.units.get(block.name, analyte.unit),
            "comparator": "",
            "column": analyte.column,
            "block": block.name,
        }
    )


def _long_cells(extract: Extract, hours: pd.Series, mapping: Mapping, findings: list[Finding]) -> pd.DataFrame:
    long, rows = mapping.long, extract.rows
    assert long is not None
    codes, listed = _coded(words(rows[long.code]), mapping.codes.get(long.codes), long.code)
    if not listed.all():
        remedy = "add them to the code list, or leave them out"
        findings.append(Finding(REJECTED, "code-not-listed", "extract", long.code, int((~listed).sum()), remedy))
    table = pd.DataFrame({"course": extract.course, "hours": hours, "code": codes, "value": rows[long.value]})
    for target, source in (("unit", long.unit), ("comparator", long.comparator)):
        table[target] = words(rows[source]) if source else ""
    if long.upper_limit:
        table["upper_limit"] = rows[long.upper_limit]
    table = table.assign(column=long.value, block=extract.block)
    return _finish(table[listed & rows[long.value].notna().to_numpy()], mapping, findings)


def _long_events(cells: pd.DataFrame) -> pd.DataFrame:
    rows = cells[cells["code"].isin(EVENTS)]
    return rows[["course", "hours", "value"]].assign(event=rows["code"], grading="")


def _finish(cells: pd.DataFrame, mapping: Mapping, findings: list[Finding]) -> pd.DataFrame:
    """What lies too early out, comparators out of the values, the repairs in their order, then exact repeats once."""
    cells = _late_enough(cells, mapping.time, findings)
    if mapping.comparator_in_value:
        cells = _comparators_out(cells, findings)
    for repair in mapping.repair:
        cells = _repaired(cells, repair, findings)
    once = cells.drop_duplicates()
    if repeats := len(cells) - len(once):
        remedy = "the same value at the same time counts once"
        findings.append(Finding(NOTED, "repeated-row", "extract", "", repeats, remedy))
    return once.reset_index(drop=True)


def _late_enough(cells: pd.DataFrame, time: TimeRule, findings: list[Finding]) -> pd.DataFrame:
    if time.not_before is None:
        return cells
    early = (cells["hours"] < time.not_before.hours) & ~cells["code"].isin(EVENTS)
    rule = f"before hour {time.not_before.hours:g}"
    findings.append(Finding(DROPPED, rule, "extract", time.day or time.hours, int(early.sum()), time.not_before.reason))
    return cells[~early]


def _comparators_out(cells: pd.DataFrame, findings: list[Finding]) -> pd.DataFrame:
    text = words(cells["value"])
    parts = text.str.extract(r"^([<>])\s*(.+)$")
    met = parts[0].notna()
    findings.append(Finding(REPAIRED, "comparator-in-value", "extract", "", int(met.sum()), "as the mapping declares"))
    comparator = cells["comparator"].reset_index(drop=True).mask(met, parts[0])
    return cells.reset_index(drop=True).assign(value=text.mask(met, parts[1]), comparator=comparator)


def _repaired(cells: pd.DataFrame, repair: Repair, findings: list[Finding]) -> pd.DataFrame:
    met = _met(cells, repair)
    rule = f"{repair.action} in {', '.join(repair.blocks) or 'all blocks'}"
    findings.append(Finding(REPAIRED, rule, "extract", repair.column, int(met.sum()), repair.reason))
    if repair.action == "drop":
        return cells[~met]
    cells = cells.copy()
    if not pd.api.types.is_numeric_dtype(cells["value"]):
        cells["value"] = cells["value"].astype(object)
    if repair.action == "multiply":
        cells.loc[met, "value"] = numbers(cells.loc[met, "value"])[0] * repair.factor
    elif repair.action == "unit":
        cells.loc[met, "unit"] = repair.unit
    else:
        cells.loc[met, "comparator"] = repair.comparator
        cells.loc[met, "value"] = repair.limit
    return cells


def _met(cells: pd.DataFrame, repair: Repair) -> NDArray[np.bool_]:
    """Cells of the column and blocks whose value keeps every stated bound."""
    value = numbers(cells["value"])[0]
    met = cells["column"].eq(repair.column).to_numpy()
    if repair.blocks:
        met = met & cells["block"].isin(repair.blocks).to_numpy()
    if repair.above is not None:
        met = met & (value > repair.above)
    if repair.below is not None:
        met = met & (value < repair.below)
    return met & np.isin(value, repair.equals) if repair.equals else met
