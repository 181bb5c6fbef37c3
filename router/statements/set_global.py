"""SET GLOBAL, SET PERSIST and RESET PERSIST: for administrators, on the MySQL of each shard of the session's keyspace.

Only variables without a session value. Of the others sessions have defaults, which the router knows, and which open
connections keep: a SET GLOBAL would hold for some of them, so it is refused with what to do instead.

A shard that fails ends the statement: those before it (in key range order) have the new value, and the error says so.
"""

from typing import Final

from core.errors import fail, not_supported
from core.users import ADMIN
from router.gateway import Link
from router.sessions.session import Session
from router.sessions.warnings import note_error, note_warnings
from router.statements.assignments import Assignment, SystemVariable
from router.statements.evaluate import substituted
from router.statements.passing import ask, keyspace_view
from router.statements.result import checked
from router.statements.words import Words
from router.variables.reading import OF_THE_ROUTER, is_mariadb
from router.variables.table import known

GLOBAL: Final = frozenset(("global", "persist", "persist_only"))
_INSTEAD: Final = (
    "Sessions and open connections take their default from it: set it in the configuration of the servers and restart "
    "them, or use SET SESSION."
)
_OF_THE_ROUTER: Final = (
    "What clients may have is [router] max_connections of cluster.toml; a MySQL's cap is pool_size."
)


def run(session: Session, words: Words, assignments: list[Assignment]) -> None:
    """A SET that names global variables. Raises SluiceError."""
    scope = ""
    for one in assignments:
        if not isinstance(one, SystemVariable) or one.scope not in GLOBAL:
            raise not_supported("SET of session variables together with global ones", "Use two statements.")
        if one.name in known():
            raise not_supported(f"SET {one.scope.upper()} {one.name}", _INSTEAD)
        if one.name in OF_THE_ROUTER:
            raise not_supported(f"SET {one.scope.upper()} {one.name}", _OF_THE_ROUTER)
        scope = one.scope
    _start(session, words, f"SET {scope.upper()}")


def reset_persist(session: Session, words: Words, sql: bytes) -> None:
    """RESET PERSIST [[IF EXISTS] name] of MySQL. Raises SluiceError."""
    del sql
    if not words.sees("RESET", "PERSIST") or is_mariadb(session):
        raise not_supported(
            words.rest().decode("utf-8", "replace")[:64], "It acts on one server: run it there."
        )
    _start(session, words, "RESET PERSIST")


def _start(session: Session, words: Words, construct: str) -> None:
    keyspace = keyspace_view(session, construct)
    if not session.worker.rights.of(session).of(keyspace.name) & ADMIN:
        privilege = "SUPER" if is_mariadb(session) else "SUPER or SYSTEM_VARIABLES_ADMIN"
        raise fail("PRIVILEGE", privilege=privilege)
    links = (keyspace.by_shard[session.shard],) if session.shard else keyspace.links
    session.start(_on_all(session, links, substituted(session, words, 0, len(words.lexemes))))


async def _on_all(session: Session, links: tuple[Link, ...], sql: bytes) -> None:
    told = 0
    for at, link in enumerate(links):
        answer = await ask(session, link, sql, flags=session.flags)
        if answer.failed:
            note_error(session, answer.last_payload())
            if at:
                error = answer.error()
                done = ", ".join(one.shard for one in links[:at])
                text = f"{error.text} (on shard {link.shard}; done on {done})"
                raise fail("UNKNOWN_ERROR", message=text)
        checked(answer)
        if answer.warnings:
            note_warnings(session, answer.warnings)
            told = len(session.warnings or ())
    session.ok(warnings=told)
