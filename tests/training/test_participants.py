"""An evaluated cohort is described by years and rounded counts of patients."""

from dataclasses import replace

import numpy as np
import pytest

from data.tables import Cohort
from training.participants import demographics, in_words, years


def starting(cohort: Cohort, *days: str) -> Cohort:
    """The cohort whose first courses start on these days; of the others no start is stated."""
    start = np.full(len(cohort), np.datetime64("NaT"), dtype="datetime64[us]")
    start[: len(days)] = np.array(days, dtype="datetime64[us]")
    return replace(cohort, start_time=start, patient_ids=np.arange(len(cohort)).astype(str).astype(object))


DAYS = ("2021-06-01", "2019-12-31T23:59:59", "2020-01-01", "2022-02-01", "2020-05-05")


@pytest.mark.parametrize(
    ("days", "expected"), [(DAYS, "2019 to 2022"), (DAYS[:4], ""), ((), ""), (("2021-06-01",) * 5, "2021")]
)
def test_courses_are_dated_by_the_years_of_the_first_and_last_start(
    cohort: Cohort, days: tuple[str, ...], expected: str
) -> None:
    assert years(starting(cohort, *days), 5) == expected


def test_patients_are_counted_once_and_rounded() -> None:
    patient = np.repeat(np.arange(25), 3)
    sex = np.where(patient < 13, "male", np.where(patient < 23, "female", "unknown"))
    found = demographics({"sex": sex, "age": np.full(75, "18 to below 40"), "site": sex}, patient, 5)
    assert found == {"age": {"18 to below 40": 25}, "sex": {"female": 10, "male": 15, "unknown": 0}}
    assert in_words(found, 5) == (
        "Patients, rounded to multiples of 5, by age: 18 to below 40 25; by sex: female 10, male 15, unknown 0"
    )
