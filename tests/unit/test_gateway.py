"""Links: every request ends exactly once, whatever becomes of the tablet."""

import random
from typing import Any

import pytest

from core.errors import SluiceError
from core.rpc import messages as m
from router.gateway import MAX_FORM_SETTINGS, MAX_WAITING, SILENCE_S, WAIT_FOR_TABLET_S, Link
from tests.unit.fake_tablets import FakeTablet


class Ends:
    """A receiver that counts."""

    def __init__(self) -> None:
        self.ends: list[Any] = []

    def on_result(self, info: int, data: bytes, handle: int, status: int) -> None:
        if info & m.I_LAST:
            self.ends.append((info, data, handle, status))

    def on_fail(self, number: int, sqlstate: str, text: str, handle: int) -> None:
        self.ends.append(number)


def manual(welcome: bool = True) -> FakeTablet:
    tablet = FakeTablet()
    tablet.auto = False
    return tablet.welcome() if welcome else tablet


def ask(link: Link, receiver: Any, handle: int = 0) -> int:
    return link.execute(receiver, 0, handle, "app", "", (), b"select 1", None)


def kinds(tablet: FakeTablet) -> list[int]:
    return [record[0] for record in tablet.sent]


def test_what_waits_for_a_tablet_goes_out_after_its_welcome() -> None:
    tablet, ends = manual(False), Ends()
    request = ask(tablet.link, ends)
    assert kinds(tablet) == []
    assert tablet.link.waiting_count() == 1
    tablet.welcome()
    assert kinds(tablet) == [m.HELLO, m.EXECUTE]
    assert tablet.sent[1][1] == request
    tablet.link.on_record([m.RESULT, request, m.I_LAST, b"x"])
    assert ends.ends == [(m.I_LAST, b"x", 0, 0)]
    assert not tablet.link.pending


def test_waiting_ends_with_tablet_unavailable() -> None:
    tablet, ends = manual(False), Ends()
    ask(tablet.link, ends)
    tablet.clock.now += WAIT_FOR_TABLET_S - 0.1
    tablet.link.tick()
    assert ends.ends == []
    tablet.clock.now += 0.2
    tablet.link.tick()
    assert ends.ends == [15001]
    assert not tablet.link.pending
    tablet.welcome()
    assert m.EXECUTE not in kinds(tablet)


def test_waiting_is_bounded() -> None:
    tablet, ends = manual(False), Ends()
    for _ in range(MAX_WAITING):
        ask(tablet.link, ends)
    with pytest.raises(SluiceError) as failure:
        ask(tablet.link, ends)
    assert failure.value.number == 15001
    assert ends.ends == []
    assert len(tablet.link.pending) == MAX_WAITING


def test_a_handle_does_not_wait_for_another_incarnation() -> None:
    tablet, ends = manual(False), Ends()
    with pytest.raises(SluiceError) as failure:
        ask(tablet.link, ends, handle=5)
    assert failure.value.number == 15009
    assert not tablet.link.pending
    assert ends.ends == []


@pytest.mark.parametrize("drop", [False, True], ids=["cancelled", "abandoned"])
def test_what_waits_can_be_ended(drop: bool) -> None:
    tablet, ends = manual(False), Ends()
    request = ask(tablet.link, ends)
    (tablet.link.abandon if drop else tablet.link.cancel)(request)
    assert ends.ends == ([] if drop else [1317])
    assert not tablet.link.pending
    tablet.welcome()
    assert kinds(tablet) == [m.HELLO]


def test_a_lost_link_ends_what_was_in_flight_and_keeps_what_waits() -> None:
    tablet, flying, waiting = manual(), Ends(), Ends()
    ask(tablet.link, flying)
    tablet.lose()
    ask(tablet.link, waiting)
    assert flying.ends == [15008]
    assert waiting.ends == []
    tablet.link.free(3)  # of the incarnation that is gone
    tablet.link.credit(1, 10)
    tablet.clock.now += 1
    tablet.link.tick()
    before = len(tablet.sent)
    tablet.welcome()
    assert kinds(tablet)[before:] == [m.HELLO, m.EXECUTE]
    assert tablet.link.incarnation == 2
    assert len(tablet.dealers) == 2


def test_a_receiver_that_breaks_keeps_nobody_from_hearing() -> None:
    class Breaks(Ends):
        def on_fail(self, number: int, sqlstate: str, text: str, handle: int) -> None:
            super().on_fail(number, sqlstate, text, handle)
            raise RuntimeError("no")

    tablet, breaks, ends = manual(), Breaks(), Ends()
    ask(tablet.link, breaks)
    ask(tablet.link, ends)
    tablet.lose()
    assert breaks.ends == ends.ends == [15008]


@pytest.mark.parametrize("info", [0, m.I_LAST])
def test_an_answer_that_cannot_be_taken_is_an_end(info: int) -> None:
    class Breaks(Ends):
        def on_result(self, info: int, data: bytes, handle: int, status: int) -> None:
            raise ValueError("odd rows")

    tablet, ends = manual(), Breaks()
    request = ask(tablet.link, ends)
    tablet.link.on_record([m.RESULT, request, info, b"x", 4, 0])
    assert ends.ends == [1105]
    if info:
        assert tablet.sent[-1] == (m.FREE, 4)
    else:
        assert tablet.sent[-1] == (m.CANCEL, request)
        tablet.link.on_record([m.RESULT, request, m.I_LAST, b"", 4, 0])
        assert tablet.sent[-1] == (m.FREE, 4)
    assert ends.ends == [1105]


def test_refused_by_a_tablet_that_forgot_us_starts_over() -> None:
    tablet, ends = manual(), Ends()
    ask(tablet.link, ends)
    tablet.link.on_record([m.REFUSED, "say HELLO first"])
    assert ends.ends == [15008]
    assert not tablet.link.ready
    assert len(tablet.dealers) == 2
    assert tablet.dealers[0].closed
    tablet.link.on_record([m.REFUSED, "another version"])
    assert len(tablet.dealers) == 2, "one that was never welcome does not dial in circles"


def test_silence_is_a_loss_but_not_our_own_pause() -> None:
    tablet, ends = manual(), Ends()
    ask(tablet.link, ends)
    tablet.link.tick()
    tablet.clock.now += 60  # the whole process stood still
    tablet.link.tick()
    assert tablet.link.ready
    for _ in range(int(SILENCE_S) + 2):
        tablet.clock.now += 1
        tablet.link.tick()
    assert not tablet.link.ready
    assert ends.ends == [15008]


def test_pongs_keep_it_alive() -> None:
    tablet = manual()
    for _ in range(20):
        tablet.clock.now += 1
        tablet.link.tick()
        tablet.link.on_record([m.PONG, 0, 0, m.SERVING, 0, 0])
    assert tablet.link.ready


def test_a_closed_link_ends_everything_and_takes_nothing() -> None:
    tablet, flying = manual(), Ends()
    ask(tablet.link, flying)
    tablet.link.close("moved")
    assert flying.ends == [15008]
    with pytest.raises(SluiceError) as failure:
        ask(tablet.link, flying)
    assert failure.value.number == 15001
    assert not tablet.link.pending

    waiting, other = Ends(), manual(False)
    ask(other.link, waiting)
    other.link.close("moved")
    assert waiting.ends == [15001], "nothing was executed"


def test_the_wrong_tablet_is_not_used() -> None:
    tablet = manual(False)
    tablet.link.on_record([m.WELCOME, m.VERSION, "a", "ks", "80-", "PRIMARY", 0, {}, m.SERVING])
    assert not tablet.link.ready
    assert "80-" in tablet.link.reason


def test_an_abandoned_answer_with_a_handle_is_freed() -> None:
    tablet, ends = manual(), Ends()
    request = ask(tablet.link, ends)
    tablet.link.abandon(request)
    tablet.link.on_record([m.RESULT, request, m.I_LAST, b"", 9, 0])
    assert tablet.freed == [9]
    assert ends.ends == []
    assert not tablet.link.pending


def test_every_request_ends_once_whatever_happens() -> None:
    chance = random.Random(7)
    for _ in range(200):
        tablet, asked = manual(False), []
        for _ in range(60):
            what = chance.randrange(9)
            link = tablet.link
            if what < 3:
                ends = Ends()
                try:
                    asked.append((ends, ask(link, ends)))
                except SluiceError:
                    assert link.closed
            elif what == 3 and not link.ready and not link.closed:
                tablet.welcome()
            elif what == 4 and link.ready:
                chance.choice([tablet.lose, lambda link=link: link.on_record([m.REFUSED, "who?"])])()
            elif what == 5 and asked:
                link.cancel(chance.choice(asked)[1])
            elif what == 6:
                tablet.clock.now += chance.choice([0.1, 1.0, 4.0])
                link.tick()
            elif link.ready and link.pending:
                request = chance.choice(list(link.pending))
                last = chance.random() < 0.7
                if chance.random() < 0.3:
                    link.on_record([m.FAIL, request, 15003, "HY000", "late", 0])
                else:
                    link.on_record([m.RESULT, request, m.I_LAST if last else 0, b""])
        tablet.link.close("the end")
        assert [len(ends.ends) for ends, _ in asked] == [1] * len(asked)
        assert not tablet.link.pending
        assert not tablet.link.waiting_count()


def test_what_waits_goes_where_the_tablet_goes() -> None:
    tablet, waits, flies = manual(), Ends(), Ends()
    ask(tablet.link, flies)
    tablet.link.on_record([m.STATE, m.DRAINING])
    request = ask(tablet.link, waits)
    tablet.link.move("ipc://elsewhere")
    assert flies.ends == [15008]
    assert waits.ends == []
    assert len(tablet.dealers) == 2
    tablet.welcome()
    assert tablet.sent[-1][:2] == (m.EXECUTE, request)


def test_a_draining_tablet_gets_no_new_work_but_ends_what_it_holds() -> None:
    tablet, ends = manual(), Ends()
    tablet.link.on_record([m.STATE, m.DRAINING])
    new = ask(tablet.link, ends)
    held = ask(tablet.link, ends, handle=7)
    assert [record[1] for record in tablet.sent if record[0] == m.EXECUTE] == [held]
    tablet.link.on_record([m.PONG, 0, 0, m.SERVING, 0, 0])  # it thought better of it
    assert [record[1] for record in tablet.sent if record[0] == m.EXECUTE] == [held, new]


def test_a_refusal_for_draining_tells_the_link_before_its_state_does() -> None:
    tablet, ends = manual(), Ends()
    request = ask(tablet.link, ends)
    tablet.link.on_record([m.FAIL, request, 1053, "08S01", "Server shutdown in progress", 0])
    assert ends.ends == [1053]
    ask(tablet.link, ends)
    assert tablet.link.waiting_count() == 1
    tablet.clock.now += WAIT_FOR_TABLET_S + 0.1
    tablet.link.tick()
    assert ends.ends == [1053, 15001]


def test_forms_are_said_once_an_incarnation() -> None:
    tablet, ends = manual(), Ends()
    said: list[tuple[Any, ...]] = []
    receive = tablet.receive

    def listen(record: tuple[Any, ...]) -> None:
        said.append(record)
        receive(record)

    tablet.receive = listen  # type: ignore[method-assign]
    link = tablet.link
    for params in (b"1", b"2"):
        link.execute(ends, m.F_PREPARED, 0, "app", "a=1", ("t",), b"select ?", {"params": params})
    link.execute(ends, m.F_PREPARED, 0, "app", "a=2", ("t",), b"select ?", {"params": b"3"})
    link.execute(ends, m.F_BEGIN, 0, "app", "", (), b"select 1", {"begin": "BEGIN"})
    link.execute(ends, 0, 0, "app", "x='" + "y" * MAX_FORM_SETTINGS + "'", (), b"select 1", None)
    kinds_said = [record[0] for record in said]
    assert kinds_said == [m.FORM, m.RUN, m.RUN, m.FORM, m.RUN, m.EXECUTE, m.EXECUTE]
    assert said[2][2:] == (0, 0, b"select ?", b"2")
    tablet.lose()
    said.clear()
    tablet.welcome()
    ask(link, ends)
    assert [record[0] for record in said] == [m.HELLO, m.FORM, m.RUN]


def test_forms_are_bounded() -> None:
    tablet, ends = manual(), Ends()
    for number in range(m.MAX_FORMS + 3):
        tablet.link.execute(ends, 0, 0, "app", f"a={number}", (), b"select 1", None)
        assert tablet.sent[-1][6] == f"a={number}"
    assert set(tablet.forms) == set(range(m.MAX_FORMS))
    tablet.link.execute(ends, 0, 0, "app", "a=5", (), b"select 1", None)
    assert tablet.sent[-1][6] == "a=5"
