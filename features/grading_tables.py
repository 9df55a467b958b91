"""The reviewed tables behind the grading: limits, names of drugs and devices, and the words of every reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from features import catalogue
from features.catalogue_joins import check_unique, fold_name
from features.catalogue_tables import read


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of a grading rule; `note` says whether it is inclusive."""

    key: str
    value: float
    unit: str
    source: str
    verified: str
    note: str


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a row of a scheme has the grade it has, in words that hold no patient's value."""

    key: str
    text: str
    source: str
    verified: str


@dataclass(frozen=True, slots=True)
class Term:
    """A spelling of a vasopressor, of a drug that may mask fever, or of an oxygen device."""

    kind: str
    term: str
    key: str
    source: str
    verified: str


@cache
def limits() -> Mapping[str, Limit]:
    """Key -> limit, read once. CatalogueError if the table breaks its rules."""
    rows = read(catalogue.TABLES / "grading_rules.csv", Limit)
    check_unique("grading_rules.csv", ((row.key,) for row in rows))
    return MappingProxyType({row.key: row for row in rows})


def limit(key: str) -> float:
    """The value of a limit, in the unit that its row states; KeyError if there is none."""
    return limits()[key].value


@cache
def reasons() -> Mapping[str, Reason]:
    """Key -> reason, read once."""
    rows = read(catalogue.TABLES / "grading_reasons.csv", Reason)
    check_unique("grading_reasons.csv", ((row.key,) for row in rows))
    return MappingProxyType({row.key: row for row in rows})


@cache
def terms(kind: str) -> Mapping[str, str]:
    """Folded spelling -> key of all terms of that kind: vasopressor, masking or device."""
    rows = read(catalogue.TABLES / "grading_terms.csv", Term)
    check_unique("grading_terms.csv", ((row.kind, fold_name(row.term)) for row in rows))
    return MappingProxyType({fold_name(row.term): row.key for row in rows if row.kind == kind})


def find(kind: str, text: str) -> str | None:
    """The key of a spelling; case, spaces, hyphens and underscores do not matter. None where it is not listed."""
    return terms(kind).get(fold_name(text))
