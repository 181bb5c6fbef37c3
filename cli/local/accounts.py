"""What is set up inside a local MySQL: Sluice's own account, the application's users, databases, schemas.

The one file here that speaks to a server, over its unix socket. All functions block (use a thread from a loop),
are idempotent, and raise LocalServerError. Invariants: after `ensure_account` nobody logs in without a
password; a schema file runs once, and what ran only in part is never taken for done.
"""

import json
import os
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import mysql.connector
from mysql.connector.constants import ClientFlag

from cli import invocation
from cli.local.binaries import Flavour
from cli.local.errors import LocalServerError
from cli.local.mysql import MysqlServer

ACCOUNT: Final = "sluice"
_CONNECT_TIMEOUT_S: Final = 60
"""A loaded machine may take long to let us in; a server that died refuses at once."""

_COLLATIONS: Final[dict[Flavour, str]] = {"mysql": "utf8mb4_0900_ai_ci", "mariadb": "utf8mb4_general_ci"}
"""Each server's own default of utf8mb4; the connector would ask MariaDB for one that it does not have."""

_NATIVE_HASH: Final = re.compile(r"\*[0-9A-Fa-f]{40}\Z")


@dataclass(frozen=True, slots=True)
class Account:
    """Sluice's account: all rights, by unix socket only."""

    user: str
    password: str
    socket: Path


@dataclass(frozen=True, slots=True)
class DirectUser:
    """A user of the application who may also connect to the shard itself; exactly one of the secrets is set."""

    name: str
    password: str | None = None
    password_hash: str | None = None
    """`*HEX` of mysql_native_password, or `$A$005$...` of caching_sha2_password."""


class SchemaRun(Enum):
    """What `run_schema` found or did."""

    RAN = "ran"
    ALREADY = "already run"
    CHANGED = "already run, but the file has changed since; it was not run again"


def connect(server: MysqlServer, account: Account | None = None, *, database: str = "") -> Any:
    """A connection in autocommit over the unix socket, as `account` (default: Sluice's own); close it."""
    account = account or read_account(server)
    try:
        return _open(server, account.user, account.password, database)
    except mysql.connector.Error as error:
        raise LocalServerError(f"cannot log in to {server.socket} as {account.user}: {error.msg}") from error


def read_account(server: MysqlServer) -> Account:
    """Sluice's account as `ensure_account` made it."""
    try:
        password = server.secret_file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise LocalServerError(f"the password of {server.home} cannot be read: {error}") from None
    return Account(ACCOUNT, password, server.socket)


def ensure_account(server: MysqlServer) -> Account:
    """Creates `sluice`@`localhost` with a random password kept in `server.secret_file` (0600), and locks root.

    Works again where an earlier call was cut short: the password is on disk before the account exists, and root
    is locked last.
    """
    if not server.secret_file.exists():
        _write_whole(server.secret_file, secrets.token_hex(24))
    account = read_account(server)
    try:
        _open(server, account.user, account.password, "").close()
    except mysql.connector.Error:
        # No error number to go by: for an unknown user MySQL asks for a plugin picked at random, which the
        # connector may refuse before the server can say 1045.
        _create_account(server, account)
    _execute(server, account, ["ALTER USER 'root'@'localhost' ACCOUNT LOCK"])
    return account


def _create_account(server: MysqlServer, account: Account) -> None:
    plugin = "caching_sha2_password" if server.binary.flavour == "mysql" else "mysql_native_password"
    name = f"'{ACCOUNT}'@'localhost'"
    statements = [
        f"CREATE USER IF NOT EXISTS {name}",
        _identified(name, plugin, account.password),
        f"GRANT ALL PRIVILEGES ON *.* TO {name} WITH GRANT OPTION",
    ]
    try:
        _execute(server, Account("root", "", server.socket), statements)
    except LocalServerError as error:
        raise LocalServerError(
            f"neither {name} with the password in {server.secret_file} nor root can log in: put that file back,"
            f" or start with an empty data directory ({error})"
        ) from None


def create_database(server: MysqlServer, database: str) -> None:
    """Creates `database` where it is missing, with the server's default character set."""
    _execute(server, read_account(server), [f"CREATE DATABASE IF NOT EXISTS {quote_name(database)}"])


def create_users(server: MysqlServer, users: Sequence[DirectUser], database: str) -> tuple[str, ...]:
    """Lets `users` connect to this shard directly, with all rights on `database`; sets their passwords anew.

    Returns the names of those left out because this flavour cannot use their password_hash: MySQL 9 has no
    mysql_native_password, MariaDB no caching_sha2_password.
    """
    statements: list[str] = []
    left_out: list[str] = []
    for user in users:
        account = f"{_quote(user.name)}@'%'"
        identified = _user_identified(server.binary.flavour, account, user)
        if identified is None:
            left_out.append(user.name)
            continue
        statements += [f"CREATE USER IF NOT EXISTS {account}", identified]
        # The name of the database is a pattern in GRANT: `_` and `%` in it are meant literally.
        pattern = quote_name(re.sub(r"([_%])", r"\\\1", database))
        statements.append(f"GRANT ALL PRIVILEGES ON {pattern}.* TO {account}")
    _execute(server, read_account(server), statements)
    return tuple(left_out)


def _user_identified(flavour: Flavour, account: str, user: DirectUser) -> str | None:
    plugin = "caching_sha2_password" if flavour == "mysql" else "mysql_native_password"
    if user.password_hash is None:
        return _identified(account, plugin, user.password or "")
    native = _NATIVE_HASH.match(user.password_hash) is not None
    if native and flavour == "mariadb":
        return f"ALTER USER {account} IDENTIFIED VIA mysql_native_password USING {_quote(user.password_hash)}"
    if not native and flavour == "mysql":
        hexed = user.password_hash.encode().hex()
        return f"ALTER USER {account} IDENTIFIED WITH caching_sha2_password AS 0x{hexed}"
    return None


def _identified(account: str, plugin: str, password: str) -> str:
    if plugin == "mysql_native_password":
        return f"ALTER USER {account} IDENTIFIED BY {_quote(password)}"  # MariaDB's default plugin
    return f"ALTER USER {account} IDENTIFIED WITH {plugin} BY {_quote(password)}"


def run_schema(server: MysqlServer, database: str, path: Path) -> SchemaRun:
    """Runs the statements of the .sql file `path` in `database`, exactly once for this server and database.

    The server itself splits the text at `;`, so compound statements work; `DELIMITER`, a command of the mysql
    client, does not. Where a statement fails in a database that was empty before, the database is emptied
    again and the file may be mended; otherwise, or when a run was cut short, the marker `schema-*.json` in
    `server.home` stays at "running" and further calls refuse, since nobody knows what is there.
    """
    marker = server.home / f"schema-{sha256(database.encode()).hexdigest()[:12]}.json"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LocalServerError(f"schema {path} cannot be read: {error}") from None
    digest = sha256(text.encode()).hexdigest()
    state = _read_marker(marker)
    if state.get("state") == "done":
        return SchemaRun.ALREADY if state.get("sha256") == digest else SchemaRun.CHANGED
    account = read_account(server)
    if state:
        raise LocalServerError(
            f"schema {path.name} ran only in part in database '{database}' of {server.home}: empty that database"
            f" and delete {marker}, or start anew with `{invocation.name()} down --purge`"
        )
    cnx = connect(server, account, database=database)
    try:
        was_empty = _is_empty(cnx, database)
        record = {"database": database, "file": path.name, "sha256": digest}
        _write_whole(marker, json.dumps({"state": "running", **record}))
        try:
            _run_text(cnx, text, path.name, database)
        except LocalServerError:
            if was_empty:
                _empty_again(server, account, database)
                marker.unlink()
            raise
        _write_whole(marker, json.dumps({"state": "done", **record}))
    finally:
        cnx.close()
    return SchemaRun.RAN


def _run_text(cnx: Any, text: str, name: str, database: str) -> None:
    text = without_trailing_comments(text)
    done = 0
    try:
        for result in cnx.cmd_query_iter(text.encode()) if text else ():
            if "columns" in result:
                cnx.get_rows()
            done += 1
    except mysql.connector.Error as error:
        hint = "" if "DELIMITER" not in text.upper() else " (DELIMITER is the mysql client's; leave it out)"
        raise LocalServerError(
            f"schema {name}, statement {done + 1}, in database '{database}': {error.msg}{hint}"
        ) from error


_TRAILING: Final = re.compile(r"(?:\s|^[ \t]*--(?:[ \t][^\n]*)?$|^[ \t]*#[^\n]*$)+\Z", re.MULTILINE)


def without_trailing_comments(text: str) -> str:
    """Without the comment lines after the last statement, which the server calls an empty query."""
    return _TRAILING.sub("", text)


def _is_empty(cnx: Any, database: str) -> bool:
    cursor = cnx.cursor()
    try:
        cursor.execute("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = %s", (database,))
        (tables,) = cursor.fetchone()
        cursor.execute(
            "SELECT COUNT(*) FROM information_schema.routines WHERE routine_schema = %s", (database,)
        )
        (routines,) = cursor.fetchone()
    finally:
        cursor.close()
    return bool(tables == 0 and routines == 0)


def _empty_again(server: MysqlServer, account: Account, database: str) -> None:
    name = quote_name(database)
    _execute(server, account, [f"DROP DATABASE {name}", f"CREATE DATABASE {name}"])


def _read_marker(marker: Path) -> dict[str, str]:
    try:
        state: dict[str, str] = json.loads(marker.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise LocalServerError(f"{marker} cannot be read: {error}") from None
    return state


def _write_whole(path: Path, text: str) -> None:
    """Writes `path` (mode 0600) so that after a crash it holds either what it held before or all of `text`."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(fresh, path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _execute(server: MysqlServer, account: Account, statements: Iterable[str]) -> None:
    cnx = connect(server, account)
    try:
        for statement in statements:
            cnx.cmd_query(statement)
    except mysql.connector.Error as error:
        raise LocalServerError(f"{server.socket}: {error.msg}") from error
    finally:
        cnx.close()


def _open(server: MysqlServer, user: str, password: str, database: str) -> Any:
    return mysql.connector.connect(
        unix_socket=str(server.socket),
        user=user,
        password=password,
        database=database or None,
        use_pure=True,
        autocommit=True,
        charset="utf8mb4",
        collation=_COLLATIONS[server.binary.flavour],
        client_flags=[ClientFlag.MULTI_STATEMENTS],
        connection_timeout=_CONNECT_TIMEOUT_S,
    )


def quote_name(name: str) -> str:
    """A MySQL identifier in backticks."""
    return "`" + name.replace("`", "``") + "`"


def _quote(text: str) -> str:
    """A string literal; valid with and without NO_BACKSLASH_ESCAPES only where it has no backslash."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
