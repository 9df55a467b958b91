"""`crs outcomes import`: the rules of POST /outcomes on a table, counted by rule, never with a value."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from audit.access import system_user
from audit.events import Kind
from features.errors import DataError
from tests.training.watched import Years, own, years
from training.outcome_file import read, run, take

HEAD = "prediction_id,complete,hours,crs_grade,crs_grading,crs_onset_hours,tocilizumab,tocilizumab_hours"


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Years]:
    with years(own(tmp_path)) as found:
        for name in ("a", "b"):
            found.at(0).asked(name)
        yield found


def csv(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "outcomes.csv"
    path.write_text("\n".join([HEAD, *rows]) + "\n", encoding="utf-8")
    return path


def test_every_row_is_taken_by_itself_and_counted_by_rule(held: Years, tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        "a,yes,,2,ASTCT-2019,30,no,",
        "b,false,480,0,ASTCT-2019,,true,41.5",
        "nobody,yes,,0,ASTCT-2019,,,",
        "a,yes,,9,ASTCT-2019,,,",
        "b,perhaps,,0,ASTCT-2019,,,",
        "a,yes,,2,ASTCT-2019,30,no,",
    )
    found = take(held.ledger, read(path))
    assert found.taken == {"recorded": 2, "already-recorded": 1}
    assert found.refused == {
        ("prediction-unknown", "prediction_id"): 1,
        ("grade-not-accepted", "crs_grade"): 1,
        ("value-not-readable", "complete"): 1,
    }
    first, second = (one.body for one in held.ledger.records(Kind.OUTCOME))
    assert first["crs_grade"] == 2
    assert (second["hours"], second["tocilizumab_hours"], second["complete"]) == (480.0, 41.5, False)


def test_an_imported_outcome_names_the_user_of_the_system_who_imported_it(
    held: Years, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "dr.innocent")
    take(held.ledger, read(csv(tmp_path, "a,yes,,2,ASTCT-2019,30,no,")))
    (one,) = (one.body for one in held.ledger.records(Kind.OUTCOME))
    assert one["by"] == system_user() != "dr.innocent"


def test_the_report_names_the_rule_and_the_column_and_no_value(held: Years, tmp_path: Path) -> None:
    lines = list(take(held.ledger, read(csv(tmp_path, "secret-name,yes,,2,ASTCT-2019,,,"))).lines())
    assert lines == [
        "refused: 1 rows, prediction-unknown in column prediction_id; "
        "send the prediction_id that an answer of this deployment gave"
    ]


def test_parquet_with_typed_columns_says_the_same(held: Years, tmp_path: Path) -> None:
    path = tmp_path / "outcomes.parquet"
    frame = pd.DataFrame(
        {"prediction_id": ["a", "b"], "complete": [True, True], "crs_grade": [2.0, None], "icans_grade": [0, 3]}
    )
    frame.assign(crs_grading="Penn", icans_grading="ASTCT-2019").to_parquet(path)
    assert take(held.ledger, read(path)).taken == {"recorded": 2}
    bodies = [one.body for one in held.ledger.records(Kind.OUTCOME)]
    assert [one.get("crs_grade") for one in bodies] == [2, None]
    assert [one["icans_grade"] for one in bodies] == [0, 3]


@pytest.mark.parametrize("head", ["prediction_id,crs_grad", "complete,crs_grade"])
def test_a_column_that_is_not_known_or_no_prediction_at_all_refuses_the_file(tmp_path: Path, head: str) -> None:
    path = tmp_path / "outcomes.csv"
    path.write_text(f"{head}\na,1\n", encoding="utf-8")
    with pytest.raises(DataError):
        read(path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither CSV nor Parquet"):
        read(tmp_path / "outcomes.xlsx")


def test_the_verb_says_whether_every_row_was_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = own(tmp_path)
    with years(home) as found:
        found.at(0).asked("a")
    assert run(home, csv(tmp_path, "a,yes,,1,ASTCT-2019,3,,"))
    assert not run(home, csv(tmp_path, "x,yes,,1,ASTCT-2019,3,,"))
    assert "recorded: 1 rows" in capsys.readouterr().out
