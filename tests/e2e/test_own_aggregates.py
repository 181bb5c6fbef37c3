"""Aggregate functions that users have stored: right where each group lies on one shard, else refused."""

from typing import Any

import pymysql
import pytest

from tests.kit.cluster import Cluster

pytestmark = pytest.mark.e2e

TOTAL = """CREATE AGGREGATE FUNCTION own_total(x BIGINT) RETURNS BIGINT
BEGIN
  DECLARE total BIGINT DEFAULT 0;
  DECLARE CONTINUE HANDLER FOR NOT FOUND RETURN total;
  LOOP FETCH GROUP NEXT ROW; SET total = total + x; END LOOP;
END"""
ROWS = "INSERT INTO counter (id, owner, hits) VALUES " + ", ".join(f"({i}, 1, {i * 10})" for i in range(1, 7))
RIGHT = (
    "SELECT id, own_total(hits) FROM counter GROUP BY id ORDER BY id",
    "SELECT own_total(hits) FROM counter WHERE id = 3",
    "SELECT SUM(hits) FROM counter",
)
REFUSED = (
    "SELECT own_total(hits) FROM counter",
    "SELECT own_total(hits) + 1 FROM counter",
    "SELECT DISTINCT own_total(hits) FROM counter LIMIT 1",
    "SELECT hits % 20 AS odd, own_total(hits) FROM counter GROUP BY odd",
    "SELECT * FROM (SELECT own_total(hits) AS t FROM counter) AS d",
    "INSERT INTO counter (id, owner) SELECT own_total(hits), 1 FROM counter",
)


def asked(cnx: "pymysql.Connection[Any]", sql: str) -> Any:
    with cnx.cursor() as cursor:
        try:
            cursor.execute(sql)
            return list(cursor.fetchall())
        except pymysql.err.MySQLError as error:
            return error.args[0]


def test_over_shards(cluster: Cluster) -> None:
    if cluster.flavour == "mysql":
        pytest.skip("stored aggregate functions are MariaDB's")
    cluster.clear("counter")
    with cluster.connect() as cnx:
        try:
            assert asked(cnx, TOTAL) == []
            asked(cnx, ROWS)
            assert [asked(cnx, sql) for sql in RIGHT] == [
                [(i, i * 10) for i in range(1, 7)],
                [(30,)],
                [(210,)],
            ]
            assert [(sql, asked(cnx, sql)) for sql in REFUSED] == [(sql, 1235) for sql in REFUSED]
            asked(cnx, "BEGIN")
            asked(cnx, "UPDATE counter SET hits = hits + 1 WHERE id IN (1, 2, 3, 4)")
            assert asked(cnx, REFUSED[0]) == 1235
            assert asked(cnx, "SELECT SUM(hits) FROM counter") == [(214,)]  # the transaction still stands
            asked(cnx, "ROLLBACK")
        finally:
            asked(cnx, "DROP FUNCTION own_total")
            cluster.clear("counter")
