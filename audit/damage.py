"""What is read of a record before anybody checked it: a body may lack any field, or hold another kind of value.

`crs audit verify` says what is wrong with a ledger. Every other reader only says which record it could not read.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from features.errors import LedgerError

REMEDY = "run `crs audit verify`"
#: What a body that is not as this software writes it can raise.
_DAMAGED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, zlib.error)


@contextmanager
def reading(sequence: int, what: str = "it cannot be read") -> Iterator[None]:
    """LedgerError that names the record where its content is not as it has to be. what: could not be done with it."""
    try:
        yield
    except _DAMAGED as error:
        raise LedgerError(f"record {sequence}", what, REMEDY) from error
