"""CREATE and DROP DATABASE of what is no keyspace, or of one that stays. tests/clients/test_databases.py has more."""

from typing import Any

import pymysql
import pytest

from tests.kit.cluster import Cluster

pytestmark = pytest.mark.e2e


def _ask(cnx: "pymysql.Connection[Any]", sql: str) -> tuple[tuple[Any, ...], ...]:
    with cnx.cursor() as cursor:
        cursor.execute(sql)
        return tuple(cursor.fetchall())


def test_no_keyspace(cluster: Cluster) -> None:
    gone = "Can't drop database 'nosuch'; database doesn't exist"
    cluster.query("CREATE TABLE db_no (a INT)", database="main")
    try:
        with cluster.connect("main", autocommit=True) as cnx:
            _ask(cnx, "BEGIN")
            _ask(cnx, "INSERT INTO db_no VALUES (1)")
            with pytest.raises(pymysql.err.OperationalError, match=r"1008.*database doesn't exist"):
                _ask(cnx, "DROP DATABASE nosuch")
            _ask(cnx, "ROLLBACK")
            assert _ask(cnx, "SELECT a FROM db_no") == ((1,),)
            for sql in ("DROP SCHEMA IF EXISTS nosuch", "drop database /*!32312 if exists*/ `nosuch`"):
                _ask(cnx, sql)
                assert _ask(cnx, "SHOW WARNINGS") == (("Note", 1008, gone),)
            for sql in (
                "CREATE DATABASE nosuch",
                "CREATE OR REPLACE DATABASE main",
                "DROP DATABASE mysql",
                "DROP DATABASE commerce",
            ):
                with pytest.raises(pymysql.err.NotSupportedError, match="1235"):
                    _ask(cnx, sql)
            with pytest.raises(pymysql.err.ProgrammingError, match="1007"):
                _ask(cnx, "CREATE DATABASE main")
            assert _ask(cnx, "SELECT a FROM db_no") == ((1,),)
    finally:
        cluster.query("DROP TABLE db_no", database="main")


def test_no_other_database_is_altered(cluster: Cluster) -> None:
    asked = "SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = 'sys'"
    before = cluster.query_direct("main/-", asked)
    with cluster.connect("main", autocommit=True) as cnx:
        for tail in (
            "sys COLLATE latin1_swedish_ci",
            "/*!40000 sys */ COLLATE latin1_swedish_ci",
            "READ ONLY = 1",
        ):
            with pytest.raises(pymysql.err.MySQLError, match=r"1064|1007"):
                _ask(cnx, f"CREATE DATABASE main {tail}")
    assert cluster.query_direct("main/-", asked) == before


def test_locks_of_the_session_itself(cluster: Cluster) -> None:
    with cluster.connect("main", autocommit=True) as cnx:
        _ask(cnx, "FLUSH TABLES WITH READ LOCK")
        for sql in ("DROP DATABASE main", "CREATE DATABASE IF NOT EXISTS main"):
            with pytest.raises(pymysql.err.MySQLError, match="1223"):
                _ask(cnx, sql)
        _ask(cnx, "UNLOCK TABLES")
