"""TLS of a client's connection: a transport that encrypts, and the way in that decrypts.

Invariant: from `start_tls` on every byte of the client goes through `receive` of this object.
"""

import ssl
from typing import TYPE_CHECKING

from router.clients.sockets import SocketTransport
from wire.tls import TlsChannel

if TYPE_CHECKING:
    from router.clients.connection import Connection


class TlsTransport:
    """What a `Connection` writes to once TLS is asked for; its plain transport lies below."""

    __slots__ = ("_channel", "_connection", "_inner")

    def __init__(self, connection: "Connection", inner: SocketTransport, context: ssl.SSLContext) -> None:
        self._connection = connection
        self._inner = inner
        self._channel = TlsChannel(context)

    idle = False
    """Keys and buffers of TLS cannot be put by."""

    def receive(self, data: bytes) -> bytes:
        """The plain bytes in it. Raises ssl.SSLError, after which the connection is lost."""
        channel = self._channel
        before = channel.handshaken
        try:
            plain = channel.receive(data)
        finally:
            outgoing = channel.take_outgoing()
            if outgoing:
                self._inner.write(outgoing)
        if channel.handshaken and not before:
            self._connection.tls_started()
        return plain

    @property
    def agreed(self) -> tuple[str, str]:
        """Names of the cipher and of the protocol's version."""
        return self._channel.agreed

    @property
    def ended(self) -> bool:
        """The client says that it sends no more."""
        return self._channel.closed

    def write(self, data: bytes) -> None:
        self._inner.write(self._channel.send(data))

    def close(self) -> None:
        self._inner.write(self._channel.close())
        self._inner.close()

    def abort(self) -> None:
        self._inner.abort()

    def pause_reading(self) -> None:
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        self._inner.resume_reading()
