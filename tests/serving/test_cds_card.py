"""What a card tells a reader in a hurry: which outcome, of when, by which values, and what it does not rest on."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import UNSET, structs

from features import catalogue
from features.predict import Predictor
from serving import notes
from serving.answer import Answer, Interval
from serving.answerer import Answerer
from serving.cds import why, words
from serving.cds.cards import Place, card_of, unclear_card
from serving.cds.plain import number, unit
from serving.fhir_types import FhirRead
from serving.page import index
from serving.reasons import Reason
from tests.serving import fhir_builders as fb
from tests.serving.learned import banded, learned_bundle

TABLES = catalogue.load()
READS = (("crp.last", 0.0, 200.0), ("high_disease_burden", 0.0, 1.0))
BY = Answerer(Predictor(banded(learned_bundle(READS, "crs_3plus"), "crs_3plus", 0.01, 0.03), TABLES), "7")
PLACE = Place("https://crs.example", "p1", "7")
FLAWED = (
    fb.result("x1", "1988-5", 1.0, "furlong"),
    fb.result("x2", "1988-5", 1.0, "mg/L", at="2026-02-03T08:00:00"),
    fb.result("x3", "1988-5", 1.0, "mg/L", at="2026-02-02T08:00:00"),
    fb.result("x4", "1988-5", 1.0, "mg/L", status="preliminary"),
    fb.result("x5", "9999-9", 1.0, "mg/L"),
)


def asked(*resources: fb.Json, at: datetime = fb.NOW) -> tuple[Answer, FhirRead]:
    read = fb.read(*resources, at=at)
    assert read.intake is not None
    return BY.answer([read.intake])[0], read


def detail(*resources: fb.Json, **more: Any) -> str:
    answer, read = asked(*resources, **more)
    return card_of(answer, read, TABLES, PLACE).detail


def reasons(*held: Reason) -> list[str]:
    """The lines on these reasons beside an answer in which LDH and high disease burden are not known."""
    answer, _ = asked(fb.patient(), fb.infusion(), fb.result("o1", "1988-5", 96.0, "mg/L"))
    head = words.headline(answer)
    assert head is not None
    return [*why.lines(structs.replace(answer, reasons=held), TABLES, head)][1:]


def reason(what: str, name: str, effect: float, **fields: Any) -> Reason:
    return Reason("crs_3plus", "input", what, name, effect, **fields)


def test_a_reason_is_told_with_its_value_unit_and_age() -> None:
    seen = reason("crp", "C-reactive protein", 0.5, observed=96.0, unit="mg/L", measured_hours=46.0)
    assert reasons(seen) == ["- C-reactive protein (96 mg/L, 2 h old): raises the odds, times 1.6"]
    count = reason("platelets", "Platelets", -0.5, observed=88.0, unit="10*3/uL", measured_hours=46.0)
    assert reasons(count) == ["- Platelets (88 10^3/uL, 2 h old): lowers the odds, times 0.61"]
    age = reason("age_years", "age", -0.5, observed=64.0, unit="a")
    assert reasons(age) == ["- age (64 years): lowers the odds, times 0.61"]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("high_disease_burden", " (not known)"),
        ("cardiac_disease", " (not known)"),
        ("age_years", " (not known)"),
        ("ldh", " (not known)"),
        ("m_easix", " (not known)"),
        ("tocilizumab", " (none charted)"),
        ("crs_grade", " (none charted)"),
        ("therapy", ""),
        ("time", ""),
    ],
)
def test_an_input_that_is_not_there_is_never_read_as_a_finding(what: str, said: str) -> None:
    assert reasons(reason(what, "x", 0.5)) == [f"- x{said}: raises the odds, times 1.6"]


@pytest.mark.parametrize(
    ("what", "observed", "said"),
    [
        ("high_disease_burden", 1.0, "(yes)"),
        ("cardiac_disease", 0.0, "(no)"),
        ("tocilizumab", 1.0, "(charted)"),
        ("crs_grade", 2.0, "2"),
        ("prior_lines", 3.0, "(3)"),
    ],
)
def test_a_fact_of_the_course_is_told_as_it_was_stated(what: str, observed: float, said: str) -> None:
    assert reasons(reason(what, "x", 0.5, observed=observed)) == [f"- x {said}: raises the odds, times 1.6"]


def test_what_hardly_moves_the_odds_is_no_reason() -> None:
    slight = reason("crp", "C-reactive protein", why.LEAST_EFFECT - 1e-9)
    assert reasons(slight) == ["- none: nothing of this patient moves the odds by a twentieth or more"]
    assert len(reasons(structs.replace(slight, effect=-why.LEAST_EFFECT))) == 1
    assert "times 1\n" not in "\n".join([*reasons(structs.replace(slight, effect=why.LEAST_EFFECT)), ""])


def test_four_digits_and_no_exponent() -> None:
    assert [number(one) for one in (96.0, 1650.04, 123456.0, 0.04, 37.25)] == ["96", "1650", "123500", "0.04", "37.25"]
    assert [unit(one) for one in ("mm[Hg]", "Cel", "10*3/uL")] == ["mmHg", "°C", "10^3/uL"]


def test_the_summary_names_the_outcome_of_the_highest_band() -> None:
    answer, _ = asked(*fb.chart())
    risks = [
        structs.replace(
            one,
            status="evaluated",
            probability=0.0001,
            interval=Interval(0.0, 0.1, "both"),
            band="high" if one.outcome == "icans_2plus" else "intermediate",
        )
        for one in answer.risks
    ]
    said = words.summary(structs.replace(answer, risks=tuple(risks)))
    assert said == (
        "CRS grade 3+ under 0.1 %, CRS grade 2+ under 0.1 % by day 14, ICANS grade 3+ under 0.1 % by day 30; "
        "highest band: high (ICANS 2+)."
    )
    unbanded = [structs.replace(one, band="unbanded") for one in risks]
    assert "band" not in words.summary(structs.replace(answer, risks=tuple(unbanded)))


def test_the_card_tells_its_index_time_in_utc_and_long_times_in_days() -> None:
    assert "48 hours after the infusion (2.0 days). As of 2026-02-03 10:00 UTC." in detail(*fb.chart())
    early = detail(fb.patient(), fb.infusion(), at=datetime(2026, 2, 2, 9, 59, 31, tzinfo=UTC))
    assert "24 hours after the infusion. As of 2026-02-02 09:59 UTC." in early
    planned = detail(fb.patient(), fb.order("r1", "1987398", "2026-02-01T10:00:00Z"))
    assert "planned: as if it began now. As of 2026-02-03 10:00 UTC." in planned


def test_what_is_charted_and_cannot_be_used_is_counted_by_its_fault() -> None:
    said = detail(*fb.chart(), *FLAWED)
    line = next(one for one in said.splitlines() if one.startswith("**Charted and not used**"))
    faults = ("in a unit that is not accepted (1)", "with a time without its zone (2)", "preliminary (1)")
    assert line == f"**Charted and not used**: {', '.join(faults)}."
    assert "Charted and not used" not in detail(*fb.chart(), FLAWED[-1])


def test_a_card_without_any_result_says_so() -> None:
    none = "**No laboratory result or vital sign was used**"
    assert none in detail(fb.patient(), fb.infusion())
    assert none in detail(
        fb.patient(), fb.infusion(), fb.result("o", "1988-5", 96.0, "mg/L", at="2025-02-03T08:00:00Z")
    )
    assert none not in detail(*fb.chart())


def test_cautions_stand_before_reasons() -> None:
    said = detail(*fb.chart())
    assert 0 < said.index("| Outcome |") < said.index("**Cautions**") < said.index("**Strongest reasons**")


def test_the_source_of_a_card_says_that_the_model_is_synthetic() -> None:
    answer, read = asked(*fb.chart())
    assert card_of(answer, read, TABLES, PLACE).source.label == "CRS Risk, version 7"
    synthetic = structs.replace(answer, cautions=(*answer.cautions, notes.SYNTHETIC))
    label = "CRS Risk, version 7 (trained on SYNTHETIC data, not for use with patients)"
    assert card_of(synthetic, read, TABLES, PLACE).source.label == label


@pytest.mark.parametrize("missing", ["therapy", "start", "time"])
def test_whatever_is_not_clear_is_told_in_a_sentence(missing: str) -> None:
    card = unclear_card("1", FhirRead("not-clear", missing=(missing,)), PLACE)
    assert card.detail.startswith("**Not evaluated**, which does not mean a low risk:\n- ")
    assert card.suggestions is UNSET


def test_the_page_that_a_card_links_to_says_where_the_bands_begin() -> None:
    text = index(BY).decode()
    row = next(one for one in text.splitlines() if "CRS of grade 3 or worse" in one)
    assert row.endswith("<td>1.0 %</td><td>3.0 %</td></tr>")
    other = next(one for one in text.splitlines() if "CRS of grade 2 or worse" in one)
    assert other.endswith("<td>not stated</td><td>not stated</td></tr>")
    assert text.count("<th>") == row.count("<td>")
