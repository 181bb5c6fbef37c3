"""A merged SELECT whose shards are asked one after the other, as statements of the session: where they run stored
programs that use its variables or its LAST_INSERT_ID(), so that each shard finds what the one before has left."""

from collections.abc import Sequence

from router.engine.merge import MergeRun
from router.gateway import Link
from router.sessions.session import Session


async def run_in_turn(
    session: Session,
    run: MergeRun,
    links: Sequence[Link],
    text: bytes,
    flags: int,
    tables: tuple[str, ...] | None,
) -> None:
    """Feeds `run` with the shards' answers and sends what it gives. Raises SluiceError."""
    for index, link in enumerate(links):
        answer = await session.worker.calls.in_session(session, link, text, flags=flags, tables=tables)
        for packets in run.feed(index, answer.data, True):
            session.connection.write(bytes(packets))
        if run.finished:
            return
