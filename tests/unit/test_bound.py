"""Values of prepared executions as literals."""

import pytest

from router.sessions.bound import BoundLiterals
from router.sessions.prepared import PreparedStatement
from router.sql.dialect import Dialect
from wire.constants import TYPE_DOUBLE, TYPE_LONGLONG, TYPE_VAR_STRING
from wire.statements import build_execute


def literals(sql: bytes, types: list[int], values: list[object]) -> list[bytes]:
    statement = PreparedStatement(1, sql, ("", "", ""), Dialect.DEFAULT)
    execution = build_execute(1, types, values, False)  # type: ignore[arg-type]
    return list(BoundLiterals(statement, execution[5:], Dialect.DEFAULT))


@pytest.mark.parametrize(
    "sql", [b"SELECT a FROM t WHERE b = ? LIMIT ?,?", b"SELECT a FROM t WHERE b = ? LIMIT ? OFFSET ?"]
)
def test_a_limit_may_be_text_or_a_double(sql: bytes) -> None:
    assert literals(sql, [TYPE_VAR_STRING] * 3, [b"2", b"0", b"2"]) == [b"'2'", b"0", b"2"]
    assert literals(sql, [TYPE_DOUBLE] * 3, [2.0, 0.0, 2.0]) == [b"2e0", b"0", b"2"]
    assert literals(sql, [TYPE_LONGLONG] * 3, [2, 0, 2]) == [b"2", b"0", b"2"]


def test_what_is_no_whole_number_stays_what_it_is() -> None:
    sql = b"SELECT a FROM t WHERE b IN (SELECT c FROM u LIMIT 1) AND d IN (?, ?) LIMIT ?"
    assert literals(sql, [TYPE_VAR_STRING] * 3, [b"1", b"2", b"x"])[-3:] == [b"'1'", b"'2'", b"'x'"]
    assert literals(sql, [TYPE_DOUBLE] * 3, [1.0, 2.0, 2.5])[-1:] == [b"2.5e0"]
