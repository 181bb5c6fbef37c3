"""Clients that compress, on the router as on the server."""

import shutil
import subprocess
from typing import Any

import pytest

from tests.kit.cluster import PASSWORD, USER, Cluster
from tests.kit.drivers import connect, fetch

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("driver", ["connector", "mysqlclient"])
@pytest.mark.parametrize("tls", [True, False])
def test_drivers(cluster: Cluster, driver: str, tls: bool) -> None:
    more: dict[str, Any] = {"compress": True}
    cnx = connect(driver, cluster.connect_kwargs(), tls=tls, **more)
    assert fetch(cnx, "SELECT 1") == [(1,)]
    ((answer,),) = fetch(cnx, "SELECT REPEAT('sluice ', 500000)")
    assert answer == "sluice " * 500_000
    ((size,),) = fetch(cnx, f"SELECT LENGTH('{'x' * 3_000_000}')")
    assert size == 3_000_000
    rows = fetch(cnx, "SELECT sku, description FROM product ORDER BY sku")
    assert len(rows) == 5
    with pytest.raises(Exception, match="nosuch"):
        fetch(cnx, "SELECT nosuch FROM product")
    assert fetch(cnx, "SELECT 2") == [(2,)]
    if driver == "mysqlclient":
        cnx.change_user("hashed", "hashed", "main")
        ((user,),) = fetch(cnx, "SELECT CURRENT_USER()")
        assert user.startswith("hashed@")
    cnx.close()


@pytest.mark.parametrize(
    ("client", "option"),
    [("mysql", "--compression-algorithms=zlib"), ("mysql", "--compress"), ("mariadb", "--compress")],
)
def test_command_line_clients(cluster: Cluster, client: str, option: str) -> None:
    path = shutil.which(client)
    if path is None:
        pytest.skip(f"there is no {client} here")
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    if "algorithms" in option and "MariaDB" in said:
        pytest.skip("MariaDB's client has no such option")
    argv = [
        path,
        "--no-defaults",
        "-h",
        "127.0.0.1",
        "-P",
        str(cluster.port),
        "-u",
        USER,
        f"-p{PASSWORD}",
        option,
    ]
    sql = "SELECT 1; SELECT REPEAT('y', 100000) AS x; SELECT COUNT(*) FROM product"
    ran = subprocess.run(
        [*argv, "-N", "commerce", "-e", sql], capture_output=True, text=True, timeout=30, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["1", "y" * 100_000, "5"]
