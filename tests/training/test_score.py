"""Batch scores are the service's answers, bit for bit, however the cohort is cut into parts."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import pandas as pd
import pyarrow.parquet as arrow_parquet
import pytest

from data import synthetic
from data.cohort import index_at, index_table
from data.files import write_table
from data.parts import cohort_parts, observation_rows
from data.request import request_body
from data.tables import Cohort, read_cohort
from features.course import HOUR
from features.errors import DataError, StoreError, UsageError
from features.home import Home
from features.outcomes import OUTCOME_KEYS
from features.policy import Policy
from features.predict import Predictor
from serving.answerer import Answerer
from serving.decode import predict_request
from serving.intake import take
from tests.builders import CATALOGUE, trained_bundle
from tests.training.conftest import Registry
from training import score as scoring
from training.cluster import in_turn, on_cluster
from training.here import running
from training.score import Request, Scorer, parse_hours, score, score_part


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 synthetic courses, one of which dies, one of which is too old, and one of an unknown therapy."""
    made = synthetic.generate(60, 5, with_truth=False)
    courses, events = made.courses.copy(), made.events
    courses.loc[0, "age_years"] = 99.0
    courses.loc[3, "therapy"] = "never heard of"
    death = {"course_id": courses.loc[5, "course_id"], "hours": 30.0, "event": "death", "value": 1.0}
    made = replace(made, courses=courses, events=pd.concat([events, pd.DataFrame([death])], ignore_index=True))
    path = tmp_path_factory.mktemp("scored") / "cohort"
    synthetic.write(path, made)
    return path


@pytest.fixture(scope="module")
def courses(folder: Path) -> Cohort:
    return read_cohort(folder)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    """A bundle for ages up to 90."""
    made = trained_bundle()
    policy = Policy(made.policy.intended_use, made.policy.thresholds, made.policy.therapies, (), 0.0, 90.0)
    return Scorer(Predictor(replace(made, policy=policy), CATALOGUE), "7")


def asked(scorer: Scorer, courses: Cohort, course_id: str, hours: float) -> Any:
    """The service's answer to the same question."""
    body = json.dumps(request_body(courses, course_id, hours)).encode()
    return Answerer(scorer.predictor, "7").answer([take(CATALOGUE, predict_request(body))])[0]


def as_answered(answer: Any) -> dict[str, Any]:
    """What a scored row has to say."""
    found: dict[str, Any] = {"not_evaluated": " ".join(one.code for one in answer.not_evaluated) or None}
    for key in OUTCOME_KEYS:
        found |= {f"{key}.status": "not-evaluated"} | {f"{key}.{name}": None for name in NUMBERS}
    for risk in answer.risks:
        found[f"{risk.outcome}.status"] = risk.status
        if risk.status == "evaluated":
            ends = (risk.interval.low, risk.interval.high)
            told = dict(zip(NUMBERS, (risk.probability, *ends, risk.band), strict=True))
            found |= {f"{risk.outcome}.{name}": one for name, one in told.items()}
    return found


NUMBERS = ("probability", "low", "high", "band")


@pytest.mark.parametrize("hours", [(), (0.0, 30.5, 200.0, 900.0)])
def test_every_row_is_the_services_answer_bit_for_bit(
    scorer: Scorer, courses: Cohort, hours: tuple[float, ...]
) -> None:
    rows = replace(scorer, hours=hours).rows(courses).to_pylist()
    seen = set()
    for row in rows:
        expected = as_answered(asked(scorer, courses, row["course_id"], row["hours_since_start"]))
        assert {name: row[name] for name in expected} == expected
        seen |= {row["not_evaluated"], *(row[f"{key}.status"] for key in OUTCOME_KEYS)}
        assert (row["version"], row["bundle"]) == ("7", scorer.predictor.digest)
    assert {"evaluated", "reached", "not-evaluated", "course-ended", "age-not-evaluated", None} <= seen
    assert ("horizon-over" in seen) == bool(hours)


def test_there_is_one_row_per_course_and_index_time(scorer: Scorer, courses: Cohort) -> None:
    table, index = scorer.rows(courses), index_table(courses)
    pairs = list(zip(table["course_id"].to_pylist(), table["index"].to_pylist(), strict=True))
    assert pairs == list(zip(np.array(courses.course_ids)[index.course].tolist(), index.name.tolist(), strict=True))
    assert len(set(pairs)) == len(table)


def test_at_given_hours_every_course_is_asked_after_its_latest_dose(courses: Cohort) -> None:
    index = index_at(courses, (0.0, 100.0))
    assert index.course.tolist() == np.repeat(np.arange(len(courses)), 2).tolist()
    assert set(index.name.tolist()) == {"0h", "100h"}
    assert (index.dose_seconds <= index.index_seconds).all()
    later = index.index_seconds == 100 * HOUR
    stepped = courses.step_up[index.course]
    assert (index.dose_number[stepped & later] > 1).any()
    assert (index.dose_number[~stepped] == 1).all()
    assert (index.dose_seconds[~stepped | ~later] == 0).all()


@pytest.mark.parametrize("size", [1000, 23, 7])
def test_the_size_of_a_part_changes_no_bit(scorer: Scorer, folder: Path, tmp_path: Path, size: int) -> None:
    with cohort_parts(folder, size) as parts:
        scoring.write(tmp_path / "scores.parquet", (scorer.rows(part) for part in parts))
    assert pd.read_parquet(tmp_path / "scores.parquet").equals(scorer.rows(read_cohort(folder)).to_pandas())


def test_parts_of_a_cohort_in_any_order_of_rows_are_the_cohort(folder: Path, tmp_path: Path, courses: Cohort) -> None:
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for table in ("courses", "observations", "events"):
        frame = pd.read_parquet(folder / f"{table}.parquet")
        write_table(frame.sample(frac=1.0, random_state=3), mixed / f"{table}.parquet")
    with cohort_parts(mixed, 11) as parts:
        held = list(parts)
    assert [len(one) for one in held] == [11, 11, 11, 11, 11, len(courses) - 55]
    assert [name for one in held for name in one.course_ids] == list(courses.course_ids)
    assert sum(len(one.observations) for one in held) == len(courses.observations)


def test_ids_of_other_types_lead_to_the_same_parts(folder: Path, tmp_path: Path, courses: Cohort) -> None:
    number = {name: 1000 + place for place, name in enumerate(courses.course_ids)}
    for table in ("courses", "observations", "events"):
        frame = pd.read_parquet(folder / f"{table}.parquet")
        names = frame["course_id"].map(number)
        frame["course_id"] = names.astype("Int64") if table != "events" else names.astype(str).astype("category")
        write_table(frame, tmp_path / f"{table}.parquet")
    with cohort_parts(tmp_path, 25) as parts:
        held = list(parts)
    assert sum(len(one.observations) for one in held) == len(courses.observations)
    assert [name for one in held for name in one.course_ids] == [str(one) for one in sorted(number.values())]


def test_a_table_that_breaks_off_is_one_line(folder: Path, tmp_path: Path) -> None:
    for table in ("courses", "observations", "events"):
        body = (folder / f"{table}.parquet").read_bytes()
        (tmp_path / f"{table}.parquet").write_bytes(body if table == "courses" else body[: len(body) // 2])
    with pytest.raises(DataError, match="not a whole Parquet file"), cohort_parts(tmp_path, 25) as parts:
        list(parts)
    with pytest.raises(DataError, match="not a whole Parquet file"):
        observation_rows(tmp_path)


def test_rejected_rows_are_judged_over_all_parts(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for table in ("courses", "observations", "events"):
        frame = pd.read_parquet(folder / f"{table}.parquet")
        if table == "observations":
            frame.loc[frame.index[: len(frame) // 2], "unit"] = "no such unit"
        write_table(frame, broken / f"{table}.parquet")
    with pytest.raises(DataError) as whole:
        read_cohort(broken)
    with cohort_parts(broken, 11) as parts, pytest.raises(DataError) as in_parts:
        list(parts)
    # Which analytes and which row first, a part cannot tell for the whole.
    assert str(in_parts.value) == re.sub(r"rows: [^)]*\)", "rows)", str(whole.value))
    assert "(1635 rows)" in str(in_parts.value)


def test_nothing_is_written_unless_all_of_it_is(scorer: Scorer, courses: Cohort, tmp_path: Path) -> None:
    def breaking() -> Any:
        yield scorer.rows(courses)
        raise DataError("observations", "the second part is broken")

    out = tmp_path / "scores.parquet"
    out.write_bytes(b"the old ones")
    with pytest.raises(DataError, match="the second part"):
        scoring.write(out, breaking())
    assert out.read_bytes() == b"the old ones"
    assert list(tmp_path.iterdir()) == [out]


def test_a_registered_version_scores_a_folder(registry: Registry, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.parquet"
    rows = score(registry.home, Request(folder, out, "1", courses=20, workers=2), None)
    found = arrow_parquet.read_table(out)
    assert len(found) == rows == len(index_table(read_cohort(folder)))
    assert set(found["bundle"].to_pylist()) == {registry.digests[0]}
    with pytest.raises(StoreError, match="no model is promoted yet"):
        score(Home(tmp_path / "empty"), Request(folder, out), None)


def test_a_cluster_scores_the_same_bits(scorer: Scorer, folder: Path) -> None:
    with distributed.LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=":0"
    ) as held:
        tables = []
        for address in ("", held.scheduler_address):
            with on_cluster(address), cohort_parts(folder, 20) as parts:
                tables.append(list(in_turn(score_part, (scorer,), parts, 1)))
    assert [one.num_rows for one in tables[0]] == [one.num_rows for one in tables[1]]
    assert all(here.equals(there) for here, there in zip(*tables, strict=True))


@pytest.mark.slow
def test_local_processes_score_the_same_bits(scorer: Scorer, folder: Path) -> None:
    tables = []
    for heavy in (False, True):
        with on_cluster(""), cohort_parts(folder, 20) as parts:
            tables.append(list(in_turn(score_part, (scorer,), parts, 2, heavy)))
            assert running() == heavy
    assert len(tables[0]) > 1
    assert all(one.equals(other) for one, other in zip(*tables, strict=True))


def test_a_large_cohort_is_worth_processes(
    registry: Registry, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    monkeypatch.setattr(scoring, "in_turn", lambda *asked: told.append(asked[-1]) or in_turn(*asked[:4]))
    rows = observation_rows(folder)
    for least in (rows, rows + 1):
        monkeypatch.setattr(scoring, "HEAVY_OBSERVATIONS", least)
        score(registry.home, Request(folder, tmp_path / "scores.parquet", "1"), None)
    assert rows > 0
    assert told == [True, False]


def test_hours_are_numbers_within_what_is_looked_at() -> None:
    assert parse_hours("48,0,24,24") == (0.0, 24.0, 48.0)
    assert parse_hours("") == ()
    for text in ("noon", "-1", "nan", "100000"):
        with pytest.raises(UsageError, match="--index-hours"):
            parse_hours(text)
