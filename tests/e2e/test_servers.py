"""Local servers as they really are: initialised, started, set up, killed and started again."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pymysql
import pytest

from cli.local import (
    DirectUser,
    EtcdServer,
    Flavour,
    LocalServerError,
    SchemaRun,
    connect,
    create_users,
    ensure_account,
    initialise,
    run_schema,
)
from tests.kit.proxy import Address, CutProxy
from tests.kit.servers import FLAVOURS, Running, RunningMysql, Servers, Templates, binary_of

pytestmark = pytest.mark.e2e


def test_starts_with_our_options(mysql_server: RunningMysql, flavour: Flavour) -> None:
    ((version, limit, collation, binlog, schema_on),) = mysql_server.query(
        "SELECT @@version, @@max_connections, @@collation_server, @@log_bin, @@performance_schema"
    )
    assert ("MariaDB" in version) == (flavour == "mariadb")
    assert (limit, binlog, schema_on) == (300, 0, 0)
    assert collation == {"mysql": "utf8mb4_0900_ai_ci", "mariadb": "utf8mb4_general_ci"}[flavour]
    assert mysql_server.global_status("Threads_connected") >= 1


def test_nobody_logs_in_without_a_password(mysql_server: RunningMysql) -> None:
    assert mysql_server.server.secret_file.stat().st_mode & 0o777 == 0o600
    for user in ("root", "", "sluice"):
        for where in ({"unix_socket": mysql_server.socket}, {"host": "127.0.0.1", "port": mysql_server.port}):
            with pytest.raises(pymysql.err.MySQLError):
                pymysql.connect(user=user, password="", **where)


def test_account_is_made_once(mysql_server: RunningMysql) -> None:
    assert ensure_account(mysql_server.server) == mysql_server.account


def test_lost_secret_is_explained(clean_server: Callable[..., RunningMysql], flavour: Flavour) -> None:
    running = clean_server(flavour)
    running.server.secret_file.unlink()
    with pytest.raises(LocalServerError, match="put that file back"):
        ensure_account(running.server)


def test_initialise_leaves_data_alone(mysql_server: RunningMysql, flavour: Flavour) -> None:
    before = (mysql_server.server.data / "ibdata1").stat().st_ino
    initialise(mysql_server.server)
    assert (mysql_server.server.data / "ibdata1").stat().st_ino == before
    assert not (mysql_server.server.home / "data.new").exists()


def test_direct_users(mysql_server: RunningMysql, flavour: Flavour, database: str) -> None:
    native = "*6BB4837EB74329105EE4568DDA7DC67ED2CA2AD9"  # of '123456', as MySQL's manual prints it
    users = [DirectUser("app_direct", password="it's \\ a p%ss"), DirectUser("hashed", password_hash=native)]
    left_out = create_users(mysql_server.server, users, database)
    assert left_out == (("hashed",) if flavour == "mysql" else ())
    assert create_users(mysql_server.server, users, database) == left_out
    logins = [("app_direct", "it's \\ a p%ss"), *([("hashed", "123456")] if flavour == "mariadb" else [])]
    for user, password in logins:
        cnx = pymysql.connect(
            host="127.0.0.1", port=mysql_server.port, user=user, password=password, database=database
        )
        cnx.close()
        with pytest.raises(pymysql.err.OperationalError):
            pymysql.connect(host="127.0.0.1", port=mysql_server.port, user=user, password="x")


SCHEMA = """
CREATE TABLE a (id INT PRIMARY KEY);  -- one; two
CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END;
INSERT INTO a VALUES (1), (2);

-- the end;
# of it
"""


def test_schema_runs_once(mysql_server: RunningMysql, database: str, tmp_path: Path) -> None:
    path = tmp_path / "a.sql"
    path.write_text(SCHEMA)
    assert run_schema(mysql_server.server, database, path) is SchemaRun.RAN
    assert run_schema(mysql_server.server, database, path) is SchemaRun.ALREADY
    path.write_text(SCHEMA + "CREATE TABLE b (id INT);")
    assert run_schema(mysql_server.server, database, path) is SchemaRun.CHANGED
    assert mysql_server.query("SELECT COUNT(*) FROM a", database) == [(2,)]
    assert mysql_server.query("SHOW TABLES", database) == [("a",)]


def test_failed_schema_leaves_nothing(mysql_server: RunningMysql, database: str, tmp_path: Path) -> None:
    path = tmp_path / "a.sql"
    path.write_text("CREATE TABLE a (id INT);\nCREATE TABEL b;\nCREATE TABLE c (id INT);\n")
    with pytest.raises(LocalServerError, match=r"schema a.sql, statement 2, in database 't_"):
        run_schema(mysql_server.server, database, path)
    assert mysql_server.query("SHOW TABLES", database) == []
    path.write_text("CREATE TABLE a (id INT)")
    assert run_schema(mysql_server.server, database, path) is SchemaRun.RAN


def test_failed_schema_over_rows_is_not_guessed(
    mysql_server: RunningMysql, database: str, tmp_path: Path
) -> None:
    mysql_server.query("CREATE TABLE theirs (id INT)", database)
    path = tmp_path / "a.sql"
    path.write_text("CREATE TABLE a (id INT); nonsense")
    with pytest.raises(LocalServerError, match="statement 2"):
        run_schema(mysql_server.server, database, path)
    with pytest.raises(LocalServerError, match="ran only in part"):
        run_schema(mysql_server.server, database, path)
    assert sorted(mysql_server.query("SHOW TABLES", database)) == [("a",), ("theirs",)]


def test_delimiter_is_explained(mysql_server: RunningMysql, database: str, tmp_path: Path) -> None:
    path = tmp_path / "a.sql"
    path.write_text("DELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT 1; END//\n")
    with pytest.raises(LocalServerError, match="DELIMITER is the mysql client's"):
        run_schema(mysql_server.server, database, path)


def test_killed_server_comes_back(clean_server: Callable[..., RunningMysql], flavour: Flavour) -> None:
    running = clean_server(flavour)
    running.query("CREATE DATABASE d")
    running.query("CREATE TABLE d.t (id INT PRIMARY KEY)")
    running.query("INSERT INTO d.t VALUES (1)")
    running.kill()
    with pytest.raises(LocalServerError, match="cannot log in"):
        connect(running.server)
    running.start()
    assert running.query("SELECT id FROM d.t") == [(1,)]


def test_start_that_fails_shows_the_log(servers: Servers, flavour: Flavour) -> None:
    with pytest.raises(LocalServerError, match=r"ended while starting:[\s\S]*no-such-option"):
        servers.mysql(flavour, extra=("--no-such-option=1",))


def test_long_data_dir_still_has_a_socket(tmp_path: Path, templates: Templates, flavour: Flavour) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    servers = Servers(deep, templates)
    try:
        running = servers.mysql(flavour)
        assert running.socket.startswith("/tmp/sluice-")
        assert running.query("SELECT 1") == [(1,)]
    finally:
        servers.close()
        running.server.socket.unlink(missing_ok=True)
        running.server.socket.parent.rmdir()


def test_etcd_serves_and_comes_back(clean_etcd: Callable[[], Running[EtcdServer]]) -> None:
    running = clean_etcd()
    running.kill()
    running.start()
    assert running.alive()
    running.stop()
    assert not running.alive()


def test_proxy_cuts_and_refuses(mysql_server: RunningMysql, cut_proxy: Callable[[Address], CutProxy]) -> None:
    for target in (mysql_server.socket, ("127.0.0.1", mysql_server.port)):
        proxy = cut_proxy(target)

        def login(port: int = proxy.port) -> "pymysql.connections.Connection[object]":
            return pymysql.connect(
                host="127.0.0.1",
                port=port,
                user=mysql_server.account.user,
                password="wrong",
                connect_timeout=5,
            )

        # Refused by MySQL itself; by the host where no other test's account allows this one.
        with pytest.raises(pymysql.err.OperationalError, match=r"1045|1130"):
            login()
        proxy.refuse()
        with pytest.raises(pymysql.err.OperationalError, match="2003"):
            login()
        proxy.resume()
        with pytest.raises(pymysql.err.OperationalError, match=r"1045|1130"):
            login()


def test_proxy_cut_reaches_an_idle_client(
    mysql_server: RunningMysql, cut_proxy: Callable[[Address], CutProxy], database: str
) -> None:
    create_users(mysql_server.server, [DirectUser("cut_me", password="p")], database)
    proxy = cut_proxy(("127.0.0.1", mysql_server.port))
    for reset in (False, True):
        cnx = pymysql.connect(host="127.0.0.1", port=proxy.port, user="cut_me", password="p")
        assert proxy.cut(reset=reset) == 1
        with pytest.raises(pymysql.err.MySQLError), cnx.cursor() as cursor:
            cursor.execute("SELECT 1")
        cnx.close()


_ORPHAN = """
import os, sys
from pathlib import Path
from zlib import crc32
from tests.kit.servers import Servers, Templates
home = Path(sys.argv[1])
running = Servers(home / "s", Templates(home / "t")).etcd()
print(running.pid, flush=True)
sys.stdin.read()
"""


def test_servers_die_with_a_killed_pytest(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", _ORPHAN, str(tmp_path)],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdin.close()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while _runs(pid):
        assert time.monotonic() < deadline, "etcd outlived the process that started it"
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie that nobody reaps (no init in a container) is dead all the same.
    return ") Z " not in Path(f"/proc/{pid}/stat").read_text()


def test_both_flavours_are_told_apart() -> None:
    for flavour in FLAVOURS:
        assert binary_of(flavour).flavour == flavour
