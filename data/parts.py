"""A cohort read a part at a time, so that memory is bounded by the part and not by the cohort.

The Parquet tables, in any order of rows, are dealt once into a scratch folder, all rows of a course into one part; each
part is then read and checked like a cohort of its own. Courses keep the order of course_id across the parts. CSV tables
are read whole, as one part.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as arrow_parquet

from data.files import check_plain, find_table, read_table
from data.locked import locked, training_part
from data.report import Finding, RejectionReport, check_share
from data.sieve import words
from data.tables import ALLOWED_REJECTED, ANY_SHARE, TABLES, Cohort, Frames, check_columns, naming_files, read_frames
from features.errors import DataError
from features.scratch import Scratch

#: Courses of one part, and rows of a table that are dealt at a time.
PART_COURSES, BATCH_ROWS = 5000, 200_000
#: Rows of observations above which a cohort is taken for larger than memory.
LARGE_ROWS = 50_000_000
#: Where rows of no part go.
NOWHERE = -1


@contextmanager
def frame_parts(folder: Path, courses: int = PART_COURSES) -> Iterator[Iterator[Frames]]:
    """The tables of a cohort as they came, in parts of at most that many courses.

    Scratch files lie where temporary files do. DataError where a table is missing or cannot be read.
    """
    place = _places(folder, courses)
    if not place:
        yield iter([read_frames(folder)])
        return
    with Scratch("parts") as scratch:
        # Rows of no known course go into the first part, which counts them.
        parts = _dealt(folder, place, scratch, 0)
        yield (read_frames(part, folder) for part in parts)


def drawn_frames(folder: Path, share: float, courses: int = PART_COURSES) -> Frames:
    """The tables, as they came, of about that many courses that may be learnt from; all such courses of small cohorts.

    Patients are drawn from the whole cohort by their names alone, with all their courses, whatever the order of rows.
    share: of the patients who are locked, as data.locked. Errors as frame_parts.
    """
    place = _places(folder, courses)
    if not place:
        return training_part(read_frames(folder), share)
    table = _columns(folder, "course_id", "patient_id")
    names = words(table["patient_id"])
    drawn = locked(names, share + courses / len(table)) & ~locked(names, share)
    with Scratch("drawn") as scratch:
        (part,) = _dealt(folder, dict.fromkeys(words(table["course_id"])[drawn], 0), scratch, NOWHERE)
        return read_frames(part, folder)


@contextmanager
def cohort_parts(folder: Path, courses: int = PART_COURSES) -> Iterator[Iterator[Cohort]]:
    """The parts of a cohort, each checked; DataError as data.tables.read_cohort, of too many rejected rows at last."""
    with frame_parts(folder, courses) as parts:
        yield checked(parts)


def checked(parts: Iterable[Frames]) -> Iterator[Cohort]:
    """The cohort of each part; DataError once all were read where too many rows of a table were rejected."""
    reports, folder = [], None
    for part in parts:
        found = part.cohort(ANY_SHARE)
        reports.append(found.report)
        folder = part.folder
        yield found
    check_parts(reports, folder)


def check_parts(reports: Sequence[RejectionReport], folder: Path | None) -> None:
    """DataError where too many rows of a table were rejected over all parts. folder: whose file it names."""
    with naming_files(folder):
        check_share(summed(reports), ALLOWED_REJECTED)


def is_large(folder: Path) -> bool:
    """Whether a cohort is taken for larger than memory: CSV tables never are. DataError where a table is missing."""
    find_table(folder, "courses")
    return observation_rows(folder) > LARGE_ROWS


def observation_rows(folder: Path) -> int:
    """How many rows a cohort's table of observations has, from a Parquet file's own facts; 0 for CSV."""
    path = find_table(folder, "observations")
    if path.suffix != ".parquet":
        return 0
    with _opened(path) as table:
        return int(table.metadata.num_rows)


@contextmanager
def _opened(path: Path) -> Iterator[arrow_parquet.ParquetFile]:
    """A Parquet file; DataError where it is none, or breaks off."""
    try:
        with arrow_parquet.ParquetFile(path) as table:
            check_plain(path, table.schema_arrow)
            yield table
    except (pa.ArrowException, OSError):
        problem = "not a whole Parquet file (truncated or of another format)"
        raise DataError(f"{path}", problem, "export the table again") from None


def summed(reports: Sequence[RejectionReport]) -> RejectionReport:
    """What was found in all parts together, rows of one rule in one column added up; no row is named in the whole."""
    rows: Counter[str] = Counter()
    found: dict[Finding, int] = {}
    for report in reports:
        rows.update(report.rows_read)
        for one in report.findings:
            kind = replace(one, rows=0, first=0, which="")
            found[kind] = found.get(kind, 0) + one.rows
    return RejectionReport(tuple(replace(kind, rows=count) for kind, count in found.items()), dict(rows))


def _places(folder: Path, courses: int) -> dict[str, int]:
    """course_id -> number of its part, in the order of course_id; empty where tables are read whole, as one part."""
    names = sorted(set(words(_columns(folder, "course_id")["course_id"])))
    if len(names) <= courses or any(find_table(folder, table).suffix != ".parquet" for table in TABLES):
        return {}
    return {name: number // courses for number, name in enumerate(names)}


def _columns(folder: Path, *names: str) -> pd.DataFrame:
    """Those columns of the table of courses; DataError where one is missing."""
    table = read_table(find_table(folder, "courses"))
    with naming_files(folder):
        check_columns("courses", table, *names)
    return table[list(names)]


def _dealt(folder: Path, place: Mapping[str, int], scratch: Path, rest: int) -> list[Path]:
    """A folder of tables for each part; rows of courses that have no place go into part `rest`, or NOWHERE."""
    parts = [scratch / f"{number:05d}" for number in range(max(place.values(), default=0) + 1)]
    for part in parts:
        part.mkdir()
    for table in TABLES:
        with naming_files(folder):
            _deal(find_table(folder, table), place, [part / f"{table}.parquet" for part in parts], rest)
    return parts


def _deal(path: Path, place: Mapping[str, int], targets: list[Path], rest: int) -> None:
    """The rows of one table into the files of the parts."""
    with ExitStack() as stack:
        table = stack.enter_context(_opened(path))
        check_columns(path.stem, table.schema_arrow.names, "course_id")
        out = [stack.enter_context(arrow_parquet.ParquetWriter(target, table.schema_arrow)) for target in targets]
        for batch in table.iter_batches(BATCH_ROWS):
            number = words(_ids(batch.column("course_id"))).map(place).fillna(rest).to_numpy(dtype="int64")
            for part in sorted(set(number.tolist()) - {NOWHERE}):
                out[part].write_batch(batch.filter(pa.array(number == part)))


def _ids(column: pa.Array) -> pd.Series:
    """The cells as reading the whole table gives them; whole numbers stay so beside an empty cell."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return pd.Series((column.cast(pa.string()) if pa.types.is_integer(column.type) else column).to_pandas())
