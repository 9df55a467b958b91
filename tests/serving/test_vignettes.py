"""Vignettes written from published lines: what an answer from published rates alone must say, and in which order.

The cases and their expectations are data: tests/vignettes/vignettes.toml.
"""

import functools
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from features.catalogue import Catalogue
from serving.decode import predict_request
from serving.guard import is_step_up
from serving.guidance import guidance
from serving.intake import Intake, take
from serving.look_alikes import CANNOT_TELL, FLAGGED, NOT_FLAGGED, TO_CONSIDER, look_alikes
from serving.symptoms import shown
from tests.serving.conftest import Ask

FILE = Path(__file__).resolve().parents[1] / "vignettes" / "vignettes.toml"
HELD: dict[str, Any] = tomllib.loads(FILE.read_text(encoding="utf-8"))
CASES: dict[str, dict[str, Any]] = {one["key"]: one for one in HELD["vignette"]}
EXPECTABLE = {
    *("status", "not_evaluated", "cautions", "no_cautions", "risks", "look_alikes", "guidance", "symptoms"),
}
#: Of several rules of one look-alike the first of these counts.
STRONGEST = (FLAGGED, CANNOT_TELL, NOT_FLAGGED, TO_CONSIDER)


def expecting(name: str) -> list[str]:
    """Keys of the vignettes that state this expectation."""
    return [key for key, case in CASES.items() if name in case["expect"]]


@pytest.fixture(scope="module")
def answer(ask_prior: Ask) -> Any:
    """The answer of a vignette, by its key, asked once."""
    return functools.cache(lambda key: ask_prior(CASES[key]["request"]))


def taken(tables: Catalogue, key: str) -> Intake:
    return take(tables, predict_request(msgspec.json.encode(CASES[key]["request"])))


def codes(answered: dict[str, Any], field: str) -> set[str]:
    return {note["code"] for note in answered.get(field, [])}


def probability(answered: dict[str, Any], outcome: str) -> float:
    (found,) = [one["probability"] for one in answered["risks"] if one["outcome"] == outcome]
    return float(found)


def ids(rows: list[dict[str, Any]], *names: str) -> list[str]:
    return ["-".join(str(row[name]) for name in names) for row in rows]


def test_there_are_at_least_fourteen_vignettes_each_with_its_source_and_its_own_key() -> None:
    assert len(CASES) == len(HELD["vignette"]) >= 14
    for one in (*HELD["vignette"], *HELD["higher"], *HELD["share"], *HELD["equal"]):
        assert re.match(r"[A-H]\d|symptoms are not inputs", one["source"])


def test_every_expectation_is_one_that_is_checked_and_no_code_waits_for_nothing() -> None:
    stated = {name for case in CASES.values() for name in case["expect"]}
    assert stated <= EXPECTABLE


@pytest.mark.parametrize("key", CASES)
def test_a_vignette_is_evaluated_or_not_as_expected(answer: Any, key: str) -> None:
    expect = CASES[key]["expect"]
    assert answer(key)["status"] == expect["status"]
    assert set(expect.get("not_evaluated", [])) <= codes(answer(key), "not_evaluated")
    assert bool(answer(key)["risks"]) == (expect["status"] == "evaluated")


@pytest.mark.parametrize("key", expecting("cautions"))
def test_a_vignette_is_answered_with_its_cautions(answer: Any, key: str) -> None:
    given, expected = codes(answer(key), "cautions"), set(CASES[key]["expect"]["cautions"])
    assert expected <= given


@pytest.mark.parametrize("key", expecting("no_cautions"))
def test_a_vignette_is_answered_without_a_caution_that_is_not_its_own(answer: Any, key: str) -> None:
    assert not set(CASES[key]["expect"]["no_cautions"]) & codes(answer(key), "cautions")


@pytest.mark.parametrize("key", expecting("risks"))
def test_the_risks_of_a_vignette_have_their_status(answer: Any, key: str) -> None:
    given = {one["outcome"]: one["status"] for one in answer(key)["risks"]}
    expected = CASES[key]["expect"]["risks"]
    assert {outcome: given[outcome] for outcome in expected} == expected


@pytest.mark.parametrize("key", expecting("symptoms"))
def test_the_symptoms_of_a_vignette_are_shown(tables: Catalogue, key: str) -> None:
    assert [one.key for one in taken(tables, key).symptoms] == CASES[key]["expect"]["symptoms"]


@pytest.mark.parametrize("key", expecting("look_alikes"))
def test_the_look_alikes_of_a_vignette_have_their_status(tables: Catalogue, key: str) -> None:
    intake, expected = taken(tables, key), CASES[key]["expect"]["look_alikes"]
    found = look_alikes(tables, intake.course, intake.comparators)
    strongest = {name: min((one.status for one in found if one.key == name), key=STRONGEST.index) for name in expected}
    assert strongest == expected


@pytest.mark.parametrize("key", expecting("guidance"))
def test_a_vignette_points_to_guidelines_of_what_is_charted(tables: Catalogue, key: str) -> None:
    course = taken(tables, key).course
    found = guidance(course, is_step_up(tables, course.therapy))
    assert list(dict.fromkeys(one.event for one in found)) == CASES[key]["expect"]["guidance"]


@pytest.mark.parametrize("key", CASES)
def test_what_is_said_beside_the_risk_holds_no_null_and_no_unrounded_number(tables: Catalogue, key: str) -> None:
    intake = taken(tables, key)
    said = (
        *shown(intake.symptoms),
        *look_alikes(tables, intake.course, intake.comparators),
        *guidance(intake.course, step_up=True),
    )
    text = msgspec.json.encode(said).decode()
    assert "null" not in text
    assert [number for number in re.findall(r"-?\d+\.\d+", text) if len(number.strip("-").replace(".", "")) > 7] == []


@pytest.mark.parametrize("row", HELD["higher"], ids=ids(HELD["higher"], "more", "less", "outcome"))
def test_the_published_order_of_two_vignettes_holds(answer: Any, row: dict[str, Any]) -> None:
    more, less = (probability(answer(row[name]), row["outcome"]) for name in ("more", "less"))
    assert more > less
    assert more >= row["times"] * less


@pytest.mark.parametrize("row", HELD["share"], ids=ids(HELD["share"], "later", "outcome"))
def test_what_is_left_of_a_risk_follows_the_onset(answer: Any, row: dict[str, Any]) -> None:
    later, earlier = (probability(answer(row[name]), row["outcome"]) for name in ("later", "earlier"))
    assert row["low"] <= later / earlier <= row["high"]


@pytest.mark.parametrize("row", HELD["equal"], ids=ids(HELD["equal"], "first", "second"))
def test_what_must_not_matter_does_not(answer: Any, row: dict[str, Any]) -> None:
    for outcome in row["outcomes"]:
        assert probability(answer(row["first"]), outcome) == probability(answer(row["second"]), outcome)
