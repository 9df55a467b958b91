"""Who read what: a record for every look into the ledger, by the name that the system itself has of a user."""

import os
import pwd

from audit.events import Kind, Record
from audit.ledger import Ledger


def accessed(ledger: Ledger, verb: str, record: Record | None = None) -> None:
    """Record who read what. The name of this machine's user is the only one that the ledger holds of a reader."""
    of = {} if record is None else {"record": record.sequence}
    ledger.append(Kind.ACCESS, {"verb": verb, "by": system_user(), **of})


def system_user() -> str:
    """The name of this process's user in the system's own list, uid:N where it has none there.

    The environment is not asked: whoever starts a program writes there what they like.
    """
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"uid:{number}"
