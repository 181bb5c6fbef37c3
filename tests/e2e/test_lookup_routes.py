"""Lookup tables name the shards of a statement, and never too few.

That a lookup table was asked is seen by rows that were written past the router: they have no entry, so a statement that
asks the lookup table does not find them, and one that asks all shards does.
"""

from collections.abc import Iterator
from typing import Any

import pymysql
import pytest

from tests.kit.cluster import Cluster
from tests.kit.drivers import connect, error_of, fetch, run

pytestmark = pytest.mark.e2e

HIDDEN = 90
"""Ids from here on are of rows without entries."""


class Place:
    """Accounts 1 to 8, of teams red, blue and none, and a row without entries for each team on every shard."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.cnx: Any = cluster.connect()
        self.empty()
        run(
            self.cnx,
            "INSERT INTO account (id, email, team) VALUES (1, 'a@x', 'red'), (2, 'b@x', 'red'), (3, 'c@x', 'blue'),"
            " (4, 'd@x', 'Green'), (5, 'e@x', NULL), (6, NULL, 'blue'), (7, 'g@x', 'lone'), (8, 'h@x', 'red')",
        )
        for at, shard in enumerate(("commerce/-80", "commerce/80-")):
            with pymysql.connect(**cluster.direct(shard)) as direct:
                values = ", ".join(
                    f"({HIDDEN + 10 * at + n}, '{team}', 'hidden')"
                    for n, team in enumerate(("red", "blue", "green", "lone", "nobody"))
                )
                run(direct, f"INSERT INTO account (id, team, note) VALUES {values}")

    def ids(self, where: str, cnx: Any = None) -> list[int]:
        """The ids of those rows that have entries; the others' number is in `hidden`."""
        found = [row[0] for row in fetch(cnx or self.cnx, f"SELECT id FROM account WHERE {where}")]
        self.hidden = sum(1 for one in found if one >= HIDDEN)
        return sorted(one for one in found if one < HIDDEN)

    def empty(self) -> None:
        self.cluster.clear("account", "account_email")
        with pymysql.connect(**self.cluster.direct("main/-")) as main:
            run(main, "DELETE FROM account_team")

    def close(self) -> None:
        self.cnx.close()
        self.empty()


@pytest.fixture
def place(cluster: Cluster) -> Iterator[Place]:
    made = Place(cluster)
    try:
        yield made
    finally:
        made.close()


def one_shard(place: Place) -> bool:
    """Whether the last statement asked one of the two shards."""
    return place.hidden == 1


def test_values_go_to_the_shards_of_their_entries(place: Place) -> None:
    assert place.ids("team = 'lone'") == [7]
    assert one_shard(place)
    assert place.ids("team = 'LONE' AND id > 0") == [7]  # compared as the column is
    assert one_shard(place)
    assert place.ids("team = 'green'") == [4]
    assert one_shard(place)
    assert place.ids("team IN ('lone', 'nobody', NULL)") == [7]
    assert place.hidden == 2  # lone and nobody, of one shard
    assert place.ids("team = 'nobody'") == []
    assert one_shard(place)  # no entry: any one server answers
    assert place.ids("team = 'red'") == [1, 2, 8]
    assert place.ids("team IN ('red', 'blue') AND id <> 1") == [2, 3, 6, 8]
    assert fetch(place.cnx, "SELECT COUNT(*), MAX(id) FROM account WHERE team = 'nobody' AND id < 90") == [
        (0, None)
    ]
    with connect("connector", place.cluster.connect_kwargs()) as cnx, cnx.cursor(prepared=True) as cursor:
        cursor.execute("SELECT id, note FROM account WHERE team = ? ORDER BY id", ("lone",))
        assert [row[0] for row in cursor.fetchall() if row[1] is None] == [7]
        cursor.execute("SELECT COUNT(*) FROM account WHERE team = ?", ("lone",))
        assert cursor.fetchall() == [(2,)]


def test_other_comparisons_ask_every_shard(place: Place) -> None:
    for where in (
        "team LIKE 'lone'",
        "team = 7",
        "team = 'lone' OR id > 1000",
        "CONCAT(team) = 'lone'",
        "team = _utf8mb4'lone' COLLATE utf8mb4_bin",
        "team <=> 'lone' OR team IS NULL",
        "note = 'hidden' AND team >= 'lone'",
    ):
        place.ids(where)
        asked = 0
        for shard in ("commerce/-80", "commerce/80-"):
            with pymysql.connect(**place.cluster.direct(shard)) as direct:
                text = f"SELECT COUNT(*) FROM account WHERE ({where}) AND id >= {HIDDEN}"
                asked += fetch(direct, text)[0][0]
        assert place.hidden == asked, where


def test_a_unique_value_is_one_row(place: Place) -> None:
    assert fetch(place.cnx, "SELECT id, team FROM account WHERE email = 'a@x'") == [(1, "red")]
    assert fetch(place.cnx, "SELECT id FROM account WHERE email IN ('A@x', 'g@x', 'z@x') ORDER BY id") == [
        (1,),
        (7,),
    ]
    assert fetch(place.cnx, "SELECT id FROM account WHERE email = 'z@x'") == []
    assert fetch(place.cnx, "SELECT id FROM account WHERE email = NULL") == []
    assert run(place.cnx, "UPDATE account SET note = 'n' WHERE email = 'b@x'")[0] == 1
    assert run(place.cnx, "UPDATE account SET email = 'b2@x' WHERE email = 'b@x'")[0] == 1
    assert run(place.cnx, "DELETE FROM account WHERE email = 'b@x'")[0] == 0
    assert run(place.cnx, "DELETE FROM account WHERE email = 'b2@x'")[0] == 1
    assert fetch(place.cnx, "SELECT email FROM account_email WHERE email LIKE 'b%'") == []


def test_writes_go_there_too(place: Place) -> None:
    assert (
        run(place.cnx, "UPDATE account SET note = 'seen' WHERE team = 'lone'")[0] == 2
    )  # 7 and a hidden one
    assert run(place.cnx, "UPDATE account SET team = 'alone' WHERE team = 'lone'")[0] == 2
    assert place.ids("team = 'alone'") == [7]
    assert place.hidden == 1
    assert run(place.cnx, "DELETE FROM account WHERE team = 'alone' AND id < 90")[0] == 1
    assert run(place.cnx, "DELETE FROM account WHERE team = 'nowhere'")[0] == 0
    assert place.ids("team = 'alone' AND id < 90") == []


def test_what_one_shard_can_do_alone_it_does(place: Place) -> None:
    """Window functions over one value's rows, where the lookup table names one shard."""
    rows = fetch(
        place.cnx,
        "SELECT id, ROW_NUMBER() OVER (ORDER BY id) FROM account WHERE team = 'lone' AND id < 90",
    )
    assert rows == [(7, 1)]
    rows = fetch(
        place.cnx,
        "SELECT id, ROW_NUMBER() OVER (ORDER BY id) FROM account WHERE team = 'red' AND id < 90 ORDER BY id",
    )
    assert rows == [(1, 1), (2, 2), (8, 3)]


def test_a_transaction_sees_its_own_and_what_it_saw(place: Place) -> None:
    cnx = place.cnx
    with place.cluster.connect() as other:
        run(cnx, "START TRANSACTION")
        run(cnx, "INSERT INTO account (id, email, team) VALUES (20, 'own@x', 'own'), (21, 'own2@x', 'own')")
        assert place.ids("team = 'own'") == [20, 21]
        assert fetch(cnx, "SELECT id FROM account WHERE email = 'OWN@x'") == [(20,)]
        # another session: neither waits nor sees them
        assert place.ids("team = 'own'", other) == []
        assert fetch(other, "SELECT id FROM account WHERE email = 'own@x'") == []
        run(cnx, "ROLLBACK")
        assert place.ids("team = 'own'") == []
        run(cnx, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        run(cnx, "START TRANSACTION")
        assert fetch(cnx, "SELECT team FROM account WHERE id = 7") == [("lone",)]
        assert run(other, "DELETE FROM account WHERE id = 7")[0] == 1
        assert place.ids("team = 'lone'") == [7]  # as this transaction saw it
        assert place.ids("team = 'lone'", other) == []
        assert fetch(cnx, "SELECT id FROM account WHERE email = 'g@x'") == [(7,)]
        run(cnx, "COMMIT")
        assert place.ids("team = 'lone'") == []


@pytest.mark.parametrize("begin", ["START TRANSACTION", "SET autocommit = 0"])
def test_a_repeated_read_sees_no_row_that_came_meanwhile(place: Place, begin: str) -> None:
    """The first read makes the snapshot of every shard, whatever the lookup table names now and later."""
    cnx = place.cnx
    run(cnx, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    run(cnx, begin)
    assert fetch(cnx, "SELECT id FROM account WHERE email = 'g@x'") == [(7,)]
    assert place.ids("team = 'nobody'") == []
    assert place.hidden == 2
    with place.cluster.connect() as other:
        assert run(other, "DELETE FROM account WHERE id = 7")[0] == 1
        values = ", ".join(f"({number}, NULL, 'nobody')" for number in range(20, 36))
        run(other, f"INSERT INTO account (id, email, team) VALUES {values}")
        away = next(n for n in range(40, 80) if place.cluster.shard_of(n) != place.cluster.shard_of(7))
        run(other, f"INSERT INTO account (id, email) VALUES ({away}, 'g@x')")
        assert fetch(other, "SELECT id FROM account WHERE email = 'g@x'") == [(away,)]
    assert fetch(cnx, "SELECT id FROM account WHERE email = 'g@x'") == [(7,)]
    assert place.ids("team = 'nobody'") == []
    run(cnx, "COMMIT")
    assert fetch(cnx, "SELECT id FROM account WHERE email = 'g@x'") == [(away,)]


def test_reads_that_are_fresh_anyway_go_there_in_a_transaction(place: Place) -> None:
    cnx = place.cnx
    run(cnx, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    run(cnx, "START TRANSACTION")
    assert place.ids("team = 'lone'") == [7]
    assert one_shard(place)
    run(cnx, "COMMIT")
    run(cnx, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    run(cnx, "START TRANSACTION")
    assert place.ids("team = 'lone'") == [7]
    assert place.hidden == 2
    run(cnx, "COMMIT")


def test_an_entry_that_someone_changes_is_not_believed(place: Place) -> None:
    with place.cluster.connect() as other:
        run(other, "START TRANSACTION")
        run(other, "UPDATE account SET team = 'moved' WHERE id = 7")
        assert place.ids("team = 'lone'") == [7]
        assert place.hidden == 2  # all shards
        assert place.ids("team = 'moved'") == []
        run(other, "COMMIT")
        assert place.ids("team = 'moved'") == [7]
        assert place.ids("team = 'lone'") == []


def test_a_lock_on_nothing_is_taken_on_every_shard(place: Place) -> None:
    """Whoever locks a value that is not there keeps others from inserting it, on whichever shard."""
    run(place.cnx, "START TRANSACTION")
    assert fetch(place.cnx, "SELECT id FROM account WHERE email = 'new@x' FOR UPDATE") == []
    with place.cluster.connect() as other:
        run(other, "SET innodb_lock_wait_timeout = 1")
        for number in (20, 30):  # of two shards
            with pytest.raises(pymysql.err.OperationalError) as waits:
                run(other, f"INSERT INTO account (id, email) VALUES ({number}, 'new@x')")
            assert error_of(waits.value)[0] == 1205
    run(place.cnx, "ROLLBACK")


def test_a_lookup_table_is_filled_while_nobody_asks_it(cluster: Cluster) -> None:
    shards = ("commerce/-80", "commerce/80-")
    cluster.clear("ticket")
    with pymysql.connect(**cluster.direct("main/-")) as main, cluster.connect() as cnx:
        run(main, "DELETE FROM ticket_code")
        for number in range(1, 9):  # rows without entries
            shard = f"commerce/{cluster.shard_of(number)}"
            assert shard in shards
            with pymysql.connect(**cluster.direct(shard)) as direct:
                run(direct, f"INSERT INTO ticket VALUES ({number}, 'c{number}')")
        run(cnx, "INSERT INTO ticket VALUES (20, 'c20'), (21, NULL)")
        assert fetch(cnx, "SELECT id FROM ticket WHERE code = 'c3'") == [(3,)]
        assert fetch(main, "SELECT code FROM ticket_code") == [("c20",)]
        run(cnx, "UPDATE ticket SET code = code WHERE id BETWEEN 1 AND 4")
        run(cnx, "UPDATE ticket SET code = code WHERE id > 2")
        entries = fetch(main, "SELECT code, HEX(keyspace_id) FROM ticket_code ORDER BY code")
        assert [row[0] for row in entries] == sorted([*(f"c{n}" for n in range(1, 9)), "c20"])
        assert len({row[1] for row in entries}) == 9
        run(main, "DELETE FROM ticket_code")
    cluster.clear("ticket")
