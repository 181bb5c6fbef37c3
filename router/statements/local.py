"""Session state as values: literals put into statements, and SELECTs that the router answers alone.

Types are MySQL's: ids and counts are BIGINT, variables BIGINT, DOUBLE or text, user variables what was put into them.
What the router does not know stays in the statement as it was written, and a server says it.
"""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from core.errors import not_supported
from router.plan.connect_attributes import SESSIONS, VARIABLES
from router.plan.connect_attributes import SPOT as CONNECT_ATTRIBUTES
from router.plan.plans import LocalColumn
from router.sessions.insert_ids import UNKNOWN_ROWS
from router.sessions.session import Session
from router.sql.literals import literal_value
from router.statements.connect_attributes import attributes_table
from router.statements.session_variables import variables_table
from router.statements.sessions_table import Rows, sessions_table
from router.statements.words import variable_name
from router.variables import literals as lit
from router.variables.charsets import ServerCharsets, result_codec
from router.variables.reading import (
    UNKNOWN_HERE,
    client_charset,
    is_mariadb,
    is_switch,
    read,
    results_charset,
    server_version,
)
from wire.columns import Column
from wire.constants import (
    BINARY_FLAG,
    CHARSET_BINARY,
    NOT_FIXED_DECIMALS,
    NOT_NULL_FLAG,
    TYPE_DOUBLE,
    TYPE_LONG,
    TYPE_LONGLONG,
    TYPE_NEWDECIMAL,
    TYPE_NULL,
    TYPE_VAR_STRING,
    UNSIGNED_FLAG,
)
from wire.results import binary_result, text_result
from wire.rows import Cell

_DIGITS_OF_VARIABLES: Final = 6
"""Behind the point, in a variable that is a DOUBLE."""
_OF_SESSIONS: Final = {spot: schema for schema, spot in SESSIONS.items()}
_OF_VARIABLES: Final = {spot: schema for schema, spot in VARIABLES.items()}
_UNSIGNED: Final = BINARY_FLAG | UNSIGNED_FLAG
_SIGNED: Final = frozenset(("row_count", "found_rows"))
"""Functions that are BIGINT on both servers; all other numbers of theirs are unsigned."""


def is_of_sessions(spot: tuple[str, str]) -> bool:
    """Whether `value_of_spot` needs the sessions of all workers."""
    return spot[0] in _OF_SESSIONS


def value_of_spot(session: Session, spot: tuple[str, str], sessions: Rows = ()) -> bytes:
    """SQL text of a session-state spot of a SubstitutePlan; of a variable that only a server knows, `@@name`."""
    kind, name = spot
    if kind in _OF_SESSIONS:
        return sessions_table(session, sessions, _OF_SESSIONS[kind], name)
    if kind == CONNECT_ATTRIBUTES:
        return attributes_table(session, name)
    if kind in _OF_VARIABLES:
        return variables_table(session, _OF_VARIABLES[kind], name)
    if kind == "user_variable":
        return (session.user_variables or {}).get(name.lower(), lit.NULL)
    if kind == "user_variable_in_list":
        found = (session.user_variables or {}).get(name.lower(), lit.NULL)
        return b"%s+0" % found if found.isdigit() else found
    if kind == "variable":
        scope, plain = variable_name(name)
        value = read(session, scope, plain)
        if value is UNKNOWN_HERE or isinstance(value, float):  # a literal would be printed with other digits
            return b"@@" + name.encode("utf-8", "surrogateescape")
        return lit.value_literal(value)  # type: ignore[arg-type]
    if name == "database":
        return lit.value_literal(session.scope or None)
    if name == "schema":
        return lit.value_literal(session.keyspace or None)
    return lit.value_literal(_function(session, name))


def is_local(session: Session, columns: Sequence[LocalColumn]) -> bool:
    """Whether the router knows every value of these columns, so that `local_result` may answer."""
    for column in columns:
        kind, name = column.value
        if kind == "variable" and read(session, *variable_name(str(name))) is UNKNOWN_HERE:
            return False
    return True


def local_result(
    session: Session, columns: Sequence[LocalColumn], literals: Sequence[bytes] = (), warnings: int = 0
) -> bytes:
    """The packets of a SELECT of session state only. `literals` are those of the statement. Needs `is_local`."""
    values = [_value(session, column, literals) for column in columns]
    definitions = [_described(session, c, v) for c, v in zip(columns, values, strict=True)]
    for at, column in enumerate(columns):
        number = values[at]
        if column.value[0] == "variable" and isinstance(number, float):
            definitions[at] = replace(definitions[at], decimals=_DIGITS_OF_VARIABLES)
            values[at] = number if session.binary else f"{number:.{_DIGITS_OF_VARIABLES}f}"
    return rows_result(session, definitions, [values], warnings)


def rows_result(
    session: Session, columns: Sequence[Column], rows: Sequence[Sequence[lit.Value]], warnings: int = 0
) -> bytes:
    """A result set of the router's own, text in the client's character set."""
    codec = result_codec(results_charset(session))
    encoded = [[_cell(value, codec) for value in row] for row in rows]
    make = binary_result if session.binary else text_result
    return make(columns, encoded, session.caps, session.status, warnings=warnings)


def text_columns(session: Session, *names: str) -> list[Column]:
    """String columns of these names in the client's character set."""
    return [_column(session, name, "") for name in names]


def number_columns(session: Session, *names: str) -> list[Column]:
    """BIGINT UNSIGNED columns of these names."""
    return [_column(session, name, 0) for name in names]


def _value(session: Session, column: LocalColumn, literals: Sequence[bytes]) -> lit.Value:
    kind, name = column.value
    if kind == "literal":
        return _literal(session, literals[int(name)])
    if kind == "variable":
        value = read(session, *variable_name(str(name)))
        return None if value is UNKNOWN_HERE else value  # type: ignore[return-value]
    if kind == "user_variable":
        return lit.parsed((session.user_variables or {}).get(str(name).lower(), lit.NULL))
    if name == "database":
        return session.scope or None
    return _function(session, str(name))


def _literal(session: Session, literal: bytes) -> lit.Value:
    charset = client_charset(session)
    value = literal_value(literal, charset, session.dialect)
    if isinstance(value, bytes) and literal[:1] in (b"'", b'"'):
        return value.decode(result_codec(charset), "replace")
    return value


def _function(session: Session, name: str) -> lit.Value:
    if name == "last_insert_id":
        return session.last_insert_id
    if name == "row_count":
        return session.affected_rows
    if name == "found_rows":
        if session.found_rows == UNKNOWN_ROWS:
            raise not_supported(
                "FOUND_ROWS() after a CALL whose answer had no rows",
                "Have the procedure return the number.",
            )
        return session.found_rows
    if name == "connection_id":
        return session.id
    if name == "user":
        return f"{session.user}@{session.connection.host}"
    if name == "current_user":
        return f"{session.user}@%"
    assert name == "version", name
    return server_version(session)


def _column(session: Session, name: str, value: lit.Value) -> Column:
    raw = name.encode("utf-8", "surrogateescape")
    if not raw.isascii():
        text = raw.decode(result_codec(client_charset(session)), "replace")
        raw = text.encode(result_codec(results_charset(session)), "replace")
    if value is None:
        return Column(raw, TYPE_NULL, CHARSET_BINARY, 0, BINARY_FLAG, 0)
    if isinstance(value, int):
        flags = _UNSIGNED if value >= 0 else BINARY_FLAG
        return Column(raw, TYPE_LONGLONG, CHARSET_BINARY, 21, flags, 0)
    if isinstance(value, float):
        return Column(raw, TYPE_DOUBLE, CHARSET_BINARY, 23, BINARY_FLAG, NOT_FIXED_DECIMALS)
    if isinstance(value, Decimal):
        places = max(0, -int(value.as_tuple().exponent))
        return Column(raw, TYPE_NEWDECIMAL, CHARSET_BINARY, 67, BINARY_FLAG, places)
    if isinstance(value, bytes):
        return Column(raw, TYPE_VAR_STRING, CHARSET_BINARY, max(len(value), 1), BINARY_FLAG)
    charset = ServerCharsets(session.worker.server).id_of(results_charset(session))
    return Column(raw, TYPE_VAR_STRING, charset, max(len(value) * 4, 1024))


def _described(session: Session, column: LocalColumn, value: lit.Value) -> Column:
    """The column as the servers describe it, as far as drivers choose their types by it."""
    kind, name = column.value
    found = _column(session, column.name, value)
    if isinstance(value, int):
        if kind == "variable" and value in (0, 1) and is_switch(session, variable_name(str(name))[1]):
            return replace(found, length=1, flags=BINARY_FLAG)
        if kind == "function":
            flags = NOT_NULL_FLAG | (BINARY_FLAG if name in _SIGNED else _UNSIGNED)
            if name == "connection_id" and is_mariadb(session):
                return replace(found, type=TYPE_LONG, length=10, flags=flags)
            return replace(found, flags=flags)
        if kind == "user_variable" and value < 1 << 63:
            return replace(found, flags=BINARY_FLAG)
    elif value is None and kind == "user_variable":
        return replace(found, type=TYPE_VAR_STRING, length=65532, decimals=NOT_FIXED_DECIMALS)
    return found


def _cell(value: lit.Value, codec: str) -> Cell | None:
    if isinstance(value, str):
        return value.encode(codec, "replace") if not value.isascii() or codec[:3] == "utf" else value.encode()
    if isinstance(value, Decimal):
        return str(value)
    return value
