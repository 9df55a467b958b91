"""`crs gate`, `crs approve` and `crs promote`: judge a version, have two people approve it, then make it live."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit import manifest
from audit.events import Record
from audit.ledger import Ledger, open_ledger
from audit.standing import live_of, standing
from data.locked import read_test_part
from data.tables import Cohort
from features import bundle
from features.bundle import Bundle
from features.catalogue import load
from features.errors import GateError, UsageError
from features.home import BUNDLE_FOLDER, Home, Live
from features.predict import Predictor
from training import change_plan, gate_looks, model_events, promote, verdict_mirror, versions
from training.change_plan import ChangePlan
from training.diagnose import Override, across_the_lock
from training.gate import Verdict, Word, fitted, judge, kind_of
from training.model_events import Approval, Question
from training.run_facts import learnt_from
from training.tracking import Registered, fetch
from training.train import DERIVED_TEXT

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. which: a version or alias. cohort: the folder of test courses, else where the version's data lay.

    demonstration: crs demo asks; see the plan's item. uri: of MLflow.
    """

    which: str
    cohort: Path | None = None
    plan: Path | None = None
    demonstration: bool = False
    uri: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A registered version beside what is live."""

    registered: Registered
    model: Predictor
    champion: Predictor | None
    live: Live | None

    def question(self, plan: ChangePlan, demonstration: bool) -> Question:
        change = kind_of(self.model, self.champion, demonstration)
        return Question(self.model.digest, self.champion.digest if self.champion else "", plan.digest, change)

    @property
    def learner(self) -> Predictor:
        """Whose courses test by default, and by whose grading: the version, or the champion of one without data."""
        return self.model if fitted(self.model) or self.champion is None else self.champion

    @property
    def share(self) -> tuple[float, list[str]]:
        """As `test_share`."""
        return test_share(self.model.bundle, self.champion.bundle if self.champion else None)


def gate(home: Home, request: Request, progress: Progress = print) -> Verdict:
    """Judge a version against what is live, and record the verdict; nothing else changes."""
    plan = change_plan.read(request.plan)
    with promote.turn(home), open_ledger(home) as ledger:
        candidate = _candidate(home, ledger, request, progress)
        verdict, record = _judged(home, ledger, candidate, plan, request, progress)
        verdict_mirror.mark_verdict(home, candidate.registered, record, plan.text, request.uri)
    return verdict


def approve(home: Home, which: str, by: str, role: str, meaning: str, uri: str | None = None) -> tuple[Record, int]:
    """Record an approval of the latest verdict on a version; returns the verdict, and how many have approved it.

    GateError where there is no verdict by the shipped plan against what is live now, or it does not pass.
    """
    plan = change_plan.read()
    with promote.turn(home), open_ledger(home) as ledger:
        live = promote.settle(home, ledger, uri)
        registered = versions.named(home, which, uri)
        verdict = _latest(ledger, registered, live, plan)
        item = plan.items[change_plan.Change(verdict.body["kind_of_change"])]
        model_events.approve(ledger, verdict, item, by, role, meaning)
        given = model_events.approvals(ledger, verdict)
        verdict_mirror.mark_verdict(home, registered, verdict, plan.text, uri)
        verdict_mirror.mark_approvals(home, registered, given, uri)
    return verdict, len(given)


def promoted(home: Home, request: Request, progress: Progress = print) -> Live:
    """Make a version live that passes and is approved; judges first where no verdict answers the question yet.

    Nothing changes where the version is live already, but for a damaged copy, which is put right. GateError where the
    verdict is no pass, or people are still to approve.
    """
    plan = change_plan.read()
    with promote.turn(home), open_ledger(home) as ledger:
        candidate = _candidate(home, ledger, request, progress)
        if candidate.live is not None and candidate.live.digest == candidate.registered.digest:
            promote.repair(home, candidate.live, request.uri)
            progress(f"bundle {candidate.live.digest[:16]} is live already, as version {candidate.live.version}")
            return candidate.live
        if request.demonstration:
            check_demonstration(ledger)
        verdict = _verdict(home, ledger, candidate, plan, request, progress)
        progress(f"verdict: {verdict.body['verdict']} ({verdict.body['kind_of_change']})")
        if verdict.body["test_courses"]:
            progress(gate_looks.told(verdict.body.get("test_looks")))
        given = _approved(ledger, verdict, plan, request)
        verdict_mirror.mark_approvals(home, candidate.registered, given, request.uri)
        reason = f"{verdict.body['kind_of_change']}: {verdict.body['verdict']}"
        return promote.activate(home, ledger, candidate.model.bundle, verdict, given, reason, request.uri, progress)


def check_demonstration(ledger: Ledger) -> None:
    """GateError where what is live was not made live by the demonstration itself: it never replaces anything else."""
    record = standing(ledger)
    if record is not None and not promote.made_by_demonstration(ledger, live_of(record)):
        problem = "a model that people approved is live in this home, and the demonstration replaces none"
        raise GateError("crs demo", problem, "use a home of its own: CRS_RISK_HOME=FOLDER crs demo")


def _candidate(home: Home, ledger: Ledger, request: Request, progress: Progress) -> Candidate:
    """The version and what is live, both read and verified; what a stop left open is finished first."""
    live = promote.settle(home, ledger, request.uri, progress)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / BUNDLE_FOLDER
        registered = fetch(home, request.which, folder, request.uri)
        model = Predictor(bundle.read(folder, registered.digest), load())
    manifest.check_number(ledger, manifest.Model(registered.version, registered.digest))
    model_events.register(ledger, registered.version, model.bundle, first=live is None)
    manifest.signed_statement(ledger, manifest.Model(registered.version, registered.digest))
    if live is not None and live.digest == registered.digest:
        return Candidate(registered, model, None, live)
    if live is None:
        return Candidate(registered, model, None, None)
    promote.repair(home, live, request.uri)
    return Candidate(registered, model, promote.live_model(home, live), live)


def _judged(
    home: Home, ledger: Ledger, candidate: Candidate, plan: ChangePlan, request: Request, progress: Progress
) -> tuple[Verdict, Record]:
    """Judge a version and record the verdict in the ledger alone."""
    if candidate.live is not None and candidate.live.digest == candidate.registered.digest:
        raise UsageError("--version", "this bundle is live already", "there is nothing to judge it against")
    share, notes = candidate.share
    test = _test_courses(home, candidate, share, request)
    if test is not None:
        progress(f"judging on {len(test)} locked test courses")
    notes = [*notes, *_about_data(request), *_about_plan(plan)]
    question = candidate.question(plan, request.demonstration)
    looks = model_events.looks(ledger, question, test.fingerprint) if test is not None else 0
    verdict = judge(candidate.model, candidate.champion, test, plan, share, request.demonstration, notes, looks)
    record = ledger.at(model_events.evaluated(ledger, candidate.registered.version, verdict))
    assert record is not None  # it was just recorded
    return verdict, record


def test_share(challenger: Bundle, champion: Bundle | None) -> tuple[float, list[str]]:
    """The share of patients that neither bundle has learnt from, and what a reader should know of it.

    A bundle without data has seen nobody. A champion that locked no patient away may have learnt from the test courses,
    which speaks for it and never for the challenger.
    """
    own, other = share_of(challenger), share_of(champion) if champion else 1.0
    if other == 0:
        return min(own, 0.5), ["the champion may have been trained on these test courses: it locked none away"]
    return min(own, other, 0.5), []


def share_of(held: Bundle) -> float:
    """The share of patients that a bundle's making never saw; 1 where it was made without data."""
    about = held.about
    if not any(held.fitted(key) for key in held.calibration):
        return 1.0
    settings = [about.get("settings", {}), *(one["settings"] for one in about.get("recalibrations", ()))]
    return min(float(one.get("test_share", 0.0)) for one in settings)


def _test_courses(home: Home, candidate: Candidate, share: float, request: Request) -> Cohort | None:
    """The locked courses; None where there is no cohort to take them from, or nobody is locked away."""
    folder = request.cohort or _recorded(home, candidate, request)
    if folder is None or not share:
        return None
    if not folder.is_dir():
        problem = "the folder of test courses is not there"
        raise UsageError("--cohort", problem, "name the cohort's folder; by default it is where the version's data lay")
    learner = candidate.learner.bundle
    answered_for = [Override(**one) for one in learner.about["overrides"]]
    return read_test_part(folder, share, derived(learner), across_the_lock(answered_for))


def _recorded(home: Home, candidate: Candidate, request: Request) -> Path | None:
    """Where the data of the version lay, or else those of what is live."""
    if fitted(candidate.model):
        return versions.data_folder(home, candidate.registered, request.uri)
    if candidate.live is None or candidate.champion is None or not fitted(candidate.champion):
        return None
    return versions.data_folder(home, versions.named(home, candidate.live.version, request.uri), request.uri)


def derived(held: Bundle) -> bool:
    """Whether the grades that a bundle learnt from last were derived from charted signs, as its test courses' have to
    be: those of its last recalibration, or else of its training."""
    grading: Mapping[str, Any] = learnt_from(held.about).get("grading", {})
    return any(str(one).endswith(DERIVED_TEXT) for one in grading.values())


def _about_data(request: Request) -> list[str]:
    return [f"judged on a cohort that was named: {request.cohort.resolve().name}"] if request.cohort else []


def _about_plan(plan: ChangePlan) -> list[str]:
    """What a reader should know of the plan's text: nothing where it is the committed one."""
    if plan.committed is None:
        return ["whether the change plan is the committed one is not known: git does not say so here"]
    return [] if plan.committed else ["the change plan is not the committed one; its text is kept beside the verdict"]


def _verdict(
    home: Home, ledger: Ledger, candidate: Candidate, plan: ChangePlan, request: Request, progress: Progress
) -> Record:
    """The verdict that answers the question, made now where there is none; GateError where it is no pass."""
    question = candidate.question(plan, request.demonstration)
    found = model_events.standing_verdict(ledger, question)
    if found is None or _of_other_courses(home, candidate, found, request):
        _judged(home, ledger, candidate, plan, request, progress)
        found = model_events.standing_verdict(ledger, question)
    assert found is not None  # it was just recorded
    verdict_mirror.mark_verdict(home, candidate.registered, found, plan.text, request.uri)
    word, version = found.body["verdict"], candidate.registered.version
    if word != Word.PASS:
        problem = f"the verdict is: {word} ({_codes(found.body['reasons'])})"
        raise GateError("--version", problem, f"crs gate --version {version} shows the figures")
    return found


def _of_other_courses(home: Home, candidate: Candidate, found: Record, request: Request) -> bool:
    """Whether courses are named now that the verdict is not of."""
    if request.cohort is None:
        return False
    test = _test_courses(home, candidate, candidate.share[0], request)
    return str(found.body["test_fingerprint"]) != (test.fingerprint if test is not None else "")


def _codes(reasons: Sequence[Mapping[str, Any]]) -> str:
    """Codes of the reasons, each once, in order."""
    return ", ".join(dict.fromkeys(str(one["code"]) for one in reasons))


def _approved(ledger: Ledger, verdict: Record, plan: ChangePlan, request: Request) -> list[Approval]:
    """The approvals; GateError with the command to run next while there are too few."""
    item = plan.items[change_plan.Change(verdict.body["kind_of_change"])]
    for name in item.approvers if request.demonstration else ():
        if model_events.person(name) not in {
            model_events.person(one.by) for one in model_events.approvals(ledger, verdict)
        }:
            model_events.approve(ledger, verdict, item, name, "demonstration", "synthetic courses, to try the software")
    given = model_events.approvals(ledger, verdict)
    lacking = item.numbers.approvals - len(given)
    if lacking > 0:
        problem = f"the verdict passes, {len(given)} of {item.numbers.approvals} people have approved"
        version = verdict.body["version"]
        raise GateError(
            "--version", problem, f"next: crs approve --version {version} --by NAME --role ROLE --meaning TEXT"
        )
    return given


def _latest(ledger: Ledger, registered: Registered, live: Live | None, plan: ChangePlan) -> Record:
    """The latest verdict on a version, by the shipped plan and against what is live now."""
    found = model_events.latest_verdict(ledger, registered.digest)
    remedy = f"run crs gate --version {registered.version} first"
    if found is None:
        raise GateError("--version", "there is no verdict on this version", remedy)
    if (found.body["champion"], found.body["plan_digest"]) != (live.digest if live else "", plan.digest):
        raise GateError("--version", "its verdict was made against another champion or by another plan", remedy)
    change = change_plan.Change(found.body["kind_of_change"])
    question = Question(registered.digest, found.body["champion"], plan.digest, change)
    return model_events.standing_verdict(ledger, question) or found
