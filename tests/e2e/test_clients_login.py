"""Logging in, and the commands beside queries, with PyMySQL, mysql-connector-python, mysqlclient and `mysql`."""

import shutil
import ssl
import subprocess
from typing import Any

import mysql.connector
import pytest

from tests.kit.cluster import PASSWORD, USER, Cluster
from tests.kit.drivers import DRIVERS, ERRORS, connect, error_of, fetch

pytestmark = pytest.mark.e2e

each_driver = pytest.mark.parametrize("driver", DRIVERS)


@each_driver
@pytest.mark.parametrize("tls", [None, True, False])
def test_login(cluster: Cluster, driver: str, tls: bool | None) -> None:
    cnx = connect(driver, cluster.connect_kwargs(), tls=tls)
    assert fetch(cnx, "SELECT DATABASE(), CONNECTION_ID() > 0") == [("commerce", 1)]
    if tls is not None and driver == "pymysql":
        assert isinstance(cnx._sock, ssl.SSLSocket) is tls
        cipher = cnx._sock.cipher()[0] if tls else ""
        assert fetch(cnx, "SHOW STATUS LIKE 'Ssl_cipher'") == [("Ssl_cipher", cipher)]
    cnx.close()


@each_driver
def test_the_version_is_that_of_the_server_behind(cluster: Cluster, driver: str) -> None:
    cnx = connect(driver, cluster.connect_kwargs())
    ((version,),) = fetch(cnx, "SELECT VERSION()")
    ((behind,),) = cluster.query_direct("commerce/-80", "SELECT VERSION()")
    assert version == f"{behind}-Sluice"
    greeted = cnx.get_server_info() if driver != "connector" else cnx.server_info
    assert greeted.removeprefix("5.5.5-") == version
    cnx.close()


@each_driver
def test_without_a_database(cluster: Cluster, driver: str) -> None:
    cnx = connect(driver, cluster.connect_kwargs(user="nodb", password="", database=None))
    assert fetch(cnx, "SELECT DATABASE()") == [(None,)]
    assert fetch(cnx, "SELECT 1 + 1") == [(2,)]
    with pytest.raises(ERRORS) as caught:
        fetch(cnx, "SELECT * FROM nosuchtable")
    assert error_of(caught.value)[0] == 1046
    assert fetch(cnx, "SELECT COUNT(*) FROM product") == [(5,)]  # only one keyspace has a table of that name
    assert fetch(cnx, "SELECT COUNT(*) FROM commerce.customer WHERE customer_id = -1") == [(0,)]
    cnx.close()


@each_driver
@pytest.mark.parametrize(
    ("wrong", "number"),
    [
        ({"password": "wrong"}, 1045),
        ({"password": ""}, 1045),
        ({"user": "nosuch"}, 1045),
        ({"user": "nodb", "password": "not empty"}, 1045),
        ({"database": "nosuch"}, 1049),
        ({"database": "commerce:-40"}, 1049),
    ],
)
def test_refused(cluster: Cluster, driver: str, wrong: dict[str, Any], number: int) -> None:
    with pytest.raises(ERRORS) as caught:
        connect(driver, cluster.connect_kwargs(**wrong))
    found, text = error_of(caught.value)
    assert found == number
    direct = cluster.direct_tcp("commerce/-80")
    if "user" not in wrong and number == 1045:
        with pytest.raises(ERRORS) as plain:
            connect(driver, {**direct, **wrong})
        assert error_of(plain.value) == (found, text)


@pytest.mark.parametrize("plugin", ["mysql_native_password", "caching_sha2_password"])
@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("password", [PASSWORD, "wrong"])
def test_plugins(cluster: Cluster, plugin: str, tls: bool, password: str) -> None:
    kwargs = cluster.connect_kwargs(password=password, auth_plugin=plugin)
    for _ in range(2):  # the second login may take caching_sha2's fast way
        if password != PASSWORD:
            with pytest.raises(mysql.connector.Error) as caught:
                connect("connector", kwargs, tls=tls)
            assert caught.value.errno == 1045
            continue
        cnx = connect("connector", kwargs, tls=tls)
        assert fetch(cnx, "SELECT 1") == [(1,)]
        cnx.close()


@each_driver
def test_a_user_known_by_hash(cluster: Cluster, driver: str) -> None:
    kwargs = cluster.connect_kwargs(user="hashed", password="hashed")
    cnx = connect(driver, kwargs)
    ((user,),) = fetch(cnx, "SELECT CURRENT_USER()")
    assert user.startswith("hashed@")
    cnx.close()
    with pytest.raises(ERRORS):
        connect(driver, {**kwargs, "password": "Hashed"})


@each_driver
def test_ping(cluster: Cluster, driver: str) -> None:
    cnx = connect(driver, cluster.connect_kwargs())
    cnx.ping(False) if driver != "mysqlclient" else cnx.ping()
    assert fetch(cnx, "SELECT 1") == [(1,)]
    cnx.close()


@each_driver
def test_init_db(cluster: Cluster, driver: str) -> None:
    cnx = connect(driver, cluster.connect_kwargs())
    select = cnx.cmd_init_db if driver == "connector" else cnx.select_db
    select("main")
    assert fetch(cnx, "SELECT DATABASE()") == [("main",)]
    with pytest.raises(ERRORS) as caught:
        select("nosuch")
    assert error_of(caught.value)[0] == 1049
    assert fetch(cnx, "SELECT DATABASE()") == [("main",)]
    select("commerce:80-")
    assert fetch(cnx, "SELECT COUNT(*) FROM product") == [(5,)]
    cnx.close()


def test_reset_connection(cluster: Cluster) -> None:
    cnx = connect("connector", cluster.connect_kwargs())
    assert fetch(cnx, "SET @kept = 1, sql_mode = 'ANSI', autocommit = 0") == []
    fetch(cnx, "INSERT INTO main.note (id, body) VALUES (900001, 'rolled back')")
    cnx.cmd_reset_connection()
    assert fetch(cnx, "SELECT @kept, @@autocommit") == [(None, 1)]
    ((mode,),) = fetch(cnx, "SELECT @@sql_mode")
    assert "ANSI" not in mode.split(",")
    assert fetch(cnx, "SELECT COUNT(*) FROM main.note WHERE id = 900001") == [(0,)]
    cnx.close()


@each_driver
def test_change_user(cluster: Cluster, driver: str) -> None:
    cnx = connect(driver, cluster.connect_kwargs())
    fetch(cnx, "SET @kept = 1")
    if driver == "pymysql":
        cnx.close()
        pytest.skip("PyMySQL has no change_user")
    change_user = cnx.cmd_change_user if driver == "connector" else cnx.change_user
    change_user("hashed", "hashed", "main")
    ((user, database, kept),) = fetch(cnx, "SELECT CURRENT_USER(), DATABASE(), @kept")
    assert (user.split("@")[0], database, kept) == ("hashed", "main", None)
    with pytest.raises(ERRORS) as caught:
        change_user(USER, "wrong", "main")
    assert error_of(caught.value)[0] == 1045
    cnx.close()


def test_the_mysql_client(cluster: Cluster) -> None:
    """The session of the README."""
    mysql = shutil.which("mysql") or shutil.which("mariadb")
    if mysql is None:
        pytest.skip("there is no mysql client here")
    argv = [mysql, "--no-defaults", "-h", "127.0.0.1", "-P", str(cluster.port), "-u", USER, f"-p{PASSWORD}"]
    script = "SELECT 1; SHOW TABLES; USE main; SHOW DATABASES; SELECT DATABASE();\nDELIMITER //\nSELECT 2//\n"
    ran = subprocess.run(
        [*argv, "commerce"], input=script, capture_output=True, text=True, timeout=30, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert {"customer", "orders", "commerce", "main"} <= set(ran.stdout.split())
    ran = subprocess.run([*argv, "-e", "status"], capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "-Sluice" in ran.stdout
