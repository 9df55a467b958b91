"""Which of the data that a service asked for were sent, what has to be fetched, and what cannot be done without."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from serving.cds.services import KEYS, LABS, PATIENT, THERAPIES
from serving.fhir_in import GIVEN, NO_DATA, prefetch_states
from serving.refusal import RefusalError

#: Each names what is missing; the last stands for any one of its keys.
ONE_OF_THERAPIES = "one of " + ", ".join(THERAPIES)


def satisfied(prefetch: Mapping[str, Any]) -> frozenset[str]:
    """Keys that came with data, or with the word that there are none. A patient without data is no patient."""
    states = prefetch_states(prefetch, KEYS)
    good = {key for key, state in states.items() if state in (GIVEN, NO_DATA)}
    return frozenset(good - {PATIENT} if states.get(PATIENT) != GIVEN else good)


def unsatisfied(prefetch: Mapping[str, Any]) -> tuple[str, ...]:
    """Keys to fetch, in the order of the templates."""
    held = satisfied(prefetch)
    return tuple(key for key in KEYS if key not in held)


def required(prefetch: Mapping[str, Any]) -> tuple[str, ...]:
    """What is missing of that without which nothing can be said; () where nothing is."""
    held = satisfied(prefetch)
    missing = [key for key in (PATIENT, LABS) if key not in held]
    return tuple(missing if held.intersection(THERAPIES) else [*missing, ONE_OF_THERAPIES])


def check_read(unread: Collection[str]) -> None:
    """Refusal 412 where therapies stand on pages that were not read: a patient on none is not known to be on none."""
    pages = [f"further pages of {key}" for key in THERAPIES if key in unread]
    if pages:
        raise precondition(pages)


def precondition(missing: Sequence[str]) -> RefusalError:
    """412: what is needed was not sent, and could not be fetched."""
    problem = f"data are needed that were neither sent nor could be fetched: {', '.join(missing)}"
    remedy = "send them as prefetch, or an fhirAuthorization for a server that this service may read from"
    return RefusalError(412, "data-missing", "$.prefetch", problem, remedy)
