"""Savepoints of a transaction that spans shards: `Transaction.savepoints` is the list of what is set now.

A shard that joins later replays the list, so every shard held has every savepoint. Names compare without case.
MySQL's rules: setting a name again moves it to the end; ROLLBACK TO forgets what was set after it; RELEASE forgets
it and what was set after it (sql/transaction.cc, trans_release_savepoint).
"""

from typing import Final

from core.errors import fail
from router.plan.plans import Kind
from router.sessions import holding
from router.sessions.session import Session
from router.statements.words import Words

_PREFIX: Final = b"SAVEPOINT "


def statement(name: str) -> bytes:
    """The SAVEPOINT statement of a name, as the list keeps it."""
    return _PREFIX + b"`" + name.encode("utf-8", "surrogateescape").replace(b"`", b"``") + b"`"


def _place(savepoints: list[bytes], name: str) -> int:
    wanted = statement(name).decode("utf-8", "surrogateescape").casefold()
    for at, one in enumerate(savepoints):
        if one.decode("utf-8", "surrogateescape").casefold() == wanted:
            return at
    return -1


def added(savepoints: list[bytes], name: str) -> list[bytes]:
    """The list after SAVEPOINT `name`."""
    at = _place(savepoints, name)
    rest = savepoints if at < 0 else savepoints[:at] + savepoints[at + 1 :]
    return [*rest, statement(name)]


def rolled_back(savepoints: list[bytes], name: str) -> list[bytes]:
    """The list after ROLLBACK TO `name`. Raises NO_SUCH_SAVEPOINT."""
    at = _place(savepoints, name)
    if at < 0:
        raise fail("NO_SUCH_SAVEPOINT", name=name)
    return savepoints[: at + 1]


def released(savepoints: list[bytes], name: str) -> list[bytes]:
    """The list after RELEASE SAVEPOINT `name`. Raises NO_SUCH_SAVEPOINT."""
    at = _place(savepoints, name)
    if at < 0:
        raise fail("NO_SUCH_SAVEPOINT", name=name)
    return savepoints[:at]


def parse(kind: Kind, words: Words) -> str:
    """The savepoint's name in SAVEPOINT, ROLLBACK [WORK] TO [SAVEPOINT] or RELEASE SAVEPOINT."""
    if kind is Kind.SAVEPOINT:
        words.expect("SAVEPOINT")
    elif kind is Kind.RELEASE_SAVEPOINT:
        words.expect("RELEASE", "SAVEPOINT")
    else:
        words.expect("ROLLBACK")
        words.takes("WORK")
        words.expect("TO")
        following = words.peek(1)
        if following is not None:
            words.takes("SAVEPOINT")
    name = words.name()
    words.end()
    return name


def run(session: Session, kind: Kind, sql: bytes) -> None:
    """Handles the three statements. Raises SluiceError."""
    name = parse(kind, Words(sql, session.dialect))
    tx = session.tx
    if tx is None:
        if kind is not Kind.SAVEPOINT:
            raise fail("NO_SUCH_SAVEPOINT", name=name)
        if session.autocommit:
            session.ok()  # MySQL too: it is gone with the statement
            return
        tx = holding.open_transaction(session)
    tx.check()
    if kind is Kind.SAVEPOINT:
        left, text = added(tx.savepoints, name), statement(name)
    elif kind is Kind.ROLLBACK_TO:
        left, text = rolled_back(tx.savepoints, name), b"ROLLBACK TO " + statement(name)
    else:
        left, text = released(tx.savepoints, name), b"RELEASE " + statement(name)
    if not tx.held:
        tx.savepoints = left
        session.ok()
    elif len(tx.held) == 1:
        tx.savepoints = left
        session.forward(next(iter(tx.held)), 0, (), text, None)
    else:
        session.start(_on_all(session, text, left))


async def _on_all(session: Session, text: bytes, left: list[bytes]) -> None:
    """Runs it on every shard held. What fails on one and not on others loses the transaction."""
    tx = session.tx
    assert tx is not None
    for done, link in enumerate(list(tx.held)):
        answer = await session.worker.calls.in_session(session, link, text)
        if answer.failed or session.tx is not tx:
            if done and session.tx is tx:
                raise tx.lose(f"{text.decode('utf-8', 'replace')} failed on {link.keyspace}/{link.shard}")
            session.reply(answer.data)
            return
    tx.savepoints = left
    session.ok()
