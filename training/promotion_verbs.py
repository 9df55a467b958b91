"""What `crs gate`, `approve`, `promote` and `rollback` print; exit codes stand in docs/promotion.md."""

import json
import math
from collections.abc import Iterable
from pathlib import Path

from audit.ledger import open_ledger
from features.errors import GateError
from features.home import Home
from training import change_plan, gate_flow, gate_looks, promote, versions
from training.flows import console, empty_table
from training.gate import Verdict, Word
from training.gate_criteria import Check

#: What comes after a change of what is live.
START = "next: crs serve; a service that runs already has to be restarted"

#: How to read a figure against something else, AUROC included.
LEGEND = "found, where something is named under against: how much worse the version is; below 0 it is better"


def gate(home: Home, which: str, cohort: Path | None, plan: Path | None, as_json: bool, uri: str | None) -> None:
    """Judge a version and print the verdict; GateError after it unless the version passes."""
    number = versions.named(home, which, uri).version
    request = gate_flow.Request(number, cohort, plan, uri=uri)
    verdict = gate_flow.gate(home, request, (lambda _: None) if as_json else console.print)
    if as_json:
        console.print_json(json.dumps(verdict.to_json()))
    else:
        show(verdict)
    if verdict.word is not Word.PASS:
        codes = ", ".join(dict.fromkeys(one.code for one in verdict.reasons))
        raise GateError("--version", f"the verdict is: {verdict.word} ({codes})", "see docs/promotion.md")
    if not as_json:
        needed = change_plan.read(plan).items[verdict.change].numbers.approvals
        console.print(f"next: crs approve --version {number} --by NAME --role ROLE --meaning TEXT, by {needed} people")


def show(verdict: Verdict) -> None:
    """The figures as a table: those of all outcomes, and of the subgroups those that stand against a pass."""
    table = empty_table("criterion", "outcome", "against", "found", "bounds", "limit", "met")
    for one in verdict.checks:
        if one.code is not change_plan.Criterion.SUBGROUP or not one.met:
            table.add_row(*_cells(one, one.code in verdict.required))
    console.print(table)
    console.print(LEGEND)
    groups = [one for one in verdict.checks if one.code is change_plan.Criterion.SUBGROUP]
    console.print(f"subgroups compared: {len(groups)}, worse beyond chance: {sum(not one.met for one in groups)}")
    if verdict.small:
        console.print("subgroups too small to be judged are named by --json, under notes")
    for note in verdict.notes:
        console.print(f"note: {note}")
    if verdict.courses:
        console.print(gate_looks.told(verdict.looks))
    better = "; better than the champion beyond chance" if verdict.superior else ""
    console.print(f"verdict: {verdict.word} ({verdict.change}, {verdict.courses} test courses{better})")
    for one in verdict.reasons:
        console.print(
            f"  {one.code}: {' '.join(filter(None, (one.outcome, one.group)))}: {one.text}".replace(" : ", " ")
        )


def _cells(one: Check, required: bool) -> Iterable[str]:
    place = ", ".join(filter(None, (one.outcome, one.group)))
    bounds = "" if math.isnan(one.low) else f"{one.low:.3f} to {one.high:.3f}"
    found, limit = ("" if math.isnan(number) else f"{number:.4g}" for number in (one.value, one.limit))
    word = "not judged" if one.met is None else "yes" if one.met else "NO"
    return one.code, place, one.against, found, bounds, limit, word if required else f"{word}, not required"


def approve(home: Home, which: str, by: str, role: str, meaning: str, uri: str | None) -> None:
    """Record an approval and say what is next."""
    verdict, given = gate_flow.approve(home, which, by, role, meaning, uri)
    version = verdict.body["version"]
    needed = change_plan.read().items[change_plan.Change(verdict.body["kind_of_change"])].numbers.approvals
    console.print(f"recorded: {given} of {needed} approvals of version {version}, bundle {verdict.body['digest'][:16]}")
    if given < needed:
        console.print(f"next: crs approve --version {version} --by NAME --role ROLE --meaning TEXT, by another person")
    else:
        console.print(f"next: crs promote --version {version}")


def promote_version(home: Home, which: str, cohort: Path | None, uri: str | None, demonstration: bool = False) -> None:
    """Make a version live that passes and is approved."""
    request = gate_flow.Request(which, cohort, demonstration=demonstration, uri=uri)
    live = gate_flow.promoted(home, request, console.print)
    console.print(f"version {live.version} is live: {live.tag}, bundle {live.digest[:16]}")
    if not demonstration:
        console.print(START)


def check_demonstration(home: Home) -> None:
    """GateError where the demonstration may not replace what is live; better said before it trains than after."""
    if home.live.exists():
        with open_ledger(home) as ledger:
            gate_flow.check_demonstration(ledger)


def rollback(home: Home, by: str, reason: str, uri: str | None) -> None:
    """Make live again what was live before."""
    live = promote.rollback(home, by, reason, uri, console.print)
    console.print(f"version {live.version} is live again: {live.tag}, bundle {live.digest[:16]}")
    console.print(START)
