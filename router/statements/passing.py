"""Statements that one server answers for the session: which link, inside or outside of the transaction.

SHOW and its like do not take a shard's connection into a transaction that has no other need of it: where the
transaction does not hold the shard, they run beside it (on the connection that is reserved there, if one is: it may
have temporary tables).
"""

from struct import Struct
from typing import Any, Final

from core.errors import fail, not_supported
from core.rpc import messages as m
from router.call import Answer
from router.gateway import Link
from router.sessions import holding
from router.sessions.query_attributes import along
from router.sessions.session import Session
from router.sessions.transaction_tracker import noted
from router.sessions.warnings import note_error, note_warnings
from router.statements.result import checked, rows_of
from router.view import SYSTEM_SCHEMAS, ClusterView, KeyspaceView
from wire.constants import CLIENT_DEPRECATE_EOF, EOF_HEADER, MAX_PAYLOAD, OK_HEADER
from wire.packets import read_lenenc_int

_header: Final = Struct("<I").unpack_from
_status: Final = Struct("<H").pack


def view_of(session: Session) -> ClusterView:
    """Raises TOPOLOGY while this worker has not heard of the cluster."""
    view = session.worker.view
    if view is None:
        raise fail("TOPOLOGY", reason="this worker has not heard of the cluster yet")
    return view


def keyspace_view(session: Session, construct: str) -> KeyspaceView:
    """The session's keyspace. Raises NO_DATABASE, or 1235 in one of MySQL's own schemas."""
    if not session.keyspace:
        raise fail("NO_DATABASE")
    view = view_of(session)
    if session.keyspace not in view.keyspaces and session.keyspace in SYSTEM_SCHEMAS:
        raise not_supported(f"{construct} in {session.keyspace}", "Run USE with a keyspace first.")
    return view.keyspace(session.keyspace)


def one_shard(session: Session, construct: str, instead: str = "") -> Link:
    """The one shard that the session works on: its target, or that of an unsharded keyspace. Raises 1235 with
    `instead`, or with how to select a shard."""
    keyspace = keyspace_view(session, construct)
    if session.shard:
        return keyspace.by_shard[session.shard]
    if len(keyspace.links) == 1:
        return keyspace.links[0]
    raise not_supported(
        f"{construct} on the sharded keyspace {keyspace.name}",
        instead or f"Select one shard first, such as USE `{keyspace.name}:{keyspace.links[0].shard}`.",
    )


def link_for(session: Session, database: str) -> tuple[Link, dict[str, Any] | None]:
    """A link whose server has `database` ("" for the session's own), and what EXECUTE must say of it.

    Prefers a shard that the transaction holds. Raises UNKNOWN_DATABASE.
    """
    view = view_of(session)
    keyspace, shard = view.check_database(database) if database else (session.keyspace, session.shard)
    session.worker.rights.check_database(session, database or keyspace, keyspace)
    extra: dict[str, Any] | None = None
    if session.keyspace in SYSTEM_SCHEMAS and session.keyspace not in view.keyspaces:
        extra = {"database": session.keyspace}
    if keyspace not in view.keyspaces:
        keyspace = ""
    if shard:
        return view.keyspace(keyspace).by_shard[shard], extra
    if session.tx is not None:
        for link in session.tx.held:
            if keyspace in ("", link.keyspace) and link.ready:
                return link, extra
    return view.any_link(keyspace), extra


def pass_read(session: Session, link: Link, sql: bytes, extra: dict[str, Any] | None = None) -> None:
    """Has `link` answer a statement that needs no transaction, and passes the answer on."""
    if session.tx is not None and session.tx.lost:
        session.tx.check()
    inside = session.tx is not None and link in session.tx.held
    if inside or (session.tx is None and session.autocommit):
        session.forward(link, 0, (), sql, extra)
    else:
        session.start(_beside(session, link, sql, extra))


async def ask(
    session: Session,
    link: Link,
    sql: bytes,
    *,
    flags: int = 0,
    handle: int = 0,
    settings: str | None = None,
    extra: dict[str, Any] | None = None,
) -> Answer:
    """The whole answer to a statement outside of any transaction; with the session's settings unless told others.
    `handle`: of a connection that the session has reserved."""
    return await session.worker.calls.execute(
        link,
        sql,
        flags=flags,
        handle=handle,
        user=session.user,
        settings=session.settings_text if settings is None else settings,
        extra=extra,
    )


async def named_values(session: Session, sql: bytes) -> list[tuple[str, str]]:
    """The rows of a SHOW of names and values, by any server with the session's settings. Raises SluiceError,
    TabletError."""
    link, extra = link_for(session, "")
    # the answer is read here, so it must be in the character set that connections are opened with
    settings = {k: v for k, v in (session.settings or {}).items() if k != "character_set_results"}
    text = ",".join(f"{name}={settings[name]}" for name in sorted(settings))
    handle = holding.reserved_handle(session, link)
    flags = session.flags & m.F_FOUND_ROWS | m.F_STATUS if handle else 0
    told = await ask(session, link, sql, flags=flags, handle=handle, settings=text, extra=extra)
    if handle and not told.handle:
        holding.lose_reserved(session, link)
    answer = checked(told)
    return [
        ((name or b"").decode("utf-8", "replace"), (value or b"").decode("utf-8", "replace"))
        for name, value in rows_of(answer).rows
    ]


async def _beside(session: Session, link: Link, sql: bytes, extra: dict[str, Any] | None) -> None:
    if session.binary:
        await session.worker.run_as_binary(session, link, 0, (), sql)
        return
    handle = holding.reserved_handle(session, link)
    flags = session.flags | m.F_STATUS if handle else session.flags
    answer = await ask(session, link, sql, flags=flags, handle=handle, extra=along(session, extra))
    if handle and not answer.handle:
        holding.lose_reserved(session, link)
    if answer.warnings:
        note_warnings(session, answer.warnings)
    if answer.tracked is not None:
        noted(session, link, answer.tracked)
    if answer.failed:
        note_error(session, answer.last_payload())
    session.affected_rows = -1
    session.reply(with_status(answer.data, session.caps, session.status))


def with_status(data: bytes, caps: int, status: int) -> bytes:
    """A whole answer with `status` in its last packet: what the client is told of its transaction."""
    at = last = 0
    while at < len(data):
        last = at
        at += 4 + (_header(data, at)[0] & MAX_PAYLOAD)
    first = data[last + 4] if last + 4 < len(data) else 0xFF
    if first == EOF_HEADER and not caps & CLIENT_DEPRECATE_EOF:
        place = last + 7
    elif first in (OK_HEADER, EOF_HEADER):
        _, place = read_lenenc_int(data, last + 5)
        _, place = read_lenenc_int(data, place)
    else:
        return data
    return data[:place] + _status(status) + data[place + 2 :]
