"""HTTP Basic: who asks, and whether it is them.

The password comes in the clear, and is held against the hashes that logins over MySQL's protocol are held against; a
SHA-crypt is computed once a worker (`Account.matches` remembers). An unknown user takes the same way with a decoy.
"""

import binascii
from base64 import b64decode
from hmac import compare_digest
from typing import TYPE_CHECKING, Final

from core.errors import fail
from wire.passwords import Account
from wire.scramble import native_stage2

if TYPE_CHECKING:
    from router.workers.worker import Worker

MAX_PASSWORD_BYTES: Final = 256
_TLS: Final = (
    "user '{user}' may log in over TLS only (require_tls), and the HTTP API is plain http: put a proxy with TLS before "
    "it and give its clients a user without require_tls, or use MySQL's protocol"
)


class Refused(Exception):
    """The request is refused: a vtrpc code, and a message for the client."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def parse_basic(header: str) -> tuple[str, str]:
    """User and password of an Authorization header. Raises Refused."""
    scheme, _, value = header.partition(" ")
    if not header:
        raise Refused(
            "UNAUTHENTICATED", "the request has no Authorization header: send user and password (Basic)"
        )
    if scheme.lower() != "basic":
        raise Refused("UNAUTHENTICATED", "Authorization must be Basic: user and password")
    try:
        user, colon, password = b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise Refused("UNAUTHENTICATED", "the Authorization header is not base64 of user:password") from None
    if not colon or not user:
        raise Refused("UNAUTHENTICATED", "the Authorization header names no user")
    return user, password


def user_of(worker: "Worker", header: str, host: str) -> str:
    """The user who proved to be it. Raises Refused."""
    user, password = parse_basic(header)
    account = worker.accounts.find(user) or worker.accounts.decoys.account(user)
    if not matches(account, password.encode()):
        error = fail("ACCESS_DENIED", user=user[:80], host=host, using="YES" if password else "NO")
        worker.stats.logins_refused += 1
        worker.stats.note_error(error.number, error.message)
        raise Refused(
            "UNAUTHENTICATED", f"{error.message} (errno {error.number}) (sqlstate {error.sqlstate})"
        )
    if account.require_tls:
        raise Refused("PERMISSION_DENIED", _TLS.format(user=user))
    if worker.boot.config.router.require_tls:
        raise Refused("PERMISSION_DENIED", "[router] require_tls is set, and the HTTP API is plain http")
    return user


def matches(account: Account, password: bytes) -> bool:
    """Whether it is the account's password."""
    if account.empty or not password:
        return account.empty and not password and not account.decoy
    if len(password) > MAX_PASSWORD_BYTES:
        return False
    if account.native is not None:
        return compare_digest(native_stage2(password), account.native) and not account.decoy
    return account.matches(password)
