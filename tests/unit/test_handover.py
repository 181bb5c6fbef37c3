"""What a worker says to its successor, between two ends of a real socket."""

import asyncio
import logging
import marshal
import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from router.workers import handover
from router.workers.handover import Receiver, Sender
from router.workers.worker import Worker


def worker(**more: Any) -> Worker:
    found = SimpleNamespace(loop=asyncio.get_running_loop(), log=logging.getLogger("test.handover"), **more)
    return cast("Worker", found)


async def ask(path: str, message: bytes, fds: list[int]) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sender:
        sender.connect(path)
        sender.setblocking(False)
        socket.send_fds(sender, [message], fds)
        return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sender, 16), 10)


@pytest.mark.parametrize("message", [b"no message", marshal.dumps(("clients", [], [(0, 1, 2)]))])
async def test_what_cannot_be_taken_over_is_answered_and_left_to_the_sender(
    tmp_path: Path, message: bytes
) -> None:
    path = str(tmp_path / "h")
    receiver = Receiver(worker(parking=None), path)
    near, far = socket.socketpair()
    try:
        assert await ask(path, message, [near.fileno()]) == b"FULL"
        near.send(b"still here")
        assert far.recv(20) == b"still here"
        near.close()
        assert far.recv(20) == b"", "the receiver kept a copy"
    finally:
        receiver.close()
        near.close()
        far.close()


async def test_a_successor_that_does_not_answer_keeps_what_it_was_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "ANSWER_S", 0.01)
    path = str(tmp_path / "h")
    left: list[object] = []
    record = SimpleNamespace(id=7)
    mine = worker(connections={7: record}, admission=SimpleNamespace(leave=left.append))
    near, far = socket.socketpair()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent, far:
        silent.bind(path)
        silent.listen(1)
        sender = Sender(mine, path)
        taking, _ = silent.accept()
        with taking:
            with pytest.raises(TimeoutError):
                await sender._send(cast("Any", [(record, near.detach())]), [], {})
            assert not mine.connections
            assert left == [record]
            _, fds, _, _ = socket.recv_fds(taking, 1000, 10)
            os.write(fds[0], b"taken over")
            assert far.recv(20) == b"taken over"
            os.close(fds[0])
        sender.close()
