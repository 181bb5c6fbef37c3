"""USE: another default database: a keyspace, a shard of one (USE `ks:-80`), or one of MySQL's own schemas."""

import re
from typing import Final

from router.plan.plans import Kind
from router.sessions.session import Session
from router.sessions.tracking import of_use
from router.sessions.where import use
from router.sql.dialect import Dialect
from router.statements.words import unwrapped

_NAME: Final = re.compile(
    rb"\s*(?:/\*.*?\*/\s*)*USE\s*(?:`((?:[^`]|``)+)`|\"((?:[^\"]|\"\")+)\"|([^\s`;'\"]+))[\s;]*\Z",
    re.I | re.DOTALL,
)


def parse(sql: bytes, dialect: Dialect) -> str | None:
    """The name in a USE, which need not be quoted even if it is `ks:-80`; None where there is none."""
    found = _NAME.match(unwrapped(sql))
    if found is None:
        return None
    quoted, ansi, plain = found.groups()
    name: bytes = plain
    if quoted is not None:
        name = quoted.replace(b"``", b"`")
    elif ansi is not None:
        if not dialect.ansi_quotes:
            return None
        name = ansi.replace(b'""', b'"')
    return name.decode("utf-8", "surrogateescape")


def run(session: Session, kind: Kind, sql: bytes) -> None:
    """Handles USE. Raises UNKNOWN_DATABASE, SYNTAX."""
    del kind
    name = parse(sql, session.dialect)
    if name is None:
        from router.statements.words import Words

        raise Words(sql, session.dialect).error()
    use(session, name)
    session.ok(changes=of_use(session))
