"""Executable comments, `/*!40101 ... */` and `/*M!100100 ... */`: what a server reads of them.

A server reads what is inside as part of the statement where it is as new as the comment asks for, and nothing of it
otherwise. Source: MySQL's reference manual, "Comments"; MariaDB's knowledge base, "Comment Syntax".
"""

import re
from typing import Final

from router.sql.dialect import Dialect

_TOKEN: Final = (
    rb"""'(?:[^'%(escape)b]|%(escaped)b'')*'|"(?:[^"%(escape)b]|%(escaped)b"")*"|`[^`]*`|(?:--(?=[\s\x00])|\#)[^\n]*"""
    rb"""|/\*(?P<m>M?)!(?P<n>\d{5,6}(?!\d))?|/\*.*?\*/|\*/"""
)
_WITH_BACKSLASH: Final = re.compile(_TOKEN % {b"escape": rb"\\", b"escaped": rb"\\.|"}, re.DOTALL)
_WITHOUT_BACKSLASH: Final = re.compile(_TOKEN % {b"escape": b"", b"escaped": b""}, re.DOTALL)
_MARK: Final = re.compile(rb"/\*|\*/")
_VERSION: Final = re.compile(rb"/\*M?!(?P<n>\d{5,6}(?!\d))")


def applies(mariadb_only: bool, number: int | None, server_version: str) -> bool:
    """Whether the server reads a comment that asks for version `number` (None: any), `mariadb_only`: by an M.

    MariaDB leaves out those for MySQL from 5.7 to 9.9.
    """
    mariadb = "mariadb" in server_version.lower()
    if mariadb_only and not mariadb:
        return False
    if number is None:
        return True
    if mariadb and not mariadb_only and 50700 <= number <= 99999:
        return False
    have = 0
    for part in [*re.findall(r"\d+", server_version)[:3], "0", "0", "0"][:3]:
        have = have * 100 + int(part)
    return number <= have


def read_by_server(sql: bytes, server_version: str, dialect: Dialect) -> bytes:
    """The statement without the marks of executable comments: what is inside stays where the server reads it.

    >>> read_by_server(b"SET a=1/*!40102 ,b=2 */ /*!99999 ,c=3 */", "8.0.30", Dialect.DEFAULT)
    b'SET a=1  ,b=2    '
    """
    token = _WITH_BACKSLASH if dialect.backslash_escapes else _WITHOUT_BACKSLASH
    pieces: list[bytes] = []
    at = start = depth = 0
    while (found := token.search(sql, start)) is not None:
        text = found.group()
        start = found.end()
        opens = text[:3] in (b"/*!", b"/*M") and text[-2:] != b"*/"
        if not opens and not (text == b"*/" and depth):
            continue
        pieces += (sql[at : found.start()], b" ")
        at = start
        if not opens:
            depth -= 1
            continue
        number = found["n"]
        if applies(bool(found["m"]), int(number) if number else None, server_version):
            depth += 1
        else:
            at = start = _end_of_hidden(sql, start)
    pieces.append(sql[at:])
    return b"".join(pieces)


def _end_of_hidden(sql: bytes, at: int) -> int:
    """Where a comment ends that the server leaves out: quotes mean nothing in it, and it may hold comments."""
    nested = False
    for mark in _MARK.finditer(sql, at):
        if mark.group() == b"/*":
            nested = True
        elif nested:
            nested = False
        else:
            return mark.end()
    return len(sql)


def readings(sql: bytes, dialect: Dialect) -> list[bytes]:
    """What servers of any version, of either flavour, read: at most two for each version that a comment asks for."""
    numbers = {0, *(int(found["n"]) for found in _VERSION.finditer(sql))}
    found: dict[bytes, None] = {}
    for number in sorted(numbers):
        version = f"{number // 10000}.{number // 100 % 100}.{number % 100}"
        for server in (version, version + "-MariaDB"):
            found[read_by_server(sql, server, dialect)] = None
    return list(found)
