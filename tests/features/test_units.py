"""A value comes into its canonical unit exactly as the table says, or it is refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.catalogue import Analyte, fold_unit, load
from features.errors import UnitError
from features.units import check_plausible, convert, convert_array, is_plausible

ANALYTES = list(load().analytes.values())
CELL_COUNTS = {"platelets", "wbc", "anc", "alc"}


def analyte(key: str) -> Analyte:
    return load().analytes[key]


@pytest.mark.parametrize(
    ("key", "value", "unit", "expected"),
    [
        ("crp", 12.3, "mg/dL", 123.0),
        ("crp", 12.3, "mg/L", 12.3),
        ("ferritin", 850.0, "µg/L", 850.0),
        ("ldh", 4.0, "µkat/L", 240.0),
        ("platelets", 150.0, "K/uL", 150.0),
        ("platelets", 150.0, "10*9/L", 150.0),
        ("platelets", 150000.0, "/uL", 150.0),
        ("creatinine", 88.42, "umol/L", 1.0),
        ("creatinine", 176.84, "\u03bcmol/L", 2.0),
        ("bilirubin", 17.1, "umol/L", 1.0),
        ("fibrinogen", 350.0, "mg/dL", 3.5),
        ("d_dimer", 500.0, "ng/mL{FEU}", 0.5),
        ("d_dimer", 2.5, "ug/mL{FEU}", 2.5),
        ("il6", 16.0, "ng/L", 16.0),
        ("sgp130", 300000.0, "pg/mL", 300.0),
        ("hemoglobin", 95.0, "g/L", 9.5),
        ("albumin", 4.1, "g/dL", 41.0),
        ("triglycerides", 265.71, "mg/dL", 3.0),
        ("lactate", 18.02, "mg/dL", 2.0),
        ("temperature", 100.4, "[degF]", 38.0),
        ("temperature", 102.02, "°F", 38.9),
        ("temperature", 38.0, "Cel", 38.0),
    ],
)
def test_golden_conversions(key: str, value: float, unit: str, expected: float) -> None:
    assert convert(analyte(key), value, unit) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("key", "value", "unit"),
    [
        ("temperature", 300.0, "K"),
        ("temperature", 38.0, "K/uL"),
        ("d_dimer", 0.5, "mg/L"),
        ("d_dimer", 250.0, "ng/mL{DDU}"),
        ("spo2", 0.97, "1"),
        ("fio2", 0.4, ""),
        ("sil2r", 2000.0, "pg/mL"),
        ("crp", 5.0, "MG/L"),
        ("oxygen_flow", 2.0, "mL/min"),
    ],
)
def test_a_unit_that_is_not_on_the_analytes_own_list_is_refused(key: str, value: float, unit: str) -> None:
    with pytest.raises(UnitError, match="this unit is not accepted"):
        convert(analyte(key), value, unit)


def test_kelvin_lookalike_is_a_cell_count_and_nothing_else() -> None:
    assert {row.key for row in ANALYTES if {"K/uL", "k/uL", "K/mcL"} & set(row.units)} == CELL_COUNTS


@pytest.mark.parametrize(
    ("key", "value", "unit"),
    [
        ("temperature", 101.3, "Cel"),
        ("fibrinogen", 350.0, "g/L"),
        ("albumin", 4.1, "g/L"),
        ("creatinine", 88.0, "mg/dL"),
        ("d_dimer", 500.0, "mg/L{FEU}"),
        ("spo2", 0.97, "%"),
        ("fio2", 0.4, "%"),
        ("platelets", 150000.0, "10*3/uL"),
    ],
)
def test_a_value_sent_under_the_wrong_unit_leaves_the_plausible_range(key: str, value: float, unit: str) -> None:
    with pytest.raises(UnitError, match="plausible range"):
        convert(analyte(key), value, unit)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1.0])
@pytest.mark.parametrize("row", ANALYTES, ids=lambda row: row.key)
def test_nan_infinite_and_negative_values_are_refused_for_every_analyte(row: Analyte, bad: float) -> None:
    with pytest.raises(UnitError, match="plausible range"):
        convert(row, bad, row.unit)


@pytest.mark.parametrize("row", ANALYTES, ids=lambda row: row.key)
def test_both_plausible_limits_are_inclusive(row: Analyte) -> None:
    edges = [row.plausible_low, row.plausible_high]
    beyond = [np.nextafter(row.plausible_low, -np.inf), np.nextafter(row.plausible_high, np.inf)]
    assert is_plausible(row, edges).all()
    assert not is_plausible(row, beyond).any()


def test_the_message_names_analyte_and_range_and_count_but_no_value() -> None:
    with pytest.raises(UnitError) as caught:
        convert_array(analyte("crp"), [5.0, 98765.5, -4321.5], "mg/L")
    message = str(caught.value)
    assert message.startswith("crp: 2 of 3 values not in the plausible range 0 to 700 mg/L")
    assert "98765" not in message
    assert "4321" not in message
    assert "\n" not in message


def test_an_array_converts_as_its_values_do_one_by_one() -> None:
    row, values = analyte("temperature"), [97.1, 100.4, 104.9]
    assert convert_array(row, values, "°F").tolist() == [convert(row, value, "°F") for value in values]


def test_an_empty_array_is_plausible_and_stays_empty() -> None:
    check_plausible(analyte("crp"), [])
    assert convert_array(analyte("crp"), [], "mg/dL").shape == (0,)


@given(st.data())
def test_two_accepted_units_of_one_analyte_agree(data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(ANALYTES))
    first, second = (data.draw(st.sampled_from(sorted(row.units))) for _ in range(2))
    span = row.plausible_high - row.plausible_low
    value = data.draw(st.floats(row.plausible_low + 1e-3 * span, row.plausible_high - 1e-3 * span))
    back = {unit: (value - rule.offset) / rule.factor for unit, rule in row.units.items()}
    assert convert(row, back[first], first) == pytest.approx(convert(row, back[second], second), rel=1e-9)


@given(st.sampled_from(ANALYTES), st.text(max_size=12))
def test_any_text_that_is_not_listed_is_refused(row: Analyte, unit: str) -> None:
    if fold_unit(unit) in row.units:
        return
    with pytest.raises(UnitError):
        convert(row, row.plausible_high, unit)


def test_folding_changes_micro_signs_and_spaces_only() -> None:
    assert fold_unit(" \u00b5mol / L ") == fold_unit("\u03bcmol/L") == "umol/L"
    assert fold_unit("MG/L") != fold_unit("mg/L")
