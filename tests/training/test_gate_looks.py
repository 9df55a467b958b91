"""Locked test courses are spent by looks: the number is told in words, and held against a limit where one stands."""

import pytest

from training import change_plan, gate_looks
from training.change_plan import Change, Criterion, Numbers
from training.gate_looks import checks, told

SHIPPED = change_plan.read().items[Change.RETRAIN].numbers


def limited(most: int) -> Numbers:
    return Numbers(**{**{name: getattr(SHIPPED, name) for name in Numbers.__slots__}, "most_looks": most})


@pytest.mark.parametrize(
    ("looks", "words"),
    [
        (0, "no other bundle was judged on these test courses before"),
        (1, "1 other bundle was judged on these test courses before"),
        (2, "2 other bundles were judged on these test courses before"),
        (None, "how many other bundles were judged on these test courses before is not known"),
    ],
)
def test_the_number_of_looks_is_told_and_so_is_that_it_is_not_known(looks: int | None, words: str) -> None:
    assert told(looks) == words


def test_the_shipped_plan_states_no_limit_and_holds_nothing_against_looks() -> None:
    assert SHIPPED.most_looks is None
    assert gate_looks.checks(1000, SHIPPED) == []


@pytest.mark.parametrize(("looks", "met"), [(0, True), (2, True), (3, None), (9, None)])
def test_beyond_the_limit_it_cannot_be_judged_which_is_no_refusal(looks: int, met: bool | None) -> None:
    (found,) = checks(looks, limited(2))
    assert (found.code, found.met, found.value, found.limit) == (Criterion.LOOKS, met, looks, 2)
