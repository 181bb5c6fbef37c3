"""A whole answer of a tablet as the answer of the client's statement."""

from collections.abc import Sequence
from functools import partial

from core.rpc import messages as m
from router.call import Answer
from router.engine.binary_results import binary_results
from router.engine.merge import MergeRun
from router.engine.output import ClientFlavour
from router.plan.plans import Merge
from router.sessions.insert_ids import note_whole
from router.sessions.session import Session
from router.sessions.telling import end_of_rows
from wire.constants import ERR_HEADER


def reply_whole(session: Session, answer: Answer) -> None:
    """Answers with `answer`, whatever it is; rows become binary ones where the client executes a prepared statement."""
    note_whole(session, answer)
    several = answer.info & m.I_ENDS_OK or (answer.info & m.I_ERR and answer.data[4] != ERR_HEADER)
    if not session.binary or (answer.info & (m.I_OK | m.I_ERR) and not several):
        session.reply(answer.data)
        return
    client = ClientFlavour(
        deprecate_eof=bool(session.flags & m.F_DEPRECATE_EOF),
        extended=bool(session.flags & m.F_EXTENDED),
        binary=True,
        status=session.status,
        ended=partial(end_of_rows, session),
    )
    if several:
        session.reply(binary_results(answer.data, client))
        return
    run = MergeRun(None, 1, client, 1 << 62)
    for packets in run.feed(0, answer.data, True):
        session.connection.write(bytes(packets))
    session.finish()


def reply_distinct(session: Session, answers: Sequence[bytes]) -> None:
    """Answers with the rows of several result sets (classic EOF flavour), those that are the same in every byte once:
    what the shards say of a table that a client takes for one."""
    client = ClientFlavour(
        deprecate_eof=bool(session.flags & m.F_DEPRECATE_EOF),
        extended=bool(session.flags & m.F_EXTENDED),
        binary=session.binary,
        status=session.status,
        ended=partial(end_of_rows, session),
    )
    merge = Merge(visible=-1, distinct=True, exact=True)
    run = MergeRun(merge, len(answers), client, session.worker.boot.config.router.max_memory_rows)
    for index, data in enumerate(answers):
        for packets in run.feed(index, data, True):
            session.connection.write(bytes(packets))
    session.affected_rows = -1
    session.finish()
