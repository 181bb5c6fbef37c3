"""What both ends say to open a connection: greeting, HandshakeResponse41, SSLRequest, COM_CHANGE_USER, and the
packets of an authentication that goes on.

MariaDB's own capabilities are flags from 32 up; both ends say them where CLIENT_MYSQL is left out.

Parsers raise ClientProtocolError 1043 (Bad handshake); nothing of a client that failed to parse is used.
Source: MySQL internals, "Connection Phase Packets".
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from wire.constants import (
    AUTH_MORE_DATA_HEADER,
    AUTH_SWITCH_HEADER,
    CLIENT_CONNECT_ATTRS,
    CLIENT_CONNECT_WITH_DB,
    CLIENT_MYSQL,
    CLIENT_PLUGIN_AUTH,
    CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA,
    CLIENT_PROTOCOL_41,
    CLIENT_SECURE_CONNECTION,
    CLIENT_SSL,
    CLIENT_ZSTD_COMPRESSION_ALGORITHM,
    NATIVE_PASSWORD,
    SCRAMBLE_LENGTH,
)
from wire.errors import ClientProtocolError, bad_handshake
from wire.packets import PayloadCursor

_RESPONSE_HEAD = Struct("<IIB23x")
SSL_REQUEST_SIZE = 32
_RESERVED_AT = 9
_RESERVED_BYTES = 23
_MARIADB_CAPS_AT = 28
_MARIADB_SHIFT = 32
MAX_ATTRIBUTES_BYTES = 65536
"""MySQL's own bound of all connection attributes of one client."""


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """A client's answer to the greeting, or its COM_CHANGE_USER. `caps` are the client's own flags."""

    caps: int
    max_packet_bytes: int
    charset: int
    user: str
    auth_response: bytes
    database: str | None
    plugin: str
    attributes: bytes = b""
    """Connection attributes as they came: names and values, each with its length (`wire.connect_attributes`)."""
    zstd_level: int = 0


def greeting(
    server_version: str,
    connection_id: int,
    nonce: bytes,
    caps: int,
    charset: int,
    status: int,
    plugin: str,
) -> bytes:
    """The payload of a protocol version 10 greeting; `nonce` is 20 bytes of `make_nonce`."""
    own = caps >> _MARIADB_SHIFT
    if own:
        caps &= ~CLIENT_MYSQL
    return b"".join(
        (
            b"\x0a",
            server_version.encode(),
            b"\0",
            (connection_id & 0xFFFFFFFF).to_bytes(4, "little"),
            nonce[:8],
            b"\0",
            (caps & 0xFFFF).to_bytes(2, "little"),
            bytes((charset & 0xFF,)),
            status.to_bytes(2, "little"),
            (caps >> 16 & 0xFFFF).to_bytes(2, "little"),
            bytes((SCRAMBLE_LENGTH + 1,)),
            bytes(6),
            own.to_bytes(4, "little"),
            nonce[8:],
            b"\0",
            plugin.encode(),
            b"\0",
        )
    )


def greeted_caps(payload: bytes) -> int:
    """MariaDB's own flags of a server's greeting; 0 where the server is another."""
    at = (
        payload.find(b"\0") + 14
    )  # the flags' lower half is behind the version, the thread's number, half the nonce
    if payload[:1] != b"\x0a" or len(payload) < at + 18 or payload[at] & CLIENT_MYSQL:
        return 0
    return int.from_bytes(payload[at + 14 : at + 18], "little") << _MARIADB_SHIFT


def with_mariadb_caps(payload: bytes, caps: int) -> bytes:
    """A TLS request or a login with MariaDB's own flags; what else a client says while it logs in, as it is."""
    if payload[_RESERVED_AT : _RESERVED_AT + _RESERVED_BYTES] != bytes(_RESERVED_BYTES):
        return payload
    own = (caps >> _MARIADB_SHIFT).to_bytes(4, "little")
    return payload[:_MARIADB_CAPS_AT] + own + payload[SSL_REQUEST_SIZE:]


def auth_switch_request(plugin: str, nonce: bytes) -> bytes:
    return bytes((AUTH_SWITCH_HEADER,)) + plugin.encode() + b"\0" + nonce + b"\0"


def auth_more_data(data: bytes) -> bytes:
    return bytes((AUTH_MORE_DATA_HEADER,)) + data


def is_ssl_request(payload: bytes) -> bool:
    return len(payload) == SSL_REQUEST_SIZE and bool(int.from_bytes(payload[:4], "little") & CLIENT_SSL)


def parse_login(payload: bytes) -> LoginRequest:
    """A HandshakeResponse41. Clients from before MySQL 4.1 are refused with 1251."""
    if len(payload) < 2:
        raise bad_handshake()
    if not int.from_bytes(payload[:2], "little") & CLIENT_PROTOCOL_41:
        raise _too_old()
    if len(payload) < SSL_REQUEST_SIZE + 1:
        raise bad_handshake()
    caps, max_packet_bytes, charset = _RESPONSE_HEAD.unpack_from(payload)
    if not caps & CLIENT_MYSQL:
        caps |= int.from_bytes(payload[_MARIADB_CAPS_AT:SSL_REQUEST_SIZE], "little") << _MARIADB_SHIFT
    cursor = PayloadCursor(payload, "login", SSL_REQUEST_SIZE, _bad)
    user = cursor.nul_bytes()
    if caps & CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA:
        response = cursor.lenenc_bytes()
    elif caps & CLIENT_SECURE_CONNECTION:
        response = cursor.take(cursor.uint(1))
    else:
        response = cursor.nul_bytes()
    database = cursor.nul_bytes() if caps & CLIENT_CONNECT_WITH_DB and cursor.left() else b""
    plugin = _plugin(cursor) if caps & CLIENT_PLUGIN_AUTH and cursor.left() else NATIVE_PASSWORD
    attributes = _attributes(cursor) if caps & CLIENT_CONNECT_ATTRS and cursor.left() else b""
    level = cursor.uint(1) if caps & CLIENT_ZSTD_COMPRESSION_ALGORITHM and cursor.left() else 0
    return LoginRequest(
        caps,
        max_packet_bytes,
        charset,
        _name(user),
        response,
        _name(database) or None,
        plugin,
        attributes,
        level,
    )


def parse_change_user(payload: bytes, caps: int) -> LoginRequest:
    """A COM_CHANGE_USER of a client that logged in with `caps`. `charset` 0 is "not given"."""
    cursor = PayloadCursor(payload, "COM_CHANGE_USER", 1, _bad)
    user = cursor.nul_bytes()
    response = cursor.take(cursor.uint(1)) if caps & CLIENT_SECURE_CONNECTION else cursor.nul_bytes()
    database = cursor.nul_bytes()
    charset = cursor.uint(2) if cursor.left() >= 2 else 0
    plugin = _plugin(cursor) if caps & CLIENT_PLUGIN_AUTH and cursor.left() else NATIVE_PASSWORD
    attributes = _attributes(cursor) if caps & CLIENT_CONNECT_ATTRS and cursor.left() else b""
    return LoginRequest(caps, 0, charset, _name(user), response, _name(database) or None, plugin, attributes)


def _plugin(cursor: PayloadCursor) -> str:
    # some old clients leave out the NUL at the very end
    raw = cursor.nul_bytes() if b"\0" in cursor.data[cursor.at :] else cursor.rest()
    return raw.decode("utf-8", "backslashreplace")


def _attributes(cursor: PayloadCursor) -> bytes:
    size = cursor.lenenc_int()
    if size > MAX_ATTRIBUTES_BYTES:
        raise bad_handshake()
    block = cursor.take(size)
    inner = PayloadCursor(block, "connection attributes", 0, _bad)
    while inner.left():
        inner.lenenc_bytes()
        inner.lenenc_bytes()
    return block


def _name(raw: bytes) -> str:
    """Names that are not UTF-8 stay printable, for the error message and the log."""
    return raw.decode("utf-8", "backslashreplace")


def _bad(what: str) -> ClientProtocolError:
    return bad_handshake()


def _too_old() -> ClientProtocolError:
    return ClientProtocolError(
        1251,
        "08004",
        "Client does not support authentication protocol requested by server; consider upgrading MySQL client "
        "(it speaks a protocol from before MySQL 4.1)",
    )
