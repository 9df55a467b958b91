"""Who an evaluated cohort is, as far as it may leave the house: years of the courses, patients by age and sex."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from data.tables import Cohort
from training.subgroups import Words
from training.suppress import rounded

#: Axes that say who the patients are.
SHOWN = ("age", "sex")
Counts = dict[str, dict[str, int]]


def years(cohort: Cohort, smallest: int) -> str:
    """The years (UTC) of the first and the last start; "" where fewer than `smallest` patients have one."""
    stated = ~np.isnat(cohort.start_time)
    if len(set(np.asarray(cohort.patient_ids, dtype=object)[stated].tolist())) < smallest:
        return ""
    first, last = (str(one)[:4] for one in (cohort.start_time[stated].min(), cohort.start_time[stated].max()))
    return first if first == last else f"{first} to {last}"


def demographics(axes: Mapping[str, Words], patient: NDArray[np.int64], smallest: int) -> Counts:
    """Axis -> group -> patients, rounded to multiples of `smallest`; axes: (N,) groups, patient: (N,) of each row."""
    return {axis: _patients(axes[axis], patient, smallest) for axis in SHOWN}


def _patients(groups: Words, patient: NDArray[np.int64], smallest: int) -> dict[str, int]:
    names = sorted(set(groups.tolist()))
    return {name: rounded(len(np.unique(patient[groups == name])), smallest) for name in names}


def in_words(found: Mapping[str, Mapping[str, int]], smallest: int) -> str:
    """Such counts as one text."""
    each = (f"{axis}: {', '.join(f'{name} {count}' for name, count in one.items())}" for axis, one in found.items())
    return f"Patients, rounded to multiples of {smallest}, by {'; by '.join(each)}"
