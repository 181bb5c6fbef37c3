"""What is kept of an account's password, in the three forms a configuration can give it.

Invariants: no plain password is kept; an account proves nothing by a plugin it has no hash for; a decoy, which
stands in for an unknown user, is refused whatever is proved, and is told from an account by nothing on the wire.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as keyed_digest

from wire.constants import CACHING_SHA2_PASSWORD, NATIVE_PASSWORD
from wire.scramble import native_stage2, sha2_digest, sha_crypt

_NATIVE = re.compile(r"\*[0-9A-Fa-f]{40}")
_SHA_CRYPT_PREFIX = b"$A$"


@dataclass(frozen=True, slots=True)
class ShaCrypt:
    """caching_sha2_password's stored form: `$A$<rounds/1000 in hex>$<20 bytes of salt><43 characters>`."""

    rounds: int
    salt: bytes
    digest: bytes

    def matches(self, password: bytes) -> bool:
        """Takes about 5 ms for 5,000 rounds."""
        return compare_digest(sha_crypt(password, self.salt, self.rounds), self.digest)

    def encode(self) -> bytes:
        return b"$A$%03X$" % (self.rounds // 1000) + self.salt + self.digest


class Account:
    """Hashes of one account's password; `None` where that form is not known. All None: the password is empty.

    `sha2` is caching_sha2_password's cache: set from a plain password at once, else by the first full
    authentication that succeeds (`remember`). A changed password is a new Account. `require_tls`: the right password
    over an open channel is refused all the same, as by MySQL's REQUIRE SSL.
    """

    __slots__ = ("crypt", "decoy", "native", "require_tls", "sha2")

    def __init__(
        self,
        native: bytes | None = None,
        sha2: bytes | None = None,
        crypt: ShaCrypt | None = None,
        *,
        decoy: bool = False,
        require_tls: bool = False,
    ) -> None:
        self.require_tls = require_tls
        self.native = native
        self.sha2 = sha2
        self.crypt = crypt
        self.decoy = decoy

    @property
    def empty(self) -> bool:
        return self.native is None and self.sha2 is None and self.crypt is None

    def plugins(self) -> tuple[str, ...]:
        """Plugins this account can be proved by; an empty password by both."""
        if self.empty:
            return (CACHING_SHA2_PASSWORD, NATIVE_PASSWORD)
        found = []
        if self.sha2 is not None or self.crypt is not None:
            found.append(CACHING_SHA2_PASSWORD)
        if self.native is not None:
            found.append(NATIVE_PASSWORD)
        return tuple(found)

    def matches(self, password: bytes) -> bool:
        """Checks a password that came in the clear or by RSA (full authentication), and remembers it if right.

        With a SHA-crypt a wrong password costs its 5 ms whether or not the cache is filled, so that time tells
        nothing of who logged in before.
        """
        if not password:
            return False  # an empty one is settled before full authentication
        if self.sha2 is not None and compare_digest(sha2_digest(password), self.sha2):
            return not self.decoy
        if self.crypt is not None and self.crypt.matches(password) and not self.decoy:
            self.sha2 = sha2_digest(password)
            return True
        return False

    def with_cached(self, other: Account) -> Account:
        """This account with the other's cache, if both keep the same hash: for a configuration read again."""
        if self.crypt is not None and self.crypt == other.crypt and self.sha2 is None:
            return Account(self.native, other.sha2, self.crypt, require_tls=self.require_tls)
        return self


def account_from_password(password: str) -> Account:
    """An account that both plugins can prove, without SHA-crypt's cost."""
    if not password:
        return Account()
    raw = password.encode()
    return Account(native_stage2(raw), sha2_digest(raw))


def account_from_hash(password_hash: str) -> Account:
    """An account of `*<40 hex digits>` (mysql_native_password) or `$A$...` (caching_sha2_password; also as `0x...`,
    which is how SHOW CREATE USER prints salts that are not printable). ValueError for anything else."""
    text = password_hash.strip() if password_hash.startswith(("*", "0x", "0X")) else password_hash
    if _NATIVE.fullmatch(text):
        return Account(native=bytes.fromhex(text[1:]))
    try:
        raw = bytes.fromhex(text[2:]) if text[:2] in ("0x", "0X") else text.encode("latin-1")
    except ValueError:
        raise ValueError(_HASH_FORMS) from None
    return Account(crypt=parse_sha_crypt(raw))


def account_from_verifiers(native: str, sha2: str) -> Account:
    """An account of both plugins' stored forms, as `account_from_hash` takes them; empty where there is none.
    ValueError."""
    first = account_from_hash(native) if native else Account()
    second = account_from_hash(sha2) if sha2 else Account()
    if first.crypt is not None or second.native is not None:
        raise ValueError(_HASH_FORMS)
    return Account(first.native, None, second.crypt)


def parse_sha_crypt(raw: bytes) -> ShaCrypt:
    """Parses `$A$005$<salt><digest>`, 70 bytes. ValueError."""
    if len(raw) != 70 or not raw.startswith(_SHA_CRYPT_PREFIX) or raw[6:7] != b"$":
        raise ValueError(_HASH_FORMS)
    try:
        rounds = int(raw[3:6], 16) * 1000
    except ValueError:
        raise ValueError(_HASH_FORMS) from None
    if not 5000 <= rounds <= 4095000:
        raise ValueError(_HASH_FORMS)
    return ShaCrypt(rounds, raw[7:27], raw[27:])


_HASH_FORMS = (
    "a password hash is '*' and 40 hex digits (mysql_native_password), or '$A$005$' with 20 bytes of salt and 43 "
    "characters (caching_sha2_password), the latter also as 0x and hex digits"
)


def native_hash(password: str) -> str:
    """`*<40 hex digits>`, as MySQL stores it."""
    return "*" + native_stage2(password.encode()).hex().upper()


def caching_sha2_hash(password: str, salt: bytes, rounds: int = 5000) -> str:
    """`$A$005$...`, as MySQL stores it; `salt` is 20 bytes as of `make_nonce`."""
    return ShaCrypt(rounds, salt, sha_crypt(password.encode(), salt, rounds)).encode().decode("latin-1")


def caching_sha2_hash_hex(password: str, salt: bytes) -> str:
    """`0x...`: `caching_sha2_hash` in a form that text files bear."""
    return "0x" + caching_sha2_hash(password, salt).encode("latin-1").hex().upper()


class Decoys:
    """Stand-ins for unknown users, so that their logins go the way of an account's.

    Which kind of account an unknown name looks like follows from the name and `secret` (the same in all processes,
    else a name that changes its looks is known to be unknown), among the kinds that exist: so a name that is asked
    to switch plugins may be an account or a decoy, as in MySQL.
    """

    __slots__ = ("_kinds", "_secret")

    def __init__(self, secret: bytes, accounts: Sequence[Account] = ()) -> None:
        kinds = sorted({_kind(account) for account in accounts if not account.empty})
        self._secret = secret
        self._kinds = kinds or [_kind(account_from_password("x"))]

    def account(self, user: str) -> Account:
        seed = keyed_digest(self._secret, user.encode("utf-8", "surrogateescape"), sha256)
        native, sha2, crypt = self._kinds[int.from_bytes(seed[:4], "big") % len(self._kinds)]
        return Account(
            native=seed[:20] if native else None,
            sha2=seed if sha2 else None,
            crypt=ShaCrypt(5000, seed[:20], seed * 2) if crypt else None,
            decoy=True,
        )


def _kind(account: Account) -> tuple[bool, bool, bool]:
    # a filled cache does not make another kind: it shows only in the time of a right password
    return (
        account.native is not None,
        account.sha2 is not None and account.crypt is None,
        account.crypt is not None,
    )
