"""The reviewed tables of symptoms, look-alikes and guideline pointers, checked and joined. Nothing here enters a model.

They lie in features/tables beside the others, because clinicians review that folder; only the service reads them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from math import inf, isnan
from pathlib import Path

from features import catalogue, catalogue_joins
from features.catalogue import TABLES, Catalogue
from features.catalogue_tables import read
from features.catalogue_types import VERIFIED
from features.errors import CatalogueError

POINTS_TO = ("crs", "icans", "both")
#: What an input is compared with: the limit itself, so many upper limits of normal, so many times its baseline.
BASES = {"value": "", "upper-limit": " x its upper limit of normal", "baseline": " x its baseline"}
COMPARISONS = (">", ">=", "<", "<=")
GRADES = ("1", "2", "3", "4")
AGENTS = ("tocilizumab", "siltuximab", "corticosteroids", "anakinra", "supportive", "antimicrobials")


@dataclass(frozen=True, slots=True)
class Symptom:
    """A symptom. plain: in the patient's words. graded: ASTCT counts it, or the finding behind it, towards a grade.

    severity: severe where it alone may mean grade 2 or worse, a leak, or trouble of brain or nerves; else mild.
    measured_as: the analyte that measures it, "" if none. codes: "SYSTEM code" words.
    """

    key: str
    name: str
    aliases: tuple[str, ...]
    plain: str
    points_to: str
    severity: str
    graded: bool
    red_flag: bool
    red_flag_reason: str
    measured_as: str
    codes: tuple[str, ...]
    source: str
    verified: str
    note: str

    def __post_init__(self) -> None:
        _check(self.points_to in POINTS_TO, "points_to must be one of " + ", ".join(POINTS_TO))
        _check(self.severity in ("mild", "severe"), "severity must be mild or severe")
        _check(self.red_flag == bool(self.red_flag_reason), "a red flag, and only a red flag, states its reason")


@dataclass(frozen=True, slots=True)
class Mimic:
    """A look-alike. unseen: what would tell it and no request can state.

    rule_after_hours, rule_before_hours: its rules hold between these hours from the start, both exclusive; NaN: no end.
    """

    key: str
    name: str
    resembles: str
    unseen: tuple[str, ...]
    rule_after_hours: float
    rule_before_hours: float
    codes: tuple[str, ...]
    source: str
    verified: str
    note: str

    def __post_init__(self) -> None:
        _check(self.resembles in POINTS_TO, "resembles must be one of " + ", ".join(POINTS_TO))


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of a rule: the analyte's latest value, no older than the window, against a limit.

    limit: in the analyte's canonical unit where basis is value, else a factor. A rule holds if, in each of its groups,
    at least one condition holds.
    """

    rule: str
    mimic: str
    group: str
    analyte: str
    comparison: str
    limit: float
    basis: str
    window_hours: float
    source: str
    verified: str
    note: str

    def __post_init__(self) -> None:
        _check(self.comparison in COMPARISONS, "comparison must be one of " + ", ".join(COMPARISONS))
        _check(self.basis in BASES, "basis must be one of " + ", ".join(BASES))
        _check(self.limit > 0 and self.window_hours > 0, "limit and window_hours must be above 0")

    @property
    def text(self) -> str:
        return f"{self.comparison} {self.limit:g}{BASES[self.basis]}"


@dataclass(frozen=True, slots=True)
class Rule:
    """The conditions of one rule by group. after, before: hours from the start between which it holds, exclusive."""

    key: str
    mimic: Mimic
    groups: tuple[tuple[Condition, ...], ...]
    text: str
    source: str
    verified: str
    after: float
    before: float


@dataclass(frozen=True, slots=True)
class Guideline:
    """A pointer to a guideline. grades: of the event, empty for an event without grades.

    scope: any, or step-up for therapies given in steps. therapy: "" for every therapy.
    """

    event: str
    grades: tuple[str, ...]
    scope: str
    therapy: str
    agents: tuple[str, ...]
    pointer: str
    guideline: str
    link: str
    source: str
    verified: str
    note: str

    def __post_init__(self) -> None:
        _check(self.event in ("crs", "icans", "iec-hs"), "event must be crs, icans or iec-hs")
        _check(set(self.grades) <= set(GRADES), "grades must be from 1 to 4")
        _check(bool(self.grades) == (self.event != "iec-hs"), "crs and icans state grades, iec-hs does not")
        _check(self.scope in ("any", "step-up"), "scope must be any or step-up")
        _check(bool(self.agents) and set(self.agents) <= set(AGENTS), "agents must be of " + ", ".join(AGENTS))
        _check(self.link.startswith("https://"), "link must begin with https://")


@dataclass(frozen=True, slots=True, eq=False)
class SymptomTables:
    """All four tables. names: folded name -> symptom key. rules: by mimic, in table order; () for one without rule."""

    symptoms: Mapping[str, Symptom]
    names: Mapping[str, str]
    mimics: Mapping[str, Mimic]
    rules: Mapping[str, tuple[Rule, ...]]
    guidelines: tuple[Guideline, ...]


@cache
def load() -> SymptomTables:
    """The tables that ship with the product, read once. CatalogueError if one breaks its rules."""
    return read_folder(TABLES, catalogue.load())


def read_folder(folder: Path, known: Catalogue) -> SymptomTables:
    """The tables of a folder; CatalogueError where one names an analyte, therapy or mimic that is not there."""
    symptoms = catalogue_joins.keyed("symptoms.csv", read(folder / "symptoms.csv", Symptom))
    mimics = catalogue_joins.keyed("mimics.csv", read(folder / "mimics.csv", Mimic))
    conditions = read(folder / "mimic_rules.csv", Condition)
    guidelines = read(folder / "guidance.csv", Guideline)
    analytes = {**known.analytes, "": None}
    catalogue_joins.check_known("symptoms.csv", "measured_as", (one.measured_as for one in symptoms.values()), analytes)
    catalogue_joins.check_known("mimic_rules.csv", "analyte", (one.analyte for one in conditions), known.analytes)
    catalogue_joins.check_known("mimic_rules.csv", "mimic", (one.mimic for one in conditions), mimics)
    catalogue_joins.check_known("guidance.csv", "therapy", (one.therapy for one in guidelines), {*known.therapies, ""})
    named = ((key, (one.name, *one.aliases)) for key, one in symptoms.items())
    names = catalogue_joins.name_map("symptoms.csv", named)
    return SymptomTables(symptoms, names, mimics, _rules(mimics, conditions, known), guidelines)


def _rules(
    mimics: Mapping[str, Mimic], conditions: tuple[Condition, ...], known: Catalogue
) -> dict[str, tuple[Rule, ...]]:
    rules = [
        _rule(mimics[mimic], key, tuple(lines), known)
        for (mimic, key), lines in groupby(conditions, lambda one: (one.mimic, one.rule))
    ]
    catalogue_joins.check_unique("mimic_rules.csv", ((one.key,) for one in rules))
    return {key: tuple(one for one in rules if one.mimic.key == key) for key in mimics}


def _rule(mimic: Mimic, key: str, conditions: tuple[Condition, ...], known: Catalogue) -> Rule:
    groups = tuple(tuple(lines) for _, lines in groupby(conditions, lambda one: one.group))
    if len({lines[0].group for lines in groups}) != len(groups):
        raise CatalogueError("mimic_rules.csv", f"the lines of one group of {key} do not stand together")
    return Rule(
        key,
        mimic,
        groups,
        _text(groups, known),
        "; ".join(dict.fromkeys(one.source for one in conditions)),
        max((one.verified for one in conditions), key=VERIFIED.index),
        -inf if isnan(mimic.rule_after_hours) else mimic.rule_after_hours,
        inf if isnan(mimic.rule_before_hours) else mimic.rule_before_hours,
    )


def _text(groups: tuple[tuple[Condition, ...], ...], known: Catalogue) -> str:
    parts = [" or ".join(_words(one, known.analytes[one.analyte].unit) for one in lines) for lines in groups]
    return parts[0] if len(parts) == 1 else " and ".join(f"({words})" for words in parts)


def _words(one: Condition, unit: str) -> str:
    return f"{one.analyte} {one.text}{' ' + unit if one.basis == 'value' else ''}"


def _check(holds: bool, problem: str) -> None:
    if not holds:
        raise ValueError(problem)
