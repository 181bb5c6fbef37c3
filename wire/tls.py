"""TLS of the server's side: certificate files, the context, and a channel without I/O.

MySQL clients send their ClientHello right behind the SSLRequest without waiting, so its first bytes may lie in the
chunk that was already read; asyncio's and uvloop's `start_tls` lose those. `TlsChannel` takes them as any others.
"""

from __future__ import annotations

import datetime
import os
import ssl
from pathlib import Path

from wire.keys import self_signed_certificate


def ensure_certificate(folder: Path, now: datetime.datetime) -> tuple[Path, Path]:
    """Paths of certificate and key under `folder`, made self-signed if they are not both there. Files are 0600 and
    appear whole or not at all; OSError where the folder cannot be written."""
    certificate, key = folder / "server-cert.pem", folder / "server-key.pem"
    if not (certificate.exists() and key.exists()):
        certificate_pem, key_pem = self_signed_certificate(now)
        folder.mkdir(parents=True, exist_ok=True)
        write_private(key, key_pem)
        write_private(certificate, certificate_pem)
    return certificate, key


def write_private(path: Path, data: bytes) -> None:
    """Writes a file that only its owner can read, at once whole."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def server_context(certificate: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    """A context for a listener, TLS 1.2 and later; with `client_ca` clients must show a certificate of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class TlsChannel:
    """One connection's TLS, server side: `receive` ciphertext, `send` plaintext, both returning what results.

    After an ssl.SSLError the connection is lost; `receive` still may have left an alert in `take_outgoing`.
    """

    __slots__ = ("_incoming", "_object", "_outgoing", "closed", "handshaken")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.handshaken = False
        self.closed = False
        """The peer said it sends no more."""

    @property
    def agreed(self) -> tuple[str, str]:
        """Names of the cipher and of the protocol's version, as MySQL's Ssl_cipher and Ssl_version."""
        cipher = self._object.cipher()
        return (cipher[0] if cipher is not None else ""), self._object.version() or ""

    def receive(self, ciphertext: bytes) -> bytes:
        """The plaintext that came, perhaps none; then send what `take_outgoing` has. Raises ssl.SSLError."""
        self._incoming.write(ciphertext)
        if not self.handshaken:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                return b""
            self.handshaken = True
        parts: list[bytes] = []
        try:
            while part := self._object.read(65536):
                parts.append(part)
            self.closed = True
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self.closed = True
        return b"".join(parts)

    def send(self, plaintext: bytes) -> bytes:
        """The ciphertext to put on the wire."""
        view = memoryview(plaintext)
        while view:
            view = view[self._object.write(view) :]
        return self._outgoing.read()

    def take_outgoing(self) -> bytes:
        """Handshake bytes and alerts that wait to be sent."""
        return self._outgoing.read()

    def close(self) -> bytes:
        """The closing alert to send before the connection closes."""
        try:
            self._object.unwrap()
        except ssl.SSLError:
            pass
        return self._outgoing.read()
