"""A real tablet before a real MySQL and MariaDB, asked as a router worker asks it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from zlib import crc32

import pymysql
import pytest

from cli.local import EtcdServer, Flavour, create_database
from controlplane.topo.store import Store
from core.rpc import messages as m
from tests.kit.servers import Running, RunningMysql
from tests.kit.tablet import Asker, TabletServer, dsn, running_tablet, until
from wire.constants import (
    SERVER_STATUS_AUTOCOMMIT,
    SERVER_STATUS_IN_TRANS,
    SERVER_STATUS_NO_BACKSLASH_ESCAPES,
)

pytestmark = pytest.mark.e2e

BEGIN = {"begin": "START TRANSACTION"}


@pytest.fixture
def database(mysql_server: RunningMysql, database: str) -> str:
    mysql_server.query("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(100))", database)
    mysql_server.query("INSERT INTO t VALUES (1, 'one'), (2, 'two')", database)
    return database


@pytest.fixture
async def tablet(mysql_server: RunningMysql, database: str, tmp_path: Path) -> AsyncIterator[TabletServer]:
    async with running_tablet(
        tmp_path / "tablet",
        dsn(mysql_server, database),
        pool_size=6,
        transaction_timeout_s=2.0,
        idle_transaction_timeout_s=1.0,
        idle_timeout_s=2.0,
        query_timeout_s=3.0,
        queue_timeout_ms=1500,
        queue_size=50,
    ) as server:
        yield server
    # every test leaves a tablet that ends cleanly and a log without surprises
    assert server.process.returncode == 0
    assert "Traceback" not in server.log.read_text()


@pytest.fixture
async def asker(tablet: TabletServer) -> Asker:
    asker = await tablet.asker()
    await tablet.serving(asker)
    return asker


async def begin(asker: Asker, sql: str = "SELECT 1", flags: int = 0) -> int:
    reply = await asker.run(sql, m.F_BEGIN | flags, extra=BEGIN, tables=["t"])
    assert reply.error == (0, "")
    assert reply.handle
    assert reply.status & SERVER_STATUS_IN_TRANS
    return reply.handle


async def test_a_reservation_that_is_not_used_is_given_back(
    asker: Asker, mysql_server: RunningMysql, database: str
) -> None:
    lock = f"'{database}'"
    reply = await asker.run(f"SELECT GET_LOCK({lock}, 0)", m.F_RESERVE)
    assert (reply.value, (await asker.stats())["reserved"]) == ("1", 1)
    deadline_s = asyncio.get_running_loop().time() + 20
    while await asyncio.to_thread(mysql_server.query, f"SELECT IS_FREE_LOCK({lock})") != [(1,)]:
        assert asyncio.get_running_loop().time() < deadline_s
        await asyncio.sleep(0.1)
    stats = await asker.stats()
    assert (stats["reserved"], stats["held"]) == (0, 0)
    told = await asker.run("SELECT 1", 0, reply.handle)
    assert (told.error[0], told.handle) == (15020, 0)
    assert "idle_timeout_s" in told.error[1]


async def test_queries_and_errors(asker: Asker, flavour: Flavour) -> None:
    assert asker.welcome.result()[7]["flavour"] == flavour
    reply = await asker.run("SELECT v FROM t ORDER BY id")
    assert reply.rows == [["one"], ["two"]]
    assert reply.info == m.I_LAST
    reply = await asker.run("UPDATE t SET v = 'x' WHERE id = 1", m.F_WRITE, tables=["t"])
    assert reply.info == m.I_LAST | m.I_OK
    reply = await asker.run("SELECT nothing FROM t")
    assert reply.error[0] == 1054
    assert reply.info == m.I_LAST | m.I_ERR
    assert (await asker.run("SELECT 1", m.F_STATUS)).status == SERVER_STATUS_AUTOCOMMIT
    assert (await asker.run("SHOW GLOBAL STATUS LIKE 'Uptime'", m.F_ADMIN)).rows[0][0] == "Uptime"
    stats = await asker.stats()
    assert stats["errors"] == 1
    assert stats["last_errors"][0]["number"] == 1054


async def test_a_query_larger_than_a_packet_and_its_answer(asker: Asker) -> None:
    text = "x" * (17 << 20)
    reply = await asker.run(f"SELECT '{text}'")
    assert reply.error == (0, "")
    assert len(reply.data) > len(text)
    assert reply.chunks > 10
    assert (await asker.run("SELECT 1")).value == "1"


async def test_results_stream_no_faster_than_the_client(
    asker: Asker, tablet: TabletServer, mysql_server: RunningMysql, database: str
) -> None:
    mysql_server.query("CREATE TABLE big (id INT, v TEXT)", database)
    mysql_server.query("INSERT INTO big VALUES (1, REPEAT('y', 1024))", database)
    for _ in range(15):  # in a thread: a peer that is silent for 5 s is forgotten
        await asyncio.to_thread(mysql_server.query, "INSERT INTO big SELECT id, v FROM big", database)
    before = tablet.rss_bytes()
    id_, done = asker.start("SELECT * FROM big", hold_credit=True)
    reply = asker.replies[id_]
    await until(lambda: reply.received > m.WINDOW_BYTES)
    await asyncio.sleep(0.3)
    assert reply.received <= m.WINDOW_BYTES + 300_000
    assert tablet.rss_bytes() - before < 20 << 20
    granted = 0
    while not done.done():
        asker.credit(id_, reply.received - granted)
        granted = reply.received
        await asyncio.sleep(0)
    assert len((await done).data) > 32768 * 1024
    assert tablet.rss_bytes() - before < 30 << 20
    assert (await asker.run("SELECT 1")).value == "1"


async def test_transactions(asker: Asker) -> None:
    handle = await begin(asker, "INSERT INTO t VALUES (3, 'three')", m.F_WRITE)
    assert (await asker.run("SELECT COUNT(*) FROM t")).value == "2"
    inside = await asker.run("SELECT COUNT(*) FROM t", 0, handle)
    assert (inside.value, inside.handle) == ("3", handle)
    reply = await asker.run("COMMIT", m.F_RELEASE, handle)
    assert (reply.handle, reply.status & SERVER_STATUS_IN_TRANS) == (0, 0)
    assert (await asker.run("SELECT COUNT(*) FROM t")).value == "3"

    handle = await begin(asker, "DELETE FROM t", m.F_WRITE)
    asker.free(handle)
    assert (await asker.run("SELECT COUNT(*) FROM t")).value == "3"
    assert (await asker.run("SELECT 1", 0, handle)).error[0] == 15009

    handle = await begin(asker, "DELETE FROM t", m.F_WRITE)
    reply = await asker.run("SELECT 1", m.F_RELEASE, handle)  # released while open: rolled back
    assert (reply.value, reply.handle, reply.status & SERVER_STATUS_IN_TRANS) == ("1", 0, 0)
    assert (await asker.run("SELECT COUNT(*) FROM t")).value == "3"

    reply = await asker.run(b"", m.F_BEGIN, extra=BEGIN)
    assert reply.info == m.I_LAST | m.I_OK
    assert reply.status & SERVER_STATUS_IN_TRANS
    asker.free(reply.handle)
    await asyncio.sleep(0.1)
    stats = await asker.stats()
    assert (stats["transactions"], stats["held"]) == (0, 0)


async def test_an_error_in_a_transaction_tells_whether_it_still_stands(
    asker: Asker, mysql_server: RunningMysql, database: str
) -> None:
    handle = await begin(asker, "INSERT INTO t VALUES (3, 'three')", m.F_WRITE)
    reply = await asker.run("INSERT INTO t VALUES (3, 'again')", m.F_WRITE, handle, tables=["t"])
    assert reply.error[0] == 1062
    assert reply.handle == handle
    assert reply.status & SERVER_STATUS_IN_TRANS
    # a deadlock ends the transaction: one of the two gets 1213
    other = await begin(asker, "UPDATE t SET v = 'b' WHERE id = 2", m.F_WRITE)
    await asker.run("UPDATE t SET v = 'a' WHERE id = 1", m.F_WRITE, handle, tables=["t"])
    replies = await asyncio.gather(
        asker.run("UPDATE t SET v = 'c' WHERE id = 2", m.F_WRITE, handle, tables=["t"]),
        asker.run("UPDATE t SET v = 'd' WHERE id = 1", m.F_WRITE, other, tables=["t"]),
    )
    (victim,) = (reply for reply in replies if reply.error[0] == 1213)
    (winner,) = (reply for reply in replies if reply.error[0] == 0)
    assert victim.status & SERVER_STATUS_IN_TRANS == 0
    assert winner.status & SERVER_STATUS_IN_TRANS
    assert victim.handle in (handle, other)
    asker.free(handle)
    asker.free(other)


async def test_transaction_time_limits(asker: Asker) -> None:
    handle = await begin(asker, "DELETE FROM t", m.F_WRITE)
    await asyncio.sleep(1.3)
    reply = await asker.run("SELECT 1", 0, handle)
    assert (reply.error[0], reply.handle) == (15010, 0)
    assert "idle_transaction_timeout_s" in reply.error[1]
    assert (await asker.run("SELECT COUNT(*) FROM t")).value == "2"
    handle = await begin(asker, "DELETE FROM t", m.F_WRITE)
    started = time.monotonic()
    reply = await asker.run("SELECT SLEEP(10) FROM (SELECT 1) x WHERE SLEEP(10) = 0", 0, handle)
    assert (reply.error[0], reply.handle) == (15010, 0)
    assert "(transaction_timeout_s)" in reply.error[1]
    assert time.monotonic() - started < 3
    assert (await asker.run("SELECT COUNT(*) FROM t")).value == "2"


@pytest.mark.parametrize("wait", [True, False], ids=["for the limit", "for nothing"])
async def test_a_connection_with_an_xa_branch_is_closed_and_never_lent(
    asker: Asker, mysql_server: RunningMysql, database: str, wait: bool
) -> None:
    thread = "SELECT CONNECTION_ID()"
    xids = [f"{database} {n}" for n in range(3)]
    refused = await asker.run(f"XA START '{xids[0]}'", m.F_WRITE | m.F_BRANCH)
    assert refused.error[0] == 1235
    handles, closed = [], set()
    for at, xid in enumerate(xids):
        reply = await asker.run(f"XA START '{xid}'", m.F_BEGIN | m.F_BRANCH)
        assert reply.status & SERVER_STATUS_IN_TRANS
        handle = reply.handle
        if at < 2 or mysql_server.flavour == "mariadb":  # MySQL lets go of what is prepared
            closed.add((await asker.run(thread, 0, handle)).value)
        assert (await asker.run(f"INSERT INTO t VALUES ({7 + at}, 'xa')", m.F_WRITE, handle)).error == (0, "")
        if at:
            assert (await asker.run(f"XA END '{xid}'", m.F_BRANCH, handle)).error == (0, "")
        if at == 2:
            reply = await asker.run(f"XA PREPARE '{xid}'", m.F_WRITE | m.F_BRANCH_ENDS, handle)
            assert bool(reply.status & SERVER_STATUS_IN_TRANS) is (mysql_server.flavour == "mariadb")
        handles.append(handle)
    if not wait:
        for handle in handles:
            asker.free(handle)
    deadline_s = asyncio.get_running_loop().time() + 20
    while (await asker.stats())["held"]:
        assert asyncio.get_running_loop().time() < deadline_s
        await asyncio.sleep(0.05)
    replies = [await asker.run(thread, m.F_BEGIN, extra=BEGIN) for _ in range(3)]
    assert closed.isdisjoint({reply.value for reply in replies})
    with contextlib.closing(mysql_server.connect()) as plain, plain.cursor() as cursor:

        def rolled_back(xid: str) -> bool:
            try:
                cursor.execute(f"XA ROLLBACK '{xid}'")
            except pymysql.err.MySQLError:
                return False
            return True

        await until(lambda: rolled_back(xids[2]), what="the prepared branch is not to be had")
        assert [rolled_back(xid) for xid in xids] == [False] * 3


async def test_a_cancelled_statement_leaves_its_transaction(asker: Asker) -> None:
    for _ in range(5):
        handle = await begin(asker, "INSERT INTO t VALUES (3, 'three')", m.F_WRITE)
        id_, done = asker.start("SELECT SLEEP(10) FROM t", 0, handle)
        await asyncio.sleep(0.05)
        asker.cancel(id_)
        reply = await asyncio.wait_for(done, 2)
        assert reply.error[0] == 1317
        assert reply.handle == handle
        assert (await asker.run("SELECT COUNT(*) FROM t", 0, handle)).value == "3"
        # a kill that comes when the statement is over hurts nobody
        id_, done = asker.start("SELECT COUNT(*) FROM t", 0, handle)
        asker.cancel(id_)
        reply = await asyncio.wait_for(done, 2)
        assert reply.error[0] in (0, 1317)
        for _ in range(3):
            assert (await asker.run("SELECT COUNT(*), SLEEP(0.01) FROM t", 0, handle)).rows[0][0] == "3"
        assert (await asker.run("ROLLBACK", m.F_RELEASE, handle)).handle == 0


async def test_timeout_and_cancel_really_kill(
    asker: Asker, mysql_server: RunningMysql, database: str
) -> None:
    slow = "SELECT SLEEP(30) FROM t"
    assert (await asker.run("SELECT 1")).value == "1"  # there is a connection, so that none waits for one
    started = time.monotonic()
    reply = await asker.run(slow, deadline_s=0.3)
    assert reply.error[0] == 3024
    assert reply.failed is not None
    assert 0.25 < time.monotonic() - started < 10
    reply = await asker.run(slow)
    assert reply.error[0] == 3024
    assert "query_timeout_s" in str(reply.error)
    assert 2.8 < time.monotonic() - started < 20
    id_, done = asker.start(slow)
    await asyncio.sleep(0.1)
    asker.cancel(id_)
    assert (await asyncio.wait_for(done, 10)).error[0] == 1317
    running = mysql_server.query(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '%SLEEP(30)%' AND ID <> CONNECTION_ID()"
    )
    assert running == [(0,)]
    stats = await asker.stats()
    assert stats["timeouts"] == 2
    assert stats["killed"] == 3


async def test_settings_are_exact_and_never_leak(asker: Asker, mysql_server: RunningMysql) -> None:
    ask = (
        "SELECT @@sql_mode, @@time_zone, @@character_set_client, @@character_set_connection,"
        " @@collation_connection, @@character_set_results, @@autocommit, @@sql_select_limit, DATABASE()"
    )
    fresh = await asker.run(ask)
    direct = mysql_server.query(ask.replace(", DATABASE()", ""))
    assert fresh.rows[0][:8] == [str(cell) for cell in direct[0]]
    latin = (
        "character_set_client=latin1,character_set_connection=latin1,character_set_results=latin1,"
        "collation_connection=latin1_german1_ci"
    )
    variants = {
        "time_zone='+02:00'": (1, "+02:00"),
        "sql_mode='ANSI_QUOTES',time_zone='+03:00'": (0, "ANSI_QUOTES"),
        latin: (4, "latin1_german1_ci"),
        "collation_connection=utf8mb4_bin": (4, "utf8mb4_bin"),
        "sql_mode='NO_BACKSLASH_ESCAPES'": (0, "NO_BACKSLASH_ESCAPES"),
        "sql_select_limit=7": (7, "7"),
    }

    async def check(settings: str, shared: int = 0) -> None:
        reply = await asker.run(ask, m.F_STATUS | shared, settings=settings)
        expected = list(fresh.rows[0])
        if settings == latin:
            expected[2:6] = ["latin1", "latin1", "latin1_german1_ci", "latin1"]
        elif settings:
            column, value = variants[settings]
            expected[column] = value
            if "+03:00" in settings:
                expected[1] = "+03:00"
        assert reply.rows[0] == expected, settings
        no_escapes = bool(reply.status & SERVER_STATUS_NO_BACKSLASH_ESCAPES)
        assert no_escapes == ("NO_BACKSLASH" in settings)

    order = [*variants, ""] * 3 + sorted([*variants, ""], reverse=True) * 3
    for settings in order:
        await check(settings)
    await asyncio.gather(*(check(settings) for settings in order))
    for settings in order:  # sent right behind its SET
        await check(settings, m.F_CONSOLIDATE)
    await asyncio.gather(*(check(settings, m.F_CONSOLIDATE) for settings in order))
    for flags in (0, m.F_CONSOLIDATE):
        reply = await asker.run("SELECT 1", flags, settings="no_such_variable=1")
        assert reply.error[0] == 1193
        assert reply.info & m.I_ERR
    assert (await asker.run("SELECT 1", settings="@a=1")).error[0] == 1235
    await check("")


async def test_what_a_statement_leaves_in_its_session_is_wiped(
    asker: Asker, mysql_server: RunningMysql, database: str
) -> None:
    mysql_server.query(
        "CREATE PROCEDURE mess() BEGIN SET @x = 5; CREATE TEMPORARY TABLE tt (i INT);"
        " SET SESSION sql_mode = 'ANSI'; END",
        database,
    )
    mysql_server.query(
        "CREATE PROCEDURE opens() BEGIN START TRANSACTION; DELETE FROM t; SIGNAL SQLSTATE '45000'; END",
        database,
    )
    await asker.run("CALL mess()", m.F_WRITE | m.F_VARIABLES)
    for _ in range(8):
        reply = await asker.run("SELECT @x, @@sql_mode LIKE '%ANSI%'")
        assert reply.rows == [[None, "0"]]
        assert (await asker.run("SELECT * FROM tt")).error[0] == 1146
    assert (await asker.run("CALL opens()", m.F_WRITE | m.F_VARIABLES)).error[0] == 1644
    for _ in range(8):
        reply = await asker.run("SELECT COUNT(*) FROM t", m.F_STATUS)
        assert reply.status & (SERVER_STATUS_AUTOCOMMIT | SERVER_STATUS_IN_TRANS) == SERVER_STATUS_AUTOCOMMIT
    assert mysql_server.query("SELECT COUNT(*) FROM t", database) == [(2,)]
    # a reservation may do all that; it is gone afterwards
    reply = await asker.run("SET @x = 7", m.F_RESERVE)
    assert (await asker.run("SELECT @x", 0, reply.handle)).value == "7"
    assert (await asker.stats())["reserved"] == 1
    asker.free(reply.handle)
    replies = await asyncio.gather(*(asker.run("SELECT @x, SLEEP(0.02)") for _ in range(10)))
    assert {reply.rows[0][0] for reply in replies} == {None}


async def test_database_and_found_rows_belong_to_the_connection(
    asker: Asker, mysql_server: RunningMysql, database: str
) -> None:
    reply = await asker.run("SELECT DATABASE()", extra={"database": "mysql"})
    assert reply.value == "mysql"
    assert (await asker.run("SELECT DATABASE()")).value == database
    assert (await asker.run("SELECT 1", extra={"database": "no_such"})).error[0] in (1044, 1049)
    same = "UPDATE t SET v = 'one' WHERE id = 1"
    for _ in range(3):
        assert (await asker.run(same, m.F_WRITE)).data[5] == 0
        assert (await asker.run(same, m.F_WRITE | m.F_FOUND_ROWS)).data[5] == 1
    both = (asker.run(same, m.F_WRITE | (m.F_FOUND_ROWS if i % 2 else 0)) for i in range(40))
    for i, reply in enumerate(await asyncio.gather(*both)):
        assert reply.error == (0, "")
        assert reply.data[5] == i % 2


async def test_prepared_statements(asker: Asker) -> None:
    prepared = await asker.prepare("SELECT v FROM t WHERE id = ?")
    assert (prepared.info, prepared.status) == (1, 1)
    text = "SELECT v FROM t WHERE id = ?"
    for number, expected in ((1, b"one"), (2, b"two")):
        params = b"\0\1\0\0\0" + b"\0" + b"\1" + b"\x08\0" + number.to_bytes(8, "little")
        reply = await asker.run(text, m.F_PREPARED, extra={"params": params})
        assert expected in reply.data
    assert (await asker.prepare("SELECT nothing FROM t")).error[0] == 1054
    replies = await asyncio.gather(
        *(
            asker.run(
                f"SELECT {i}, ?",
                m.F_PREPARED,
                extra={"params": b"\0\1\0\0\0\0\1\x08\0" + i.to_bytes(8, "little")},
            )
            for i in range(300)
        )
    )
    assert not any(reply.error[0] for reply in replies[:50])


async def test_waiting_is_bounded_and_tells_why(asker: Asker) -> None:
    await asyncio.gather(*(asker.run("SELECT SLEEP(0.1)") for _ in range(5)))  # now all are open
    statements = [asker.start("SELECT SLEEP(1)", user=f"user{i % 3}") for i in range(70)]
    replies = await asyncio.gather(*(done for _, done in statements))
    numbers = [reply.error[0] for reply in replies]
    assert numbers.count(15002) == 70 - 5 - 50
    assert numbers.count(15003) > 0
    assert {0, 15002, 15003} == set(numbers)
    full = next(reply.error[1] for reply in replies if reply.error[0] == 15002)
    assert "queue_size = 50" in full
    assert "pool_size = 6" in full


async def test_holding_has_its_own_share(asker: Asker) -> None:
    handles = [await begin(asker) for _ in range(4)]  # pool_size - 2
    started = time.monotonic()
    waiting = asker.start("SELECT 1", m.F_BEGIN, extra=BEGIN)[1]
    assert (await asker.run("SELECT 2")).value == "2"  # nobody else starves
    asker.free(handles.pop())
    assert (await waiting).error == (0, "")
    handles.append((await waiting).handle)
    keep = [asyncio.create_task(keep_alive(asker, handle)) for handle in handles]
    reply = await asker.run("SELECT 1", m.F_BEGIN, extra=BEGIN)
    assert reply.error[0] == 15007
    assert "4 of 4 are held" in reply.error[1]
    assert time.monotonic() - started < 5
    for task in keep:
        task.cancel()
    for handle in handles:
        asker.free(handle)


async def keep_alive(asker: Asker, handle: int) -> None:
    while True:
        await asker.run("SELECT 1", 0, handle)
        await asyncio.sleep(0.2)


async def test_the_cap_holds_under_churn(
    asker: Asker, tablet: TabletServer, mysql_server: RunningMysql, database: str
) -> None:
    connection = mysql_server.connect()
    stop = asyncio.Event()
    samples: list[int] = []

    def sample() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = %s", (database,))
            return int(cursor.fetchone()[0])

    base = mysql_server.global_status("Threads_connected") - 1

    async def watch() -> None:
        while not stop.is_set():
            with connection.cursor() as cursor:
                cursor.execute("SHOW GLOBAL STATUS LIKE 'Threads_connected'")
                samples.append(int(cursor.fetchone()[1]))
            await asyncio.sleep(0.001)

    already = (await asker.stats())["open"]
    others = base - already
    watcher = asyncio.create_task(watch())

    async def client(number: int) -> None:
        peer = await tablet.asker(f"worker-{number}x")
        for step in range(6):
            kind = (number + step) % 6
            if kind == 0:
                id_, _ = peer.start("SELECT SLEEP(5)", user=f"u{number % 3}")
                await asyncio.sleep(0.03)
                peer.cancel(id_)
            elif kind == 1:
                peer.start("INSERT INTO t VALUES (9, 'x')", m.F_BEGIN | m.F_WRITE, extra=BEGIN)
                await asyncio.sleep(0.02)
            elif kind == 2:
                await peer.run("SELECT 1", m.F_FOUND_ROWS)
            elif kind == 3:
                await peer.run("SELECT SLEEP(0.5)", deadline_s=0.05)
            elif kind == 4:
                peer.start(
                    "SELECT a.table_name FROM information_schema.tables a, information_schema.columns b"
                )
            else:
                await peer.run("SET @a = 1", m.F_RESERVE)
        await peer.close()
        tablet.askers.remove(peer)

    await asyncio.gather(*(client(number) for number in range(24)))
    reply = await asker.run("SELECT 1", deadline_s=20)
    stop.set()
    await watcher
    connection.close()
    assert max(samples) - 1 - others <= 6, max(samples)
    assert len(samples) > 50
    assert reply.error[0] in (0, 15003, 15004)


async def test_a_peer_that_goes_leaves_nothing(
    asker: Asker, tablet: TabletServer, mysql_server: RunningMysql, database: str
) -> None:
    for how in ("silence", "told"):
        other = await tablet.asker(f"worker-{how}")
        handle = await begin(other, "DELETE FROM t", m.F_WRITE)
        other.start("SELECT SLEEP(30)")
        other.start("SELECT SLEEP(30)", 0, handle)
        await until(lambda: asker_sees_sleepers(mysql_server) == 2)
        if how == "told":
            asker.dealer.send((m.PEER_GONE, other.name))
        else:
            await other.close()
            tablet.askers.remove(other)
        await until(lambda: asker_sees_sleepers(mysql_server) == 0, 8)
        await until(lambda: mysql_server.query("SELECT COUNT(*) FROM t FOR UPDATE", database) == [(2,)], 5)
    stats = await asker.stats()
    assert (stats["held"], stats["transactions"], stats["peers"]) == (0, 0, 1)


def asker_sees_sleepers(server: RunningMysql) -> int:
    rows = server.query(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP(30)%'"
    )
    return int(rows[0][0])


async def test_drain_finishes_what_runs(
    tablet: TabletServer, asker: Asker, mysql_server: RunningMysql
) -> None:
    _, done = asker.start("SELECT SLEEP(1), 'late'")
    await asyncio.sleep(0.2)
    tablet.process.terminate()
    await until(lambda: asker.states and asker.states[-1] == m.DRAINING, 3)
    assert (await asker.run("SELECT 1")).error[0] == 1053
    assert (await done).rows == [["0", "late"]]
    await until(lambda: tablet.process.poll() is not None, 8)


async def test_wrong_version_and_strangers_are_refused(tablet: TabletServer, asker: Asker) -> None:
    stranger = Asker(tablet.endpoint, "stranger")
    tablet.askers.append(stranger)
    stranger.dealer._on_up = lambda: stranger.dealer.send((m.HELLO, 99, "stranger"))
    assert (await asyncio.wait_for(stranger.welcome, 5))[0] == m.REFUSED


async def test_the_admin_lane_comes_back_unnoticed(asker: Asker, mysql_server: RunningMysql) -> None:
    answer = await asker.run("SELECT CONNECTION_ID()", m.F_ADMIN)
    mysql_server.query(f"KILL {answer.value}")
    assert (await asker.run("SELECT 1")).value == "1"
    await asyncio.sleep(0.3)
    assert m.NOT_SERVING not in asker.states
    assert (await asker.run("SELECT CONNECTION_ID()", m.F_ADMIN)).value != answer.value


async def test_several_results_and_flags_of_the_client(
    asker: Asker, mysql_server: RunningMysql, database: str
) -> None:
    mysql_server.query("CREATE PROCEDURE two() BEGIN SELECT 1; SELECT 2; END", database)
    reply = await asker.run("CALL two()", m.F_WRITE | m.F_STATUS)
    assert reply.info == m.I_LAST | m.I_ENDS_OK
    assert reply.status & SERVER_STATUS_AUTOCOMMIT
    reply = await asker.run("SELECT 1", m.F_MORE_RESULTS | m.F_NO_AUTOCOMMIT)
    assert int.from_bytes(reply.data[-2:], "little") & 0x0A == 8
    reply = await asker.run("DO 1", m.F_MORE_RESULTS)
    assert reply.data[7] & 8
    assert (await asker.run("SELECT 1")).value == "1"


Start = Callable[..., RunningMysql]


async def test_registers_in_etcd(
    etcd_server: Running[EtcdServer], mysql_server: RunningMysql, database: str, tmp_path: Path
) -> None:
    endpoint = f"127.0.0.1:{etcd_server.server.client_port}"
    cluster = f"tablet-{crc32(database.encode())}"
    store = Store.connect([endpoint], cluster)
    async with running_tablet(
        tmp_path / "t", dsn(mysql_server, database), pool_size=4, etcd=endpoint, cluster=cluster
    ) as tablet:
        asker = await tablet.asker()
        await tablet.serving(asker)
        async with asyncio.timeout(10):
            record = None
            while record is None or record.value["state"] != m.SERVING:
                record = await store.get("tablets/tablet")
        value = record.value
        assert (value["keyspace"], value["shard"], value["type"]) == ("commerce", "-", "PRIMARY")
        assert (value["endpoint"], value["pid"]) == (tablet.endpoint, tablet.process.pid)
        assert value["server_version"]
    assert await store.get("tablets/tablet") is None
    await store.close()


async def test_a_mysql_that_dies_and_comes_back(
    clean_server: Start, flavour: Flavour, tmp_path: Path
) -> None:
    server = clean_server(flavour, max_connections=30)
    create_database(server.server, "commerce")
    server.query("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(100))", "commerce")
    async with running_tablet(tmp_path / "tablet", dsn(server, "commerce"), pool_size=6) as tablet:
        asker = await tablet.asker()
        await tablet.serving(asker)
        handle = await begin(asker, "INSERT INTO t VALUES (1, 'x')", m.F_WRITE)
        idle = await begin(asker)
        read = asker.start("SELECT SLEEP(20)")[1]
        write = asker.start("UPDATE t SET v = SLEEP(20)", m.F_WRITE, tables=["t"])[1]
        busy = asker.start("SELECT SLEEP(20)", 0, handle)[1]
        await asyncio.sleep(0.2)
        await asyncio.to_thread(server.kill)
        assert (await asyncio.wait_for(read, 3)).error[0] == 15008
        assert (await asyncio.wait_for(write, 3)).error[0] == 15008
        reply = await asyncio.wait_for(busy, 3)
        assert (reply.error[0], reply.handle) == (15009, 0)
        assert (await asker.run("SELECT 1", 0, idle)).error[0] == 15009
        await until(lambda: asker.states and asker.states[-1] == m.NOT_SERVING, 3)
        assert (await asker.run("SELECT 1")).error[0] in (15001, 15014)
        await asyncio.to_thread(server.start)
        back = time.monotonic()
        await until(lambda: asker.states[-1] == m.SERVING, 2)
        assert (await asker.run("SELECT COUNT(*) FROM t")).value == "0"
        assert time.monotonic() - back < 2
        replies = await asyncio.gather(*(asker.run("SELECT SLEEP(0.05)") for _ in range(30)))
        assert {reply.error[0] for reply in replies} == {0}
        assert (await asker.stats())["open"] <= 6


async def test_a_mysql_with_too_few_connections_is_refused(
    clean_server: Start, flavour: Flavour, tmp_path: Path
) -> None:
    server = clean_server(flavour, max_connections=12)
    create_database(server.server, "commerce")
    async with running_tablet(tmp_path / "tablet", dsn(server, "commerce"), pool_size=12) as tablet:
        await until(lambda: tablet.process.poll() is not None, 10)
        last = tablet.log.read_text().strip().splitlines()[-1]
        assert tablet.process.returncode == 1
        assert "pool_size = 12 needs max_connections of at least 13" in last
        assert "which has 12" in last
    wrong = dsn(server, "commerce").replace("sluice:", "sluice:wrong")
    async with running_tablet(tmp_path / "wrong", wrong, pool_size=4) as tablet:
        await until(lambda: tablet.process.poll() is not None, 10)
        assert tablet.process.returncode == 1
        assert "refuses the tablet: Access denied" in tablet.log.read_text().strip().splitlines()[-1]
