"""The receipt in an answer: put at its end when it leaves, and cut off again by whoever compares it with its record."""

import re

from audit.events import Receipt

_AT_END = re.compile(rb',"record":\{"sequence":(0|[1-9][0-9]{0,18}),"hash":"([0-9a-f]{64})"\}\}\Z')


def with_receipt(content: bytes, receipt: Receipt) -> bytes:
    """A JSON object with the receipt as its last field."""
    told = f',"record":{{"sequence":{receipt.sequence},"hash":"{receipt.hash}"}}}}'
    return content[:-1] + told.encode()


def without_receipt(answer: bytes) -> tuple[bytes, Receipt | None]:
    """The object as it was before, byte for byte, and the receipt; None where it does not end with one."""
    found = _AT_END.search(answer)
    if found is None:
        return answer, None
    return answer[: found.start()] + b"}", Receipt(int(found[1]), found[2].decode())
