"""The ledger in the form that somebody else reads: its own lines, a Parquet table, or FHIR."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from audit import damage, proof
from audit.events import Kind, Record, plain
from audit.fhir_export import resources
from audit.ledger import Ledger
from audit.prediction import readable
from audit.reading import decoded
from features.errors import UsageError
from features.outcomes import OUTCOME_KEYS

#: Records that are held at once.
_PART = 5000
_TEXTS = ("version", "bundle", "status", "therapy", "indication", "patient", "course")
#: Writes the ledger to a file, and says in a line what was written.
Writer = Callable[[Ledger, Path], str]


def writer_of(form: str) -> Writer:
    """What writes a form; UsageError where there is none of that name."""
    found = {"ndjson": _ndjson, "parquet": _parquet, "fhir": _fhir}.get(form)
    if found is None:
        raise UsageError("--format", "not a form of export", "use ndjson, parquet or fhir")
    return found


def _ndjson(ledger: Ledger, out: Path) -> str:
    count = proof.export(ledger, out)
    return f"{count} records in {out}: check it with python audit/verifier.py ledger {out.name}"


def _parquet(ledger: Ledger, out: Path) -> str:
    """One row per record, its exact bytes in `record`; of an answer its probabilities beside it."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema(
        [
            ("sequence", pa.int64()),
            ("time", pa.timestamp("us", tz="UTC")),
            *((name, pa.string()) for name in ("kind", "event_id", "hash", *_TEXTS)),
            *((f"probability_{key}", pa.float64()) for key in OUTCOME_KEYS),
            ("record", pa.string()),
        ]
    )
    count = 0
    with _whole(out) as file, parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for rows in _parts(ledger):
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            count += len(rows)
    return f"{count} records in {out}, one a row"


def _parts(ledger: Ledger) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    for held in ledger.stored():
        rows.append(_row(held.sequence, held.record))
        if len(rows) == _PART:
            yield rows
            rows = []
    if rows:
        yield rows


def _row(sequence: int, stored: bytes) -> dict[str, Any]:
    record = decoded(stored, sequence)
    head = {"sequence": sequence, "time": record.time, "kind": str(record.kind), "hash": record.hash}
    with damage.reading(sequence):
        body = readable(record.body) if record.kind is Kind.PREDICTION else record.body
        texts = {name: str(body[name]) for name in _TEXTS if body.get(name) not in (None, "")}
        chances = body.get("probabilities", {}) if record.kind is Kind.PREDICTION else {}
        found = {f"probability_{key}": float(value) for key, value in chances.items()}
        return {**head, "event_id": record.event_id, **texts, **found, "record": stored.decode("ascii")}


def _fhir(ledger: Ledger, out: Path) -> str:
    """AuditEvents in the file, one a line, and Provenances in one beside it, as FHIR's bulk files are."""
    beside = out.with_name(f"{out.stem}.provenance{out.suffix}")
    counts = {"AuditEvent": 0, "Provenance": 0}
    origin = ledger.signer.key.name
    with _whole(out) as events, _whole(beside) as origins:
        for record in ledger.records():
            for one in _resources(record, origin):
                (events if one["resourceType"] == "AuditEvent" else origins).write(_line(one))
                counts[one["resourceType"]] += 1
    return f"{counts['AuditEvent']} AuditEvents in {out}, {counts['Provenance']} Provenances in {beside}"


def _resources(record: Record, origin: str) -> list[dict[str, Any]]:
    with damage.reading(record.sequence):
        return list(resources(record, origin))


def _line(resource: dict[str, Any]) -> bytes:
    return plain(resource) + b"\n"


@contextmanager
def _whole(out: Path) -> Iterator[IO[bytes]]:
    """A file that appears whole or not at all."""
    draft = out.with_name(f".{out.name}.draft")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
