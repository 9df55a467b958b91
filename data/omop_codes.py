"""What a row of an OMOP table means: by its concepts, by the codes behind them, or by the source's own code."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pandas as pd

from data.omop_files import OmopTables
from features.concepts import REFUSED, UNKNOWN, UNVERIFIED, Concepts, Meaning, code_systems

#: The system under which a centre's list of codes names the source's own codes, and concept ids.
LOCAL, CONCEPT_ID = "local", "OMOP"
CONCEPT_COLUMNS = ("concept_id", "vocabulary_id", "concept_code")
#: OMOP's own vocabularies that say what a number of another column means.
UNITS, SEXES = "UCUM", "Gender"


@dataclass(frozen=True, slots=True, eq=False)
class OmopCodes:
    """codes: concept id -> (code system, code), of the systems that the reviewed tables name.

    above: concept id -> listed concept ids that it descends from. others: concept id -> code, of units and sexes.
    """

    concepts: Concepts
    codes: Mapping[str, tuple[str, str]]
    above: Mapping[str, tuple[str, ...]]
    units: Mapping[str, str]
    sexes: Mapping[str, str]
    _seen: dict[tuple[str, str, str, tuple[str, ...]], Meaning | str] = field(default_factory=dict)

    def meaning(self, standard: str, source: str, value: str, kinds: tuple[str, ...]) -> Meaning | str:
        """What a row with this standard concept, source concept and source value means; or why it means nothing."""
        key = (standard, source, value, kinds)
        if key not in self._seen:
            self._seen[key] = self._find(standard, source, value, kinds)
        return self._seen[key]

    def _find(self, standard: str, source: str, value: str, kinds: tuple[str, ...]) -> Meaning | str:
        reasons = []
        for system, code in self._tried(standard, source, value):
            found = self.concepts.of(system, code, kinds)
            if isinstance(found, Meaning) or found == REFUSED:
                return found
            reasons.append(found)
        return UNVERIFIED if UNVERIFIED in reasons else UNKNOWN

    def _tried(self, standard: str, source: str, value: str) -> Iterator[tuple[str, str]]:
        """The codes of a row, in the order in which they are believed."""
        if value:
            yield LOCAL, value
        for concept in (standard, source):
            if concept not in ("", "0"):
                yield CONCEPT_ID, concept
                if concept in self.codes:
                    yield self.codes[concept]
        yield from ((CONCEPT_ID, above) for concept in (standard, source) for above in self.above.get(concept, ()))
        yield from ((row.system, value) for row in code_systems() if row.shape and re.fullmatch(row.shape, value))


def read_codes(tables: OmopTables, concepts: Concepts) -> OmopCodes:
    """The vocabulary tables of the source, where it has them, as far as the reviewed tables speak of them."""
    named = {row.omop: row.system for row in code_systems()}
    codes: dict[str, tuple[str, str]] = {}
    others: dict[str, dict[str, str]] = {UNITS: {}, SEXES: {}}
    for batch in tables.read("concept", CONCEPT_COLUMNS, {"vocabulary_id": (*named, SEXES)}):
        for concept, vocabulary, code in batch.itertuples(index=False, name=None):
            if vocabulary in others:
                others[vocabulary][concept] = code
            else:
                codes[concept] = (named[vocabulary], code)
    return OmopCodes(concepts, codes, _above(tables, concepts), others[UNITS], others[SEXES])


def _above(tables: OmopTables, concepts: Concepts) -> dict[str, tuple[str, ...]]:
    """Concept -> those of its ancestors that the reviewed tables or the centre's list name."""
    held = concepts.catalogue
    maps = (held.analyte_codes, held.comorbidity_codes, held.indication_codes, held.therapy_codes, concepts.events)
    listed = {code for one in (*maps, concepts.local) for system, code in one if system == CONCEPT_ID}
    found: dict[str, set[str]] = {}
    columns = ("ancestor_concept_id", "descendant_concept_id")
    for batch in tables.read("concept_ancestor", columns, {columns[0]: listed}):
        for ancestor, descendant in batch.itertuples(index=False, name=None):
            if ancestor != descendant:
                found.setdefault(descendant, set()).add(ancestor)
    return {concept: tuple(sorted(above)) for concept, above in found.items()}


def meanings(
    batch: pd.DataFrame, columns: tuple[str, str, str], codes: OmopCodes, kinds: tuple[str, ...]
) -> tuple[pd.Series, list[Meaning | str]]:
    """(rows,) place in the list of distinct meanings, and that list; one look-up per distinct combination."""
    triples = list(zip(*(batch[name].tolist() for name in columns), strict=True))
    places, distinct = pd.factorize(pd.Series(triples, dtype=object))
    found = [codes.meaning(str(one[0]), str(one[1]), str(one[2]), kinds) for one in distinct]
    return pd.Series(places, index=batch.index), found
