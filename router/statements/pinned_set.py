"""Variables that live in one connection and cannot be replayed: a SET of them pins the session's connection.

    ends the pin                              variables
    the INSERT that uses it                   insert_id
    the value that the server began with      those of replication
    nothing but the session's end             rand_seed1, rand_seed2, profiling, optimizer_trace

The text of the SET is what the tablet looks at to close the connection afterwards, where a reset leaves something.
"""

from time import time
from typing import Final

from core.rpc import messages as m
from router.call import TabletError
from router.execute.reserve import admit, reserve
from router.sessions import holding
from router.sessions.reservation import Pin, set_pin
from router.sessions.session import Session
from router.statements.passing import one_shard

_GO_ON: Final = ("rand_seed", "profiling", "optimizer_trace")


def is_pinned(session: Session, name: str) -> bool:
    """Whether the session has set the variable on a connection that it keeps."""
    return any(set_pin(name) in reserved.pins for reserved in (session.reserved or {}).values())


async def run(session: Session, pins: dict[str, tuple[str, bool]]) -> None:
    """Sets variables, `name: (literal, it is the default)`, on the connection that the session keeps from now on.
    Raises SluiceError; then none is set."""
    link = one_shard(session, f"SET {next(iter(pins))}")
    text = "SET " + ", ".join(f"@@session.{name} = {literal}" for name, (literal, _) in pins.items())
    sql = text.encode("utf-8", "surrogateescape")
    await admit(session, link)
    reserved = await reserve(session, link)
    try:
        answer = await session.worker.calls.in_session(
            session, link, sql, flags=m.F_VARIABLES | m.F_CONSOLIDATE
        )
        if answer.failed:
            error = answer.error()
            raise TabletError(error.number, error.sqlstate, error.text, 0)
        for name, (_, default) in pins.items():
            pin = set_pin(name)
            if default and not name.startswith(_GO_ON):
                reserved.end(pin)
            else:
                since = reserved.pins[pin].since if pin in reserved.pins else time()
                reserved.pins[pin] = Pin(pin, text[:200], since)
    finally:
        holding.release_unpinned(session, link)
