"""SHOW DATABASES, TABLETS, SHARDS and VSCHEMA: what this worker's view of the cluster says."""

from core.errors import fail, not_supported
from router.sessions.session import Session
from router.statements.filtering import reply_table
from router.statements.passing import view_of
from router.statements.words import Words
from router.variables.literals import Value
from router.view import SYSTEM_SCHEMAS
from router.vschema import AutoIncrement, TableType


def databases(session: Session, words: Words, sql: bytes) -> None:
    """SHOW DATABASES [LIKE | WHERE]: every keyspace that the user has a right in, and MySQL's own schemas."""
    del sql
    sees = session.worker.rights.sees
    names = [name for name in sorted({*view_of(session).keyspaces, *SYSTEM_SCHEMAS}) if sees(session, name)]
    reply_table(session, words, ("Database",), [(name,) for name in names])


def tablets(session: Session, words: Words, sql: bytes) -> None:
    """SHOW TABLETS: each shard's tablet as this worker sees it."""
    del sql
    rows: list[tuple[Value, ...]] = [
        (
            link.keyspace,
            link.shard,
            "PRIMARY",
            link.tablet_state if link.ready else "UNREACHABLE",
            link.endpoint,
            str(link.server.get("version", "")),
            "" if link.ready else link.reason,
        )
        for keyspace in view_of(session).keyspaces.values()
        if session.worker.rights.sees(session, keyspace.name)
        for link in keyspace.links
    ]
    names = ("Keyspace", "Shard", "Type", "State", "Endpoint", "Server", "Reason")
    reply_table(session, words, names, rows)


def shards(session: Session, words: Words, sql: bytes) -> None:
    """SHOW SHARDS: `keyspace/shard`, in key range order."""
    del sql
    rows = [
        (f"{link.keyspace}/{link.shard}",)
        for keyspace in view_of(session).keyspaces.values()
        if session.worker.rights.sees(session, keyspace.name)
        for link in keyspace.links
    ]
    reply_table(session, words, ("Shards",), rows)


def vschema(session: Session, words: Words, sql: bytes) -> None:
    """SHOW VSCHEMA TABLES | VINDEXES of the session's keyspace."""
    del sql
    what = words.takes_one("TABLES", "VINDEXES")
    if not what:
        raise not_supported("this SHOW VSCHEMA", "Use SHOW VSCHEMA TABLES or SHOW VSCHEMA VINDEXES.")
    if not session.keyspace:
        raise fail("NO_DATABASE")
    found = view_of(session).vschema.keyspaces.get(session.keyspace)
    if found is None:
        raise fail("UNKNOWN_DATABASE", database=session.keyspace)
    rows: list[tuple[Value, ...]] = []
    if what == "TABLES":
        for name, table in sorted(found.tables.items()):
            primary = table.primary
            rows.append(
                (
                    name,
                    "table" if table.type is TableType.TABLE else table.type.value,
                    primary.name if primary is not None else None,
                    ", ".join(primary.columns) if primary is not None else None,
                    _sequence(table.auto_increment),
                )
            )
        reply_table(session, words, ("Table", "Type", "Vindex", "Columns", "Sequence"), rows)
        return
    rows = [(name, found.vindex_types[name]) for name in sorted(found.vindexes)]
    reply_table(session, words, ("Name", "Type"), rows)


def _sequence(filled: AutoIncrement | None) -> str | None:
    """`keyspace.table` of a sequence; without the keyspace where the VSchema names none."""
    if filled is None:
        return None
    return f"{filled.sequence_keyspace}.{filled.sequence}" if filled.sequence_keyspace else filled.sequence
