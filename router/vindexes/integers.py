"""Vindexes over integers: `hash`, `numeric`, `reverse_bits`, `numeric_static_map`.

All give 8 bytes. They take what equals an integer (`base.integer_of`); NULL and numbers outside the range of
MySQL's integer types are in no shard.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from router.vindexes.base import Value, Vindex, integer_of

# A triple DES whose three keys are equal is DES, which is what Vitess uses. ECB has no state between blocks, so one
# encryptor serves for ever (10 us to make, 0.5 us to use).
_encrypt = Cipher(TripleDES(bytes(24)), modes.ECB()).encryptor().update
_decrypt = Cipher(TripleDES(bytes(24)), modes.ECB()).decryptor().update
_REVERSED_BITS: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def unhash(keyspace_id: bytes) -> int:
    """The unsigned integer whose `hash` is this keyspace id: how lookup_hash tables hold it. ValueError for any that
    is not 8 bytes long. Source: Vitess's vunhash."""
    if len(keyspace_id) != 8:
        raise ValueError("no keyspace id of vindex hash")
    return int.from_bytes(_decrypt(keyspace_id), "big")


class Hash:
    """DES with a null key over the big-endian 64-bit integer; negative numbers as two's complement.

    Source: Vitess hash.go. Unlike Vitess, "-1" as text is where -1 is.
    """

    __slots__ = ("name",)
    cost: Final = 1
    unique: Final = True
    functional: Final = True

    def __init__(self, name: str) -> None:
        self.name: Final = name

    def keyspace_id(self, value: Value) -> bytes | None:
        if type(value) is not int:
            value = integer_of(value)
            if value is None:
                return None
        try:
            return _encrypt(value.to_bytes(8, "big"))
        except OverflowError:
            if -(2**63) <= value < 0:
                return _encrypt(value.to_bytes(8, "big", signed=True))
            return None


class Numeric:
    """The unsigned integer itself, big-endian. Negative numbers are in no shard. Source: Vitess numeric.go."""

    __slots__ = ("name",)
    cost: Final = 0
    unique: Final = True
    functional: Final = True

    def __init__(self, name: str) -> None:
        self.name: Final = name

    def keyspace_id(self, value: Value) -> bytes | None:
        if type(value) is not int:
            value = integer_of(value)
            if value is None:
                return None
        try:
            return value.to_bytes(8, "big")
        except OverflowError:
            return None


class ReverseBits:
    """The unsigned integer with its 64 bits in reverse order. Negative numbers are in no shard.

    Source: Vitess reverse_bits.go.
    """

    __slots__ = ("name",)
    cost: Final = 1
    unique: Final = True
    functional: Final = True

    def __init__(self, name: str) -> None:
        self.name: Final = name

    def keyspace_id(self, value: Value) -> bytes | None:
        number = integer_of(value)
        if number is None:
            return None
        try:
            return number.to_bytes(8, "little").translate(_REVERSED_BITS)
        except OverflowError:
            return None


ONE_TO_ONE: Final = (Hash, Numeric, ReverseBits)
"""No two integers of a column have the same keyspace id."""


class NumericStaticMap:
    """The integer that a table gives for this one, as `numeric`; an integer not in the table goes through
    `fallback`, or stays itself when there is none. Source: Vitess numeric_static_map.go."""

    __slots__ = ("_fallback", "_table", "name")
    cost: Final = 1
    unique: Final = True
    functional: Final = True

    def __init__(self, name: str, table: Mapping[int, int], fallback: Vindex | None = None) -> None:
        self.name: Final = name
        self._table: Final = {key: mapped.to_bytes(8, "big") for key, mapped in table.items()}
        self._fallback: Final = fallback

    def keyspace_id(self, value: Value) -> bytes | None:
        number = integer_of(value)
        if number is None or not 0 <= number < 2**64:
            return None
        mapped = self._table.get(number)
        if mapped is not None:
            return mapped
        if self._fallback is not None:
            return self._fallback.keyspace_id(value)
        return number.to_bytes(8, "big")
