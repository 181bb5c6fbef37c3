"""Views in a sharded keyspace: their rows are those of their query over all shards."""

from collections.abc import Iterator
from typing import Any

import pymysql
import pytest

from tests.kit.cluster import Cluster
from tests.kit.drivers import connect, error_of, fetch, run

pytestmark = pytest.mark.e2e

VIEWS = {
    "seen_plain": ("", "SELECT id, hits FROM counter WHERE hits > 1"),
    "seen_sums": (" (parity, total)", "SELECT owner % 2, SUM(hits) FROM counter GROUP BY owner % 2"),
    "seen_top": ("", "SELECT s.id AS number FROM seen_plain s ORDER BY s.hits DESC, s.id LIMIT 3"),
}


@pytest.fixture
def session(cluster: Cluster) -> Iterator[Any]:
    cluster.clear("counter")
    with cluster.connect() as cnx:
        run(cnx, "INSERT INTO counter VALUES " + ", ".join(f"({n}, {n}, {n % 7})" for n in range(1, 41)))
        for name, (columns, query) in VIEWS.items():
            run(cnx, f"CREATE OR REPLACE VIEW {name}{columns} AS {query}")
        try:
            yield cnx
        finally:
            run(cnx, "DROP VIEW IF EXISTS seen_plain, seen_sums, seen_top")
            cluster.clear("counter")


def test_rows_of_views(session: Any, cluster: Cluster) -> None:
    seen = [n % 7 for n in range(1, 41) if n % 7 > 1]
    odd, even = (sum(n % 7 for n in range(first, 41, 2)) for first in (1, 2))
    assert fetch(session, "SELECT COUNT(*), SUM(hits) FROM seen_plain") == [(len(seen), sum(seen))]
    assert fetch(session, "SELECT * FROM seen_sums ORDER BY parity DESC") == [(1, odd), (0, even)]
    assert fetch(session, "SELECT number FROM seen_top ORDER BY 1") == [(6,), (13,), (20,)]
    joined = "SELECT v.id, t.total FROM seen_plain AS v JOIN commerce.seen_sums t ON t.parity = v.id % 2 WHERE v.id = 9"
    assert fetch(session, joined) == [(9, odd)]
    with connect("connector", cluster.connect_kwargs()) as cnx, cnx.cursor(prepared=True) as cursor:
        cursor.execute("SELECT hits FROM seen_plain WHERE id = ?", (9,))
        assert cursor.fetchall() == [(2,)]


def test_a_view_that_changes_is_read_as_it_is_now(session: Any, cluster: Cluster) -> None:
    assert fetch(session, "SELECT * FROM seen_plain WHERE id = 9") == [(9, 2)]
    with cluster.connect() as other:
        run(other, "ALTER VIEW seen_plain AS SELECT hits, id FROM counter")
    assert fetch(session, "SELECT * FROM seen_plain WHERE id = 9") == [(2, 9)]


def test_what_is_no_view_is_unknown(session: Any) -> None:
    for sql in ("SELECT * FROM seen_nothing", "SELECT * FROM seen_plain JOIN seen_nothing ON 1"):
        with pytest.raises(pymysql.err.ProgrammingError) as caught:
            fetch(session, sql)
        number, text = error_of(caught.value)
        assert number == 1146
        assert text.startswith("Table 'commerce.seen_nothing' doesn't exist") or "JOIN" in sql
