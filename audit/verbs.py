"""What `crs audit` prints. Whoever reads the ledger leaves a record of it, before anything is shown.

The verdict of `verify` alone comes first: a ledger that cannot be written any more can still be judged.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audit import damage, history, proof, table, version_table
from audit.access import accessed
from audit.events import Kind, Record, stamp
from audit.export import writer_of
from audit.handed import Compared, Handed, refuse_other
from audit.keys import held_tenant_key, signing_key
from audit.ledger import Ledger, open_ledger
from audit.note import PublicKey
from audit.prediction import readable
from audit.replay import Reads, Replayed, Replayer
from audit.unsealing import PROBLEMS, Unsealed, Unsealing
from audit.vault_check import with_vault
from audit.verify import Verdict
from audit.verify import verify as verified
from features.errors import CrsRiskError, LedgerError, UsageError
from features.home import Home, writable

#: Digits of the highest sequence that a database takes.
_LONGEST_NUMBER = 18
#: What is told of every record before its body.
_HEADS = ("record", "time", "kind", "event", "hash")
#: Nothing is to be compared.
_NOTHING = Handed()


def verify(home: Home, key: str, as_json: bool) -> None:
    """Check all of it; LedgerError after the findings where something is wrong."""
    expected = _key_of(key) if key else None
    began = time.perf_counter()
    with open_ledger(home, writes=False) as ledger:
        verdict = with_vault(ledger, verified(ledger, expected))
        evidence = not ledger.settings.uri and not writable(home.ledger)
    _print_verdict(verdict, time.perf_counter() - began, as_json)
    if not verdict.whole:  # nothing can be added to it
        first = verdict.findings[0]
        raise LedgerError(f"record {first.sequence}", f"{first.code}: {first.problem}", "see docs/audit.md")
    if evidence:
        print("not recorded that it was verified: the ledger lies where nothing can be written", file=sys.stderr)
    else:
        _record_look(home)


def _record_look(home: Home) -> None:
    """LedgerError where a ledger that was found whole cannot be written: what is printed stands all the same."""
    try:
        with open_ledger(home) as ledger:
            accessed(ledger, "verify")
    except (CrsRiskError, OSError) as error:
        reason = error if isinstance(error, CrsRiskError) else type(error).__name__
        problem = f"that it was verified could not be recorded ({reason})"
        raise LedgerError("ledger", problem, "check its disk and rights") from error


def _print_verdict(verdict: Verdict, seconds: float, as_json: bool) -> None:
    if as_json:
        table.print_json(verdict.to_json())
        return
    table.print_pairs(
        {
            "records": f"{verdict.size:,} in {seconds:.1f} s",
            "last": stamp(verdict.last) if verdict.last else "none",
            "signed": f"a good checkpoint vouches for the first {verdict.signed:,}",
            "root": verdict.root,
            "key": verdict.key,
        }
    )
    rows = [("FINDING", str(one.sequence), one.code, one.problem) for one in verdict.findings]
    rows += [("remark", str(one.sequence), one.code, one.problem) for one in verdict.remarks]
    table.print_rows(("", "record", "code", "what"), rows)
    print("the ledger is whole" if verdict.whole else "the ledger is NOT whole")


def show(home: Home, name: str, as_json: bool, handed: Handed = _NOTHING) -> None:
    """One record and, of an answer, what came of it; LedgerError after it where what is handed is not as recorded."""
    key = held_tenant_key(home) if handed else b""
    with open_ledger(home) as ledger:
        record = named(ledger, name)
        compared = handed.compared(record, key)
        accessed(ledger, "show-compare" if handed else "show", record)
        outcomes = list(_outcomes(ledger, record))
        with damage.reading(record.sequence):
            state = str(Unsealing(ledger).of(record).state)
    told = [_told(one) for one in (record, *outcomes)]
    if as_json:
        more = {"compared": {one.what: one.to_json() for one in compared}} if handed else {}
        table.print_json({**told[0], "kept_request": state, "outcomes": told[1:], **more})
    else:
        _print_shown(told, state, compared)
    refuse_other(record, compared)


def _print_shown(told: list[dict[str, Any]], state: str, compared: list[Compared]) -> None:
    for one in told:
        kept = {"kept request": state} if one is told[0] else {}
        body = {key: table.text(value) for key, value in one["body"].items()}
        table.print_pairs({**{key: str(one[key]) for key in _HEADS}, **body, **kept})
    if compared:
        table.print_pairs({f"the {one.what}": one.told for one in compared})


def show_request(home: Home, name: str) -> None:
    """The request of an answer, or the comment of a feedback, as the vault keeps it; what became of it where not."""
    with open_ledger(home) as ledger:
        record = named(ledger, name)
        accessed(ledger, "show-request", record)
        with damage.reading(record.sequence):
            found = Unsealing(ledger).of(record)
    _refuse_other(record, found)
    if found.request is None:
        print(f"record {record.sequence}: {found.state}")
        return
    with damage.reading(record.sequence, "its kept request is not JSON"):
        request = found.request.to_json()
    table.print_json(request)


def _refuse_other(record: Record, found: Unsealed) -> None:
    if found.state in PROBLEMS:
        raise LedgerError(f"record {record.sequence}", PROBLEMS[found.state], "see docs/audit.md")


def _outcomes(ledger: Ledger, record: Record) -> Any:
    number = 0
    while record.event_id and (found := ledger.find(f"{record.event_id}:{number}", Kind.OUTCOME)):
        yield found
        number += 1


def which_model(home: Home, at: str, as_json: bool) -> None:
    """What was live at a moment."""
    moment = _moment(at)
    with open_ledger(home) as ledger:
        accessed(ledger, "which-model")
        reign, served = history.live_at(ledger, moment), history.served_at(ledger, moment)
    if as_json:
        table.print_json({"at": stamp(moment), "live": reign and reign.to_json(), "served": served})
        return
    held = reign.to_json() if reign else {"live": "no model had been promoted"}
    told = {"at": stamp(moment), **{key: value for key, value in held.items() if value != ""}}
    table.print_pairs({**told, "until": told.get("until") or "now", "loaded by a service": served or "none ran"})


def versions(home: Home, as_json: bool) -> None:
    """Every version: who, when, on what evidence, live from when to when."""
    with open_ledger(home) as ledger:
        accessed(ledger, "versions")
        found = history.versions(ledger)
    if as_json:
        table.print_json([one.to_json() for one in found])
        return
    version_table.print_all(found)


def replay(home: Home, name: str, as_json: bool, reader: Callable[[], Reads] | None = None) -> None:
    """Compute an answer again, or all of them; LedgerError where a bit differs, or a record is damaged.

    Of all of them each one is tried; the error is that of the first that is not the same. BundleError where that is for
    want of its bundle. reader: makes what reads a kept request again; without it nothing is read again.
    """
    with open_ledger(home) as ledger:
        replayer = Replayer(home, Unsealing(ledger).of, reader)
        if name == "all":
            accessed(ledger, "replay")
            records = ledger.records(Kind.PREDICTION)
            began, tried = time.perf_counter(), list(map(replayer.attempt, records))
        else:
            record = named(ledger, name)
            accessed(ledger, "replay", record)
            began, tried = time.perf_counter(), [(replayer.replay(record), None)]
    found = [one for one, _ in tried]
    _print_replayed(found, time.perf_counter() - began, as_json)
    for one, error in tried:
        if not one.same:
            problem = f"not the same bits: {', '.join(one.differences)}"
            raise error or LedgerError(f"record {one.sequence}", problem, "see docs/audit.md")


def _print_replayed(found: list[Replayed], seconds: float, as_json: bool) -> None:
    if as_json:
        table.print_json([one.to_json() for one in found])
        return
    if len(found) == 1:
        table.print_pairs({key: table.text(value) for key, value in found[0].to_json().items()})
    checked = [one for one in found if one.is_checked]
    same = sum(one.same for one in checked)
    print(f"{same} of {len(checked)} answers are the same bits ({sum(one.compared for one in checked)} numbers)")
    if len(checked) < len(found):
        print(f"not evaluated, so that there is nothing to compute again: {len(found) - len(checked)}")
    for one in found:
        if one.problem:
            print(f"not replayed: record {one.sequence}: {one.problem}")
    kept = Counter(one.request for one in found)
    print(f"{sum(one.level == 2 for one in found)} from the request on; requests: {_counted(kept)}")
    print(f"{len(found) / max(seconds, 1e-9):.0f} answers a second, bundles read and verified")


def _counted(states: Counter[str]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"


def prove(home: Home, name: str, out: Path | None) -> None:
    """One self-contained proof file."""
    with open_ledger(home) as ledger:
        record = named(ledger, name)
        history.check_registrations(ledger)
        with damage.reading(record.sequence, "it, or what proves it, is not as it has to be"):
            made = json.dumps(proof.prove(ledger, record.sequence), indent=1)
        accessed(ledger, "prove", record)
    if out is None:
        print(made)
        return
    out.write_text(made + "\n", encoding="utf-8")
    print(f"{out}: check it with python audit/verifier.py proof {out.name}")


def export(home: Home, out: Path, form: str = "ndjson") -> None:
    """The whole ledger, in one of the forms of audit.export."""
    write = writer_of(form)
    with open_ledger(home) as ledger:
        accessed(ledger, "export")
        ledger.checkpoint()
        print(write(ledger, out))


def key(home: Home, rotate: bool) -> None:
    """Print the public key; after a new one took its place, if asked."""
    with open_ledger(home) as ledger:
        if rotate:
            ledger.rotate_key()
    print(signing_key(home).key)


def named(ledger: Ledger, name: str) -> Record:
    """A record by its sequence, or by the id of its event."""
    found = ledger.at(int(name)) if name.isdecimal() and len(name) <= _LONGEST_NUMBER else ledger.find(name)
    if found is None:
        raise UsageError("ID", "the ledger has no such record", "give a prediction_id or a record's sequence")
    return found


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = datetime.min
    if found.tzinfo is None:
        raise UsageError("--at", "not a time with its offset", "write 2026-01-31T08:00:00Z or +01:00")
    return found.astimezone(UTC)


def _key_of(text: str) -> PublicKey:
    try:
        return PublicKey.parse(text)
    except ValueError as error:
        raise UsageError("--key", "not a public key", "give the line that `crs audit key` printed") from error


def _head(record: Record) -> dict[str, str]:
    held = {"record": str(record.sequence), "time": stamp(record.time), "kind": str(record.kind)}
    return {**held, "event": record.event_id, "hash": record.hash}


def _told(record: Record) -> dict[str, Any]:
    """LedgerError where its body cannot be read."""
    with damage.reading(record.sequence):
        return {**_head(record), "record": record.sequence, "body": readable(record.body)}
