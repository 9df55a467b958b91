"""A body that does not keep its form is refused with the field's path, and repeats nothing that was sent."""

import json
from typing import Any

import pytest

from serving import api
from serving.decode import batch_request, predict_request
from serving.refusal import RefusalError
from tests.serving.builders import EXAMPLE, example, with_course

CANARY = "CANARY-4711"


def refusal(body: Any) -> RefusalError:
    given = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(RefusalError) as caught:
        predict_request(given)
    return caught.value


def observation(**changes: Any) -> dict[str, Any]:
    """The example with one observation, some of its fields replaced; None takes a field away."""
    one = {"code": "crp", "value": 12.5, "unit": "mg/L", "hours": 1, **changes}
    return example(observations=[{key: value for key, value in one.items() if value is not None}])


def literally(number: str) -> bytes:
    """The example with one observation whose value is written just so."""
    return json.dumps(observation(value=777)).replace("777", number).encode()


def test_the_example_is_read_as_it_stands() -> None:
    request = predict_request(json.dumps(EXAMPLE).encode())
    assert request.course.id == "example-1"
    assert request.course.comorbidities == {"cardiac_disease": False, "autoimmune_disease": True}
    assert [one.value for one in request.observations] == [18.0, 6.4, 820.0, 410.0, 74.0, 80.0, 38.6]
    assert request.events[0].grading == "ASTCT-2019"


@pytest.mark.parametrize(
    ("body", "status", "code", "path"),
    [
        (b"{", 400, "malformed-json", "$"),
        (b"", 400, "malformed-json", "$"),
        (b"\xff\xfe", 400, "malformed-json", "$"),
        (b'{"course": {"id": "\xff"}}', 400, "malformed-json", "$"),
        (b"[" * 200_000, 400, "wrong-type", "$"),
        (b'{"course": ' + b"[" * 200_000, 400, "wrong-type", "$.course"),
        ([EXAMPLE], 400, "wrong-type", "$"),
        (example(course=None), 400, "wrong-type", "$.course"),
        (example(hours_since_start="24"), 400, "wrong-type", "$.hours_since_start"),
        (example(hours_since_start=True), 400, "wrong-type", "$.hours_since_start"),
        (with_course(age_years="61"), 400, "wrong-type", "$.course.age_years"),
        (with_course(high_disease_burden=1), 400, "wrong-type", "$.course.high_disease_burden"),
        (with_course(comorbidities={"hiv": "no"}), 400, "wrong-type", "$.course.comorbidities[...]"),
        (observation(value="12"), 400, "wrong-type", "$.observations[0].value"),
        ({"course": EXAMPLE["course"]}, 400, "missing-field", "$.hours_since_start"),
        (observation(unit=None), 400, "missing-field", "$.observations[0].unit"),
        (example(course={"therapy": "axi-cel"}), 400, "missing-field", "$.course.id"),
        (example(index="now"), 400, "unknown-field", "$"),
        (with_course(agge_years=61), 400, "unknown-field", "$.course"),
        (observation(units="mg/L"), 400, "unknown-field", "$.observations[0]"),
        (with_course(id=""), 422, "length-not-accepted", "$.course.id"),
        (with_course(id="x" * 201), 422, "length-not-accepted", "$.course.id"),
        (observation(value=float("nan")), 422, "value-not-finite", "$.observations[0].value"),
        (observation(value=float("-inf")), 422, "value-not-finite", "$.observations[0].value"),
        (example(hours_since_start=float("inf")), 422, "value-not-finite", "$.hours_since_start"),
        (literally("1e999"), 422, "value-not-finite", "$.observations[0].value"),
        (literally("9" * 400), 422, "value-not-finite", "$.observations[0].value"),
    ],
)  # fmt: skip
def test_a_body_of_the_wrong_form_is_refused_with_its_path(body: Any, status: int, code: str, path: str) -> None:
    error = refusal(body)
    assert (error.http_status, error.code, error.place) == (status, code, path)


@pytest.mark.parametrize("name", ["observations", "events"])
def test_the_limit_on_entries_holds_on_both_sides_of_its_edge(name: str) -> None:
    most = {"observations": api.MOST_OBSERVATIONS, "events": api.MOST_EVENTS}[name]
    one = {
        "observations": {"code": "crp", "value": 1, "unit": "mg/L", "hours": 1},
        "events": {"event": "oxygen", "hours": 1},
    }[name]
    assert len(getattr(predict_request(json.dumps(example(**{name: [one] * most})).encode()), name)) == most
    error = refusal(example(**{name: [one] * (most + 1)}))
    assert (error.http_status, error.code, error.place) == (422, "length-not-accepted", f"$.{name}")


def test_a_batch_holds_from_one_to_a_thousand_courses() -> None:
    one = {"course": {"id": "a", "therapy": "axi-cel"}, "hours_since_start": 0}
    assert len(batch_request(json.dumps({"requests": [one] * api.MOST_COURSES}).encode()).requests) == api.MOST_COURSES
    for count in (0, api.MOST_COURSES + 1):
        with pytest.raises(RefusalError) as caught:
            batch_request(json.dumps({"requests": [one] * count}).encode())
        assert (caught.value.http_status, caught.value.place) == (422, "$.requests")


@pytest.mark.parametrize(
    "body",
    [
        with_course(**{CANARY: 1}),
        with_course(**{f"x` - at `$.{CANARY.lower()}": 1}),
        with_course(comorbidities={CANARY: "yes"}),
        with_course(age_years=CANARY),
        observation(value=CANARY),
        b'{"course": {"id": "' + CANARY.encode(),
        b'{"' + CANARY.encode() + b'": NaN}',
        b'{"course": {"id": ' + CANARY.encode() + b"}}",
    ],
)
def test_no_part_of_a_refusal_repeats_what_was_sent(body: Any) -> None:
    error = refusal(body)
    assert CANARY.lower() not in (str(error) + error.body.decode() + error.place).lower()


def test_a_misspelt_field_is_answered_with_the_nearest_of_ours() -> None:
    assert refusal(with_course(agge_years=61)).remedy == "did you mean `age_years`?"


def test_the_request_can_state_every_course_column_of_the_catalogue() -> None:
    from features.course import COURSE_NUMBERS

    named = {"sex_male" if name == "sex" else name for name in api.Course.__struct_fields__}
    assert set(COURSE_NUMBERS) <= named
