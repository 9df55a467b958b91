"""Outcomes in the ledger: joined to a prediction, the same one once, a corrected one beside the first."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audit.events import Kind
from audit.outcome import BY, CALLER, FIELDS, REMEDIES, OutcomeError, check, from_body, latest, record
from tests.training.watched import START, Years, graded, own, report, years


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Years]:
    with years(own(tmp_path)) as found:
        found.at(0).asked("p")
        yield found


def outcomes(held: Years) -> list[dict[str, Any]]:
    return [dict(one.body) for one in held.ledger.records(Kind.OUTCOME)]


def test_the_same_outcome_again_is_the_same_event(held: Years) -> None:
    first, again = held.told("p", **graded(2)), held.told("p", **graded(2))
    assert (first.status, again.status) == ("recorded", "already-recorded")
    assert first.receipt == again.receipt
    assert len(outcomes(held)) == 1


def test_a_correction_is_a_new_record_that_names_the_one_it_supersedes(held: Years) -> None:
    first = held.told("p", **graded(2))
    second = held.told("p", **graded(3))
    assert second.status == "corrected"
    assert [one.get("supersedes") for one in outcomes(held)] == [None, first.receipt.sequence]
    assert latest(held.ledger, "p")[1].hash == second.receipt.hash  # type: ignore[union-attr]


def test_taking_a_correction_back_is_a_correction_and_no_repetition(held: Years) -> None:
    statuses = [held.told("p", **graded(grade)).status for grade in (2, 3, 2, 2)]
    assert statuses == ["recorded", "corrected", "corrected", "already-recorded"]
    assert latest(held.ledger, "p")[1].body["crs_grade"] == 2  # type: ignore[union-attr]


def test_a_recorded_outcome_reads_back_as_it_was_reported(held: Years) -> None:
    told = report("p", **graded(2, 3), tocilizumab=True, tocilizumab_hours=40.0)
    held.told("p", **graded(2, 3), tocilizumab=True, tocilizumab_hours=40)
    assert from_body(outcomes(held)[0]) == told


def test_an_unknown_prediction_is_refused(held: Years) -> None:
    with pytest.raises(OutcomeError, match="the ledger has no such prediction") as caught:
        held.told("nobody")
    assert (caught.value.code, caught.value.place) == ("prediction-unknown", "prediction_id")
    assert outcomes(held) == []


def test_a_known_time_stands_for_the_hours_since_the_start(held: Years) -> None:
    moment = START.replace(day=11).isoformat()
    held.at(20).told("p", complete=False, known_at=moment)
    assert outcomes(held)[0]["hours"] == 240.0


@pytest.mark.parametrize("moment", ["2024-12-01T00:00:00+00:00", "2026-12-01T00:00:00+00:00"])
def test_a_known_time_lies_between_the_prediction_and_now(held: Years, moment: str) -> None:
    with pytest.raises(OutcomeError) as caught:
        held.at(20).told("p", complete=False, known_at=moment)
    assert caught.value.code == "time-not-possible"


@pytest.mark.parametrize(
    ("fields", "code", "place"),
    [
        ({"prediction_id": ""}, "prediction-missing", "prediction_id"),
        ({"crs_grade": None, "icans_grade": None}, "nothing-reported", "crs_grade"),
        ({"complete": False}, "follow-up-missing", "hours"),
        ({"crs_grade": 6}, "grade-not-accepted", "crs_grade"),
        ({"icans_grade": -1}, "grade-not-accepted", "icans_grade"),
        ({"crs_grading": None}, "grading-unknown", "crs_grading"),
        ({"icans_grading": "by feel"}, "grading-unknown", "icans_grading"),
        ({"crs_onset_hours": 30.0}, "hours-without-grade", "crs_onset_hours"),
        ({"hours": -1.0}, "hours-not-plausible", "hours"),
        ({"hours": float("nan")}, "hours-not-plausible", "hours"),
        ({"crs_grade": 2, "crs_onset_hours": 9.0, "crs_worst_hours": 8.0}, "worst-before-onset", "crs_worst_hours"),
        ({"crs_grade": 1, "crs_onset_hours": 9.0, "hours": 8.0}, "after-follow-up", "crs_onset_hours"),
        ({"tocilizumab_hours": 9.0}, "treatment-not-given", "tocilizumab_hours"),
        (
            {"corticosteroid": True, "corticosteroid_hours": 9.0, "hours": 8.0},
            "after-follow-up",
            "corticosteroid_hours",
        ),
    ],
)
def test_a_broken_rule_names_its_field_and_what_to_do(fields: dict[str, Any], code: str, place: str) -> None:
    with pytest.raises(OutcomeError) as caught:
        check(replace(report("p"), **fields))
    assert (caught.value.code, caught.value.place) == (code, place)
    assert caught.value.remedy == REMEDIES[code]
    assert caught.value.place in FIELDS


def test_a_grade_of_zero_is_a_report_and_no_grade_is_not() -> None:
    check(report("p", icans_grade=None, icans_grading=None))
    with pytest.raises(OutcomeError):
        check(report("p", crs_grade=None, icans_grade=None))


def test_reports_that_arrive_together_are_all_kept_one_after_another(held: Years) -> None:
    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(lambda grade: held.told("p", **graded(grade)).status, range(4)))
    records = list(held.ledger.records(Kind.OUTCOME))
    assert sorted(statuses) == ["corrected", "corrected", "corrected", "recorded"]
    assert [one.body.get("supersedes") for one in records] == [None, *(one.sequence for one in records[:-1])]
    assert [one.event_id for one in records] == [f"p:{number}" for number in range(4)]


NORTH, SOUTH = ({CALLER: {"issuer": "x", "subject": name}} for name in ("north", "south"))


def test_a_record_names_who_reported_it(held: Years) -> None:
    record(held.ledger, report("p", **graded(2)), NORTH)
    assert outcomes(held)[0]["caller"] == {"issuer": "x", "subject": "north"}
    assert from_body(outcomes(held)[0]) == report("p", **graded(2))


def test_the_same_outcome_from_somebody_else_is_the_same_event_and_another_one_a_correction_of_theirs(
    held: Years,
) -> None:
    taken = [
        record(held.ledger, report("p", **graded(grade)), by) for grade, by in ((2, NORTH), (2, SOUTH), (3, SOUTH))
    ]
    assert [one.status for one in taken] == ["recorded", "already-recorded", "corrected"]
    assert taken[0].receipt == taken[1].receipt
    assert [one["caller"]["subject"] for one in outcomes(held)] == ["north", "south"]


def test_an_outcome_that_was_recorded_without_a_reporter_goes_on_as_it_was(held: Years) -> None:
    """As earlier releases wrote it: nothing but what was reported."""
    first = held.told("p", **graded(2))
    assert not outcomes(held)[0].keys() & {"caller", "by"}
    again = record(held.ledger, report("p", **graded(2)), NORTH)
    assert (again.status, again.receipt) == ("already-recorded", first.receipt)
    record(held.ledger, report("p", **graded(3)), {BY: "registrar"})
    assert [one.get("by") for one in outcomes(held)] == [None, "registrar"]
    assert [one.get("supersedes") for one in outcomes(held)] == [None, first.receipt.sequence]


def test_two_who_report_the_same_outcome_at_the_same_moment_report_one_event(held: Years) -> None:
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda by: record(held.ledger, report("p", **graded(2)), by), (NORTH, SOUTH) * 4))
    assert {one.receipt.sequence for one in told} == {told[0].receipt.sequence}
    assert len(outcomes(held)) == 1
