"""Real ZeroMQ in one process: nothing is lost, doubled or out of order, and nobody's garbage hurts others."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq

from core.rpc import dealer, zeromq
from core.rpc import serving as serving_end
from core.rpc.dealer import MAX_BATCH_BYTES, Dealer
from core.rpc.messages import Record
from core.rpc.serving import PATIENT_RECORDS, Serving, flushed
from core.rpc.zeromq import make_context

IDENTITIES = (b"one", b"two", b"three")


class Place:
    """A context, a serving end and what it heard."""

    def __init__(self, directory: Path, serve: bool = True) -> None:
        self.loop = asyncio.get_running_loop()
        self.context = make_context()
        self._directory = directory
        self._sockets = 0
        self.endpoint = f"ipc://{directory}/0"
        self.heard: list[tuple[bytes, Record]] = []
        self.unreachable: list[bytes] = []
        self.changed = asyncio.Event()
        self.closing: list[Any] = []
        self.echo = False
        self.serving: Serving
        if serve:
            self.serving = self.serve()

    def serve(self) -> Serving:
        self.endpoint = f"ipc://{self._directory}/{self._sockets}"
        self._sockets += 1
        made = Serving(self.loop, self.context, self.endpoint, self._on_record, self._on_unreachable)
        self.closing.append(made)
        return made

    def _on_record(self, identity: bytes, record: Record) -> None:
        self.heard.append((identity, record))
        self.changed.set()
        if record[0] == "raise":
            raise RuntimeError("one record")
        if self.echo:
            self.serving.send(identity, tuple(record))

    def _on_unreachable(self, identity: bytes) -> None:
        self.unreachable.append(identity)
        self.changed.set()

    def dial(self, identity: bytes = b"one") -> "Peer":
        peer = Peer(self, identity)
        self.closing.append(peer.dealer)
        return peer

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def close(self) -> None:
        for one in reversed(self.closing):
            one.close()
        self.context.term()


class Peer:
    def __init__(self, place: Place, identity: bytes) -> None:
        self.place = place
        self.heard: list[Record] = []
        self.up = False
        self.downs: list[str] = []
        self.dealer = Dealer(
            place.loop, place.context, place.endpoint, identity, self._on_record, self._on_up, self._on_down
        )

    def _on_record(self, record: Record) -> None:
        self.heard.append(record)
        self.place.changed.set()

    def _on_up(self) -> None:
        self.up = True
        self.place.changed.set()

    def _on_down(self, reason: str) -> None:
        self.downs.append(reason)
        self.place.changed.set()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    try:
        yield made
    finally:
        made.close()


async def test_records_of_one_turn_go_as_one_frame_in_order(place: Place) -> None:
    place.echo = True
    peer = place.dial()
    for number in range(100):
        peer.dealer.send((number, "x"))
    await place.until(lambda: len(peer.heard) == 100)
    assert [record[0] for record in peer.heard] == list(range(100))
    assert [record[0] for _, record in place.heard] == list(range(100))


async def test_what_is_sent_in_one_turn_never_exceeds_a_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zeromq, "MAX_FRAME_BYTES", 1 << 20)
    place = Place(tmp_path)
    try:
        peer = place.dial()
        peer.dealer.send((-1, b""))
        await place.until(lambda: place.heard)
        for number in range(1000):
            place.serving.send(b"one", (number, bytes(3000)))
        place.serving.send(b"nobody", (0,))
        await place.until(lambda: len(peer.heard) == 1000 or peer.downs)
        assert [record[0] for record in peer.heard] == list(range(1000))
        for _ in range(1000):
            place.serving.send(b"nobody", (0,))
        assert place.unreachable == [b"nobody"], "told later, not from within send"
        await place.until(lambda: len(place.unreachable) > 1)
    finally:
        place.close()


async def test_what_may_wait_leaves_with_what_may_not_and_in_order(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_end, "PATIENCE_S", 3600.0)
    peers = [place.dial(identity) for identity in (b"one", b"two")]
    for peer in peers:
        peer.dealer.send(("hello",))
    await place.until(lambda: len(place.heard) == 2)
    serving = place.serving
    serving.send_patiently(b"one", (0,))
    serving.send_patiently(b"one", (1,))
    serving.send(b"one", (2,))
    serving.send_patiently(b"one", (3,))
    serving.send(b"one", (4,))
    await place.until(lambda: len(peers[0].heard) == 5)
    assert [record[0] for record in peers[0].heard] == [0, 1, 2, 3, 4]
    for number in range(PATIENT_RECORDS + 1):
        serving.send_patiently(b"two", (number,))
    await place.until(lambda: len(peers[1].heard) == PATIENT_RECORDS + 1)
    assert [record[0] for record in peers[1].heard] == list(range(PATIENT_RECORDS + 1))
    serving.send_patiently(b"two", ("last",))
    serving.send_patiently(b"nobody", (0,))
    await flushed(serving)
    await place.until(lambda: peers[1].heard[-1] == ["last"])
    assert place.unreachable == [b"nobody"]


async def test_what_may_wait_leaves_by_itself(place: Place) -> None:
    peer = place.dial()
    peer.dealer.send(("hello",))
    await place.until(lambda: place.heard)
    for number in range(5):
        place.serving.send_patiently(b"one", (number,))
    await place.until(lambda: len(peer.heard) == 5)
    assert [record[0] for record in peer.heard] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("seed", range(4))
async def test_no_wakeup_is_lost_whatever_is_sent_when(place: Place, seed: int) -> None:
    """Both sides send at random, in bursts and in answer to what they hear; nothing else ever wakes them."""
    chance = random.Random(seed)
    peers = {identity: place.dial(identity) for identity in IDENTITIES}
    await place.until(lambda: all(peer.up for peer in peers.values()))
    sent: dict[bytes, int] = dict.fromkeys(IDENTITIES, 0)
    back: dict[bytes, int] = dict.fromkeys(IDENTITIES, 0)
    for peer in peers.values():
        peer.dealer.send((-1, b""))
    await place.until(lambda: len(place.heard) == len(peers))
    place.heard.clear()
    for _ in range(600):
        identity = chance.choice(IDENTITIES)
        for _ in range(chance.choice([1, 1, 2, 20])):
            size = chance.choice([0, 10, 1000, 300_000 if chance.random() < 0.05 else 5])
            if chance.random() < 0.5:
                peers[identity].dealer.send((sent[identity], bytes(size)), size)
                sent[identity] += 1
            else:
                place.serving.send(identity, (back[identity], bytes(size)))
                back[identity] += 1
        for _ in range(chance.choice([0, 0, 1, 3])):
            await asyncio.sleep(0)
    await place.until(
        lambda: (
            len(place.heard) == sum(sent.values())
            and all(len(peers[one].heard) == back[one] for one in IDENTITIES)
        )
    )
    for identity in IDENTITIES:
        heard = [record[0] for who, record in place.heard if who == identity]
        assert heard == list(range(sent[identity]))
        assert [record[0] for record in peers[identity].heard] == list(range(back[identity]))


async def test_nothing_is_received_inside_of_send(place: Place) -> None:
    """A batch so large that it leaves at once must not handle what came: the caller is in the middle of something."""
    peer = place.dial()
    peer.dealer.send(("hello",))
    await place.until(lambda: len(place.heard) == 1)
    for number in range(50):
        place.serving.send(b"one", (number,))
        place.serving._flush()
    sock: Any = peer.dealer._socket
    while not sock.poll(100, zmq.POLLIN):
        pass
    peer.dealer.send(("large", bytes(10)), MAX_BATCH_BYTES + 1)
    assert peer.heard == []
    await place.until(lambda: len(peer.heard) == 50 and len(place.heard) == 2)
    assert [record[0] for record in peer.heard] == list(range(50))


async def test_what_cannot_leave_yet_leaves_in_order_when_the_peer_is_there(tmp_path: Path) -> None:
    place = Place(tmp_path, serve=False)
    try:
        peer = place.dial()
        for number in range(300):
            peer.dealer.send((number,))
            await asyncio.sleep(0)
        assert peer.dealer._backlog
        assert not peer.up
        place.serving = place.serve()
        await place.until(lambda: len(place.heard) == 300)
        assert [record[0] for _, record in place.heard] == list(range(300))
        assert not peer.dealer._backlog
    finally:
        place.close()


async def test_a_backlog_is_bounded_and_ends_the_dealer_outside_of_send(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dealer, "MAX_BACKLOG_FRAMES", 3)
    place = Place(tmp_path, serve=False)
    try:
        peer = place.dial()
        for _ in range(5):
            peer.dealer.send(("x",), MAX_BATCH_BYTES + 1)
        assert peer.downs == [], "never from inside of send"
        await place.until(lambda: peer.downs)
        assert len(peer.downs) == 1
        assert peer.dealer.closed
    finally:
        place.close()


async def test_a_peer_that_goes_is_a_loss_once_and_its_last_words_are_heard(place: Place) -> None:
    peer = place.dial()
    peer.dealer.send(("hello",))
    await place.until(lambda: place.heard)
    for number in range(200):
        place.serving.send(b"one", (number,))
        place.serving._flush()
    await place.until(lambda: len(peer.heard) == 200)
    place.serving.close()
    await place.until(lambda: peer.downs)
    assert len(peer.downs) == 1
    assert peer.dealer.closed
    peer.dealer.send(("late",))
    again = place.serving = place.serve()
    other = place.dial(b"two")
    other.dealer.send(("new",))
    await place.until(lambda: len(place.heard) == 2)
    assert place.heard[-1] == (b"two", ["new"])
    assert not again.closed


async def test_sending_to_nobody_is_unreachable(place: Place) -> None:
    place.serving.send(b"nobody", ("x",))
    await place.until(lambda: place.unreachable)
    assert place.unreachable == [b"nobody"]


GARBAGE = [
    b"", b"\xc1", b"\x00", b"\x93\x01", b"\x91\x90", b"\x91\x01", b"hello",
    b"\xdd\xff\xff\xff\xff", b"\x91\x91\xd9\xff",
    b"\x91\x91\x81\x90\x01", msgpack.packb([[1], 2]), msgpack.packb({"a": 1}), b"\x91" * 2000, bytes(1000),
]  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_drops_its_peer_and_nobody_else(place: Place, garbage: bytes) -> None:
    place.echo = True
    good = place.dial(b"good")
    raw = place.context.socket(zmq.DEALER)
    raw.setsockopt(zmq.LINGER, 0)
    raw.setsockopt(zmq.IDENTITY, b"bad")
    try:
        raw.connect(place.endpoint)
        raw.send(garbage)
        await place.until(lambda: place.unreachable)
        good.dealer.send(("still", 1))
        await place.until(lambda: good.heard)
    finally:
        raw.close(0)
    assert place.unreachable == [b"bad"]
    assert good.heard == [["still", 1]]


async def test_a_message_of_several_parts_is_garbage(place: Place) -> None:
    raw = place.context.socket(zmq.DEALER)
    raw.setsockopt(zmq.LINGER, 0)
    raw.setsockopt(zmq.IDENTITY, b"bad")
    good = place.dial(b"good")
    try:
        raw.connect(place.endpoint)
        raw.send_multipart([b"a", b"b"])
        await place.until(lambda: place.unreachable)
        good.dealer.send(("still", 1))
        await place.until(lambda: place.heard)
    finally:
        raw.close(0)
    assert place.unreachable == [b"bad"]


@pytest.mark.parametrize("garbage", GARBAGE[1:4])
async def test_garbage_from_the_serving_end_is_a_loss(place: Place, garbage: bytes) -> None:
    peer = place.dial()
    peer.dealer.send(("hello",))
    await place.until(lambda: place.heard)
    place.serving._socket.send_multipart([b"one", garbage])
    await place.until(lambda: peer.downs)
    assert peer.dealer.closed
    assert len(peer.downs) == 1


async def test_a_record_that_is_not_handled_costs_nobody_elses(place: Place) -> None:
    peer = place.dial()
    for record in (("a",), ("raise",), ("b",)):
        peer.dealer.send(record)
    await place.until(lambda: len(place.heard) == 3)
    assert [record[0] for _, record in place.heard] == ["a", "raise", "b"]


async def test_names_that_are_not_utf8_arrive_as_they_are(place: Place) -> None:
    place.echo = True
    peer = place.dial()
    name = b"t\xff\xfe".decode("utf-8", "surrogateescape")
    peer.dealer.send((name,))
    await place.until(lambda: peer.heard)
    assert peer.heard == [[name]]


async def test_what_cannot_be_packed_ends_the_dealer_not_the_others(place: Place) -> None:
    place.echo = True
    peer, other = place.dial(), place.dial(b"two")
    peer.dealer.send((object(),))
    await place.until(lambda: peer.downs)
    other.dealer.send(("fine",))
    await place.until(lambda: other.heard)
    place.serving.send(b"two", (object(),))
    place.serving.send(b"two", ("lost with it",))
    await place.until(lambda: place.unreachable)
    assert place.unreachable == [b"two"]


async def test_a_dealer_of_the_same_identity_takes_over(place: Place) -> None:
    """ROUTER_HANDOVER: the newer one is served; the older hears that it is down and ends."""
    place.echo = True
    old = place.dial(b"same")
    old.dealer.send((1,))
    await place.until(lambda: old.heard)
    new = place.dial(b"same")
    new.dealer.send((2,))
    await place.until(lambda: new.heard)
    assert new.heard == [[2]]
    assert old.heard == [[1]]
