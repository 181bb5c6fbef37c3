"""Rows of one statement that meet each other, or may."""

import pytest

from router.execute.interplay import meet_each_other
from router.execute.owner import Cell, Row

KEYS = [("id",), ("email",)]
LOOKUPS = [("email",)]


def row(id: bytes, email: bytes | None = None) -> dict[str, bytes]:
    return {"id": id} if email is None else {"id": id, "email": email}


def there(id: int, email: str | None) -> Row:
    return {"id": Cell(b"", id), "email": None if email is None else Cell(b"", email)}


@pytest.mark.parametrize(
    ("rows", "before", "expected"),
    [
        ([row(b"1", b"'a'")], [there(2, "a")], False),  # one row: what is there says it all
        ([row(b"1", b"'a'"), row(b"2", b"'b'")], [], False),
        ([row(b"1", b"'a'"), row(b"2", b"'A '")], [], True),
        ([row(b"1", b"'a'"), row(b"1", b"'b'")], [], True),
        ([row(b"1"), row(b"'01'")], [], True),
        ([row(b"1", b"NULL"), row(b"2", b"NULL"), row(b"3")], [], False),
        ([row(b"1", b"'a'"), row(b"2", b"UPPER('a')")], [], True),
        ([row(b"1", b"'a'"), row(b"2", "'ä'".encode())], [], True),
        ([row(b"1", b"'a'"), row(b"2", b"'b'")], [there(1, "a"), there(2, "c")], False),
        ([row(b"1", b"'a'"), row(b"2", b"'b'")], [there(2, "a")], True),  # until the second row changes it
        ([row(b"1", b"'a'"), row(b"2", b"'b'")], [there(2, None)], False),
        ([row(b"1", b"'a'"), row(b"2", b"'b'")], [there(2, "ä")], True),
    ],
)
def test_they_meet(rows: list[dict[str, bytes]], before: list[Row], expected: bool) -> None:
    assert meet_each_other(rows, before, KEYS, LOOKUPS, ("id",)) is expected
