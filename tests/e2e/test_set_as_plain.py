"""SET through the router against SET on the plain server: the same statements, then the same questions."""

from typing import Any

import pymysql
import pytest

from tests.kit.cluster import Cluster

pytestmark = pytest.mark.e2e

BOTH: list[tuple[tuple[str, ...], str]] = [
    # all expressions see what was before, and all happens or nothing
    (("SET @foo = 42, @bar = @foo + 1",), "@foo, @bar"),
    (("SET @foo = 1", "SET @foo = 42, @bar = @foo, @foo = 43, @baz = @foo"), "@foo, @bar, @baz"),
    (
        ("SET lock_wait_timeout = 5, innodb_lock_wait_timeout = @@lock_wait_timeout / 1",),
        "@@lock_wait_timeout",
    ),
    (("SET @l = 7", "SET @l = 8, lock_wait_timeout = @l"), "@@lock_wait_timeout, @l"),
    (("SET NAMES latin1, @c = @@character_set_client",), "@@character_set_client, @c"),
    (("SET autocommit = 0, @q = @@autocommit",), "@q, @@autocommit"),
    (("SET @x = 1, lock_wait_timeout = 5, time_zone = 'nowhere'",), "@x, @@lock_wait_timeout"),
    (("SET @x = 1, @y = (SELECT 1 UNION SELECT 2)",), "@x, @y"),
    # accepted without effect, but not whatever the value
    *(
        ((f"SET {name} = {value}",), f"@@{name}")
        for name in ("wait_timeout", "interactive_timeout", "net_read_timeout", "net_write_timeout")
        for value in ("0", "-5", "99999999999", "'x'", "1.5", "77")
    ),
    # variables that change others
    (("SET max_join_size = 4294967295",), "@@max_join_size, @@sql_big_selects"),
    (("SET sql_big_selects = 1", "SET max_join_size = 4294967295"), "@@max_join_size, @@sql_big_selects"),
    (("SET max_join_size = 4294967295", "SET sql_big_selects = 1"), "@@max_join_size, @@sql_big_selects"),
    (("SET max_join_size = 4294967295, sql_big_selects = 1",), "@@max_join_size, @@sql_big_selects"),
    (("SET sql_big_selects = 0", "SET max_join_size = DEFAULT"), "@@max_join_size, @@sql_big_selects"),
    (("SET max_join_size = 4294967295", "SET max_join_size = DEFAULT"), "@@max_join_size, @@sql_big_selects"),
    (("SET character_set_server = latin1",), "@@character_set_server, @@collation_server"),
    (
        ("SET @@session.character_set_client=8, @@session.collation_connection=47",),
        "@@character_set_client, @@collation_connection",
    ),
    (
        ("SET collation_server = latin1_bin", "SET character_set_server = latin1"),
        "@@character_set_server, @@collation_server",
    ),
    (
        ("SET character_set_server = cp1251", "SET collation_server = DEFAULT"),
        "@@character_set_server, @@collation_server",
    ),
]
MARIADB: list[tuple[tuple[str, ...], str]] = [
    (("SET long_query_time = 3", "SET log_slow_query_time = 5"), "@@long_query_time, @@log_slow_query_time"),
    (("SET tmp_memory_table_size = 2097152",), "@@tmp_table_size, @@tmp_memory_table_size"),
    (("SET storage_engine = MyISAM",), "@@default_storage_engine, @@storage_engine"),
    (("SET old_alter_table = COPY",), "@@alter_algorithm, @@old_alter_table"),
    (
        ("SET log_slow_filter = 'admin'", "SET log_queries_not_using_indexes = 1"),
        "@@log_slow_filter, @@log_queries_not_using_indexes",
    ),
    (
        ("SET log_queries_not_using_indexes = 1", "SET log_slow_filter = 'admin'"),
        "@@log_slow_filter, @@log_queries_not_using_indexes",
    ),
    (
        ("SET log_slow_admin_statements = 0", "SET log_slow_slave_statements = 0"),
        "@@log_slow_disabled_statements, @@log_slow_admin_statements",
    ),
]


def _told(cnx: Any, statements: tuple[str, ...], asked: str) -> list[Any]:
    """What each statement and the two ways of asking gave: rows, or the error's number."""
    found: list[Any] = []
    # the second way needs a back-end connection with the settings
    for sql in (*statements, f"SELECT {asked}", f"SELECT {asked} FROM set_probe"):
        try:
            with cnx.cursor() as cursor:
                cursor.execute(sql)
                found.append(list(cursor.fetchall()))
        except pymysql.MySQLError as error:
            found.append(error.args[0])
    return found


def test_set_does_what_the_server_does(cluster: Cluster) -> None:
    cluster.query("CREATE TABLE set_probe (id INT PRIMARY KEY)", database="main")
    try:
        cluster.query("INSERT INTO set_probe VALUES (1)", database="main")
        wrong = []
        for statements, asked in BOTH + (MARIADB if cluster.flavour == "mariadb" else []):
            with pymysql.connect(**cluster.direct_tcp("main/-"), autocommit=True) as plain:
                wanted = _told(plain, statements, asked)
            with cluster.connect("main") as through:
                found = _told(through, statements, asked)
            if found != wanted:
                wrong.append((statements, found, wanted))
        assert wrong == []
        # and nothing of it stays on the connections
        with pymysql.connect(**cluster.direct_tcp("main/-"), autocommit=True) as plain:
            fresh = [_told(plain, (), asked)[1] for _, asked in BOTH]
        with cluster.connect("main") as through:
            for _ in range(2 * cluster.pool_size):
                assert [_told(through, (), asked)[1] for _, asked in BOTH] == fresh
    finally:
        cluster.query("DROP TABLE set_probe", database="main")


def test_set_global_is_of_every_shard(cluster: Cluster) -> None:
    name = "key_cache_age_threshold"
    shards = ("commerce/-80", "commerce/80-", "main/-")
    before = [cluster.query_direct(shard, f"SELECT @@global.{name}") for shard in shards]
    try:
        cluster.query(f"SET GLOBAL {name} = 500")
        cluster.query(f"SET @@global.{name} = 600", database="commerce:80-")
        found = [cluster.query_direct(shard, f"SELECT @@global.{name}") for shard in shards]
        assert found == [[(500,)], [(600,)], before[2]]
        for refused, number in (
            (f"SET GLOBAL {name} = 'x'", 1232),
            ("SET GLOBAL sql_mode = ''", 1235),
            ("SET GLOBAL max_connections = 16", 1235),
        ):
            with pytest.raises(pymysql.MySQLError) as caught:
                cluster.query(refused)
            assert caught.value.args[0] == number
    finally:
        cluster.query(f"SET GLOBAL {name} = DEFAULT")
    assert [cluster.query_direct(shard, f"SELECT @@global.{name}") for shard in shards] == before


def test_the_servers_table_of_variables_tells_the_sessions_own(cluster: Cluster) -> None:
    schema = "performance_schema" if cluster.flavour == "mysql" else "information_schema"
    names = (
        "sql_mode",
        "group_concat_max_len",
        "autocommit",
        "last_insert_id",
        "net_read_timeout",
        "version",
    )
    listed = ", ".join(f"'{name}'" for name in names)
    with cluster.connect("main") as cnx, cnx.cursor() as cursor:
        cursor.execute(
            "SET sql_mode = 'ANSI', group_concat_max_len = 5000, autocommit = 0, net_read_timeout = 77"
        )
        cursor.execute("SET last_insert_id = 5")
        cursor.execute(f"SHOW VARIABLES WHERE Variable_name IN ({listed})")
        shown = sorted((name.lower(), value) for name, value in cursor.fetchall())
        cursor.execute(
            f"SELECT LOWER(v.VARIABLE_NAME), VARIABLE_VALUE FROM {schema}.session_variables AS v"
            f" WHERE v.VARIABLE_NAME IN ({listed})"
        )
        assert sorted(cursor.fetchall()) == shown
        assert len(shown) == len(names)
        assert dict(shown)["last_insert_id"] == "5"
