"""A member that an object states twice is found wherever it stands, and nothing else is."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.members import RepeatedError, check_once

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=20,
)


def twice(value: Any, name: str) -> str:
    """The text of an object that states the member twice, around and beside any value."""
    return f"{{{json.dumps(name)}: {json.dumps(value)}, {json.dumps(name)}: null}}"


@given(JSON)
def test_no_json_that_was_made_from_objects_repeats_a_member(value: Any) -> None:
    check_once(json.dumps(value).encode("utf-8", "surrogatepass"))


AROUND = st.lists(st.sampled_from(["[%s]", '{"a": %s}', '{"b": 1, "c": [0, %s]}']), max_size=4)


@given(JSON, st.text(max_size=4), AROUND)
def test_a_repeated_member_is_found_at_any_depth(value: Any, name: str, around: list[str]) -> None:
    text = twice(value, name)
    for one in around:
        text = one.replace("%s", text)
    with pytest.raises(RepeatedError) as caught:
        check_once(text.encode())
    assert caught.value.name == name
    assert str(caught.value) == "an object states a member twice"


def test_a_member_is_the_same_however_it_is_spelt() -> None:
    with pytest.raises(RepeatedError):
        check_once(b'{"value": 1, "v\\u0061lue": 2}')


def test_a_number_of_any_length_is_no_matter() -> None:
    check_once(b'{"a": ' + b"9" * 10_000 + b', "b": 1e999}')
