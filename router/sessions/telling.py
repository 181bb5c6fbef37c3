"""The packet that ends an answer, with what `router.sessions.transaction_tracker` has to tell in it.

An OK packet can tell; so can the OK that ends rows for a client with CLIENT_DEPRECATE_EOF. EOF and ERR cannot.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from core.rpc import messages as m
from router.gateway import Link
from router.sessions.transaction_tracker import noted
from wire.answers import SessionChanges, ok_packet, parse_ok
from wire.constants import CLIENT_DEPRECATE_EOF, EOF_HEADER, ERR_HEADER, MAX_PAYLOAD, OK_HEADER

if TYPE_CHECKING:
    from router.sessions.session import Session

_EOF_AS_OK_BYTES: Final = 11
"""With its header, where it says nothing of the session."""


def stamped(session: "Session", data: bytes, info: int) -> bytes:
    """The end of an answer (`info` says of what kind) with what the client is told of its session."""
    tracker = session.tracker
    if tracker is None:
        return data
    if info & m.I_ERR:
        tracker.ended(session, told=False)
        return data
    if info & m.I_OK:
        return _with(session, data, 0, tracker.ended(session))
    at = len(data) - _EOF_AS_OK_BYTES
    if session.caps & CLIENT_DEPRECATE_EOF and data[at : at + 3] == b"\7\0\0" and data[at + 4] == EOF_HEADER:
        return _with(session, data, at, tracker.ended(session, rows=True))
    if data[-9:-6] == b"\5\0\0" and data[-5] == EOF_HEADER:
        tracker.ended(session, rows=True, told=False)
        return data
    at = _last_packet(data) if not session.sent_bytes else -1
    told = at >= 0 and data[at + 4] == OK_HEADER
    changes = tracker.ended(session, rows=True, told=told)
    return _with(session, data, at, changes) if told else data


def kind_of(packets: bytes) -> int:
    """The `info` of an answer of the router's own."""
    return {OK_HEADER: m.I_OK, ERR_HEADER: m.I_ERR}.get(packets[4], 0)


def end_of_rows(session: "Session") -> SessionChanges | None:
    """What the packet tells that ends rows which were merged here."""
    tracker = session.tracker
    if tracker is None:
        return None
    return tracker.ended(session, rows=True, told=bool(session.caps & CLIENT_DEPRECATE_EOF))


def reply_tracked(session: "Session", packets: bytes) -> None:
    """Answers with `packets`, a whole answer of the router's own, and ends the statement."""
    tracker = session.tracker
    session.sent_bytes = 0
    if tracker is not None and tracker.asks_gtids(session) and (link := _sole_link(session)) is not None:
        warnings = session.warnings
        session.start(_reply_with_gtids(session, link, packets))
        session.warnings = warnings
        return
    session.connection.write(stamped(session, packets, kind_of(packets)))
    session.finish()


def _sole_link(session: "Session") -> Link | None:
    """The link of the one shard that the session works on; None where there are several, or none."""
    view = session.worker.view
    found = view.keyspaces.get(session.keyspace) if view is not None else None
    if found is None:
        return None
    if session.shard:
        return found.by_shard.get(session.shard)
    return found.links[0] if len(found.links) == 1 else None


async def _reply_with_gtids(session: "Session", link: Link, packets: bytes) -> None:
    """After asking `link` for all GTIDs."""
    answer = await session.worker.calls.execute(
        link, b"DO 0", flags=m.F_SESSION_TRACK, user=session.user, settings=session.settings_text
    )
    if answer.tracked is not None:
        noted(session, link, answer.tracked)
    session.connection.write(stamped(session, packets, kind_of(packets)))
    session.finish()


def _last_packet(data: bytes) -> int:
    at = last = 0
    while at < len(data):
        last = at
        at += 4 + (int.from_bytes(data[at : at + 4], "little") & MAX_PAYLOAD)
    return last


def _with(session: "Session", data: bytes, at: int, changes: SessionChanges | None) -> bytes:
    if changes is None:
        return data
    header = data[at + 4]
    ok = parse_ok(data[at + 4 :], session_track=True)
    if ok.session_changes is not None:
        changes = replace(
            ok.session_changes,
            gtids=changes.gtids,
            transaction_state=changes.transaction_state,
            transaction_characteristics=changes.transaction_characteristics,
        )
    packet = ok_packet(
        data[at + 3], ok.affected_rows, ok.last_insert_id, ok.status, ok.warnings, ok.info, changes, session.caps,
        header,
    )  # fmt: skip
    return data[:at] + packet
