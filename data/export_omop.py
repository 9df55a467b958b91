"""A cohort as tables of the OMOP CDM 5.4 in CSV, with the list of the codes that are not standard."""

import csv
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from data.export import Coder, Person, Statement, coder, is_plain_drug, people, statements
from data.omop_codes import LOCAL
from data.tables import Cohort
from features.catalogue import Catalogue

#: Table -> its columns, as far as they are filled.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "person": (
        "person_id",
        "gender_concept_id",
        "year_of_birth",
        "month_of_birth",
        "day_of_birth",
        "birth_datetime",
        "gender_source_value",
    ),
    "observation_period": (
        "observation_period_id",
        "person_id",
        "observation_period_start_date",
        "observation_period_end_date",
    ),
    **{
        table: (f"{table}_id", "person_id", *(f"{word}_{part}" for part in parts), *extra)
        for table, word, parts, extra in (
            (
                "measurement",
                "measurement",
                ("concept_id", "date", "datetime", "source_value"),
                ("value_as_number", "unit_concept_id", "unit_source_value", "range_high"),
            ),
            (
                "observation",
                "observation",
                ("concept_id", "date", "datetime", "source_value"),
                ("value_as_number", "value_as_string"),
            ),
            (
                "condition_occurrence",
                "condition",
                ("concept_id", "start_date", "start_datetime", "source_value"),
                (),
            ),
            (
                "drug_exposure",
                "drug",
                ("concept_id", "exposure_start_date", "exposure_start_datetime", "source_value"),
                (),
            ),
        )
    },
}
#: Kind -> (table, code systems in the order of preference, kinds that the table's codes may mean).
PLACES = {
    "analyte": ("measurement", ("OMOP", "LOINC"), ("analyte",)),
    "therapy": ("drug_exposure", ("OMOP", "HCPCS"), ("therapy", "event")),
    "drug": ("drug_exposure", ("OMOP", "HCPCS"), ("therapy", "event")),
    "indication": ("condition_occurrence", ("OMOP", "ICD-10-CM"), ("event", "indication", "comorbidity")),
    "comorbidity": ("condition_occurrence", ("OMOP", "ICD-10-CM"), ("event", "indication", "comorbidity")),
    "event": ("observation", (), ()),
    "course": ("observation", (), ()),
}


def write_omop(folder: Path, cohort: Cohort, catalogue: Catalogue) -> None:
    """The tables in that folder, one person per course, times to the second."""
    held, codes = people(cohort, whole_seconds=True), coder(catalogue, LOCAL)
    with ExitStack() as stack:
        tables = {name: _table(stack, folder, name) for name in COLUMNS}
        for one in held:
            tables["person"].writerow(_person(one))
            tables["observation_period"].writerow((one.number + 1, one.number + 1, _day(one.start), _day(one.end)))
        for number, (table, row) in enumerate(_rows(cohort, held, codes, catalogue), 1):
            tables[table].writerow((number, *row))
    codes.write(folder)


def _table(stack: ExitStack, folder: Path, name: str) -> Any:
    file = stack.enter_context((folder / f"{name.upper()}.csv").open("w", encoding="utf-8", newline=""))
    lines = csv.writer(file, lineterminator="\n")
    lines.writerow(COLUMNS[name])
    return lines


def _person(one: Person) -> tuple[object, ...]:
    parts = [int(part) for part in one.birth.split("-")] if one.birth else ["", "", ""]
    return (one.number + 1, 0, *parts, f"{one.birth} 00:00:00" if one.birth else "", one.sex)


def _rows(
    cohort: Cohort, held: list[Person], codes: Coder, catalogue: Catalogue
) -> Iterator[tuple[str, tuple[object, ...]]]:
    for one in statements(cohort, held, catalogue):
        table, systems, kinds = PLACES["drug" if is_plain_drug(one) else one.kind]
        found = codes.reviewed(one, systems, kinds)
        concept, source = (found[1], "") if found and found[0] == "OMOP" else ("0", found[1] if found else "")
        if found is None:
            source = codes.of_its_own(one)
        stamp = np.datetime_as_string(np.datetime64(one.at, "us"), unit="s").replace("T", " ")
        yield table, (one.person + 1, concept, stamp[:10], stamp, source, *_values(table, one))


def _values(table: str, one: Statement) -> tuple[object, ...]:
    if table == "measurement":
        return _cell(one.value), 0, one.unit, _cell(one.limit)
    return (_cell(one.value), one.text) if table == "observation" else ()


def _cell(value: float) -> str:
    """The shortest decimal that reads back as the same float."""
    return "" if np.isnan(value) else repr(float(value))


def _day(micros: int) -> str:
    return str(np.datetime64(micros, "us").astype("datetime64[D]"))
