"""Which model was live when, from a scripted history, to the second."""

import json
from collections.abc import Callable
from datetime import timedelta, timezone

import pytest

from audit import history
from audit.events import Kind
from audit.ledger import Ledger
from features.home import Home
from tests.audit.builders import START, Deployment

#: Six promotions and two rollbacks: minute, kind, version.
SCRIPT = (
    (10, Kind.MODEL_ACTIVATED, "1"),
    (20, Kind.MODEL_ACTIVATED, "2"),
    (30, Kind.MODEL_ROLLED_BACK, "1"),
    (40, Kind.MODEL_ACTIVATED, "3"),
    (50, Kind.MODEL_ACTIVATED, "4"),
    (60, Kind.MODEL_ROLLED_BACK, "3"),
    (70, Kind.MODEL_ACTIVATED, "5"),
    (80, Kind.MODEL_ACTIVATED, "6"),
)


def digest(version: str) -> str:
    return version * 64


def scripted(small: Deployment, ledger: Ledger) -> None:
    for minute, kind, version in SCRIPT:
        body = {"version": version, "digest": digest(version), "tag": f"crs-risk:{version}", "reason": f"at {minute}"}
        small.clock.at = START + timedelta(minutes=minute, seconds=-1)
        ledger.append(kind, body)


def test_the_live_version_is_right_on_both_sides_of_every_change(small: Deployment) -> None:
    with small.open() as ledger:
        scripted(small, ledger)
        assert history.live_at(ledger, START) is None
        before = None
        for minute, kind, version in SCRIPT:
            moment = START + timedelta(minutes=minute)
            earlier = history.live_at(ledger, moment - timedelta(seconds=1))
            found = history.live_at(ledger, moment)
            assert (earlier and earlier.version) == before
            assert found is not None
            assert (found.version, found.digest, found.kind, found.since) == (version, digest(version), kind, moment)
            before = version
        last = history.live_at(ledger, START + timedelta(days=1))
        assert last is not None
        assert (last.version, last.until) == ("6", None)


@pytest.fixture
def home(small: Deployment) -> Home:
    return small.home


def test_crs_audit_tells_the_live_version_to_the_second(small: Deployment, crs_audit: Callable[..., str]) -> None:
    with small.open() as ledger:
        scripted(small, ledger)
    before = None
    for minute, _, version in SCRIPT:
        told = []
        for seconds in (-1, 0, 1):
            moment = START + timedelta(minutes=minute, seconds=seconds)
            written = moment.astimezone(timezone(timedelta(hours=5.5))).isoformat()
            live = json.loads(crs_audit("which-model", "--at", written, "--json"))["live"]
            told.append(live and (live["version"], live["digest"]))
        now = (version, digest(version))
        assert told == [before, now, now], minute
        before = now


def test_a_ledger_where_nothing_was_promoted_has_versions_and_nothing_live(small: Deployment) -> None:
    with small.open() as ledger:
        ledger.append(Kind.MODEL_REGISTERED, {"version": "1", "digest": digest("1")})
        assert history.live_at(ledger, START) is None
        assert [(one.version, one.live) for one in history.versions(ledger)] == [("1", [])]


def test_each_moment_has_one_live_version(small: Deployment) -> None:
    with small.open() as ledger:
        scripted(small, ledger)
        reigns = history.reigns(ledger)
    for minute in range(10, 100):
        assert sum(one.holds(START + timedelta(minutes=minute)) for one in reigns) == 1


def test_versions_tell_who_on_what_evidence_and_when_live(small: Deployment) -> None:
    with small.open() as ledger:
        known = {"version": "1", "digest": digest("1")}
        ledger.append(Kind.MODEL_REGISTERED, {**known, "name": "mine", "parent": None, "kind_of_change": "first"})
        verdict = ledger.append(Kind.MODEL_EVALUATED, {**known, "champion": "", "plan_digest": "p", "verdict": "pass"})
        ledger.append(Kind.MODEL_APPROVED, {**known, "by": "A. One", "role": "lead", "meaning": "fit"})
        scripted(small, ledger)
        found = {one.version: one for one in history.versions(ledger)}
    one = found["1"]
    assert (one.name, one.kind_of_change) == ("mine", "first")
    assert one.verdicts[0]["sequence"] == verdict.sequence
    assert [held["by"] for held in one.approvals] == ["A. One"]
    assert [(held["since"][14:16], held["until"][14:16]) for held in one.live] == [("10", "20"), ("30", "40")]
    assert list(found) == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.parametrize(("seconds", "served"), [(0, ""), (1, "a"), (2, "a"), (3, ""), (4, "b")])
def test_what_a_service_had_loaded_is_told_apart_from_what_was_live(
    small: Deployment, seconds: int, served: str
) -> None:
    with small.open() as ledger:
        begun = small.clock.at
        ledger.append(Kind.SERVICE_STARTED, {"digest": "a"})
        ledger.append(Kind.HEARTBEAT, {})
        ledger.append(Kind.SERVICE_STOPPED, {"digest": "a"})
        ledger.append(Kind.SERVICE_STARTED, {"digest": "b"})
        assert history.served_at(ledger, begun + timedelta(seconds=seconds)) == served


def test_the_terminal_says_who_judged_and_approved_a_version_when_why_and_on_what_evidence(
    small: Deployment, crs_audit: Callable[..., str]
) -> None:
    """The reason of a promotion, the role and meaning of each approval, and the figures behind a verdict."""
    checks = [
        {"code": "auroc", "met": False, "required": True, "text": "AUROC falls by 0.031"},
        {"code": "ici", "met": True, "required": True, "text": "calibration holds"},
        {"code": "log-loss", "met": None, "required": False, "text": "too few events"},
    ]
    of = {"version": "2", "digest": digest("2")}
    verdict = {
        **of,
        "verdict": "refuse",
        "champion": digest("1"),
        "plan_digest": "p",
        "test_courses": 812,
        "test_looks": 4,
    }
    approval = {**of, "by": "Ada Example", "role": "medical lead", "meaning": "calibration reviewed"}
    with small.open() as ledger:
        judged = ledger.append(Kind.MODEL_EVALUATED, {**verdict, "reasons": checks[:1], "figures": checks}).sequence
        approved = ledger.append(Kind.MODEL_APPROVED, {**approval, "verdict_sequence": judged}).sequence
        ledger.append(Kind.MODEL_ACTIVATED, {**of, "tag": "t", "reason": "yearly update"})
        ledger.append(Kind.MODEL_ROLLED_BACK, {**of, "tag": "t", "by": "Bo Example", "reason": "alerts"})
        approved_at = ledger.at(approved)
    assert approved_at is not None
    told = crs_audit("versions")
    by = {line.split()[2]: line for line in told.splitlines() if line[:1] == "2" and line.split()[1][:4] == "2026"}
    assert f"against {digest('1')[:12]}; 812 locked courses; other bundles judged on them before: 4; 1 of 2" in told
    assert "; 1 of 2 required checks met; AUROC falls by 0.031" in told
    moment = approved_at.time.strftime("%Y-%m-%dT%H:%M:%S")
    assert (
        by[str(approved)].split()
        == (
            f"2 {moment} {approved} approved Ada Example (medical lead) "
            f"calibration reviewed (of the verdict in record {judged})"
        ).split()
    )
    assert "yearly update" in by[str(approved + 1)]
    assert by[str(approved + 2)].split()[-3:] == ["Bo", "Example", "alerts"]
    (one,) = json.loads(crs_audit("versions", "--json"))
    assert one["approvals"][0]["verdict_sequence"] == judged
    assert [held["by"] for held in one["live"]] == ["", "Bo Example"]
    assert one["verdicts"][0]["figures"] == checks


def test_a_verdict_of_an_earlier_release_without_figures_is_still_told(
    small: Deployment, crs_audit: Callable[..., str]
) -> None:
    with small.open() as ledger:
        ledger.append(Kind.MODEL_EVALUATED, {"version": "1", "digest": digest("1"), "verdict": "pass"})
    told = crs_audit("versions")
    assert "verdict: pass" in told
    assert "nothing was live; no locked courses\n" in told
