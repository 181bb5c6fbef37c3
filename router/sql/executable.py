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
    at = 0
    hidden = 0  # where the comment began that the server leaves out, plus one
    depth = 0
    for found in token.finditer(sql):
        text = found.group()
        if text[:3] in (b"/*!", b"/*M") and text[-2:] != b"*/":
            depth += 1
            if not hidden:
                pieces += (sql[at : found.start()], b" ")
                at = found.end()
                number = found["n"]
                if not applies(bool(found["m"]), int(number) if number else None, server_version):
                    hidden = depth
        elif text == b"*/" and depth:
            if not hidden:
                pieces += (sql[at : found.start()], b" ")
                at = found.end()
            elif hidden == depth:
                at = found.end()
                hidden = 0
            depth -= 1
    if not hidden:
        pieces.append(sql[at:])
    return b"".join(pieces)
