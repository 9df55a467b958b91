"""What the ledger holds of a model's way into service: registered, evaluated, approved, activated, rolled back."""

import hashlib
import json
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from audit import manifest
from audit.bom import bom
from audit.events import Kind, Record
from audit.ledger import Ledger
from audit.standing import activation_of
from audit.versions import opened_as
from features.bundle import Bundle
from features.errors import GateError, UsageError
from features.home import Live
from training.change_plan import Change, Item
from training.gate import Verdict, Word

#: Longest name, role or meaning of an approval.
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Question:
    """What a verdict answers: may this bundle take the place of that champion, by that plan? champion: "" for none."""

    digest: str
    champion: str
    plan: str
    change: Change

    def answered_by(self, record: Record) -> bool:
        body = record.body
        same = (body["digest"], body["champion"], body["plan_digest"]) == (self.digest, self.champion, self.plan)
        return same and body["kind_of_change"] == self.change


def register(ledger: Ledger, version: str, bundle: Bundle, first: bool) -> None:
    """Record that MLflow holds a version, with its signed manifest; once, however often it is called.

    first: whether nothing is live. That may change later; the first record stands.
    """
    parent = bundle.about.get("lineage", {}).get("parent")
    manifest.register(ledger, version, bundle, str(_registered_as(bundle, parent, first)))


def documents(ledger: Ledger, version: str, bundle: Bundle) -> dict[str, str]:
    """File name -> text of what goes with a registered version: its manifest, both signatures, its ML-BOM."""
    record = manifest.registered(ledger, version)
    assert record is not None  # it was just registered
    bill = json.dumps(bom(opened_as(record, bundle)), indent=1) + "\n"
    return {**manifest.documents(ledger, manifest.Model(version, bundle.digest)), "ml-bom.json": bill}


def _registered_as(bundle: Bundle, parent: str | None, first: bool) -> Change:
    if parent:
        return Change.RECALIBRATION
    if not any(bundle.fitted(key) for key in bundle.calibration):
        return Change.PUBLISHED
    return Change.FIRST if first else Change.RETRAIN


def evaluated(ledger: Ledger, version: str, verdict: Verdict) -> int:
    """Record a verdict and return its place; the very same verdict as the latest on this bundle is that one again.

    Whatever its notes are, and whether or not a look was counted then: neither changes what was judged.
    """
    body = {"version": version, **verdict.to_json()}
    latest = latest_verdict(ledger, verdict.challenger)
    if latest is not None and _judged(latest.body) == _judged(body):
        return latest.sequence
    return ledger.append(Kind.MODEL_EVALUATED, body).sequence


def _judged(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked and found."""
    return {key: value for key, value in verdict.items() if key not in ("notes", "test_looks")}


def verdicts(ledger: Ledger, digest: str) -> Iterator[Record]:
    """All verdicts on a bundle, the oldest first."""
    return (one for one in ledger.records(Kind.MODEL_EVALUATED) if one.body["digest"] == digest)


def looks(ledger: Ledger, question: Question, fingerprint: str) -> int:
    """How many other bundles were judged on the test courses of this fingerprint before, whatever the verdict was.

    The same question put again to the same courses is the same look: what came before the first time is counted, so
    that it has the same verdict and no approval of that lapses.
    """
    same = [one for one in ledger.records(Kind.MODEL_EVALUATED) if _courses(one) == fingerprint]
    before = takewhile(lambda one: not question.answered_by(one), same)
    return len({str(one.body["digest"]) for one in before} - {question.digest})


def _courses(verdict: Record) -> str:
    """The fingerprint of the test courses that a verdict is of."""
    return str(verdict.body["test_fingerprint"])


def latest_verdict(ledger: Ledger, digest: str) -> Record | None:
    found = list(verdicts(ledger, digest))
    return found[-1] if found else None


def standing_verdict(ledger: Ledger, question: Question) -> Record | None:
    """The latest verdict on the bundle if it answers the question; a refusal of the same question stands whatever came
    later, so that no other test courses undo it."""
    found = list(verdicts(ledger, question.digest))
    answers = [one for one in found if question.answered_by(one)]
    refusals = [one for one in answers if one.body["verdict"] == Word.REFUSE]
    if refusals:
        return refusals[-1]
    return found[-1] if found and question.answered_by(found[-1]) else None


@dataclass(frozen=True, slots=True)
class Approval:
    """by, role, meaning: as given. sequence: its place in the ledger."""

    by: str
    role: str
    meaning: str
    sequence: int


def activated_on(ledger: Ledger, digest: str) -> Record | None:
    """The verdict on which a bundle went live, the last time that it was promoted; None where it never was."""
    record = activation_of(ledger, digest)
    return ledger.at(int(record.body["verdict_sequence"])) if record else None


def approvals(ledger: Ledger, verdict: Record) -> list[Approval]:
    """The approvals bound to a verdict, each person once; those of an earlier verdict have lapsed."""
    found: dict[str, Approval] = {}
    for one in ledger.records(Kind.MODEL_APPROVED):
        body = one.body
        if body["digest"] == verdict.body["digest"] and body["verdict_sequence"] == verdict.sequence:
            approval = Approval(body["by"], body["role"], body["meaning"], one.sequence)
            found.setdefault(person(body["by"]), approval)
    return list(found.values())


def approve(ledger: Ledger, verdict: Record, item: Item, by: str, role: str, meaning: str) -> Approval:
    """Record that somebody approves after a verdict that passes.

    GateError where it does not pass. UsageError for an empty name, role or meaning, a person who has approved it
    already, or a name that no person may use here.
    """
    if verdict.body["verdict"] != Word.PASS:
        problem = f"the verdict is: {verdict.body['verdict']}"
        raise GateError("--version", problem, "only a verdict that passes can be approved; crs gate shows the reasons")
    given = {"by": one_line("--by", by), "role": one_line("--role", role), "meaning": one_line("--meaning", meaning)}
    who = person(given["by"])
    _check_person(who, item)
    if who in {person(one.by) for one in approvals(ledger, verdict)}:
        raise UsageError("--by", "this person has approved this verdict already", "another person has to approve, too")
    digest = str(verdict.body["digest"])
    body = {"version": verdict.body["version"], "digest": digest, **given, "verdict_sequence": verdict.sequence}
    name = hashlib.sha256(f"{digest} {verdict.sequence} {who}".encode()).hexdigest()
    receipt = ledger.append(Kind.MODEL_APPROVED, body, f"approval-{name}")
    return Approval(**given, sequence=receipt.sequence)


def person(name: str) -> str:
    """A name by which one person is one: without capitals, blanks and punctuation."""
    return "".join(letter for letter in unicodedata.normalize("NFKC", name).casefold() if letter.isalnum())


def _check_person(who: str, item: Item) -> None:
    if not who:
        raise UsageError("--by", "a name without a letter", "name the person who approves")
    if who.startswith("demonstration") and who not in map(person, item.approvers):
        raise UsageError("--by", "a name of the demonstration", "only crs demo uses it, for synthetic models")


def one_line(option: str, text: str) -> str:
    """A text on one line. UsageError where it is empty or too long."""
    found = " ".join(text.split())
    if not found or len(found) > LONGEST:
        raise UsageError(option, f"expected 1 to {LONGEST} characters", "say who approves, as what, and what it means")
    return found


def activation(live: Live, previous: str, reason: str, verdict: Record, given: list[Approval]) -> dict[str, Any]:
    """The body of an activation."""
    return {
        "version": live.version,
        "digest": live.digest,
        "tag": live.tag,
        "previous": previous,
        "reason": reason,
        "verdict_sequence": verdict.sequence,
        "approvals": [{"by": one.by, "role": one.role, "sequence": one.sequence} for one in given],
    }
