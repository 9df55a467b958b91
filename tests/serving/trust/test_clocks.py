"""A clock that is off is told once a minute and issuer, and only by tokens whose signature held."""

import logging
from pathlib import Path

import pytest

from serving.trust.clocks import ALARM_SECONDS, Clocks
from serving.trust.settings import Tokens
from serving.trust.token import Claims
from tests.serving.trust.issuing import EHR, Clock, claims, door, key, sign

NOW = 1_800_000_000.0


def seen(caplog: pytest.LogCaptureFixture, *times: tuple[float, float], clock: Clock | None = None) -> list[str]:
    """The alarms for tokens of these iat and exp, in seconds from now."""
    caplog.set_level(logging.WARNING)
    held = Clocks(Tokens(), clock or Clock())
    for issued, ends in times:
        held.see(Claims(EHR, "x", NOW + ends, NOW + issued, "j"), NOW)
    return [one.message for one in caplog.records]


@pytest.mark.parametrize(
    ("issued", "ends", "told"),
    [
        (0, 300, False),
        (30, 300, False),
        (31, 300, True),
        (-360, -60, False),
        (-361, -61, True),
    ],
)
def test_half_of_the_skew_ahead_or_more_than_all_of_it_behind_is_an_alarm(
    caplog: pytest.LogCaptureFixture, issued: float, ends: float, told: bool
) -> None:
    found = seen(caplog, (issued, ends))
    assert bool(found) == told
    assert all(one.startswith(f"clock-skew: a token of {EHR} ") for one in found)


def test_one_issuer_is_told_of_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    assert len(seen(caplog, *[(45, 300)] * 50, clock=clock)) == 1
    caplog.clear()
    held = Clocks(Tokens(), clock)
    for _ in range(3):
        held.see(Claims(EHR, "x", NOW + 300, NOW + 45, "j"), NOW)
        clock.seconds += ALARM_SECONDS / 2
    assert len(caplog.records) == 2


def test_an_expired_token_raises_it_with_the_right_key_and_not_with_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    at = door(tmp_path, now=lambda: NOW)
    old = claims(NOW - 1000)
    assert at.refused(sign(old, by=key(name="other"))).reason == f"signature-wrong iss={EHR}"
    assert "clock-skew" not in caplog.text
    assert at.refused(sign(old)).reason == f"expired iss={EHR}"
    assert f"a token of {EHR} had ended 700 s ago by this clock" in caplog.text
