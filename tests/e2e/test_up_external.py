"""`clusterctl up` on a MySQL and an etcd that exist already: nothing is installed beside them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.local import Flavour
from tests.e2e.test_up import Here
from tests.kit.servers import RunningMysql, Servers
from tests.kit.told import Told
from wire.constants import CLIENT_DEPRECATE_EOF, CLIENT_SESSION_TRACK

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture
def external(servers: Servers, flavour: Flavour) -> RunningMysql:
    mysql = servers.mysql(flavour, max_connections=20, binlog=True)
    mysql.query("CREATE DATABASE shop")
    mysql.query("CREATE USER ext@'%' IDENTIFIED BY 'p@ss/word'")
    mysql.query("GRANT ALL PRIVILEGES ON shop.* TO ext@'%'")
    return mysql


@pytest.fixture
def here(tmp_path: Path, external: RunningMysql) -> Iterator[Here]:
    (tmp_path / "here").mkdir()
    one = Here(tmp_path / "here")
    dsn = f"mysql://ext:p%40ss%2Fword@127.0.0.1:{external.port}/shop"
    one.write(f'[[keyspaces.external]]\nshard = "-"\ndsn = "{dsn}"\n')
    yield one
    one.run("down", "--purge")
    assert one.left_over() == []


def test_up_on_an_external_mysql_and_etcd(here: Here, external: RunningMysql, servers: Servers) -> None:
    etcd = servers.etcd().server
    file = here.path / "cluster.toml"
    file.write_text(file.read_text() + f'[etcd]\nendpoints = ["{etcd.endpoint}"]\n')
    ran = here.run("up", "--detach")
    assert ran.returncode == 0, ran.stderr
    assert {p["role"] for p in here.status()["processes"]} == {
        "controlplane",
        "tablet",
        "router",
        "router-worker",
    }
    with here.connect() as cnx, cnx.cursor() as cursor:
        cursor.execute("INSERT INTO t VALUES (1, 'x')")
        cnx.commit()
    assert external.query("SELECT id, v FROM shop.t") == [(1, "x")]
    if external.flavour == "mysql":
        gtids_are_told(here, external)
    assert json.loads(here.run("vschema", "get", "shop").stdout) == {}
    assert here.run("down").returncode == 0
    assert here.run("up", "--detach").returncode == 0
    here.run("down", "--purge")
    assert external.query("SELECT id, v FROM shop.t") == [(1, "x")]


def gtids_are_told(here: Here, external: RunningMysql) -> None:
    """session_track_gtids, here because it takes a server with a binary log: each statement tells what it does on the
    plain server (but for how far the server has come)."""
    script = """
        SET session_track_gtids = OWN_GTID
        INSERT INTO t VALUES (10, 'x')
        INSERT INTO t VALUES (10, 'x')
        SELECT * FROM t
        BEGIN
        SET session_track_gtids = ALL_GTIDS
        UPDATE t SET v = 'y' WHERE id = 10
        SELECT * FROM t
        COMMIT
        BEGIN
        ROLLBACK
        SET session_track_gtids = ALL_GTIDS
        DELETE FROM t WHERE id = 10
        SELECT * FROM t
        SET @x = 1
        SELECT @x
        SHOW TABLES
        DO 1
        BEGIN
        SELECT * FROM t
        COMMIT
    """
    (executed,) = external.query("SELECT @@gtid_executed")
    source = str(executed[0]).partition(":")[0].encode()
    counted = re.compile(re.escape(source) + rb":[0-9-]+")
    for caps in (CLIENT_SESSION_TRACK, CLIENT_SESSION_TRACK | CLIENT_DEPRECATE_EOF):
        told = []
        for address, user, password in (
            (("127.0.0.1", here.mysql), "app", "secret"),
            (external.socket, external.account.user, external.account.password),
        ):
            with Told(address, user, password, caps) as client:
                client.ends("USE shop")
                said = [(sql.strip(), client.ends(sql.strip())) for sql in script.strip().splitlines()]
            told.append(
                [(sql, [(*end[:-1], _uncounted(counted, end[-1])) for end in ends]) for sql, ends in said]
            )
        assert [pair for pair in zip(*told, strict=True) if pair[0] != pair[1]] == []
        assert sum(b"GTIDS" in (end[-1] or b"") for _, ends in told[0] for end in ends if end[0] == "OK") > 5


def _uncounted(counted: "re.Pattern[bytes]", told: object) -> object:
    """Without the numbers, and so without the lengths in front of them."""
    if not isinstance(told, bytes):
        return told
    found = counted.search(told)
    return told if found is None else b"GTIDS" + told[found.end() :]


def test_tables_that_exist_stop_up_and_stay(here: Here, external: RunningMysql) -> None:
    external.query("CREATE TABLE shop.t (mine INT)")
    ran = here.run("up", "--detach")
    assert ran.returncode == 1
    assert "already exists" in ran.stderr.splitlines()[0]
    assert external.query("SELECT * FROM shop.t") == []
    assert here.left_over() == []


def test_a_pool_above_its_max_connections(here: Here, external: RunningMysql) -> None:
    file = here.path / "cluster.toml"
    file.write_text(file.read_text().replace("pool_size = 4", "pool_size = 21"))
    ran = here.run("up", "--detach")
    assert ran.returncode == 2
    assert "pool_size 21 is above the server's max_connections 20" in ran.stderr.splitlines()[0]
    assert not (here.path / ".sluice").exists()


def test_a_wrong_password_and_an_absent_server(here: Here, external: RunningMysql) -> None:
    file = here.path / "cluster.toml"
    good = file.read_text()
    file.write_text(good.replace("p%40ss", "wrong"))
    ran = here.run("up", "--detach")
    assert ran.returncode == 1
    assert "Access denied" in ran.stderr.splitlines()[0]
    assert "wrong" not in ran.stderr
    file.write_text(good)
    external.stop()
    ran = here.run("up", "--detach")
    assert ran.returncode == 1
    assert f"no connection to 127.0.0.1:{external.port}" in ran.stderr.splitlines()[0]
    assert not (here.path / ".sluice").exists()
