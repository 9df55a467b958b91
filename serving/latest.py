"""The latest of each thing observed, chosen as the row-builder chooses it."""

from collections.abc import Iterable
from math import inf, isnan

from features.single import Observed


def latest(observations: Iterable[Observed]) -> dict[str, Observed]:
    """The latest of each code; of several at one time the larger, then the one with the larger limit, as in the row."""
    found: dict[str, Observed] = {}
    for one in observations:
        held = found.get(one.code)
        if held is None or _as_in_the_row(one) >= _as_in_the_row(held):
            found[one.code] = one
    return found


def _as_in_the_row(one: Observed) -> tuple[int, float, float]:
    return one.seconds, one.value, -inf if isnan(one.limit) else one.limit
