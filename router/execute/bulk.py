"""COM_STMT_BULK_EXECUTE: a batch of rows for one prepared statement, as MariaDB's connectors send it.

    its shard does not depend on its values          the batch goes there as it came
    INSERT, REPLACE with parameters in VALUES only   one statement of all rows, which go to their shards
    other INSERT, REPLACE                            row by row, in one transaction
    UPDATE, DELETE                                   row by row; without a transaction each row stands by itself, as on
                                                     the server
    anything else                                    1295, as on the server (which refuses INSERT ... SELECT, too)

Invariants: a batch has one answer; nothing is done before all rows that the router reads are read.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from core.errors import fail, not_supported
from core.rpc import messages as m
from router.execute.insert import InsertRunner
from router.execute.owned import OwnedInsertRunner
from router.execute.route import chooser_one
from router.execute.row_by_row import RowByRow
from router.execute.values import render
from router.gateway import Link
from router.plan.plans import Bind, Choice, DmlPlan, InsertPlan, InsertRow, Planned, Template
from router.sessions.bound import PLACEHOLDER, BoundLiterals, bound_literal
from router.sessions.insert_ids import forward_insert
from router.sessions.prepared import Execution, PreparedStatement, find_statement
from router.sessions.session import Session
from router.sessions.transcoding import transcode
from router.sql.dialect import Dialect
from router.variables.reading import is_mariadb
from router.view import SYSTEM_SCHEMAS
from wire.bulk import (
    COMMAND,
    INDICATOR_DEFAULT,
    INDICATOR_IGNORE,
    INDICATOR_NONE,
    Bulk,
    Cell,
    parse_bulk,
    unsupported,
)
from wire.commands import unknown_command
from wire.constants import MARIADB_CLIENT_STMT_BULK_OPERATIONS
from wire.errors import CommandError

_WRITES: Final = re.compile(
    rb"\s*(?:SET\s+STATEMENT\b.*?\bFOR\s+)?(INSERT|REPLACE|UPDATE|DELETE)\b", re.IGNORECASE | re.DOTALL
)
_RETURNING: Final = re.compile(rb"\bRETURNING\b", re.IGNORECASE)
_TURN_ROWS: Final = 500
"""Rows of a batch that are read in one turn of the loop, which other clients wait for."""


def execute(session: Session, payload: bytes) -> None:
    """COM_STMT_BULK_EXECUTE. Raises SluiceError, CommandError."""
    if not is_mariadb(session):
        raise unknown_command(payload)
    statement = find_statement(session, payload, "mysqld_stmt_bulk_execute")
    if not session.caps & MARIADB_CLIENT_STMT_BULK_OPERATIONS:
        raise unsupported()
    session.statement = statement.text
    statement.cursor = None
    statement.forget_long_data()
    bulk = parse_bulk(payload, statement.parameter_count, statement.types_raw)
    statement.types_raw = bulk.types_raw
    if session.codec is not None:
        session.start(_converted(session, statement, bulk, session.codec))
        return
    _run(session, statement, bulk)


async def _converted(session: Session, statement: PreparedStatement, bulk: Bulk, codec: str) -> None:
    """Runs the batch of a client whose texts are in `codec`. Raises SluiceError."""
    rows: list[bytes] = []
    try:
        for row in bulk.rows_converted(lambda text: transcode(text, codec)):
            _check_count(session, len(rows))
            rows.append(row)
            if len(rows) % _TURN_ROWS == 0:
                await asyncio.sleep(0)
        session.task = None
        _run(session, statement, bulk.of_rows(rows))
    except CommandError as error:
        session.task = None
        session.error(error.number, error.sqlstate, error.text)


def _run(session: Session, statement: PreparedStatement, bulk: Bulk) -> None:
    """Runs the rows, in UTF-8. Raises SluiceError, CommandError."""
    session.binary = True
    if session.scope != statement.home[2]:
        Execution(session, statement, False)
    planned = session.worker.planned(session, statement.key)
    link = _only_link(session, planned)
    if link is not None:
        _pass(session, link, planned, statement.text, COMMAND + bulk.tail)
        return
    writes = _WRITES.match(statement.key)
    if writes is None:
        raise unsupported()
    session.start(_read(session, statement, planned, bulk, adds=writes[1][:1] in b"IiRr"))


async def _read(
    session: Session, statement: PreparedStatement, planned: Planned, bulk: Bulk, *, adds: bool
) -> None:
    """Reads the rows, and runs them. Raises SluiceError."""
    plan, returning = planned.plan, _RETURNING.search(statement.key) is not None
    at_once = isinstance(plan, InsertPlan) and not planned.reserve and _is_of_rows(plan, statement.literals)
    if returning and not at_once:
        raise not_supported("RETURNING in a batch that runs row by row", "Execute each row by itself.")
    rows: list[BoundLiterals] = []
    try:
        for row in bulk.rows():
            _check_count(session, len(rows))
            tokens = _tokens(row, bulk.types, adds, session.dialect)
            rows.append(BoundLiterals.of_tokens(statement, tokens))
            if len(rows) % _TURN_ROWS == 0:
                await asyncio.sleep(0)
    except CommandError as error:
        session.task = None
        session.error(error.number, error.sqlstate, error.text)
        return
    if isinstance(plan, InsertPlan) and at_once:
        session.binary = returning
        await _insert(session, plan, planned.insert, rows)
        return
    texts: list[bytes] = []
    for one in rows:
        texts.append(one.text())
        if len(texts) % _TURN_ROWS == 0:
            await asyncio.sleep(0)
    session.task = None
    RowByRow(session, texts, adds=adds, together=adds and session.autocommit and session.tx is None).begin()


def _check_count(session: Session, rows: int) -> None:
    """Raises RESULT_TOO_LARGE where `rows` are as many as may be read."""
    limit = session.worker.boot.config.router.max_memory_rows
    if rows >= limit:
        raise fail("RESULT_TOO_LARGE", limit=limit)


def _only_link(session: Session, planned: Planned) -> Link | None:
    """The shard that the statement goes to whatever its values are; None where they say it."""
    plan, view = planned.plan, session.worker.view
    if view is None or planned.reserve or not isinstance(plan, DmlPlan) or plan.owned:
        return None
    chooser = plan.chooser
    if not chooser.keyspace or chooser.keyspace in SYSTEM_SCHEMAS:
        return None
    if session.shard or chooser.choice is Choice.UNSHARDED or len(view.keyspace(chooser.keyspace).links) == 1:
        return chooser_one(chooser, view, session.shard)(())
    return None


def _pass(session: Session, link: Link, planned: Planned, text: bytes, params: bytes) -> None:
    assert isinstance(planned.plan, DmlPlan)
    tables = planned.plan.tables
    if planned.insert:  # what its OK says of ids is of all rows
        forward_insert(session, link, m.F_WRITE, tables, text, params)
    else:
        session.forward(link, m.F_WRITE | m.F_PREPARED, tables, text, {"params": params})


def _tokens(row: list[Cell], types: Sequence[int], adds: bool, dialect: Dialect) -> Iterator[bytes]:
    """The row's values as literals. Raises CommandError, SluiceError."""
    for (indicator, value), kind in zip(row, types, strict=True):
        if indicator == INDICATOR_DEFAULT or (indicator == INDICATOR_IGNORE and adds):
            yield b"DEFAULT"
        elif indicator == INDICATOR_IGNORE:
            raise not_supported(
                "a value to be ignored in a batch over several shards",
                "Leave the column out of the statement.",
            )
        else:
            yield bound_literal(value if indicator == INDICATOR_NONE else None, kind & 0xFF, dialect)


# ---- one statement of all rows


def _is_of_rows(plan: InsertPlan, literals: Sequence[bytes]) -> bool:
    """Whether all parameters stand in its rows."""
    around = (*plan.head.pieces, *plan.tail.pieces)
    return not any(
        isinstance(piece, int) and piece >= 0 and literals[piece] == PLACEHOLDER for piece in around
    )


async def _insert(session: Session, plan: InsertPlan, insert: int, rows: list[BoundLiterals]) -> None:
    """Runs the statement with the rows of each execution after those of the one before. Raises SluiceError."""
    literals: list[bytes] = []
    made: list[InsertRow] = []
    texts: list[bytes] = []
    for number, row in enumerate(rows, 1):
        further = [_shifted(one, len(literals)) for one in plan.rows]
        made += further
        literals += row
        texts += (render(one.text, literals, (_id_spot(one, literals),)) for one in further)
        if number % _TURN_ROWS == 0:
            await asyncio.sleep(0)
    text = render(plan.head, literals) + plan.separator.join(texts) + render(plan.tail, literals)
    if insert & m.F_UPSERT and len(made) > 1:
        insert = insert & ~m.F_UPSERT | m.F_INSERT_ID
    view = session.worker.view
    assert view is not None
    session.task = None
    runner = OwnedInsertRunner if plan.owned else InsertRunner
    runner(replace(plan, rows=tuple(made)), view, insert).run(session, text, literals, None)


def _id_spot(row: InsertRow, literals: Sequence[bytes]) -> bytes:
    given = row.sequence_value
    if given is None:
        return b"NULL"
    return b"-" + literals[given.index] if given.negative else literals[given.index]


def _shifted(row: InsertRow, by: int) -> InsertRow:
    return InsertRow(
        _moved(row.text, by),
        _moved_bind(row.vindex_value, by),
        _moved_bind(row.sequence_value, by),
        tuple((name, _moved(value, by)) for name, value in row.items),
    )


def _moved(template: Template, by: int) -> Template:
    return Template(
        tuple(piece + by if isinstance(piece, int) and piece >= 0 else piece for piece in template.pieces)
    )


def _moved_bind(bind: Bind | None, by: int) -> Bind | None:
    return None if bind is None else Bind(bind.index + by, bind.negative)
