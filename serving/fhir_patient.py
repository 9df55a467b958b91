"""Whose the resources are. One of another patient refuses the whole request: nothing of it is ever scored."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from features.fhir_status import KINDS
from features.fhir_values import items, word
from features.fhir_walk import Entry, Place
from serving.refusal import RefusalError, bad_value

#: Top-level elements that name whose a resource is.
SUBJECTS = ("subject", "patient", "beneficiary", "individual", "for")
URNS = ("urn:uuid:", "urn:oid:")
#: Words of a path that are repeated in an error; any other is the sender's own.
SHOWN = frozenset(
    ("prefetch", "drafts", "bundle", "entry", "patient", "labs", "vitals", "conditions", "meds", "admin", "procedures")
)
OTHER, SERVER, UNNAMED, SEVERAL = "other-patient", "other-server", "patient-not-named", "patients-several"


@dataclass(frozen=True, slots=True)
class Asked:
    """The patient asked about. server: the base address of the FHIR server, "" where the call does not say.

    names: ids and URNs that lead to this patient.
    """

    id: str
    server: str = ""
    names: frozenset[str] = frozenset()

    def known_as(self, names: Iterable[str]) -> "Asked":
        return Asked(self.id, self.server, self.names | frozenset(names))


def asked(patient: str, server: str = "") -> Asked:
    """The patient of an id or a reference (relative, absolute, versioned, URN); Refusal 422 where it names none."""
    base, kind, name = parts(patient)
    if not name or kind not in ("", "Patient"):
        raise bad_value(UNNAMED, "$", "no patient is named", "name the patient by id or by a reference")
    return Asked(name, _folded(server or base), frozenset((name,)))


def only_patient(entries: Sequence[Entry]) -> str:
    """The reference of the one Patient among the resources; Refusal 422 if there is none or there are several."""
    found = {_own_name(one) for one in entries if one.kind == "Patient"} - {""}
    if len(found) != 1:
        code, problem = (SEVERAL, "there are several") if found else (UNNAMED, "there is none")
        raise bad_value(code, "$", f"one Patient resource with an id is expected, and {problem}", "send one patient")
    return found.pop()


def check(entries: Sequence[Entry], one: Asked) -> Asked:
    """The patient with all names by which the resources know them.

    Refusal 422 with the code OTHER if a resource is of another patient, SERVER if one is of another server.
    """
    known = one.known_as(name for entry in entries for name in _names(entry, one))
    server, usual = known.server, f"Patient/{one.id}"
    for entry in entries:
        if entry.kind == "Patient":
            _check_patient(entry, known)
        for name in SUBJECTS:
            if name in entry.resource:
                for held in items(entry.resource[name]):
                    text = word(held.get("reference"))
                    server = server if text == usual else _check_reference(text, entry, known, server)
    return known


def _own_name(entry: Entry) -> str:
    own = word(entry.resource.get("id"))
    return own or (entry.full_url if entry.full_url.startswith(URNS) else parts(entry.full_url)[2])


def _names(entry: Entry, one: Asked) -> tuple[str, ...]:
    """Id and URN of the asked patient's own resource, whichever of the two was asked about."""
    if entry.kind != "Patient":
        return ()
    urn = parts(entry.full_url)[2] if entry.full_url.startswith(URNS) else ""
    names = (word(entry.resource.get("id")), urn)
    return tuple(filter(None, names)) if one.id in names else ()


def _check_patient(entry: Entry, known: Asked) -> None:
    """A Patient is the one asked about by its id and by its address, or it is another one."""
    own, (_, kind, address) = word(entry.resource.get("id")), parts(entry.full_url)
    wrong = bool(own) and own not in known.names
    wrong = wrong or (kind in ("", "Patient") and bool(address) and address not in known.names)
    if wrong:
        raise _refusal(OTHER, entry.place)


def _check_reference(text: str, entry: Entry, known: Asked, server: str) -> str:
    """The server that all references have to be of, "" while none was named."""
    base, kind, name = parts(text)
    if not name or (not kind and name.startswith("#")):
        return server
    if kind not in ("", "Patient"):
        if entry.kind in KINDS:
            raise _refusal(OTHER, entry.place)
        return server
    if name not in known.names:
        raise _refusal(OTHER, entry.place)
    if base and server and _folded(base) != server:
        raise _refusal(SERVER, entry.place)
    return server or _folded(base)


def parts(reference: str) -> tuple[str, str, str]:
    """(base address, resource type, id) of a reference; each "" where it does not say, all three of a search."""
    text = reference.strip()
    if text.startswith(URNS):
        return "", "", text.rpartition(":")[2]
    text = text.partition("/_history/")[0].rstrip("/")
    if "?" in text:
        return "", "", ""
    above, _, name = text.rpartition("/")
    base, _, kind = above.rpartition("/")
    return base, kind, name


def _folded(server: str) -> str:
    """The spelling of an address that is compared: scheme and host in small letters, no slash at the end."""
    text = server.strip().rstrip("/")
    scheme, slashes, rest = text.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme.lower()}{slashes}{host.lower()}{slash}{path}" if slashes else text


def _refusal(code: str, place: Place) -> RefusalError:
    what = "patient" if code == OTHER else "server"
    return bad_value(
        code,
        _path(place),
        f"this resource is of another {what} than the one asked about",
        "send the resources of one patient; nothing was scored",
    )


def _path(place: Place) -> str:
    """The way to a resource, as in other refusals; a word of the sender is shown as [...]."""
    return "$" + "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" if part in SHOWN else "[...]" for part in place
    )
