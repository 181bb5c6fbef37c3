"""Workers by real forks: they start in their slots, their ends are told, and nobody outlives the parent."""

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from core import forkserver
from core.forkserver import ForkServer

WAIT_S = 10.0


class Started:
    """A fork server under test, with what its workers write to one pipe."""

    def __init__(self, main: Callable[[int, socket.socket, int], None]) -> None:
        self.read, self.write = os.pipe()
        write = self.write
        self._bound = socket.socket()  # keeps the port ours; SO_REUSEPORT lets the workers listen there
        self._bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._bound.bind(("127.0.0.1", 0))
        self.port = self._bound.getsockname()[1]
        self.forks = ForkServer(lambda slot, tag, sock: main(slot, sock, write), ("127.0.0.1", self.port), 8)
        self.events: list[tuple[str, int, int, int]] = []
        self.ended = False

    def until(self, kind: str, count: int = 1) -> list[tuple[str, int, int, int]]:
        deadline = time.monotonic() + WAIT_S
        while sum(one[0] == kind for one in self.events) < count:
            left = deadline - time.monotonic()
            assert left > 0, self.events
            select.select([self.forks.control], [], [], left)
            self.events += self.forks.events()
        return [one for one in self.events if one[0] == kind]

    def said(self, size: int = 64) -> bytes:
        readable, _, _ = select.select([self.read], [], [], WAIT_S)
        assert readable
        return os.read(self.read, size)

    def end(self) -> int | None:
        """Stops the fork server and gives its exit status; None if it was over before."""
        if self.ended:
            return None
        self.ended = True
        self.forks.stop()
        _, status = os.waitpid(self.forks.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        self.end()
        os.close(self.read)
        os.close(self.write)
        self._bound.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Started]]:
    started: list[Started] = []

    def begin(main: Callable[[int, socket.socket, int], None]) -> Started:
        started.append(Started(main))
        return started[-1]

    yield begin
    for one in started:
        one.close()


def wait_forever(slot: int, sock: socket.socket, write: int) -> None:
    os.write(write, b"%d " % slot)
    while True:
        signal.pause()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_workers_start_in_their_slots_and_their_ends_are_told(start: Callable[..., Started]) -> None:
    def main(slot: int, sock: socket.socket, write: int) -> None:
        os.write(write, b"%d " % slot)
        if slot == 1:
            raise SystemExit(7)
        if slot == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    server = start(main)
    for slot in (0, 1, 2):
        server.forks.spawn(slot)
    ends = server.until("exited", 3)
    started = {slot: pid for _, slot, pid, _ in server.until("started", 3)}
    assert {slot: status for _, slot, _, status in ends} == {0: 0, 1: 7, 2: -signal.SIGKILL}
    assert {slot: pid for _, slot, pid, _ in ends} == started


def test_a_worker_that_raises_ends_with_one(start: Callable[..., Started]) -> None:
    def main(slot: int, sock: socket.socket, write: int) -> None:
        os.close(2)
        raise RuntimeError("no")

    server = start(main)
    server.forks.spawn(0)
    assert server.until("exited")[0][3] == 1


def test_the_backlog_outlives_the_worker(start: Callable[..., Started]) -> None:
    """A client in the queue of a worker that died is served by the next one in its slot."""

    def main(slot: int, sock: socket.socket, write: int) -> None:
        os.write(write, b"up ")
        if os.read(gate[0], 1) == b"x":
            return
        sock.setblocking(True)
        client, _ = sock.accept()
        client.sendall(b"hello")
        client.close()

    gate = os.pipe()
    server = start(main)
    try:
        server.forks.spawn(0)
        assert server.said() == b"up "
        with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S) as client:
            os.write(gate[1], b"x")
            server.until("exited")
            server.forks.spawn(0)
            os.write(gate[1], b"y")
            assert client.recv(5) == b"hello"
    finally:
        os.close(gate[0])
        os.close(gate[1])


def test_workers_end_with_the_fork_server(start: Callable[..., Started]) -> None:
    server = start(wait_forever)
    server.forks.spawn(0)
    server.forks.spawn(1)
    pids = [pid for _, _, pid, _ in server.until("started", 2)]
    assert all(map(is_alive, pids))
    assert server.end() == 0
    assert not any(map(is_alive, pids))


def test_a_worker_that_ignores_sigterm_is_killed(
    start: Callable[..., Started], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forkserver, "STOP_GRACE_S", 0.05)

    def main(slot: int, sock: socket.socket, write: int) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        wait_forever(slot, sock, write)

    server = start(main)
    server.forks.spawn(0)
    assert server.said() == b"0 "
    (pid,) = [pid for _, _, pid, _ in server.until("started")]
    assert server.end() == 0
    assert not is_alive(pid)


def test_a_fork_server_that_is_killed_takes_its_workers_along_and_is_missed(
    start: Callable[..., Started],
) -> None:
    server = start(wait_forever)
    server.forks.spawn(0)
    assert server.said() == b"0 "
    (pid,) = [pid for _, _, pid, _ in server.until("started")]
    handle = os.pidfd_open(pid)
    os.kill(server.forks.pid, signal.SIGKILL)
    server.until("gone")
    assert server.end() == -signal.SIGKILL
    readable, _, _ = select.select([handle], [], [], WAIT_S)
    os.close(handle)
    assert readable, "the worker lives on"


def test_a_start_is_told_before_the_worker_can_speak(start: Callable[..., Started]) -> None:
    def main(slot: int, sock: socket.socket, write: int) -> None:
        os.write(write, b"here")

    server = start(main)
    for slot in range(20):
        server.forks.spawn(slot)
        assert server.said(4) == b"here"
        assert ("started", slot) in [(kind, of) for kind, of, _, _ in server.forks.events()]
