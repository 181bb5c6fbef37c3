"""Shards whose MySQL exists already: checked before the start, and given their schema once.

Invariants: nothing is installed beside them; no table that is there is changed, since the schema file runs as it
stands (a CREATE TABLE of what exists is an error that stops `up`); a file that ran in part is never taken for done.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from cli.errors import CommandError, UsageError
from cli.layout import Layout, write_whole
from cli.local.accounts import without_trailing_comments
from core.config import Dsn, External

_TIMEOUT_S = 10


def connect(dsn: Dsn) -> Any:
    """A connection of mysql.connector in autocommit; its errors pass through."""
    import mysql.connector
    from mysql.connector.constants import ClientFlag

    where: dict[str, Any] = {"host": dsn.host, "port": dsn.port}
    if dsn.socket:
        where = {"unix_socket": dsn.socket}
    return mysql.connector.connect(
        **where,
        user=dsn.user,
        password=dsn.password,
        database=dsn.database,
        use_pure=True,
        autocommit=True,
        charset="utf8mb4",
        collation="utf8mb4_general_ci",  # the one that every MySQL and MariaDB has
        ssl_disabled=dsn.tls == "disabled",
        client_flags=[ClientFlag.MULTI_STATEMENTS],
        connection_timeout=_TIMEOUT_S,
    )


def check(keyspace: str, external: External, pool_size: int) -> None:
    """Raises CommandError where the MySQL cannot be reached, UsageError where it does not bear the pool."""
    import mysql.connector

    where = f"[[keyspaces]] {keyspace} external '{external.shard}'"
    try:
        cnx = connect(external.dsn)
    except (mysql.connector.Error, OSError) as error:
        raise CommandError(
            f"{where}: no connection to {address(external.dsn)}: {getattr(error, 'msg', None) or error}"
        ) from None
    try:
        cursor = cnx.cursor()
        cursor.execute("SELECT @@max_connections")
        (most,) = cursor.fetchone()
        cursor.close()
    except mysql.connector.Error as error:
        raise CommandError(f"{where}: {error.msg}") from None
    finally:
        cnx.close()
    if pool_size > int(most):
        raise UsageError(
            f"{where}: [tablet] pool_size {pool_size} is above the server's max_connections {most};"
            f" lower pool_size to {most} or less, or raise max_connections"
        )


def address(dsn: Dsn) -> str:
    """Where it is, without the password."""
    return f"{dsn.host}:{dsn.port}"


def run_schema(layout: Layout, keyspace: str, external: External, path: Path) -> bool:
    """Runs the file on the shard, exactly once for this data_dir; True if it ran now. Raises CommandError."""
    import mysql.connector

    marker = layout.run / f"schema-{sha256(f'{keyspace}/{external.shard}'.encode()).hexdigest()[:12]}.json"
    where = f"schema {path.name} on {keyspace}/{external.shard} ({address(external.dsn)})"
    if marker.exists():
        if json.loads(marker.read_text(encoding="utf-8"))["state"] == "done":
            return False
        raise CommandError(
            f"{where} ran only in part: complete it by hand, then write"
            f' {{"state": "done"}} into {marker}, or delete {marker} to run it again'
        )
    try:
        text = without_trailing_comments(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"schema {path} cannot be read: {error}") from None
    if not text:
        return False
    done = 0
    try:
        cnx = connect(external.dsn)
        try:
            write_whole(marker, json.dumps({"state": "running"}))
            for result in cnx.cmd_query_iter(text.encode()):
                if "columns" in result:
                    cnx.get_rows()
                done += 1
        finally:
            cnx.close()
    except (mysql.connector.Error, OSError) as error:
        if not done:
            marker.unlink(missing_ok=True)
        advice = "" if done else "; if the tables are there already, leave `schema` out for this keyspace"
        raise CommandError(
            f"{where}, statement {done + 1}: {getattr(error, 'msg', None) or error}{advice}"
        ) from None
    write_whole(marker, json.dumps({"state": "done"}))
    return True
