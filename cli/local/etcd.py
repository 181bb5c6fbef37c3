"""One local etcd: its command line, and when it serves."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cli.local.errors import LocalServerError
from cli.local.paths import log_tail


@dataclass(frozen=True, slots=True)
class EtcdServer:
    """A local etcd of one member, running or not; everything it writes lies under `home`."""

    binary: Path
    home: Path
    client_port: int
    peer_port: int
    """No peer ever connects; etcd listens all the same."""
    durable: bool = True
    """False in tests: writes are not synced to disk."""

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        """Where the supervisor sends its output: etcd itself logs to stderr."""
        return self.home / "etcd.log"

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.client_port}"


def etcd_argv(server: EtcdServer) -> list[str]:
    """The command that runs `server` in the foreground, logging to stderr. Creates `home` (mode 0700)."""
    server.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    client = f"http://{server.endpoint}"
    peer = f"http://127.0.0.1:{server.peer_port}"
    argv = [
        str(server.binary),
        "--name=sluice",
        f"--data-dir={server.data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=sluice={peer}",
        "--logger=zap",
        "--log-outputs=stderr",
        # Topology is a few hundred records; history older than an hour serves nobody.
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=1h",
        f"--quota-backend-bytes={512 * 1024 * 1024}",
    ]
    if not server.durable:
        argv.append("--unsafe-no-fsync")
    return argv


async def wait_etcd_ready(server: EtcdServer, *, timeout_s: float, alive: Callable[[], bool]) -> None:
    """Returns once /health says that `server` has a leader and takes writes.

    Raises LocalServerError with the log's last lines when `alive()` says that the process has ended, or after
    `timeout_s`.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while True:
        if await _healthy(server.client_port):
            return
        if not alive():
            raise LocalServerError(f"etcd ended while starting:\n{log_tail(server.log)}")
        if loop.time() > deadline:
            raise LocalServerError(f"etcd was not ready after {timeout_s:.0f} s:\n{log_tail(server.log)}")
        await asyncio.sleep(0.05)


async def _healthy(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(b"GET /health HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 5)
        return answer.startswith((b"HTTP/1.0 200", b"HTTP/1.1 200")) and b'"true"' in answer
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
        try:
            await writer.wait_closed()
        except OSError:
            pass
