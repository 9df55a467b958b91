"""What the database itself does for the ledger: it refuses changes of records, and lets one writer in at a time.

A guard against accidents only: who owns the database can drop a trigger. What an owner does is found by `verify`.
"""

import sqlalchemy as sa

_REFUSED = "the ledger is append-only"
#: The number of PostgreSQL's advisory lock that a writer holds, of no other meaning.
_LOCK = 0x6372732D7269736B

#: SQLite's `INSERT OR REPLACE` takes the old row away without a DELETE that a trigger would see. PostgreSQL has none
#: such: `ON CONFLICT DO UPDATE` is an UPDATE. It costs an insert 5 us.
_THERE = (
    "EXISTS (SELECT 1 FROM ledger_records WHERE sequence = NEW.sequence) OR NEW.event_id != '' AND "
    "EXISTS (SELECT 1 FROM ledger_records WHERE event_id = NEW.event_id AND kind = NEW.kind AND event_id != '')"
)
_SQLITE = (
    *(
        f"CREATE TRIGGER IF NOT EXISTS ledger_no_{verb.lower()} BEFORE {verb} ON ledger_records "
        f"BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END"
        for verb in ("UPDATE", "DELETE")
    ),
    "CREATE TRIGGER IF NOT EXISTS ledger_no_replace BEFORE INSERT ON ledger_records "
    f"WHEN {_THERE} BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END",
)
_POSTGRESQL = (
    "CREATE OR REPLACE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{_REFUSED}'; END $$",
    "CREATE OR REPLACE TRIGGER ledger_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_records "
    "FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()",
)


def create(connection: sa.Connection) -> None:
    """Make the triggers where they are missing."""
    for statement in _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL:
        connection.exec_driver_sql(statement)


def lock(connection: sa.Connection) -> None:
    """Wait until no other writer is in its transaction. SQLite's transactions of a writer begin so."""
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
