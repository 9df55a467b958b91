"""The connection that SQLite's writer keeps: one transaction after the other, whole or not at all."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from audit.database import KeptConnection, engine


@pytest.fixture
def made(tmp_path: Path) -> Iterator[sa.Engine]:
    held = engine("", tmp_path / "some.db", writes=True)
    with held.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE one (number INTEGER PRIMARY KEY)")
    yield held
    held.dispose()


@pytest.fixture
def kept(made: sa.Engine) -> Iterator[KeptConnection]:
    held = KeptConnection(made)
    yield held
    held.let_go()


def add(connection: sa.Connection, number: int) -> None:
    connection.exec_driver_sql("INSERT INTO one VALUES (?)", (number,))


def add_twice(connection: sa.Connection, number: int, other: Any) -> None:
    add(connection, number)
    add(connection, other + 0)


def numbers(made: sa.Engine) -> list[int]:
    with made.connect() as connection:
        return list(connection.exec_driver_sql("SELECT number FROM one ORDER BY number").scalars())


def test_a_transaction_is_committed_when_it_ends(made: sa.Engine, kept: KeptConnection) -> None:
    for number in (1, 2):
        with kept.begin() as connection:
            add(connection, number)
        assert numbers(made) == list(range(1, number + 1))


def test_of_a_transaction_that_fails_nothing_stays_and_the_next_one_works(
    made: sa.Engine, kept: KeptConnection
) -> None:
    with pytest.raises(TypeError), kept.begin() as connection:
        add_twice(connection, 1, "none")
    assert numbers(made) == []
    with kept.begin() as connection:
        add(connection, 2)
    assert numbers(made) == [2]


def test_after_a_fault_of_the_database_it_is_opened_anew(made: sa.Engine, kept: KeptConnection) -> None:
    with kept.begin() as connection:
        before = connection.connection.driver_connection
    with pytest.raises(sa.exc.IntegrityError), kept.begin() as connection:
        add_twice(connection, 1, 1)
    with kept.begin() as connection:
        assert connection.connection.driver_connection is not before
        add(connection, 2)
    assert numbers(made) == [2]


def test_nobody_else_writes_within_a_transaction(made: sa.Engine, kept: KeptConnection, tmp_path: Path) -> None:
    with kept.begin() as connection:
        add(connection, 1)
        other = sqlite3.connect(tmp_path / "some.db", timeout=0.0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("INSERT INTO one VALUES (2)")
        other.close()
        assert numbers(made) == []
    assert numbers(made) == [1]
