"""Log lines of libraries cannot carry a patient's value, whatever they hold."""

import json
import logging

import pytest

from features.errors import UsageError
from serving import log
from serving.log import Scrubbed, ScrubbedJson

CANARY = "CANARY-4711"


def line(name: str, level: int, message: str, error: BaseException | None = None) -> str:
    info = (type(error), error, error.__traceback__) if error else None
    return Scrubbed().format(logging.LogRecord(name, level, "/x/some.py", 12, message, (), info))


def test_an_exception_is_named_by_type_and_place_only() -> None:
    try:
        raise KeyError(CANARY)
    except KeyError as error:
        text = line("bentoml.server", logging.ERROR, f"failed on {CANARY}", error)
    assert CANARY not in text
    assert "KeyError at test_log.py line" in text
    assert "\n" not in text


@pytest.mark.parametrize("level", [logging.WARNING, logging.ERROR])
def test_a_foreign_warning_is_withheld_and_its_place_told(level: int) -> None:
    text = line("asyncio", level, f"exception {CANARY} was never retrieved")
    assert CANARY not in text
    assert text.endswith("a message from some.py line 12 is withheld")


def test_our_own_lines_stand_on_one_line() -> None:
    assert line("crs_risk", logging.INFO, "POST /predict\n200").endswith("INFO crs_risk POST /predict 200")


def test_as_json_a_line_says_the_same_and_names_the_parts_of_a_call() -> None:
    record = logging.LogRecord("crs_risk", logging.INFO, "/x/some.py", 12, "POST /predict\n200", (), None)
    record.call = {"method": "POST", "route": "/predict", "status": 200, "ms": 1.5, "note": ""}
    told = json.loads(ScrubbedJson().format(record))
    assert told.pop("time").endswith("Z")
    assert told == {"level": "INFO", "logger": "crs_risk", "message": "POST /predict 200", **record.call}


def test_as_json_a_foreign_warning_is_withheld_too() -> None:
    record = logging.LogRecord("asyncio", logging.WARNING, "/x/some.py", 12, CANARY, (), None)
    line = ScrubbedJson().format(record)
    assert CANARY not in line
    assert json.loads(line)["message"] == "a message from some.py line 12 is withheld"


def test_lines_are_text_unless_json_is_asked_for_and_no_other_word_is_taken() -> None:
    assert [log.form(one) for one in ({}, {"CRS_RISK_LOG": ""}, {"CRS_RISK_LOG": "json"})] == ["text", "text", "json"]
    with pytest.raises(UsageError, match="CRS_RISK_LOG: not a form of log lines; use text or json"):
        log.form({"CRS_RISK_LOG": "xml"})
