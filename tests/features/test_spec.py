"""The columns of a row: their order, their fingerprint, and the ranges they were trained in."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from features.errors import BundleError
from features.spec import Column, Spec, full
from tests.builders import CATALOGUE, full_spec


def column(name: str) -> Column:
    return full_spec().columns[full_spec().names.index(name)]


def reread(spec: Spec) -> Spec:
    return Spec.from_json(json.loads(json.dumps(spec.to_json(), allow_nan=False)))


def test_column_names_are_unique_and_xgboost_can_carry_them() -> None:
    names = full_spec().names
    assert len(set(names)) == len(names)
    assert not [name for name in names if set(name) & set("[]<")]


def test_the_catalogue_gives_the_same_columns_every_time() -> None:
    assert full(CATALOGUE) == full_spec()
    assert full(CATALOGUE).fingerprint == full_spec().fingerprint


@pytest.mark.parametrize(
    ("name", "unit", "monotone"),
    [
        ("crp.last", "mg/L", 1),
        ("crp.change", "ln", 0),
        ("crp.age", "h", 0),
        ("ldh.worst", "x upper limit", 1),
        ("ldh.change", "ln", 0),
        ("platelets.last", "10*3/uL", -1),
        ("temperature.change", "Cel", 0),
        ("crs_grade.worst", "1", 0),
        ("crs_grade.since_first", "h", 0),
        ("easix_log2", "log2", 1),
        ("high_disease_burden", "1", 1),
    ],
)
def test_a_column_says_its_unit_and_which_way_it_may_push(name: str, unit: str, monotone: int) -> None:
    assert (column(name).unit, column(name).monotone) == (unit, monotone)


def test_an_assay_that_is_read_against_its_upper_limit_has_a_default_one() -> None:
    assert [
        code for code, rule in full_spec().rules.items() if rule.per_upper_limit and math.isnan(rule.upper_limit)
    ] == []


def test_what_changes_a_row_changes_the_fingerprint() -> None:
    base = full_spec()
    rules = {**base.rules, "ldh": replace(base.rules["ldh"], upper_limit=240.0)}
    changed = [
        replace(base, columns=base.columns[::-1]),
        replace(base, columns=base.columns[1:]),
        replace(base, columns=(replace(base.columns[0], monotone=1), *base.columns[1:])),
        replace(base, rules=rules),
        replace(base, members={**base.members, "teclistamab": ("teclistamab",)}),
    ]
    assert len({base.fingerprint, *(one.fingerprint for one in changed)}) == 1 + len(changed)


def test_ranges_do_not_change_the_fingerprint() -> None:
    values = np.zeros((3, len(full_spec().columns)), dtype=np.float32)
    assert full_spec().with_ranges(values).fingerprint == full_spec().fingerprint


def test_keeping_columns_keeps_their_order() -> None:
    kept = full_spec().keep(["ldh.last", "crp.last", "hours_since_start", "no_such_column"])
    assert kept.names == ("hours_since_start", "crp.last", "ldh.last")


def test_ranges_hold_percentiles_and_the_share_that_was_known() -> None:
    three = full_spec().keep(["crp.last", "ldh.last", "il6.last"])
    values = np.full((202, 3), np.nan, dtype=np.float32)
    values[:101, 0] = np.arange(101)
    values[:, 1] = 7.0
    crp, ldh, il6 = three.with_ranges(values).ranges
    assert (crp.low, crp.high, crp.present) == (1.0, 99.0, 0.5)
    assert (ldh.low, ldh.high, ldh.present) == (7.0, 7.0, 1.0)
    assert il6.present == 0.0


def test_a_spec_survives_json() -> None:
    spec = full_spec().with_ranges(np.ones((4, len(full_spec().columns)), dtype=np.float32))
    again = reread(spec)
    assert (again.columns, again.ranges, again.fingerprint) == (spec.columns, spec.ranges, spec.fingerprint)
    assert again.members == spec.members
    assert [again.rules[code].sign for code in spec.rules] == [rule.sign for rule in spec.rules.values()]


def test_an_unknown_upper_limit_is_null_in_json_and_unknown_again_after_it() -> None:
    assert full_spec().to_json()["rules"]["inr"]["upper_limit"] is None
    assert math.isnan(reread(full_spec()).rules["inr"].upper_limit)


@pytest.mark.parametrize("change", ["format", "fingerprint", "columns", "rules"])
def test_columns_that_do_not_match_their_fingerprint_are_refused(change: str) -> None:
    body = json.loads(json.dumps(full_spec().to_json()))
    if change == "columns":
        body["columns"][0], body["columns"][1] = body["columns"][1], body["columns"][0]
    elif change == "rules":
        body["rules"]["platelets"]["sign"] = 1.0
    else:
        body[change] = {"format": 99, "fingerprint": "0" * 64}[change]
    with pytest.raises(BundleError, match=r"spec\.json"):
        Spec.from_json(body)
