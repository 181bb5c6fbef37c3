"""Tables that own lookup vindexes: they take the writes that one MySQL takes, and their lookup tables follow."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tests.kit.both import outcome
from tests.kit.cluster import SHARDS, Cluster, wait_for
from tests.kit.drivers import connect, fetch, run

pytestmark = pytest.mark.e2e

SCHEMA = Path(__file__).resolve().parents[1] / "kit" / "cluster_files" / "commerce.sql"
READ = "SELECT id, email, team, note FROM account ORDER BY id"


class Both:
    """The cluster and one plain table."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.sharded: Any = cluster.connect()
        self.plain: Any = pymysql.connect(**{**cluster.direct("main/-"), "database": None})
        run(self.plain, "DROP DATABASE IF EXISTS plain_account")
        run(self.plain, "CREATE DATABASE plain_account")
        self.plain.select_db("plain_account")
        run(self.plain, next(s for s in SCHEMA.read_text().split(";\n") if "CREATE TABLE account (" in s))
        self.empty()

    def empty(self) -> None:
        self.cluster.clear("account", "account_email")
        with pymysql.connect(**self.cluster.direct("main/-")) as main:
            run(main, "DELETE FROM account_team")
        run(self.plain, "DELETE FROM account")

    def write(self, sql: str) -> int:
        """Runs a write on both: equal affected rows or errors, equal rows, and lookup tables that agree."""
        found = []
        for cnx in (self.sharded, self.plain):
            try:
                found.append((run(cnx, sql)[0], 0))
            except pymysql.err.Error as error:
                found.append((0, error.args[0]))
        assert found[0] == found[1], sql
        assert fetch(self.sharded, READ) == fetch(self.plain, READ), sql
        self.check()
        return found[0][1]

    def check(self) -> None:
        """What the lookup tables hold, as this session sees it, is what the accounts say."""
        rows = fetch(self.sharded, READ)
        emails = sorted(row[1] for row in rows if row[1] is not None)
        assert sorted(row[0] for row in fetch(self.sharded, "SELECT email FROM account_email")) == emails
        # an entry keeps its spelling where only the row's case changes
        teams = sorted((team.lower(), number % 2**64) for number, _, team, _ in rows if team is not None)
        held = fetch(self.sharded, "SELECT LOWER(team), account FROM main.account_team ORDER BY 1, 2")
        assert sorted(held) == teams

    def close(self) -> None:
        self.sharded.close()
        self.empty()
        run(self.plain, "DROP DATABASE plain_account")
        self.plain.close()


@pytest.fixture
def both(cluster: Cluster) -> Iterator[Both]:
    made = Both(cluster)
    try:
        yield made
    finally:
        made.close()


WRITES = (
    "INSERT INTO account (id, email, team) VALUES (1, 'a@x', 'red'), (2, 'b@x', 'red'), (3, NULL, NULL)",
    "INSERT INTO account VALUES (11, 'l@x', 'red', NULL), (12, NULL, DEFAULT, 'x')",
    "INSERT INTO account (id, email) VALUES (4, 'd@x'), (-5, CONCAT('e', '@x'))",  # team by its default
    "INSERT INTO account SET id = 6, email = 'f@x', team = DEFAULT",
    "INSERT INTO account (id, email) VALUES (7, 'A@X')",  # equal to that of 1, which may lie elsewhere
    "INSERT IGNORE INTO account (id, email) VALUES (1, 'z@x'), (8, 'h@x'), (8, 'i@x')",
    "REPLACE INTO account (id, email, team) VALUES (2, 'b2@x', 'blue'), (9, 'j@x', 'blue')",
    "INSERT INTO account (id, email) VALUES (4, 'x'), (10, 'k@x') ON DUPLICATE KEY UPDATE email = 'd2@x'",
    "INSERT INTO account (id, email) VALUES (4, 'x') ON DUPLICATE KEY UPDATE note = 'same'",
    "UPDATE account SET email = CONCAT('new-', email), team = 'green' WHERE id IN (1, 2, 3)",
    "UPDATE account SET note = 'all'",
    "UPDATE account SET team = NULL WHERE team = 'green' AND id = 1",
    "UPDATE account SET email = 'D2@x' WHERE id = 4",
    "UPDATE account SET email = 'd2@x' WHERE id = 2",
    "UPDATE IGNORE account SET team = UPPER(team) WHERE note = 'all'",
    "UPDATE account a JOIN (SELECT 'PEN' AS sku) p SET a.email = CONCAT(a.id, p.sku) WHERE a.id > 4",
    "DELETE FROM account WHERE id = 2",
    "DELETE a FROM account a JOIN (SELECT 'PEN' AS sku) p WHERE a.id > 8",
    "DELETE FROM account",
)


def test_every_write_is_followed(both: Both) -> None:
    failed = [both.write(sql) for sql in WRITES]
    assert 1062 in failed
    assert failed.count(0) >= len(WRITES) - 3


def test_a_transaction_takes_its_entries_back(both: Both) -> None:
    both.write("INSERT INTO account (id, email) VALUES (1, 'a@x'), (2, 'b@x')")
    for cnx in (both.sharded, both.plain):
        run(cnx, "START TRANSACTION")
    both.write("UPDATE account SET email = CONCAT('t', email)")
    assert both.write("INSERT INTO account (id, email) VALUES (2, 'c@x'), (4, 'ta@x')") == 1062
    both.write("INSERT INTO account (id, email) VALUES (4, 'd@x')")
    for cnx in (both.sharded, both.plain):
        run(cnx, "ROLLBACK")
    both.check()
    assert fetch(both.sharded, READ) == fetch(both.plain, READ)


def test_a_value_is_taken_on_whichever_shard_its_row_lies(both: Both) -> None:
    homes = {
        shard: next(n for n in range(1, 99) if f"commerce/{both.cluster.shard_of(n)}" == shard)
        for shard in SHARDS[:2]
    }
    first, second = homes.values()
    both.write(f"INSERT INTO account (id, email) VALUES ({first}, 'a@x')")
    assert both.write(f"INSERT INTO account (id, email) VALUES ({second}, 'a@x')") == 1062
    assert both.write(f"REPLACE INTO account (id, email) VALUES ({first}, 'b@x')") == 0
    assert both.write(f"INSERT INTO account (id, email) VALUES ({second}, 'a@x')") == 0


ELSEWHERE = (
    "INSERT IGNORE INTO account (id, email) VALUES (4, 'A@x')",
    "INSERT IGNORE INTO account (id, email) VALUES (4, 'b@x'), (5, 'B@x'), (6, 'f@x')",  # of each other
    "REPLACE INTO account (id, email, note) VALUES (4, 'a@x', 'its row is gone')",
    "REPLACE INTO account SET id = 5, email = CONCAT('a', '@x'), team = 'red'",
    "REPLACE INTO account (id, email) VALUES (1, 'b@x'), (2, 'f@x'), (7, 'b@x')",  # of one another's, too
    "INSERT INTO account (id, email) VALUES (8, 'b@x') ON DUPLICATE KEY UPDATE team = 'met', note = VALUES(email)",
    "INSERT INTO account (id, email) VALUES (8, 'b@x') ON DUPLICATE KEY UPDATE team = 'met'",  # changes nothing
    "INSERT INTO account (id, email) VALUES (4, 'f@x'), (9, 'i@x') ON DUPLICATE KEY UPDATE email = 'g@x'",
    "INSERT INTO account (id, email) VALUES (9, 'g@x') ON DUPLICATE KEY UPDATE email = 'j@x'",  # 9 is there itself
    "INSERT INTO account (id, email) VALUES (10, 'g@x') ON DUPLICATE KEY UPDATE email = 'j@x'",  # taken
    "INSERT IGNORE INTO account (id, email) SELECT id + 20, email FROM account",
    # one another's on the way, and nobody's in the end
    "REPLACE INTO account (id, email) VALUES (11, 'k@x'), (12, 'l@x'), (13, 'K@x'), (13, NULL)",
    "REPLACE INTO account (id, email) VALUES (14, 'm@x'), (15, 'n@x')",
    "INSERT INTO account (id, email) VALUES (16, 'n@x'), (15, 'o@x') ON DUPLICATE KEY UPDATE email = VALUES(email)",
    "INSERT IGNORE INTO account (id, email) VALUES (17, 'q@x'), (18, 'q@x '), (19, CONCAT('q', '@x')), (17, 'r@x')",
    "REPLACE INTO account (id, email, team) SELECT id + 20, email, team FROM account",
)


@pytest.mark.parametrize("explicit", [False, True])
def test_a_value_of_another_shards_row_is_a_duplicate(both: Both, explicit: bool) -> None:
    """Skipped, replaced and updated as on one server, with its counts."""
    both.write("INSERT INTO account (id, email) VALUES (1, 'a@x'), (2, 'c@x')")
    if explicit:
        for cnx in (both.sharded, both.plain):
            run(cnx, "BEGIN")
    failed = [both.write(sql) for sql in ELSEWHERE]
    assert [number for number in failed if number] == [1062]
    run(both.sharded, "INSERT IGNORE INTO account (id, email) VALUES (31, 'g@x')")
    shown = fetch(both.sharded, "SHOW WARNINGS")
    assert [row[:2] for row in shown] == [("Warning", 1062)]
    assert "Duplicate entry 'g@x' for key" in shown[0][2]
    # the row that it meets would have to go to another shard, with another key
    moving = "INSERT INTO account (id, email) VALUES (31, 'g@x') ON DUPLICATE KEY UPDATE id = VALUES(id)"
    assert outcome(both.sharded, moving)[2] == 1235
    both.check()


def test_an_entry_without_a_row_is_taken_over(both: Both) -> None:
    """Left by a write past the router."""
    both.write("INSERT INTO account (id, email) VALUES (1, 'a@x'), (2, 'b@x')")
    both.cluster.clear("account")
    run(both.plain, "DELETE FROM account")
    with pymysql.connect(**both.cluster.direct("main/-")) as main:
        run(main, "DELETE FROM account_team")
    both.write("INSERT INTO account (id, email) VALUES (2, 'a@x'), (1, 'b@x')")


def test_prepared_writes_follow_too(both: Both) -> None:
    with connect("connector", both.cluster.connect_kwargs()) as cnx, cnx.cursor(prepared=True) as cursor:
        cursor.execute(
            "INSERT INTO account (id, email, team) VALUES (?, ?, ?), (?, ?, ?)",
            (1, "a@x", "red", 2, "b@x", None),
        )
        cursor.execute("UPDATE account SET email = ? WHERE id = ?", ("c@x", 1))
        cursor.execute("DELETE FROM account WHERE id = ?", (2,))
    both.check()
    assert fetch(both.sharded, READ) == [(1, "c@x", "red", None)]


def _circle(both: Both, mine: Any, theirs: Any) -> tuple[Future[int], ThreadPoolExecutor]:
    """`mine` holds row 1, of -80, and waits for the entry of n@x, in 80-; `theirs` holds that and may want row 1."""
    both.write("INSERT INTO account (id, email) VALUES (1, 'a@x')")
    run(theirs, "BEGIN")
    run(theirs, "INSERT INTO account (id, email) VALUES (4, 'n@x')")
    return _waiting(both, mine, "UPDATE account SET email = 'n@x' WHERE id = 1")


def _waiting(both: Both, mine: Any, sql: str) -> tuple[Future[int], ThreadPoolExecutor]:
    """`mine` waits in `sql` for a lock."""
    pool = ThreadPoolExecutor(2)
    waiting = pool.submit(lambda: run(mine, sql)[0])

    def waits() -> bool:
        return any(
            int(both.cluster.query_direct(shard, "SHOW STATUS LIKE 'Innodb_row_lock_current_waits'")[0][1])
            for shard in SHARDS
        )

    wait_for(waits, 30, "nobody waits")
    return waiting, pool


def test_a_circle_of_waiting_over_two_servers_is_broken(both: Both) -> None:
    """In autocommit the statement comes again, unseen."""
    with closing(both.cluster.connect()) as theirs:
        waiting, pool = _circle(both, both.sharded, theirs)
        with pool:
            assert run(theirs, "UPDATE account SET note = 'theirs' WHERE id = 1")[0] == 1
            run(theirs, "ROLLBACK")
            assert waiting.result(60) == 1
    assert fetch(both.sharded, READ) == [(1, "n@x", "none", None)]
    both.check()


def test_a_circle_through_a_transaction_ends_as_a_deadlock(both: Both) -> None:
    with closing(both.cluster.connect()) as theirs, closing(both.cluster.connect()) as mine:
        run(mine, "BEGIN")
        waiting, pool = _circle(both, mine, theirs)
        with pool:
            assert run(theirs, "UPDATE account SET note = 'theirs' WHERE id = 1")[0] == 1
            error = waiting.exception(60)
            assert isinstance(error, pymysql.err.OperationalError)
            assert error.args[0] == 1213
            run(theirs, "COMMIT")
        run(mine, "COMMIT")  # there is nothing left of it
    assert fetch(both.sharded, READ) == [(1, "a@x", "none", "theirs"), (4, "n@x", "none", None)]
    both.check()


def test_a_circle_through_the_rows_of_an_update_is_broken(both: Both) -> None:
    there = next(key for key in range(2, 99) if both.cluster.shard_of(key) != both.cluster.shard_of(1))
    both.write(f"INSERT INTO account (id, email) VALUES (1, 'a@x'), ({there}, 'b@x')")
    with closing(both.cluster.connect()) as theirs, closing(both.cluster.connect()) as mine:
        for cnx, key in ((theirs, there), (mine, 1)):
            run(cnx, "BEGIN")
            run(cnx, f"UPDATE account SET team = 'first' WHERE id = {key}")
        waiting, pool = _waiting(both, mine, f"UPDATE account SET team = 'second' WHERE id >= {there}")
        with pool:
            assert run(theirs, "UPDATE account SET note = 'theirs' WHERE id = 1")[0] == 1
            error = waiting.exception(60)
            assert isinstance(error, pymysql.err.OperationalError)
            assert error.args[0] == 1213
        run(theirs, "ROLLBACK")
    both.check()
