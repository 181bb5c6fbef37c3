"""A whole answer of a tablet as the answer of the client's statement."""

from core.rpc import messages as m
from router.calls import Answer
from router.engine.merge import MergeRun
from router.engine.output import ClientFlavour
from router.session import Session


def reply_whole(session: Session, answer: Answer) -> None:
    """Answers with `answer`, whatever it is; rows become binary ones where the client executes a prepared statement."""
    if answer.info & m.I_OK and not answer.failed:
        session.note_ok(answer.data)
    if not session.binary or answer.info & (m.I_OK | m.I_ERR):
        session.reply(answer.data)
        return
    client = ClientFlavour(
        deprecate_eof=bool(session.flags & m.F_DEPRECATE_EOF), binary=True, status=session.status
    )
    run = MergeRun(None, 1, client, 1 << 62)
    for packets in run.feed(0, answer.data, True):
        session.connection.write(bytes(packets))
    session.finish()
