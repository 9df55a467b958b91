"""Points follow the reviewed table on both sides of each edge, for one value and for arrays alike."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import point_scores, score_facts
from features.errors import CatalogueError
from features.point_scores import HEMATOTOX_ITEMS, points, points_array
from tests.vectors import VECTORS

FACTS = score_facts.load()


@pytest.mark.parametrize("row", VECTORS["car_hematotox"])
def test_car_hematotox_gives_the_golden_vectors_as_arrays(row: dict[str, Any]) -> None:
    crp = math.nan if row["crp"] is None else row["crp"] / (10 if row["unit"] == "mg/L" else 1)
    values = {**{item: row[item] for item in HEMATOTOX_ITEMS}, "crp": crp}
    total = point_scores.car_hematotox(FACTS, {item: np.array([value]) for item, value in values.items()})
    assert total[0] == row["total"] if row["total"] is not None else np.isnan(total[0])


@pytest.mark.parametrize("item", HEMATOTOX_ITEMS)
def test_car_hematotox_is_missing_where_any_one_input_is(item: str) -> None:
    values = {name: np.array([100.0, 100.0]) for name in HEMATOTOX_ITEMS}
    values[item] = np.array([100.0, math.nan])
    total = point_scores.car_hematotox(FACTS, values)
    assert np.isfinite(total[0])
    assert np.isnan(total[1])


@given(st.sampled_from(sorted(FACTS.cuts)), st.floats(-1e4, 1e4))
def test_one_value_and_arrays_get_the_same_points(key: tuple[str, str], value: float) -> None:
    cuts = FACTS.cuts[key]
    assert points_array(cuts, np.array([value]))[0] == points(cuts, value)


@given(st.sampled_from(sorted(FACTS.cuts)), st.floats(-1e4, 1e4), st.floats(0, 1e4))
def test_a_worse_value_never_has_fewer_points(key: tuple[str, str], value: float, more: float) -> None:
    cuts = FACTS.cuts[key]
    worse = value + more if cuts[0].side == "above" else value - more
    assert points(cuts, worse) >= points(cuts, value)


@pytest.mark.parametrize("cut", [cut for cuts in FACTS.cuts.values() for cut in cuts], ids=lambda cut: f"{cut.cut}")
def test_each_cut_counts_itself_only_where_it_is_inclusive(cut: score_facts.Cut) -> None:
    beyond = 1 if cut.side == "above" else -1
    step = abs(cut.cut) * 1e-6
    assert point_scores.reached(cut, cut.cut) is cut.inclusive
    assert point_scores.reached(cut, cut.cut + beyond * step)
    assert not point_scores.reached(cut, cut.cut - beyond * step)


def test_a_converted_value_on_the_cut_is_on_it() -> None:
    (cut,) = FACTS.cuts["hscore_lineages", "hemoglobin"]
    assert 92 * 0.1 > 9.2
    assert point_scores.reached(cut, 92 * 0.1)
    assert points_array((cut,), np.array([92 * 0.1]))[0] == 1.0


def test_the_cuts_of_one_item_point_one_way_and_rise() -> None:
    for cuts in FACTS.cuts.values():
        assert len({cut.side for cut in cuts}) == 1
        assert [cut.points for cut in cuts] == sorted(cut.points for cut in cuts)


def test_every_score_has_its_times_and_what_is_not_verified_is_policy_or_says_so() -> None:
    assert set(FACTS.times) == set(FACTS.scores)
    ages = [row for row in FACTS.times.values() if not math.isnan(row.max_age_hours)]
    assert {(row.source, row.verified) for row in ages} == {("policy of this project", "no")}
    assert {key for key, row in FACTS.scores.items() if row.verified == "no"} == {"hay"}
    assert {cut.verified for key, cuts in FACTS.cuts.items() if key[0] == "hay" for cut in cuts} == {"no"}


@pytest.mark.parametrize(
    ("table", "old", "new", "said"),
    [
        ("score_points.csv", "easix,easix,above", "easix,easix,over", "side must be above or below"),
        ("score_points.csv", "above,4.67,no", "above,4.67,perhaps", "inclusive"),
        ("score_units.csv", "crp,1,10", "crp,1,0", "multiply and divide must be above 0"),
        ("score_times.csv", "\ns_easix,", "\nt_easix,", "names unknown 't_easix'"),
        ("hscore_probability.csv", "170,,54", "170,,20", "percent must not decrease"),
        ("scores_not_implemented.csv", "Komanduri 2021, Blood 138 suppl 1:1459", "", "the source is empty"),
    ],
)
def test_a_table_that_breaks_its_rules_is_refused_by_name(
    tmp_path: Path, table: str, old: str, new: str, said: str
) -> None:
    for path in score_facts.TABLES.glob("*.csv"):
        text = path.read_text(encoding="utf-8")
        changed = text.replace(old, new) if path.name == table else text
        (tmp_path / path.name).write_text(changed, encoding="utf-8")
        assert path.name != table or changed != text
    with pytest.raises(CatalogueError, match=said) as caught:
        score_facts.read_folder(tmp_path)
    assert table in str(caught.value)


def test_the_page_of_scores_says_all_that_the_tables_say() -> None:
    page = (Path(__file__).parents[2] / "docs" / "scores.md").read_text(encoding="utf-8")
    signs = {("above", True): ">=", ("above", False): ">", ("below", True): "<=", ("below", False): "<"}
    for one in FACTS.scores.values():
        said = (one.formula, one.population, one.outcome, one.time_point, one.threshold, one.against, one.source)
        assert all(f"| {text} |" in page for text in said), one.key
    for row in FACTS.not_implemented:
        assert f"| {row.score} | {row.read} | {row.missing} | {row.source} | {row.verified} |" in page
    for cut in (cut for (score, _), cuts in FACTS.cuts.items() if score != "easix" for cut in cuts):
        assert (
            f"| {signs[cut.side, cut.inclusive]} {cut.cut:g} | {cut.points:g} | {cut.unit} | {cut.verified} |" in page
        )
    for key, times in FACTS.times.items():
        assert f"| {FACTS.scores[key].name} | " in page
        assert times.source in page
