"""The three Python clients behind one signature, so that a test can run with each of them."""

import warnings
from typing import Any, Final

import mysql.connector
import MySQLdb
import pymysql

DRIVERS: Final = ("pymysql", "connector", "mysqlclient")

ERRORS: Final = (pymysql.err.Error, mysql.connector.Error, MySQLdb.Error)


def connect(driver: str, kwargs: dict[str, Any], *, tls: bool | None = None, **more: Any) -> Any:
    """A connection with `kwargs` as `Cluster.connect_kwargs` gives them. `tls` None: as the client likes."""
    found = {"autocommit": True, **kwargs, **more}
    if driver == "pymysql":
        options = {True: {"ssl": {"check_hostname": False}}, False: {"ssl_disabled": True}, None: {}}[tls]
        return pymysql.connect(**{"charset": "utf8mb4", **found}, **options)
    if driver == "connector":
        # The collation: its default one is unknown to MariaDB.
        found = {"charset": "utf8mb4", "collation": "utf8mb4_general_ci", "use_pure": True, **found}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return mysql.connector.connect(**found, ssl_disabled=tls is False)
    if found.get("database") is None:
        found.pop("database", None)
    if tls is not None:
        found["ssl_mode"] = "REQUIRED" if tls else "DISABLED"
    return MySQLdb.connect(**{"charset": "utf8mb4", **found})


def fetch(cnx: Any, sql: str, args: Any = None) -> list[tuple[Any, ...]]:
    """All rows of one statement."""
    cursor = cnx.cursor()
    try:
        cursor.execute(sql, args) if args is not None else cursor.execute(sql)
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
    finally:
        cursor.close()


def run(cnx: Any, sql: str, args: Any = None) -> tuple[int, int]:
    """Affected rows and last insert id of one statement."""
    cursor = cnx.cursor()
    try:
        cursor.execute(sql, args) if args is not None else cursor.execute(sql)
        if cursor.description:
            cursor.fetchall()
        return int(cursor.rowcount), int(cursor.lastrowid or 0)
    finally:
        cursor.close()


def error_of(error: Any) -> tuple[int, str]:
    """Number and text."""
    if isinstance(error, mysql.connector.Error):
        return int(error.errno), str(error.msg)
    return int(error.args[0]), str(error.args[1]) if len(error.args) > 1 else ""
