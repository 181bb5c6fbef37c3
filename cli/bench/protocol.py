"""A client's side of MySQL's protocol, as much of it as a load generator needs. Sans-I/O: bytes in, values out.

Invariants: an answer is given out when it is whole, never earlier; packets out of order, or an answer that does not
parse, raise WireError, after which the connection cannot be used.
Source: MySQL internals, "Connection Phase", "COM_QUERY Response", "COM_STMT_PREPARE Response".
"""

from dataclasses import dataclass
from typing import Final

from wire.constants import (
    AUTH_MORE_DATA_HEADER,
    AUTH_SWITCH_HEADER,
    CACHING_SHA2_PASSWORD,
    CLIENT_CONNECT_WITH_DB,
    CLIENT_DEPRECATE_EOF,
    CLIENT_LONG_FLAG,
    CLIENT_LONG_PASSWORD,
    CLIENT_MULTI_RESULTS,
    CLIENT_PLUGIN_AUTH,
    CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA,
    CLIENT_PROTOCOL_41,
    CLIENT_PS_MULTI_RESULTS,
    CLIENT_SECURE_CONNECTION,
    CLIENT_TRANSACTIONS,
    COM_QUERY,
    COM_STMT_EXECUTE,
    COM_STMT_PREPARE,
    EOF_HEADER,
    ERR_HEADER,
    MAX_PAYLOAD,
    NATIVE_PASSWORD,
    OK_HEADER,
    TYPE_LONGLONG,
)
from wire.errors import broken_answer
from wire.keys import encrypt
from wire.packets import PacketReader, frame, lenenc_bytes, read_lenenc_bytes, read_lenenc_int
from wire.scramble import mask_password, native_scramble, sha2_scramble

CAPABILITIES: Final = (
    CLIENT_LONG_PASSWORD
    | CLIENT_LONG_FLAG
    | CLIENT_CONNECT_WITH_DB
    | CLIENT_PROTOCOL_41
    | CLIENT_TRANSACTIONS
    | CLIENT_SECURE_CONNECTION
    | CLIENT_MULTI_RESULTS
    | CLIENT_PS_MULTI_RESULTS
    | CLIENT_PLUGIN_AUTH
    | CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
    | CLIENT_DEPRECATE_EOF
)
_COLLATION: Final = 45  # utf8mb4_general_ci: every MySQL and MariaDB has it
_MAX_PACKET: Final = 1 << 24
_FULL_AUTHENTICATION: Final = b"\x01\x04"
_ASK_FOR_KEY: Final = b"\x02"


class ServerRefused(Exception):
    """An ERR packet: the server's own number and words."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(f"{number}: {text}")
        self.number = number
        self.text = text


def read_error(payload: bytes) -> ServerRefused:
    """Of an ERR packet."""
    text = payload[3:]
    if text.startswith(b"#"):
        text = text[6:]
    return ServerRefused(int.from_bytes(payload[1:3], "little"), text.decode("utf-8", "replace"))


class Login:
    """One login without TLS: `receive` each payload of the server, send what it gives back.

    `done` is set once the server agreed; then `deprecate_eof` and `server_version` are known.
    """

    def __init__(self, user: str, password: str, database: str) -> None:
        self.done = False
        self.deprecate_eof = False
        self.server_version = ""
        self._user = user.encode()
        self._password = password.encode()
        self._database = database.encode()
        self._nonce = b""
        self._greeted = False

    def receive(self, payload: bytes) -> bytes | None:
        """The payload to answer with, or None. Raises ServerRefused, WireError."""
        first = payload[0] if payload else -1
        if first == ERR_HEADER:
            raise read_error(payload)
        if not self._greeted:
            self._greeted = True
            return self._answer_greeting(payload)
        if first == OK_HEADER:
            self.done = True
            return None
        if first == AUTH_SWITCH_HEADER:
            plugin, _, nonce = payload[1:].partition(b"\0")
            self._nonce = nonce[:20]
            return self._proof(plugin.decode("ascii", "replace"))
        if payload == _FULL_AUTHENTICATION:
            return _ASK_FOR_KEY
        if first == AUTH_MORE_DATA_HEADER:
            if payload[1:].startswith(b"-----BEGIN"):
                return encrypt(payload[1:], mask_password(self._password, self._nonce))
            return None  # the fast way: OK follows
        raise broken_answer("login")

    def _answer_greeting(self, payload: bytes) -> bytes:
        if payload[0] != 10:
            raise broken_answer("greeting")
        end = payload.index(b"\0")
        at = end + 1
        self.server_version = payload[1:end].decode("ascii", "replace")
        self._nonce = payload[at + 4 : at + 12] + payload[at + 31 : at + 43]
        offered = int.from_bytes(payload[at + 13 : at + 15] + payload[at + 18 : at + 20], "little")
        plugin = payload[at + 44 :].split(b"\0")[0].decode("ascii", "replace")
        if plugin not in (NATIVE_PASSWORD, CACHING_SHA2_PASSWORD):
            plugin = NATIVE_PASSWORD  # the server asks for another, where it must be
        capabilities = CAPABILITIES & offered
        self.deprecate_eof = bool(capabilities & CLIENT_DEPRECATE_EOF)
        return b"".join(
            (
                capabilities.to_bytes(4, "little"),
                _MAX_PACKET.to_bytes(4, "little"),
                bytes((_COLLATION,)),
                bytes(23),
                self._user + b"\0",
                lenenc_bytes(self._proof(plugin)),
                self._database + b"\0",
                plugin.encode() + b"\0",
            )
        )

    def _proof(self, plugin: str) -> bytes:
        if not self._password:
            return b""
        if plugin == NATIVE_PASSWORD:
            return native_scramble(self._password, self._nonce)
        if plugin == CACHING_SHA2_PASSWORD:
            return sha2_scramble(self._password, self._nonce)
        raise ServerRefused(2059, f"the server asks for the plugin {plugin}, which the bench does not know")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: `error`, or the first column of its rows (none after a write), or a statement id."""

    rows: tuple[bytes | None, ...] = ()
    error: ServerRefused | None = None
    statement_id: int = 0


class AnswerReader:
    """Reads the answer to one command; make a new one for the next."""

    __slots__ = ("_binary", "_deprecate_eof", "_packets", "_preparing", "_rows", "_skip", "_statement")

    def __init__(self, *, deprecate_eof: bool, binary: bool = False, preparing: bool = False) -> None:
        self._packets = PacketReader(consecutive=True, expected=1)
        self._deprecate_eof = deprecate_eof
        self._binary = binary
        self._preparing = preparing
        self._rows: list[bytes | None] | None = None
        self._statement = 0
        self._skip = -1
        """Packets of metadata that are still to come; -1: the first packet is."""

    def feed(self, data: bytes) -> Answer | None:
        """The answer, once it is whole. Raises WireError."""
        for payload, _ in self._packets.feed(data):
            answer = self._packet(payload)
            if answer is not None:
                return answer
        return None

    def _packet(self, payload: bytes) -> Answer | None:
        if not payload:
            raise broken_answer("an empty packet")
        first = payload[0]
        if self._skip > 0:
            self._skip -= 1
            return Answer(statement_id=self._statement) if self._preparing and not self._skip else None
        if first == ERR_HEADER:
            return Answer(error=read_error(payload))
        if self._skip < 0:
            return self._first(payload)
        assert self._rows is not None
        if first == EOF_HEADER and len(payload) < MAX_PAYLOAD:
            return Answer(tuple(self._rows))
        self._rows.append(self._value(payload))
        return None

    def _first(self, payload: bytes) -> Answer | None:
        eof = 0 if self._deprecate_eof else 1
        if self._preparing:
            self._statement = int.from_bytes(payload[1:5], "little")
            counts = (int.from_bytes(payload[5:7], "little"), int.from_bytes(payload[7:9], "little"))
            self._skip = sum(count + eof for count in counts if count)
            return None if self._skip else Answer(statement_id=self._statement)
        if payload[0] == OK_HEADER:
            return Answer()
        column_count, _ = read_lenenc_int(payload, 0)
        self._skip = column_count + eof
        self._rows = []
        return None

    def _value(self, payload: bytes) -> bytes | None:
        """The first column, which every statement of the bench has as a string."""
        if self._binary:
            # Header, then a bitmap of NULLs with two bits ahead; one column only.
            return None if payload[1] & 4 else read_lenenc_bytes(payload, 2)[0]
        return None if payload[0] == 0xFB else read_lenenc_bytes(payload, 0)[0]


def query(sql: bytes) -> bytes:
    """COM_QUERY, framed."""
    return frame(bytes((COM_QUERY,)) + sql)


def prepare(sql: bytes) -> bytes:
    """COM_STMT_PREPARE, framed."""
    return frame(bytes((COM_STMT_PREPARE,)) + sql)


def execute(statement_id: int, parameters: tuple[int, ...], *, first: bool) -> bytes:
    """COM_STMT_EXECUTE with whole numbers, framed; their types go along the `first` time only, as client libraries
    do it."""
    count = len(parameters)
    parts = [bytes((COM_STMT_EXECUTE,)), statement_id.to_bytes(4, "little"), b"\0\x01\0\0\0"]
    if count:
        parts += [bytes((count + 7) // 8), b"\x01" if first else b"\0"]
        if first:
            parts.append(bytes((TYPE_LONGLONG, 0)) * count)
        parts += [value.to_bytes(8, "little") for value in parameters]
    return frame(b"".join(parts))
