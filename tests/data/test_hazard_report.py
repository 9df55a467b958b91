"""`crs hazard`: what it prints, what it writes, and that without a reviewer it writes nothing."""

import json
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

import crs
from data import hazard_report
from data.assay_table import read_assay
from data.evidence_rows import append, evidence_rows, therapy_of
from data.hazard import assess
from features.assay_evidence import AssayEvidence, read_evidence
from features.assay_prior import HAZARD_NOT_RISK
from features.catalogue import Therapy, load
from features.catalogue_tables import read
from features.errors import CatalogueError, CrsRiskError, UsageError
from tests.real_data import ROOT

EXAMPLE = ROOT / "docs" / "examples" / "synthetic-assay.csv"
CATALOGUE = load()
FACTS = CATALOGUE.assay_facts
NEW = ("--therapy", "synthetic-agent", "--class", "antibody", "--name", "Synthetic agent")


def run(*words: str | Path) -> str:
    done = CliRunner().invoke(crs.app, ["hazard", str(EXAMPLE), *map(str, words)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(autouse=True)
def _printed_where_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The console holds the stream of the moment it was made; a new one per test prints into the runner's."""
    from rich.console import Console

    monkeypatch.setattr(
        hazard_report, "console", Console(soft_wrap=True, highlight=False, markup=False, width=hazard_report.WIDE)
    )


def test_the_report_names_class_position_responders_limits_and_that_it_is_no_risk() -> None:
    said = run("--therapy", "tgn1412")
    assert "air-dried: STRONG (rose in il2, ifn_gamma, tnf)" in said
    assert "(0 = isotype, 1 = cd28-superagonist)" in said
    assert "responders: 8 of 8 donors, 1.00 (0.63 to 1.00)" in said
    assert "TNF and IL-8 alone overcall in coated wells" in said
    assert HAZARD_NOT_RISK in said


def test_without_a_reviewer_or_a_file_nothing_is_written_and_the_report_says_so(tmp_path: Path) -> None:
    out = tmp_path / "evidence.csv"
    assert "Nothing was written: name --reviewer and --out" in run("--therapy", "tgn1412", "--out", out)
    assert "Nothing was written: name --out" in run("--therapy", "tgn1412", "--reviewer", "A. Reviewer")
    assert list(tmp_path.iterdir()) == []


def test_a_reviewed_row_is_appended_and_reads_back_as_evidence_of_the_catalogue(tmp_path: Path) -> None:
    out = tmp_path / "evidence.csv"
    assert "evidence.csv, reviewed by A. Reviewer: formats pbmc-coated-air-dried." in run(
        "--therapy", "tgn1412", "--reviewer", " A.  Reviewer\n", "--out", out
    )
    (row,) = read_evidence(out, FACTS, CATALOGUE.therapies)
    assay = read_assay(EXAMPLE, FACTS)
    assert (row.therapy, row.therapy_class, row.format) == ("tgn1412", "antibody", "pbmc-coated-air-dried")
    assert (row.hazard_class, row.donors, row.reviewed_by) == ("strong", 8, "A. Reviewer")
    assert (row.reviewed_on, row.assay_sha256) == (date.today().isoformat(), assay.sha256)
    assert row.key_events == ("cytokine-release", "immune-cell-activation")
    assert (row.responder_low, row.responder_high) == (0.6306, 1.0)
    assert row.position_low < row.position < row.position_high
    assert [words.split()[0] for words in row.positions] == ["il2", "ifn_gamma", "tnf"]
    assert [path.name for path in tmp_path.iterdir()] == ["evidence.csv"]


def test_the_same_assay_is_not_written_twice_but_for_another_therapy_it_is(tmp_path: Path) -> None:
    out = tmp_path / "evidence.csv"
    words = ("--reviewer", "A. Reviewer", "--out", out)
    run("--therapy", "tgn1412", *words)
    before = out.read_bytes()
    with pytest.raises(UsageError, match="with this assay stands there already; nothing was written"):
        run("--therapy", "TGN-1412", *words)
    assert out.read_bytes() == before
    run("--therapy", "muromonab-cd3", *words)
    assert out.read_bytes().startswith(before)
    assert len(read(out, AssayEvidence)) == 2


def test_a_damaged_table_of_evidence_is_left_as_it_is(tmp_path: Path) -> None:
    out = tmp_path / "evidence.csv"
    out.write_text("therapy,hazard\nx,strong\n", encoding="utf-8")
    with pytest.raises(CatalogueError, match="the columns are not the ones of this table"):
        run("--therapy", "tgn1412", "--reviewer", "A. Reviewer", "--out", out)
    assert out.read_text(encoding="utf-8") == "therapy,hazard\nx,strong\n"


def test_an_interrupted_write_leaves_the_old_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "evidence.csv"
    run("--therapy", "tgn1412", "--reviewer", "A. Reviewer", "--out", out)
    before = out.read_bytes()

    def fail(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("data.evidence_rows.os.fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        run("--therapy", "muromonab-cd3", "--reviewer", "A. Reviewer", "--out", out)
    assert out.read_bytes() == before


def test_a_new_therapy_gets_its_row_printed_and_on_request_written(tmp_path: Path) -> None:
    out = tmp_path / "therapies.csv"
    digest = read_assay(EXAMPLE, FACTS).sha256
    assert f'synthetic-agent,Synthetic agent,,antibody,,,,no,,"in-vitro assay, sha256 {digest}",no,' in run(*NEW)
    run(*NEW, "--therapies-out", out)
    (row,) = read(out, Therapy)
    assert (row.key, row.therapy_class, row.approved, row.verified) == ("synthetic-agent", "antibody", "no", "no")
    with pytest.raises(UsageError, match="synthetic-agent stands there already"):
        run(*NEW, "--therapies-out", out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--therapy", "synthetic-agent"), "--therapy: not in the catalogue; give --class and --name"),
        (("--therapy", "x-1", "--class", "antibodies", "--name", "X"), "--class: no such class"),
        (("--therapy", "X 1", "--class", "antibody", "--name", "X"), "--therapy: not a key"),
        (("--therapy", "antibody"), "--therapy: this names a class"),
        (("--therapy", "tgn1412", "--class", "car-t"), "--class: tgn1412 is of the class antibody"),
        (("--therapy", "tgn1412", "--therapies-out", "t.csv"), "--therapies-out: tgn1412 is in the catalogue already"),
        (("--therapy", "tgn1412", "--reviewer", "  ", "--out", "never.csv"), "--reviewer: no name"),
    ],
)
def test_a_therapy_that_does_not_fit_is_refused_with_one_line(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(CrsRiskError, match="^" + said) as caught:
        run(*words)
    assert caught.value.exit_code == 2
    assert not Path("never.csv").exists()


def test_the_json_report_holds_the_same_and_null_for_what_is_unknown() -> None:
    body = json.loads(run("--therapy", "tgn1412", "--json"))
    (one,) = body["formats"]
    assert (one["hazard_class"], one["concordant"], body["therapies_row"]) == ("strong", "", None)
    assert body["hazard_not_risk"] == HAZARD_NOT_RISK
    assert [reply["cytokine"] for reply in one["responses"]["cytokines"]] == ["il2", "ifn_gamma", "tnf"]
    assert one["responses"]["severity"] == one["responses"]["cytokines"][0]["position"]
    assert "NaN" not in json.dumps(body)


def test_a_therapy_is_taken_by_any_of_its_names() -> None:
    assert therapy_of(CATALOGUE, "theralizumab", "", "", "") == ("tgn1412", "antibody", [])
    assert therapy_of(CATALOGUE, "TGN 1412", "antibody", "", "")[0] == "tgn1412"


def test_rows_of_one_file_are_written_together_or_not_at_all(tmp_path: Path) -> None:
    hazards = assess(read_assay(EXAMPLE, FACTS), FACTS)
    rows = evidence_rows(hazards, "tgn1412", "antibody", "b" * 64, "A. Reviewer", date(2026, 11, 21))
    append(tmp_path / "e.csv", rows, FACTS)
    other = evidence_rows(hazards, "tgn1412", "antibody", "c" * 64, "A. Reviewer", date(2026, 11, 21))
    with pytest.raises(UsageError):
        append(tmp_path / "e.csv", (*other, *rows), FACTS)
    assert read(tmp_path / "e.csv", AssayEvidence) == rows
