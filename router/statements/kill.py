"""KILL: ends a session's query, or the session, in whichever worker of this router it lives.

A user ends only sessions of its own name, as on MySQL without CONNECTION_ADMIN; an administrator any.
"""

from core.errors import fail, not_supported
from router.plan.plans import Kind
from router.sessions.session import Session
from router.statements import evaluate
from router.statements.words import Words
from router.variables.literals import parsed


def parse(session: Session, words: Words) -> tuple[int, bool]:
    """The connection's id, and whether only its query ends."""
    words.expect("KILL")
    words.takes_one("HARD", "SOFT")
    query_only = words.takes_one("CONNECTION", "QUERY") == "QUERY"
    if words.sees("USER") or words.sees("ID") or (query_only and words.sees("QUERY")):
        raise not_supported("KILL of a user or of a query by its own id", "Use KILL [CONNECTION | QUERY] id.")
    start, end = words.skip_expression()
    words.end()
    literal = evaluate.constant(session, words, start, end, system=False)
    if literal is None:
        literal = evaluate.substituted(session, words, start, end)  # CONNECTION_ID()
    if not literal.isdigit():
        raise fail(
            "NO_SUCH_THREAD",
            id=parsed(literal) if literal[:1] in b"'-N" else literal.decode("ascii", "replace"),
        )
    return int(literal), query_only


def run(session: Session, kind: Kind, sql: bytes) -> None:
    """Handles KILL. Raises SluiceError."""
    del kind
    number, query_only = parse(session, Words(sql, session.dialect))
    kill(session, number, query_only=query_only)


def kill(session: Session, number: int, *, query_only: bool) -> None:
    """Ends connection `number` (or its query) and answers. Raises NO_SUCH_THREAD, NOT_THREAD_OWNER."""
    if number == session.id:
        connection = session.connection
        session.error(1317, "70100", "Query execution was interrupted")
        if not query_only:
            connection.close()
        return
    connection = session.worker.connections.get(number)  # type: ignore[assignment]
    if connection is None:
        session.start(_kill_elsewhere(session, number, query_only))
        return
    other = connection.session
    if other is None:
        raise fail("NO_SUCH_THREAD", id=number)
    if other.user != session.user and not session.worker.rights.is_admin(session):
        raise fail("NOT_THREAD_OWNER", id=number)
    connection.kill(query_only=query_only)
    session.ok()


async def _kill_elsewhere(session: Session, number: int, query_only: bool) -> None:
    """Asks the other workers; each checks the user itself ("": an administrator)."""
    user = "" if session.worker.rights.is_admin(session) else session.user
    found = await session.worker.ask("kill", {"id": number, "query_only": query_only, "user": user})
    answers = found.get("answers", [])
    if any(answer.get("refused") for answer in answers):
        raise fail("NOT_THREAD_OWNER", id=number)
    if not any(answer.get("found") for answer in answers):
        raise fail("NO_SUCH_THREAD", id=number)
    session.ok()
