"""The settings of trust are a closed type: what is misspelt or does not fit is one line, before anything starts."""

import base64
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from features.errors import UsageError
from features.home import Home
from serving.trust import reading, settings
from serving.trust.addresses import is_loopback, only_loopback
from serving.trust.settings import Trust
from tests.serving.builders import ROOT
from tests.serving.trust.issuing import key, public

GOOD = """
public_url = "https://crs.example"
[[issuers]]
issuer = "https://ehr.example"
jwks_file = "ehr.json"
roles = ["predict"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "ehr.json").write_text(json.dumps(public(key())))
    return tmp_path / "trust.toml"


def read(file: Path, text: str) -> Trust:
    file.write_text(text)
    return reading.read(file)


def test_a_good_file_is_read_and_files_are_looked_for_beside_it(file: Path) -> None:
    found = read(file, GOOD)
    assert (found.base, found.development) == ("https://crs.example", False)
    assert found.issuers[0].jwks_file == str(file.parent / "ehr.json")
    assert found.issuers[0].granted("anybody") == {"predict"}


def test_without_a_file_or_an_issuer_it_is_development_mode(file: Path) -> None:
    assert reading.read(None).development
    assert read(file, '[cors]\norigins = ["https://sandbox.example"]\n').development


BAD = {
    "isuers = []": "trust.toml: unknown setting isuers",
    GOOD + 'role = ["predict"]': "trust.toml: issuers[0]: unknown setting role",
    GOOD + "[limits]\ndeep = 3": "trust.toml: limits: unknown setting deep",
    GOOD + "[tokens]\nlongest_life_seconds = '300'": "trust.toml: tokens.longest_life_seconds: expected int, got str",
    GOOD + "[tokens]\nclock_skew_seconds = 301": "trust.toml: tokens.clock_skew_seconds: expected int <= 300",
    GOOD + '[tokens]\nalgorithms = ["HS256"]': "trust.toml: tokens.algorithms[0]: invalid enum value 'HS256'",
    GOOD + '[tokens]\nalgorithms = ["none"]': "trust.toml: tokens.algorithms[0]: invalid enum value 'none'",
    GOOD + "[tokens]\nalgorithms = []": "trust.toml: tokens.algorithms: expected array of length >= 1",
    GOOD.replace('"predict"', '"admin"'): "trust.toml: issuers[0].roles[0]: invalid enum value 'admin'",
    GOOD.replace('public_url = "https://crs.example"', ""): "trust.toml: public_url: it is needed",
    GOOD.replace("https://crs", "http://crs"): "trust.toml: public_url: expected https://HOST",
    GOOD.replace("crs.example", "crs.example/?x=1"): "trust.toml: public_url: expected https://HOST",
    GOOD.replace('roles = ["predict"]', ""): "trust.toml: issuers[0]: it has neither roles nor subjects",
    GOOD.replace('jwks_file = "ehr.json"', ""): "trust.toml: issuers[0]: it has neither jwks_file nor keys nor jku",
    GOOD.replace("ehr.json", "none.json"): "trust.toml: issuers[0].jwks_file: it cannot be read as a JWK set",
    GOOD + 'jku = ["http://ehr.example/keys"]': "trust.toml: issuers[0].jku: expected an https address",
    GOOD + 'jku = ["file:///etc/passwd"]': "trust.toml: issuers[0].jku: expected an https address",
    GOOD + 'jku = ["https://u:p@ehr.example/keys"]': "trust.toml: issuers[0].jku: expected an https address",
    GOOD + GOOD.split("\n", 2)[2]: "trust.toml: issuers[0].issuer: the same issuer stands twice",
    GOOD + "[[issuers.keys]]\nkty = 'oct'": "trust.toml: issuers[0]: it has jwks_file and keys",
    GOOD + '[cors]\norigins = ["*"]': "trust.toml: cors.origins: expected scheme and host",
    GOOD + '[cors]\norigins = ["https://*.example"]': "trust.toml: cors.origins: expected scheme and host",
    GOOD + '[cors]\norigins = ["https://ehr.example/"]': "trust.toml: cors.origins: expected scheme and host",
    GOOD + '[cors]\norigins = ["null"]': "trust.toml: cors.origins: expected scheme and host",
    GOOD + '[jwks]\nca_file = "none.pem"': "trust.toml: jwks.ca_file: there is no such file",
    "public_url = ": "trust.toml: the settings of trust cannot be read as TOML",
}


@pytest.mark.parametrize("text", BAD, ids=BAD.values())
def test_a_setting_that_cannot_be_meant_is_one_line_that_names_it(file: Path, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(file, text)
    assert str(caught.value).startswith(BAD[text])
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (2, False)


def ec(**changes: Any) -> dict[str, Any]:
    return {**public(key())["keys"][0], **changes}


@pytest.mark.parametrize(
    ("held", "problem"),
    [
        ([key().as_dict(private=True)], "only public keys"),
        ([{"kty": "oct", "kid": "1", "k": "c2VjcmV0"}], "only public keys"),
        ([ec(use="enc")], "not for signatures"),
        ([ec(key_ops=["encrypt"])], "not for signatures"),
        ([ec(kid="")], "it has no kid"),
        ([ec(x="AA")], "it cannot be read"),
        (["text"], "not a JSON object"),
        ([ec(), ec()], "two have one kid"),
        ([], "there is no key"),
    ],
)
def test_a_key_in_the_settings_that_cannot_be_used_is_refused(file: Path, held: Any, problem: str) -> None:
    (file.parent / "ehr.json").write_text(json.dumps({"keys": held}))
    with pytest.raises(UsageError, match=problem):
        read(file, GOOD)


def test_a_short_rsa_key_is_refused(file: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    modulus = rsa.generate_private_key(65537, 1024).public_key().public_numbers().n.to_bytes(128, "big")
    short = {"kty": "RSA", "kid": "1", "e": "AQAB", "n": base64.urlsafe_b64encode(modulus).decode().rstrip("=")}
    (file.parent / "ehr.json").write_text(json.dumps({"keys": [short]}))
    with pytest.raises(UsageError, match="2048 bits or more"):
        read(file, GOOD)


def test_the_named_file_wins_over_the_one_in_the_home(file: Path, tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert reading.named(home, {}) is None
    file.write_text(GOOD)
    assert reading.named(home, {}) == file
    assert reading.named(home, {reading.VARIABLE: str(tmp_path / "other.toml")}) == tmp_path / "other.toml"


def test_a_named_file_that_is_not_there_is_an_error_and_not_development_mode(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml"):
        reading.settled({reading.VARIABLE: str(tmp_path / "none.toml"), "CRS_RISK_HOME": str(tmp_path)})


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "", "10.0.0.1", "169.254.1.1", "127.0.0.1.nip.example", "no such name"],
)
def test_an_address_that_others_can_reach_is_not_this_machines_alone(host: str) -> None:
    assert not only_loopback(host)
    assert not is_loopback(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_the_loopback_addresses_are_this_machines_alone(host: str) -> None:
    assert only_loopback(host)
    assert is_loopback(host)


def test_the_documented_settings_are_the_settings_with_their_defaults() -> None:
    page = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8").split("## Every setting")[1]
    listed = re.findall(r"^\| `([a-z_.]+)` \| ([^|]+) \|", page, re.MULTILINE)
    assert sorted(key for key, _ in listed) == sorted(documented())
    shown = {key: told.strip("` ") for key, told in listed}
    assert {key: shown[key] for key in documented() if documented()[key] is not None} == documented_defaults()


def documented() -> dict[str, Any]:
    """Every setting by its dotted name, with its default."""
    found: dict[str, Any] = {}
    for one in fields(Trust):
        inner = settings.Issuer if one.name == "issuers" else type(one.default)
        if not issubclass(inner, Struct):
            found[one.name] = known(one.default)
            continue
        for field in fields(inner):
            found[f"{one.name}.{field.name}"] = known(field.default)
    return found


def known(default: Any) -> Any:
    return None if default is NODEFAULT else default


def documented_defaults() -> dict[str, str]:
    shown = {bool: lambda one: str(one).lower(), str: repr, tuple: lambda one: json.dumps(list(one))}
    return {
        key: shown.get(type(value), str)(value).replace("'", '"')
        for key, value in documented().items()
        if value is not None
    }


def test_the_documented_example_is_one_that_is_read(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    body = tomllib.loads(example)
    (tmp_path / "keys").mkdir()
    for one in body["issuers"]:
        if "jwks_file" in one:
            (tmp_path / one["jwks_file"]).write_text(json.dumps(public(key())))
    found = reading.from_mapping(body, tmp_path / "trust.toml")
    assert {one.kind for one in found.issuers} == {"cds-hooks", "oauth2"}
