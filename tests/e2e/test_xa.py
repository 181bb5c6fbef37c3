"""XA transactions through the router: each statement says what it says on the plain server, what is prepared outlives
its session, and no connection with a branch gets to anybody else."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any

import pymysql
import pytest

from tests.kit.cluster import Cluster, wait_for
from tests.kit.http_sql import HttpSql, HttpSqlError

pytestmark = pytest.mark.e2e

TABLE = "CREATE TABLE xa_t (id INT PRIMARY KEY) ENGINE = InnoDB"
Steps = tuple[str, ...]
SEQUENCES: list[Steps] = [
    # the server is the judge of whatever comes in a branch
    (
        "XA START 'x1'",
        "INSERT INTO xa_t VALUES (10)",
        "BEGIN",
        "START TRANSACTION READ ONLY",
        "COMMIT",
        "ROLLBACK",
        "COMMIT AND CHAIN",
        "SAVEPOINT s",
        "INSERT INTO xa_t VALUES (11)",
        "ROLLBACK TO s",
        "RELEASE SAVEPOINT s",
        "SELECT * FROM xa_t",
        "CREATE TABLE xa_u (i INT)",
        "LOCK TABLES xa_t READ",
        "UNLOCK TABLES",
        "TRUNCATE xa_t",
        "FLUSH TABLES",
        "SET autocommit = 0",
        "SET autocommit = 1",
        "XA START 'x2'",
        "XA START 'x1' JOIN",
        "XA PREPARE 'x1'",
        "XA COMMIT 'x1'",
        "XA ROLLBACK 'x1'",
        "XA END 'x2'",
        "SHOW WARNINGS",
        "XA END 'x1'",
        "SELECT ROW_COUNT()",
        "INSERT INTO xa_t VALUES (12)",
        "SELECT NOW() > 0",
        "SET @a = 1, sql_mode = ''",
        "SELECT @a",
        "XA START 'x1' RESUME",
        "INSERT INTO xa_t VALUES (12)",
        "XA END 'x1' SUSPEND",
        "XA END 'x1'",
        "BEGIN",
        "XA COMMIT 'x1'",
        "XA COMMIT 'x1' ONE PHASE",
        "SELECT * FROM xa_t",
        "XA COMMIT 'x1' ONE PHASE",
        "XA END 'x1'",
        "XA PREPARE 'x1'",
        "XA ROLLBACK 'x1'",
    ),
    # prepared: nobody's on MySQL, the connection's on MariaDB
    (
        "XA START 'p1'",
        "INSERT INTO xa_t VALUES (10)",
        "XA END 'p1'",
        "XA PREPARE 'p1'",
        "SELECT * FROM xa_t WHERE id = 1",
        "XA START 'p1'",
        "XA START 'p9'",
        "XA END 'p9'",
        "XA PREPARE 'p9'",
        "XA COMMIT 'p9' ONE PHASE",
        "BEGIN",
        "COMMIT",
        "CREATE TABLE xa_u (i INT)",
        "XA COMMIT 'nosuch'",
        "XA COMMIT 'p1'",
        "SELECT * FROM xa_t",
        "XA COMMIT 'p1'",
        "DROP TABLE xa_u",
    ),
    # other ways to write it
    (
        "XA BEGIN 'g','b',5",
        "XA END 'g','b',5",
        "XA ROLLBACK 'g','b',5",
        "XA START X'6131',b'01100010',0x7",
        "XA END 'a1','b',7",
        "XA PREPARE 'a1','b',7",
        "XA ROLLBACK 'a1','b',7",
        "XA START g",
        "XA START",
        "XA",
        "XA FOO",
        "XA START @x",
        "XA START ''",
        "XA END ''",
        "XA ROLLBACK ''",
        "/* c */ xa /* d */ start 'a\\'b','it''s',1 -- e",
        "XA END 'a\\'b','it''s',1;",
        "XA ROLLBACK 'a\\'b','it''s',1",
        "/*!50000 XA START 'e' */",
        "XA END 'e'",
        "XA ROLLBACK 'e'",
        "PREPARE s FROM \"XA START 'g'\"",
        "EXECUTE IMMEDIATE \"XA START 'i'\"",
        "XA END 'i'",
        "XA ROLLBACK 'i'",
        "XA END 'none'",
        "XA COMMIT 'none' ONE PHASE",
    ),
    # beside other transactions, locks, temporary tables and procedures
    (
        "BEGIN",
        "XA START 'o'",
        "XA PREPARE 'o'",
        "XA COMMIT 'o'",
        "INSERT INTO xa_t VALUES (20)",
        "XA START 'o'",
        "COMMIT",
        "SET autocommit = 0",
        "XA START 'o'",
        "INSERT INTO xa_t VALUES (21)",
        "XA END 'o'",
        "SET autocommit = 1",
        "XA COMMIT 'o' ONE PHASE",
        "SELECT * FROM xa_t",
        "XA START 'o'",
        "ROLLBACK",
        "SET autocommit = 1",
        "LOCK TABLES xa_t WRITE",
        "XA START 'o'",
        "UNLOCK TABLES",
        "SET TRANSACTION READ ONLY",
        "XA START 'o'",
        "SELECT GET_LOCK('xa_lock', 1)",
        "INSERT INTO xa_t VALUES (22)",
        "XA END 'o'",
        "XA PREPARE 'o'",
        "SELECT RELEASE_LOCK('xa_lock')",
        "XA ROLLBACK 'o'",
        "INSERT INTO xa_t VALUES (22)",
        "CREATE TEMPORARY TABLE xa_tmp (i INT)",
        "XA START 'o'",
        "INSERT INTO xa_tmp VALUES (1)",
        "XA END 'o'",
        "XA ROLLBACK 'o'",
        "SELECT COUNT(*) FROM xa_tmp",
        "CREATE PROCEDURE xa_p() BEGIN XA START 'o'; INSERT INTO xa_t VALUES (77); END",
        "CALL xa_p()",
        "XA END 'o'",
        "XA PREPARE 'o'",
        "XA COMMIT 'o'",
        "DROP PROCEDURE xa_p",
        "SELECT * FROM xa_t",
    ),
]


@pytest.fixture(autouse=True)
def table(cluster: Cluster) -> Iterator[None]:
    cluster.query(TABLE, database="main")
    cluster.query("INSERT INTO xa_t VALUES (1), (2)", database="main")
    yield
    with pymysql.connect(**cluster.direct("main/-")) as plain:
        for xid in prepared(cluster):
            _say(plain, f"XA ROLLBACK '{xid}'")
    cluster.query("DROP TABLE IF EXISTS xa_t, xa_u", database="main")


def prepared(cluster: Cluster) -> set[str]:
    """The prepared branches of keyspace main's server."""
    return {_text(row[3]) for row in cluster.query_direct("main/-", "XA RECOVER")}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _say(cnx: "pymysql.Connection[Any]", sql: str) -> tuple[Any, ...]:
    with cnx.cursor() as cursor:
        try:
            affected = cursor.execute(sql)
            return sql, affected, tuple(cursor.fetchall()), cnx.server_status & 0x2003
        except pymysql.err.MySQLError as error:
            return (sql, *error.args)


def say(cnx: "pymysql.Connection[Any]", *statements: str) -> tuple[Any, ...]:
    """Runs them all; what the last one says."""
    for sql in statements[:-1]:
        told = _say(cnx, sql)
        assert isinstance(told[2], tuple), told
    return _say(cnx, statements[-1])


def ids(cluster: Cluster) -> list[int]:
    return [row[0] for row in cluster.query("SELECT id FROM xa_t ORDER BY id", database="main")]


def eventually(condition: Callable[[], bool], what: str) -> None:
    wait_for(condition, 30, what)


def test_statements_say_what_they_say_on_the_plain_server(cluster: Cluster) -> None:
    wrong = []
    for steps in SEQUENCES:
        told = []
        for kwargs in (cluster.direct_tcp("main/-"), cluster.connect_kwargs(database="main")):
            cluster.query("TRUNCATE xa_t", database="main")
            with pymysql.connect(**kwargs, autocommit=True) as cnx:
                told.append([_say(cnx, sql) for sql in steps])
        wrong += [pair for pair in zip(*told, strict=True) if pair[0] != pair[1]]
    assert wrong == []
    assert prepared(cluster) == set()


def test_a_branch_is_prepared_here_and_committed_there(cluster: Cluster) -> None:
    with cluster.connect("main") as one, cluster.connect("main") as other:
        say(one, "XA START 'h1'", "INSERT INTO xa_t VALUES (10)", "XA END 'h1'")
        assert say(other, "XA START 'h1'")[1] == 1440
        assert say(other, "XA COMMIT 'h1'")[1] == 1397
        assert say(one, "SHOW PINS")[2] == (("main/-", "XA transaction", None, ""),)
        assert say(one, "XA PREPARE 'h1'")[1] == 0
        assert "h1" in {_text(row[3]) for row in say(other, "XA RECOVER")[2]}
        if cluster.flavour == "mysql":
            assert say(one, "SHOW PINS")[2] == ()
            assert say(other, "XA COMMIT 'h1'")[1] == 0
            assert say(one, "XA COMMIT 'h1'")[1] == 1397
        else:  # as on the plain server
            assert say(other, "XA COMMIT 'h1'")[1] == 1397
            assert say(one, "XA COMMIT 'h1'")[1] == 0
        assert ids(cluster) == [1, 2, 10]


def test_sessions_that_end_leave_what_is_prepared_and_nothing_else(cluster: Cluster) -> None:
    def reset(cnx: "pymysql.Connection[Any]") -> None:
        cnx._execute_command(0x1F, b"")
        cnx._read_packet()

    def lose(cnx: "pymysql.Connection[Any]") -> None:
        ((thread,),) = say(cnx, "SELECT @@pseudo_thread_id")[2][:1]
        cluster.query(f"KILL {thread}", database="main")

    ends: list[Callable[[Any], None]] = [lambda cnx: cnx.close(), lambda cnx: cnx._force_close(), reset, lose]
    with cluster.connect("main") as other:
        for at, end in enumerate(ends):
            xids = [f"e{at}{state}" for state in "aip"]
            sessions = [cluster.connect("main") for _ in xids]
            for place, (xid, cnx) in enumerate(zip(xids, sessions, strict=True)):
                work = [f"XA START '{xid}'", f"INSERT INTO xa_t VALUES ({100 + at * 10 + place})"]
                work += [f"XA END '{xid}'", f"XA PREPARE '{xid}'"][:place]
                assert say(cnx, *work)[1] >= 0
                end(cnx)
            # those that were not prepared are gone, the third is anybody's
            for xid in xids[:2]:
                eventually(lambda xid=xid: say(other, f"XA START '{xid}'")[1] == 0, f"{xid} is still there")
                assert say(other, f"XA END '{xid}'", f"XA ROLLBACK '{xid}'")[1] == 0
            assert prepared(cluster) == {xids[2]}
            eventually(
                lambda xid=xids[2]: say(other, f"XA COMMIT '{xid}'")[1] == 0, f"{xids[2]} is not to be had"
            )
            for cnx in sessions:
                cnx._force_close()
    assert ids(cluster) == [1, 2, 102, 112, 122, 132]


def test_a_branch_whose_connection_is_lost(cluster: Cluster) -> None:
    def kill_holder() -> None:
        """The server's thread that is in a branch goes."""
        found = cluster.query_direct(
            "main/-",
            "SELECT trx_mysql_thread_id FROM information_schema.innodb_trx WHERE trx_mysql_thread_id > 0",
        )
        for (thread,) in found:
            with suppress(pymysql.err.OperationalError):  # 1094: one that was going anyway
                cluster.query_direct("main/-", f"KILL {thread}")

    with cluster.connect("main") as one:
        say(one, "XA START 'l1'", "INSERT INTO xa_t VALUES (10)")
        kill_holder()
        eventually(lambda: say(one, "SELECT 1 FROM xa_t")[1] in (15008, 15050), "nobody tells of the loss")
        assert say(one, "XA END 'l1'")[1] == 15050
        assert say(one, "COMMIT")[1] == 15050
        assert say(one, "XA ROLLBACK 'l1'")[1] == 1397  # the server's own word: it is gone
        assert (
            say(one, "XA START 'l2'", "INSERT INTO xa_t VALUES (11)", "XA END 'l2'", "XA PREPARE 'l2'")[1]
            == 0
        )
        if cluster.flavour == "mariadb":  # on MySQL nobody holds it
            kill_holder()
        eventually(lambda: say(one, "XA COMMIT 'l2'")[1] == 0, "what is prepared cannot be committed")
        assert say(one, "SELECT id FROM xa_t ORDER BY id")[2] == ((1,), (2,), (11,))


def test_a_deadlock_in_a_branch_is_the_branchs(cluster: Cluster) -> None:
    with cluster.connect("main") as one, pymysql.connect(**cluster.direct("main/-")) as other:
        for end in ("XA ROLLBACK 'dl'", "XA COMMIT 'dl' ONE PHASE"):
            say(one, "XA START 'dl'", "SELECT * FROM xa_t WHERE id = 1 FOR UPDATE")
            say(other, "BEGIN", "INSERT INTO xa_t VALUES (100), (101), (102), (103)")
            say(other, "SELECT * FROM xa_t WHERE id = 2 FOR UPDATE")
            told: list[Any] = []
            waiter = threading.Thread(
                target=lambda: told.append(say(one, "SELECT * FROM xa_t WHERE id = 2 FOR UPDATE"))  # noqa: B023
            )
            waiter.start()
            locked = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
            eventually(lambda: cluster.query_direct("main/-", locked)[0][0] == 1, "nobody waits")  # noqa: B023
            assert say(other, "SELECT * FROM xa_t WHERE id = 1 FOR UPDATE")[1] == 1
            waiter.join()
            assert told[0][1] == 1213
            say(other, "ROLLBACK")
            assert say(one, "SHOW PINS")[2] == (("main/-", "XA transaction", None, ""),)
            assert say(one, "INSERT INTO xa_t VALUES (50)")[1] in (1399, 1614)
            assert say(one, "BEGIN")[1] == 1399
            assert say(one, "XA END 'dl'")[1] in (1399, 1614)
            assert say(one, end)[1] == (0 if "ROLLBACK" in end else 1614)
            assert say(one, "SHOW PINS")[2] == ()
            assert say(one, "BEGIN", "ROLLBACK")[1] == 0


def test_no_connection_with_a_branch_gets_to_another_session(cluster: Cluster) -> None:
    with cluster.connect("main") as other:
        for at in range(2 * cluster.pool_size):
            with closing(cluster.connect("main")) as cnx:
                xid = f"n{at}"
                work = [f"XA START '{xid}'", f"INSERT INTO xa_t VALUES ({200 + at})", f"XA END '{xid}'"]
                assert say(cnx, *(work, [*work, f"XA PREPARE '{xid}'"])[at % 2])[1] == 0
            assert say(other, "BEGIN", "SELECT 1 FROM xa_t WHERE id = 1", "COMMIT")[1] == 0
        with ExitStack() as stack:
            many = [stack.enter_context(cluster.connect("main")) for _ in range(4)]
            for cnx in many:
                assert say(cnx, "BEGIN", f"INSERT INTO xa_t VALUES ({300 + many.index(cnx)})")[1] == 1
            assert [say(cnx, "ROLLBACK")[1] for cnx in many] == [0] * 4
        left = {f"n{at}" for at in range(1, 2 * cluster.pool_size, 2)}
        assert prepared(cluster) == left
        for xid in left:
            eventually(lambda xid=xid: say(other, f"XA ROLLBACK '{xid}'")[1] == 0, f"{xid} is not to be had")
    assert ids(cluster) == [1, 2]


def test_a_branch_is_one_shards(cluster: Cluster) -> None:
    with cluster.connect() as cnx:
        number, text = say(cnx, "XA START 's'")[1:]
        assert number == 1235
        assert "USE `commerce:-80`" in text
        assert say(cnx, "XA RECOVER")[1] == 1235
        say(cnx, "USE `commerce:-80`")
        assert say(cnx, "XA START 's'", "INSERT INTO counter (id, owner) VALUES (901, 1)")[1] == 1
        assert say(cnx, "USE main", "INSERT INTO xa_t VALUES (10)")[1] == 1235
        assert say(cnx, "SELECT * FROM commerce.counter WHERE id IN (901, 902, 903, 904)")[1] == 1235
        assert say(cnx, "XA END 's'")[1] == 0
        assert say(cnx, "XA PREPARE 's'", "XA ROLLBACK 's'")[1] == (1397 if cluster.flavour == "mysql" else 0)
        say(cnx, "USE `commerce:-80`", "XA ROLLBACK 's'")
        say(cnx, "USE commerce", "BEGIN", "INSERT INTO main.note (body) VALUES ('xa')")
        assert say(cnx, "USE `commerce:-80`", "XA START 's'")[1] == 1400
        assert say(cnx, "ROLLBACK")[1] == 0
        assert say(cnx, "SELECT COUNT(*) FROM counter WHERE id = 901")[2] == ((0,),)


def test_over_http(cluster: Cluster) -> None:
    client = HttpSql(cluster)
    client.execute("USE main")
    client.execute("XA START 'web'")
    client.execute("INSERT INTO xa_t VALUES (10)")
    with pytest.raises(HttpSqlError, match=r"errno 1399"):
        client.execute("COMMIT")
    client.execute("XA END 'web'")
    client.execute("XA PREPARE 'web'")
    client.execute("XA COMMIT 'web'")
    assert client.execute("SELECT COUNT(*) FROM xa_t") == [("3",)]
    client.close()
