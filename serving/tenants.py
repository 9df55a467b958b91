"""What one tenant's caller may know of a record of another: nothing, not even that it is there."""

from audit.events import Record


def hidden(record: Record | None, tenant: str) -> bool:
    """Whether a caller of that tenant must not see the record. A caller without a tenant serves the whole deployment.

    A caller of a tenant sees the records of its own tenant alone; those that state none are not its own.
    """
    if record is None or not tenant:
        return False
    stated = record.body.get("caller")
    return not isinstance(stated, dict) or stated.get("tenant", "") != tenant
