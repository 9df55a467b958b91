"""The groups in which a model is judged apart: index time, age, sex, therapy class, indication, site, treatment."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from data.tables import Cohort
from features.catalogue import Catalogue
from training.table import Table

Words = NDArray[np.str_]

UNKNOWN = "unknown"
INDEX_TIME = "index time"


def axes(table: Table, cohort: Cohort, catalogue: Catalogue, age_bands: Sequence[float]) -> dict[str, Words]:
    """Axis -> (N,) the group of each row; "unknown" where the cohort does not say. Groups of an axis never overlap."""
    return {
        INDEX_TIME: table.index_name.astype(str),
        "age": age_groups(_number(cohort, "age_years")[table.course], age_bands),
        "sex": _sexes(_number(cohort, "sex_male")[table.course]),
        "therapy class": _named(table.therapy, {key: _class_of(key, catalogue) for key in set(table.therapy.tolist())}),
        "indication": _named(table.indication, {key: one.name for key, one in catalogue.indications.items()}),
        "site": _named(np.asarray(cohort.sites, dtype=str)[table.course], {}),
        "treated before": np.where(table.treated, "treated before", "not treated before"),
    }


def _number(cohort: Cohort, column: str) -> NDArray[np.float64]:
    values: NDArray[np.float64] = cohort.courses.numbers[:, cohort.courses.columns.index(column)]
    return values


def age_groups(years: NDArray[np.float64], begins: Sequence[float]) -> Words:
    """(n,) the age band of each age: a band begins at its number, inclusive, and ends below the next."""
    names = [f"below {begins[0]:g}"]
    names += [f"{low:g} to below {high:g}" for low, high in pairwise(begins)]
    names.append(f"{begins[-1]:g} and above")
    found = np.array(names)[np.digitize(years, begins)]
    return np.where(np.isnan(years), UNKNOWN, found)


def _sexes(male: NDArray[np.float64]) -> Words:
    return np.where(np.isnan(male), UNKNOWN, np.where(male > 0, "male", "female"))


def _class_of(key: str, catalogue: Catalogue) -> str:
    """The name of the therapy's own class; a class is its own."""
    return catalogue.classes[catalogue.lineage(key)[0]].name if key else UNKNOWN


def _named(keys: Words, names: Mapping[str, str]) -> Words:
    return np.array([names.get(key, key) or UNKNOWN for key in keys.tolist()], dtype=str)
