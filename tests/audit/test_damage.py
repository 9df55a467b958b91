"""Records that are not as they were written: every reader names the record in one line, and none falls over."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

import crs
from audit import prediction
from audit.events import Kind
from audit.ledger import open_ledger
from audit.store import RECORDS
from features.errors import BundleError, CrsRiskError, LedgerError
from features.home import Home
from tests.audit.builders import Deployment
from tests.audit.test_verbs import recorded
from tests.serving.builders import prior_bundle, promote, trained_bundle

Change = Callable[[dict[str, Any]], bytes]
Crs = Callable[..., Any]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("damaged") / "good")
    promote(home, trained_bundle())
    recorded(home, trained_bundle(), "1")
    return home


@pytest.fixture
def home(good: Home, tmp_path: Path) -> Home:
    shutil.copytree(good.folder, tmp_path / "home")
    return Home(tmp_path / "home")


@pytest.fixture
def run(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Crs:
    """`crs audit` with words, its exception and output."""
    monkeypatch.setenv("CRS_RISK_HOME", str(home.folder))
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(crs.app, ["audit", *map(str, words)])


def place_of(home: Home, kind: Kind) -> int:
    with open_ledger(home, writes=False) as ledger:
        return next(ledger.records(kind)).sequence


def damage(home: Home, place: int, change: Change) -> None:
    """Write other bytes where a record stands, past all guards."""
    engine = Deployment(home, "").engine()
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER ledger_no_update")
        stored = connection.execute(sa.select(RECORDS.c.record).where(RECORDS.c.sequence == place)).scalar_one()
        new = change(json.loads(bytes(stored)))
        connection.execute(sa.update(RECORDS).where(RECORDS.c.sequence == place).values(record=new))
    engine.dispose()


def body(**fields: Any) -> Change:
    """Other fields of the body; None takes one away."""

    def change(held: dict[str, Any]) -> bytes:
        kept = {key: value for key, value in {**held["body"], **fields}.items() if value is not None}
        return json.dumps({**held, "body": kept}).encode()

    return change


def a_list(held: dict[str, Any]) -> bytes:
    return json.dumps({**held, "body": [1]}).encode()


def no_text(held: dict[str, Any]) -> bytes:
    assert held
    return b"\xff\xfe"


PARQUET, FHIR = ("export", "--format", "parquet", "--out", "x"), ("export", "--format", "fhir", "--out", "x")
SHOW, REPLAY, ALL, PROVE = ("show", "N"), ("replay", "N"), ("replay", "all"), ("prove", "N")
WHICH, VERSIONS = ("which-model", "--at", "2999-01-01T00:00:00Z"), ("versions",)


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        (Kind.PREDICTION, body(vector="AAAA"), REPLAY),
        (Kind.PREDICTION, body(vector=None), REPLAY),
        (Kind.PREDICTION, body(raw="!!"), SHOW),
        (Kind.PREDICTION, body(raw="!!"), REPLAY),
        (Kind.PREDICTION, body(raw="!!"), PARQUET),
        (Kind.PREDICTION, body(raw={"crs_9plus": 0.1}), SHOW),
        (Kind.PREDICTION, body(bundle=None), REPLAY),
        (Kind.PREDICTION, body(bundle=None), ALL),
        (Kind.PREDICTION, body(status=None), ALL),
        (Kind.PREDICTION, body(probabilities=[1]), PARQUET),
        (Kind.PREDICTION, body(probabilities={"crs_2plus": "x"}), PARQUET),
        (Kind.PREDICTION, body(sources=5), FHIR),
        *((Kind.PREDICTION, a_list, words) for words in (SHOW, REPLAY, ALL, PROVE, PARQUET, FHIR)),
        *((Kind.PREDICTION, no_text, words) for words in (SHOW, PROVE, ALL, PARQUET)),
        (Kind.MODEL_ACTIVATED, body(digest=None), WHICH),
        (Kind.MODEL_ACTIVATED, body(tag=None), VERSIONS),
        (Kind.MODEL_ACTIVATED, body(approvals=[{}]), FHIR),
        (Kind.MODEL_REGISTERED, body(version=None), VERSIONS),
        (Kind.MODEL_REGISTERED, body(digest=None), ("bom", "--version", "1")),
        (Kind.MODEL_REGISTERED, body(digest=None), ("diff", "1", "1")),
        (Kind.MODEL_REGISTERED, body(digest=None), ("manifest", "--version", "1", "--out", "y")),
        (Kind.MODEL_REGISTERED, body(digest=None), PROVE),
    ],
)
def test_a_damaged_record_is_named_in_one_line_that_says_what_to_do(
    home: Home, run: Crs, kind: Kind, change: Change, words: tuple[str, ...]
) -> None:
    place = place_of(home, kind)
    damage(home, place, change)
    done = run(*(str(place) if word == "N" else word for word in words))
    assert isinstance(done.exception, LedgerError), done.exception
    assert str(done.exception).startswith(f"record {place}: ")
    assert str(done.exception).endswith("; run `crs audit verify`")
    assert done.exception.exit_code == 7


def test_all_others_are_replayed_where_one_record_is_damaged(home: Home, run: Crs) -> None:
    place = place_of(home, Kind.PREDICTION)
    damage(home, place, body(vector="AAAA"))
    done = run("replay", "all")
    assert isinstance(done.exception, LedgerError)
    assert f"record {place}:" in str(done.exception)
    assert "4 of 5 answers are the same bits" in done.output
    assert f"not replayed: record {place}: it is not an answer that can be replayed" in done.output
    told = json.loads(run("replay", "all", "--json").output)
    assert [one["same"] for one in told] == [False, True, True, True, True, True]


def test_all_others_are_replayed_where_one_bundle_is_gone_and_the_record_is_named(home: Home, run: Crs) -> None:
    folder = promote(home, prior_bundle(), "2")
    recorded(home, prior_bundle(), "2")
    shutil.rmtree(folder.parent)
    done = run("replay", "all")
    with open_ledger(home, writes=False) as ledger:
        first = next(one for one in ledger.records(Kind.PREDICTION) if one.body["version"] == "2")
    assert isinstance(done.exception, BundleError)
    assert str(done.exception).startswith(f"record {first.sequence}: the bundle of that answer is not there")
    assert "5 of 11 answers are the same bits" in done.output


def test_an_answer_with_numbers_taken_out_does_not_replay_as_the_same(home: Home, run: Crs) -> None:
    """Four numbers instead of five compare as equal, one by one."""
    place = place_of(home, Kind.PREDICTION)
    with open_ledger(home, writes=False) as ledger:
        record = ledger.at(place)
    assert record is not None
    damage(home, place, body(raw=prediction._written(prediction.array_of(record.body["raw"])[:4])))
    done = run("replay", place)
    assert isinstance(done.exception, CrsRiskError)
    assert f"record {place}: it is not an answer that can be replayed" in str(done.exception)
