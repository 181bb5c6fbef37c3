"""The contract with mysql.connector: what `tablet/backend/connection.py` relies on, for each admitted version."""

import asyncio

import pytest

from cli.local import Flavour
from core.config import Dsn
from tablet.backend.connection import Command, ConnectFailed, Connection, open_connection
from tablet.backend.server import parse_rows
from tests.kit.servers import RunningMysql
from tests.kit.tablet import dsn, until
from wire.constants import COM_PING

pytestmark = pytest.mark.e2e

TCP_USER = "tablet_tcp"


@pytest.fixture
def database(mysql_server: RunningMysql, database: str) -> str:
    mysql_server.query(f"CREATE USER IF NOT EXISTS {TCP_USER}@'127.0.0.1' IDENTIFIED BY 'p:w@/'")
    mysql_server.query(f"GRANT ALL ON *.* TO {TCP_USER}@'127.0.0.1'")
    return database


@pytest.fixture
def lost() -> list[Connection]:
    """The connections that said they are lost."""
    return []


async def ask(connection: Connection, sql: str) -> Command:
    done: asyncio.Future[Command] = asyncio.get_running_loop().create_future()
    connection.command(b"\x03" + sql.encode(), done.set_result)
    return await asyncio.wait_for(done, 10)


async def gone(lost: list[Connection], count: int = 1) -> None:
    await until(lambda: len(lost) >= count, 5)


@pytest.mark.parametrize("way", ["socket", "tcp", "tls"])
async def test_adopts_a_connection(
    mysql_server: RunningMysql, flavour: Flavour, database: str, lost: list[Connection], way: str
) -> None:
    if way == "socket":
        address = Dsn.parse(dsn(mysql_server, database), "test")
    else:
        if way == "tls" and flavour == "mariadb":
            pytest.skip("this MariaDB has no certificate; that tls=required refuses it has a test below")
        tls = "required" if way == "tls" else "preferred" if flavour == "mariadb" else "disabled"
        address = Dsn.parse(
            f"mysql://{TCP_USER}:p%3Aw%40%2F@127.0.0.1:{mysql_server.port}/{database}?tls={tls}", "test"
        )
        if way == "tcp" and flavour == "mysql":
            # caching_sha2_password without TLS: the first login fetches the server's key
            await asyncio.to_thread(
                lambda: mysql_server.query(f"ALTER USER {TCP_USER}@'127.0.0.1' IDENTIFIED BY 'p:w@/'")
            )
            warm = Dsn.parse(
                f"mysql://{TCP_USER}:p%3Aw%40%2F@127.0.0.1:{mysql_server.port}/{database}?tls=required",
                "test",
            )
            first = await open_connection(warm, database, False, lost.append)
            first.quit()
            await gone(lost)
            lost.clear()
    connection = await open_connection(address, database, False, lost.append)
    command = await ask(connection, "SELECT CONNECTION_ID(), DATABASE(), @@character_set_client")
    assert parse_rows(command.data) == [[str(connection.thread_id).encode(), database.encode(), b"utf8mb4"]]
    encrypted = parse_rows((await ask(connection, "SHOW SESSION STATUS LIKE 'Ssl_cipher'")).data)
    assert bool(encrypted[0][1]) == (way == "tls")
    # no query attributes, no multi statements, no local files, session tracking
    assert (await ask(connection, "SELECT 1; SELECT 2")).error is not None
    assert (await ask(connection, "LOAD DATA LOCAL INFILE 'x' INTO TABLE t")).error is not None
    await ask(connection, "SET @x = 1")
    assert connection.scanner.session_changes[0].state_changed
    large = await ask(connection, "SELECT REPEAT('x', 300000)")
    assert len(large.data) > 300000
    connection.quit()
    await gone(lost)
    assert connection.is_lost


async def test_found_rows_is_a_property_of_the_connection(
    mysql_server: RunningMysql, database: str, lost: list[Connection]
) -> None:
    address = Dsn.parse(dsn(mysql_server, database), "test")
    await asyncio.to_thread(mysql_server.query, "CREATE TABLE t (i INT)", database)
    await asyncio.to_thread(mysql_server.query, "INSERT INTO t VALUES (1)", database)
    for found_rows in (False, True):
        connection = await open_connection(address, database, found_rows, lost.append)
        command = await ask(connection, "UPDATE t SET i = 1")
        assert command.scanner.affected_rows == int(found_rows)
        connection.quit()
    await gone(lost, 2)


async def test_failures_are_told_with_mysqls_number(
    mysql_server: RunningMysql, flavour: Flavour, database: str, lost: list[Connection]
) -> None:
    good = dsn(mysql_server, database)
    with pytest.raises(ConnectFailed) as wrong:
        await open_connection(
            Dsn.parse(good.replace("sluice:", "sluice:x"), "t"), database, False, lost.append
        )
    assert wrong.value.number == 1045
    assert wrong.value.thread_id
    with pytest.raises(ConnectFailed) as unknown:
        await open_connection(Dsn.parse(good, "t"), "no_such_database", False, lost.append)
    assert unknown.value.number in (1044, 1049)
    with pytest.raises(ConnectFailed) as nobody:
        await open_connection(Dsn.parse(good + ".gone", "t"), database, False, lost.append)
    assert nobody.value.thread_id is None
    if flavour == "mariadb":
        tls = f"mysql://{TCP_USER}:p%3Aw%40%2F@127.0.0.1:{mysql_server.port}/{database}?tls=required"
        with pytest.raises(ConnectFailed) as required:
            await open_connection(Dsn.parse(tls, "t"), database, False, lost.append)
        assert "TLS" in required.value.reason


async def test_a_killed_connection_is_noticed(
    mysql_server: RunningMysql, database: str, lost: list[Connection]
) -> None:
    address = Dsn.parse(dsn(mysql_server, database), "test")
    idle = await open_connection(address, database, False, lost.append)
    await asyncio.to_thread(mysql_server.query, f"KILL {idle.thread_id}")
    await gone(lost, 1)
    busy = await open_connection(address, database, False, lost.append)
    waiting = asyncio.create_task(ask(busy, "SELECT SLEEP(20)"))
    await asyncio.sleep(0.1)
    await asyncio.to_thread(mysql_server.query, f"KILL {busy.thread_id}")
    command = await waiting
    assert not command.ok
    await gone(lost, 2)
    alive = await open_connection(address, database, False, lost.append)
    done: asyncio.Future[Command] = asyncio.get_running_loop().create_future()
    alive.command(bytes((COM_PING,)), done.set_result)
    assert (await done).ok
    alive.quit()
    await gone(lost, 3)
