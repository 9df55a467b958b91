"""A cohort as single dated statements about people, for the writers of OMOP and FHIR, with a code for each."""

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import numpy as np

from data.tables import Cohort, check_new
from features.catalogue import Catalogue
from features.concepts import HEADER, Concepts, Meaning, concepts
from features.course import Event
from features.errors import DataError, UsageError
from features.given import is_engaging

#: The centre's list of codes that lies beside an export: what no reviewed code says is written by a code of its own.
CODES_FILE = "concepts.csv"
MICROS = 1_000_000
DRUGS = (Event.TOCILIZUMAB, Event.CORTICOSTEROID, Event.SILTUXIMAB, Event.ANAKINRA)
SEX = {1.0: "M", 0.0: "F"}


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing about person number `person`; the fields mean what they mean in features.fhir_types.Fact."""

    person: int
    at: int
    kind: str
    key: str
    value: float = np.nan
    unit: str = ""
    limit: float = np.nan
    text: str = ""
    grading: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """The one person of course number `number`. sex: M, F or "". birth: ISO date or "". start, end: microseconds."""

    number: int
    sex: str
    birth: str
    start: int
    end: int


@dataclass(slots=True)
class Coder:
    """Gives each statement a reviewed code of the systems asked for, or one of the export's own list."""

    concepts: Concepts
    local: str
    own: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def reviewed(self, one: Statement, systems: tuple[str, ...], kinds: tuple[str, ...]) -> tuple[str, str] | None:
        """(system, code) of the first system that has a verified code which reads back as this statement."""
        for system in systems:
            for code in self._listed(one, system):
                found = self.concepts.of(system, code, kinds)
                if isinstance(found, Meaning) and (found.kind, found.key) == (one.kind, one.key):
                    return system, code
        return None

    def _listed(self, one: Statement, system: str) -> list[str]:
        tables = self.concepts.catalogue
        if one.kind == "event":
            same = [row for row in tables.event_codes if (row.event, row.value) == (one.key, one.value)]
            return [row.code for row in same if row.system == system and not one.grading]
        maps = {
            "analyte": tables.analyte_codes,
            "therapy": tables.therapy_codes,
            "indication": tables.indication_codes,
            "comorbidity": tables.comorbidity_codes,
        }
        return [code for (where, code), key in maps.get(one.kind, {}).items() if (where, key) == (system, one.key)]

    def of_its_own(self, one: Statement) -> str:
        """A code of the export's own list, which the list then holds."""
        code = ":".join(filter(None, (one.kind, one.key, one.grading)))
        self.own[(one.kind, one.key, one.grading)] = code
        return code

    def write(self, folder: Path) -> None:
        with (folder / CODES_FILE).open("w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(HEADER)
            for (kind, key, grading), code in sorted(self.own.items()):
                lines.writerow((kind, key, self.local, code, "", grading, "code of this export"))


def coder(catalogue: Catalogue, local: str) -> Coder:
    return Coder(concepts(catalogue), local)


def check_exportable(cohort: Cohort, catalogue: Catalogue) -> Counter[str]:
    """What an export leaves out, by reason. DataError if a course has no start time: both forms need dates."""
    unknown = int(np.isnat(cohort.start_time).sum())
    if unknown:
        problem = f"{unknown} of {len(cohort)} courses have no start_time"
        raise DataError("courses.start_time", problem, "OMOP and FHIR need dates: give each course its start")
    outside = sum(not is_engaging(key, catalogue) for key in cohort.courses.therapy)
    timeless = int(cohort.events["seconds"].isna().sum())
    return Counter({"therapy outside the question": outside, "peak grade without a time": timeless}) + Counter()


def people(cohort: Cohort, whole_seconds: bool) -> list[Person]:
    """One person per course, so that what courses of one patient contradict stays as it is; see patient_id."""
    starts = _starts(cohort, whole_seconds)
    numbers = {name: cohort.courses.numbers[:, place] for place, name in enumerate(cohort.courses.columns)}
    return [
        Person(place, SEX.get(sex, ""), _birth(age, start), start, start + follow_up * MICROS)
        for place, (sex, age, start, follow_up) in enumerate(
            zip(
                numbers["sex_male"].tolist(),
                numbers["age_years"].tolist(),
                starts,
                cohort.follow_up_seconds.tolist(),
                strict=True,
            )
        )
    ]


def _starts(cohort: Cohort, whole_seconds: bool) -> list[int]:
    micros = cohort.start_time.astype("datetime64[us]").astype(np.int64)
    return [int(one) for one in (micros // MICROS * MICROS if whole_seconds else micros)]


def _birth(age: float, start: int) -> str:
    """The birthday that makes the person exactly that many whole years old on the day of the start; "" otherwise."""
    if np.isnan(age) or age != int(age):
        return ""
    year, month, day = (int(part) for part in str(np.datetime64(start, "us").astype("datetime64[D]")).split("-"))
    return f"{year - int(age):04d}-{month:02d}-{28 if (month, day) == (2, 29) else day:02d}"


def statements(cohort: Cohort, held: list[Person], catalogue: Catalogue) -> Iterator[Statement]:
    """All that the cohort knows, but for sex and age where the person's own record holds them."""
    for one in held:
        yield from _of_course(cohort, one, catalogue)
    yield from _results(cohort, held, catalogue)
    yield from _events(cohort, held)


def _of_course(cohort: Cohort, one: Person, catalogue: Catalogue) -> Iterator[Statement]:
    place, start = one.number, one.start
    yield Statement(place, start, "therapy", cohort.courses.therapy[place])
    if indication := cohort.courses.indication[place]:
        yield Statement(place, start, "indication", indication)
    words = {"course_id": cohort.course_ids, "patient_id": cohort.patient_ids, "site": cohort.sites}
    yield from (
        Statement(place, start, "course", key, text=str(held[place])) for key, held in words.items() if held[place]
    )
    hours = float(cohort.follow_up_seconds[place]) / 3600
    yield Statement(place, start, "course", "follow_up_hours", hours)
    for name, value in zip(cohort.courses.columns, cohort.courses.numbers[place].tolist(), strict=True):
        if np.isnan(value) or name == "sex_male" or (name == "age_years" and one.birth):
            continue
        ill = name in catalogue.comorbidities and value == 1
        yield Statement(place, start, "comorbidity" if ill else "course", name, value)


def _results(cohort: Cohort, held: list[Person], catalogue: Catalogue) -> Iterator[Statement]:
    seen = cohort.observations
    columns = (seen.course, seen.code, seen.seconds, seen.value, seen.limit)
    for course, code, seconds, value, limit in zip(*(one.tolist() for one in columns), strict=True):
        analyte = catalogue.analytes.get(catalogue.codes[code])
        if analyte is not None:
            at = held[course].start + seconds * MICROS
            yield Statement(course, at, "analyte", analyte.key, value, analyte.unit, limit)


def _events(cohort: Cohort, held: list[Person]) -> Iterator[Statement]:
    timed = cohort.events[cohort.events["seconds"].notna()]
    columns = ("course", "seconds", "event", "value", "detail", "grading")
    for course, seconds, event, value, detail, grading in zip(*(timed[name].tolist() for name in columns), strict=True):
        at = held[course].start + int(seconds) * MICROS
        yield Statement(course, at, "event", event, value, text=detail, grading=grading)


def is_plain_drug(one: Statement) -> bool:
    """Whether a drug's administration says all of the event."""
    return one.kind == "event" and one.key in DRUGS and one.value == 1 and not (one.text or one.grading)


def write_whole(out: Path, write: Callable[[Path], None]) -> None:
    """Write a new folder: all of it or nothing. UsageError if it exists and is not empty, or cannot be made."""
    check_new(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise UsageError(f"{out}", "the folder cannot be made", "choose a place that can be written") from error
    try:
        write(temporary)
        temporary.chmod(0o755)
        if out.exists():
            out.rmdir()
        temporary.rename(out)
    finally:
        rmtree(temporary, ignore_errors=True)
