"""What the tablet takes to be open after a statement's end, by the stored programs that there are."""

import pytest

from core.rpc.messages import F_PARTIAL, F_WRITE
from tablet.backend.server import Answer
from tablet.statements.aggregates import LOADED_SQL, Aggregates
from tablet.statements.programs import ASK, KNOWN, LOOK_EVERY_S, MAX_NAMES, RESET, Programs
from wire.scan import ERR, OK, RESULTSET

QUIET = [b"function", b"area", b"0", b""]
TRIGGER = [b"trigger", b"", b"0", b""]


class Lane:
    """The admin lane: keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def run(self, sql: str, then: object) -> None:
        if sql != LOADED_SQL:
            self.asked.append(then)

    def answer(self, *, lost: bool = False) -> None:
        """The oldest question: no programs at all."""
        self.asked.pop(0)(Answer(b"", None, lost=lost))  # type: ignore[operator]


def known(*rows: list[bytes | None], mariadb: bool = False) -> Programs:
    programs = Programs(Lane().run)  # type: ignore[arg-type]
    programs.forget(mariadb=mariadb)
    programs.learn([*rows])
    return programs


def test_nothing_is_open_where_there_are_no_programs() -> None:
    programs = known([b"view", b"area", b"0", b""])
    assert not programs.watching
    for kind in (OK, RESULTSET, ERR):
        assert programs.doubt(b"SELECT area()", 0, kind, ()) == KNOWN
        assert programs.doubt(b"INSERT INTO t VALUES (1)", F_WRITE, kind, ["t"]) == KNOWN


@pytest.mark.parametrize("sql", [b"CALL p()", b"/* a */ call\tp()", b"-- a\n# b\n  Call p()"])
def test_a_call_leaves_anything(sql: bytes) -> None:
    assert known().doubt(sql, F_WRITE, RESULTSET, None) == RESET


def test_a_function_by_its_name() -> None:
    programs = known(QUIET, [b"view", b"maps", b"0", b""])
    for sql in (
        b"SELECT area(1)",
        b"select `AREA` (1)",
        b"SHOW TABLES WHERE d.area(1)",
        b"SELECT * FROM maps",
    ):
        assert programs.doubt(sql, 0, RESULTSET, ()) == ASK
        assert programs.doubt(sql, 0, OK, ()) == KNOWN  # told
    assert programs.doubt(b"SELECT subarea(1), areas FROM area_1", 0, RESULTSET, ()) == KNOWN
    assert known(QUIET, mariadb=True).doubt(b"SELECT area(1)", 0, RESULTSET, ()) == KNOWN  # by a flag
    assert known(QUIET, mariadb=True).doubt(b"SELECT area(1)", 0, ERR, ()) == RESET
    assert known(QUIET, mariadb=True).doubt(b"SELECT nothing", 0, ERR, ()) == ASK


def test_triggers_fire_at_writes() -> None:
    mysql, mariadb = known(TRIGGER), known(TRIGGER, mariadb=True)
    assert mysql.doubt(b"INSERT INTO t VALUES (1)", F_WRITE, ERR, ["t"]) == ASK
    assert mariadb.doubt(b"INSERT INTO t VALUES (1)", F_WRITE, ERR, ["t"]) == RESET
    assert mariadb.doubt(b"INSERT INTO t VALUES (1)", F_WRITE, OK, ["t"]) == KNOWN
    locking = known([b"trigger", b"", b"1", b""])
    assert locking.doubt(b"INSERT INTO t VALUES (1)", F_WRITE, OK, ["t"]) == RESET
    assert locking.doubt(b"SELECT 1", 0, RESULTSET, ()) == KNOWN


@pytest.mark.parametrize(
    "row",
    [[b"function", b"area", b"1", b""], [b"function", b"area", None, b""]],
    ids=["takes locks", "body not shown"],
)
def test_what_trackers_never_tell_is_reset(row: list[bytes | None]) -> None:
    assert known(row).doubt(b"SELECT area()", 0, RESULTSET, ()) == RESET


@pytest.mark.parametrize("name", ["größe".encode(), b"a`b"])
def test_names_that_cannot_be_looked_for_are_everywhere(name: bytes) -> None:
    assert known([b"function", name, b"0", b""]).doubt(b"SELECT 1", 0, RESULTSET, ()) == ASK


def test_more_names_than_can_be_looked_for() -> None:
    rows: list[list[bytes | None]] = [[b"function", b"f%d" % n, b"0", b""] for n in range(MAX_NAMES + 1)]
    assert known(*rows).doubt(b"SELECT 1", 0, RESULTSET, ()) == ASK


def test_looks_again_in_time_and_after_a_change() -> None:
    lane = Lane()
    programs = Programs(lane.run)  # type: ignore[arg-type]
    assert programs.watching
    programs.sweep(0.0)
    programs.sweep(0.1)
    assert len(lane.asked) == 1
    lane.answer()
    assert not programs.watching
    programs.sweep(LOOK_EVERY_S - 1)
    assert not lane.asked
    programs.sweep(LOOK_EVERY_S)
    programs.note(b"CREATE /* begins */ DEFINER = a@b FUNCTION f() RETURNS INT RETURN 1")
    assert programs.watching
    lane.answer()  # it may have looked before the function was there
    assert programs.watching
    programs.sweep(LOOK_EVERY_S + 0.1)
    lane.answer(lost=True)
    assert programs.watching
    programs.sweep(2 * LOOK_EVERY_S + 0.1)
    lane.answer()
    assert not programs.watching
    programs.note(b"CREATE TABLE t (id INT)")
    assert not programs.watching


def test_who_waits_is_told_when_what_there_is_is_known() -> None:
    lane = Lane()
    programs = Programs(lane.run)  # type: ignore[arg-type]
    told: list[int] = []
    programs.look(lambda: told.append(1))
    programs.look(lambda: told.append(2))
    assert programs.note(b"CREATE PROCEDURE p() SET @a = 1")
    lane.answer()  # of a look that began before the procedure was made
    assert not told
    lane.answer()
    assert told == [1, 2]
    programs.look(lambda: told.append(3))
    lane.answer(lost=True)
    assert told == [1, 2, 3]


def test_aggregates_of_ones_own_are_no_part_of_an_answer() -> None:
    programs = known(
        [b"function", b"total", b"0", b"BEGIN LOOP FETCH  GROUP NEXT ROW; END LOOP; END"],
        [b"function", b"subtotal", b"0", b"RETURN 1"],
    )
    assert programs.judging
    for sql in (b"SELECT total(a) FROM t", b"SELECT shop.`Total` (a) FROM t"):
        refused = programs.refusal(sql, F_PARTIAL, ["t"])
        assert refused is not None
        assert refused.number == 1235
        assert programs.refusal(sql, 0, ["t"]) is None
    assert programs.refusal(b"SELECT subtotal(a), total FROM totals", F_PARTIAL, ["t"]) is None
    assert not known([b"function", b"subtotal", b"0", b"RETURN 1"]).judging


def test_loaded_aggregates() -> None:
    aggregates = Aggregates()
    aggregates.learn_loaded([b"median"])
    aggregates.learn([])
    assert aggregates.refusal(b"SELECT MEDIAN(a) FROM t") is not None
    aggregates.learn_loaded([])
    assert not aggregates.any
