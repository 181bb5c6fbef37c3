"""One local MySQL or MariaDB: where its files lie, the options it starts with, and when it is ready.

Invariants: the server reads no option file of the system; it listens on a unix socket and on 127.0.0.1 only;
its own max_connections and buffers bound its memory (cli/local/memory.py), whatever a client sends.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.local.binaries import MysqldBinary
from cli.local.errors import LocalServerError
from cli.local.memory import (
    JOIN_BUFFER_BYTES,
    MIB,
    READ_BUFFER_BYTES,
    READ_RND_BUFFER_BYTES,
    SORT_BUFFER_BYTES,
    TMP_TABLE_BYTES,
    buffer_pool_bytes,
    temptable_bytes,
)
from cli.local.paths import log_cause, socket_path

_KERNEL: Final = Path("/proc/sys/fs")
_AIO_EVENTS: Final = 12_000
"""A server reserves some 3,000 when it starts, and MySQL does not start without: several may start at once."""


@dataclass(frozen=True, slots=True)
class MysqlServer:
    """A local server, running or not; everything it writes lies under `home`."""

    binary: MysqldBinary
    home: Path
    port: int
    max_connections: int
    """The server's own limit; `max_connections(pool_size)` of cli/local/memory.py."""
    memory_bytes: int
    server_id: int = 1
    binlog: bool = False
    """Only where the shard has replicas."""
    durable: bool = True
    """False in tests: commits survive a killed server, but not a machine that loses power."""
    extra: tuple[str, ...] = ()
    """Further options, such as `--long-query-time=1`; they win over ours."""

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def files(self) -> Path:
        """The only directory for LOAD DATA INFILE and SELECT ... INTO OUTFILE."""
        return self.home / "files"

    @property
    def tmp(self) -> Path:
        """Its own: a starting server deletes every `#sql*` file in its tmpdir, whoever's that is."""
        return self.home / "tmp"

    @property
    def log(self) -> Path:
        return self.home / "mysqld.log"

    @property
    def pid_file(self) -> Path:
        return self.home / "mysqld.pid"

    @property
    def secret_file(self) -> Path:
        """The password of `sluice`@`localhost`, readable by the owner only."""
        return self.home / "sluice.secret"

    @property
    def socket(self) -> Path:
        return socket_path(self.home, "mysqld.sock")


def common_argv(server: MysqlServer) -> list[str]:
    """Options that initialising and running share."""
    argv = [str(server.binary.path), "--no-defaults", f"--datadir={server.data}", f"--tmpdir={server.tmp}"]
    if os.geteuid() == 0:
        argv.append("--user=root")  # as root, a server refuses to run unless told that it is meant
    if _aio_left() < _AIO_EVENTS:
        argv.append("--innodb-use-native-aio=OFF")
    return argv


def _aio_left() -> int:
    """Requests of asynchronous I/O that the kernel still has for all processes together."""
    try:
        used, most = ((_KERNEL / name).read_text("ascii") for name in ("aio-nr", "aio-max-nr"))
        return int(most) - int(used)
    except (OSError, ValueError):
        return _AIO_EVENTS


def start_argv(server: MysqlServer) -> list[str]:
    """The command that runs `server` in the foreground, logging to `server.log`; SIGTERM stops it cleanly."""
    mysql = server.binary.flavour == "mysql"
    argv = [
        *common_argv(server),
        f"--socket={server.socket}",
        f"--port={server.port}",
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        f"--pid-file={server.pid_file}",
        f"--log-error={server.log}",
        f"--secure-file-priv={server.files}",
        "--local-infile=ON",
        f"--server-id={server.server_id}",
        "--character-set-server=utf8mb4",
        f"--max-connections={server.max_connections}",
        "--max-allowed-packet=64M",
        "--performance-schema=OFF",
        f"--innodb-buffer-pool-size={buffer_pool_bytes(server.memory_bytes)}",
        "--innodb-log-buffer-size=4M",
        f"--sort-buffer-size={SORT_BUFFER_BYTES}",
        f"--join-buffer-size={JOIN_BUFFER_BYTES}",
        f"--read-buffer-size={READ_BUFFER_BYTES}",
        f"--read-rnd-buffer-size={READ_RND_BUFFER_BYTES}",
        f"--tmp-table-size={TMP_TABLE_BYTES}",
        f"--max-heap-table-size={16 * MIB}",
        "--table-open-cache=1000",
        "--table-definition-cache=1000",
    ]
    if mysql:
        # The pool's size is rounded up to whole chunks, of 128 MiB unless told otherwise.
        argv += ["--innodb-buffer-pool-chunk-size=8M", "--innodb-redo-log-capacity=64M", "--mysqlx=OFF"]
        argv += [
            f"--temptable-max-ram={temptable_bytes(server.max_connections)}",
            "--innodb-buffer-pool-in-core-file=OFF",
        ]
    else:
        argv += [
            "--innodb-log-file-size=64M",
            f"--aria-pagecache-buffer-size={8 * MIB}",
            "--key-buffer-size=8M",
        ]
    argv += _log_options(server, mysql)
    return [*argv, *server.extra]


def _log_options(server: MysqlServer, mysql: bool) -> list[str]:
    # 2, not 0: the log is handed to the kernel at each commit, so a killed server loses nothing.
    argv = [f"--innodb-flush-log-at-trx-commit={1 if server.durable else 2}"]
    if not server.durable:
        argv += [
            "--innodb-doublewrite=OFF",
            "--innodb-flush-method=nosync" if mysql else "--debug-no-sync=ON",
        ]
    if not server.binlog:
        return [*argv, "--skip-log-bin"]
    argv += [f"--log-bin={server.data / 'binlog'}", f"--sync-binlog={1 if server.durable else 0}"]
    argv += ["--binlog-format=ROW", "--log-slave-updates=ON"] if not mysql else ["--gtid-mode=ON"]
    if mysql:
        argv.append("--enforce-gtid-consistency=ON")
    return argv


async def wait_ready(server: MysqlServer, *, timeout_s: float, alive: Callable[[], bool]) -> None:
    """Returns once `server` greets on its unix socket. Nobody is logged in for that.

    Raises LocalServerError with the log's last lines when `alive()` says that the process has ended, or after
    `timeout_s`.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while True:
        if await _greets(server.socket):
            return
        if not alive():
            raise LocalServerError(
                f"{server.binary.path.name} ended while starting:\n{log_cause(server.log)}"
            )
        if loop.time() > deadline:
            raise LocalServerError(
                f"{server.binary.path.name} was not ready after {timeout_s:.0f} s:\n{log_cause(server.log)}"
            )
        await asyncio.sleep(0.05)


async def _greets(path: Path) -> bool:
    """Whether a MySQL answers on `path` with its greeting, or says that it is full."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(path))
    except OSError:
        return False
    try:
        # Header of 4 bytes; then protocol version 10, or 0xff for an error such as 1040.
        head = await asyncio.wait_for(reader.readexactly(5), 5)
        return head[4] in (10, 0xFF)
    except (OSError, asyncio.IncompleteReadError, TimeoutError):
        return False
    finally:
        writer.close()
        try:
            await writer.wait_closed()
        except OSError:
            pass
