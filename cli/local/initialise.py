"""Makes the data directory of a local MySQL or MariaDB, once.

Invariant: `data` exists only when it is complete. It is made as `data.new` and renamed, so that a set-up cut
short leaves nothing that a later start would take for a database, and an existing `data` is never written to.

MariaDB's own mariadb-install-db wants `my_print_defaults`, which Debian ships with the client; the system
tables are therefore fed to the server as that script feeds them, and the server's package alone is enough.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from cli.local.errors import LocalServerError
from cli.local.mysql import MysqlServer, common_argv
from cli.local.paths import cause

_TIMEOUT_S: Final = 300

_MARIADB_PARTS: Final = (
    ("mariadb_system_tables.sql", "mysql_system_tables.sql"),
    ("mariadb_performance_tables.sql", "mysql_performance_tables.sql"),
    ("mariadb_system_tables_data.sql", "mysql_system_tables_data.sql"),
    ("fill_help_tables.sql",),
    ("maria_add_gis_sp_bootstrap.sql",),
    ("mariadb_sys_schema.sql", "mysql_sys_schema.sql"),
)
"""In the order of mariadb-install-db; releases differ in the names."""

_MARIADB_ACCOUNTS: Final = """
DELETE FROM mysql.global_priv WHERE Host <> 'localhost' OR User NOT IN ('root', 'mariadb.sys');
DELETE FROM mysql.proxies_priv WHERE Host <> 'localhost';
"""
"""Only root over the unix socket stays, as in a MySQL initialised anew."""


def is_initialised(server: MysqlServer) -> bool:
    """Whether `server` has a data directory, complete by the invariant above."""
    return server.data.exists()


def initialise(server: MysqlServer) -> None:
    """Makes the data directory (about 3 s); does nothing where there is one.

    The server then has one account, root@localhost without a password, reachable by unix socket only;
    `ensure_account` locks it. Raises LocalServerError with the server's last words.
    """
    server.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    server.files.mkdir(mode=0o700, exist_ok=True)
    server.tmp.mkdir(mode=0o700, exist_ok=True)
    if is_initialised(server):
        return
    fresh = server.home / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        if server.binary.flavour == "mysql":
            _initialise_mysql(server, fresh)
        else:
            _initialise_mariadb(server, fresh)
        os.rename(fresh, server.data)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _initialise_mysql(server: MysqlServer, fresh: Path) -> None:
    argv = [a for a in common_argv(server) if not a.startswith("--datadir=")]
    argv += [f"--datadir={fresh}", "--initialize-insecure", "--innodb-redo-log-capacity=64M"]
    _run(argv, b"", server)


def _initialise_mariadb(server: MysqlServer, fresh: Path) -> None:
    fresh.mkdir(mode=0o700)
    share = _mariadb_share(server)
    script = b"CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n"
    for names in _MARIADB_PARTS:
        part = next((share / name for name in names if (share / name).exists()), None)
        if part is None:
            raise LocalServerError(f"{share / names[0]} is missing: install mariadb-server-core again")
        script += part.read_bytes() + b"\n"
    script += _MARIADB_ACCOUNTS.encode()
    argv = [a for a in common_argv(server) if not a.startswith("--datadir=")]
    argv += [f"--datadir={fresh}", "--bootstrap", "--innodb-log-file-size=64M", "--max-allowed-packet=8M"]
    argv += ["--log-warnings=0", "--enforce-storage-engine=", "--skip-log-bin"]
    _run(argv, script, server)
    # Tells the server that its tables are of its own version, as mariadb-install-db does.
    (fresh / "mysql_upgrade_info").write_text(server.binary.version.split("-MariaDB")[0] + "-MariaDB")


def _mariadb_share(server: MysqlServer) -> Path:
    prefix = server.binary.path.resolve().parent.parent
    for directory in (prefix / "share/mysql", prefix / "share/mariadb", prefix / "share"):
        if any((directory / name).exists() for name in _MARIADB_PARTS[0]):
            return directory
    raise LocalServerError(
        f"the system tables of {server.binary.path} are not under {prefix}/share: install mariadb-server-core"
    )


def _run(argv: list[str], script: bytes, server: MysqlServer) -> None:
    what = f"{server.binary.path} could not initialise {server.data}"
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except OSError as error:
        raise LocalServerError(f"{what}: {error}") from None
    with process:
        _running.add(process)
        try:
            out, said = process.communicate(script, timeout=_TIMEOUT_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LocalServerError(f"{what}: {error}") from None
        finally:
            _running.discard(process)
            process.kill()
    if process.returncode != 0:
        text = (said or out).decode("utf-8", "replace").strip()
        raise LocalServerError(f"{what} (status {process.returncode}):\n{cause(text, 6)}")


_running: Final[set["subprocess.Popen[bytes]"]] = set()
"""The servers that initialise a data directory now."""


def abandon_initialising() -> None:
    """Ends those that run: their directories are made anew next time, and nobody waits for them in vain."""
    for process in tuple(_running):
        process.kill()
