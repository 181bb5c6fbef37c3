"""The same tables and rows twice: over the cluster's shards, and in one database of a plain server."""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pymysql

from tests.kit.cluster import Cluster
from tests.kit.drivers import run

_SCHEMA: Final = Path(__file__).resolve().parent / "cluster_files" / "commerce.sql"


@dataclass
class Both:
    """A connection to commerce through the router, and one to the plain database."""

    cluster: Cluster
    sharded: Any
    plain: Any

    def write(self, sql: str) -> int:
        """Runs a write on both; its affected rows, which are equal."""
        affected = run(self.sharded, sql)[0]
        assert affected == run(self.plain, sql)[0], sql
        return affected


@contextmanager
def both_places(cluster: Cluster, database: str, tables: Sequence[str]) -> Iterator[Both]:
    """`database`, with commerce's schema, on the server of keyspace `main`; `tables` are empty before and after."""
    with (
        closing(pymysql.connect(**{**cluster.direct("main/-"), "database": None})) as plain,
        closing(cluster.connect()) as sharded,
    ):
        run(plain, f"DROP DATABASE IF EXISTS {database}")
        run(plain, f"CREATE DATABASE {database}")
        try:
            plain.select_db(database)
            for statement in _SCHEMA.read_text().split(";\n"):
                if statement.strip():
                    run(plain, statement)
            cluster.clear(*tables)
            yield Both(cluster, sharded, plain)
        finally:
            cluster.clear(*tables)
            run(plain, f"DROP DATABASE {database}")


def outcome(cnx: Any, sql: str) -> tuple[int, str, int]:
    """A write's affected rows and info text (each shard warns of what is deprecated: without that), or the number of
    its error."""
    with cnx.cursor() as cursor:
        try:
            cursor.execute(sql)
        except pymysql.err.Error as error:
            return -1, "", error.args[0]
        return cursor.rowcount, re.sub(r"Warnings.*|^\W", "", (cursor._result.message or b"").decode()), 0
