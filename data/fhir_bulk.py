"""A FHIR Bulk export (a folder of NDJSON, plain or gzip) or single R4 JSON files, as a source of courses."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

from data.source_frames import ENTRIES, NEVER, PEOPLE, PERIODS, Source, frame, order_entries
from features.concepts import Concepts
from features.errors import DataError
from features.fhir import Reader, Reading
from features.fhir_types import Fact, PersonFact

LINES = (".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz")
WHOLE = (".json", ".json.gz")


def read_fhir(path: Path, concepts: Concepts) -> Source:
    """The source in that folder or file. DataError if there is no such file, or one is truncated or unreadable.

    A line that is no JSON object is counted and left out; a compressed file that breaks off is refused as a whole.
    """
    reader = Reader(concepts)
    for file in _files(path):
        for document in _documents(file):
            if isinstance(document, dict) and "resourceType" in document:
                reader.add(document)
            else:
                reader.refuse("line", "not-a-resource")
    return as_source(reader.finish())


def _files(path: Path) -> list[Path]:
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    files = [file for file in found if file.is_file() and file.name.lower().endswith((*LINES, *WHOLE))]
    if not files:
        problem = "no such folder" if not path.exists() else "no NDJSON or JSON file in it"
        raise DataError(f"{path}", problem, "name the folder of a FHIR Bulk export")
    return files


def _documents(file: Path) -> Iterator[object]:
    """Each JSON document of the file; None for one that cannot be parsed."""
    try:
        if file.name.lower().endswith(WHOLE):
            with _opened(file) as text:
                yield _parsed(text.read())
            return
        with _opened(file) as text:
            yield from (_parsed(line) for line in text if line.strip())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file}", _problem(error), "export the file again") from None


def _opened(file: Path) -> "gzip.GzipFile":
    return gzip.open(file, "rb") if file.name.lower().endswith(".gz") else file.open("rb")  # type: ignore[return-value]


def _problem(error: Exception) -> str:
    broken = isinstance(error, EOFError | zlib.error | gzip.BadGzipFile)
    return "not a whole gzip file (truncated or of another format)" if broken else "the file cannot be read"


def _parsed(text: bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # a decoding error is a ValueError
        return None


def as_source(reading: Reading) -> Source:
    """The reader's facts as the frames of a source; drugs only ordered stay out of them."""
    given = [fact for fact in reading.facts if fact.kind != "order"]
    last: dict[str, int] = {}
    for fact in reading.facts:
        last[fact.person] = max(last.get(fact.person, NEVER), fact.at.micros)
    return Source(
        people=frame((_person(one) for one in reading.people), PEOPLE).drop_duplicates("person", ignore_index=True),
        periods=frame((), PERIODS),
        entries=order_entries(frame((_entry(fact) for fact in given), ENTRIES)),
        last_seen=last,
        tally=reading.tally,
    )


def _person(one: PersonFact) -> tuple[object, ...]:
    death = (NEVER, False) if one.death is None else (one.death.micros, one.death.by_day)
    return (one.person, one.sex, one.birth, *death)


def _entry(fact: Fact) -> tuple[object, ...]:
    when = (fact.at.micros, fact.at.by_day)
    measured = (fact.value, fact.unit, fact.comparator, fact.limit)
    return (fact.person, *when, fact.kind, fact.key, *measured, fact.text, fact.grading)
