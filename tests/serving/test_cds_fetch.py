"""Where the service may read: one listed address and what lies below it, and nothing that only looks like it."""

import json
from pathlib import Path

import pytest

from features.errors import UsageError
from serving.cds.fetch import Access, Fetcher, _below, next_pages
from serving.cds.form import Authorization, Call
from serving.decode import hook_call
from serving.trust import reading
from serving.trust.settings import Fhir, Limits
from tests.contract.cds_hooks import ehr

BASE = "https://ehr.example/fhir"


@pytest.mark.parametrize(
    ("address", "may"),
    [
        (f"{BASE}/Patient/p1", True),
        (f"{BASE}/Observation?patient=p1&_count=5", True),
        (f"{BASE}?_getpages=abc", True),
        ("https://ehr.example/fhir2/Patient/p1", False),
        ("https://ehr.example/other", False),
        ("https://ehr.example.evil.example/fhir/Patient/p1", False),
        ("https://ehr.example@evil.example/fhir/Patient/p1", False),
        ("https://user@ehr.example/fhir/Patient/p1", False),
        ("https://ehr.example:444/fhir/Patient/p1", False),
        ("http://ehr.example/fhir/Patient/p1", False),
        ("ftp://ehr.example/fhir/Patient/p1", False),
        (f"{BASE}/../admin", False),
        (f"{BASE}/%2e%2E/admin", False),
        ("https://[", False),
        ("https://ehr.example:x/fhir/Patient/p1", False),
        ("", False),
    ],
)
def test_only_what_lies_below_the_listed_address_is_read(address: str, may: bool) -> None:
    assert _below(BASE, address) is may


@pytest.mark.parametrize(
    ("server", "may"),
    [
        (BASE, True),
        (f"{BASE}/", True),
        (f"{BASE}/x", False),
        ("https://EHR.example/fhir", False),
        ("https://ehr.example", False),
        ("", False),
    ],
)
def test_only_a_listed_server_is_asked(server: str, may: bool) -> None:
    assert Fetcher(Fhir(servers=(BASE,)), Limits()).allowed(server) is may


def test_nothing_is_listed_unless_somebody_lists_it() -> None:
    assert not Fetcher(Fhir(), Limits()).allowed(BASE)
    assert not Fetcher(Fhir(), Limits()).allowed("")


@pytest.mark.parametrize("server", ["http://ehr.example/fhir", "ftp://x", "https://u@x", "https://x?y=1", ""])
def test_a_server_without_tls_cannot_be_listed(server: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"fhir\.servers"):
        reading.from_mapping(
            {"fhir": {"servers": [server]}} if server else {"fhir": {"servers": ["x"]}}, tmp_path / "t"
        )


def test_next_pages_are_those_of_every_bundle_and_of_nothing_else() -> None:
    inner = {"resourceType": "Bundle", "link": [{"relation": "next", "url": "b"}, {"relation": "self", "url": "c"}]}
    outer = {"resourceType": "Bundle", "link": [{"relation": "next", "url": "a"}], "entry": [{"resource": inner}]}
    assert sorted(next_pages(outer)) == ["a", "b"]
    for odd in (
        None,
        5,
        [],
        {"resourceType": "Bundle", "link": "x"},
        {"resourceType": "Bundle", "link": [{"url": "d"}]},
    ):
        assert next_pages(odd) == []


def test_a_token_does_not_show_where_a_call_is_printed() -> None:
    body = ehr.call(fhirServer=BASE, fhirAuthorization=ehr.authorization())
    call = hook_call(json.dumps(body).encode())
    assert isinstance(call, Call)
    assert isinstance(call.fhirAuthorization, Authorization)
    assert call.fhirAuthorization.access_token == ehr.TOKEN
    assert ehr.TOKEN not in f"{call!r} {call} {Access(BASE, ehr.TOKEN)!r}"
