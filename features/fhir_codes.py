"""What a CodeableConcept means: what its codings agree on, by the reviewed tables or a centre's own list."""

from collections.abc import Sequence

from features.catalogue import Catalogue
from features.concepts import REFUSED, UNKNOWN, UNVERIFIED, Concepts, Meaning, system_name
from features.fhir_values import codings

#: Of several reasons why the codings of one concept mean nothing, the one that tells most comes first.
WORST_FIRST = (REFUSED, UNVERIFIED, UNKNOWN)


def meaning_of(concepts: Concepts, concept: object, kinds: tuple[str, ...]) -> Meaning | str:
    """The one meaning of the concept's codings among those kinds, or why there is none.

    One refused coding refuses the concept; codings that mean different things do too, unless they are a therapy and
    its classes. A display text never counts.
    """
    found = [concepts.of(system_name(uri), code, kinds) for uri, code in codings(concept)]
    if len(found) == 1:
        return found[0]
    known = [one for one in found if isinstance(one, Meaning)]
    reasons = [one for one in found if isinstance(one, str)]
    if REFUSED in reasons or not known:
        return next((one for one in WORST_FIRST if one in reasons), "code-missing")
    return narrowest(known, concepts.catalogue) or "codings-disagree"


def narrowest(known: Sequence[Meaning], tables: Catalogue) -> Meaning | None:
    """The meaning that all others are the same as, or a class of; None where there is none."""
    best = max(known, key=lambda one: (len(line(one.key, tables)), one.kind, one.key, repr(one.value)))
    if all((one.kind, one.key) == (best.kind, best.key) for one in known):
        return best
    alike = {one.kind for one in known} == {"therapy"}
    return best if alike and {one.key for one in known} <= line(best.key, tables) else None


def line(key: str, tables: Catalogue) -> frozenset[str]:
    """A therapy with its classes up to the root; a key of another kind alone."""
    return frozenset(tables.ancestry(key) if key in tables.therapies or key in tables.classes else (key,))
