"""JSON_TABLE beside sharded tables: as on one server."""

import pytest

from tests.kit.both import both_places
from tests.kit.cluster import Cluster
from tests.kit.drivers import fetch

pytestmark = pytest.mark.e2e

OF_ROW = "JSON_TABLE(e.js, '$[*]' COLUMNS (n FOR ORDINALITY, v INT PATH '$' NULL ON ERROR)) AS j"
VALUES = "'$[*]' COLUMNS (v INT PATH '$')"
NESTED = (
    "'$[*]' COLUMNS (v VARCHAR(9) PATH '$.x' DEFAULT '9' ON EMPTY, NESTED PATH '$' COLUMNS (w INT PATH '$'))"
)
READS = (
    f"SELECT e.id, j.n, j.v FROM everything e, {OF_ROW} WHERE e.id = 1 ORDER BY n",
    f"SELECT e.id, n, v FROM everything e JOIN {OF_ROW} ORDER BY id, n",
    f"SELECT e.id, n, v FROM everything e LEFT JOIN {OF_ROW} ON TRUE ORDER BY e.id, n LIMIT 4",
    f"SELECT COUNT(*), SUM(v), MAX(n) FROM everything e JOIN {OF_ROW}",
    f"SELECT v, COUNT(*) FROM everything e JOIN {OF_ROW} GROUP BY v ORDER BY v DESC",
    f"SELECT e.id, v, RANK() OVER (ORDER BY v, e.id, n) FROM everything e JOIN {OF_ROW} ORDER BY 3",
    f"SELECT e.id, v FROM JSON_TABLE('[1,4]', {VALUES}) AS j JOIN everything e ON e.id = v ORDER BY 1",
    f"SELECT e.id, v FROM JSON_TABLE('[1,77]', {VALUES}) AS j LEFT JOIN everything e ON e.id = v ORDER BY v",
    f"SELECT id FROM everything WHERE it IN (SELECT v FROM JSON_TABLE('[1,3]', {VALUES}) AS j) ORDER BY 1",
    f"SELECT id FROM everything e WHERE EXISTS (SELECT 1 FROM JSON_TABLE(e.js, {VALUES}) AS j WHERE v > 2) ORDER BY 1",
    "SELECT v FROM JSON_TABLE('[1,3]', '$[*]' COLUMNS (v DECIMAL(10, 2) PATH '$')) AS j ORDER BY v",
    f"SELECT id, v FROM everything e JOIN JSON_TABLE(e.js, {NESTED}) AS j ORDER BY id, w",
)


def test_rows_of_json_are_where_their_row_is(cluster: Cluster) -> None:
    with both_places(cluster, "plain_json_table", ("everything",)) as both:
        both.write(
            "INSERT INTO everything (id, it, js) VALUES (1, 1, '[1,2]'), (4, 2, '[3]'), (5, 3, NULL), (2, 7, '[]'),"
            " (9, 3, '[4,6]')"
        )
        for sql in READS:
            assert fetch(both.sharded, sql) == fetch(both.plain, sql), sql
