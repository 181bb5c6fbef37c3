"""A whole small cluster as a user runs it: `clusterctl up` in a directory of its own, on free ports.

Two keyspaces: `commerce` on shards -80 and 80-, `main` unsharded with the sequences. Everything, supervision
included, is the real thing; only the MySQLs' data directories are copied from a template that is made once.

Invariants: nothing outlives the thread that started the cluster (the supervisor gets SIGTERM with it, and its
children with the supervisor); direct connections go to the MySQLs themselves and count against no pool.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

import pymysql

from cli import state as states
from cli.layout import MARKER_TEXT, layout_of
from cli.local import Flavour
from core.process import command_line, identify
from core.rpc.messages import SERVING
from router.vindexes import create
from router.vindexes.base import Vindex
from tests.kit.servers import Templates, binary_of, free_port

USER: Final = "app"
PASSWORD: Final = "se'cret"
SHARDS: Final = ("commerce/-80", "commerce/80-", "main/-")

_FILES: Final = Path(__file__).with_name("cluster_files")
_HASH: Final = cast("Vindex", create("hash", "hash", {}))
_START_S: Final = 90.0
_STOP_S: Final = 90.0
_ROOT: Final = Path(__file__).resolve().parents[2]

_CONFIG: Final = """
[cluster]
name = "e2e-{flavour}"
[router]
mysql = "127.0.0.1:{mysql}"
http = "127.0.0.1:{http}"
workers = {workers}
max_connections = 2000
login_timeout_s = {login_timeout_s}
[tablet]
pool_size = {pool_size}
{tablet}
[mysql]
binary = "{binary}"
memory = "512MiB"
[[users]]
name = "{user}"
password = "{password}"
default_keyspace = "commerce"
[[users]]
name = "nodb"
password = ""
[[users]]
name = "hashed"
# mysql_native_password of "hashed"
password_hash = "*89DF8EEC9A524A8C112D91F8759ABBCF85DC14E6"
[[keyspaces]]
name = "commerce"
shards = ["-80", "80-"]
vschema = "commerce.json"
schema = "commerce.sql"
[[keyspaces]]
name = "main"
vschema = "main.json"
schema = "main.sql"
"""


class Cluster:
    """One running cluster; `close()` stops it."""

    def __init__(
        self,
        home: Path,
        flavour: Flavour,
        templates: Templates,
        *,
        pool_size: int = 8,
        workers: int = 2,
        login_timeout_s: float = 6.0,
        tablet: str = "",
    ) -> None:
        self.home = home
        self.flavour: Flavour = flavour
        self.pool_size = pool_size
        self.workers = workers
        self.login_timeout_s = login_timeout_s
        self.port, self.http = free_port(), free_port()
        self.layout = layout_of(home / ".sluice")
        self._lay_out(templates, tablet)
        self._process = self._spawn()
        self._wait_for_start()

    # ---- connections

    def connect_kwargs(self, **more: Any) -> dict[str, Any]:
        """What PyMySQL, mysqlclient and mysql-connector all understand, to reach the router."""
        found = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": USER,
            "password": PASSWORD,
            "database": "commerce",
        }
        return {**found, **more}

    def connect(self, database: str | None = "commerce", **more: Any) -> "pymysql.Connection[Any]":
        """A connection of PyMySQL through the router, in autocommit unless told otherwise."""
        more.setdefault("autocommit", True)
        more.setdefault("charset", "utf8mb4")
        return pymysql.connect(**self.connect_kwargs(database=database, **more))

    def query(
        self, sql: str, args: Any = None, *, database: str | None = "commerce"
    ) -> list[tuple[Any, ...]]:
        """The rows of one statement through the router, on a connection of its own."""
        with self.connect(database) as cnx, cnx.cursor() as cursor:
            cursor.execute(sql, args)
            return list(cursor.fetchall())

    def direct(self, shard: str) -> dict[str, Any]:
        """PyMySQL's settings for `shard` ("commerce/-80") itself, with all rights."""
        keyspace, _, name = shard.partition("/")
        home = self.layout.mysql(keyspace, name)
        return {
            "unix_socket": str(self._find("mysqld", keyspace, name).socket),
            "user": "sluice",
            "password": (home / "sluice.secret").read_text().strip(),
            "database": keyspace,
            "charset": "utf8mb4",
            "autocommit": True,
        }

    def direct_tcp(self, shard: str) -> dict[str, Any]:
        """As `connect_kwargs`, but to `shard`'s own MySQL: the same user, for clients that must be compared."""
        keyspace, _, name = shard.partition("/")
        port = int(self._find("mysqld", keyspace, name).address.rpartition(":")[2])
        return self.connect_kwargs(port=port, database=keyspace)

    def query_direct(self, shard: str, sql: str, args: Any = None) -> list[tuple[Any, ...]]:
        """The rows of one statement on the shard's MySQL itself."""
        with pymysql.connect(**self.direct(shard)) as cnx, cnx.cursor() as cursor:
            cursor.execute(sql, args)
            return list(cursor.fetchall())

    def clear(self, *tables: str) -> None:
        """Empties `tables` of commerce on every shard, past the router."""
        for shard in SHARDS[:2]:
            with pymysql.connect(**self.direct(shard)) as cnx, cnx.cursor() as cursor:
                for table in tables:
                    cursor.execute(f"DELETE FROM {table}")

    def shard_of(self, key: int) -> str:
        """Where vindex `hash` puts `key`: "-80" or "80-"."""
        return "-80" if self.keyspace_id(key)[0] < 0x80 else "80-"

    def keyspace_id(self, key: int) -> bytes:
        """What vindex `hash` makes of `key`."""
        keyspace_id = _HASH.keyspace_id(key)
        assert keyspace_id is not None
        return keyspace_id

    # ---- processes

    def state(self) -> states.ClusterState:
        found = states.read(self.layout)
        assert found is not None, "the supervisor has written no state"
        return found

    def view(self) -> dict[str, Any]:
        """What the router says at /debug/cluster."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/debug/cluster", timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def healthy(self) -> bool:
        """Whether /healthz answers 200, and every tablet serves."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/healthz", timeout=5) as answer:
                ready = answer.status == 200
            return ready and all(t["state"] == SERVING for t in self.view()["tablets"])
        except (OSError, ValueError, KeyError):
            return False

    def pids(self, role: str) -> list[int]:
        """Process ids by role of `clusterctl status`, in its order."""
        if role == "router-worker":
            return [int(worker["pid"]) for worker in self.view()["workers"]]
        return [process.pid for process in self.state().processes if process.role == role]

    def kill(self, role: str, n: int = 0) -> int:
        """SIGKILL to the `n`th process of that role; its pid. The supervisor starts it again."""
        pid = self.pids(role)[n]
        os.kill(pid, signal.SIGKILL)
        return pid

    def restarted(self, role: str, n: int, killed: int) -> bool:
        """Whether the process that was killed serves again."""
        try:
            if role == "router-worker":
                worker = self.view()["workers"][n]
                return int(worker["pid"]) not in (0, killed) and worker["state"] == SERVING
            process = [p for p in self.state().processes if p.role == role][n]
            return process.pid != killed and process.state == SERVING
        except (OSError, ValueError, KeyError, IndexError):
            return False

    def rss_bytes(self, pid: int) -> int:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGESIZE")

    def threads_connected(self, shard: str) -> int:
        """MySQL's own figure, without the connection that asks."""
        ((_, value),) = self.query_direct(shard, "SHOW GLOBAL STATUS LIKE 'Threads_connected'")
        return int(value) - 1

    def log_tails(self, lines: int = 25) -> str:
        """The last lines of every process's log, newest words of each."""
        found = []
        for log in sorted(self.layout.logs.glob("*.log")):
            text = log.read_text(errors="replace").splitlines()
            found.append(f"--- {log.name}\n" + "\n".join(text[-lines:]))
        return "\n".join(found)

    def close(self) -> None:
        """SIGTERM to the supervisor, which stops everything; AssertionError where something is left."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                raise
        left = self._left_over()
        assert not left, f"left running: {left}"

    # ---- its making

    def _lay_out(self, templates: Templates, tablet: str) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        for file in _FILES.iterdir():
            shutil.copy(file, self.home)
        (self.home / "cluster.toml").write_text(
            _CONFIG.format(
                flavour=self.flavour,
                mysql=self.port,
                http=self.http,
                workers=self.workers,
                login_timeout_s=self.login_timeout_s,
                pool_size=self.pool_size,
                tablet=tablet,
                binary=binary_of(self.flavour).path,
                user=USER,
                password=PASSWORD,
            )
        )
        self.layout.data_dir.mkdir(mode=0o700)
        self.layout.marker.write_text(MARKER_TEXT)
        template = templates.of(self.flavour).home
        for shard in SHARDS:
            keyspace, _, name = shard.partition("/")
            skipped = shutil.ignore_patterns("*.sock*", "*.log", "*.pid", "auto.cnf")
            shutil.copytree(template, self.layout.mysql(keyspace, name), ignore=skipped)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        argv = ["setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-m", "cli.main", "up"]
        with (self.home / "up.log").open("ab") as log:
            return subprocess.Popen(
                [*argv, "-f", str(self.home / "cluster.toml")],
                cwd=_ROOT,
                env={**os.environ, "NO_COLOR": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait_for_start(self) -> None:
        def serves() -> bool:
            assert self._process.poll() is None, "clusterctl up has ended"
            found = states.read(self.layout)
            return found is not None and found.phase == states.SERVING and self.healthy()

        try:
            wait_for(serves, _START_S, "the cluster does not serve")
        except AssertionError as error:
            said = (self.home / "up.log").read_text() + self.log_tails()
            self._process.terminate()
            self._process.wait(_STOP_S)
            raise AssertionError(f"{error}\n{said}") from None

    def _find(self, role: str, keyspace: str, shard: str) -> states.ProcessState:
        return next(
            p for p in self.state().processes if (p.role, p.keyspace, p.shard) == (role, keyspace, shard)
        )

    def _left_over(self) -> list[str]:
        data_dir = str(self.layout.data_dir)
        pids = [int(p) for p in os.listdir("/proc") if p.isdigit() and int(p) != os.getpid()]
        return [line for pid in pids if identify(pid) and data_dir in (line := command_line(pid))]


def wait_for(condition: Callable[[], Any], timeout_s: float, what: str, every_s: float = 0.02) -> float:
    """Seconds until `condition()` held; AssertionError after `timeout_s`."""
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < timeout_s, f"{what} within {timeout_s:.0f} s"
        time.sleep(every_s)
    return time.monotonic() - began_s
