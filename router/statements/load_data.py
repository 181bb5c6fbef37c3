"""LOAD DATA LOCAL INFILE: who reads the file. An unsharded keyspace's server, or a target shard's, gets the statement
and the file as they come; for a sharded table the router tells the lines apart."""

from core.errors import fail, not_supported
from router.execute.load import relay
from router.execute.load_sharded import ShardedLoad
from router.plan.names import find_table
from router.plan.plans import Kind
from router.sessions.session import Session
from router.statements.load_statement import LoadStatement, read
from router.statements.passing import view_of
from router.statements.words import Words
from router.variables.reading import is_mariadb
from router.view import SYSTEM_SCHEMAS
from wire.constants import CLIENT_LOCAL_FILES


def run(session: Session, kind: Kind, sql: bytes) -> None:
    """Raises SluiceError."""
    del kind
    if session.binary and not is_mariadb(session):
        raise fail("NOT_PREPARABLE")
    words = Words(sql, session.dialect)
    words.expect("LOAD")
    if words.sees("INDEX"):
        raise not_supported("LOAD INDEX INTO CACHE", "It acts on one server: run it there.")
    load = read(words, session.dialect)
    if not load.local:
        raise not_supported(
            "LOAD DATA without LOCAL", "Write LOAD DATA LOCAL INFILE: the client sends the file itself."
        )
    if not session.caps & CLIENT_LOCAL_FILES:
        offered = session.worker.boot.config.router.local_infile
        reason = "the client did not ask for it" if offered else "[router] local_infile is off"
        raise fail("LOCAL_INFILE_OFF", reason=reason)
    if session.several is not None:
        raise not_supported("LOAD DATA among several statements of one command", "Send it by itself.")
    _start(session, load, sql)


def _start(session: Session, load: LoadStatement, sql: bytes) -> None:
    view = view_of(session)
    keyspace, shard = (
        view.check_database(load.database) if load.database else (session.keyspace, session.shard)
    )
    if not keyspace and not load.database:
        keyspace = find_table("", load.table, view.vschema).keyspace
    if keyspace in SYSTEM_SCHEMAS and keyspace not in view.keyspaces:
        raise not_supported(f"LOAD DATA into {keyspace}", "MySQL's own schemas are the operator's.")
    tables = (load.table,)
    if shard:
        session.start(relay(session, view.keyspace(keyspace).by_shard[shard], sql, tables))
        return
    table = find_table(keyspace, load.table, view.vschema)
    sequence = view.vschema.sequence_of(table)
    if not table.sharded and sequence is None:
        session.start(relay(session, view.keyspace(table.keyspace).links[0], sql, tables))
        return
    session.start(ShardedLoad(session, load, table, sequence, view).run())
