"""Answers to greetings, without a parser: greetings of one server differ in connection id and nonce only.

Invariant: a greeting that differs from the learned one in anything else gets no answer here.
"""

from hashlib import sha1, sha256

from cli.bench.connection import Place
from cli.bench.protocol import Login
from wire.constants import CACHING_SHA2_PASSWORD, NATIVE_PASSWORD
from wire.packets import frame

_ID_BYTES = 4
_NONCE_HEAD = 8
_NONCE_TAIL = 12


class Replies:
    """The login packets of one user, made from greetings."""

    def __init__(self, place: Place, greeting: bytes) -> None:
        """Learns from a greeting, framed. Raises ServerRefused, WireError, ValueError for one that is none, or of
        a server or user that this way is not for."""
        self._password = place.password.encode()
        version_end = greeting.index(b"\0", 5)
        self._nonce_at = version_end + 1 + _ID_BYTES
        self._tail_at = self._nonce_at + _NONCE_HEAD + 1 + 18
        self._end = self._tail_at + _NONCE_TAIL
        self._head = greeting[: version_end + 1]
        self._middle = greeting[self._nonce_at + _NONCE_HEAD : self._tail_at]
        self._rest = greeting[self._end :]
        reply = Login(place.user, place.password, place.database).receive(greeting[4:])
        nonce = self._nonce(greeting)
        plugins = [
            name for name in (CACHING_SHA2_PASSWORD, NATIVE_PASSWORD) if reply and name.encode() in reply
        ]
        if not self._password or reply is None or not plugins:
            raise ValueError("no password, or a plugin that is not known here")
        self._sha2 = plugins[0] == CACHING_SHA2_PASSWORD
        self._hash = sha256 if self._sha2 else sha1
        self._stage1 = self._hash(self._password).digest()
        self._stage2 = self._hash(self._stage1).digest()
        self._stage1_number = int.from_bytes(self._stage1, "big")
        proof = self._proof(nonce)
        packet = frame(reply, 1)
        self._before, found, self._after = packet.partition(proof)
        if not found:
            raise ValueError("the proof is not where it should be")

    def _nonce(self, greeting: bytes) -> bytes:
        return greeting[self._nonce_at : self._nonce_at + _NONCE_HEAD] + greeting[self._tail_at : self._end]

    def _proof(self, nonce: bytes) -> bytes:
        mixed = self._hash(self._stage2 + nonce if self._sha2 else nonce + self._stage2).digest()
        size = len(mixed)
        return (self._stage1_number ^ int.from_bytes(mixed, "big")).to_bytes(size, "big")

    def reply(self, greeting: bytes) -> bytes | None:
        """The login packet, framed; None: this greeting is another one."""
        if (
            not greeting.startswith(self._head)
            or not greeting.endswith(self._rest)
            or greeting[self._nonce_at + _NONCE_HEAD : self._tail_at] != self._middle
            or len(greeting) != self._end + len(self._rest)
        ):
            return None
        return self._before + self._proof(self._nonce(greeting)) + self._after
