"""Ledgers with kept requests, for the tests of the vault."""

import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.data_keys import DataKey, DataKeys
from audit.events import Entry, Kind, Record
from audit.ledger import Ledger
from audit.request import Request
from audit.unsealing import State, Unsealing
from audit.vault import Vault
from audit.vault_check import with_vault
from audit.verify import Verdict, verify
from tests.audit.builders import Deployment

REQUEST = Request(
    "/predict", b'{"course": {"id": "CANARY"}}', "2026-02-03T10:00:00+00:00", {"labs": {"n": [1.5, None]}}
)
SOME_KEY = DataKey("ab" * 16, AESGCM.generate_key(256))


def opened(deployment: Deployment) -> Vault:
    keys = DataKeys(deployment.home)
    keys.prepare()
    return Vault(keys)


def keep(deployment: Deployment, ledger: Ledger, *patients: str) -> list[Record]:
    """A record with a kept request for each patient, in that order."""
    entries = [
        Entry(Kind.PREDICTION, {"patient": one}, f"{one}-{place}-{os.urandom(4).hex()}")
        for place, one in enumerate(patients)
    ]
    receipts = ledger.append_all(opened(deployment).keep(entries, [REQUEST.to_bytes()] * len(entries)))
    records = [ledger.at(one.sequence) for one in receipts]
    return [one for one in records if one is not None]


def states(ledger: Ledger, records: list[Record]) -> list[State]:
    return [Unsealing(ledger).of(one).state for one in records]


def whole(ledger: Ledger) -> Verdict:
    return with_vault(ledger, verify(ledger))
