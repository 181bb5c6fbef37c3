"""The arithmetic of MySQL's two password plugins: what a client proves with, what a server keeps, how it checks.

    mysql_native_password   client: SHA1(pw) xor SHA1(nonce + SHA1(SHA1(pw)));            kept: SHA1(SHA1(pw))
    caching_sha2_password   client: SHA256(pw) xor SHA256(SHA256(SHA256(pw)) + nonce);    kept: SHA256(SHA256(pw))
                            in a cache, and for full authentication a 5,000 round SHA-crypt

All comparisons take constant time. Source: MySQL's `password.c`, `sha2_password_common.cc`, and Ulrich Drepper's
"Unix crypt using SHA-256", with MySQL's 20-byte salt in place of its 16.
"""

from __future__ import annotations

from hashlib import sha1, sha256
from hmac import compare_digest

from wire.constants import SCRAMBLE_LENGTH

_ITOA64 = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# triples of digest bytes that make four characters each; the last character triple has two bytes only
_SHA_CRYPT_ORDER = (
    (0, 10, 20),
    (21, 1, 11),
    (12, 22, 2),
    (3, 13, 23),
    (24, 4, 14),
    (15, 25, 5),
    (6, 16, 26),
    (27, 7, 17),
    (18, 28, 8),
    (9, 19, 29),
)


NONCE_BYTES = bytes(1 if byte & 0x7F in (0, 0x24) else byte & 0x7F for byte in range(256))
"""What a random byte becomes in a nonce."""


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")


def make_nonce(random: bytes) -> bytes:
    """20 bytes for a scramble out of 20 random ones: 7 bits, neither NUL (it ends strings in the greeting) nor
    '$' (it ends the salt in MySQL's hashes)."""
    if len(random) != SCRAMBLE_LENGTH:
        raise ValueError("a nonce is made of 20 random bytes")
    return random.translate(NONCE_BYTES)


def native_stage2(password: bytes) -> bytes:
    return sha1(sha1(password).digest()).digest()


def native_scramble(password: bytes, nonce: bytes) -> bytes:
    """The client's side, for tests and for checks of our own listener."""
    stage1 = sha1(password).digest()
    return _xor(stage1, sha1(nonce + sha1(stage1).digest()).digest())


def check_native(response: bytes, nonce: bytes, stage2: bytes) -> bool:
    if len(response) != 20:
        return False
    stage1 = _xor(response, sha1(nonce + stage2).digest())
    return compare_digest(sha1(stage1).digest(), stage2)


def sha2_digest(password: bytes) -> bytes:
    return sha256(sha256(password).digest()).digest()


def sha2_scramble(password: bytes, nonce: bytes) -> bytes:
    """The client's side, for tests and for checks of our own listener."""
    stage1 = sha256(password).digest()
    return _xor(stage1, sha256(sha256(stage1).digest() + nonce).digest())


def check_sha2(response: bytes, nonce: bytes, digest: bytes) -> bool:
    if len(response) != 32:
        return False
    stage1 = _xor(response, sha256(digest + nonce).digest())
    return compare_digest(sha256(stage1).digest(), digest)


def unmask_password(masked: bytes, nonce: bytes) -> bytes | None:
    """The password of full authentication, from what RSA decrypted: XORed with the nonce over and over, with a NUL
    at its end. None if there is no such NUL."""
    repeated = (nonce * (len(masked) // len(nonce) + 1))[: len(masked)]
    plain = _xor(masked, repeated) if masked else b""
    return plain[:-1] if plain.endswith(b"\0") else None


def mask_password(password: bytes, nonce: bytes) -> bytes:
    """The client's side of `unmask_password`."""
    plain = password + b"\0"
    return _xor(plain, (nonce * (len(plain) // len(nonce) + 1))[: len(plain)])


def sha_crypt(password: bytes, salt: bytes, rounds: int) -> bytes:
    """The 43 characters of SHA-crypt ("$5$"). About 5 ms for 5,000 rounds."""
    size = len(password)
    alternate = sha256(password + salt + password).digest()
    first = bytearray(password + salt)
    first += (alternate * (size // 32 + 1))[:size]
    bits = size
    while bits:
        first += alternate if bits & 1 else password
        bits >>= 1
    digest = sha256(first).digest()
    p = (sha256(password * size).digest() * (size // 32 + 1))[:size]
    s = (sha256(salt * (16 + digest[0])).digest() * (len(salt) // 32 + 1))[: len(salt)]
    # what stands between depends on the round modulo 42 only
    odd = [(s if i % 3 else b"") + (p if i % 7 else b"") for i in range(42)]
    for i in range(rounds):
        middle = odd[i % 42]
        digest = sha256(p + middle + digest if i & 1 else digest + middle + p).digest()
    return _sha_crypt_text(digest)


def _sha_crypt_text(digest: bytes) -> bytes:
    text = bytearray()
    for a, b, c in _SHA_CRYPT_ORDER:
        value = digest[a] << 16 | digest[b] << 8 | digest[c]
        text += bytes(_ITOA64[value >> shift & 63] for shift in (0, 6, 12, 18))
    value = digest[31] << 8 | digest[30]
    text += bytes(_ITOA64[value >> shift & 63] for shift in (0, 6, 12))
    return bytes(text)
