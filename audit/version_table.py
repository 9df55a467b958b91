"""The history of versions in a terminal: a line for each, and beneath it who judged and approved what, when and why."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from audit import damage, table
from audit.history import Version

_HEADS = ("version", "bundle", "registered", "change", "verdict", "approved by", "live")
_STEP_HEADS = ("version", "time", "record", "what", "who", "why")
#: What, who, why.
Cells = tuple[str, str, str]


def print_all(found: Sequence[Version]) -> None:
    """The versions in the order in which the ledger names them, then every step of each with its record."""
    table.print_rows(_HEADS, [_row(one) for one in found])
    table.print_rows(_STEP_HEADS, [row for one in found for row in _steps(one)])


def _row(one: Version) -> tuple[str, ...]:
    approvals = "; ".join(f"{held['by']} ({held['role']})" for held in one.approvals)
    live = "; ".join(f"{held['since'][:19]} to {(held['until'] or 'now')[:19]}" for held in one.live)
    verdict = str(one.verdicts[-1]["verdict"]) if one.verdicts else ""
    return one.version, one.digest[:12], one.registered[:19], one.kind_of_change, verdict, approvals, live


def _steps(one: Version) -> Iterator[tuple[str, ...]]:
    """Verdicts, approvals and times of service in the order of the ledger; LedgerError where one cannot be told."""
    steps = []
    for told, those in ((_verdict, one.verdicts), (_approval, one.approvals), (_reign, one.live)):
        for held in those:
            with damage.reading(held["sequence"]):
                steps.append((held["sequence"], held.get("time") or held["since"], *told(held)))
    for sequence, time, *cells in sorted(steps):
        yield one.version, time[:19], str(sequence), *cells


def _verdict(held: Mapping[str, Any]) -> Cells:
    """The figures themselves are many: `crs audit show` has them, by the record's number."""
    against = f"against {held['champion'][:12]}" if held["champion"] else "nothing was live"
    courses = f"{held['test_courses']} locked courses" if held["test_courses"] else "no locked courses"
    looks = [f"other bundles judged on them before: {held['test_looks']}"] if held["test_looks"] else []
    needed = [one for one in held["figures"] or () if one["required"]]
    met = [f"{sum(one['met'] is True for one in needed)} of {len(needed)} required checks met"] if needed else []
    reasons = [str(one["text"]) for one in held["reasons"] or ()]
    return f"verdict: {held['verdict']}", "the gate", "; ".join((against, courses, *looks, *met, *reasons))


def _approval(held: Mapping[str, Any]) -> Cells:
    bound = "" if held["verdict_sequence"] is None else f" (of the verdict in record {held['verdict_sequence']})"
    return "approved", f"{held['by']} ({held['role']})", f"{held['meaning']}{bound}"


def _reign(held: Mapping[str, Any]) -> Cells:
    return f"live until {(held['until'] or 'now')[:19]}", held["by"], held["reason"]
