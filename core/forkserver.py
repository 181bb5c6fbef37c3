"""A small process that forks workers which share what was imported before.

The router starts it first of all, before any thread, gRPC channel, event loop or ZeroMQ context exists: it then
holds every module a worker needs, frozen out of the garbage collector's sight, so a worker costs only what it
writes to. It owns the listening sockets of the worker slots: a worker that dies leaves its backlog to the next.

Invariants: a worker runs only after its start was told on the control socket; nothing here starts a thread or a loop;
when the parent goes away (end of file on the control socket, or its death signal), the fork server ends its workers and
itself; workers die with the fork server.
"""

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from typing import Final

_MESSAGE: Final = struct.Struct("<cIIi")  # kind, slot, pid, status
_SPAWN: Final = b"S"
_STARTED: Final = b"P"
_EXITED: Final = b"X"
_PR_SET_PDEATHSIG: Final = 1
GC_THRESHOLDS: Final = (20_000, 20, 50)
"""Serving processes make few cycles and many short-lived objects: Python's 700 would look through them all day."""
STOP_GRACE_S: Final = 8.0

WorkerMain = Callable[[int, int, socket.socket], None]
"""Runs a worker in its slot, told `tag`, on its listening socket; returning ends the process with status 0."""


def die_with_parent(signum: int = signal.SIGKILL) -> None:
    """Asks Linux to send `signum` to this process when its parent dies."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signum), 0, 0, 0)


def listen(host: str, port: int, backlog: int) -> socket.socket:
    """A listening socket which others may share the port with (SO_REUSEPORT)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.setblocking(False)
    sock.bind((host, port))
    sock.listen(backlog)
    return sock


class ForkServer:
    """The parent's side: start it, ask for workers, hear of their ends on `control` (readable: `events()`)."""

    def __init__(self, worker_main: WorkerMain, address: tuple[str, int], backlog: int) -> None:
        """Forks at once. Call before anything that does not survive a fork exists."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            status = 1
            try:
                die_with_parent(signal.SIGTERM)
                status = _serve(theirs, worker_main, address, backlog)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        theirs.close()
        ours.setblocking(False)
        self.control = ours

    def spawn(self, slot: int, tag: int = 0) -> None:
        """Asks for a worker in `slot`, beside the one that may be there; the answer is an event."""
        self.control.send(_MESSAGE.pack(_SPAWN, slot, tag, 0))

    def events(self) -> list[tuple[str, int, int, int]]:
        """What happened since: ("started" | "exited" | "gone", slot, pid, status). "gone": the server itself."""
        found: list[tuple[str, int, int, int]] = []
        while True:
            try:
                data = self.control.recv(_MESSAGE.size)
            except BlockingIOError:
                return found
            except ConnectionError:
                data = b""
            if not data:
                found.append(("gone", 0, self.pid, 0))
                return found
            kind, slot, pid, status = _MESSAGE.unpack(data)
            found.append(("started" if kind == _STARTED else "exited", slot, pid, status))

    def stop(self) -> None:
        """Ends the fork server and its workers: they get SIGTERM, and SIGKILL after STOP_GRACE_S."""
        self.control.close()


def _serve(control: socket.socket, worker_main: WorkerMain, address: tuple[str, int], backlog: int) -> int:
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    stopping: list[int] = []
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(1))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C reaches us too; the parent decides
    listeners: dict[int, socket.socket] = {}
    workers: dict[int, int] = {}
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    while not stopping:
        readable, _, _ = select.select([control.fileno(), wake_read], [], [])
        if wake_read in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(wake_read, 4096)
            _reap(control, workers)
        if control.fileno() in readable:
            try:
                data = control.recv(_MESSAGE.size)
            except ConnectionError:  # the parent went without reading our last messages
                break
            if not data:
                break
            _, slot, tag, _ = _MESSAGE.unpack(data)
            if slot not in listeners:
                listeners[slot] = listen(*address, backlog)
            try:
                pid, gate = _fork_worker(slot, tag, listeners, worker_main, (control, wake_read, wake_write))
            except OSError as error:  # no process or memory to be had: the parent asks again, with a pause
                print(f"worker of slot {slot} cannot be forked: {error}", file=sys.stderr, flush=True)
                with contextlib.suppress(OSError):
                    control.send(_MESSAGE.pack(_EXITED, slot, 0, 1))
                continue
            workers[pid] = slot
            with contextlib.suppress(OSError):
                control.send(_MESSAGE.pack(_STARTED, slot, pid, 0))
            os.close(gate)
    return _stop_workers(workers)


def _reap(control: socket.socket, workers: dict[int, int]) -> None:
    while workers:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        slot = workers.pop(pid, None)
        if slot is not None:
            with contextlib.suppress(OSError):
                control.send(_MESSAGE.pack(_EXITED, slot, pid, os.waitstatus_to_exitcode(status)))


def _fork_worker(
    slot: int,
    tag: int,
    listeners: dict[int, socket.socket],
    worker_main: WorkerMain,
    close: tuple[socket.socket, int, int],
) -> tuple[int, int]:
    """The worker's pid, and the gate that it waits behind until that is closed: nobody hears of the worker from itself
    before the parent was told of it."""
    parent = os.getpid()
    closed, gate = os.pipe()
    # a SIGTERM that came before the child has its own handling would end in ours, and be forgotten
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
    try:
        pid = os.fork()
    except OSError:
        os.close(closed)
        os.close(gate)
        raise
    finally:
        if os.getpid() == parent:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
    if pid:
        os.close(closed)
        return pid, gate
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
        die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        os.close(gate)
        os.read(closed, 1)
        os.close(closed)
        close[0].close()
        os.close(close[1])
        os.close(close[2])
        for other, sock in listeners.items():
            if other != slot:
                sock.close()
        worker_main(slot, tag, listeners[slot])
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _stop_workers(workers: dict[int, int]) -> int:
    for pid in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGALRM, lambda *_: _kill(workers))
    signal.setitimer(signal.ITIMER_REAL, STOP_GRACE_S)
    while workers:
        try:
            pid, _ = os.waitpid(-1, 0)
        except ChildProcessError:
            break
        workers.pop(pid, None)
    return 0


def _kill(workers: dict[int, int]) -> None:
    for pid in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
