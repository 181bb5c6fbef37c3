"""Statements that leave something in their connection: on a reserved one, or bracketed by what saves the session.

Two ways, by what is left behind (`Planned.reserve`):
- PINS: named locks and temporary tables live on: the session keeps the connection until they end.
- BRACKETS: user variables, FOUND_ROWS(): a connection is taken for this statement only; the variables that it names
  are set before, read back after, and then live in the router. Nothing stays pinned. LAST_INSERT_ID(value) alone
  needs no connection of its own: the tablet begins with the session's, and tells what it is then.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from time import time
from typing import Final

from core.errors import not_supported
from core.rpc import messages as m
from router.call import Answer, TabletError
from router.execute.route import Choose
from router.execute.whole import reply_whole
from router.gateway import Link
from router.plan.purity import LAST_INSERT_ID, LASTVAL
from router.sessions import holding
from router.sessions.bound import bound_text
from router.sessions.insert_ids import forward_insert, note_rows, note_rows_whole
from router.sessions.reservation import Reservation, effect_of
from router.sessions.session import Session
from router.sessions.tracking import with_temporary_tables
from router.sql.lex import VARIABLE, lex
from router.sql.normalise import normalise
from router.statements.result import rows_of
from router.statements.words import user_variable_name
from router.variables.literals import NULL, cell_literal, value_literal
from router.variables.reading import is_mariadb
from wire.constants import CHARSET_BINARY

PINS: Final = frozenset(
    ("GET_LOCK", "RELEASE_LOCK", "RELEASE_ALL_LOCKS", "IS_FREE_LOCK", "IS_USED_LOCK", "a temporary table")
)
_ONLY_ASKS: Final = frozenset(("RELEASE_LOCK", "RELEASE_ALL_LOCKS", "IS_FREE_LOCK", "IS_USED_LOCK"))


class ReserveRunner:
    """Runs a statement whose plan says `reserve` on one shard; on several only where `several` can."""

    __slots__ = ("_choose", "_flags", "_reason", "_several", "_tables")

    def __init__(
        self,
        choose: Choose,
        flags: int,
        tables: tuple[str, ...] | None,
        reason: str,
        several: Callable[[Session, bytes, Sequence[bytes], bytes | None], bool] | None = None,
    ) -> None:
        self._several = several
        self._choose = choose
        self._flags = flags
        self._tables = tables
        self._reason = reason

    def run(self, session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None) -> None:
        link = self._choose(literals)
        if link is None:
            if self._several is not None and self._several(session, sql, literals, params):
                return
            raise not_supported(
                f"{self._reason} over several shards",
                f"Select one shard first, such as USE `{_some_shard(session)}`.",
            )
        text = bound_text(sql, literals) if params is not None else sql
        run_reserved(session, link, text, self._flags, self._tables, self._reason)


def _some_shard(session: Session) -> str:
    """A target that the session could choose."""
    view = session.worker.view
    found = view.keyspaces.get(session.keyspace) if view is not None else None
    return f"{found.name}:{found.links[0].shard}" if found is not None else "KEYSPACE:SHARD"


def run_reserved(
    session: Session, link: Link, text: bytes, flags: int, tables: tuple[str, ...] | None, reason: str
) -> None:
    """Runs a statement that leaves something behind, by the way that its `reason` asks for. Raises SluiceError."""
    if reason == LASTVAL:
        check_lastval(session, link)
        session.forward(link, flags, tables, text, None)
        return
    if reason == LAST_INSERT_ID:
        flags |= m.F_INSERT_ID
        if not variables_in(text, session):
            forward_insert(session, link, flags, tables, text)
            return
    elif reason == "a temporary table":
        flags |= m.F_INSERT_ID  # it may be filled by a SELECT
    if reason not in PINS:
        session.start(_bracketed(session, link, text, flags, tables, reason))
    elif reason in _ONLY_ASKS and not (session.reserved and link in session.reserved):
        if variables_in(text, session):
            session.start(_bracketed(session, link, text, flags, tables, reason))
        else:
            session.forward(link, flags, tables, text, None)
    else:
        session.start(run_pinned(session, link, text, flags, tables))


def check_lastval(session: Session, link: Link) -> None:
    """LASTVAL() is what a connection's own statements have taken of a sequence: right on one that the session has
    kept since then. Raises 1235 on all others, where it would be another session's."""
    held = session.tx is not None and link in session.tx.held
    if is_mariadb(session) and not held and not (session.reserved and link in session.reserved):
        raise not_supported(
            "LASTVAL() outside of a transaction",
            "Ask for it in the transaction that takes the value, or use INSERT ... RETURNING.",
        )


async def _bracketed(
    session: Session, link: Link, text: bytes, flags: int, tables: tuple[str, ...] | None, reason: str
) -> None:
    calls = session.worker.calls
    answer = await run_bracketed(
        session,
        link,
        text,
        lambda: calls.in_session(session, link, text, flags=flags | _flavour(session), tables=tables),
        reason,
    )
    reply_whole(session, answer)


async def run_bracketed(
    session: Session, link: Link, text: bytes, run: Callable[[], Awaitable[Answer]], reason: str
) -> Answer:
    """Runs the statement `text` by `run`, on a connection that is reserved for it alone and knows the user variables
    that it names; what they are afterwards is the session's. Raises SluiceError."""
    names = variables_in(text, session)
    await admit(session, link)
    await reserve(session, link)
    try:
        await bring(session, link, names)
        answer = await run()
        note_rows_whole(session, text, answer)
        warnings = session.warnings
        if not answer.failed:
            await read_back(session, link, names, answer, reason)
            session.warnings = warnings  # those of the client's own statement only
    finally:
        holding.release_unpinned(session, link)
    return answer


async def bring(session: Session, link: Link, names: dict[str, str]) -> None:
    """Gives the reserved connection the session's user variables of these names."""
    if names:
        known = session.user_variables or {}
        setting = ", ".join(
            f"{spelt} = {known.get(name, b'NULL').decode('utf-8')}" for name, spelt in names.items()
        )
        await must(session, link, f"SET {setting}".encode())


async def run_prepared(
    session: Session, link: Link, text: bytes, values: Sequence[bytes], before: Sequence[Sequence[bytes]]
) -> None:
    """Has `link` prepare `text` and execute it with `values` (literals) in user variables, and answers: where MySQL
    gives a parameter another type than the literal has. The type follows from the values it was executed with
    `before` too. Raises SluiceError."""
    await admit(session, link)
    await reserve(session, link)
    names = [b"@`sluice value %d`" % at for at in range(len(values))]
    named = variables_in(text, session)
    execute = b"EXECUTE `sluice statement` USING " + b", ".join(names)
    try:
        await bring(session, link, named)
        copied = b"SET @`sluice text` = CONVERT(0x%s USING utf8mb4)" % text.hex().encode()
        await must(session, link, copied)
        await must(session, link, b"PREPARE `sluice statement` FROM @`sluice text`")
        for earlier in (*before, values):
            setting = [b"%s = %s" % pair for pair in zip(names, earlier, strict=True)]
            await must(session, link, b"SET " + b", ".join(setting))
            if earlier is not values:
                await must(session, link, execute)
        flags = _flavour(session) | m.F_INSERT_ID
        answer = await session.worker.calls.in_session(session, link, execute, flags=flags)
        note_rows(session, answer.info)
        warnings = session.warnings
        await must(session, link, b"DEALLOCATE PREPARE `sluice statement`")
        await read_back(session, link, named, answer, "")
        session.warnings = warnings
    finally:
        holding.release_unpinned(session, link)
    reply_whole(session, answer)


async def read_back(session: Session, link: Link, names: dict[str, str], answer: Answer, reason: str) -> None:
    """The session takes over what the reserved connection's user variables of these names are now. Raises."""
    # FOUND_ROWS() first: it is about the statement before, not about this SELECT's own columns
    wanted = ["FOUND_ROWS()"] if reason == "SQL_CALC_FOUND_ROWS" else []
    wanted += names.values()
    if not wanted:
        return
    converts = "character_set_results" in (session.settings or {})
    if converts:  # text would come in the client's character set: its bytes in utf8mb4 besides
        wanted += (f"CAST(CONVERT({spelt} USING utf8mb4) AS BINARY)" for spelt in names.values())
    rows = rows_of(await must(session, link, f"SELECT {', '.join(wanted)}".encode()))
    cells = dict(zip(wanted, zip(rows.columns, rows.rows[0], strict=True), strict=True))
    texts = rows.rows[0][len(wanted) - len(names) :]
    variables = dict(session.user_variables or {})
    for (name, spelt), text in zip(names.items(), texts, strict=True):
        column, cell = cells[spelt]
        literal = cell_literal(column, cell if column.charset == CHARSET_BINARY else text)
        if literal == NULL:
            variables.pop(name, None)
        else:
            variables[name] = literal
    if names:
        session.user_variables = variables or None
    if "FOUND_ROWS()" in cells:
        session.found_rows = int(cells["FOUND_ROWS()"][1] or 0)


async def run_pinned(
    session: Session,
    link: Link,
    text: bytes,
    flags: int,
    tables: tuple[str, ...] | None,
    forgets: tuple[int, str] | None = None,
) -> None:
    """Runs a statement by `pinned`, and answers with what it says. `forgets`: an error of MySQL's that says that this
    pin is no more. Raises SluiceError."""
    answer = await pinned(session, link, text, flags | _flavour(session), tables)
    if forgets is not None and answer.failed and answer.error().number == forgets[0]:
        reserved = session.reserved.get(link) if session.reserved else None
        if reserved is not None:
            reserved.end(forgets[1])
            holding.release_unpinned(session, link)
    if answer.info & m.I_OK and not answer.failed:
        answer = replace(answer, data=with_temporary_tables(session, text, answer.data))
    reply_whole(session, answer)


async def pinned(
    session: Session, link: Link, text: bytes, flags: int, tables: tuple[str, ...] | None
) -> Answer:
    """Runs a statement on the connection reserved on `link`, which stays reserved as long as this statement, or one
    before, pins it. Raises SluiceError."""
    effect = effect_of(text, session.dialect, session.user_variables or {})
    names = variables_in(text, session)
    await admit(session, link)
    await reserve(session, link)
    try:
        await bring(session, link, names)
        answer = await session.worker.calls.in_session(session, link, text, flags=flags, tables=tables)
        note_rows(session, answer.info)
        reserved = session.reserved.get(link) if session.reserved else None
        if reserved is not None and not answer.failed:
            reserved.note(effect, text, time())
            if names:
                warnings = session.warnings
                await read_back(session, link, names, answer, "")
                session.warnings = warnings
            if effect.about_locks:
                await _ask_of_locks(session, link, reserved)
    finally:
        holding.release_unpinned(session, link)
    return answer


async def _ask_of_locks(session: Session, link: Link, reserved: Reservation) -> None:
    """Ends the pins of locks that the connection does not hold: given back, or never got. Raises SluiceError."""
    held = list(reserved.locks.items())
    if not held:
        return
    asked = ", ".join(f"IS_USED_LOCK({value_literal(name).decode()}) = CONNECTION_ID()" for _, name in held)
    (row,) = rows_of(await must(session, link, f"SELECT {asked}".encode())).rows
    for (what, _), cell in zip(held, row, strict=True):
        if cell != b"1":
            reserved.end(what)


async def admit(session: Session, link: Link) -> None:
    if session.worker.admission.limits_queries:
        await session.worker.admission.enter(session, link.keyspace, (link.shard,))


async def reserve(session: Session, link: Link) -> Reservation:
    """Makes sure that the session holds a connection of `link` which outlives its transaction. Raises SluiceError."""
    if holding.reserved_handle(session, link):
        assert session.reserved is not None
        return session.reserved[link]
    tx = session.tx
    handle = tx.handle_on(link) if tx is not None else 0
    try:
        answer = await session.worker.calls.execute(
            link,
            b"DO 0",
            flags=m.F_RESERVE | m.F_STATUS | session.flags & m.F_FOUND_ROWS,
            handle=handle,
            user=session.user,
            settings=session.settings_text,
        )
        if answer.failed or not answer.handle:
            error = answer.error()
            raise TabletError(error.number, error.sqlstate, error.text, answer.handle)
    except TabletError as failure:
        if tx is not None and handle and not failure.handle:
            tx.lose(failure.message)
        elif failure.handle and not handle:
            link.free(failure.handle)
        raise
    made = Reservation(answer.handle, link.incarnation)
    session.reserved = {**(session.reserved or {}), link: made}
    return made


async def still_there(session: Session, link: Link, reserved: Reservation) -> None:
    """Asks the tablet whether it still holds the connection. Raises SluiceError where not."""
    holding.reserved_handle(session, link)
    try:
        answer = await session.worker.calls.execute(
            link,
            b"",
            flags=m.F_STATUS | session.flags & m.F_FOUND_ROWS,
            handle=reserved.handle,
            user=session.user,
            settings=session.settings_text,
        )
    except TabletError as failure:
        if not failure.handle:
            holding.lose_reserved(session, link)
        raise
    if not answer.handle:
        holding.lose_reserved(session, link)


async def must(session: Session, link: Link, sql: bytes) -> Answer:
    """A statement around the client's own that has to succeed. Raises SluiceError."""
    warnings = session.warnings
    answer = await session.worker.calls.in_session(session, link, sql, flags=m.F_VARIABLES)
    if not answer.failed:
        session.warnings = warnings  # those of the client's own statement only
    if answer.failed:
        error = answer.error()
        holding.release_unpinned(session, link)
        raise TabletError(error.number, error.sqlstate, error.text, 0)
    return answer


def _flavour(session: Session) -> int:
    """The client's flavour of packets; rows that must become binary are asked for in the classic one."""
    return session.flags & ~m.F_DEPRECATE_EOF if session.binary else session.flags


def variables_in(text: bytes, session: Session) -> dict[str, str]:
    """The user variables that a statement names: lower-case name -> as written."""
    found: dict[str, str] = {}
    key = normalise(text, session.dialect).key.decode("utf-8", "surrogateescape")
    for lexeme in lex(key, session.dialect).lexemes:
        spelt = lexeme.text
        if lexeme.kind == VARIABLE and not spelt.startswith("@@") and len(spelt) > 1:
            found.setdefault(user_variable_name(spelt), spelt)
    return found
