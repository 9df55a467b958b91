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

from data.files import find_table, read_table
from data.report import Finding, RejectionReport, check_share
from data.sieve import words
from data.tables import ALLOWED_REJECTED, TABLES, Cohort, Frames, naming_files, read_frames
from features.errors import DataError
from features.scratch import Scratch

#: Courses of one part, and rows of a table that are dealt at a time.
PART_COURSES, BATCH_ROWS = 5000, 200_000
#: A part's rejected rows are judged with those of all others, at the end.
ANY_SHARE = 1.0


@contextmanager
def frame_parts(folder: Path, courses: int = PART_COURSES) -> Iterator[Iterator[Frames]]:
    """The tables of a cohort as they came, in parts of at most that many courses.

    Scratch files lie where temporary files do. DataError where a table is missing or cannot be read.
    """
    paths = {table: find_table(folder, table) for table in TABLES}
    place = _places(paths["courses"], courses)
    if len(set(place.values())) <= 1 or any(path.suffix != ".parquet" for path in paths.values()):
        yield iter([read_frames(folder)])
        return
    with Scratch("parts") as scratch:
        parts = [Path(scratch, f"{number:05d}") for number in range(max(place.values()) + 1)]
        for part in parts:
            part.mkdir()
        for table, path in paths.items():
            _deal(path, place, [part / f"{table}.parquet" for part in parts])
        yield (read_frames(part, folder) for part in parts)


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


def _places(path: Path, courses: int) -> dict[str, int]:
    """course_id -> number of its part, in the order of course_id."""
    table = read_table(path)
    if "course_id" not in table:
        raise DataError(f"{path}: courses.course_id", "the column is missing", "see docs/cohort-format.md")
    names = sorted(set(words(table["course_id"])))
    return {name: number // courses for number, name in enumerate(names)}


def _deal(path: Path, place: Mapping[str, int], targets: list[Path]) -> None:
    """The rows of one table into the files of the parts; rows of no known course into the first, which counts them."""
    with ExitStack() as stack:
        table = stack.enter_context(_opened(path))
        if "course_id" not in table.schema_arrow.names:
            raise DataError(f"{path}: {path.stem}.course_id", "the column is missing", "see docs/cohort-format.md")
        out = [stack.enter_context(arrow_parquet.ParquetWriter(target, table.schema_arrow)) for target in targets]
        for batch in table.iter_batches(BATCH_ROWS):
            number = words(_ids(batch.column("course_id"))).map(place).fillna(0).to_numpy(dtype="int64")
            for part in sorted(set(number.tolist())):
                out[part].write_batch(batch.filter(pa.array(number == part)))


def _ids(column: pa.Array) -> pd.Series:
    """The cells as reading the whole table gives them; whole numbers stay so beside an empty cell."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return pd.Series((column.cast(pa.string()) if pa.types.is_integer(column.type) else column).to_pandas())
