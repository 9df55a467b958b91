"""`crs monitor` on made-up years: a right model is steady, a wrong one alarms, few courses are too few to judge."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import crs
from audit.events import Kind
from audit.prediction import packed
from features import catalogue
from features.errors import LedgerError, UsageError
from features.home import Home
from features.outcomes import OUTCOME_KEYS
from tests.serving.builders import trained_bundle
from tests.training.watched import CHAMPION, START, Years, graded, in_store, lived, own, risks, vectors, years
from training.monitor import Request, Window, judge, monitor, window
from training.monitoring_page import page
from training.monitoring_policy import monitoring_policy

#: As the shipped policy, with fewer draws.
QUICK = replace(monitoring_policy(), chart_draws=2000, permutations=200, bootstrap=50)
CRS_2 = "calibration: crs_2plus"


def judged(home: Home, held: Years, days: float = 420.0, since: float | None = None) -> dict[str, Any]:
    began = None if since is None else START + timedelta(days=since)
    asked = Window(began, START + timedelta(days=days))
    return judge(home, held.ledger, asked, None, QUICK, catalogue.load())


def verdicts(body: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["verdict"] for one in body["checks"]}


def numbers(body: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one["numbers"] for one in body["checks"] if one["name"] == name)
    return found


def a_year(home: Home, held: Years, odds: float, courses: int = 120, **changed: Any) -> None:
    digest = in_store(home, trained_bundle())
    columns = len(trained_bundle().spec.columns)
    lived(held, risks(courses, 5), vectors(courses, columns, 6), odds, 7, **{"bundle": digest, **changed})


def test_a_right_model_is_steady_in_every_check(tmp_path: Path) -> None:
    home = own(tmp_path)
    with years(home) as held:
        a_year(home, held, 1.0)
        body = judged(home, held)
    assert body["verdict"] == "steady"
    assert set(verdicts(body).values()) == {"steady"}
    assert body["courses"] == 120
    large = numbers(body, CRS_2)["everyone"]
    assert large["low"] < 0 < large["high"]


def test_odds_that_tripled_are_an_alarm_with_its_direction_and_the_page_says_so(tmp_path: Path) -> None:
    home = own(tmp_path)
    with years(home) as held:
        a_year(home, held, 3.0)
        body = judged(home, held)
    assert body["verdict"] == "alarm"
    found = numbers(body, CRS_2)
    assert found["alarm"] == "more"
    assert found["everyone"]["low"] > 0
    text = page(body)
    assert "Verdict: alarm" in text
    assert "<script" not in text
    assert "http://" not in text.replace("http://www.w3.org", "")


def test_the_same_ledger_gives_the_same_report(tmp_path: Path) -> None:
    home = own(tmp_path)
    with years(home) as held:
        a_year(home, held, 1.0, courses=45)
        assert judged(home, held) == judged(home, held)


def test_a_few_courses_are_too_few_to_judge_and_never_steady(tmp_path: Path) -> None:
    home = own(tmp_path)
    with years(home) as held:
        a_year(home, held, 1.0, courses=9)
        body = judged(home, held)
    assert body["verdict"] == "too few to judge"
    assert set(verdicts(body).values()) == {"too few to judge"}


def test_outcomes_that_are_not_told_are_watched(tmp_path: Path) -> None:
    home = own(tmp_path)
    with years(home) as held:
        for place in range(20):
            held.at(place).asked(f"p{place}")
        for place in range(10):
            held.at(40).told(f"p{place}", **graded(1))
        body = judged(home, held)
    assert verdicts(body)["outcomes reported"] == "watch"
    assert numbers(body, "outcomes reported") == {"due": 20, "unreported": 10, "share": 0.5}


def test_recent_courses_that_differ_are_told_by_column(tmp_path: Path) -> None:
    home = own(tmp_path)
    digest = in_store(home, trained_bundle())
    names = trained_bundle().spec.names
    rows = np.abs(vectors(120, len(names), 6))
    rows[90:, names.index("crp.last")] += 50.0
    with years(home) as held:
        for place in range(120):
            held.at(3 * place).asked(f"p{place}", bundle=digest, **packed(rows[place]))
        body = judged(home, held, 360.0)
    assert verdicts(body)["drift: inputs"] in ("alarm", "watch")
    assert numbers(body, "drift: inputs")["moved"][0]["column"] == "crp.last"
    assert numbers(body, "drift: inputs")["recent"] == 30
    assert verdicts(body)["drift: what is known"] == "steady"


def test_those_treated_because_warned_and_those_treated_before_stand_apart(tmp_path: Path) -> None:
    home = own(tmp_path)
    with years(home) as held:
        for place in range(60):
            warned, treated = place % 3 == 0, place % 3 == 1
            held.at(place).asked(f"p{place}", treated=treated, bands={"crs_2plus": "high" if warned else "low"})
        for place in range(60):
            given = {"tocilizumab": True, "tocilizumab_hours": 40.0} if place % 3 == 0 else {}
            held.at(100).told(f"p{place}", **{**graded(1 if place % 3 == 0 else place % 2 * 2), **given})
        body = judged(home, held)
    found = numbers(body, CRS_2)
    courses = {key: found[key]["courses"] for key in ("everyone", "treated_because_warned", "treated_before")}
    assert courses == {"everyone": 40, "treated_because_warned": 20, "treated_before": 20}
    assert found["without_treated_because_warned"]["courses"] == 20
    assert found["everyone"]["shift"] < found["without_treated_because_warned"]["shift"]


def test_grades_of_another_system_are_counted_and_left_out(tmp_path: Path) -> None:
    home = own(tmp_path)
    with years(home) as held:
        for place in range(30):
            held.at(place).asked(f"p{place}")
        for place in range(30):
            held.at(100).told(f"p{place}", **graded(2), crs_grading="Penn" if place < 4 else "ASTCT-2019")
        body = judged(home, held)
    assert numbers(body, CRS_2)["everyone"]["courses"] == 26
    assert numbers(body, CRS_2)["left_out"] == {"graded by Penn": 4}


def test_another_version_and_another_time_are_not_judged(tmp_path: Path) -> None:
    home = own(tmp_path)
    with years(home) as held:
        for place in range(20):
            held.at(place).asked(f"old{place}", bundle="o" * 64, version="1")
        for place in range(20, 32):
            held.at(place).asked(f"new{place}", version="2")
        body = judged(home, held)
        later = judged(home, held, since=25.0)
    assert (body["model"]["version"], body["courses"], body["other_versions"]) == ("2", 12, 1)
    assert (later["courses"], later["since"]) == (7, "2025-01-26T00:00:00+00:00")


def test_a_version_the_model_store_lost_is_judged_without_its_inputs(tmp_path: Path) -> None:
    home = own(tmp_path)
    with years(home) as held:
        held.at(0).asked("p", bundle=CHAMPION)
        body = judged(home, held)
    assert verdicts(body)["drift: inputs"] == "too few to judge"
    assert "model store" in body["checks"][1]["text"]


def test_nothing_answered_is_nothing_to_judge(tmp_path: Path) -> None:
    home = own(tmp_path)
    with years(home) as held, pytest.raises(LedgerError, match="no evaluated answer"):
        judged(home, held)


@pytest.mark.parametrize(("since", "until"), [("soon", ""), ("", "2026-13-01"), ("2026-02-01", "2026-01-01")])
def test_days_that_are_none_or_in_the_wrong_order_are_refused(since: str, until: str) -> None:
    with pytest.raises(UsageError, match=r"--since|--until"):
        window(Request(since, until), START)


@pytest.mark.slow
def test_a_look_is_recorded_in_mlflow_and_in_the_ledger(own_home: Callable[[], Home], tmp_path: Path) -> None:
    from training import tracking

    home = own_home()
    with years(home) as held:
        a_year(home, held, 3.0, courses=60)
    request = Request(until="2026-03-01", out=tmp_path / "m.json", report=tmp_path / "m.html")
    body = monitor(home, request, None)
    assert json.loads((tmp_path / "m.json").read_text()) == body
    assert "Verdict: alarm" in (tmp_path / "m.html").read_text()
    with years(home) as held:
        record = held.ledger.last(Kind.MONITORED)
        assert record is not None
        assert record.body["verdict"] == "alarm"
        assert record.body["checks"] == verdicts(body)
    with tracking.store(home) as client:
        run = client.get_run(record.body["run"])
        assert run.data.metrics["calibration.crs_2plus.observed"] == numbers(body, CRS_2)["everyone"]["observed"]
        assert {one.path for one in client.list_artifacts(run.info.run_id)} == {"monitoring.html", "monitoring.json"}


def test_each_outcome_has_its_check(tmp_path: Path) -> None:
    home = own(tmp_path)
    with years(home) as held:
        held.at(0).asked("p")
        body = judged(home, held)
    assert [one["name"] for one in body["checks"][-5:]] == [f"calibration: {key}" for key in OUTCOME_KEYS]


@pytest.mark.parametrize(("verdict", "code"), [("alarm", 10), ("watch", 0), ("steady", 0), ("too few to judge", 0)])
def test_the_verb_ends_with_its_documented_code(verdict: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.monitor.monitor", lambda *_: {"verdict": verdict})
    assert CliRunner().invoke(crs.app, ["monitor"]).exit_code == code


@pytest.mark.parametrize("words", [[], ["--off", "--compare"], ["--version", "2", "--off"]])
def test_the_shadows_verb_wants_exactly_one_thing(words: list[str]) -> None:
    result = CliRunner().invoke(crs.app, ["shadow", *words])
    assert isinstance(result.exception, UsageError)
