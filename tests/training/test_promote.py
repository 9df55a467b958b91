"""What is live changes in one step, only for a bundle that was judged and approved, and can be taken back exactly."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

import crs as command
from audit import dsse, manifest
from audit.events import Kind
from audit.keys import SigningKey
from audit.ledger import open_ledger
from data import synthetic
from features import bundle
from features.errors import BundleError, GateError, StoreError, UsageError
from features.home import MODEL_NAME, Home, Live, read_live, read_previous, write_live
from serving.store import bundle_folder, open_live
from tests.training.builders import plan_text
from tests.training.conftest import Registry
from training import change_plan, gate_flow, promote, promotion_verbs, tracking, versions
from training.gate import Word
from training.gate_flow import Request

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
OwnHome = Callable[[], Home]
PEOPLE = ("Ada Example", "Bo Example")


def quiet(_: str) -> None:
    """Says nothing."""


@pytest.fixture(autouse=True)
def plan(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plan by which any bundle passes that gives its golden answers: these tests are not about the criteria."""
    path = tmp_path_factory.mktemp("plan") / "change-plan.toml"
    path.write_text(plan_text(draws=10, calibration_draws=2))
    monkeypatch.setattr(change_plan, "PLAN", path)
    return path


def approved(home: Home, which: str) -> None:
    """Judge a version and have two people approve it."""
    assert gate_flow.gate(home, Request(which), quiet).word is Word.PASS
    for name in PEOPLE:
        gate_flow.approve(home, which, name, "owner", "reviewed")


def make_live(home: Home, which: str) -> Live:
    approved(home, which)
    return gate_flow.promoted(home, Request(which), quiet)


def roll_back(home: Home) -> Live:
    return promote.rollback(home, "Ada Example", "too many alerts", progress=quiet)


def aliases(home: Home) -> dict[str, str]:
    with tracking.store(home) as client:
        return {key: str(number) for key, number in client.get_registered_model(MODEL_NAME).aliases.items()}


def tags(home: Home, number: str) -> dict[str, str]:
    with tracking.store(home) as client:
        return dict(client.get_model_version(MODEL_NAME, number).tags)


def artifact(home: Home, number: str, file: str) -> bytes:
    """A file beside the run of a version, as MLflow gives it."""
    with tracking.store(home) as client:
        return Path(client.download_artifacts(versions.named(home, number).run_id, file)).read_bytes()


def stored(home: Home) -> list[str]:
    return sorted(path.name for path in (home.bentoml / "models" / MODEL_NAME).iterdir() if path.is_dir())


def told(home: Home, *kinds: Kind) -> list[tuple[str, str]]:
    """(kind, version) of what the ledger holds, in order."""
    with open_ledger(home, writes=False) as ledger:
        return [(str(one.kind), one.body["version"]) for one in ledger.records() if one.kind in kinds]


CHANGES = (Kind.MODEL_ACTIVATED, Kind.MODEL_ROLLED_BACK)


# The way into service


def test_a_version_is_judged_approved_by_two_and_then_live_whole_and_the_champion(
    own_home: OwnHome, registry: Registry
) -> None:
    home = own_home()
    live = make_live(home, "1")
    assert live == read_live(home) == Live(f"{MODEL_NAME}:{registry.digests[0][:16]}", registry.digests[0], "1")
    assert bundle.read(bundle_folder(home, live), registry.digests[0]).boosters == registry.trained.bundle.boosters
    assert open_live(home).predictor.digest == registry.digests[0]
    assert aliases(home) == {"champion": "1", "challenger": "2"}
    model = [kind for kind in Kind if kind.startswith("model.")]
    steps = ["registered", "evaluated", "approved", "approved", "activated"]
    assert told(home, *model) == [(f"model.{step}", "1") for step in steps]


def test_the_ledger_says_on_what_verdict_and_whose_approval_it_went_live(own_home: OwnHome) -> None:
    home = own_home()
    make_live(home, "1")
    with open_ledger(home, writes=False) as ledger:
        last, verdict = ledger.last(Kind.MODEL_ACTIVATED), ledger.last(Kind.MODEL_EVALUATED)
        given = list(ledger.records(Kind.MODEL_APPROVED))
    assert last is not None
    assert verdict is not None
    assert last.body["verdict_sequence"] == verdict.sequence
    assert [one["by"] for one in last.body["approvals"]] == list(PEOPLE)
    assert [one["sequence"] for one in last.body["approvals"]] == [one.sequence for one in given]
    assert (last.body["previous"], verdict.body["champion"]) == ("", "")


def test_mlflow_shows_verdict_approvals_and_since_when_it_is_live(own_home: OwnHome) -> None:
    home = own_home()
    make_live(home, "1")
    found = tags(home, "1")
    assert (found["gate.verdict"], found["gate.kind"], found["gate.champion"]) == ("pass", "first-model", "none")
    assert found["gate.plan"] == change_plan.read().digest
    assert found["gate.approvals"] == "Ada Example (owner); Bo Example (owner)"
    assert found["live.from"].endswith("Z")
    with tracking.store(home) as client:
        document = client.list_artifacts(versions.named(home, "1").run_id)
    assert "gate.json" in {one.path for one in document}


def test_the_verdict_tells_how_many_other_bundles_were_judged_on_its_test_courses(
    own_home: OwnHome, capsys: pytest.CaptureFixture[str]
) -> None:
    home = own_home()
    make_live(home, "1")
    capsys.readouterr()
    promotion_verbs.gate(home, "2", None, None, False, None)
    promotion_verbs.gate(home, "2", None, None, True, None)
    text, document = capsys.readouterr().out.split("{", 1)
    assert "1 other bundle was judged on these test courses before" in text
    assert json.loads("{" + document)["test_looks"] == 1
    with open_ledger(home, writes=False) as ledger:
        found = list(ledger.records(Kind.MODEL_EVALUATED))
    assert [(one.body["version"], one.body["test_looks"]) for one in found] == [("1", 0), ("2", 1)]
    assert len({one.body["test_fingerprint"] for one in found}) == 1
    assert (tags(home, "1")["gate.looks"], tags(home, "2")["gate.looks"]) == ("0", "1")
    assert json.loads(artifact(home, "2", "gate.json"))["test_looks"] == 1
    said: list[str] = []
    with pytest.raises(GateError, match="0 of 2 people have approved"):
        gate_flow.promoted(home, Request("2"), said.append)
    assert said[-1] == "1 other bundle was judged on these test courses before"


def test_the_plan_of_a_verdict_is_kept_beside_it_byte_by_byte_whatever_becomes_of_the_file(
    own_home: OwnHome, plan: Path
) -> None:
    home = own_home()
    plan.write_bytes(plan.read_bytes() + "# how it was judgéd\r\n".encode())
    held = plan.read_bytes()
    make_live(home, "1")
    plan.write_text(plan_text(draws=12, calibration_draws=2))
    make_live(home, "2")
    assert gate_flow.gate(home, Request("1"), quiet).plan == change_plan.read().digest
    with open_ledger(home, writes=False) as ledger:
        first, *_, last = ledger.records(Kind.MODEL_EVALUATED)
    for verdict, text in ((first, held), (last, plan.read_bytes())):
        kept = artifact(home, "1", f"change-plan-{verdict.body['plan_digest'][:16]}.toml")
        assert kept == text
        assert sha256(kept).hexdigest() == verdict.body["plan_digest"]


@pytest.mark.parametrize(
    ("committed", "words"),
    [
        (True, []),
        (False, ["the change plan is not the committed one; its text is kept beside the verdict"]),
        (None, ["whether the change plan is the committed one is not known: git does not say so here"]),
    ],
)
def test_a_verdict_by_a_plan_that_git_does_not_know_says_so(
    own_home: OwnHome, monkeypatch: pytest.MonkeyPatch, committed: bool | None, words: list[str]
) -> None:
    home = own_home()
    monkeypatch.setattr("training.checkout.committed", lambda *_: committed)
    verdict = gate_flow.gate(home, Request("2"), quiet)
    assert (verdict.word, list(verdict.notes)) == (Word.PASS, words)
    with open_ledger(home, writes=False) as ledger:
        assert next(ledger.records(Kind.MODEL_EVALUATED)).body["notes"] == words


def test_a_number_under_which_the_ledger_registered_another_bundle_is_not_judged(
    own_home: OwnHome, registry: Registry
) -> None:
    """MLflow's files and its tag of the digest can both be changed; what the ledger registered cannot."""
    home = own_home()
    with open_ledger(home) as ledger:
        manifest.register(ledger, "2", registry.trained.bundle, "retrain")
    with pytest.raises(BundleError, match="MLflow's version 2 is not the bundle that the ledger registered"):
        gate_flow.gate(home, Request("2"), quiet)


def test_a_forged_manifest_stops_the_judging_and_the_roll_back(own_home: OwnHome) -> None:
    home = own_home()
    first = make_live(home, "1")
    make_live(home, "2")
    other = SigningKey("crs-risk/other", Ed25519PrivateKey.generate())
    with open_ledger(home) as ledger:
        body = manifest.registered(ledger, "1")
        assert body is not None
        said = dsse.unwrap(body.body["statement"], ledger.signer.key)
        ledger.append(Kind.MODEL_REGISTERED, {**body.body, "statement": dsse.wrap(said, other)})
    for act in (lambda: gate_flow.gate(home, Request("1"), quiet), lambda: roll_back(home)):
        with pytest.raises(BundleError, match="signed manifest: that of version 1 is not signed by the ledger's key"):
            act()
    assert read_live(home).digest != first.digest


def test_a_version_that_nobody_judged_is_judged_first_and_the_next_command_is_named(own_home: OwnHome) -> None:
    home = own_home()
    with pytest.raises(GateError, match="0 of 2 people have approved; next: crs approve --version 1 --by NAME"):
        gate_flow.promoted(home, Request("1"), quiet)
    assert not home.live.exists()
    gate_flow.approve(home, "1", "Ada Example", "owner", "reviewed")
    with pytest.raises(GateError, match="1 of 2 people have approved"):
        gate_flow.promoted(home, Request("1"), quiet)
    with pytest.raises(UsageError, match="has approved this verdict already"):
        gate_flow.approve(home, "1", "ada  example", "clinician", "reviewed")
    gate_flow.approve(home, "1", "Bo Example", "owner", "reviewed")
    assert gate_flow.promoted(home, Request("1"), quiet).version == "1"


def test_the_gate_names_the_version_it_judged_and_says_how_its_figures_are_read(
    own_home: OwnHome, capsys: pytest.CaptureFixture[str]
) -> None:
    promotion_verbs.gate(own_home(), "challenger", None, None, False, None)
    said = capsys.readouterr().out
    assert "how much worse the version is; below 0 it is better" in said
    assert "next: crs approve --version 2 --by NAME" in said


def test_no_approval_without_a_verdict_and_none_of_one_against_another_champion(own_home: OwnHome) -> None:
    home = own_home()
    with pytest.raises(GateError, match="there is no verdict on this version; run crs gate --version 1 first"):
        gate_flow.approve(home, "1", "Ada Example", "owner", "reviewed")
    assert gate_flow.gate(home, Request("1"), quiet).word is Word.PASS
    make_live(home, "2")
    with pytest.raises(GateError, match="against another champion or by another plan"):
        gate_flow.approve(home, "1", "Ada Example", "owner", "reviewed")


def test_approvals_of_a_verdict_by_another_plan_promote_nothing(own_home: OwnHome, plan: Path) -> None:
    home = own_home()
    approved(home, "1")
    plan.write_text(plan_text(draws=11, calibration_draws=2))
    with pytest.raises(GateError, match="0 of 2 people have approved"):
        gate_flow.promoted(home, Request("1"), quiet)


def test_another_plan_can_be_tried_and_promotes_nothing(own_home: OwnHome, tmp_path: Path, plan: Path) -> None:
    home, own = own_home(), tmp_path / "lax.toml"
    own.write_text(plan.read_text())
    plan.write_text(plan_text(("golden-answers", "test-set"), draws=10, calibration_draws=2))
    assert gate_flow.gate(home, Request("1", plan=own), quiet).word is Word.PASS
    with pytest.raises(GateError, match="by another plan"):
        gate_flow.approve(home, "1", "Ada Example", "owner", "reviewed")
    with pytest.raises(GateError, match=r"the verdict is: cannot be judged \(test-set\)"):
        gate_flow.promoted(home, Request("1"), quiet)
    assert not home.live.exists()


def test_a_refused_version_is_neither_approved_nor_promoted(own_home: OwnHome, plan: Path) -> None:
    home = own_home()
    plan.write_text(plan_text(("ceiling",), draws=10, calibration_draws=2, fewest_events=3, ceiling_start=0.5))
    verdict = gate_flow.gate(home, Request("1"), quiet)
    assert (verdict.word, {one.code for one in verdict.reasons}) == (Word.REFUSE, {"ceiling"})
    with pytest.raises(GateError, match="the verdict is: refuse"):
        gate_flow.approve(home, "1", "Ada Example", "owner", "reviewed")
    with pytest.raises(GateError, match=r"the verdict is: refuse \(ceiling\); crs gate --version 1 shows the figures"):
        gate_flow.promoted(home, Request("1"), quiet)
    assert tags(home, "1")["gate.verdict"] == "refuse"
    assert not home.live.exists()


def test_the_demonstration_approves_by_itself_what_is_synthetic_and_only_that(own_home: OwnHome) -> None:
    home = own_home()
    with pytest.raises(GateError, match="synthetic"):
        gate_flow.promoted(home, Request("2", demonstration=True), quiet)
    assert not home.live.exists()
    assert gate_flow.promoted(home, Request("1", demonstration=True), quiet).version == "1"
    with open_ledger(home, writes=False) as ledger:
        given = [one.body["by"] for one in ledger.records(Kind.MODEL_APPROVED)]
    assert given == list(change_plan.read().items[change_plan.Change.DEMONSTRATION].approvers)


def test_the_demonstration_replaces_nothing_that_people_approved(
    own_home: OwnHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Published rates neither, nor a synthetic model; and it says so before it trains."""
    home = own_home()
    live = make_live(home, "2")
    with pytest.raises(GateError, match=r"crs demo: .* people approved.*; use a home of its own: CRS_RISK_HOME=FOLDER"):
        gate_flow.promoted(home, Request("1", demonstration=True), quiet)
    assert read_live(home) == live
    assert told(home, *CHANGES) == [("model.activated", "2")]
    monkeypatch.setenv("CRS_RISK_HOME", str(home.folder))
    monkeypatch.setattr("training.flows.synthesise", lambda *_: pytest.fail("it went on"))
    done = CliRunner().invoke(command.app, ["demo", "--port", "0"])
    assert isinstance(done.exception, GateError)
    make_live(home, "1")
    with pytest.raises(GateError, match="people approved"):
        promotion_verbs.check_demonstration(home)


def test_the_demonstration_replaces_what_it_made_live_itself(own_home: OwnHome) -> None:
    home = own_home()
    promotion_verbs.check_demonstration(home)
    gate_flow.promoted(home, Request("1", demonstration=True), quiet)
    promotion_verbs.check_demonstration(home)
    make_live(home, "2")
    with pytest.raises(GateError, match="people approved"):
        promotion_verbs.check_demonstration(home)
    assert roll_back(home).version == "1"
    promotion_verbs.check_demonstration(home)


def test_other_courses_named_at_promotion_are_judged_and_need_approvals_of_their_own(
    own_home: OwnHome, tmp_path: Path
) -> None:
    home, other = own_home(), tmp_path / "other"
    synthetic.write(other, synthetic.generate(120, 11))
    approved(home, "1")
    with pytest.raises(GateError, match="0 of 2 people have approved"):
        gate_flow.promoted(home, Request("1", cohort=other), quiet)
    for name in PEOPLE:
        gate_flow.approve(home, "1", name, "owner", "reviewed")
    assert gate_flow.promoted(home, Request("1"), quiet).version == "1"


def test_promoting_the_challenger_leaves_no_challenger(own_home: OwnHome) -> None:
    home = own_home()
    assert make_live(home, "challenger").version == "2"
    assert aliases(home) == {"champion": "2"}


def test_promoting_what_is_live_changes_nothing(own_home: OwnHome) -> None:
    home = own_home()
    first = make_live(home, "1")
    before, held = home.live.read_bytes(), stored(home)
    assert gate_flow.promoted(home, Request("1"), quiet) == first
    assert gate_flow.promoted(home, Request("1", demonstration=True), quiet) == first
    assert (home.live.read_bytes(), stored(home)) == (before, held)
    assert told(home, *CHANGES) == [("model.activated", "1")]
    with pytest.raises(UsageError, match="this bundle is live already"):
        gate_flow.gate(home, Request("1"), quiet)


# Back again


def test_rollback_restores_the_one_before_exactly_and_back_again(own_home: OwnHome) -> None:
    home = own_home()
    first, second = make_live(home, "1"), make_live(home, "2")
    assert roll_back(home) == first == read_live(home)
    assert aliases(home)["champion"] == "1"
    assert open_live(home).predictor.digest == first.digest
    assert roll_back(home) == second == read_live(home)
    assert open_live(home).predictor.digest == second.digest
    assert aliases(home)["champion"] == "2"
    with open_ledger(home, writes=False) as ledger:
        record = next(ledger.records(Kind.MODEL_ROLLED_BACK))
    assert record.body == {
        "version": "1",
        "digest": first.digest,
        "tag": first.tag,
        "previous": second.digest,
        "by": "Ada Example",
        "reason": "too many alerts",
    }


def test_there_is_nothing_to_go_back_to_at_first(own_home: OwnHome) -> None:
    home = own_home()
    with pytest.raises(StoreError, match="no earlier promotion is on record"):
        roll_back(home)
    make_live(home, "1")
    with pytest.raises(StoreError, match="no earlier promotion is on record"):
        roll_back(home)
    assert read_live(home).version == "1"


def test_a_rollback_names_who_and_why(own_home: OwnHome) -> None:
    for by, reason, place in ((" ", "why", "--by"), ("Ada", "", "--reason")):
        with pytest.raises(UsageError) as caught:
            promote.rollback(own_home() if place == "--by" else Home(ROOT), by, reason)
        assert caught.value.place == place


def test_a_rollback_never_leads_to_what_the_ledger_does_not_know(own_home: OwnHome) -> None:
    """Else a name written by hand would become live by promoting another version and going back."""
    home = own_home()
    smuggled = Live(f"{MODEL_NAME}:smuggled", "0" * 64, "9")
    write_live(home, smuggled)
    make_live(home, "1")
    assert read_previous(home) == smuggled
    with pytest.raises(StoreError, match="the ledger does not know the earlier bundle"):
        roll_back(home)
    assert read_live(home).version == "1"


# Damage


def test_a_version_that_is_not_there_changes_nothing(own_home: OwnHome) -> None:
    home = own_home()
    make_live(home, "1")
    before = home.live.read_bytes()
    with pytest.raises(UsageError, match="--version"):
        gate_flow.promoted(home, Request("9"), quiet)
    assert home.live.read_bytes() == before


def test_a_bundle_that_no_longer_gives_its_answers_is_refused_and_never_becomes_live(
    own_home: OwnHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = own_home()
    make_live(home, "1")
    approved(home, "2")
    before, held = home.live.read_bytes(), stored(home)

    def differs(_: Any) -> int:
        raise BundleError("golden.json", "golden course 0 no longer gives its recorded answer on this machine")

    monkeypatch.setattr("training.gate.verify_golden", differs)
    monkeypatch.setattr(promote, "verify_golden", differs)
    with pytest.raises(BundleError, match="golden"):
        gate_flow.promoted(home, Request("2"), quiet)
    assert gate_flow.gate(home, Request("2"), quiet).word is Word.REFUSE
    assert (home.live.read_bytes(), stored(home)) == (before, held)
    assert aliases(home)["champion"] == "1"


def test_an_altered_bundle_never_becomes_live(own_home: OwnHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happens to it on the way from MLflow."""
    home = own_home()
    make_live(home, "2")
    approved(home, "1")
    before, held = home.live.read_bytes(), stored(home)
    real = tracking.fetch

    def altered(home: Home, which: str, target: Path, uri: str | None = None) -> tracking.Registered:
        found = real(home, which, target, uri)
        body = bytearray((target / "model-crs_2plus.ubj").read_bytes())
        body[len(body) // 2] ^= 1
        (target / "model-crs_2plus.ubj").write_bytes(bytes(body))
        return found

    monkeypatch.setattr(gate_flow, "fetch", altered)
    with pytest.raises(BundleError, match=r"model-crs_2plus\.ubj: the bytes do not match"):
        gate_flow.promoted(home, Request("1"), quiet)
    assert (home.live.read_bytes(), stored(home)) == (before, held)


def test_promoting_again_repairs_a_damaged_copy_in_the_model_store(own_home: OwnHome) -> None:
    home = own_home()
    live = make_live(home, "1")
    path = bundle_folder(home, live) / "spec.json"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(BundleError, match=r"spec\.json"):
        open_live(home)
    gate_flow.promoted(home, Request("1"), quiet)
    assert open_live(home).predictor.digest == live.digest


def test_a_damaged_live_name_is_written_again_by_the_ledger_with_the_one_before(own_home: OwnHome) -> None:
    home = own_home()
    first, second = make_live(home, "1"), make_live(home, "2")
    home.live.write_text("{")
    gate_flow.promoted(home, Request("2"), quiet)
    assert (read_live(home), read_previous(home)) == (second, first)


def test_a_damaged_or_missing_copy_is_not_gone_back_to(own_home: OwnHome) -> None:
    home = own_home()
    folder = bundle_folder(home, make_live(home, "1"))
    make_live(home, "2")
    before = home.live.read_bytes()
    (folder / "spec.json").write_bytes(b"{}")
    with pytest.raises(BundleError, match=r"spec\.json"):
        roll_back(home)
    shutil.rmtree(folder.parent)
    with pytest.raises(StoreError, match="the earlier bundle is not there; promote its version instead"):
        roll_back(home)
    assert home.live.read_bytes() == before
    assert aliases(home)["champion"] == "2"
    assert told(home, *CHANGES) == [("model.activated", "1"), ("model.activated", "2")]


def test_the_live_name_is_replaced_never_rewritten(own_home: OwnHome) -> None:
    """A reader holds either the former file or the new one: the file itself is never opened for writing."""
    home = own_home()
    make_live(home, "2")
    before = home.live.read_bytes()
    with home.live.open("rb") as reader:
        make_live(home, "1")
        assert reader.read() == before
    assert json.loads(home.live.read_bytes())["live"]["version"] == "1"
    assert sorted(path.name for path in home.folder.glob("live*")) == ["live.json"]


# A stop at any point

#: Promotes version 1 in the home, and is killed at one step: before it, after it, or with half of it done.
PROMOTE = """
import os, shutil, signal, sys
from pathlib import Path
os.environ["MLFLOW_DISABLE_TELEMETRY"], os.environ["BENTOML_DO_NOT_TRACK"] = "true", "True"
from features.home import Home
from training import change_plan, gate_flow, promote, tracking, versions
from audit.ledger import Ledger

home, plan, owner, name, when = sys.argv[1:]
change_plan.PLAN = Path(plan)
place = {"promote": promote, "versions": versions, "tracking": tracking, "Ledger": Ledger, "shutil": shutil}[owner]
real = getattr(place, name)

def killed(*given, **named):
    if when == "half":
        Path(given[1]).mkdir(parents=True, exist_ok=True)
        some = sorted(Path(given[0]).iterdir())[0]
        if some.is_file():
            shutil.copy(some, given[1])
    if when == "after":
        real(*given, **named)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(place, name, killed)
gate_flow.promoted(Home(Path(home)), gate_flow.Request("1"), print)
"""
BEFORE_THE_CHANGE = [
    ("versions", "mark", "before"),
    ("versions", "mark", "after"),
    ("versions", "add_document", "after"),
    ("promote", "_verified", "before"),
    ("promote", "_into_store", "before"),
    ("shutil", "copytree", "half"),
    ("promote", "_into_store", "after"),
    ("Ledger", "append", "before"),
]
FROM_THE_CHANGE_ON = [
    ("Ledger", "append", "after"),
    ("promote", "write_live", "before"),
    ("promote", "write_live", "after"),
    ("versions", "make_champion", "before"),
    ("tracking", "set_champion", "before"),
    ("tracking", "set_champion", "after"),
]


@pytest.fixture(scope="module")
def ready(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Path]:
    """A home in which version 2 is live and version 1 approved, and its plan."""
    folder = tmp_path_factory.mktemp("ready")
    path = folder / "change-plan.toml"
    path.write_text(plan_text(draws=10, calibration_draws=2))
    home = Home(folder / "home")
    shutil.copytree(registry.home.folder, home.folder, ignore=shutil.ignore_patterns("artifacts"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(change_plan, "PLAN", path)
        make_live(home, "2")
        approved(home, "1")
    return home, path


@pytest.fixture
def killed(
    ready: tuple[Home, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[tuple[str, str, str]], Home]:
    def run(step: tuple[str, str, str]) -> Home:
        home = Home(tmp_path / "home")
        shutil.copytree(ready[0].folder, home.folder)
        monkeypatch.setattr(change_plan, "PLAN", ready[1])
        words = [sys.executable, "-c", PROMOTE, str(home.folder), str(ready[1]), *step]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        return home

    return run


def all_say(home: Home, registry: Registry, version: str) -> None:
    """Ledger, live.json, model store and MLflow name the same bundle, and it answers."""
    live = read_live(home)
    assert (live.version, live.digest) == (version, registry.digests[int(version) - 1])
    assert open_live(home).predictor.digest == live.digest
    assert aliases(home)["champion"] == version
    assert told(home, *CHANGES)[-1][1] == version


@pytest.mark.parametrize("step", BEFORE_THE_CHANGE, ids=" ".join)
def test_killed_before_the_change_the_former_is_live_and_the_next_run_goes_on(
    killed: Callable[[tuple[str, str, str]], Home], registry: Registry, step: tuple[str, str, str]
) -> None:
    home = killed(step)
    all_say(home, registry, "2")
    assert gate_flow.promoted(home, Request("1"), quiet).version == "1"
    all_say(home, registry, "1")
    assert told(home, *CHANGES) == [("model.activated", "2"), ("model.activated", "1")]


@pytest.mark.parametrize("step", FROM_THE_CHANGE_ON, ids=" ".join)
def test_killed_after_the_ledger_the_next_run_finishes_it_once(
    killed: Callable[[tuple[str, str, str]], Home], registry: Registry, step: tuple[str, str, str]
) -> None:
    home = killed(step)
    if read_live(home).version == "2":
        with pytest.raises(StoreError, match="crs promote --version 1 finishes it"):
            open_live(home)
    else:
        assert open_live(home).predictor.digest == registry.digests[0]
    assert gate_flow.promoted(home, Request("1"), quiet).version == "1"
    all_say(home, registry, "1")
    assert told(home, *CHANGES) == [("model.activated", "2"), ("model.activated", "1")]
    assert roll_back(home).version == "2"
    all_say(home, registry, "2")


class StoppedError(Exception):
    """A stop between the ledger and MLflow."""


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], object]], None]:
    def run(name: str, act: Callable[[], object]) -> None:
        def stop(*_: Any, **__: Any) -> None:
            raise StoppedError

        with monkeypatch.context() as patched:
            patched.setattr(versions, name, stop)
            with pytest.raises(StoppedError):
                act()

    return run


@pytest.mark.parametrize("name", ["mark", "add_document"])
def test_a_verdict_that_a_stop_kept_from_mlflow_is_shown_there_when_it_is_used(
    own_home: OwnHome, registry: Registry, stopped: Callable[[str, Callable[[], object]], None], name: str
) -> None:
    home = own_home()
    for left in registry.home.artifacts.rglob("gate.json"):
        left.unlink()  # the homes of these tests share their artifacts
    stopped(name, lambda: gate_flow.gate(home, Request("1"), quiet))
    with pytest.raises(GateError, match="0 of 2 people have approved"):
        gate_flow.promoted(home, Request("1"), quiet)
    assert told(home, Kind.MODEL_EVALUATED) == [("model.evaluated", "1")]
    found = tags(home, "1")
    assert (found["gate.verdict"], found["gate.kind"], found["gate.champion"]) == ("pass", "first-model", "none")
    assert found["gate.plan"] == change_plan.read().digest
    with tracking.store(home) as client, open_ledger(home, writes=False) as ledger:
        run, verdict = versions.named(home, "1").run_id, ledger.last(Kind.MODEL_EVALUATED)
        document = json.loads(Path(client.download_artifacts(run, "gate.json")).read_text())
    assert verdict is not None
    assert document == {"sequence": verdict.sequence, **verdict.body}


def test_an_approval_that_a_stop_kept_from_mlflow_is_shown_there_before_the_version_is_live(
    own_home: OwnHome, stopped: Callable[[str, Callable[[], object]], None]
) -> None:
    home = own_home()
    gate_flow.gate(home, Request("1"), quiet)
    gate_flow.approve(home, "1", PEOPLE[0], "owner", "reviewed")
    stopped("mark", lambda: gate_flow.approve(home, "1", PEOPLE[1], "owner", "reviewed"))
    stopped("mark", lambda: gate_flow.promoted(home, Request("1"), quiet))
    assert not home.live.exists()
    assert gate_flow.promoted(home, Request("1"), quiet).version == "1"
    assert tags(home, "1")["gate.approvals"] == "Ada Example (owner); Bo Example (owner)"


def without_tags(home: Home, number: str, *keys: str) -> dict[str, str]:
    """Take tags of a version out of MLflow; returns all that it had."""
    held = tags(home, number)
    with tracking.store(home) as client:
        for key in keys:
            client.delete_model_version_tag(MODEL_NAME, number, key)
    return held


OF_VERDICT = ("gate.verdict", "gate.plan", "gate.kind", "gate.looks", "gate.champion", "gate.approvals", "live.from")


@pytest.mark.parametrize("keys", [OF_VERDICT, ("gate.verdict",), ("gate.approvals",), ("live.from",)], ids=" ".join)
def test_a_live_version_that_lacks_tags_in_mlflow_has_them_again_by_the_next_promotion(
    own_home: OwnHome, registry: Registry, keys: tuple[str, ...]
) -> None:
    home, said = own_home(), list[str]()
    make_live(home, "1")
    held = without_tags(home, "1", *keys)
    for left in registry.home.artifacts.rglob("gate.json"):
        left.unlink()
    gate_flow.promoted(home, Request("1"), said.append)
    assert tags(home, "1") == held
    assert said[0] == "version 1 is live and its tags in MLflow did not say why: they do again, by the ledger"
    assert json.loads(artifact(home, "1", "gate.json"))["digest"] == registry.digests[0]
    gate_flow.promoted(home, Request("1"), said.append)
    assert len([one for one in said if "did not say why" in one]) == 1


def test_a_roll_back_to_a_version_that_lacks_tags_in_mlflow_shows_its_own_verdict_again(
    own_home: OwnHome, plan: Path
) -> None:
    home = own_home()
    make_live(home, "1")
    make_live(home, "2")
    held = without_tags(home, "1", *OF_VERDICT)
    plan.write_text("no plan any more")
    roll_back(home)
    found = tags(home, "1")
    assert {**found, "live.from": ""} == {**held, "live.from": ""}
    assert found["gate.kind"] == "first-model"


def test_a_version_that_was_judged_again_and_came_back_shows_the_verdict_it_went_live_on(own_home: OwnHome) -> None:
    home = own_home()
    make_live(home, "1")
    held = tags(home, "1")
    make_live(home, "2")
    gate_flow.gate(home, Request("1"), quiet)
    assert tags(home, "1")["gate.kind"] == "retrain"
    roll_back(home)
    gate_flow.promoted(home, Request("1"), quiet)
    assert {**tags(home, "1"), "live.from": ""} == {**held, "live.from": ""}


def test_a_fault_of_mlflows_files_keeps_nobody_from_rolling_back(
    own_home: OwnHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, said = own_home(), list[str]()
    make_live(home, "1")
    make_live(home, "2")
    without_tags(home, "2", "gate.looks")

    def fails(*_: object) -> None:
        raise NotADirectoryError

    monkeypatch.setattr(versions, "add_document", fails)
    with open_ledger(home) as ledger:
        promote.settle(home, ledger, progress=said.append)
    assert said == ["version 2 is live; MLflow cannot show why, and the next verb tries again"]


def test_a_stop_while_tags_are_shown_again_leaves_it_to_the_next_verb(
    own_home: OwnHome, registry: Registry, stopped: Callable[[str, Callable[[], object]], None]
) -> None:
    home = own_home()
    make_live(home, "1")
    held = without_tags(home, "1", "gate.verdict")
    for left in registry.home.artifacts.rglob("gate.json"):
        left.unlink()
    for name in ("add_document", "mark"):
        stopped(name, lambda: gate_flow.promoted(home, Request("1"), quiet))
    gate_flow.promoted(home, Request("1"), quiet)
    assert tags(home, "1") == held
    assert json.loads(artifact(home, "1", "gate.json"))["digest"] == registry.digests[0]


def test_any_verb_that_changes_what_is_live_finishes_it(
    killed: Callable[[tuple[str, str, str]], Home], registry: Registry
) -> None:
    home = killed(("promote", "write_live", "before"))
    assert roll_back(home).version == "2"
    all_say(home, registry, "2")
    assert told(home, *CHANGES)[-2:] == [("model.activated", "1"), ("model.rolled-back", "2")]


def test_the_shipped_plan_cannot_judge_sixty_test_courses(
    own_home: OwnHome, monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    monkeypatch.setattr(change_plan, "PLAN", ROOT / "training" / "change-plan.toml")
    verdict = gate_flow.gate(own_home(), Request("1"), quiet)
    assert verdict.challenger == registry.digests[0]
    assert verdict.courses < change_plan.read().items[verdict.change].numbers.fewest_courses
    assert verdict.word is not Word.PASS
    assert {one.code for one in replace(verdict, word=Word.UNJUDGED).reasons} == {"test-set"}
