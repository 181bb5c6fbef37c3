"""Clients that compress with zstd: on the router as on MySQL itself. MariaDB has none, the router always."""

import pytest

from tests.kit.cluster import Cluster
from tests.kit.servers import RunningMysql
from tests.wire.raw_client import RawClient
from wire.compression import CompressedStream
from wire.constants import CLIENT_COMPRESS, CLIENT_ZSTD_COMPRESSION_ALGORITHM
from wire.packets import frame, iterate_payloads

pytestmark = pytest.mark.e2e

LONG = b"SELECT REPEAT('sluice ', 300000), '" + b"x" * 200_000 + b"'"


class ZstdClient:
    """Speaks packets within zstd."""

    def __init__(self, raw: RawClient, level: int) -> None:
        self._socket = raw.socket
        self._level = level

    def ask(self, sql: bytes) -> list[bytes]:
        """The payloads of an answer of one row, or of an OK or ERR."""
        stream = CompressedStream(self._level)
        self._socket.sendall(stream.send(frame(b"\x03" + sql)))
        data = b""
        while not _whole(data):
            more = self._socket.recv(1 << 20)
            assert more
            data += stream.receive(more)
        return list(iterate_payloads(data))

    def close(self) -> None:
        self._socket.close()


def _whole(data: bytes) -> bool:
    try:
        payloads = list(iterate_payloads(data))
    except ValueError:
        return False
    if not payloads:
        return False
    if payloads[0][0] in (0, 0xFF):
        return True
    return sum(payload[:1] == b"\xfe" and len(payload) < 9 for payload in payloads) == 2


def check(client: ZstdClient) -> None:
    assert client.ask(b"SELECT 1")[3] == b"\x011"
    row = client.ask(LONG)[4]
    assert row[4:].startswith(b"sluice " * 300_000)
    assert row.endswith(b"x" * 200_000)
    assert client.ask(b"DO 1")[0][0] == 0
    assert client.ask(b"SELECT nosuch FROM nosuch")[0][0] == 0xFF
    assert client.ask(b"SELECT 2")[3] == b"\x012"


@pytest.mark.parametrize("level", [1, 3, 22])
def test_levels(cluster: Cluster, level: int) -> None:
    raw = RawClient(
        ("127.0.0.1", cluster.port), "hashed", "hashed", CLIENT_ZSTD_COMPRESSION_ALGORITHM, zstd_level=level
    )
    assert raw.caps & CLIENT_ZSTD_COMPRESSION_ALGORITHM
    client = ZstdClient(raw, level)
    check(client)
    client.close()


def test_the_server_itself(mysql_server: RunningMysql, flavour: str) -> None:
    if flavour != "mysql":
        pytest.skip("MariaDB has no zstd in its protocol")
    account = mysql_server.account
    path = str(mysql_server.socket)
    raw = RawClient(path, account.user, account.password, CLIENT_ZSTD_COMPRESSION_ALGORITHM, zstd_level=3)
    client = ZstdClient(raw, 3)
    check(client)
    client.close()


@pytest.mark.parametrize("level", [None, 0, 23])
def test_a_wrong_level_is_refused_as_mysql_refuses_it(
    cluster: Cluster, mysql_server: RunningMysql, flavour: str, level: int | None
) -> None:
    account = mysql_server.account
    places = [(("127.0.0.1", cluster.port), "hashed", "hashed")]
    if flavour == "mysql":
        places.append((str(mysql_server.socket), account.user, account.password))  # type: ignore[arg-type]
    for address, user, password in places:
        with pytest.raises(AssertionError, match="Invalid zstd compression level") as caught:
            RawClient(address, user, password, CLIENT_ZSTD_COMPRESSION_ALGORITHM, zstd_level=level)
        caught.value.args[0].index((3923).to_bytes(2, "little"))


def test_zlib_before_zstd(cluster: Cluster) -> None:
    both = CLIENT_COMPRESS | CLIENT_ZSTD_COMPRESSION_ALGORITHM
    client = ZstdClient(RawClient(("127.0.0.1", cluster.port), "hashed", "hashed", both, zstd_level=3), 0)
    check(client)
    client.close()
