"""The reviewed facts of the product: analytes, comorbidities, indications, therapies and their published rates."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from features import catalogue_joins as joins
from features.assay_evidence import EVIDENCE_TABLE, AssayEvidence, read_evidence
from features.assay_facts import AssayFacts, read_facts
from features.catalogue_tables import read
from features.catalogue_types import (
    Analyte,
    AnalyteUnit,
    Code,
    Comorbidity,
    Conversion,
    DoseDay,
    EventCode,
    Indication,
    Rate,
    Step,
    Therapy,
    TherapyClass,
    fold_unit,
)
from features.course import COURSE_NUMBERS, Event

__all__ = [
    "Analyte",
    "Catalogue",
    "Comorbidity",
    "Conversion",
    "EventCode",
    "Indication",
    "Rate",
    "Step",
    "Therapy",
    "TherapyClass",
    "fold_unit",
    "load",
    "read_folder",
]

TABLES = Path(__file__).parent / "tables"
CodeMap = Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """All tables, checked against one another. Dictionaries are in table order; do not change them.

    codes: analyte keys, then event names; a position in it is Observations.code.
    course_columns: the columns of Courses.numbers. digest: sha256 hex over the bytes of all table files.
    refused: codes that look like one of ours but must not be pooled with it -> why.
    assays: what cytokine release assays said of therapies; assay_facts: the tables by which they were judged.
    The remaining maps serve the look-ups below.
    """

    analytes: dict[str, Analyte]
    comorbidities: dict[str, Comorbidity]
    indications: dict[str, Indication]
    classes: dict[str, TherapyClass]
    therapies: dict[str, Therapy]
    rates: tuple[Rate, ...]
    steps: tuple[Step, ...]
    dose_days: tuple[DoseDay, ...]
    event_codes: tuple[EventCode, ...]
    codes: tuple[str, ...]
    course_columns: tuple[str, ...]
    digest: str
    refused: Mapping[tuple[str, str], str]
    analyte_codes: CodeMap
    comorbidity_codes: CodeMap
    indication_codes: CodeMap
    therapy_codes: CodeMap
    therapy_names: Mapping[str, str]
    indication_names: Mapping[str, str]
    positions: Mapping[str, int]
    assay_facts: AssayFacts
    assays: tuple[AssayEvidence, ...]

    def analyte_by_code(self, system: str, code: str) -> Analyte | None:
        """The analyte of that code (system as in the tables, such as LOINC); None if unknown or refused."""
        return self.analytes.get(self.analyte_codes.get((system, code), ""))

    def find_analyte(self, text: str) -> Analyte | None:
        """The analyte of our key or of a bare LOINC code."""
        return self.analytes.get(text) or self.analyte_by_code("LOINC", text)

    def comorbidity_by_code(self, system: str, code: str) -> Comorbidity | None:
        """The comorbidity of that code; an ICD-10-CM code also matches by its longest listed category."""
        return self.comorbidities.get(_by_category(self.comorbidity_codes, system, code))

    def find_therapy(self, text: str) -> Therapy | TherapyClass | None:
        """The therapy or class of that key, name, brand or alias; case, spaces and hyphens do not matter."""
        return self._therapy_or_class(self.therapy_names.get(joins.fold_name(text), ""))

    def therapy_by_code(self, system: str, code: str) -> Therapy | TherapyClass | None:
        """The therapy of that code, or the class where the code does not name a product."""
        return self._therapy_or_class(self.therapy_codes.get((system, code), ""))

    def _therapy_or_class(self, key: str) -> Therapy | TherapyClass | None:
        return self.therapies.get(key) or self.classes.get(key)

    def find_indication(self, text: str) -> Indication | None:
        """The indication of that key, name or alias; case, spaces and hyphens do not matter."""
        return self.indications.get(self.indication_names.get(joins.fold_name(text), ""))

    def indication_by_code(self, system: str, code: str) -> Indication | None:
        """The indication of that code; an ICD-10-CM code also matches by its longest listed category."""
        return self.indications.get(_by_category(self.indication_codes, system, code))

    def lineage(self, key: str) -> tuple[str, ...]:
        """Class keys from the therapy's class (or the class itself) up to its root; () for ""; KeyError if unknown."""
        therapy = self.therapies.get(key)
        parents = {name: row.parent for name, row in self.classes.items()}
        return joins.ancestors(parents, therapy.therapy_class if therapy else key)

    def ancestry(self, key: str) -> tuple[str, ...]:
        """The therapy or class itself, then its classes up to the root; () for ""; KeyError if unknown."""
        return tuple(dict.fromkeys((key, *self.lineage(key)))) if key else ()

    def schedule(self, key: str) -> str:
        """The schedule of a therapy or class, which is its root's; "" for ""; KeyError if unknown."""
        above = self.lineage(key)
        return self.classes[above[-1]].schedule if above else ""

    def indication_lineage(self, key: str) -> tuple[str, ...]:
        """The indication and the wider ones it belongs to; () for ""; KeyError if unknown."""
        return joins.ancestors({name: row.parent for name, row in self.indications.items()}, key)

    def code_position(self, name: str) -> int:
        """Position of an analyte key or event name in `codes`; KeyError if there is none."""
        return self.positions[name]


def _by_category(mapping: CodeMap, system: str, code: str) -> str:
    """Key of the longest listed beginning of an ICD-10-CM code (dots ignored); of the exact code in other systems."""
    if system != "ICD-10-CM":
        return mapping.get((system, code), "")
    wanted = code.replace(".", "").upper()
    listed = {item.replace(".", ""): key for (where, item), key in mapping.items() if where == system}
    # No category is shorter than three characters.
    matches = (listed[wanted[:length]] for length in range(len(wanted), 2, -1) if wanted[:length] in listed)
    return next(matches, "")


@cache
def load() -> Catalogue:
    """The catalogue that ships with the product, read once. CatalogueError if a table breaks its rules."""
    return read_folder(TABLES)


def read_folder(folder: Path) -> Catalogue:
    """The catalogue of a folder of tables. CatalogueError names the file, and the line where there is one."""
    analytes = joins.keyed("analytes.csv", read(folder / "analytes.csv", Analyte))
    comorbidities = joins.keyed("comorbidities.csv", read(folder / "comorbidities.csv", Comorbidity))
    indications = joins.keyed("indications.csv", read(folder / "indications.csv", Indication))
    classes = joins.keyed("therapy_classes.csv", read(folder / "therapy_classes.csv", TherapyClass))
    therapies = joins.keyed("therapies.csv", read(folder / "therapies.csv", Therapy))
    rates = read(folder / "therapy_rates.csv", Rate)
    steps = read(folder / "therapy_steps.csv", Step)
    dose_days = read(folder / "therapy_doses.csv", DoseDay)
    event_codes = read(folder / "event_codes.csv", EventCode)
    assay_facts = read_facts(folder)
    _check_therapies(classes, therapies, indications, rates, steps, dose_days)
    joins.check_unique("event_codes.csv", ((row.system, row.code) for row in event_codes))
    known: dict[str, Mapping[str, object]] = {
        "analyte_codes.csv": analytes,
        "comorbidity_codes.csv": comorbidities,
        "indication_codes.csv": indications,
        "therapy_codes.csv": {**classes, **therapies},
    }
    rows = {table: read(folder / table, Code) for table in known}
    maps = {table: joins.code_map(table, rows[table], known[table]) for table in known}
    codes = (*analytes, *(event.value for event in Event))
    analytes = joins.with_units(analytes, read(folder / "analyte_units.csv", AnalyteUnit))
    return Catalogue(
        analytes=joins.with_codes(analytes, maps["analyte_codes.csv"]),
        comorbidities=joins.with_codes(comorbidities, maps["comorbidity_codes.csv"]),
        indications=joins.with_codes(indications, maps["indication_codes.csv"]),
        classes=joins.with_codes(classes, maps["therapy_codes.csv"]),
        therapies=joins.with_codes(therapies, maps["therapy_codes.csv"]),
        rates=rates,
        steps=steps,
        dose_days=dose_days,
        event_codes=event_codes,
        codes=codes,
        course_columns=(*COURSE_NUMBERS, *comorbidities),
        digest=_digest(folder),
        refused={(row.system, row.code): row.note for table in rows.values() for row in table if not row.key},
        analyte_codes=maps["analyte_codes.csv"],
        comorbidity_codes=maps["comorbidity_codes.csv"],
        indication_codes=maps["indication_codes.csv"],
        therapy_codes=maps["therapy_codes.csv"],
        therapy_names=_therapy_names(classes, therapies),
        indication_names=joins.name_map(
            "indications.csv", ((key, (row.name, *row.aliases)) for key, row in indications.items())
        ),
        positions={name: place for place, name in enumerate(codes)},
        assay_facts=assay_facts,
        assays=read_evidence(folder / EVIDENCE_TABLE, assay_facts, therapies),
    )


def _check_therapies(
    classes: Mapping[str, TherapyClass],
    therapies: Mapping[str, Therapy],
    indications: Mapping[str, Indication],
    rates: tuple[Rate, ...],
    steps: tuple[Step, ...],
    dose_days: tuple[DoseDay, ...],
) -> None:
    joins.check_tree("therapy_classes.csv", {key: row.parent for key, row in classes.items()})
    joins.check_tree("indications.csv", {key: row.parent for key, row in indications.items()})
    joins.check_known("therapies.csv", "therapy_class", (row.therapy_class for row in therapies.values()), classes)
    joins.check_known("therapy_rates.csv", "therapy", (row.therapy for row in rates), {*therapies, *classes})
    joins.check_known("therapy_rates.csv", "indication", (row.indication for row in rates), {*indications, ""})
    joins.check_known("therapy_steps.csv", "therapy", (row.therapy for row in steps), therapies)
    joins.check_unique("therapy_steps.csv", ((row.therapy, row.step) for row in steps))
    joins.check_known("therapy_doses.csv", "therapy", (row.therapy for row in dose_days), therapies)
    joins.check_unique("therapy_doses.csv", ((row.therapy, row.dose) for row in dose_days))
    joins.check_unique(
        "therapy_rates.csv", ((row.therapy, row.indication, row.trial, str(row.n), row.mitigation) for row in rates)
    )


def _therapy_names(classes: Mapping[str, TherapyClass], therapies: Mapping[str, Therapy]) -> dict[str, str]:
    of_classes = ((key, (row.name, *row.aliases)) for key, row in classes.items())
    of_therapies = ((key, (row.name, row.brand, *row.aliases)) for key, row in therapies.items())
    return joins.name_map("therapies.csv", (*of_classes, *of_therapies))


def _digest(folder: Path) -> str:
    """sha256 hex over the name and bytes of every table of the folder, in name order."""
    total = sha256()
    for path in sorted(folder.glob("*.csv")):
        total.update(path.name.encode() + b"\0" + sha256(path.read_bytes()).digest())
    return total.hexdigest()
