"""Every group is judged on its own rows, and small ones say so instead of giving a number."""

from dataclasses import replace

import numpy as np
import pytest

from data.tables import Cohort
from features.catalogue import Catalogue
from features.pooling import pool
from features.prior import Prior
from tests.training.builders import CRS_2, QUICK, drawn, table
from training.assemble import assemble
from training.breadth import EVERYONE, HELD_BACK, TOO_FEW, WITHOUT_COUNTS, Cell, Sample, judge_groups
from training.evaluation_policy import evaluation_policy
from training.metrics import auroc
from training.subgroups import INDEX_TIME, UNKNOWN, age_groups, axes

N = 240
RANDOM = np.random.default_rng(4)
SCORE = RANDOM.normal(-0.5, 1.2, N)
LABEL = drawn(SCORE)
TIMES = np.array(["0h", "24h"] * (N // 2))
#: 3, 37, 100 and 100 rows of one patient each.
SITE = np.array(["tiny"] * 3 + ["small"] * 37 + ["large"] * 100 + ["larger"] * 100)
POLICY = evaluation_policy()


def judged(label: np.ndarray = LABEL, **axes: np.ndarray) -> dict[tuple[str, str, str], Cell]:
    held = table(label, np.zeros(len(label)), index_name=TIMES[: len(label)])
    sample = Sample.of(held, CRS_2, SCORE[None, : len(label)], {INDEX_TIME: held.index_name, **axes})
    return {(one.axis, one.group, one.index_time): one for one in judge_groups(sample, QUICK, POLICY)}


def test_a_group_is_judged_on_its_own_rows() -> None:
    found = judged(site=SITE)
    rows = SITE == "large"
    cell = found["site", "large", "all"]
    assert (cell.rows, cell.events, cell.patients) == (100, int(LABEL[rows].sum()), 100)
    assert cell.figures["auroc"].value == auroc(LABEL[rows], SCORE[rows], np.ones(100))
    assert cell.figures["observed"].value == LABEL[rows].mean()
    at_0 = rows & (TIMES == "0h")
    assert found["site", "large", "0h"].figures["auroc"].value == auroc(LABEL[at_0], SCORE[at_0], np.ones(at_0.sum()))


def test_every_figure_that_is_promised_is_there_with_its_interval() -> None:
    figures = judged()[EVERYONE, EVERYONE, "all"].figures
    assert {*WITHOUT_COUNTS, "auprc", "observed", "predicted"} <= set(figures)
    assert {f"net_benefit_at_{one:g}" for one in POLICY.thresholds} <= set(figures)
    assert {f"ppv_at_sensitivity_{one:g}" for one in POLICY.sensitivities} <= set(figures)
    assert {f"alerts_per_100_at_sensitivity_{one:g}" for one in POLICY.sensitivities} <= set(figures)
    assert all(one.low <= one.high for one in figures.values())


def test_a_small_group_and_the_next_one_show_no_counts() -> None:
    found = judged(site=SITE)
    tiny, small, large = (found["site", name, "all"] for name in ("tiny", "small", "large"))
    assert (tiny.rows, tiny.events, tiny.patients, tiny.note, dict(tiny.figures)) == (None, None, None, TOO_FEW, {})
    assert (small.rows, small.events, small.note) == (None, None, HELD_BACK)
    assert set(small.figures) == set(WITHOUT_COUNTS)
    assert small.bins == ()
    assert large.rows == 100


def test_no_counts_stand_at_one_index_time_of_a_group() -> None:
    crossed = [cell for (axis, _, time), cell in judged(site=SITE).items() if axis == "site" and time != "all"]
    assert len(crossed) == 8
    assert all((one.rows, one.events, one.patients, one.bins) == (None, None, None, ()) for one in crossed)


@pytest.mark.parametrize("label", [np.zeros(60), np.ones(60), np.full(60, np.nan)])
def test_a_group_without_both_kinds_has_a_reason_and_no_number(label: np.ndarray) -> None:
    cell = judged(label)[EVERYONE, EVERYONE, "all"]
    assert (cell.note, dict(cell.figures)) == (TOO_FEW, {})


def test_ranks_are_taken_on_the_log_odds() -> None:
    """Probabilities so near to 1 that they round to it are still told apart."""
    label = np.tile([0.0, 1.0], 20)
    score = 40 + label
    sample = Sample("crs_2plus", label, score[None], np.arange(40), {})
    assert judge_groups(sample, QUICK, POLICY)[0].figures["auroc"].value == 1


def test_bootstraps_of_one_seed_are_the_same_whatever_the_workers() -> None:
    held = table(LABEL, np.zeros(N), index_name=TIMES)
    sample = Sample.of(held, CRS_2, SCORE[None], {"site": SITE, INDEX_TIME: TIMES})
    assert judge_groups(sample, QUICK, POLICY) == judge_groups(sample, replace(QUICK, workers=3), POLICY)


# Axes


def test_each_row_has_one_group_per_axis(cohort: Cohort, tables: Catalogue) -> None:
    held, _, _ = assemble(cohort, Prior(pool(tables)), tables, 1)
    found = axes(held, cohort, tables, POLICY.age_bands)
    assert set(found) == {INDEX_TIME, "age", "sex", "therapy class", "indication", "site", "treated before"}
    assert all(len(groups) == len(held) for groups in found.values())
    assert set(found["sex"]) <= {"male", "female", UNKNOWN}
    assert ((found["treated before"] == "treated before") == held.treated).all()


def test_age_bands_begin_at_their_number() -> None:
    found = age_groups(np.array([17.9, 18.0, 39.9, 40.0, 75.0, np.nan]), (18, 40, 65, 75))
    assert found.tolist() == ["below 18", "18 to below 40", "18 to below 40", "40 to below 65", "75 and above", UNKNOWN]
