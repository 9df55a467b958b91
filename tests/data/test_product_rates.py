"""A cohort's own rates per product: counted as charted, with exact intervals, beside the published cohorts."""

from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from data.mapping import convert_extract, read_mapping
from data.product_rates import MINIMUM_COURSES, NONE_CHARTED, Compared, OwnRate, compare, product_rates
from data.product_rates_text import explained, outcome_name, short, table
from data.tables import Cohort, cohort_from_frames
from features.catalogue import load
from tests.data import frames
from tests.real_data import BWH, LBCL, ROOT, real_file

AXI = "axicabtagene-ciloleucel"
CATALOGUE = load()


def rates(cohort: Cohort) -> dict[tuple[str, str, str], OwnRate]:
    return {(one.therapy, one.outcome, one.grading): one for one in product_rates(cohort)}


def charted(*rows: tuple[str, float, str, float, str]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["course_id", "hours", "event", "value", "grading"])


def of(courses: pd.DataFrame, events: pd.DataFrame) -> Cohort:
    return frames.cohort(courses, charted=events)


def own(events: int, courses: int, outcome: str = "crs_1plus") -> OwnRate:
    return OwnRate(AXI, outcome, "ASTCT-2019", ("lbcl",), courses, events, 0)


@settings(max_examples=60)
@given(st.integers(1, 80).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_exact(counts: tuple[int, int]) -> None:
    events, n = counts
    found = own(events, n).fraction
    assert found is not None
    assert found.low <= found.rate <= found.high
    if events > 0:
        assert binom.sf(events - 1, n, found.low) == pytest.approx(0.025, rel=1e-6)
    if events < n:
        assert binom.cdf(events, n, found.high) == pytest.approx(0.025, rel=1e-6)
    assert (found.low == 0.0) is (events == 0)
    assert (found.high == 1.0) is (events == n)


def test_a_course_counts_once_by_its_peak_with_or_without_a_time() -> None:
    events = charted(
        ("a", 24, "crs_grade", 1, "Penn"),
        ("a", 48, "crs_grade", 3, "Penn"),
        ("b", float("nan"), "crs_grade", 2, "Penn"),
    )
    found = rates(of(frames.courses("a", "b", "c"), events))
    assert [found[AXI, f"crs_{grade}plus", "Penn"].events for grade in (1, 2, 3)] == [2, 2, 1]
    assert found[AXI, "crs_1plus", "Penn"].courses == 3


def test_grading_systems_are_never_added_up() -> None:
    events = charted(
        ("a", 24, "crs_grade", 1, "ASTCT-2019"), ("b", 24, "crs_grade", 2, "Penn"), ("c", 24, "crs_grade", 1, "Penn"),
        ("c", 30, "crs_grade", 2, "Lee-2014"), ("d", 24, "crs_grade", 2, ""),
    )  # fmt: skip
    found = rates(of(frames.courses("a", "b", "c", "d", "e"), events))
    counted = {key[2]: one.courses for key, one in found.items() if key[1] == "crs_1plus"}
    assert counted == {"ASTCT-2019": 1, "Penn": 1, "mixed": 1, "not stated": 1, NONE_CHARTED: 1}


def test_what_was_never_charted_at_a_site_is_no_rate_of_nought() -> None:
    courses = frames.courses("a", "b", "c", site=["one", "one", "two"])
    found = rates(of(courses, charted(("a", 24, "icans_grade", 1, "ASTCT-2019"))))
    assert (found[AXI, "icans_1plus", "ASTCT-2019"].events, found[AXI, "icans_1plus", "ASTCT-2019"].courses) == (1, 2)
    nothing = found[AXI, "icans_1plus", NONE_CHARTED]
    assert (nothing.courses, nothing.fraction) == (1, None)
    assert "not charted" in table([Compared(nothing, None, False)], minimum=1)


def test_courses_without_the_event_and_followed_too_briefly_are_told() -> None:
    courses = frames.courses("a", "b", "c", follow_up_hours=[335.0, 336.0, 100.0])
    found = rates(of(courses, charted(("c", 24, "crs_grade", 1, "Penn"))))
    assert found[AXI, "crs_1plus", "Penn"].short == 1
    assert found[AXI, "crs_2plus", "Penn"].short == 2


def test_own_rates_stand_beside_each_usable_published_cohort_of_the_same_disease() -> None:
    rows = compare(of(frames.courses("a"), charted(("a", 24, "crs_grade", 1, "Penn"))), CATALOGUE)
    beside = [row.published for row in rows if row.own.outcome == "crs_1plus"]
    usable = [one for one in CATALOGUE.rates if one.therapy == AXI and not (one.superseded or one.mitigation)]
    assert beside == [one for one in usable if one.indication in ("lbcl", "dlbcl") and one.crs_1plus == one.crs_1plus]
    assert beside
    (missing,) = [row for row in rows if row.own.outcome == "crs_2plus"]
    assert (missing.published, missing.published_fraction, missing.overlap) == (None, None, None)


def test_another_disease_stands_in_only_where_there_is_no_cohort_of_this_one_and_says_so() -> None:
    brexu = frames.courses("a", therapy="brexucabtagene-autoleucel")
    rows = compare(of(brexu, charted(("a", 24, "crs_grade", 1, "Penn"))), CATALOGUE)
    assert rows
    assert not any(row.same_disease for row in rows)
    assert "other disease: mcl" in table(rows)


def test_intervals_overlap_where_they_share_a_point() -> None:
    rate = next(one for one in CATALOGUE.rates if one.therapy == AXI and one.n == 108)
    assert Compared(own(94, 100), rate, True).overlap is True
    assert Compared(own(50, 100), rate, True).overlap is False
    assert Compared(own(50, 100), replace(rate, n=float("nan")), True).overlap is None


def test_products_with_too_few_courses_show_no_rate() -> None:
    shown = table([Compared(own(3, MINIMUM_COURSES), None, False)])
    hidden = table([Compared(own(3, MINIMUM_COURSES - 1), None, False)])
    assert "| 3 | 30.0 % (7-65) |" in shown
    assert "too few" not in shown
    assert "| too few | too few |" in hidden
    assert f"fewer than {MINIMUM_COURSES} courses" in explained()


def test_the_short_table_has_one_line_per_product_and_counts_the_published_cohorts() -> None:
    rate = next(one for one in CATALOGUE.rates if one.therapy == AXI and one.n == 108)
    unread = replace(rate, n=float("nan"))
    rows = [Compared(own(94, 100), one, True) for one in (rate, rate, unread)]
    rows += [Compared(own(50, 100, "crs_2plus"), None, False), Compared(own(70, 100, "crs_3plus"), rate, True)]
    title, _, line = short(rows).splitlines()
    assert title.startswith("| product | graded by | courses | CRS >= 1 | CRS >= 2 | CRS >= 3 | ICANS >= 1 |")
    assert line == f"| {AXI} | ASTCT-2019 | 100 | 94.0 % (2 of 2) | 50.0 % | 70.0 % (0 of 1) |  |  |  |"
    assert (
        short([Compared(own(3, 9), rate, True)]).splitlines()[2]
        == f"| {AXI} | ASTCT-2019 | 9 | too few |  |  |  |  |  |"
    )


def test_outcomes_are_named_as_clinicians_write_them() -> None:
    assert [outcome_name(key) for key in ("crs_1plus", "icans_3plus")] == ["CRS >= 1", "ICANS >= 3"]


def extract(parts: tuple[str, ...], mapping: str) -> Cohort:
    tables = convert_extract(real_file(*parts), read_mapping(ROOT / "mappings" / mapping))
    return cohort_from_frames(tables.courses, tables.observations, tables.events)


@pytest.mark.parametrize(("parts", "mapping"), [(LBCL, "lbcl-daily-grades.toml"), (BWH, "bwh-cart.toml")])
def test_the_page_of_product_rates_is_what_the_command_prints(parts: tuple[str, ...], mapping: str) -> None:
    printed = table(compare(extract(parts, mapping), CATALOGUE))
    page = (ROOT / "docs" / "product-rates.md").read_text(encoding="utf-8")
    assert printed in page
    assert explained() in page
