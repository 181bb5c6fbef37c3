"""Real MySQL, MariaDB and etcd for tests, started as `clusterctl up` starts them, on free ports, in temp dirs.

Invariants: a server dies with the thread that started it (PR_SET_PDEATHSIG), so nothing survives a killed
pytest; start servers from the main thread. A flavour that is not installed fails the test; SLUICE_FLAVOURS
(`mysql`, `mariadb` or both, with a comma) limits what is asked for.
"""

import asyncio
import os
import random
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, Generic, TypeVar, cast

import pymysql
import pytest

from cli.local import (
    Account,
    EtcdServer,
    Flavour,
    LocalServerError,
    MysqldBinary,
    MysqlServer,
    ensure_account,
    etcd_argv,
    find_etcd,
    find_mysqld,
    initialise,
    log_tail,
    start_argv,
    wait_etcd_ready,
    wait_ready,
)
from cli.local.binaries import UNPACKED_MYSQLD

MIB: Final = 1024 * 1024
READY_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 30.0

FLAVOURS: Final = cast(
    "tuple[Flavour, ...]",
    tuple(f.strip() for f in os.environ.get("SLUICE_FLAVOURS", "mysql,mariadb").split(",") if f.strip()),
)
if not FLAVOURS or not set(FLAVOURS) <= {"mysql", "mariadb"}:
    raise pytest.UsageError("SLUICE_FLAVOURS is mysql, mariadb, or both with a comma between")

_OURS: Final = range(10_000 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 10, 20_000, 10)
_START: Final = random.randrange(len(_OURS))  # other runs on this machine begin elsewhere
_PORTS: Final = iter((*_OURS[_START:], *_OURS[:_START]))

_SMALL: Final[dict[Flavour, tuple[str, ...]]] = {
    "mysql": ("--innodb-redo-log-capacity=16M",),
    "mariadb": ("--innodb-log-file-size=16M",),
}
"""Less to write for servers that live for a few seconds."""

_T = TypeVar("_T", MysqlServer, EtcdServer)


def binary_of(flavour: Flavour) -> MysqldBinary:
    """The installed server of `flavour`. Fails the test where there is none."""
    names = ("mysqld", str(UNPACKED_MYSQLD)) if flavour == "mysql" else ("mariadbd", "mysqld")
    for name in names:
        try:
            binary = find_mysqld(name)
        except LocalServerError:
            continue
        if binary.flavour == flavour:
            return binary
    pytest.fail(
        f"no {flavour} server here: run scripts/setup.sh test, or set SLUICE_FLAVOURS to leave it out",
        pytrace=False,
    )


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago, and that nobody else here will take.

    Below what `clusterctl up` chooses from and what the kernel gives to outgoing connections; each process of the
    tests has ports of its own, and none is given twice.
    """
    for port in _PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is left")


class Running(Generic[_T]):
    """A server process and what it was started from."""

    def __init__(self, server: _T, argv: list[str], probe: Callable[..., Coroutine[Any, Any, None]]) -> None:
        self.server: _T = server
        self._argv = argv
        self._probe = probe
        self._process = self._spawn()

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """SIGTERM, and SIGKILL where that takes too long. Does nothing when it has ended."""
        if self.alive():
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()

    def kill(self) -> None:
        """SIGKILL: the server loses what it had not written."""
        self._process.kill()
        self._process.wait()

    def start(self, *, wait: bool = True) -> None:
        """Starts it again after `stop` or `kill`, on the same data and port."""
        assert not self.alive()
        self._process = self._spawn()
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Blocks until it serves. Raises LocalServerError with its log's last lines."""
        try:
            run_coroutine(self._probe(self.server, timeout_s=READY_TIMEOUT_S, alive=self.alive))
        except LocalServerError:
            self.stop()
            raise

    def log_tail(self, lines: int = 20) -> str:
        return log_tail(self.server.log, lines)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        with self.server.log.open("ab") as log:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *self._argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


class RunningMysql(Running[MysqlServer]):
    """A MySQL or MariaDB with Sluice's account set up."""

    account: Account

    @property
    def flavour(self) -> Flavour:
        return self.server.binary.flavour

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def socket(self) -> str:
        return str(self.server.socket)

    def connect(self, database: str | None = None, **options: Any) -> "pymysql.connections.Connection[Any]":
        """A direct connection as Sluice's account, in autocommit unless told otherwise."""
        options.setdefault("autocommit", True)
        return pymysql.connect(
            unix_socket=self.socket,
            user=self.account.user,
            password=self.account.password,
            database=database,
            charset="utf8mb4",
            **options,
        )

    def query(self, sql: str, database: str | None = None) -> list[tuple[Any, ...]]:
        """Runs one statement on a connection of its own and returns its rows."""
        cnx = self.connect(database)
        try:
            with cnx.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall())
        finally:
            cnx.close()

    def global_status(self, name: str) -> int:
        """A counter of SHOW GLOBAL STATUS, such as Threads_connected (which counts this connection too)."""
        ((_, value),) = self.query(f"SHOW GLOBAL STATUS LIKE '{name}'")
        return int(value)


class Servers:
    """Starts servers below one directory and ends whatever still runs on `close`."""

    def __init__(self, home: Path, templates: "Templates") -> None:
        self._home = home
        self._templates = templates
        self._running: list[Running[Any]] = []

    def mysql(
        self,
        flavour: Flavour,
        *,
        memory_bytes: int = 128 * MIB,
        max_connections: int = 151,
        extra: tuple[str, ...] = (),
        binlog: bool = False,
    ) -> RunningMysql:
        """A server of its own with an empty set of databases, ready, with Sluice's account."""
        home = self._home / f"{flavour}-{len(self._running)}"
        template = self._templates.of(flavour)
        server = MysqlServer(
            binary_of(flavour),
            home,
            free_port(),
            max_connections,
            memory_bytes,
            server_id=len(self._running) + 1,
            binlog=binlog,
            durable=False,
            extra=(*_SMALL[flavour], *extra),
        )
        shutil.copytree(
            template.home, home, ignore=shutil.ignore_patterns("*.sock*", "*.log", "*.pid", "auto.cnf")
        )
        running = RunningMysql(server, start_argv(server), wait_ready)
        self._running.append(running)
        running.wait_ready()
        running.account = ensure_account(server)
        return running

    def etcd(self) -> Running[EtcdServer]:
        """An empty etcd, ready."""
        home = self._home / f"etcd-{len(self._running)}"
        server = EtcdServer(find_etcd(), home, free_port(), free_port(), durable=False)
        running = Running(server, etcd_argv(server), wait_etcd_ready)
        self._running.append(running)
        running.wait_ready()
        return running

    def close(self) -> None:
        for running in reversed(self._running):
            running.stop()
        self._running.clear()


class Templates:
    """One initialised home a flavour, made when first asked for and copied for each server."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._made: dict[Flavour, MysqlServer] = {}

    def of(self, flavour: Flavour) -> MysqlServer:
        if flavour not in self._made:
            server = MysqlServer(
                binary_of(flavour),
                self._home / flavour,
                free_port(),
                max_connections=10,
                memory_bytes=128 * MIB,
                durable=False,
                extra=_SMALL[flavour],
            )
            initialise(server)
            running = RunningMysql(server, start_argv(server), wait_ready)
            try:
                running.wait_ready()
                ensure_account(server)
            finally:
                running.stop()
            self._made[flavour] = server
        return self._made[flavour]


def run_coroutine(coroutine: Coroutine[Any, Any, None]) -> None:
    """Runs `coroutine` to its end, also where the caller is inside a running loop (which it blocks)."""
    failure: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(coroutine)
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
