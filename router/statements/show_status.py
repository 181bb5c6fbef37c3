"""SHOW STATUS: a server's answer, with the TLS of the client's own connection in it where that is asked for by name.

Clients look at Ssl_cipher to learn whether they are encrypted: what the tablet has to its MySQL is not that.
"""

from router.sessions.session import Session
from router.statements.local import rows_result, text_columns
from router.statements.passing import link_for, named_values, pass_read
from router.statements.words import Words
from router.variables.literals import Value


def status(session: Session, words: Words, sql: bytes) -> None:
    """SHOW [GLOBAL | SESSION] STATUS [LIKE | WHERE]."""
    if not any(b"ssl" in literal.lower() for literal in words.literals):
        link, extra = link_for(session, "")
        pass_read(session, link, sql, extra)
        return
    session.start(_show(session, sql))


async def _show(session: Session, sql: bytes) -> None:
    tls = session.connection.tls
    cipher, version = ("", "") if tls is None else tls.agreed
    ours = {"ssl_cipher": cipher, "ssl_version": version}
    rows: list[list[Value]] = []
    for name, shown in await named_values(session, sql):
        rows.append([name, ours.get(name.lower(), shown)])
    session.affected_rows = -1
    session.reply(rows_result(session, text_columns(session, "Variable_name", "Value"), rows))
