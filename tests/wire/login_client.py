"""A client's side of a login, as libmysqlclient does it, without I/O."""

from collections.abc import Callable
from dataclasses import dataclass, field

from wire.constants import (
    CACHING_SHA2_PASSWORD,
    CLIENT_CONNECT_ATTRS,
    CLIENT_CONNECT_WITH_DB,
    CLIENT_MYSQL,
    CLIENT_PLUGIN_AUTH,
    CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA,
    CLIENT_PROTOCOL_41,
    CLIENT_SECURE_CONNECTION,
    CLIENT_SSL,
    NATIVE_PASSWORD,
)
from wire.keys import encrypt
from wire.login import Login
from wire.login_actions import Action, Authenticated, Refused, Send, UpgradeTls
from wire.packets import PacketReader, lenenc_bytes
from wire.scramble import mask_password, native_scramble, sha2_scramble

CAPS = (
    CLIENT_PROTOCOL_41
    | CLIENT_SECURE_CONNECTION
    | CLIENT_PLUGIN_AUTH
    | CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
    | CLIENT_CONNECT_WITH_DB
    | CLIENT_CONNECT_ATTRS
)


def login_payload(
    user: str,
    response: bytes,
    plugin: str,
    caps: int = CAPS,
    database: str = "shop",
    attributes: tuple[tuple[bytes, bytes], ...] = ((b"_os", b"x"),),
) -> bytes:
    block = b"".join(lenenc_bytes(key) + lenenc_bytes(value) for key, value in attributes)
    parts = [
        (caps & 0xFFFFFFFF).to_bytes(4, "little"),
        (1 << 24).to_bytes(4, "little"),
        b"\xff",
        bytes(19) + (0 if caps & CLIENT_MYSQL else caps >> 32).to_bytes(4, "little"),
        user.encode(),
        b"\0",
    ]
    parts.append(lenenc_bytes(response))
    if caps & CLIENT_CONNECT_WITH_DB:
        parts.append(database.encode() + b"\0")
    if caps & CLIENT_PLUGIN_AUTH:
        parts.append(plugin.encode() + b"\0")
    if caps & CLIENT_CONNECT_ATTRS:
        parts.append(lenenc_bytes(block))
    return b"".join(parts)


def prove(plugin: str, password: bytes, nonce: bytes) -> bytes:
    if not password:
        return b""
    if plugin == NATIVE_PASSWORD:
        return native_scramble(password, nonce)
    return sha2_scramble(password, nonce) if plugin == CACHING_SHA2_PASSWORD else b"of another plugin"


@dataclass
class Client:
    """Logs in to `login` and keeps what the server sent and what became of it."""

    login: Login
    user: str
    password: bytes
    plugin: str = CACHING_SHA2_PASSWORD
    tls: bool = False
    caps: int = CAPS
    seen: list[bytes] = field(default_factory=list)
    _nonce: bytes = b""

    def run(self) -> Authenticated | Refused:
        self._reader = PacketReader(consecutive=True)
        (greeting,) = self._reader.feed(self.login.start())
        self._take_greeting(greeting[0])
        sequence = 1
        if self.tls:
            head = (
                (self.caps | CLIENT_SSL).to_bytes(4, "little")
                + (1 << 24).to_bytes(4, "little")
                + b"\xff"
                + bytes(23)
            )
            assert self.login.receive(head, 1) == [UpgradeTls()]
            self.login.tls_started()
            sequence = 2
        caps = self.caps | (CLIENT_SSL if self.tls else 0)
        payload = login_payload(self.user, prove(self.plugin, self.password, self._nonce), self.plugin, caps)
        self._reader.expected = sequence + 1
        return self.talk(lambda: self.login.receive(payload, sequence))

    def change_user(self, caps: int) -> Authenticated | Refused:
        """COM_CHANGE_USER with a proof that is wrong; the one that counts answers the switch."""
        self._reader = PacketReader(consecutive=True, expected=1)
        payload = (
            b"\x11"
            + self.user.encode()
            + b"\0"
            + b"\x14"
            + bytes(20)
            + b"db\0"
            + b"\xff\0"
            + self.plugin.encode()
            + b"\0"
        )
        return self.talk(lambda: self.login.change_user(payload, 0, caps, bytes(range(1, 21))))

    def talk(self, step: Callable[[], list[Action]]) -> Authenticated | Refused:
        actions = step()
        while True:
            answer: bytes | None = None
            for action in actions:
                if isinstance(action, Send):
                    ((payload, sequence),) = self._reader.feed(action.data)
                    self.seen.append(payload)
                    answer = self._answer(payload)
                    if answer is not None:
                        self._reader.expected = (sequence + 2) & 0xFF
                        reply = sequence + 1
                elif isinstance(action, Refused):
                    self.seen.append(action.data[4:])
                    return action
                elif isinstance(action, Authenticated):
                    return action
            assert answer is not None, "the server waits for nothing and says nothing"
            actions = self.login.receive(answer, reply)

    def _take_greeting(self, payload: bytes) -> None:
        assert payload[0] == 10
        at = payload.index(b"\0") + 1
        self._nonce = payload[at + 4 : at + 12] + payload[at + 31 : at + 43]
        assert len(self._nonce) == 20

    def _answer(self, payload: bytes) -> bytes | None:
        if payload[0] == 0xFE:
            name, _, nonce = payload[1:].partition(b"\0")
            self.plugin, self._nonce = name.decode(), nonce[:20]
            assert nonce[20:] == b"\0"
            return prove(self.plugin, self.password, self._nonce)
        assert payload[0] == 1
        if payload == b"\x01\x03":
            return None
        if payload == b"\x01\x04":
            return self.password + b"\0" if self.login.secure else b"\x02"
        return encrypt(payload[1:], mask_password(self.password, self._nonce))
