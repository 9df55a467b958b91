"""Small counts are held back in what leaves the house, so that they cannot be worked out from what is shown, either.

The tables in question are partitions: the groups of one axis (sites, age bands) whose counts add up to a known total.
A group is small if it has 1 to `smallest` - 1 patients, patients with the outcome, or patients without it; none is no
small count. What is hidden together is never one group alone, and never sums to a small count.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Tally:
    """The patients of one group: those with a row that has the outcome, and those with one that has not.

    A patient with several index times may be in both.
    """

    having: frozenset[int]
    lacking: frozenset[int]

    @classmethod
    def of(cls, patient: NDArray[np.int64], label: NDArray[np.float64]) -> "Tally":
        """patient, label: (n,) rows of the group."""
        return cls(frozenset(patient[label == 1].tolist()), frozenset(patient[label == 0].tolist()))

    @property
    def counts(self) -> tuple[int, int, int]:
        """Patients, patients with the outcome, patients without it."""
        return len(self.having | self.lacking), len(self.having), len(self.lacking)

    def small(self, smallest: int) -> bool:
        return any(0 < count < smallest for count in self.counts)


def hidden(groups: Sequence[Tally], smallest: int) -> list[bool]:
    """Which groups of a partition are held back: the small ones, and then the next smallest until no subtraction helps.

    Where all together are small, all are held back, and the caller holds back the total, too.
    """
    held = [one.small(smallest) for one in groups]
    while (
        any(held) and not all(held) and not _safe([one for one, out in zip(groups, held, strict=True) if out], smallest)
    ):
        shown = [place for place, out in enumerate(held) if not out]
        held[min(shown, key=lambda place: groups[place].counts)] = True
    return held


def _safe(groups: Sequence[Tally], smallest: int) -> bool:
    """Whether the sum of hidden groups, which anyone can work out, gives none of them away."""
    together = Tally(
        frozenset().union(*(one.having for one in groups)), frozenset().union(*(one.lacking for one in groups))
    )
    with_patients = sum(one.counts[0] > 0 for one in groups)
    return with_patients > 1 and not together.small(smallest)


def rounded(count: int, base: int) -> int:
    """The multiple of `base` nearest to a count, half upwards: differences of rounded counts give no count away."""
    return base * ((2 * count + base) // (2 * base))
