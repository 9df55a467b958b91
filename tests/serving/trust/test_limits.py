"""Depth, entries, size and time of a body are limited before anything decodes it."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.refusal import RefusalError
from serving.trust import scan
from serving.trust.settings import Limits, Trust
from tests.serving.builders import EXAMPLE
from tests.serving.test_front import Behind, ask

TEXT = st.text(st.sampled_from('ab\\"[]{},:/u\n'), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda one: st.lists(one, max_size=4) | st.dictionaries(TEXT, one, max_size=4),
    max_leaves=25,
)


def depth(part: Any) -> int:
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else None
    return 0 if inner is None else 1 + max((depth(one) for one in inner), default=0)


def entries(part: Any) -> int:
    """Openings, and a comma before each element but the first."""
    inner = list(part.values()) if isinstance(part, dict) else part if isinstance(part, list) else None
    return 0 if inner is None else 1 + max(0, len(inner) - 1) + sum(map(entries, inner))


def passes(body: bytes, deepest: int, most: int) -> str:
    try:
        scan.check(body, deepest, most)
    except RefusalError as error:
        return error.code
    return ""


@given(JSON, st.booleans())
def test_depth_and_entries_are_counted_exactly_for_every_json(value: Any, plain: bool) -> None:
    body = json.dumps(value, ensure_ascii=plain).encode("utf-8", "surrogatepass")
    deep, many = depth(value), entries(value)
    assert passes(body, deep, many) == ""
    if deep:
        assert passes(body, deep - 1, many) == "too-deep"
        assert passes(body, deep, many - 1) == "too-many-entries"


@given(st.binary(max_size=200) | TEXT.map(str.encode))
def test_bytes_that_are_no_json_are_measured_without_an_error(body: bytes) -> None:
    assert passes(body, 4, 100) in ("", "too-deep", "too-many-entries")


@pytest.mark.parametrize("body", [b"[" * 1_000_000, b"[{" * 500_000, b'{"a":' * 200_000, b"[" * 33 + b"]" * 33])
def test_a_body_that_nests_without_end_is_refused_at_once(body: bytes) -> None:
    began = time.perf_counter()
    told = ask(Behind(), body)
    assert (told.status, told.error["code"]) == (400, "too-deep")
    assert time.perf_counter() - began < 1.0


def test_the_depth_that_is_allowed_is_allowed() -> None:
    assert ask(Behind(), b"[" * 32 + b"]" * 32).error["code"] == "wrong-type"


def test_a_body_of_very_many_entries_is_refused() -> None:
    told = ask(Behind(), b"[" + b"0," * 200_000 + b"0]")
    assert (told.status, told.error["code"]) == (413, "too-many-entries")


def test_a_batch_may_hold_more_than_one_case() -> None:
    few = Trust(limits=Limits(entries=100, entries_of_a_batch=400))
    body = {"requests": [{**EXAMPLE, "course": {"id": str(one), "therapy": "axi-cel"}} for one in range(8)]}
    assert 100 < entries(body) < 400
    assert ask(Behind(), json.dumps(body).encode(), "/predict_batch", settings=few).status == 200
    assert ask(Behind(), b"[" + b"0," * 150 + b"0]", settings=few).error["code"] == "too-many-entries"


def test_the_largest_case_that_is_documented_is_within_the_limits() -> None:
    one = {"code": "crp", "value": 5, "unit": "mg/L", "hours": 1, "comparator": "<", "upper_limit": 5}
    case = {
        "observations": [one] * 2000,
        "events": [dict.fromkeys("abcd")] * 500,
        "symptoms": [dict.fromkeys("abc")] * 200,
    }
    assert entries(case) < Limits().entries / 2


def test_the_settings_can_lower_the_size_of_a_body_and_not_raise_it() -> None:
    small = Trust(limits=Limits(bytes=1024))
    assert ask(Behind(), b" " * 1025, settings=small).error["code"] == "body-too-large"
    assert ask(Behind(), b" " * 1024, settings=small).error["code"] == "malformed-json"
    large = Trust(limits=Limits(bytes=1 << 30))
    assert ask(Behind(), b" " * ((1 << 20) + 1), settings=large).error["code"] == "body-too-large"


def test_a_body_that_drips_in_is_given_up_after_the_time_in_the_settings() -> None:
    told = ask(Behind(), None, settings=Trust(limits=Limits(seconds_to_send=0.05)))
    assert (told.status, told.error["code"]) == (408, "body-not-received")
