"""What `crs audit erase` and the change of the vault key do and print. No identifier of a patient is ever printed."""

from audit import table, vault
from audit.access import system_user
from audit.data_keys import DataKeys
from audit.erasing import Erased, erase
from audit.events import Kind
from audit.keys import pseudonym, tenant_key
from audit.ledger import open_ledger
from audit.verbs import named
from features.errors import UsageError
from features.home import Home

_FHIR = "Patient/"


def erase_named(home: Home, identifiers: list[str], tenant: str, as_json: bool) -> None:
    """Erase what is kept of patients, or of courses that were sent without one, by the ids they were sent by.

    tenant: whose ids they are, "" for callers that state none.
    """
    key = tenant_key(home)
    # A patient is known by the id alone, whether it was sent as such or as a reference; a space at an end may be typed.
    names = {name for one in identifiers for name in (one, one.strip(), one.strip().removeprefix(_FHIR))}
    _erase(home, [pseudonym(key, name, tenant) for name in sorted(names) if name], as_json)


def erase_of(home: Home, name: str, as_json: bool) -> None:
    """The same for the patient of an answer, whoever that is."""
    with open_ledger(home) as ledger:
        record = named(ledger, name)
    if record.kind is not Kind.PREDICTION:
        raise UsageError("--prediction", "that record is of no answer", "give the prediction_id of one")
    _erase(home, [vault.holder_of(record.body, record.event_id)], as_json)


def _erase(home: Home, holders: list[str], as_json: bool) -> None:
    with open_ledger(home) as ledger:
        done = erase(ledger, holders, system_user())
    if as_json:
        table.print_json({"erased": [one.to_json() for one in done]})
        return
    table.print_rows(("record", "requests", "pseudonym"), [_row(one) for one in done])
    print(f"{sum(one.requests for one in done)} kept requests erased" if done else "nothing is kept of them")


def _row(one: Erased) -> tuple[str, str, str]:
    return str(one.sequence), str(one.requests), one.patient


def rotate(home: Home) -> None:
    """Encrypt all data keys under a new vault key, and record it."""
    keys = DataKeys(home)
    if not keys.made:
        raise UsageError("--rotate-vault", "there is no vault in this home", "switch it on with CRS_RISK_VAULT=on")
    with open_ledger(home) as ledger:
        count = keys.renew()
        ledger.append(Kind.VAULT_KEY_ROTATED, {"data_keys": count, "by": system_user()})
    print(f"{count} data keys lie under a new vault key; the old one is destroyed")
