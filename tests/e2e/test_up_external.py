"""`clusterctl up` on a MySQL and an etcd that exist already: nothing is installed beside them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.local import Flavour
from tests.e2e.test_up import Here
from tests.kit.servers import RunningMysql, Servers

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture
def external(servers: Servers, flavour: Flavour) -> RunningMysql:
    mysql = servers.mysql(flavour, max_connections=20)
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
    assert json.loads(here.run("vschema", "get", "shop").stdout) == {}
    assert here.run("down").returncode == 0
    assert here.run("up", "--detach").returncode == 0
    here.run("down", "--purge")
    assert external.query("SELECT id, v FROM shop.t") == [(1, "x")]


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
