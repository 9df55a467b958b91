"""What a record tells of where a ledger lies: enough to see a change, and nothing of who signs in there."""

import json
from pathlib import Path

import pytest

from audit import places
from audit.settings import Settings
from features.home import Home

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("", ""),
        ("postgresql://crs:hunter2@db.example:5433/ledger", "db.example:5433/ledger"),
        ("postgresql://crs:hunter2/x@db.example/ledger?password=hunter2", "db.example/ledger"),
        ("postgresql:///ledger?host=/run/postgresql&user=hunter2", "/run/postgresql/ledger"),
    ],
)
def test_a_database_is_told_by_host_and_name_and_never_by_who_signs_in(tmp_path: Path, uri: str, place: str) -> None:
    told = places.told(Home(tmp_path), Settings(uri=uri))
    assert told["database_place"] == place
    assert SECRET not in json.dumps(told)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://log.example/in/hunter2?token=hunter2", "https://log.example"),
        ("http://crs:hunter2@log.example:8080/in", "http://log.example:8080"),
        ("http://crs:hunter2/x@log.example/in", ""),
        ("hunter2", ""),
    ],
)
def test_an_address_is_told_by_its_host_and_a_keyed_digest(tmp_path: Path, url: str, host: str) -> None:
    told, other = (places.told(Home(tmp_path), Settings(url=one)) for one in (url, f"{url}2"))
    assert told["checkpoint_url_host"] == host
    assert SECRET not in json.dumps(told)
    assert told["checkpoint_url_digest"] != other["checkpoint_url_digest"]
    elsewhere = places.told(Home(tmp_path / "other"), Settings(url=url))
    assert elsewhere["checkpoint_url_digest"] != told["checkpoint_url_digest"]


def test_the_folder_of_the_copies_is_told_by_its_path(tmp_path: Path) -> None:
    home, folder = Home(tmp_path / "home"), tmp_path / "elsewhere"
    assert places.told(home, Settings())["checkpoint_folder"] == str(home.checkpoints)
    assert places.told(home, Settings(folder=folder))["checkpoint_folder"] == str(folder)
    assert places.told(home, Settings())["checkpoint_url_digest"] == ""
