"""The rows of `performance_schema.session_connect_attrs` that a session sees: its own."""

from router.sessions.session import Session
from wire.connect_attributes import described


def attributes_table(session: Session, alias: str) -> bytes:
    """A derived table with the columns of MySQL's. `alias`: its name, empty where the statement gives it one."""
    rows = [
        (_text(name), _text(value), position)
        for position, (name, value) in enumerate(described(session.connect_attributes, session.pid))
    ]
    query = (
        b" UNION ALL ".join([_row(session.id, *row) for row in rows])
        or _row(session.id, _text(""), _text(""), 0) + b" LIMIT 0"
    )
    return b"(" + query + b")" + (b" AS `" + alias.encode() + b"`" if alias else b"")


def _row(number: int, name: bytes, value: bytes, position: int) -> bytes:
    return (
        b"SELECT CAST(%d AS UNSIGNED) AS PROCESSLIST_ID, %b AS ATTR_NAME, %b AS ATTR_VALUE, %d AS ORDINAL_POSITION"
        % (number, name, value, position)
    )


def _text(value: str) -> bytes:
    return b"_utf8mb4 x'" + value.encode().hex().encode() + b"' COLLATE utf8mb4_bin"
