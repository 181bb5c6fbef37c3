"""Small text answers of a server, taken apart."""

from dataclasses import dataclass

from router.call import Answer, TabletError
from router.engine.reader import ResultReader
from wire.columns import Column
from wire.rows import split_text_row


@dataclass(frozen=True, slots=True)
class Rows:
    """A result set: definitions and cells, in the character set that the statement asked for."""

    columns: list[Column]
    rows: list[list[bytes | None]]


def rows_of(answer: Answer) -> Rows:
    """The rows of a whole answer in the classic EOF flavour that is a result set."""
    reader = ResultReader()
    reader.feed(answer.data, True)
    rows: list[list[bytes | None]] = []
    while (payload := reader.next_row()) is not None:
        rows.append(split_text_row(payload, len(reader.columns)))
    return Rows(reader.columns, rows)


def checked(answer: Answer) -> Answer:
    """The answer, if it is no error. Raises TabletError."""
    if answer.failed:
        error = answer.error()
        raise TabletError(error.number, error.sqlstate, error.text, 0)
    return answer
