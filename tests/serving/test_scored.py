"""Published scores: the golden vectors of their papers, computed only where every input is there, recent and usable."""

import math
import random
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import catalogue, score_facts
from features import scores as formulas
from features.course import HOUR, Event
from features.single import Observed
from features.units import convert
from serving import scores_hlh
from serving.findings import Known
from serving.score_inputs import WHYS, Seen
from serving.score_parts import about
from serving.score_shape import NOT_A_RISK, Score
from serving.scored import score_list, scores
from serving.scores_hlh import HSCORE_ITEMS, Tally, hlh_result, hscore_points, lineages, probability_map
from serving.scores_laboratory import albi_grade, albi_value
from tests.vectors import TOLERANCE, VECTORS

TABLES = catalogue.load()
FACTS = score_facts.load()
#: Days -5, inside the window of every score that was made for the time before lymphodepletion.
BEFORE = -120
#: Two hours before the index time.
RECENT = -2
NAMES = ("easix", "s_easix", "m_easix", "car_hematotox", "hscore", "hlh_2004", "gust", "hay", "severe4", "albi")
Values = Mapping[str, tuple[float | None, str]]


def observed(values: Values, hours: float) -> tuple[Observed, ...]:
    """Values in the sender's units, all of one time; None is not sent."""
    return tuple(
        Observed(code, int(hours * HOUR), convert(TABLES.analytes[code], value, unit or TABLES.analytes[code].unit))
        for code, (value, unit) in values.items()
        if value is not None
    )


def score(name: str, values: Values, hours: float = BEFORE, index: float = 0, **more: Any) -> Score:
    found = {one.name: one for one in scores(TABLES, observed(values, hours), index_seconds=int(index * HOUR), **more)}
    assert tuple(found) == NAMES
    return found[name]


def gaps(one: Score) -> dict[str, str]:
    return {gap.what: gap.why for gap in one.missing}


def exact(name: str, values: Values) -> list[float]:
    """The values as a score reads them, in its own units, unrounded."""
    seen = Seen(TABLES, FACTS, observed(values, RECENT), 0, frozenset())
    return [held.value for held in seen.find(name, tuple(values)).values.values()]


@pytest.mark.parametrize("row", VECTORS["easix"])
def test_easix_gives_the_golden_vectors(row: dict[str, Any]) -> None:
    values = {
        "ldh": (row["ldh"], "U/L"),
        "creatinine": (row["creatinine"], row["unit"]),
        "platelets": (row["platelets"], ""),
    }
    one = score("easix", values)
    if row["easix"] is None:
        assert (one.status, gaps(one)) == ("not-computed", {"platelets": "not-above-zero"})
        return
    assert formulas.with_factor(*exact("easix", values)) == pytest.approx(row["easix"], rel=TOLERANCE)
    assert one.value == pytest.approx(row["easix"], rel=1e-5)
    assert one.log2 == pytest.approx(row["log2"], rel=1e-5)
    assert one.result == ("above-threshold" if row["above"] else "not-above-threshold")


@pytest.mark.parametrize("row", VECTORS["s_easix"])
def test_s_easix_gives_the_golden_vectors(row: dict[str, Any]) -> None:
    values = {"ldh": (row["ldh"], "U/L"), "platelets": (row["platelets"], "")}
    one = score("s_easix", values, RECENT)
    if row["s_easix"] is None:
        assert gaps(one) == {"platelets": "not-above-zero"}
        return
    assert formulas.without_factor(*exact("s_easix", values)) == pytest.approx(row["s_easix"], rel=TOLERANCE)
    assert one.value == pytest.approx(row["s_easix"], rel=1e-5)


@pytest.mark.parametrize("row", VECTORS["m_easix"])
def test_m_easix_gives_the_golden_vectors(row: dict[str, Any]) -> None:
    values = {"ldh": (row["ldh"], "U/L"), "crp": (row["crp"], row["unit"]), "platelets": (row["platelets"], "")}
    one = score("m_easix", values, RECENT)
    if row["m_easix"] is None:
        assert gaps(one) == {"platelets": "not-above-zero"}
        return
    value = formulas.with_factor(*exact("m_easix", values))
    assert value == pytest.approx(row["m_easix"], rel=TOLERANCE)
    assert math.log2(value) == pytest.approx(row["log2"], rel=TOLERANCE)
    assert one.value == pytest.approx(row["m_easix"], rel=1e-5)
    assert [part.unit for part in one.inputs] == ["U/L", "mg/dL", "10*3/uL"]


@pytest.mark.parametrize("row", VECTORS["car_hematotox"])
def test_car_hematotox_gives_the_golden_vectors(row: dict[str, Any]) -> None:
    units = {"crp": row["unit"]}
    values = {item: (row[item], units.get(item, "")) for item in ("platelets", "anc", "hemoglobin", "crp", "ferritin")}
    one = score("car_hematotox", values)
    if row["total"] is None:
        assert (one.status, gaps(one)) == ("not-computed", {"crp": "missing"})
        return
    assert list(one.points.values()) == row["points"]
    assert (one.value, one.result) == (row["total"], row["class"])


@pytest.mark.parametrize("row", VECTORS["hscore"])
def test_hscore_gives_the_golden_vectors(row: dict[str, Any]) -> None:
    low = {"hemoglobin": 9.2, "wbc": 5.0, "platelets": 110.0}
    counts = {code: low[code] if place < row["lineages"] else 500.0 for place, code in enumerate(low)}
    organs = {"none": 0.0, "one": 1.0, "both": 2.0}[row["organomegaly"]]
    values = ("temperature", "ferritin", "triglycerides", "fibrinogen", "ast")
    items = {**{item: row[item] for item in values}, **counts, "organomegaly": organs}
    items |= {item: float(row[item]) for item in ("immunosuppression", "haemophagocytosis")}
    found = hscore_points(FACTS, items)
    assert [found[item] for item in HSCORE_ITEMS] == row["points"]
    assert sum(found.values()) == row["hscore"]


@pytest.mark.parametrize(("hemoglobin", "wbc", "platelets", "expected"), VECTORS["hscore_lineages"])
def test_low_lineages_give_the_golden_vectors(hemoglobin: float, wbc: float, platelets: float, expected: int) -> None:
    assert lineages(FACTS, hemoglobin, wbc, platelets) == expected


@pytest.mark.parametrize(("at", "percent"), VECTORS["hscore_map"])
def test_the_hscore_map_is_the_printed_one(at: str, percent: str) -> None:
    assert probability_map(FACTS, float(at)).startswith(f"at {at}: {percent} % had")


def test_between_two_printed_points_the_hscore_map_shows_both_and_interpolates_nothing() -> None:
    assert probability_map(FACTS, 173).startswith("at 170: 54 %; at 180: 70 % had")
    assert probability_map(FACTS, 18).startswith("at 90: <1 % had")
    assert probability_map(FACTS, 337).startswith("at 250: >99 % had")


@pytest.mark.parametrize("row", VECTORS["hlh_2004"])
def test_hlh_2004_gives_the_golden_vectors(row: dict[str, Any]) -> None:
    found = hlh_result(FACTS, Tally(row["met"], row["not_met"], row["unknown"]))
    assert found == row["result"].replace(" ", "-")


@pytest.mark.parametrize("row", VECTORS["gust"])
def test_the_gust_rule_gives_the_golden_vectors(row: dict[str, Any]) -> None:
    early = observed({"temperature": (row["temperature"], "")}, 20)
    late = observed({"il6": (row["il6"], ""), "mcp1": (row["mcp1"], "")}, row["hours"])
    one = scores(TABLES, early + late, index_seconds=48 * HOUR)[NAMES.index("gust")]
    if row["result"] is None:
        assert one.status == "not-computed"
        assert set(gaps(one).values()) == ({"outside-window"} if row["hours"] > 36 else {"missing"})
    else:
        assert (one.status, one.result) == (
            "computed",
            row["result"].replace(" ", "-"),
        )


@pytest.mark.parametrize("row", VECTORS["hay"])
def test_the_hay_rule_gives_the_golden_vectors_and_stands_as_unverified(row: dict[str, Any]) -> None:
    one = score("hay", {"temperature": (row["temperature"], ""), "mcp1": (row["mcp1"], "")}, 20, 48)
    expected = {None: "not-computed", "predicted >= 4": "predicted"}.get(row["result"], "not-predicted")
    assert (one.result if one.status == "computed" else one.status) == expected
    assert one.verified == "no"
    assert "score-unverified" in [note.code for note in one.notes]


@pytest.mark.parametrize("row", VECTORS["severe4"])
def test_severe4_gives_the_golden_vectors(row: dict[str, Any]) -> None:
    organs = ("respiratory", "upper_gastrointestinal", "hepatic", "renal")
    findings = Known({f"cirs_{organ}": row[organ] for organ in organs if row[organ] is not None})
    one = score("severe4", {}, findings=findings)
    assert (one.result if one.status == "computed" else None) == row["result"]
    assert gaps(one) == {f"cirs_{organ}": "missing" for organ in organs if row[organ] is None}


@pytest.mark.parametrize("row", VECTORS["albi"])
def test_albi_gives_the_golden_vectors(row: dict[str, Any]) -> None:
    value = albi_value(FACTS, row["bilirubin"], row["albumin"])
    assert value == pytest.approx(row["albi"], rel=TOLERANCE)
    assert albi_grade(FACTS, value) == row["grade"]
    one = score("albi", {"bilirubin": (row["bilirubin"], "umol/L"), "albumin": (row["albumin"], "g/L")}, -4)
    assert one.value == pytest.approx(row["albi"], rel=1e-5)
    assert one.result == f"grade-{row['grade']}"


def test_albi_is_grade_one_and_two_up_to_and_including_their_limits() -> None:
    assert [albi_grade(FACTS, value) for value in (-2.60, -2.599, -1.39, -1.389)] == [1, 2, 2, 3]


# What is needed, and when it counts

ALL = {
    "ldh": (300.0, ""),
    "crp": (20.0, ""),
    "platelets": (80.0, ""),
    "creatinine": (0.9, ""),
    "anc": (2.0, ""),
    "hemoglobin": (10.0, ""),
    "ferritin": (700.0, ""),
    "bilirubin": (1.0, ""),
    "albumin": (38.0, ""),
    "wbc": (4.0, ""),
    "triglycerides": (2.0, ""),
    "fibrinogen": (3.0, ""),
    "ast": (25.0, ""),
    "temperature": (38.6, ""),
    "il6": (20.0, ""),
    "mcp1": (900.0, ""),
    "sil2r": (1000.0, ""),
}
NEEDS = {
    "easix": ("ldh", "creatinine", "platelets"),
    "s_easix": ("ldh", "platelets"),
    "m_easix": ("ldh", "crp", "platelets"),
    "car_hematotox": ("platelets", "anc", "hemoglobin", "crp", "ferritin"),
    "albi": ("bilirubin", "albumin"),
}
PAIRS = [(name, code) for name, codes in NEEDS.items() for code in codes]
KNOWN = Known(
    {
        "organomegaly": 0.0,
        "splenomegaly": 0.0,
        "haemophagocytosis": 0.0,
        "immunosuppression": 0.0,
        "nk_activity": 0.0,
        "cirs_respiratory": 0.0,
        "cirs_upper_gastrointestinal": 0.0,
        "cirs_hepatic": 0.0,
        "cirs_renal": 0.0,
    }
)


@pytest.mark.parametrize(("name", "code"), PAIRS)
def test_without_any_one_input_a_score_is_not_computed_and_names_it(name: str, code: str) -> None:
    assert score(name, ALL, -2).status == "computed"
    without = {key: value for key, value in ALL.items() if key != code}
    one = score(name, without, -2)
    assert (one.status, gaps(one)) == ("not-computed", {code: "missing"})
    assert "value" not in fields(one)


def fields(one: Score) -> set[str]:
    held: dict[str, Any] = msgspec.to_builtins(one)
    return set(held)


@pytest.mark.parametrize(("name", "code"), PAIRS)
def test_a_value_at_the_analysers_limit_is_not_scored(name: str, code: str) -> None:
    (limit,) = [one for one in observed(ALL, -2) if one.code == code]
    one = score(name, ALL, -2, at_limit=frozenset({(limit.code, limit.seconds, limit.value)}))
    assert (one.status, gaps(one)) == ("not-computed", {code: "at-limit"})


@pytest.mark.parametrize(("name", "code"), PAIRS)
def test_an_input_counts_up_to_the_age_limit_and_not_a_second_longer(name: str, code: str) -> None:
    oldest = int(FACTS.times[name].max_age_hours * HOUR)
    values = {key: value for key, value in ALL.items() if key in NEEDS[name]}
    index = 200 * HOUR
    for age, expected in ((oldest, {}), (oldest + 1, dict.fromkeys(values, "too-old"))):
        held = [Observed(one.code, index - age, one.value) for one in observed(values, 0)]
        found = {one.name: one for one in scores(TABLES, held, index_seconds=index)}
        assert gaps(found[name]) == expected
    assert code in values


@pytest.mark.parametrize("name", NEEDS)
def test_inputs_too_far_apart_are_not_put_into_one_score(name: str) -> None:
    gap = int(FACTS.times[name].max_gap_hours * HOUR)
    index = 200 * HOUR
    first, *others = [Observed(one.code, index, one.value) for one in observed(ALL, 0) if one.code in NEEDS[name]]
    for apart, expected in ((gap, {}), (gap + 1, {first.code: "too-far-apart"})):
        held = [Observed(first.code, index - apart, first.value), *others]
        found = {one.name: one for one in scores(TABLES, held, index_seconds=index)}
        assert gaps(found[name]) == expected


def test_a_threshold_counts_only_at_its_own_time_point() -> None:
    before, after = score("easix", ALL, BEFORE), score("easix", ALL, -2)
    assert before.result == "not-above-threshold"
    assert before.notes == ()
    assert after.value == before.value
    assert "result" not in fields(after)
    assert [note.code for note in after.notes] == ["score-inputs-elsewhere"]
    assert "immediately before lymphodepletion" in after.notes[0].text
    assert "result" not in fields(score("car_hematotox", ALL, -2))


def test_values_of_a_scores_own_time_come_before_later_ones() -> None:
    early, late = observed(ALL, BEFORE), observed({**ALL, "platelets": (20.0, "")}, -2)
    found = {one.name: one for one in scores(TABLES, early + late, index_seconds=0)}
    assert [part.hours for part in found["easix"].inputs] == [BEFORE] * 3
    assert [part.hours for part in found["m_easix"].inputs] == [-2.0] * 3


def test_crp_in_either_unit_gives_the_same_m_easix() -> None:
    @settings(max_examples=200)
    @given(st.floats(0.1, 60.0))
    def check(crp: float) -> None:
        one, other = (score("m_easix", {**ALL, "crp": pair}, RECENT) for pair in ((crp, "mg/dL"), (crp * 10, "mg/L")))
        assert one.status == "computed"
        assert one.value == pytest.approx(other.value, rel=1e-5)
        first, second = (exact("m_easix", {"crp": pair}) for pair in ((crp, "mg/dL"), (crp * 10, "mg/L")))
        assert first == pytest.approx(second, rel=TOLERANCE)

    check()


def test_the_order_of_observations_changes_nothing() -> None:
    held = [*observed(ALL, -2), *observed(ALL, 20), *observed({**ALL, "ldh": (500.0, "")}, 20)]
    expected = scores(TABLES, held, index_seconds=24 * HOUR, findings=KNOWN)
    for seed in range(20):
        mixed = random.Random(seed).sample(held, len(held))
        assert scores(TABLES, mixed, index_seconds=24 * HOUR, findings=KNOWN) == expected


def test_the_score_beside_the_model_is_the_one_in_the_row() -> None:
    values = {"ldh": (410.0, ""), "crp": (6.43, "mg/dL"), "platelets": (74.0, "")}
    ldh, crp, platelets = (np.array([one.value]) for one in observed(values, 0))
    assert formulas.m_easix(ldh, crp / 10.0, platelets)[0] == formulas.with_factor(*exact("m_easix", values))


# HScore and HLH-2004


def test_without_a_marrow_the_hscore_is_at_least_what_the_rest_gives() -> None:
    whole = score("hscore", ALL, -2, findings=KNOWN)
    without = Known({name: value for name, value in KNOWN.values.items() if name != "haemophagocytosis"})
    one = score("hscore", ALL, -2, findings=without)
    assert (whole.status, whole.value) == ("computed", 33 + 24 * 1 + 44 - 24 + 24)
    assert (one.status, one.at_least, gaps(one)) == ("not-computed", whole.value, {"haemophagocytosis": "missing"})
    assert not {"value", "probability_map"} & fields(one)
    assert [note.code for note in one.notes] == ["score-lower-limit"]


def test_every_item_that_becomes_known_only_raises_the_hscores_lower_limit() -> None:
    names, limits = list(ALL), [0.0]
    for known in range(1, len(names) + 1):
        one = score("hscore", {name: ALL[name] for name in names[:known]}, -2)
        limits.append(one.at_least if "at_least" in fields(one) else 0.0)
    assert limits == sorted(limits)
    assert limits[-1] > 0


def test_triglycerides_on_the_edge_are_judged_in_mmol() -> None:
    # A reprint's 132.7 mg/dL lies below 1.5 mmol/L at 88.57 mg/dL per mmol/L; 132.855 lies on it.
    points = [
        score("hscore", {**ALL, "triglycerides": (value, "mg/dL")}, -2, findings=KNOWN).points["triglycerides"]
        for value in (132.7, 132.855, 354.28, 354.4)
    ]
    assert points == [0.0, 44.0, 44.0, 64.0]


def test_the_highest_recent_temperature_counts_for_hscore_and_hlh() -> None:
    held = observed(ALL, -2) + observed({"temperature": (39.5, "")}, -20)
    found = {one.name: one for one in scores(TABLES, held, index_seconds=0, findings=KNOWN)}
    assert found["hscore"].points["temperature"] == 49.0
    assert found["hlh_2004"].points["fever"] == 1.0


def test_hlh_2004_says_how_many_of_how_many_known_criteria_are_met() -> None:
    one = score("hlh_2004", ALL, -2, findings=KNOWN)
    assert (one.met, one.known, one.result) == (2, 8, "not-met")
    without = {key: value for key, value in ALL.items() if key not in ("sil2r", "ferritin")}
    some = score("hlh_2004", without, -2, findings=Known({}))
    assert (some.met, some.known, some.result) == (1, 3, "undetermined")
    assert {"sil2r", "ferritin", "splenomegaly"} <= set(gaps(some))
    nothing = score("hlh_2004", {}, -2)
    assert (nothing.status, nothing.known) == ("not-computed", 0)


def test_a_molecular_diagnosis_alone_is_hlh() -> None:
    assert score("hlh_2004", ALL, -2, findings=Known({"molecular_hlh": 1.0})).result == "met"


def test_newborns_have_another_limit_for_haemoglobin() -> None:
    low = {**ALL, "hemoglobin": (9.5, "")}
    young, old = (
        score("hlh_2004", low, -2, findings=KNOWN, numbers={"age_years": age}).points["cytopenias"]
        for age in (0.05, 0.08)
    )
    assert (young, old) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("triglycerides", "fibrinogen", "expected"),
    [(3.0, 3.0, True), (2.9, 1.5, True), (2.9, 1.51, False), (None, 1.5, True), (None, 2.0, None), (2.9, None, None)],
)
def test_triglycerides_or_fibrinogen_is_one_criterion(
    triglycerides: float | None, fibrinogen: float | None, expected: bool | None
) -> None:
    found = scores_hlh.hlh_criteria(FACTS, {"triglycerides": triglycerides, "fibrinogen": fibrinogen})
    assert found["triglycerides_fibrinogen"] is expected


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((8.9, 99.0, None), True),
        ((9.0, 100.0, None), False),
        ((8.9, 100.0, None), None),
        ((None, None, 0.5), None),
        ((9.0, 99.0, 0.99), True),
    ],
)
def test_two_of_three_low_counts_are_one_criterion(counts: tuple[float | None, ...], expected: bool | None) -> None:
    values = dict(zip(("hemoglobin", "platelets", "anc"), counts, strict=True))
    assert scores_hlh.hlh_criteria(FACTS, values)["cytopenias"] is expected


# Rules of the first 36 hours

HOT = {"temperature": (39.5, ""), "il6": (100.0, ""), "mcp1": (5000.0, "")}


def test_the_gust_rule_takes_the_window_with_both_ends() -> None:
    index = 40
    assert [score("gust", HOT, hours, index).status for hours in (0, 36)] == ["computed"] * 2
    assert [score("gust", HOT, hours, index).status for hours in (-0.01, 36.01)] == ["not-computed"] * 2


def test_the_gust_rule_is_void_after_tocilizumab() -> None:
    def with_dose(hours: float) -> Score:
        dose = Observed(Event.TOCILIZUMAB.value, int(hours * HOUR), 1.0)
        return scores(TABLES, (*observed(HOT, 20), dose), index_seconds=48 * HOUR)[NAMES.index("gust")]

    assert set(gaps(with_dose(10)).values()) == {"after-tocilizumab"}
    assert set(gaps(with_dose(20)).values()) == {"after-tocilizumab"}
    assert with_dose(21).result == "high-risk"
    assert with_dose(40).result == "high-risk"
    prophylaxis = score("gust", HOT, 20, 48, numbers={"prophylactic_tocilizumab": 1.0})
    assert set(gaps(prophylaxis).values()) == {"after-tocilizumab"}


def test_a_negative_rule_says_so_while_its_window_is_open() -> None:
    cool = {**HOT, "temperature": (37.0, "")}
    still, over = score("gust", cool, 20, 35.9), score("gust", cool, 20, 36)
    assert (still.result, over.result) == ("not-high-risk", "not-high-risk")
    assert [[note.code for note in one.notes] for one in (still, over)] == [["score-window-open"], []]


@pytest.mark.parametrize("therapy", ["teclistamab", "afamitresgene-autoleucel", "tebentafusp"])
def test_scores_made_for_car_t_cells_say_so_for_another_therapy(therapy: str) -> None:
    assert therapy in TABLES.therapies
    for name in ("gust", "hay"):
        assert set(gaps(score(name, HOT, 20, 48, therapy=therapy)).values()) == {"other-therapy"}
        assert score(name, HOT, 20, 48, therapy="axicabtagene-ciloleucel").status == "computed"
    easix = score("easix", ALL, BEFORE, therapy=therapy)
    assert "score-other-therapy" in [note.code for note in easix.notes]


# What every score says


def test_every_computed_score_says_what_it_was_made_for_and_that_it_is_no_probability() -> None:
    found = scores(TABLES, (*observed(ALL, 10), *observed(HOT, 20)), index_seconds=24 * HOUR, findings=KNOWN)
    assert {one.status for one in found} == {"computed"}
    for one in found:
        assert one.made_for.is_not == NOT_A_RISK
        assert all((one.source, one.verified, one.made_for.population, one.made_for.outcome, one.made_for.time_point))
        policy = "policy of this project, not verified" in about(one.name).input_age
        assert policy or one.name in ("gust", "hay", "severe4")


def test_gaps_have_known_reasons() -> None:
    found = scores(TABLES, observed(ALL, -100), index_seconds=0)
    assert {gap.why for one in found for gap in one.missing} <= set(WHYS)


def test_the_model_page_lists_what_is_computed_and_what_is_not_with_its_reason() -> None:
    listed = score_list()
    assert [one["name"] for one in listed["computed"]] == list(NAMES)
    not_there = {one["score"]: one for one in listed["not_implemented"]}
    assert {"CRSRS", "Teachey 2016", "EASIX-F and EASIX-FC", "m-EASIX cut-offs"} <= set(not_there)
    assert all(one["missing"] and one["source"] for one in not_there.values())
