"""A centre's own codes in calls: they count as the reviewed ones do, a bad list starts nothing, a replay needs them."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import crs
from audit.events import Kind, Record, plain
from audit.ledger import open_ledger
from audit.request import Request
from features.concepts import concepts
from features.errors import UsageError
from features.home import Home
from serving.again import Again
from serving.cds.services import prefetch
from serving.own_codes import known, own_tokens
from serving.recorded import Asked
from serving.risk_assessment import question
from serving.trust import reading
from serving.trust.caller import DEVELOPER
from serving.trust.settings import Codes
from serving.trust.told import told
from tests.contract.cds_hooks import ehr
from tests.serving import fhir_builders as fb
from tests.serving.builders import EXAMPLE, ROOT, Reply, Server, promote, trained_bundle
from tests.serving.test_cds_desk import RISK, VIEW, desk, reply
from tests.serving.test_cds_properties import ANSWERER, NOW, TABLES
from tests.serving.test_recorded import Kept

OURS = "http://our.hospital/codes"
SIGN = "/cds-services/crs-risk-order-sign"
HEADER = "kind,key,system,code,value,grading,note\n"
ROWS = f"""analyte,crp,{OURS},CRP-Q,,,our laboratory's name
analyte,ferritin,urn:oid:1.2.3,9.1,,,
analyte,il6,LOINC,99999-9,,,not in the reviewed table
analyte,ldh,{OURS},LDH serum,,,a blank
analyte,ldh,{OURS},"LDH,1",,,a comma
analyte,ldh,local,LDH,,,no address
analyte,temperature,{OURS},TEMP,,,no laboratory test
therapy,axicabtagene-ciloleucel,{OURS},AXI,,,
therapy,our-new-car-t,{OURS},CART-9,,,not in the catalogue
"""
#: What the search is asked for of those rows.
ASKED = (f"{OURS}|CRP-Q", "urn:oid:1.2.3|9.1", "http://loinc.org|99999-9")
DRAFT = {**fb.order("d1", "AXI", "", OURS, status="draft", authoredOn=None)}


@pytest.fixture
def own(tmp_path: Path) -> Codes:
    (tmp_path / "codes.csv").write_text(HEADER + ROWS, encoding="utf-8")
    return Codes(str(tmp_path / "codes.csv"))


def digest(own: Codes) -> str:
    return sha256(Path(own.file).read_bytes()).hexdigest()


def ordering(draft: dict[str, Any]) -> dict[str, Any]:
    """A call of order-sign for a patient of whom no therapy is charted."""
    held = {**ehr.prefetch(-5, NOW), "meds": None}
    return ehr.call("order-sign", context={**ehr.context(), "draftOrders": fb.bundle(draft)}, prefetch=held)


def cards(sent: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(sent.content)["cards"]
    return found


# A code of the list counts


def test_a_draft_order_with_a_local_code_raises_the_card(tmp_path: Path, own: Codes) -> None:
    assert cards(reply(desk(tmp_path, Kept([])), ordering(DRAFT), SIGN)) == []
    kept = Kept([])
    (card,) = cards(reply(desk(tmp_path, kept, codes=own), ordering(DRAFT), SIGN))
    assert "CRS" in card["summary"]
    assert kept.entries[0].body["therapy"] == "axicabtagene-ciloleucel"


def test_a_therapy_of_the_list_that_no_table_knows_is_never_answered_as_not_concerned(
    tmp_path: Path, own: Codes
) -> None:
    draft = fb.order("d1", "CART-9", "", OURS, status="draft", authoredOn=None)
    (card,) = cards(reply(desk(tmp_path, Kept([]), codes=own), ordering(draft), SIGN))
    assert card["indicator"] == "info"


def charted(system: str, code: str, **fields: Any) -> tuple[dict[str, Any], ...]:
    """The chart with CRP by that code."""
    own = fb.result("o1", "1988-5", 96.0, "mg/L", **{"code": fb.concept(system, code), **fields})
    return tuple(own if one["id"] == "o1" else one for one in fb.chart())


def row(folder: Path, body: Any, path: str, **trust: Any) -> dict[str, Any]:
    kept = Kept([])
    reply(desk(folder, kept, **trust), body, path)
    return dict(kept.entries[0].body)


def as_hook(resources: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    labs = [one for one in resources if one["resourceType"] == "Observation"]
    other = [one for one in resources if one["resourceType"] != "Observation"]
    return ehr.call(prefetch={"patient": resources[0], "labs": fb.bundle(*labs), "admin": fb.bundle(*other)})


@pytest.mark.parametrize("path", [VIEW, RISK])
def test_a_local_lab_code_counts_like_loinc_bit_for_bit(tmp_path: Path, own: Codes, path: str) -> None:
    def body(resources: tuple[dict[str, Any], ...]) -> Any:
        return as_hook(resources) if path == VIEW else fb.bundle(*resources)

    listed = row(tmp_path, body(charted(fb.LOINC, "1988-5")), path)
    ours = row(tmp_path, body(charted(OURS, "CRP-Q")), path, codes=own)
    unread = row(tmp_path, body(charted(OURS, "CRP-Q")), path)
    names = ("vector", "prior", "raw", "probabilities", "low", "high", "therapy", "ignored")
    assert {name: ours[name] for name in names} == {name: listed[name] for name in names}
    assert unread["vector"] != listed["vector"]
    assert unread["ignored"]["code-unknown"] == listed["ignored"].get("code-unknown", 0) + 1


def test_a_local_code_takes_the_units_of_its_analyte_and_no_other(own: Codes) -> None:
    measured = {"value": 96.0, "unit": "furlong", "code": "furlong"}
    codes = known(TABLES, own.file)
    found = question(codes, fb.bundle(*charted(OURS, "CRP-Q", valueQuantity=measured)), fb.NOW).read
    assert found.ignored["unit-not-accepted"] == 1
    assert "crp" not in found.used


def test_a_system_may_be_named_by_its_address_too(tmp_path: Path) -> None:
    (tmp_path / "codes.csv").write_text(f"{HEADER}analyte,il6,{fb.LOINC},99999-9,,,\n", encoding="utf-8")
    codes = concepts(TABLES, tmp_path / "codes.csv")
    assert list(codes.local) == [("LOINC", "99999-9")]
    assert own_tokens(codes) == ("http://loinc.org|99999-9",)


# What is asked for


def test_the_template_asks_for_local_codes_that_a_search_can_hold(own: Codes) -> None:
    plain, ours = prefetch(known(TABLES, "")), prefetch(known(TABLES, own.file))
    before, after = (one["labs"].split("&code=")[1].split("&")[0].split(",") for one in (plain, ours))
    assert tuple(after) == (*before, *ASKED)
    assert {key: one for key, one in ours.items() if key != "labs"} == {
        key: one for key, one in plain.items() if key != "labs"
    }


def test_a_local_code_that_the_table_lists_already_is_asked_for_once(tmp_path: Path) -> None:
    (tmp_path / "codes.csv").write_text(f"{HEADER}analyte,crp,LOINC,1988-5,,,\n", encoding="utf-8")
    assert prefetch(concepts(TABLES, tmp_path / "codes.csv")) == prefetch(known(TABLES, ""))


def test_what_is_fetched_back_is_asked_for_by_local_codes_too(tmp_path: Path, own: Codes) -> None:
    asked = Asked(VIEW, json.dumps(ehr.call()).encode(), 0.0, DEVELOPER)
    wanted = desk(tmp_path, Kept([]), codes=own)._read(asked).wanted["labs"]
    assert wanted.startswith("Observation?patient=p1&code=")
    assert all(one in wanted for one in ASKED)


# What is recorded


@pytest.mark.parametrize("day", [1, 60], ids=["a course", "nobody concerned"])
def test_a_record_names_the_list_that_the_chart_was_read_by(tmp_path: Path, own: Codes, day: float) -> None:
    body = ehr.call(prefetch=ehr.prefetch(day, NOW))
    assert row(tmp_path, body, VIEW, codes=own)["codes"] == digest(own)
    assert "codes" not in row(tmp_path, body, VIEW)


@pytest.mark.parametrize("with_list", [True, False], ids=["by a list", "before there was one"])
def test_an_answer_is_read_again_by_the_list_that_it_was_read_by(tmp_path: Path, own: Codes, with_list: bool) -> None:
    kept, body = Kept([]), ehr.call(prefetch=ehr.prefetch(1, NOW))
    reply(desk(tmp_path, kept, **({"codes": own} if with_list else {})), body)
    (entry,) = kept.entries
    record = Record(0, NOW, entry.kind, entry.event_id, json.loads(plain(entry.body)), "")
    request = Request(VIEW, json.dumps(body).encode(), NOW.isoformat())

    def differences(*files: str) -> list[str]:
        return Again(b"key", map(Path, files)).differences(request, record, ANSWERER.predictor)[0]

    later = tmp_path / "later.csv"
    later.write_text(HEADER, encoding="utf-8")
    assert differences(str(later), own.file) == []
    assert differences(str(later)) == (["read again: other codes"] if with_list else [])


# A bad list starts nothing

BAD = {
    "analyte,sodium,local,X,,,": "codes.csv line 2, key: no analyte of that name",
    "lab,crp,local,X,,,": "codes.csv line 2, kind: not a kind of code",
    "analyte,crp,,X,,,": "codes.csv line 2, system: system or code is empty",
    "analyte,crp,local,,,,": "codes.csv line 2, code: system or code is empty",
    "event,oxygen,local,X,much,,": "codes.csv line 2, value: not a number",
    "event,crs_grade,local,X,,Smith,": "codes.csv line 2, grading: not a grading system",
    "analyte,crp,local,X,,,\nanalyte,ldh,local,X,,,": "codes.csv line 3, code: the code stands twice",
    "analyte,crp,local,X": "codes.csv line 2: 4 cells where 7 are expected",
    'analyte,crp,local,"X,,,': "codes.csv line 2: not CSV",
    "analyte,crp,local,X,,,\nanalyte,crp,local,Y,,,\udcff": "codes.csv line 3: not UTF-8",
}


def settled(folder: Path, rows: str) -> Home:
    home = Home(folder)
    (folder / "codes.csv").write_bytes((HEADER + rows).encode("utf-8", "surrogateescape"))
    home.trust.write_text('[codes]\nfile = "codes.csv"\n')
    return home


@pytest.mark.parametrize("rows", BAD, ids=BAD.values())
def test_a_bad_list_is_one_line_with_file_line_and_column(tmp_path: Path, rows: str) -> None:
    with pytest.raises(UsageError) as caught:
        reading.read(settled(tmp_path, rows).trust)
    assert str(caught.value).startswith(f"trust.toml: codes.file: {BAD[rows]}")
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (2, False)


def test_a_list_that_is_not_there_or_has_other_columns_is_one_line_too(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("code,key\n")
    for name, problem in (("none.csv", "cannot be read"), ("other.csv", "line 1: the columns")):
        with pytest.raises(UsageError, match=rf"trust\.toml: codes\.file: .*{name}.*{problem}"):
            reading.from_mapping({"codes": {"file": name}}, tmp_path / "trust.toml")


def test_a_service_with_a_bad_list_does_not_start(tmp_path: Path) -> None:
    settled(tmp_path, "analyte,sodium,local,X,,,\n")
    line = [sys.executable, str(ROOT / "crs.py"), "serve", "--port", "0"]
    environment = {**os.environ, "CRS_RISK_HOME": str(tmp_path)}
    done = subprocess.run(line, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=60)
    said = f"crs: trust.toml: codes.file: {BAD['analyte,sodium,local,X,,,']}; see docs/sources.md for the keys\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


def test_a_check_of_the_settings_tells_what_the_list_holds(tmp_path: Path) -> None:
    home = settled(tmp_path, ROWS)
    lines, complete = told(reading.read(home.trust))
    content = sha256((home.folder / "codes.csv").read_bytes()).hexdigest()
    assert complete
    assert lines[1:] == [
        f"own codes codes.csv: 9, sha256 {content}",
        "  of laboratory tests: 6, of which 3 can stand in a search",
    ]


@pytest.mark.parametrize(("page", "rows"), [("sources.md", 5), ("fhir.md", 2)])
def test_the_documented_list_is_one_that_is_read(tmp_path: Path, page: str, rows: int) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    (tmp_path / "codes.csv").write_text(text.split("```csv\n")[1].split("```")[0], encoding="utf-8")
    assert len(known(TABLES, str(tmp_path / "codes.csv")).local) == rows


def test_the_documented_setting_is_one_that_is_read(tmp_path: Path, own: Codes) -> None:
    text = (ROOT / "docs" / "fhir.md").read_text(encoding="utf-8")
    body = tomllib.loads(text.split("```toml\n")[1].split("```")[0])
    assert reading.from_mapping(body, tmp_path / "trust.toml").codes == own


# The running service, and its answers read again


@dataclass
class Served:
    server: Server
    file: Path
    replies: dict[str, Reply]

    @property
    def home(self) -> Home:
        return self.server.home


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service with the vault on that was asked with a draft and a Bundle of local codes, and without a chart."""
    folder = tmp_path_factory.mktemp("own")
    home = Home(folder / "home")
    promote(home, trained_bundle())
    settled(home.folder, ROWS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRS_RISK_VAULT", "on")
        server = Server.start(home, folder)
    try:
        server.wait_until_ready()
        body = {**ordering(DRAFT), "prefetch": {**ehr.prefetch(-5), "meds": None}}
        replies = {
            "discovery": server.call("GET", "/cds-services"),
            "order": server.call("POST", SIGN, body),
            "bundle": server.call("POST", RISK, fb.bundle(*charted(OURS, "CRP-Q"), timestamp="2026-02-03T10:00:00Z")),
            "predict": server.predict(EXAMPLE),
        }
        yield Served(server, home.folder / "codes.csv", replies)
    finally:
        server.stop()


def replayed(served: Served, *words: str) -> tuple[int, list[dict[str, Any]]]:
    environment = {"CRS_RISK_HOME": str(served.home.folder), "CRS_RISK_TRUST": ""}
    done = CliRunner().invoke(crs.app, ["audit", "replay", "all", "--json", *words], env=environment)
    code = done.exit_code if done.exception is None else getattr(done.exception, "exit_code", done.exit_code)
    return code, json.loads(done.stdout)


@pytest.mark.slow
def test_the_service_finds_offers_and_records_the_list(served: Served) -> None:
    assert {name: one.status for name, one in served.replies.items()} == dict.fromkeys(served.replies, 200)
    templates = [one["prefetch"]["labs"] for one in served.replies["discovery"].json["services"]]
    assert len(templates) == 4
    assert all(token in one for token in ASKED for one in templates)
    assert len(served.replies["order"].json["cards"]) == 1
    content = sha256(served.file.read_bytes()).hexdigest()
    with open_ledger(served.home, writes=False) as ledger:
        changed = ledger.last(Kind.CONFIG_CHANGED)
        bodies = [one.body for one in ledger.records(Kind.PREDICTION)]
    assert changed is not None
    assert changed.body["codes"] == content
    assert [one.get("codes") for one in bodies] == [content, content, None]


@pytest.mark.slow
def test_a_replay_by_another_list_says_so_and_by_the_same_one_is_the_same_bits(served: Served, tmp_path: Path) -> None:
    code, found = replayed(served)
    assert (code, [one["differences"] for one in found]) == (0, [[], [], []])
    assert {one["level"] for one in found} == {2}
    before, kept = served.file.read_text(), tmp_path / "before.csv"
    kept.write_text(before)
    served.file.write_text(before.replace("crp", "ferritin"))
    try:
        code, found = replayed(served)
        assert (code, [one["differences"] for one in found]) == (7, [["read again: other codes"]] * 2 + [[]])
        code, found = replayed(served, "--codes", str(kept), "--codes", str(served.file))
        assert (code, [one["differences"] for one in found]) == (0, [[], [], []])
    finally:
        served.file.write_text(before)
