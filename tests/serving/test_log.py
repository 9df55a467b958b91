"""Log lines of libraries cannot carry a patient's value, whatever they hold."""

import logging

import pytest

from serving.log import Scrubbed

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
