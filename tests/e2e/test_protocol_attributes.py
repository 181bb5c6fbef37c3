"""Query attributes and connection attributes: read right, whatever comes with them, and dropped."""

import pymysql
import pytest

from tests.kit.cluster import Cluster
from tests.kit.drivers import connect, fetch

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("prepared", [False, True])
def test_statements_with_attributes(cluster: Cluster, prepared: bool) -> None:
    cnx = connect("connector", cluster.connect_kwargs())
    plain = cnx.cursor()
    plain.execute("DELETE FROM counter")
    cursor = cnx.cursor(prepared=prepared)
    for number in range(1, 7):
        cursor.clear_attributes()
        for at in range(number % 3):
            cursor.add_attribute(f"größe{at}", (7, "seven", None)[at])
        cursor.execute("INSERT INTO counter (id, owner) VALUES (%s, %s)", (number, number * 10))
        cursor.execute("SELECT owner, %s FROM counter WHERE id = %s", ("ö?'", number))
        assert cursor.fetchall() == [(number * 10, "ö?'")]
    cursor.add_attribute("n", 5)
    cursor.execute("SELECT COUNT(*) FROM counter")
    assert cursor.fetchall() == [(6,)]
    plain.execute("DELETE FROM counter")
    cnx.close()


def test_connection_attributes_are_bounded(cluster: Cluster) -> None:
    cnx = connect("pymysql", cluster.connect_kwargs(), program_name="x" * 60_000)
    assert fetch(cnx, "SELECT 1") == [(1,)]
    cnx.close()
    with pytest.raises(pymysql.err.OperationalError, match="Bad handshake"):
        connect("pymysql", cluster.connect_kwargs(), program_name="x" * 66_000)
