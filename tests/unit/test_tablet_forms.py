"""What a FORM says holds for each RUN that names it."""

import pytest

from core.rpc.messages import F_BEGIN, F_BRIEF, F_FOUND_ROWS, F_RESERVE
from tablet.pool.admission import FOUND_ROWS, HOLD, PLAIN
from tablet.statements.form import make_form


@pytest.mark.parametrize(
    ("flags", "lane"),
    [
        (0, PLAIN),
        (F_FOUND_ROWS, FOUND_ROWS),
        (F_BEGIN | F_FOUND_ROWS, HOLD | FOUND_ROWS),
        (F_RESERVE, HOLD),
        (F_RESERVE | F_BRIEF, PLAIN),
    ],
)
def test_lane_and_profile(flags: int, lane: int) -> None:
    form = make_form(flags, "app", "sql_mode=''", ["t"], "db")
    assert (form.lane, form.profile) == (lane, ("sql_mode=''", "db", bool(flags & F_FOUND_ROWS)))
    assert form.refused is None


def test_settings_that_are_none_are_refused() -> None:
    form = make_form(0, "app", "DROP TABLE t", [], "db")
    assert form.refused is not None
    assert form.refused.number == 1235
