import datetime
import ssl
from pathlib import Path

import pytest

from wire.keys import RsaPrivateKey, encrypt, generate_rsa_pem
from wire.tls import TlsChannel, ensure_certificate, server_context, write_private

NOW = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    # validity counts from now, since the handshake below looks at the real clock
    return ensure_certificate(tmp_path_factory.mktemp("tls") / "deep", datetime.datetime.now(datetime.UTC))


def test_files_are_private_and_made_once(files: tuple[Path, Path]) -> None:
    before = [path.read_bytes() for path in files]
    assert ensure_certificate(files[0].parent, NOW) == files
    assert [path.read_bytes() for path in files] == before
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files)
    assert sorted(path.name for path in files[0].parent.iterdir()) == ["server-cert.pem", "server-key.pem"]


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_private(tmp_path / "taken", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_channel_carries_both_ways(files: tuple[Path, Path]) -> None:
    channel = TlsChannel(server_context(*files))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=str(files[0]))
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    for _ in range(5):
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            hello = outgoing.read()
            assert channel.receive(hello[:7]) == b""  # cut within a record
            assert channel.receive(hello[7:]) == b""
            incoming.write(channel.take_outgoing())
        else:
            break
    message = b"x" * 100_000
    client.write(message)
    assert channel.receive(outgoing.read()) == message
    assert channel.handshaken
    incoming.write(channel.send(message))
    received = b""
    while len(received) < len(message):
        received += client.read(65536)
    assert received == message
    incoming.write(channel.close())
    client.unwrap()
    assert channel.receive(outgoing.read()) == b""
    assert channel.closed


def test_noise_instead_of_tls(files: tuple[Path, Path]) -> None:
    channel = TlsChannel(server_context(*files))
    with pytest.raises(ssl.SSLError):
        channel.receive(b"GET / HTTP/1.0\r\n\r\n")


def test_rsa() -> None:
    key = RsaPrivateKey(generate_rsa_pem())
    assert key.public_pem.startswith(b"-----BEGIN PUBLIC KEY-----")
    sealed = encrypt(key.public_pem, b"password\0")
    assert key.decrypt(sealed) == b"password\0"
    assert key.decrypt(sealed[:-1] + bytes((sealed[-1] ^ 1,))) is None
    assert key.decrypt(b"short") is None
    with pytest.raises(ValueError):  # noqa: PT011
        RsaPrivateKey(b"no key")
