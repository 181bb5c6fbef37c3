"""Where foreign suites run: one MySQL with two databases, and a router before it with a keyspace for each.

The plain server and the router are compared on the very same databases, one after the other: whatever differs is the
router's doing. `python -m tests.clients.place mysql DIR` keeps one open, for a suite run by hand.

Invariants: nothing outlives the process that opened the place; the suites' user has the same name and rights on both.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pymysql

from cli import state as states
from cli.layout import layout_of
from cli.local import Flavour
from tests.kit.cluster import wait_for
from tests.kit.servers import RunningMysql, Servers, Templates, free_port

USER: Final = "suite"
PASSWORD: Final = "suite-secret"
DATABASES: Final = ("test", "test_schema", "test_schema_2")
POOL_SIZE: Final = 8

_ROOT: Final = Path(__file__).resolve().parents[2]
_START_S: Final = 90.0

_CONFIG: Final = """
[cluster]
name = "clients-{flavour}"
[router]
mysql = "127.0.0.1:{port}"
http = "127.0.0.1:{http}"
workers = 2
[tablet]
pool_size = {pool_size}
[[users]]
name = "{user}"
password = "{password}"
default_keyspace = "test"
"""

_KEYSPACE: Final = """
[[keyspaces]]
name = "{name}"
shards = ["-"]
vschema = "none.json"
schema = "none.sql"
[[keyspaces.external]]
shard = "-"
dsn = "mysql://{user}:{password}@127.0.0.1:{port}/{name}"
"""


@dataclass(frozen=True, slots=True)
class Place:
    """`router` and `server` are ports of 127.0.0.1; both know USER with PASSWORD and DATABASES."""

    flavour: Flavour
    router: int
    server: int
    http: int

    def url(self, port: int, driver: str = "pymysql") -> str:
        """SQLAlchemy's URL of the first database at `port`."""
        return f"mysql+{driver}://{USER}:{PASSWORD}@127.0.0.1:{port}/{DATABASES[0]}?charset=utf8mb4"

    def connect(self, port: int, database: str | None = DATABASES[0], **more: Any) -> Any:
        """A connection of PyMySQL."""
        return pymysql.connect(
            **{
                "host": "127.0.0.1",
                "port": port,
                "user": USER,
                "password": PASSWORD,
                "database": database,
                "charset": "utf8mb4",
                "autocommit": True,
                **more,
            }
        )

    def empty(self) -> None:
        """Drops what a suite left in the databases, past the router."""
        with self.connect(self.server) as cnx, cnx.cursor() as cursor:
            cursor.execute("SET foreign_key_checks = 0")
            for kind in ("VIEW", "BASE TABLE", "SEQUENCE"):
                cursor.execute(
                    "SELECT table_schema, table_name FROM information_schema.tables"
                    " WHERE table_schema IN %s AND table_type = %s",
                    (DATABASES, kind),
                )
                for schema, table in cursor.fetchall():
                    what = "TABLE" if kind == "BASE TABLE" else kind
                    cursor.execute(f"DROP {what} IF EXISTS `{schema}`.`{table.replace('`', '``')}`")


@contextlib.contextmanager
def opened(
    home: Path, flavour: Flavour, templates: Templates, *, pool_size: int = POOL_SIZE
) -> Iterator[Place]:
    """A running place below `home`."""
    servers = Servers(home, templates)
    try:
        mysql = servers.mysql(flavour, memory_bytes=256 * 1024 * 1024, max_connections=200)
        _prepare(mysql)
        place = Place(flavour, free_port(), mysql.port, free_port())
        cluster = home / "cluster"
        _lay_out(cluster, place, pool_size)
        process = _start(cluster)
        try:
            yield place
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    finally:
        servers.close()


def _prepare(mysql: RunningMysql) -> None:
    mysql.query(f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'")
    for database in DATABASES:
        mysql.query(f"CREATE DATABASE IF NOT EXISTS {database} CHARACTER SET utf8mb4")
    # the suites flush, show processes and make functions; the same rights on both ways
    mysql.query(f"GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'%'")
    mysql.query("SET GLOBAL log_bin_trust_function_creators = 1")


def _lay_out(cluster: Path, place: Place, pool_size: int) -> None:
    cluster.mkdir(parents=True)
    (cluster / "none.json").write_text("{}")
    (cluster / "none.sql").write_text("")
    text = _CONFIG.format(
        flavour=place.flavour,
        port=place.router,
        http=place.http,
        pool_size=pool_size,
        user=USER,
        password=PASSWORD,
    )
    for name in DATABASES:
        text += _KEYSPACE.format(name=name, user=USER, password=PASSWORD, port=place.server)
    (cluster / "cluster.toml").write_text(text)


def _start(cluster: Path) -> "subprocess.Popen[bytes]":
    argv = ["setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-m", "cli.main", "up"]
    with (cluster / "up.log").open("ab") as log:
        process = subprocess.Popen(
            [*argv, "-f", str(cluster / "cluster.toml")],
            cwd=_ROOT,
            env={**os.environ, "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def serves() -> bool:
        assert process.poll() is None, "clusterctl up has ended"
        found = states.read(layout_of(cluster / ".sluice"))
        return found is not None and found.phase == states.SERVING

    try:
        wait_for(serves, _START_S, "the cluster does not serve")
    except AssertionError as error:
        process.terminate()
        process.wait(60)
        raise AssertionError(f"{error}\n{(cluster / 'up.log').read_text()}") from None
    return process


def _main() -> None:
    flavour: Flavour = "mariadb" if sys.argv[1] == "mariadb" else "mysql"
    home = Path(sys.argv[2]).resolve()
    with opened(home, flavour, Templates(home / "templates")) as place:
        print(f"router {place.url(place.router)}\nserver {place.url(place.server)}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    _main()
