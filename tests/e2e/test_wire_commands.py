"""Bytes that no well-behaved client sends: the router refuses, closes, bounds its waiting, and goes on serving."""

import socket
import struct
import threading
import time

import pytest

from tests.kit.cluster import Cluster, wait_for

pytestmark = pytest.mark.e2e

SECURE = 0x8000
PROTOCOL_41 = 0x200
PLUGIN = 0x80000
CAPS = SECURE | PROTOCOL_41 | PLUGIN


def dial(cluster: Cluster, timeout_s: float = 10.0) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", cluster.port), timeout=timeout_s)
    sock.settimeout(timeout_s)
    return sock


def packet(sock: socket.socket) -> tuple[int, bytes]:
    """Sequence id and payload; EOFError where the server has closed."""
    head = exactly(sock, 4)
    return head[3], exactly(sock, int.from_bytes(head[:3], "little"))


def exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = sock.recv(size - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data


def send(sock: socket.socket, payload: bytes, sequence: int) -> None:
    sock.sendall(len(payload).to_bytes(3, "little") + bytes((sequence,)) + payload)


def login(cluster: Cluster, user: bytes = b"nodb") -> socket.socket:
    """A session of the user without a password."""
    sock = dial(cluster)
    packet(sock)
    head = struct.pack("<IIB23x", CAPS, 1 << 24, 45)
    send(sock, head + user + b"\0\0" + b"mysql_native_password\0", 1)
    while True:
        sequence, payload = packet(sock)
        if payload[0] == 0:
            return sock
        if payload[0] == 0xFE:
            send(sock, b"", sequence + 1)
            continue
        raise AssertionError(payload)


def error(payload: bytes) -> tuple[int, bytes]:
    assert payload[0] == 0xFF, payload
    return int.from_bytes(payload[1:3], "little"), payload[4:9]


def closed(sock: socket.socket) -> bool:
    """Reads to the end; whether there was nothing but an ERR."""
    try:
        while True:
            _, payload = packet(sock)
            assert payload[0] == 0xFF, payload
    except (EOFError, ConnectionResetError):
        return True


def half_open(cluster: Cluster) -> int:
    return sum(int(worker.get("half_open", 0)) for worker in cluster.view()["workers"])


def test_a_client_that_says_nothing_is_closed(cluster: Cluster) -> None:
    socks = [dial(cluster, cluster.login_timeout_s + 10) for _ in range(50)]
    began_s = time.monotonic()
    for sock in socks:
        packet(sock)
    assert closed(socks[0])
    assert time.monotonic() - began_s > cluster.login_timeout_s - 1
    for sock in socks:
        assert closed(sock)
        sock.close()
    wait_for(lambda: half_open(cluster) == 0, 5, "half-open logins are not forgotten")


def test_a_login_byte_by_byte_does_not_prolong_its_time(cluster: Cluster) -> None:
    sock = dial(cluster, cluster.login_timeout_s + 10)
    packet(sock)
    payload = struct.pack("<IIB23x", CAPS, 1 << 24, 45) + b"nodb\0\0mysql_native_password\0"
    data = len(payload).to_bytes(3, "little") + b"\1" + payload

    def trickle() -> None:
        for byte in data:
            sock.sendall(bytes((byte,)))
            time.sleep(0.5)

    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        trickle()
    sock.close()


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x00" * 64,
        b"\xff" * 64,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 200,
        b"\x01\x00\x00\x01\x0e",  # COM_PING instead of a login
        b"\x09\x00\x00\x01\x03SELECT 1",  # COM_QUERY instead of a login
        b"\x09\x00\x00\x00\x03SELECT 1",
        b"\x20\x00\x00\x01" + struct.pack("<IIB23x", CAPS | 0x800, 1 << 24, 45) + b"not a ClientHello" * 20,
    ],
)
def test_garbage_before_a_login(cluster: Cluster, garbage: bytes) -> None:
    """An ERR or nothing, then the end: no OK, no rows."""
    sock = dial(cluster)
    packet(sock)
    sock.sendall(garbage)
    sock.shutdown(socket.SHUT_WR)
    try:
        rest = b""
        while chunk := sock.recv(65536):
            rest += chunk
    except ConnectionResetError:
        pass
    if rest and rest[0] not in (0x15, 0x16):  # a TLS alert is an answer, too
        assert rest[4] == 0xFF, rest
        assert len(rest) == 4 + int.from_bytes(rest[:3], "little")
    sock.close()
    assert cluster.query("SELECT 1") == [(1,)]


def test_nothing_is_answered_before_the_login(cluster: Cluster) -> None:
    """Commands sent along with a login that is refused are never run."""
    marker = 77_000_001
    sock = dial(cluster)
    packet(sock)
    head = struct.pack("<IIB23x", CAPS, 1 << 24, 45)
    wrong = head + b"app\0" + b"\x14" + b"x" * 20 + b"mysql_native_password\0"
    insert = b"\x03INSERT INTO main.note (id, body) VALUES (%d, 'never')" % marker
    sock.sendall(
        len(wrong).to_bytes(3, "little") + b"\1" + wrong + len(insert).to_bytes(3, "little") + b"\0" + insert
    )
    _, payload = packet(sock)
    assert error(payload) == (1045, b"28000")
    assert closed(sock)
    assert cluster.query(f"SELECT COUNT(*) FROM main.note WHERE id = {marker}") == [(0,)]
    sock.close()


def test_a_login_of_an_announced_sixteen_megabytes_is_refused_early(cluster: Cluster) -> None:
    sock = dial(cluster)
    packet(sock)
    sock.sendall(b"\xfe\xff\xff\x01" + b"x" * 1000)
    assert closed(sock)
    sock.close()


def test_packets_out_of_order_end_a_session(cluster: Cluster) -> None:
    sock = login(cluster)
    send(sock, b"\x0e", 0)
    assert packet(sock)[1][0] == 0
    send(sock, b"\x0e", 5)
    _, payload = packet(sock)
    assert error(payload) == (1156, b"08S01")
    assert closed(sock)
    sock.close()


def test_unknown_commands_are_refused_and_the_session_goes_on(cluster: Cluster) -> None:
    sock = login(cluster)
    for command in (0x05, 0x06, 0x0B, 0x0F, 0x12, 0x13, 0x15, 0x1D, 0x40, 0xFF):
        send(sock, bytes((command,)) + b"abc", 0)
        sequence, payload = packet(sock)
        assert (sequence, error(payload)) == (1, (1047, b"08S01"))
    send(sock, b"\x0e", 0)
    assert packet(sock)[1][0] == 0
    sock.close()


def test_broken_commands_are_refused(cluster: Cluster) -> None:
    for payload in (b"\x17", b"\x17\1\0\0\0", b"\x19", b"\x1a", b"\x0c", b"\x1b", b"\x16", b"\x03", b""):
        sock = login(cluster)
        send(sock, payload, 0)
        try:
            assert packet(sock)[1][0] == 0xFF or payload == b"\x19"
        except EOFError:
            pass
        except TimeoutError:
            assert payload[:1] in (b"\x18", b"\x19")  # answered by nothing, as the protocol says
        sock.close()
    assert cluster.query("SELECT 1") == [(1,)]


def test_commands_sent_ahead_are_answered_in_order(cluster: Cluster) -> None:
    sock = login(cluster)
    count = 300
    text = [b"\x03SELECT %d" % number for number in range(count)]
    sock.sendall(b"".join(len(one).to_bytes(3, "little") + b"\0" + one for one in text))
    for number in range(count):
        payloads = [packet(sock)[1] for _ in range(5)]
        assert payloads[3] == bytes((len(str(number)),)) + str(number).encode()
    sock.close()


def test_a_command_in_single_bytes(cluster: Cluster) -> None:
    sock = login(cluster)
    data = b"\x0a\x00\x00\x00\x03SELECT 42"
    for byte in data:
        sock.sendall(bytes((byte,)))
        time.sleep(0.002)
    assert [packet(sock)[1] for _ in range(5)][3] == b"\x0242"
    sock.close()


def test_a_query_as_a_client_goes_away_is_ended(cluster: Cluster) -> None:
    sock = login(cluster)
    mark = "gone_away_mark"
    send(sock, f"\x03SELECT /* {mark} */ SLEEP(25) FROM main.customer_seq".encode(), 0)
    running = (
        "SELECT COUNT(*) FROM information_schema.processlist"
        f" WHERE info LIKE '%SLEEP(25)%' AND info LIKE '%{mark}%' AND info NOT LIKE '%processlist%'"
    )
    wait_for(lambda: cluster.query_direct("main/-", running) == [(1,)], 5, "the query does not run")
    sock.close()
    wait_for(lambda: cluster.query_direct("main/-", running) == [(0,)], 5, "the query still runs")


def test_a_crowd_of_half_open_logins_leaves_room(cluster: Cluster) -> None:
    socks = [dial(cluster) for _ in range(300)]
    try:
        assert cluster.query("SELECT 1") == [(1,)]
    finally:
        for sock in socks:
            sock.close()
    wait_for(lambda: half_open(cluster) == 0, 5, "half-open logins are not forgotten")


def test_logins_that_reset_the_connection(cluster: Cluster) -> None:
    def one() -> None:
        for _ in range(20):
            sock = dial(cluster)
            packet(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(lambda: half_open(cluster) == 0, 5, "half-open logins are not forgotten")
    assert cluster.query("SELECT 1") == [(1,)]
