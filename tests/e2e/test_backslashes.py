"""Where NO_BACKSLASH_ESCAPES makes a backslash stand for itself: in values that clients bind, and in those that say
where a row is."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.kit.both import both_places
from tests.kit.cluster import Cluster
from tests.kit.drivers import connect, fetch

pytestmark = pytest.mark.e2e

PLAIN = "plain_backslashes"
TABLES = ("device", "account", "account_email")
MODE = "SET sql_mode = 'NO_BACKSLASH_ESCAPES,STRICT_TRANS_TABLES'"
VALUES = [
    "it's",
    "\\",
    "a\\b",
    "' + (SELECT 1) -- ",
    "\\' OR 1 -- ",
    '\\\\n\n\0\x1a"',
    *(f"\\t{n}" for n in range(8)),
]
BOUND = "SELECT serial, label, ? FROM device WHERE label <> ? ORDER BY serial"
KEYED = "SELECT label FROM device WHERE serial = "


@pytest.fixture
def sides(cluster: Cluster) -> Iterator[tuple[Any, Any]]:
    """The router, and one plain server."""
    with (
        both_places(cluster, PLAIN, TABLES),
        closing(connect("connector", cluster.connect_kwargs())) as sharded,
        closing(connect("connector", {**cluster.direct("main/-"), "database": PLAIN})) as plain,
    ):
        for cnx in (sharded, plain):
            fetch(cnx, MODE)
        yield sharded, plain
    cluster.query_direct("main/-", "DELETE FROM account_team")


def _bound(cnx: Any, sql: str, args: tuple[Any, ...]) -> Any:
    cursor = cnx.cursor(prepared=True)
    try:
        cursor.execute(sql, args)
        return cursor.fetchall() if cursor.description else cursor.rowcount
    finally:
        cursor.close()


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def test_backslashes_that_stand_for_themselves(sides: tuple[Any, Any]) -> None:
    sharded, plain = sides
    rows = ", ".join(f"({_quoted(value)}, {_quoted(value)})" for value in VALUES)
    for cnx in sides:
        fetch(cnx, f"INSERT INTO device (serial, label) VALUES {rows}")
        for number, value in enumerate(VALUES):
            _bound(cnx, "INSERT INTO account (id, email, note) VALUES (?, ?, ?)", (number, value, value))
    for value in VALUES:
        assert _bound(sharded, BOUND, (value, value)) == _bound(plain, BOUND, (value, value)), value
        assert _bound(sharded, KEYED + "?", (value,)) == [(value,)]
        assert fetch(sharded, KEYED + _quoted(value)) == [(value,)]
        assert _bound(sharded, "SELECT note FROM account WHERE email = ?", (value,)) == [(value,)]
        assert fetch(sharded, f"SELECT note FROM account WHERE email = {_quoted(value)}") == [(value,)]
        for cnx in sides:
            fetch(cnx, f"SET @who = {_quoted(value)}")
        assert fetch(sharded, "SELECT @who, serial FROM device WHERE serial = @who") == [(value, value)]
    for cnx in sides:
        fetch(cnx, "SET sql_mode = DEFAULT")
    for value in VALUES:  # each row is where other sessions look for it
        assert _bound(sharded, KEYED + "?", (value,)) == [(value,)]
        assert _bound(sharded, "UPDATE account SET note = ? WHERE email = ?", ("x", value)) == 1
