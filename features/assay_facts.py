"""The reviewed tables by which a cytokine release assay is judged: cytokines, formats, reference agents, policy."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isnan
from pathlib import Path
from types import MappingProxyType

from features import catalogue_joins as joins
from features.catalogue_tables import read
from features.catalogue_types import KEY_EVENTS

ROLES = ("negative", "positive", "unsafe-negative")
POLICY_TABLE = "assay_policy.csv"


@dataclass(frozen=True, slots=True)
class AssayCytokine:
    """A cytokine that an assay may measure. key_event: of the CRS adverse-outcome pathway."""

    key: str
    name: str
    aliases: tuple[str, ...]
    key_event: str
    source: str
    verified: str
    note: str

    def __post_init__(self) -> None:
        if self.key_event not in KEY_EVENTS:
            raise ValueError(f"key_event must be one of {', '.join(KEY_EVENTS)}")


@dataclass(frozen=True, slots=True)
class AssayFormat:
    """How cells and agent are brought together, and what may be concluded from it.

    severity_cytokines: those whose rise goes with severity in man. positive_fires_in: a positive control that the
    reference agents do not list must rise in one of these. moderate_from, strong_from: positions (0 the negative, 1 the
    positive reference), inclusive. limit: the sentence that stands beside every result of the format.
    """

    key: str
    name: str
    minimum_donors: int
    severity_cytokines: tuple[str, ...]
    positive_fires_in: tuple[str, ...]
    moderate_from: float
    strong_from: float
    hours: str
    limit: str
    source: str
    verified: str
    note: str

    def __post_init__(self) -> None:
        if not 0 < self.moderate_from < self.strong_from <= 1:
            raise ValueError("moderate_from and strong_from must rise between 0 and 1")
        if self.minimum_donors < 1 or not self.severity_cytokines or not self.positive_fires_in or not self.limit:
            raise ValueError("minimum_donors, both lists of cytokines and limit must be given")


@dataclass(frozen=True, slots=True)
class ReferenceAgent:
    """A control of one format, in order of preference.

    role: negative, positive, or unsafe-negative (it releases cytokines in this format, so it cannot be a negative).
    fires_in: a positive must rise in one of these; empty where it is not demanded to.
    crs_1plus, crs_3plus: clinical fractions among n treated, NaN where not known.
    """

    agent: str
    aliases: tuple[str, ...]
    role: str
    format: str
    fires_in: tuple[str, ...]
    n: float
    crs_1plus: float
    crs_3plus: float
    source: str
    verified: str
    note: str

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"role must be one of {', '.join(ROLES)}")
        rates = [rate for rate in (self.crs_1plus, self.crs_3plus) if not isnan(rate)]
        if any(not 0 <= rate <= 1 for rate in rates) or self.crs_3plus > self.crs_1plus:
            raise ValueError("crs_1plus and crs_3plus must be fractions, the second not above the first")
        if rates and not self.n > 0:
            raise ValueError("a clinical rate needs the number of patients behind it")


@dataclass(frozen=True, eq=False)
class AssayFacts:
    """The reviewed tables by which an assay is judged. numbers: policy key -> value."""

    cytokines: Mapping[str, AssayCytokine]
    formats: Mapping[str, AssayFormat]
    references: tuple[ReferenceAgent, ...]
    numbers: Mapping[str, float]

    @cached_property
    def _cytokine_names(self) -> dict[str, str]:
        named = ((key, (row.name, *row.aliases)) for key, row in self.cytokines.items())
        return joins.name_map("assay_cytokines.csv", named)

    @cached_property
    def _agent_names(self) -> dict[str, str]:
        return joins.name_map("reference_agents.csv", ((row.agent, row.aliases) for row in self.references))

    def find_cytokine(self, text: str) -> str:
        """Key of the cytokine of that key, name or alias; "" if unknown."""
        return self._cytokine_names.get(joins.fold_name(text), "")

    def agent_key(self, text: str) -> str:
        """Key of the reference agent of that name or alias; the text itself if it is none."""
        return self._agent_names.get(joins.fold_name(text), text)

    def reference(self, agent: str, format: str) -> ReferenceAgent | None:
        """What is known of that agent (a key) as a control of that format."""
        return next((row for row in self.references if (row.agent, row.format) == (agent, format)), None)

    def rank(self, agent: str, format: str) -> int:
        """Order of preference of a control in its format; last for one that is not listed."""
        listed = [row.agent for row in self.references if row.format == format]
        return listed.index(agent) if agent in listed else len(listed)


def read_facts(folder: Path) -> AssayFacts:
    """The tables of a folder, checked against one another. CatalogueError names the file and line."""
    cytokines = joins.keyed("assay_cytokines.csv", read(folder / "assay_cytokines.csv", AssayCytokine))
    formats = joins.keyed("assay_formats.csv", read(folder / "assay_formats.csv", AssayFormat))
    references = read(folder / "reference_agents.csv", ReferenceAgent)
    for row in formats.values():
        named = (*row.severity_cytokines, *row.positive_fires_in)
        joins.check_known("assay_formats.csv", "a list of cytokines", named, cytokines)
    joins.check_known("reference_agents.csv", "format", (row.format for row in references), formats)
    fired = (cytokine for row in references for cytokine in row.fires_in)
    joins.check_known("reference_agents.csv", "fires_in", fired, cytokines)
    joins.check_unique("reference_agents.csv", ((row.agent, row.format) for row in references))
    return AssayFacts(
        MappingProxyType(cytokines), MappingProxyType(formats), references, _numbers(folder / POLICY_TABLE)
    )


@dataclass(frozen=True, slots=True)
class PolicyNumber:
    """One number of the policy table."""

    key: str
    value: float
    source: str
    verified: str
    note: str

    def __post_init__(self) -> None:
        if not self.value >= 0:
            raise ValueError("value must be given and not be negative")


def _numbers(path: Path) -> Mapping[str, float]:
    rows = joins.keyed(path.name, read(path, PolicyNumber))
    return MappingProxyType({key: row.value for key, row in rows.items()})
