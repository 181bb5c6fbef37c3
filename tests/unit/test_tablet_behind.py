"""A read behind its SET: nothing of its answer is seen before the SET's, and nothing at all if that is an error."""

from typing import Any

import pytest

from tablet.statements.behind import Behind
from wire.answers import err_packet, ok_packet

PROFILE = ("sql_mode='ANSI'", "db", False)


class Connection:
    settings, database = "", "db"
    profile = ("", "db", False)
    task: Any = None


class Statement:
    profile = PROFILE

    def __init__(self) -> None:
        self.connection = Connection()
        self.got = b""
        self.refusal = b""
        self.is_lost = False
        self.connection.task = Behind(self)  # type: ignore[arg-type]

    def received(self, data: bytes) -> None:
        assert self.connection.profile == PROFILE
        assert self.connection.settings == PROFILE[0]
        self.got += data

    def refuse_setting(self, answer: bytes) -> None:
        self.refusal = answer

    def lost(self) -> None:
        self.is_lost = True


@pytest.mark.parametrize("piece", [1, 2, 3, 4, 5, 11, 12, 1000])
def test_the_answer_of_the_set_is_taken_off(piece: int) -> None:
    statement = Statement()
    data = ok_packet(1, 0, 0, 2) + b"the answer of the statement"
    for at in range(0, len(data), piece):
        statement.connection.task.received(data[at : at + piece])
    assert statement.got == b"the answer of the statement"
    assert statement.connection.task is statement
    assert not statement.refusal


@pytest.mark.parametrize("piece", [1, 5, 1000])
def test_after_an_error_the_answer_is_that_and_nothing_else(piece: int) -> None:
    statement = Statement()
    refusal = err_packet(1, 1231, "42000", "no")
    data = refusal + b"rows read with the wrong settings"
    for at in range(0, len(data), piece):
        statement.connection.task.received(data[at : at + piece])
    assert statement.refusal == refusal
    assert not statement.got
    assert statement.connection.profile[0] == ""


def test_a_lost_connection_is_the_statements() -> None:
    statement = Statement()
    statement.connection.task.lost()
    assert statement.is_lost
