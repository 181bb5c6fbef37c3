"""What a client's capability flags ask for, as on the MySQL behind."""

from typing import Any

import pymysql
import pytest
from pymysql.constants import CLIENT, COMMAND

from tests.kit.cluster import Cluster
from wire.constants import COM_RESET_CONNECTION

pytestmark = pytest.mark.e2e

SESSION_TRACK = 1 << 23


def connect(kwargs: dict[str, Any], flags: int) -> "pymysql.Connection[Any]":
    return pymysql.connect(**kwargs, autocommit=True, charset="utf8mb4", client_flag=flags)


def test_nothing_is_told_to_others(cluster: Cluster) -> None:
    with connect(cluster.connect_kwargs(database="main"), 0) as cnx:
        cnx._execute_command(COMMAND.COM_QUERY, "USE main")
        assert len(cnx._read_packet().get_all_data()) == 7


@pytest.mark.parametrize("flags", [0, CLIENT.IGNORE_SPACE, CLIENT.INTERACTIVE])
def test_ignore_space_and_interactive(cluster: Cluster, flags: int) -> None:
    told = []
    for kwargs in (cluster.connect_kwargs(database="main"), cluster.direct_tcp("main/-")):
        with connect(kwargs, flags) as cnx, cnx.cursor() as cursor:
            cursor.execute("SELECT @@sql_mode")
            found = [cursor.fetchall()]
            try:
                cursor.execute("SELECT COUNT (*) FROM note WHERE id < 0")
                found.append(cursor.fetchall())
            except pymysql.err.Error as error:
                found.append(error.args[0])
            # MySQL applies the flag again after a reset, MariaDB does not
            cnx._execute_command(COM_RESET_CONNECTION, b"")
            cnx._read_ok_packet()
            cursor.execute("SELECT @@sql_mode")
            found.append(cursor.fetchall())
            told.append(found)
    assert told[0] == told[1]


@pytest.mark.parametrize("flags", [0, CLIENT.FOUND_ROWS])
def test_found_rows(cluster: Cluster, flags: int) -> None:
    cluster.clear("counter")
    with connect(cluster.connect_kwargs(), flags) as cnx, cnx.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO counter (id, owner, hits) VALUES {', '.join(f'({n}, {n}, 0)' for n in range(1, 21))}"
        )
        expected = 20 if flags else 0
        assert cursor.execute("UPDATE counter SET hits = 0") == expected
        assert cursor.execute("UPDATE counter SET hits = 0 WHERE id = 3") == min(expected, 1)
        cursor.execute("BEGIN")
        assert cursor.execute("UPDATE counter SET hits = 0") == expected
        cursor.execute("COMMIT")
