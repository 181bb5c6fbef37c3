"""LAST_INSERT_ID() and ROW_COUNT() after whatever inserts: through the router as on the plain server, by scripts."""

from contextlib import closing
from pathlib import Path
from typing import Any, Final

import mysql.connector
import pymysql
import pytest
from pymysql.constants import CLIENT

from tests.kit.cluster import Cluster

pytestmark = pytest.mark.e2e

TABLES: Final = {
    "ids": "(id INT AUTO_INCREMENT PRIMARY KEY, a INT UNIQUE, b VARCHAR(40) DEFAULT 'x')",
    "ids_plain": "(a INT PRIMARY KEY, b INT)",
    "ids_child": "(id INT AUTO_INCREMENT PRIMARY KEY, a INT, b INT)",
}
SCRIPTS: Final = {
    "given": """
        INSERT INTO ids (id, a) VALUES (50, 1)
        INSERT INTO ids (a) VALUES (2)
        INSERT INTO ids (id, a) VALUES (70, 3)
        INSERT INTO ids VALUES (80, 4, 'z')
        INSERT INTO ids (id, a) VALUES (40 + 50, 5)
        INSERT INTO ids SET id = 95, a = 6
        INSERT INTO ids (id, a) VALUES ('97', 7)
        INSERT INTO ids (id, a) VALUES (98.4, 8)
        INSERT INTO ids (id, a) VALUES (0x63, 9)
        INSERT INTO ids (id, a) VALUES ('1' '01', 10)
        INSERT INTO ids (id, a) VALUES (-5, 11)
        SET sql_mode = ''
        INSERT INTO ids (id, a) VALUES (99999999999, 12)
    """,
    "generated": """
        INSERT INTO ids (a) VALUES (1)
        INSERT INTO ids (id, a) VALUES (NULL, 2)
        INSERT INTO ids (id, a) VALUES (DEFAULT, 3)
        INSERT INTO ids (id, a) VALUES (0, 4)
        INSERT INTO ids () VALUES ()
        INSERT INTO ids (a) VALUES (6), (7)
        INSERT INTO ids (a, b) VALUES (8, NOW())
        INSERT INTO ids_child (a, b) VALUES (LAST_INSERT_ID(), 1), (LAST_INSERT_ID(), 2)
        INSERT INTO ids_child (a, b) VALUES (1, 2), (3, 4)
    """,
    "mixed": """
        INSERT INTO ids (id, a) VALUES (10, 1), (NULL, 2), (20, 3)
        INSERT INTO ids (id, a) VALUES (30, 4), (40, 5)
        INSERT INTO ids (id, a) VALUES (NULL, 6), (60, 7)
        INSERT INTO ids (id, a) VALUES (0, 8), (80, 9)
        SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'
        INSERT INTO ids (id, a) VALUES (0, 10)
        INSERT INTO ids (id, a) VALUES (NULL, 11)
        INSERT INTO ids (id, a) VALUES (200, 12), (NULL, 13)
    """,
    "upserts": """
        INSERT INTO ids (a) VALUES (1)
        INSERT INTO ids (a) VALUES (2)
        INSERT INTO ids (a) VALUES (1) ON DUPLICATE KEY UPDATE b = 'y'
        INSERT INTO ids (a) VALUES (1) ON DUPLICATE KEY UPDATE b = 'y'
        INSERT INTO ids (a) VALUES (3) ON DUPLICATE KEY UPDATE b = 'y'
        INSERT INTO ids (a) VALUES (1) ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id), b = 'w'
        INSERT INTO ids (a) VALUES (2) ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id)
        INSERT INTO ids (a) VALUES (9), (1), (10) ON DUPLICATE KEY UPDATE b = 'q'
        INSERT INTO ids (a) VALUES (1), (2) ON DUPLICATE KEY UPDATE b = 'qq'
        INSERT INTO ids (id, a) VALUES (77, 1) ON DUPLICATE KEY UPDATE b = 'r'
        INSERT INTO ids (id, a) VALUES (78, 20) ON DUPLICATE KEY UPDATE b = 'r'
        INSERT INTO ids (a) VALUES (30) ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id)
    """,
    "replace and ignore": """
        REPLACE INTO ids (a) VALUES (1)
        REPLACE INTO ids (a) VALUES (1)
        REPLACE INTO ids (id, a) VALUES (50, 1)
        REPLACE INTO ids (a) VALUES (1), (7)
        INSERT IGNORE INTO ids (a) VALUES (1)
        INSERT IGNORE INTO ids (a) VALUES (1), (2)
        INSERT IGNORE INTO ids (a) VALUES (3), (1)
        INSERT IGNORE INTO ids (id, a) VALUES (90, 1)
        INSERT IGNORE INTO ids (id, a) VALUES (91, 90), (92, 1)
    """,
    "select": """
        INSERT INTO ids (a) VALUES (1)
        INSERT INTO ids_plain VALUES (10, 1), (11, 2)
        INSERT INTO ids (a) SELECT a FROM ids_plain
        SELECT FOUND_ROWS()
        INSERT INTO ids (id, a) SELECT a * 10, a + 100 FROM ids_plain
        INSERT INTO ids (a) SELECT a FROM ids_plain WHERE a > 100
        SELECT FOUND_ROWS()
        INSERT INTO ids_plain SELECT id + 1000, a FROM ids
        CREATE TABLE ids_made (id INT AUTO_INCREMENT PRIMARY KEY, a INT) SELECT a FROM ids_plain
        DROP TABLE ids_made
        CREATE TEMPORARY TABLE ids_made (id INT AUTO_INCREMENT PRIMARY KEY, a INT) SELECT a FROM ids_plain LIMIT 1
        INSERT INTO ids_made (id, a) VALUES (17, 1)
        INSERT INTO ids_made (a) VALUES (17)
        DROP TABLE ids_made
    """,
    "failed": """
        INSERT INTO ids (a) VALUES (1)
        INSERT INTO ids (a) VALUES (2)
        INSERT INTO ids (a) VALUES (1)
        INSERT INTO ids (a) VALUES (7), (8), (1)
        INSERT INTO ids (id, a) VALUES (50, 9), (51, 1)
        INSERT INTO ids (a) VALUES (1), (20)
        INSERT INTO ids_nosuch VALUES (1)
        INSERT INTO ids (a) SELECT 30 UNION ALL SELECT 31 UNION ALL SELECT 1
    """,
    "procedures": """
        INSERT INTO ids (a) VALUES (1)
        CALL ids_say()
        CALL ids_add(5)
        CALL ids_add(5)
        CALL ids_say()
        SELECT LAST_INSERT_ID(0)
        CALL ids_say()
        SET @a = 6
        CALL ids_add(@a)
    """,
    "by hand": """
        UPDATE ids SET a = LAST_INSERT_ID(a + 1)
        INSERT INTO ids (a) VALUES (1)
        UPDATE ids SET a = LAST_INSERT_ID(a + 1)
        UPDATE ids SET a = LAST_INSERT_ID(a) WHERE id = 77
        SELECT LAST_INSERT_ID(5)
        SELECT a, LAST_INSERT_ID(9) FROM ids
        INSERT INTO ids_plain VALUES (1, 1)
        UPDATE ids SET b = 'q'
        SET last_insert_id = 9
        SELECT LAST_INSERT_ID()
        SET @@identity = 19
        SELECT @@last_insert_id, @@identity
        DELETE FROM ids WHERE a = LAST_INSERT_ID(99)
        DO LAST_INSERT_ID(44)
        SET @x = LAST_INSERT_ID(45)
        INSERT INTO ids_plain VALUES (LAST_INSERT_ID(70), 5)
        INSERT INTO ids_child (id, a) VALUES (LAST_INSERT_ID(90), 5)
        INSERT INTO ids_child (id, a) VALUES (NULL, LAST_INSERT_ID(100)), (NULL, LAST_INSERT_ID(200))
    """,
    "transactions": """
        BEGIN
        INSERT INTO ids (a) VALUES (1)
        INSERT INTO ids (id, a) VALUES (50, 2)
        ROLLBACK
        INSERT INTO ids (a) VALUES (2)
        BEGIN
        UPDATE ids SET a = LAST_INSERT_ID(70)
        INSERT INTO ids_child (id, a) VALUES (70, 4)
        INSERT INTO ids_child (a) VALUES (70)
        COMMIT
    """,
    "text PREPARE": """
        PREPARE ids FROM 'INSERT INTO ids (id, a) VALUES (?, ?)'
        SET @i = 50, @a = 1
        EXECUTE ids USING @i, @a
        SET @i = NULL, @a = 2
        EXECUTE ids USING @i, @a
        SET @i = 90, @a = 3
        EXECUTE ids USING @i, @a
    """,
}
MARIADB: Final = {
    "returning": """
        INSERT INTO ids (a) VALUES (1) RETURNING id
        INSERT INTO ids (id, a) VALUES (50, 2) RETURNING id
        INSERT INTO ids (a) VALUES (3), (4) RETURNING id, LAST_INSERT_ID()
        REPLACE INTO ids (a) VALUES (3) RETURNING id
        INSERT INTO ids (a) VALUES (3) RETURNING id
    """
}


class Place:
    """One of the two servers, with the tables empty."""

    def __init__(self, kwargs: dict[str, Any]) -> None:
        self.kwargs = kwargs
        flags = CLIENT.MULTI_STATEMENTS
        self.cnx = pymysql.connect(**kwargs, autocommit=True, local_infile=True, client_flag=flags)

    def say(self, sql: str) -> tuple[Any, ...]:
        """Everything the server says to it, and what is known afterwards."""
        with self.cnx.cursor() as cursor:
            try:
                said: list[Any] = [cursor.execute(sql), cursor.lastrowid, cursor.fetchall()]
                while cursor.nextset():
                    said += [cursor.lastrowid, cursor.fetchall()]
            except pymysql.err.MySQLError as error:
                said = [error.args[0]]
            cursor.execute("SELECT ROW_COUNT(), LAST_INSERT_ID(), @@last_insert_id, @@identity")
            return (sql, *said, *cursor.fetchall())


@pytest.fixture(scope="module")
def places(cluster: Cluster) -> Any:
    """How to reach the plain server and the router."""
    cluster.query(f"DROP TABLE IF EXISTS {', '.join(TABLES)}", database="main")
    for name, columns in TABLES.items():
        cluster.query(f"CREATE TABLE {name} {columns}", database="main")
    cluster.query("CREATE PROCEDURE ids_add(v INT) INSERT INTO ids (a) VALUES (v)", database="main")
    cluster.query("CREATE PROCEDURE ids_say() SELECT LAST_INSERT_ID()", database="main")
    yield cluster.direct_tcp("main/-"), cluster.connect_kwargs(database="main")
    cluster.query(f"DROP TABLE {', '.join(TABLES)}", database="main")
    for name in ("ids_add", "ids_say"):
        cluster.query(f"DROP PROCEDURE {name}", database="main")


def _told(cluster: Cluster, kwargs: dict[str, Any], script: str) -> list[Any]:
    with pymysql.connect(**cluster.direct("main/-")) as cnx, cnx.cursor() as cursor:
        for name in TABLES:
            cursor.execute(f"{'DELETE FROM' if name == 'ids_plain' else 'TRUNCATE'} {name}")
    place = Place(kwargs)
    with closing(place.cnx):
        return [place.say(line.strip()) for line in script.strip().splitlines()]


def test_scripts(cluster: Cluster, places: Any) -> None:
    wrong = []
    for script in (*SCRIPTS.values(), *(MARIADB if cluster.flavour == "mariadb" else {}).values()):
        plain, routed = (_told(cluster, kwargs, script) for kwargs in places)
        wrong += [pair for pair in zip(plain, routed, strict=True) if pair[0] != pair[1]]
    assert wrong == []


def test_other_sessions_ids_are_not_taken_for_own(cluster: Cluster, places: Any) -> None:
    """Another session leaves an id on the connection that the statement names too."""
    cluster.query_direct("main/-", "TRUNCATE ids")
    cluster.query_direct("main/-", "TRUNCATE ids_child")
    with closing(Place(places[1]).cnx) as one:
        for number in range(1, 6):
            other = Place(places[1])
            with closing(other.cnx), one.cursor() as cursor:
                cursor.execute(f"INSERT INTO ids (a) VALUES ({number})")
                given = other.say(f"INSERT INTO ids_child (id, a) VALUES ({number}, 1)")
                assert (*given[1:3], given[-1]) == (1, number, (1, 0, 0, 0))
                cursor.execute("SELECT LAST_INSERT_ID()")
                assert cursor.fetchall() == ((number,),)


def test_prepared_executions(cluster: Cluster, places: Any) -> None:
    found = []
    for kwargs in places:
        cluster.query_direct("main/-", "TRUNCATE ids")
        said: list[Any] = []
        more = {"autocommit": True, "use_pure": True, "charset": "utf8mb4", "collation": "utf8mb4_general_ci"}
        with closing(mysql.connector.connect(**kwargs, **more)) as cnx:
            cursor = cnx.cursor(prepared=True)
            insert = "INSERT INTO ids (id, a, b) VALUES (%s, %s, %s)"
            for values in ((None, 1, "5"), (50, 2, "x"), (None, 51, "51"), (60.0, 4, None), ("61", 5, "")):
                cursor.execute(insert, values)
                said.append((cursor.lastrowid, cursor.rowcount))
                cursor.execute("SELECT LAST_INSERT_ID(), ROW_COUNT()")
                said += cursor.fetchall()
        found.append(said)
    assert found[0] == found[1]


def test_several_statements_and_files(cluster: Cluster, places: Any, tmp_path: Path) -> None:
    file = tmp_path / "rows"
    file.write_text("\\N\t1\n30\t2\n\\N\t3\n")
    given = tmp_path / "given"
    given.write_text("40\t5\n41\t6\n")
    load = "LOAD DATA LOCAL INFILE '{}' INTO TABLE ids (id, a)"
    script = "\n".join(
        (
            "INSERT INTO ids (a) VALUES (10); INSERT INTO ids (id, a) VALUES (20, 11); SELECT LAST_INSERT_ID()",
            "INSERT INTO ids (id, a) VALUES (21, 12); INSERT INTO ids (a) VALUES (13); SELECT ROW_COUNT()",
            load.format(file),
            load.format(given),
        )
    )
    cluster.query_direct("main/-", "SET GLOBAL local_infile = 1")
    plain, routed = (_told(cluster, kwargs, script) for kwargs in places)
    assert routed == plain


def test_ids_of_a_sequence(cluster: Cluster) -> None:
    """The router makes them, on several shards too; what the shards say of ids that were given is another matter."""
    cluster.clear("customer")
    place = Place(cluster.connect_kwargs())
    insert = "INSERT INTO customer (customer_id, name, country) VALUES "

    def told(sql: str) -> tuple[int, int]:
        """Its affected rows or error, and LAST_INSERT_ID() then."""
        said = place.say(sql)
        return said[1], said[-1][1]

    with closing(place.cnx):
        affected, first = told("INSERT INTO customer (name, country) VALUES ('a', 'GB')")
        assert (affected, first >= 1_000_000) == (1, True)
        assert told(insert + "(5, 'b', 'GB')") == (1, first)
        assert told(insert + "(16, 'c', 'GB'), (17, 'd', 'GB'), (18, 'e', 'GB'), (19, 'f', 'GB')") == (
            4,
            first,
        )
        assert told(insert + "(26, 'g', 'GB'), (17, 'd', 'GB'), (28, 'h', 'GB')") == (1062, first)
        affected, second = told(insert + "(NULL, 'i', 'GB'), (35, 'j', 'GB'), (NULL, 'k', 'GB')")
        assert (affected, second > first) == (3, True)
        assert told(insert + "(5, 'b', 'GB') ON DUPLICATE KEY UPDATE name = 'l'") == (2, second)
        assert told("UPDATE customer SET balance = LAST_INSERT_ID(7) WHERE customer_id = 5") == (1, 7)
        assert told(insert + "(LAST_INSERT_ID(), 'm', 'GB')") == (1, 7)
    cluster.clear("customer")
