"""Where a session's statements go: its default database, and the tablet for what any of them can answer."""

from typing import TYPE_CHECKING

from core.errors import SluiceError, fail

if TYPE_CHECKING:
    from router.gateway import Link
    from router.sessions.session import Session


def use(session: "Session", database: str) -> None:
    """Makes `database` the default: a keyspace, a shard of one (`ks:-80`), a schema of MySQL's own. Raises."""
    worker = session.worker
    view = worker.view
    if view is None:
        raise fail("TOPOLOGY", reason="this worker has not heard of the cluster yet")
    try:
        keyspace, shard = view.check_database(database)
    except SluiceError:
        if worker.rights.knows_all(session):
            raise
        worker.rights.check_database(session, database, database)
        raise
    worker.rights.check_database(session, database, keyspace)
    worker.admission.move(session.connection, session.user, keyspace, shard)
    session.keyspace, session.shard = worker.intern(keyspace), worker.intern(shard)
    session.scope = worker.intern(f"{keyspace}:{shard}") if shard else session.keyspace


def any_link(session: "Session") -> "Link":
    """A link of the session's keyspace (its target shard, if it has one), or of any. Raises."""
    view = session.worker.view
    if view is None:
        raise fail("TOPOLOGY", reason="this worker has not heard of the cluster yet")
    if session.shard:
        link = view.keyspace(session.keyspace).by_shard.get(session.shard)
        if link is None:
            raise fail("UNKNOWN_DATABASE", database=session.scope)
        return link
    return view.any_link(session.keyspace)
