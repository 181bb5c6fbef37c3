"""What all logins of a listener have in common, and what one asks of whoever has the connection."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from wire.constants import (
    CACHING_SHA2_PASSWORD,
    CHARSET_UTF8MB4_0900_AI_CI,
    SERVER_CAPABILITIES,
    SERVER_STATUS_AUTOCOMMIT,
)
from wire.passwords import Decoys


class RsaKey(Protocol):
    """See `wire.keys.RsaPrivateKey`."""

    @property
    def public_pem(self) -> bytes: ...

    def decrypt(self, ciphertext: bytes) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class LoginSettings:
    """What all logins of a listener have in common."""

    server_version: str
    decoys: Decoys
    caps: int = SERVER_CAPABILITIES
    """CLIENT_SSL is added by `tls`."""
    charset: int = CHARSET_UTF8MB4_0900_AI_CI
    status: int = SERVER_STATUS_AUTOCOMMIT
    default_plugin: str = CACHING_SHA2_PASSWORD
    tls: bool = False
    """TLS is offered."""
    require_tls: bool = False
    """Logins over neither TLS nor a unix socket are refused with 3159."""
    rsa_key: Callable[[], RsaKey] | None = None
    """Called when a client first asks for the key; None refuses full authentication over an open channel."""
    random_bytes: Callable[[int], bytes] = os.urandom


@dataclass(frozen=True, slots=True)
class Send:
    data: bytes


@dataclass(frozen=True, slots=True)
class UpgradeTls:
    """Start TLS as the server, with the bytes behind the SSLRequest, if any, as its first; then call
    `Login.tls_started`."""


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The verdict. `sequence` is that of the OK or ERR to send now; `caps` are those both sides have."""

    user: str
    database: str | None
    caps: int
    charset: int
    attributes: bytes
    plugin: str
    max_packet_bytes: int
    sequence: int
    zstd_level: int = 0
    """Where the client compresses with zstd; 0: it compresses with zlib, or not at all."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Send `data` (an ERR packet) and close."""

    number: int
    sqlstate: str
    text: str
    data: bytes


Action = Send | UpgradeTls | Authenticated | Refused
