"""DROP DATABASE of a name that is no keyspace: as on MySQL an error, or with IF EXISTS a note.

Invariant: like all DDL it commits what is open, also where it ends with the error.
"""

from core.errors import CODES, fail
from router.plan.databases import database_statement, with_comments
from router.plan.plans import Kind
from router.session import Session
from router.statements.words import Words


def drop(session: Session, kind: Kind, sql: bytes) -> None:
    """Raises SYNTAX."""
    del kind
    words = Words(sql, session.dialect)
    said = database_statement(words.lexemes)
    if said is None:
        raise words.error()
    words.at = 5 if said.exists else 3
    words.end()
    executed = with_comments(words.text)
    session.start(_drop(session, said.name, said.exists or (executed is not None and executed.exists)))


async def _drop(session: Session, name: str, exists: bool) -> None:
    if session.tx is not None:
        await session.worker.calls.commit(session)
    absent = fail("DATABASE_ABSENT", database=name)
    if not exists:
        raise absent
    session.warnings = [("Note", CODES["DATABASE_ABSENT"].number, absent.message)]
    session.ok(warnings=1)
