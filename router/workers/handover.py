"""A worker gives its idle clients to its successor: records and descriptors over a unix socket.

The successor listens, the worker that goes connects. Each message of the worker waits for its answer:

    ("ids", next id, ids)             -> OK    what the successor must not give out; it accepts from now on
    ("clients", profiles, records)    -> OK or FULL, with one descriptor a record
    ("kill", ids)                     -> OK    were killed while they were on their way

Invariants:
- A client belongs to the worker that goes until OK has come, and to the successor afterwards: the successor answers in
  the same turn of its loop in which it takes over, so that it has read nothing of a client before.
- Where the successor ends (end of file), what it has not answered for is taken back. Where it does not answer within
  ANSWER_S, it may take over yet: what was sent is its own, and nothing more is sent.
- Both ends run the same code in the same interpreter (one fork server), so `marshal` is a safe and stable format;
  the socket lies in a directory of this user's alone.
"""

import asyncio
import contextlib
import marshal
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.errors import fail
from router.clients.connection import Connection
from router.clients.parked import Parked, Profile, ProfileValues, from_plain, to_plain

if TYPE_CHECKING:
    from router.clients.arrival import Arrival
    from router.workers.worker import Worker

BATCH_CLIENTS: Final = 200
"""The kernel takes 253 descriptors a message."""
BATCH_BYTES: Final = 48 * 1024
"""A session with more state than that stays; a message must fit into the socket's buffer."""
MESSAGE_BYTES: Final = 200_000
ROUND_S: Final = 0.05
ANSWER_S: Final = 30.0
_OK: Final = b"OK"
_FULL: Final = b"FULL"


def socket_path(control: str, slot: int) -> str:
    """Where the successor in `slot` listens: beside the router's own endpoint `control` (ipc://...)."""
    path = Path(control.removeprefix("ipc://"))
    return str(path.with_name(f"{path.name[:-4]}{slot}.h"))


class Receiver:
    """The successor's end."""

    def __init__(self, worker: "Worker", path: str) -> None:
        """Raises OSError where `path` cannot be listened on."""
        self._worker = worker
        self._path = path
        self._from: socket.socket | None = None
        self.received = 0
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sock.setblocking(False)
        self._sock.bind(path)
        os.chmod(path, 0o600)
        self._sock.listen(1)
        worker.loop.add_reader(self._sock.fileno(), self._on_connect)

    def _on_connect(self) -> None:
        try:
            self._from, _ = self._sock.accept()
        except BlockingIOError:
            return
        self._from.setblocking(False)
        self._worker.loop.add_reader(self._from.fileno(), self._on_message, self._from)

    def _on_message(self, sock: socket.socket) -> None:
        try:
            data, fds, flags, _ = socket.recv_fds(sock, MESSAGE_BYTES, BATCH_CLIENTS)
        except BlockingIOError:
            return
        except OSError:
            data, fds, flags = b"", [], 0
        if not data:
            self._worker.loop.remove_reader(sock.fileno())
            sock.close()
            return
        answer = _FULL
        if not flags & (
            socket.MSG_CTRUNC | socket.MSG_TRUNC
        ):  # no descriptors left here, or not a whole message
            try:
                self._take(marshal.loads(data), fds)
                answer = _OK
            except Exception:
                self._worker.log.exception("what the last worker sent cannot be taken over")
        if answer is _FULL:
            for fd in fds:
                os.close(fd)
        with contextlib.suppress(OSError):
            sock.send(answer)

    def _take(self, message: tuple[Any, ...], fds: list[int]) -> None:
        """Raises where the message is not one; then nothing of it has been taken."""
        worker = self._worker
        kind = message[0]
        if kind == "ids":
            worker.inherit_ids(message[1], message[2])
        elif kind == "kill":
            for number in message[1]:
                client = worker.connections.get(number)
                if client is not None:
                    client.kill(query_only=False)
        else:
            profiles = [worker.parking.intern(ProfileValues(*values)) for values in message[1]]
            records = [
                from_plain(profiles[index], plain, fd)
                for (index, *plain), fd in zip(message[2], fds, strict=True)
            ]
            for record, fd in zip(records, fds, strict=True):
                profile = record.session
                worker.admission.adopt(record, profile.user, profile.keyspace, profile.shard)
                try:
                    worker.parking.put_back(record, fd)
                except OSError:  # the kernel watches no more of them: this client alone is disconnected
                    worker.admission.leave(record)
                    os.close(fd)
                    continue
                self.received += 1

    def close(self) -> None:
        self._worker.loop.remove_reader(self._sock.fileno())
        self._sock.close()
        if self._from is not None and self._from.fileno() >= 0:
            self._worker.loop.remove_reader(self._from.fileno())
            self._from.close()
        with contextlib.suppress(OSError):
            os.unlink(self._path)


def _at_rest(client: "Connection | Parked | Arrival") -> bool:
    """Whether a client that was not sent is idle and holds nothing: it cannot go (TLS, compression, its size)."""
    if isinstance(client, Parked):
        return True
    return isinstance(client, Connection) and client.idle


class Sender:
    """The end of the worker that goes."""

    def __init__(self, worker: "Worker", path: str) -> None:
        """Raises OSError where nobody listens."""
        self._worker = worker
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sock.settimeout(1.0)
        self._sock.connect(path)
        self._sock.setblocking(False)
        self.sent = 0
        self.swept = False
        """Whether all clients that could go at once have gone."""

    async def run(self, grace_s: float) -> None:
        """Until the last client has gone, or those left are idle and cannot go; who is not idle at the end of `grace_s`
        gets 1053. Raises OSError where the successor ends: then every client that is left is this worker's still."""
        worker = self._worker
        deadline_s = worker.clock.now_s() + grace_s
        await self._exchange(("ids", worker.next_id, [*worker.connections]), [])
        while worker.connections and worker.clock.now_s() < deadline_s:
            await self._sweep()
            if not self.swept:
                self.swept = True
                worker.parent.report()
            if all(_at_rest(client) for client in worker.connections.values()):
                break
            await asyncio.sleep(ROUND_S)
        for client in list(worker.connections.values()):
            if not _at_rest(client):
                client.refuse(fail("DRAINING", what="this router worker is stopping"))

    async def _sweep(self) -> None:
        """Sends whom it can."""
        worker = self._worker
        batch: list[tuple[Parked, int]] = []
        plain: list[tuple[Any, ...]] = []
        profiles: dict[Profile, int] = {}
        size = 0
        for number in list(worker.connections):
            client = worker.connections.get(number)
            if client is None:
                continue
            if not isinstance(client, Parked):
                if not isinstance(client, Connection) or not worker.parking.park(client):
                    continue
                client = worker.connections[number]
                assert isinstance(client, Parked)
            values = to_plain(client)
            bytes_ = len(marshal.dumps(values))
            if client.session not in profiles:
                bytes_ += len(marshal.dumps(tuple(client.session.values())))
            if bytes_ > BATCH_BYTES:
                continue
            if size + bytes_ > BATCH_BYTES or len(batch) == BATCH_CLIENTS:
                await self._send(batch, plain, profiles)
                batch, plain, profiles, size = [], [], {}, 0
                if worker.connections.get(number) is not client:  # it woke or went meanwhile
                    continue
            fd = worker.parking.take_out(client)
            if fd < 0:
                continue
            index = profiles.setdefault(client.session, len(profiles))
            batch.append((client, fd))
            plain.append((index, *values))
            size += bytes_
        if batch:
            await self._send(batch, plain, profiles)

    async def _send(
        self, batch: list[tuple[Parked, int]], plain: list[tuple[Any, ...]], profiles: dict[Profile, int]
    ) -> None:
        worker = self._worker
        message = ("clients", [tuple(profile.values()) for profile in profiles], plain)
        try:
            answer = await self._exchange(message, [fd for _, fd in batch])
        except TimeoutError:
            for record, fd in batch:
                os.close(fd)
                if worker.connections.pop(record.id, None) is not None:
                    worker.admission.leave(record)
            raise
        except OSError:
            self._take_back(batch)
            raise
        if answer != _OK:
            self._take_back(batch)
            return
        killed = []
        for record, fd in batch:
            os.close(fd)
            if worker.connections.pop(record.id, None) is None:
                killed.append(record.id)
            worker.admission.leave(record)
        self.sent += len(batch)
        if killed:
            await self._exchange(("kill", killed), [])

    def _take_back(self, batch: list[tuple[Parked, int]]) -> None:
        for record, fd in batch:
            if self._worker.connections.get(record.id) is record:
                self._worker.parking.put_back(record, fd)
            else:
                os.close(fd)

    async def _exchange(self, message: tuple[Any, ...], fds: list[int]) -> bytes:
        data = marshal.dumps(message)
        while True:
            try:
                if fds:
                    socket.send_fds(self._sock, [data], fds)
                else:
                    self._sock.send(data)
                break
            except BlockingIOError:
                await asyncio.sleep(0.001)
        answer = await asyncio.wait_for(self._worker.loop.sock_recv(self._sock, 16), ANSWER_S)
        if not answer:
            raise ConnectionError("the successor has ended")
        return answer

    def close(self) -> None:
        self._sock.close()
