"""A verdict as MLflow shows it: tags of the version, and beside its run the verdict and the plan that it was made by.

A mirror of the ledger: written again each time that a verdict is used, since a stop may have come between the two, and
for what is live wherever a tag is missing or tells of another verdict.
"""

import json
from collections.abc import Sequence

from audit.events import Record
from audit.ledger import Ledger
from audit.standing import live_of
from features.home import Home
from training import change_plan, model_events, versions
from training.model_events import Approval
from training.run_facts import LONGEST
from training.tracking import Registered

#: Characters of its digest by which a plan is named, so that a later verdict leaves the plans of earlier ones there.
PLAN_LENGTH = 16


def mark_verdict(home: Home, registered: Registered, verdict: Record, plan: str | None, uri: str | None) -> None:
    """Show a verdict. plan: the text that it was made by, None where that is not known any more."""
    _add_documents(home, registered, verdict, plan, uri)
    versions.mark(home, registered.version, _tags(verdict), uri)


def _add_documents(home: Home, registered: Registered, verdict: Record, plan: str | None, uri: str | None) -> None:
    """Before the tags, so that a version with its tags has them."""
    if plan is not None:
        versions.add_document(home, registered, plan_file(str(verdict.body["plan_digest"])), plan, uri)
    document = json.dumps({"sequence": verdict.sequence, **verdict.body}, indent=1) + "\n"
    versions.add_document(home, registered, "gate.json", document, uri)


def plan_file(digest: str) -> str:
    """The name under which a plan is kept beside the verdicts by it."""
    return f"change-plan-{digest[:PLAN_LENGTH]}.toml"


def mark_approvals(home: Home, registered: Registered, given: Sequence[Approval], uri: str | None) -> None:
    """Show who approved."""
    versions.mark(home, registered.version, _approval_tags(given), uri)


def heal(home: Home, ledger: Ledger, record: Record, uri: str | None) -> bool:
    """Where tags of the version that a record makes live say otherwise, show on what verdict it went live, since when.

    The plan's text comes with it as long as the shipped one is the same. Returns whether anything was changed.
    """
    live = live_of(record)
    verdict = model_events.activated_on(ledger, live.digest)
    if verdict is None:
        return False
    approvals = _approval_tags(model_events.approvals(ledger, verdict))
    wanted = {**_tags(verdict), **approvals, versions.LIVE_FROM: versions.since(record.time)}
    held = versions.tags(home, live.version, uri)
    if all(held.get(key) == value[:LONGEST] for key, value in wanted.items()):
        return False
    plan = change_plan.shipped_text(str(verdict.body["plan_digest"]))
    _add_documents(home, versions.named(home, live.version, uri), verdict, plan, uri)
    versions.mark(home, live.version, wanted, uri)
    return True


def _tags(verdict: Record) -> dict[str, str]:
    body = verdict.body
    return {
        "gate.verdict": str(body["verdict"]),
        "gate.plan": str(body["plan_digest"]),
        "gate.kind": str(body["kind_of_change"]),
        "gate.looks": str(body.get("test_looks", "not known")),
        "gate.champion": str(body["champion"]) or "none",
    }


def _approval_tags(given: Sequence[Approval]) -> dict[str, str]:
    return {"gate.approvals": "; ".join(f"{one.by} ({one.role})" for one in given)}
