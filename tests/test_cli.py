"""The command as a hospital meets it: one line and an exit code for what is wrong, and nothing written half."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import crs as command
from features.errors import StoreError
from features.home import Home, Live, check_writable, make_folder, read_live, write_live
from serving.store import bundle_folder
from tests.real_data import ROOT

VERBS = (
    ("demo",),
    ("trust", "check"),
    ("cohort", "synth"),
    ("cohort", "check"),
    ("cohort", "rates"),
    ("cohort", "convert"),
    ("cohort", "import"),
    ("cohort", "export"),
    ("hazard",),
    ("diagnose",),
    ("train",),
    ("recalibrate",),
    ("tune",),
    ("evaluate",),
    ("grade",),
    ("gate",),
    ("approve",),
    ("promote",),
    ("rollback",),
    ("serve",),
    ("audit", "verify"),
    ("audit", "show"),
    ("audit", "which-model"),
    ("audit", "versions"),
    ("audit", "replay"),
    ("audit", "prove"),
    ("audit", "export"),
    ("audit", "manifest"),
    ("audit", "key"),
)
#: Stands for a patient's value; none of our own figures contains it.
CANARY = "31415.92653"
USAGE, DATA, BUNDLE, STORE, GATE = 2, 3, 4, 5, 9
ROLLBACK = ("rollback", "--by", "Ada Example", "--reason", "alerts")

Crs = Callable[..., "subprocess.CompletedProcess[str]"]


def run(home: Path, *words: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """`crs` with these words, on a home of its own."""
    held = {key: value for key, value in os.environ.items() if not key.startswith(("CRS_RISK_", "MLFLOW_TRACKING"))}
    return subprocess.run(
        [sys.executable, str(ROOT / "crs.py"), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=home.parent,
        env={**held, "CRS_RISK_HOME": str(home), "COLUMNS": "200", **environment},
        check=False,
    )


@pytest.fixture
def crs(tmp_path: Path) -> Crs:
    return lambda *words, **environment: run(tmp_path / "home", *words, **environment)


def refused(done: "subprocess.CompletedProcess[str]", code: int, *named: str) -> None:
    """The command ended with this code and one line of its own, which names these; nothing of Python shows."""
    assert done.returncode == code, done.stderr[-1500:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("crs: ")]
    assert len(lines) == 1, done.stderr
    assert lines[0] == done.stderr.splitlines()[-1]
    assert [word for word in named if word not in lines[0]] == []
    assert "Traceback" not in done.stdout + done.stderr
    assert CANARY not in done.stdout + done.stderr


def write(folder: Path, rows: int = 6, form: str = "csv") -> Path:
    """A small made-up cohort."""
    folder.mkdir(parents=True)
    ids = [f"c{number}" for number in range(rows)]
    course = {"patient_id": ids, "therapy": "axi-cel", "indication": "lbcl", "follow_up_hours": 900.0}
    held = {
        "courses": pd.DataFrame({"course_id": ids, **course}),
        "observations": pd.DataFrame({"course_id": ids, "hours": 1.0, "code": "crp", "value": 7.5, "unit": "mg/L"}),
        "events": pd.DataFrame({"course_id": ids[:2], "hours": 30.0, "event": "crs_grade", "value": 2}),
    }
    for name, frame in held.items():
        if form == "csv":
            frame.to_csv(folder / f"{name}.csv", index=False)
        else:
            frame.to_parquet(folder / f"{name}.parquet", index=False)
    return folder


def change(folder: Path, table: str, **columns: object) -> Path:
    """The cohort with some columns of one table replaced."""
    path = folder / f"{table}.csv"
    pd.read_csv(path).assign(**columns).to_csv(path, index=False)
    return folder


# Help


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_the_help_of_every_verb_has_an_example(crs: Crs, verb: tuple[str, ...]) -> None:
    done = crs(*verb, "--help")
    assert done.returncode == 0
    assert f"Example: crs {' '.join(verb)}" in " ".join(done.stdout.split())


def test_every_verb_is_listed(crs: Crs) -> None:
    listed = crs("--help").stdout + crs("cohort", "--help").stdout + crs("audit", "--help").stdout
    commands = {line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line.strip()}
    assert {verb[-1] for verb in VERBS} <= commands
    assert commands & {"demo", "synth", "check", "convert", "train", "tune", "evaluate", "promote", "rollback", "serve"}


# Cohorts


def test_a_sound_cohort_is_checked(crs: Crs, tmp_path: Path) -> None:
    done = crs("cohort", "check", write(tmp_path / "cohort"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "6 courses; fingerprint " in done.stdout


@pytest.mark.parametrize("verb", ["check", "train", "evaluate"])
def test_an_unknown_cohort_folder(crs: Crs, tmp_path: Path, verb: str) -> None:
    words = ("cohort", "check") if verb == "check" else (verb,)
    extra = ("--cross-validate",) if verb == "evaluate" else ()
    refused(crs(*words, tmp_path / "none", *extra), DATA, "none", "no courses.csv or courses.parquet")


def test_a_truncated_parquet(crs: Crs, tmp_path: Path) -> None:
    path = write(tmp_path / "cohort", form="parquet") / "observations.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    refused(crs("cohort", "check", path.parent), DATA, "observations.parquet", "not a whole Parquet file")


def test_an_empty_table(crs: Crs, tmp_path: Path) -> None:
    folder = write(tmp_path / "cohort")
    (folder / "courses.csv").write_text("")
    refused(crs("cohort", "check", folder), DATA, "courses.csv", "the file is empty")


def test_a_duplicate_course_id(crs: Crs, tmp_path: Path) -> None:
    folder = change(write(tmp_path / "cohort"), "courses", course_id=["c0", "c1", "c2", "c3", "c4", "c4"])
    refused(crs("cohort", "check", folder), DATA, "courses.course_id", "2 rows share a course_id")


@pytest.mark.parametrize(
    ("table", "columns", "named"),
    [
        ("courses", {"sied": 1}, ("courses.sied",)),
        ("observations", {"unit": "bushel"}, ("unit-not-accepted", "observations")),
        ("observations", {"value": CANARY}, ("value-implausible",)),
        ("observations", {"value": f"{CANARY} mg"}, ("value-not-a-number",)),
        ("events", {"hours": -5.0}, ("event-before-start",)),
    ],
)
def test_a_table_that_breaks_its_contract(
    crs: Crs, tmp_path: Path, table: str, columns: dict[str, object], named: tuple[str, ...]
) -> None:
    folder = change(write(tmp_path / "cohort"), table, **columns)
    refused(crs("train", folder), DATA, *named)
    assert not (tmp_path / "home").exists()


def test_a_folder_that_is_there_already_is_not_written_over(crs: Crs, tmp_path: Path) -> None:
    folder = write(tmp_path / "cohort")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    refused(crs("cohort", "synth", folder, "--courses", "5"), USAGE, "the folder exists")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("place", ["afile", "afile/cohort"])
def test_a_file_is_not_taken_for_a_cohort_folder(crs: Crs, tmp_path: Path, place: str) -> None:
    (tmp_path / "afile").write_text("kept")
    refused(crs("cohort", "synth", tmp_path / place, "--courses", "5"), USAGE, "afile")
    assert (tmp_path / "afile").read_text() == "kept"


@pytest.mark.parametrize("words", [("cohort", "synth", "new", "--seed", "-1"), ("demo", "--seed", "-1")])
def test_a_seed_below_nought_is_a_usage_error(crs: Crs, tmp_path: Path, words: tuple[str, ...]) -> None:
    done = crs(*words)
    assert (done.returncode, "Traceback" in done.stderr) == (USAGE, False)
    assert "--seed" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_question_at_no_hour_is_refused(crs: Crs, tmp_path: Path) -> None:
    refused(crs("cohort", "request", write(tmp_path / "cohort"), "c0", "--hours", "nan"), USAGE, "--hours")


# Mapping files


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("title = ", ("mapping.toml",)),
        ('title = "x"\nlayuot = "wide"\n', ("mapping.toml", "layuot")),
    ],
)
def test_a_bad_mapping(crs: Crs, tmp_path: Path, text: str, named: tuple[str, ...]) -> None:
    (tmp_path / "mapping.toml").write_text(text)
    (tmp_path / "extract.csv").write_text("pid,day\n1,0\n")
    done = crs("cohort", "convert", tmp_path / "mapping.toml", tmp_path / "out", "--data", tmp_path / "extract.csv")
    refused(done, DATA, *named)
    assert not (tmp_path / "out").exists()


def test_a_mapping_that_does_not_fit_its_extract(crs: Crs, tmp_path: Path) -> None:
    (tmp_path / "extract.csv").write_text(f"pid,day\n{CANARY},0\n")
    mapping = ROOT / "mappings" / "bwh-cart.toml"
    refused(
        crs("cohort", "convert", mapping, tmp_path / "out", "--data", tmp_path / "extract.csv"),
        DATA,
        "the mapping names a column that is not there",
    )
    refused(crs("cohort", "convert", mapping, tmp_path / "out"), USAGE, "--data: no extract given")
    assert not (tmp_path / "out").exists()


# Settings and words


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("learning_rat = 0.1\n", ("settings.toml: learning_rat: unknown setting", "learning_rate")),
        ("rounds = 'many'\n", ("settings.toml: rounds: expected a int",)),
        ("rounds = \n", ("settings.toml: the settings file cannot be read as TOML",)),
    ],
)
def test_a_bad_setting(crs: Crs, tmp_path: Path, text: str, named: tuple[str, ...]) -> None:
    (tmp_path / "settings.toml").write_text(text)
    refused(crs("train", tmp_path / "none", "--settings", tmp_path / "settings.toml"), USAGE, *named)


def test_training_without_data_must_be_asked_for(crs: Crs) -> None:
    refused(crs("train"), USAGE, "no cohort given", "--prior-only")


@pytest.mark.parametrize(
    "words", [("trian",), ("train", "--settigns", "x"), ("serve", "--port", "70000"), ("promote", "2")]
)
def test_a_misspelt_word_ends_with_the_usage_code(crs: Crs, words: tuple[str, ...]) -> None:
    done = crs(*words)
    assert done.returncode == USAGE
    assert "Traceback" not in done.stderr
    assert "Usage: " in done.stderr


@pytest.mark.parametrize("words", [("tune",), ("evaluate",), ("evaluate", "--cross-validate")], ids=" ".join)
@pytest.mark.parametrize("out", ["nodir/results.json", "."])
def test_results_that_could_not_be_written_are_refused_before_any_work(
    crs: Crs, tmp_path: Path, words: tuple[str, ...], out: str
) -> None:
    # The cohort is not there either: to be refused for --out means that it was not looked for yet.
    refused(crs(words[0], tmp_path / "none", *words[1:], "--out", out), USAGE, "--out: it")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("filename", "line"), [("/secret/place/results.json", "results.json: PermissionError"), (None, "PermissionError")]
)
def test_an_error_of_the_system_is_one_line_without_its_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], filename: str | None, line: str
) -> None:
    def fails() -> None:
        raise PermissionError(13, CANARY, filename)

    monkeypatch.setattr(command, "app", fails)
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert (ended.value.code, capsys.readouterr().err) == (1, f"crs: {line}\n")


def test_the_demo_names_its_cohort_by_its_tables_and_no_step_that_it_takes_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    steps: list[bool] = []
    monkeypatch.setenv("CRS_RISK_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("training.flows.synthesise", lambda cohort, *_: asked.append(cohort))
    monkeypatch.setattr("training.flows.train", lambda *_, step: steps.append(step) or "1")
    monkeypatch.setattr("training.promotion_verbs.promote_version", lambda *_, **__: None)
    monkeypatch.setattr("serving.run.serve", lambda *_, **__: None)
    for release in ("aaa", "bbb"):
        monkeypatch.setattr("data.synthetic.version", lambda release=release: release)
        assert CliRunner().invoke(command.app, ["demo", "--port", "0"], catch_exceptions=False).exit_code == 0
    assert [cohort.name for cohort in asked] == ["synthetic-2000-1-aaa", "synthetic-2000-1-bbb"]
    assert steps == [False, False]


# Stores


@pytest.mark.parametrize(
    "words",
    [("demo", "--port", "0"), ("train", "--prior-only"), ("promote",), ("gate",), ROLLBACK, ("serve", "--port", "0")],
    ids=" ".join,
)
@pytest.mark.parametrize("place", ["home", "home/inside"])
def test_a_state_folder_that_is_a_file_is_refused(crs: Crs, tmp_path: Path, words: tuple[str, ...], place: str) -> None:
    (tmp_path / "home").write_text("kept")
    refused(crs(*words, CRS_RISK_HOME=str(tmp_path / place)), STORE, "CRS_RISK_HOME")
    assert (tmp_path / "home").read_text() == "kept"


@pytest.mark.parametrize("act", [make_folder, lambda folder: write_live(Home(folder), Live("t", "d", "1"))])
def test_a_state_folder_that_cannot_be_made_is_a_store_error(act: Callable[[Path], object]) -> None:
    with pytest.raises(StoreError, match="CRS_RISK_HOME: the state folder cannot be made or written"):
        act(Path("/proc/no-such-place/home"))


def test_a_state_folder_that_may_not_be_written_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    for act in (check_writable, lambda home: make_folder(home.folder.parent)):
        with pytest.raises(StoreError, match="CRS_RISK_HOME"):
            act(Home(tmp_path / "home"))
    assert list(tmp_path.iterdir()) == []


def test_before_the_first_promotion_there_is_nothing_to_serve_or_to_go_back_to(crs: Crs) -> None:
    refused(crs("serve", "--port", "0"), STORE, "no model is promoted yet", "crs train")
    refused(crs(*ROLLBACK), STORE, "no earlier promotion is on record")


def test_a_damaged_live_name_is_not_served(crs: Crs, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "live.json").write_text("{")
    refused(crs("serve", "--port", "0"), STORE, "live.json: the file is damaged")


def test_a_tracking_store_that_cannot_be_opened_shows_no_password(crs: Crs) -> None:
    done = crs("promote", CRS_RISK_MLFLOW_URI=f"no-such-store://user:{CANARY}@host/db")
    refused(done, STORE, "MLflow: the store cannot be opened", "check its URL")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> "dict[str, subprocess.CompletedProcess[str]]":
    """What the verbs said in one deployment, from nothing to a promoted bundle that was damaged afterwards."""
    folder = tmp_path_factory.mktemp("deployment")
    home, cohort = Home(folder / "home"), write(folder / "cohort")
    found = {
        "evaluate first": run(home.folder, "evaluate", cohort),
        "promote first": run(home.folder, "promote"),
        "train": run(home.folder, "train", "--prior-only"),
        "promote unapproved": run(home.folder, "promote"),
        "approve": run(home.folder, "approve", "--by", "Ada", "--role", "owner", "--meaning", "reviewed"),
        "approve again": run(home.folder, "approve", "--by", "ADA ", "--role", "lead", "--meaning", "reviewed"),
        "approve other": run(home.folder, "approve", "--by", "Bo", "--role", "lead", "--meaning", "reviewed"),
        "promote": run(home.folder, "promote"),
    }
    live = home.live.read_bytes()
    flip(bundle_folder(home, read_live(home)) / "spec.json")
    found["serve damaged"] = run(home.folder, "serve", "--port", "0")
    flip(next(home.artifacts.rglob("spec.json")))
    found["promote damaged"] = run(home.folder, "promote", "--version", "1")
    assert home.live.read_bytes() == live
    return found


Said = dict[str, "subprocess.CompletedProcess[str]"]


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["evaluate first", "promote first"])
def test_before_the_first_training_there_is_no_champion_and_no_challenger(said: Said, verb: str) -> None:
    refused(said[verb], USAGE, "--version: there is no such version or alias; run `crs train` first")


@pytest.mark.slow
def test_a_bundle_of_published_rates_is_trained_and_promoted(said: Said) -> None:
    assert [said[verb].returncode for verb in ("train", "promote")] == [0, 0]
    assert "next: crs gate --version 1" in said["train"].stdout
    assert "version 1 is live: crs-risk:" in said["promote"].stdout


@pytest.mark.slow
def test_nothing_is_promoted_before_two_people_have_approved(said: Said) -> None:
    refused(said["promote unapproved"], GATE, "0 of 2 people have approved; next: crs approve --version 1")
    assert "recorded: 1 of 2 approvals of version 1" in said["approve"].stdout
    refused(said["approve again"], USAGE, "--by: this person has approved this verdict already")
    assert "next: crs promote --version 1" in said["approve other"].stdout


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["serve damaged", "promote damaged"])
def test_a_damaged_bundle_is_neither_served_nor_promoted(said: Said, verb: str) -> None:
    refused(said[verb], BUNDLE, "spec.json: the bytes do not match")


def flip(path: Path) -> None:
    """Change one bit of one byte in the middle."""
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(bytes(body))


def test_rates_per_product_are_printed_and_too_few_courses_show_none(crs: Crs, tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    few, all_shown = (crs("cohort", "rates", folder, "--all", *more) for more in ((), ("--minimum", "1")))
    assert (few.returncode, all_shown.returncode) == (0, 0), few.stderr
    assert few.stdout.startswith("| product | outcome | graded by |")
    assert "too few" in few.stdout.split("\n\n")[0]
    assert "too few" not in all_shown.stdout.split("\n\n")[0]


# Assays


def test_an_assay_is_classed_and_without_a_reviewer_nothing_is_left_behind(crs: Crs, tmp_path: Path) -> None:
    done = crs("hazard", ROOT / "docs" / "examples" / "synthetic-assay.csv", "--therapy", "tgn1412")
    assert (done.returncode, done.stderr) == (0, "")
    assert "air-dried: STRONG" in done.stdout
    assert "Nothing was written" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_assay_with_a_negative_value_is_refused_without_showing_it(crs: Crs, tmp_path: Path) -> None:
    table = pd.read_csv(ROOT / "docs" / "examples" / "synthetic-assay.csv")
    table.assign(value=f"-{CANARY}").to_csv(tmp_path / "assay.csv", index=False)
    refused(crs("hazard", tmp_path / "assay.csv", "--therapy", "tgn1412"), DATA, "assay.value", "96 of 96 rows")
