"""`unicode_loose_md5` and `unicode_loose_xxhash`: texts that differ only in case, accents or width lie together.

The digest of the text's primary collation key (see `collation`), blanks at the end taken off. Numbers count as their
text, NULL as the empty text, as in Vitess. Source: Vitess unicode.go, unicodeloosemd5.go, unicodeloosexxhash.go.

Two limits. Ideographs that Unicode added after 6.2 have, in Go, a weight that depends on the Go release; ours are
those of Go 1.21 and later (Unicode 15: Vitess 18 and later). And a text with more than 30 combining marks in a row,
some of which have weights, is refused with VindexError rather than put where Vitess may not look.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from router.vindexes.base import Value, VindexError, bytes_of
from router.vindexes.collation import CollationError, root_collation
from router.vindexes.octets import md5_digest, xxhash_digest


class UnicodeLoose:
    """`digest` of the primary collation key of the text."""

    __slots__ = ("_digest", "_key", "name")
    cost: Final = 1
    unique: Final = True
    functional: Final = True

    def __init__(self, name: str, digest: Callable[[bytes], bytes]) -> None:
        self.name: Final = name
        self._digest: Final = digest
        self._key: Final = root_collation().key

    def keyspace_id(self, value: Value) -> bytes | None:
        if not isinstance(value, str):
            try:
                value = bytes_of(value).decode()
            except UnicodeDecodeError:
                raise VindexError(value, "it is not valid UTF-8") from None
        elif not value.isascii():
            bytes_of(value)  # refuses lone surrogates
        try:
            return self._digest(self._key(value.rstrip(" ")))
        except CollationError as error:
            raise VindexError(value, str(error)) from None


def unicode_loose_md5(name: str) -> UnicodeLoose:
    return UnicodeLoose(name, md5_digest)


def unicode_loose_xxhash(name: str) -> UnicodeLoose:
    return UnicodeLoose(name, xxhash_digest)
