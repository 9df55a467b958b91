"""An OMOP CDM 5.4 (or 5.3) as a source of courses; every row of its clinical tables is counted by what became of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.omop_codes import OmopCodes, meanings, read_codes
from data.omop_files import OmopTables, open_omop
from data.sieve import numbers
from data.source_frames import ENTRIES, NEVER, PEOPLE, PERIODS, Source, frame, order_entries
from features.concepts import Concepts, Meaning
from features.fhir_observation import listed_detail
from features.fhir_types import MAPPED, Tally
from features.given import DAY_MICROS
from features.results import accepted_unit, refusal

SEX = {"M": "M", "MALE": "M", "F": "F", "FEMALE": "F"}


@dataclass(frozen=True, slots=True)
class _Clinical:
    """One clinical table: the beginning of its columns' names, its time columns, and what its codes may mean."""

    table: str
    word: str
    time: str
    kinds: tuple[str, ...]
    valued: bool = False

    @property
    def codes(self) -> tuple[str, str, str]:
        return f"{self.word}_concept_id", f"{self.word}_source_concept_id", f"{self.word}_source_value"

    @property
    def times(self) -> tuple[str, str]:
        return f"{self.time}_datetime", f"{self.time}_date"

    @property
    def columns(self) -> tuple[str, ...]:
        return (f"{self.table}_id", "person_id", *self.codes, *self.times, *(VALUES if self.valued else ()))


CLINICAL = (
    _Clinical("measurement", "measurement", "measurement", ("analyte", "event", "course"), True),
    _Clinical("observation", "observation", "observation", ("course", "event", "analyte", "comorbidity"), True),
    _Clinical("condition_occurrence", "condition", "condition_start", ("event", "indication", "comorbidity")),
    _Clinical("drug_exposure", "drug", "drug_exposure_start", ("therapy", "event")),
    _Clinical("procedure_occurrence", "procedure", "procedure", ("therapy", "event")),
)
VALUES = (
    "value_as_number",
    "value_as_string",
    "value_source_value",
    "unit_concept_id",
    "unit_source_value",
    "range_high",
)
#: An entry with the table and the id of its row.
HELD = {**ENTRIES, "table": "str", "id": "str"}
#: A result beyond the assay's range, as laboratories write it.
BEYOND = r"^(?P<comparator>[<>])=?\s*(?P<number>\d+(?:\.\d+)?)$"


def read_omop(place: str, concepts: Concepts, exact_times: bool = False) -> Source:
    """The source at that folder, zip or URL. DataError if it has no PERSON, or a table cannot be read.

    exact_times: midnight is a time. Without it, a source none of whose times is other than midnight is taken to be
    dated to the day, as the CDM writes a time that nobody stated.
    """
    tables = open_omop(place)
    codes = read_codes(tables, concepts)
    tally: Tally = Tally()
    last: dict[str, int] = {}
    parts: list[pd.DataFrame] = []
    timed = exact_times
    for clinical in CLINICAL:
        for batch in tables.read(clinical.table, clinical.columns):
            at, by_day = _when(batch, clinical.times)
            timed = timed or bool(np.any((at != NEVER) & ~by_day & (at % DAY_MICROS != 0)))
            _note_last(last, batch["person_id"], at)
            parts.append(_entries(batch, clinical, codes, at, by_day, tally))
    _note_visits(tables, last, tally)
    entries = _once(pd.concat(parts, ignore_index=True) if parts else frame((), HELD), tally)
    if not timed:
        entries = entries.assign(by_day=True)
    return Source(_people(tables, codes, tally), _periods(tables, tally), order_entries(entries), last, tally)


def _once(held: pd.DataFrame, tally: Tally) -> pd.DataFrame:
    """Of the rows that share their table's id one, the same whatever order they stood in; the others are counted."""
    ordered = held.sort_values(list(HELD), kind="stable")
    again = ordered.duplicated(["table", "id"]) & ordered["id"].ne("")
    for table, key, unit in ordered.loc[again, ["table", "key", "unit"]].itertuples(index=False, name=None):
        tally[(table, MAPPED, key, unit)] -= 1
        tally[(table, "repeated", "", "")] += 1
    return frame(ordered[~again], ENTRIES)


def _count(tally: Tally, table: str, outcome: str, rows: int, key: str = "", unit: str = "") -> None:
    if rows:
        tally[(table, outcome, key, unit)] += rows


def _when(batch: pd.DataFrame, columns: tuple[str, str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(rows,) microseconds since 1970, NEVER where not readable; and whether only the date was stated."""
    stated, dates = batch[columns[0]], batch[columns[1]]
    by_day = stated.eq("").to_numpy() | stated.str.fullmatch(r"\d{4}-\d\d-\d\d").to_numpy(dtype=bool)
    return _micros(stated.where(stated.ne(""), dates)), by_day


def _micros(text: pd.Series) -> NDArray[np.int64]:
    times = pd.to_datetime(text.where(text.ne(""), None), utc=True, format="ISO8601", errors="coerce")
    micros = times.dt.as_unit("us").astype("int64").to_numpy(dtype=np.int64)
    return np.where(times.isna().to_numpy(), NEVER, micros)


def _note_last(last: dict[str, int], person: pd.Series, at: NDArray[np.int64]) -> None:
    latest = pd.Series(at).groupby(person.to_numpy()).max()
    for name, when in zip(latest.index.tolist(), latest.tolist(), strict=True):
        last[name] = max(last.get(name, NEVER), when)


def _note_visits(tables: OmopTables, last: dict[str, int], tally: Tally) -> None:
    """The end of a visit is a time at which the person was still looked after."""
    columns = ("person_id", "visit_end_datetime", "visit_end_date")
    for batch in tables.read("visit_occurrence", columns):
        at, _ = _when(batch, (columns[1], columns[2]))
        _note_last(last, batch["person_id"], at)
        _count(tally, "visit_occurrence", MAPPED, int((at != NEVER).sum()))
        _count(tally, "visit_occurrence", "time-missing", int((at == NEVER).sum()))


def _entries(
    batch: pd.DataFrame,
    clinical: _Clinical,
    codes: OmopCodes,
    at: NDArray[np.int64],
    by_day: NDArray[np.bool_],
    tally: Tally,
) -> pd.DataFrame:
    """The rows that mean something here; each of the others is counted by its reason."""
    places, found = meanings(batch, clinical.codes, codes, clinical.kinds)
    reason = np.array([one if isinstance(one, str) else "" for one in found], dtype=object)[places.to_numpy()]
    reason = np.where((reason == "") & batch["person_id"].eq("").to_numpy(), "patient-missing", reason)
    reason = np.where((reason == "") & (at == NEVER), "time-missing", reason)
    for name, rows in pd.Series(reason).value_counts().items():
        _count(tally, clinical.table, str(name), int(rows) if name else 0)
    kept = reason == ""
    known = [one if isinstance(one, Meaning) else Meaning("", "") for one in found]
    rows = pd.DataFrame(
        {
            "person": batch["person_id"],
            "at": at,
            "by_day": by_day,
            **{name: _of(known, name, places) for name in ("kind", "key", "grading")},
            "value": np.array([one.value for one in known], dtype=np.float64)[places.to_numpy()],
            **dict.fromkeys(("unit", "comparator", "text"), ""),
            "upper_limit": np.nan,
        }
    )[kept]
    held = batch[kept].reset_index(drop=True)
    return _judged(rows.reset_index(drop=True), held, clinical, codes, tally)


def _of(known: list[Meaning], name: str, places: pd.Series) -> NDArray[np.object_]:
    found: NDArray[np.object_] = np.array([getattr(one, name) for one in known], dtype=object)[places.to_numpy()]
    return found


def _judged(
    rows: pd.DataFrame, held: pd.DataFrame, clinical: _Clinical, codes: OmopCodes, tally: Tally
) -> pd.DataFrame:
    """The rows with their values, as far as they can be used."""
    if clinical.valued:
        rows = _with_values(rows, held)
    units = _units(held, codes) if clinical.valued else [("",)] * len(rows)
    refused = np.full(len(rows), "", dtype=object)
    shown = np.full(len(rows), "", dtype=object)
    for place, (kind, key, value, text) in enumerate(
        zip(*(rows[name].tolist() for name in ("kind", "key", "value", "text")), strict=True)
    ):
        if kind == "analyte":
            analyte = codes.concepts.catalogue.analytes[key]
            refused[place] = refusal(analyte, value, units[place])
            shown[place] = accepted_unit(analyte, units[place]) or next(iter(units[place]), "")
        elif np.isnan(value) and ((kind == "course" and not text) or key.endswith("_grade")):
            refused[place] = "grade-not-stated" if key.endswith("_grade") else "value-missing"
    for (key, unit, reason), count in _counted(rows["key"], shown, refused):
        _count(tally, clinical.table, reason or MAPPED, count, key, unit)
    rows = rows.assign(unit=shown, table=clinical.table, id=held[f"{clinical.table}_id"])
    return frame(rows[refused == ""], HELD)


def _counted(
    key: pd.Series, unit: NDArray[np.object_], reason: NDArray[np.object_]
) -> Iterator[tuple[tuple[str, str, str], int]]:
    found = pd.DataFrame({"key": key, "unit": unit, "reason": reason}).value_counts()
    for names, count in found.items():
        assert isinstance(names, tuple)
        yield (str(names[0]), str(names[1]), str(names[2])), int(count)


def _with_values(rows: pd.DataFrame, held: pd.DataFrame) -> pd.DataFrame:
    """The row's own number, or the limit it states, and the laboratory's upper limit; a code's own value wins."""
    stated, _ = numbers(held["value_as_number"])
    beyond = held["value_source_value"].str.extract(BEYOND)
    use = np.isnan(stated) & beyond["number"].notna().to_numpy()
    limit, _ = numbers(beyond["number"].fillna(""))
    value = np.where(use, limit, stated)
    analyte, event = rows["kind"].eq("analyte").to_numpy(), rows["kind"].eq("event").to_numpy()
    own = rows["value"].to_numpy()
    words = held["value_as_string"].where(rows["kind"].eq("course"), "")
    detail = [listed_detail(key, text) for key, text in zip(rows["key"], held["value_as_string"], strict=True)]
    high, _ = numbers(held["range_high"])
    return rows.assign(
        value=np.where(np.isnan(own), value, own),
        comparator=np.where(use & analyte, beyond["comparator"].fillna(""), ""),
        upper_limit=np.where(analyte & (high > 0), high, np.nan),
        text=np.where(event, detail, words),
    )


def _units(held: pd.DataFrame, codes: OmopCodes) -> list[tuple[str, ...]]:
    """Spellings of each row's unit: the concept's UCUM code first, then the source's text."""
    pairs = zip(held["unit_concept_id"].tolist(), held["unit_source_value"].tolist(), strict=True)
    return [tuple(filter(None, (codes.units.get(concept, ""), text))) for concept, text in pairs]


def _people(tables: OmopTables, codes: OmopCodes, tally: Tally) -> pd.DataFrame:
    columns = ("person_id", "gender_concept_id", "gender_source_value", "birth_datetime")
    parts = ("year_of_birth", "month_of_birth", "day_of_birth")
    deaths = _deaths(tables, tally)
    found: dict[str, tuple[object, ...]] = {}
    for batch in tables.read("person", (*columns, *parts)):
        for person, concept, sex, born, *birth in batch.itertuples(index=False, name=None):
            outcome = "id-missing" if not person else "repeated" if person in found else MAPPED
            _count(tally, "person", outcome, 1)
            stated = SEX.get(sex.upper(), "") or SEX.get(codes.sexes.get(concept, "").upper(), "")
            if outcome == MAPPED:
                found[person] = (person, stated, _birth(born, birth), *deaths.get(person, (NEVER, False)))
    return frame(sorted(found.values(), key=repr), PEOPLE)


def _birth(born: str, parts: list[str]) -> str:
    """ISO date, or as much of it as is known."""
    if born:
        return born.split(" ")[0].split("T")[0]
    known = parts[: next((place for place, part in enumerate(parts) if not part), len(parts))]
    return "-".join(part.zfill(2) for part in known)


def _deaths(tables: OmopTables, tally: Tally) -> Mapping[str, tuple[int, bool]]:
    """Person -> earliest time of death and whether only its date is known."""
    found: dict[str, tuple[int, bool]] = {}
    for batch in tables.read("death", ("person_id", "death_datetime", "death_date")):
        at, by_day = _when(batch, ("death_datetime", "death_date"))
        by_day |= at % DAY_MICROS == 0
        for person, when, day in zip(batch["person_id"].tolist(), at.tolist(), by_day.tolist(), strict=True):
            _count(tally, "death", MAPPED if when != NEVER else "time-missing", 1)
            if when != NEVER:
                found[person] = min(found.get(person, (when, day)), (when, day))
    return found


def _periods(tables: OmopTables, tally: Tally) -> pd.DataFrame:
    columns = ("person_id", "observation_period_start_date", "observation_period_end_date")
    parts = []
    for batch in tables.read("observation_period", columns):
        first, last = _micros(batch[columns[1]]), _micros(batch[columns[2]])
        kept = (first != NEVER) & (last != NEVER)
        _count(tally, "observation_period", MAPPED, int(kept.sum()))
        _count(tally, "observation_period", "time-missing", int((~kept).sum()))
        parts.append(pd.DataFrame({"person": batch["person_id"], "first": first, "last": last})[kept])
    found = frame(pd.concat(parts, ignore_index=True) if parts else frame((), PERIODS), PERIODS)
    return found.sort_values(list(PERIODS)).reset_index(drop=True)
