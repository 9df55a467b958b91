"""Section 5.4 of the requirements: laws that hold for whatever is sent, tried on the real service."""

import copy
import json
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.cds_hooks.ehr import call, prefetch
from tests.contract.cds_hooks.test_lines import VIEW, feedback, members
from tests.serving import fhir_builders as fb
from tests.serving.builders import EXAMPLE, Server
from tests.serving.test_fhir_in import paths, replaced

pytestmark = pytest.mark.slow
GRADE = {"id": "x", "schemes": ["ASTCT-2019"], "crs": {"temperature_c": 38.5}}
BODIES: dict[str, Any] = {
    "/predict": EXAMPLE,
    "/predict_batch": {"requests": [EXAMPLE]},
    "/grade": GRADE,
    "/outcomes": {"outcomes": [{"prediction_id": "x", "complete": True, "crs_grade": 0}]},
    VIEW: call(prefetch=prefetch(1)),
    f"{VIEW}/feedback": {"feedback": [feedback(str(uuid.uuid4()))]},
    "/fhir/risk-assessment": fb.bundle(*fb.chart()),
}
WAYS = {path: paths(body) for path, body in BODIES.items()}
#: Addresses whose answers hold no null and nothing empty, whatever was asked.
FULL = (VIEW, f"{VIEW}/feedback", "/fhir/risk-assessment")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
ON_THE_SERVICE = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ON_THE_SERVICE
@given(path=st.sampled_from(list(BODIES)), body=JSON)
def test_line_5_4_1_no_json_at_all_is_answered_with_5xx(crs: Server, path: str, body: Any) -> None:
    check(crs, path, body)


@ON_THE_SERVICE
@given(path=st.sampled_from(list(BODIES)), data=st.data())
def test_line_5_4_1_no_change_of_a_good_body_is_answered_with_5xx_or_with_anything_empty(
    crs: Server, path: str, data: st.DataObject
) -> None:
    body = copy.deepcopy(BODIES[path])
    for way, value in data.draw(st.lists(st.tuples(st.sampled_from(WAYS[path]), JSON), min_size=1, max_size=3)):
        try:
            body = replaced(body, way, value)
        except (KeyError, IndexError, TypeError):
            continue
    check(crs, path, body)


def check(server: Server, path: str, body: Any) -> None:
    """No 5xx; and on the addresses of CDS Hooks and FHIR no member that is null or empty, but for `cards: []`."""
    reply = server.call("POST", path, json.dumps(body).encode("utf-8", "surrogatepass"))
    assert reply.status < 500
    if path in FULL:
        empty = [name for name, value in members(reply.json) if value in (None, "", [], {})]
        assert empty == (["$.cards"] if reply.json == {"cards": []} else [])


@pytest.mark.parametrize("path", BODIES)
def test_line_5_4_1_the_bodies_that_are_changed_are_good_ones(crs: Server, path: str) -> None:
    assert crs.call("POST", path, BODIES[path]).status == 200
