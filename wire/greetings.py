"""Greetings of one listener, made fast: they differ in connection id and nonce only.

Invariants: a nonce is given out once; nonces are drawn in this process, so make this object after the last fork.
"""

from __future__ import annotations

from typing import Final

from wire.constants import CLIENT_SSL, SCRAMBLE_LENGTH
from wire.login_actions import LoginSettings
from wire.login_request import greeting
from wire.packets import frame
from wire.scramble import NONCE_BYTES

_DRAWN_AT_ONCE: Final = 128


class Greetings:
    """`packet(id, nonce())` is what `wire.login.Login.start` would send."""

    __slots__ = ("_drawn", "_head", "_middle", "_random", "_tail")

    def __init__(self, settings: LoginSettings) -> None:
        caps = settings.caps | (CLIENT_SSL if settings.tls else 0)
        marks = bytes(range(1, SCRAMBLE_LENGTH + 1))
        whole = frame(
            greeting(
                settings.server_version, 0, marks, caps, settings.charset, settings.status, settings.default_plugin
            )
        )  # fmt: skip
        first = 4 + 1 + len(settings.server_version.encode()) + 1 + 4
        second = whole.index(marks[8:], first)
        self._head = whole[: first - 4]
        self._middle = whole[first + 8 : second]
        self._tail = whole[second + SCRAMBLE_LENGTH - 8 :]
        self._random = settings.random_bytes
        self._drawn: list[bytes] = []

    def packet(self, connection_id: int, nonce: bytes) -> bytes:
        number = (connection_id & 0xFFFFFFFF).to_bytes(4, "little")
        return b"".join((self._head, number, nonce[:8], self._middle, nonce[8:], self._tail))

    def nonce(self) -> bytes:
        """As `wire.scramble.make_nonce`."""
        if not self._drawn:
            size = SCRAMBLE_LENGTH * _DRAWN_AT_ONCE
            block = self._random(size).translate(NONCE_BYTES)
            self._drawn = [block[at : at + SCRAMBLE_LENGTH] for at in range(0, size, SCRAMBLE_LENGTH)]
        return self._drawn.pop()
