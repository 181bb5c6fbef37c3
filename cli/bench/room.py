"""Room for direct clients: a local MySQL's max_connections is its tablet's pool and little more, by design.

Invariant: what was changed is put back, however the bench ends (but for SIGKILL; the MySQL's next start does it).
"""

import contextlib
from collections.abc import Iterator
from typing import Any, Final

from cli.bench.places import Places
from cli.cluster import external
from cli.errors import CommandError, UsageError
from cli.target import Target
from core.config import ConfigError, Dsn

SPARE: Final = 8
"""Connections above the clients' and the pool's: setting up, looking in."""


@contextlib.contextmanager
def room_for(target: Target, places: Places, clients: int) -> Iterator[str]:
    """Lets `clients` connect beside the tablet's pool; gives a sentence on what was changed, or nothing.

    Raises UsageError where an external MySQL has no such room: it is not changed.
    """
    needed = clients + target.config.tablet.pool_size + SPARE
    outside = next(k for k in target.config.keyspaces if k.name == places.keyspace).external_dsn(places.shard)
    dsn = outside or _local_dsn(target, places)
    most = _max_connections(dsn)
    if most >= needed:
        yield ""
        return
    if outside is not None:
        raise UsageError(
            f"the MySQL at {dsn.host}:{dsn.port} has max_connections {most}, {clients} direct clients beside the"
            f" pool need {needed}: lower --clients to {max(0, most - needed + clients)}, or raise it there"
        )
    _max_connections(dsn, needed)
    try:
        yield f"max_connections of this MySQL is {needed} during the bench, {most} otherwise"
    finally:
        _max_connections(dsn, most)


def _local_dsn(target: Target, places: Places) -> Dsn:
    path = target.layout.mysql(places.keyspace, places.shard) / "tablet.dsn"
    try:
        return Dsn.parse(path.read_text(encoding="utf-8").strip(), str(path))
    except (OSError, ConfigError) as error:
        raise CommandError(f"the address of this shard's MySQL cannot be read: {error}") from None


def _max_connections(dsn: Dsn, to: int | None = None) -> int:
    """The server's setting, after it was changed to `to`."""
    import mysql.connector

    try:
        cnx = external.connect(dsn)
        try:
            cursor: Any = cnx.cursor()
            if to is not None:
                cursor.execute(f"SET GLOBAL max_connections = {to}")
            cursor.execute("SELECT @@GLOBAL.max_connections")
            (most,) = cursor.fetchone()
            cursor.close()
        finally:
            cnx.close()
    except (mysql.connector.Error, OSError) as error:
        raise CommandError(f"max_connections of the MySQL: {getattr(error, 'msg', None) or error}") from None
    return int(most)
