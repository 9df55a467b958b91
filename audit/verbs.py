"""What `crs audit` prints. Whoever reads the ledger leaves a record of it, before anything is shown."""

import getpass
import json
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audit import history, proof, table
from audit.events import Kind, Record, stamp
from audit.export import writer_of
from audit.keys import signing_key
from audit.ledger import Ledger, open_ledger
from audit.note import PublicKey
from audit.prediction import readable
from audit.replay import Reads, Replayed, Replayer
from audit.unsealing import PROBLEMS, Unsealed, Unsealing
from audit.vault_check import with_vault
from audit.verify import Verdict
from audit.verify import verify as verified
from features.errors import LedgerError, UsageError
from features.home import Home

#: Digits of the highest sequence that a database takes.
_LONGEST_NUMBER = 18


def verify(home: Home, key: str, as_json: bool) -> None:
    """Check all of it; LedgerError after the findings where something is wrong."""
    expected = _key_of(key) if key else None
    began = time.perf_counter()
    with open_ledger(home, writes=False) as ledger:
        verdict = with_vault(ledger, verified(ledger, expected))
    if verdict.whole:  # nothing can be added to a ledger that is not
        with open_ledger(home) as ledger:
            accessed(ledger, "verify")
    _print_verdict(verdict, time.perf_counter() - began, as_json)
    if not verdict.whole:
        first = verdict.findings[0]
        raise LedgerError(f"record {first.sequence}", f"{first.code}: {first.problem}", "see docs/audit.md")


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


def show(home: Home, name: str, as_json: bool) -> None:
    """One record and, of an answer, what came of it."""
    with open_ledger(home) as ledger:
        record = named(ledger, name)
        accessed(ledger, "show", record)
        outcomes = list(_outcomes(ledger, record))
        state = str(Unsealing(ledger).of(record).state)
    if as_json:
        table.print_json({**_told(record), "kept_request": state, "outcomes": [_told(one) for one in outcomes]})
        return
    for one in (record, *outcomes):
        kept = {"kept request": state} if one is record else {}
        table.print_pairs(
            {**_head(one), **{key: table.text(value) for key, value in readable(one.body).items()}, **kept}
        )


def show_request(home: Home, name: str) -> None:
    """The request of an answer, or the comment of a feedback, as the vault keeps it; what became of it where not."""
    with open_ledger(home) as ledger:
        record = named(ledger, name)
        accessed(ledger, "show-request", record)
        found = Unsealing(ledger).of(record)
    _refuse_other(record, found)
    if found.request is None:
        print(f"record {record.sequence}: {found.state}")
    else:
        table.print_json(found.request.to_json())


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
    told = {"at": stamp(moment), **(reign.to_json() if reign else {"live": "no model had been promoted"})}
    table.print_pairs({**told, "until": told.get("until") or "now", "loaded by a service": served or "none ran"})


def versions(home: Home, as_json: bool) -> None:
    """Every version: who, when, on what evidence, live from when to when."""
    with open_ledger(home) as ledger:
        accessed(ledger, "versions")
        found = history.versions(ledger)
    if as_json:
        table.print_json([one.to_json() for one in found])
        return
    heads = ("version", "bundle", "registered", "change", "verdict", "approved by", "live")
    table.print_rows(heads, [_version_row(one) for one in found])


def _version_row(one: history.Version) -> tuple[str, ...]:
    approvals = "; ".join(f"{held['by']} ({held['role']})" for held in one.approvals)
    live = "; ".join(f"{held['since'][:19]} to {(held['until'] or 'now')[:19]}" for held in one.live)
    verdict = str(one.verdicts[-1]["verdict"]) if one.verdicts else ""
    return one.version, one.digest[:12], one.registered[:19], one.kind_of_change, verdict, approvals, live


def replay(home: Home, name: str, as_json: bool, reader: Callable[[], Reads] | None = None) -> None:
    """Compute an answer again, or all of them; LedgerError where a bit differs.

    reader: makes what reads a kept request again; without it nothing is read again.
    """
    with open_ledger(home) as ledger:
        replayer = Replayer(home, Unsealing(ledger).of, reader)
        if name == "all":
            accessed(ledger, "replay")
            records = ledger.records(Kind.PREDICTION)
            began, found = time.perf_counter(), list(map(replayer.replay, records))
        else:
            record = named(ledger, name)
            accessed(ledger, "replay", record)
            began, found = time.perf_counter(), [replayer.replay(record)]
    _print_replayed(found, time.perf_counter() - began, as_json)
    other = [one for one in found if not one.same]
    if other:
        place = f"record {other[0].sequence}"
        raise LedgerError(place, f"not the same bits: {', '.join(other[0].differences)}", "see docs/audit.md")


def _print_replayed(found: list[Replayed], seconds: float, as_json: bool) -> None:
    if as_json:
        table.print_json([one.to_json() for one in found])
        return
    if len(found) == 1:
        table.print_pairs({key: table.text(value) for key, value in found[0].to_json().items()})
    same = sum(one.same for one in found)
    print(f"{same} of {len(found)} answers are the same bits ({sum(one.compared for one in found)} numbers)")
    kept = Counter(one.request for one in found)
    print(f"{sum(one.level == 2 for one in found)} from the request on; requests: {_counted(kept)}")
    print(f"{len(found) / max(seconds, 1e-9):.0f} answers a second, bundles read and verified")


def _counted(states: Counter[str]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"


def prove(home: Home, name: str, out: Path | None) -> None:
    """One self-contained proof file."""
    with open_ledger(home) as ledger:
        record = named(ledger, name)
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


def accessed(ledger: Ledger, verb: str, record: Record | None = None) -> None:
    """Who read what. The name of this machine's user is the only one that the ledger holds of a reader."""
    of = {} if record is None else {"record": record.sequence}
    ledger.append(Kind.ACCESS, {"verb": verb, "by": getpass.getuser(), **of})


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
    return {**_head(record), "record": record.sequence, "body": readable(record.body)}
