"""The diagnostics area of a session: what of a condition follows from its number, and what is kept beside it."""

from typing import Any

import pytest

from core.errors import SluiceError
from router.plan.plans import Kind
from router.sessions.conditions import ITEMS, Condition, condition, told
from router.sessions.flavour import greeted_plugin, greeted_version
from router.sessions.sqlstates import sqlstate_of
from tests.unit.test_statements import run, session_of


def test_states() -> None:
    numbers = (1062, 1292, 1366, 1051, 1146, 1365, 5000, 1758)
    assert [sqlstate_of(one, mariadb=False) for one in numbers] == [
        "23000", "22007", "HY000", "42S02", "42S02", "22012", "HY000", "35000",
    ]  # fmt: skip
    assert sqlstate_of(1366, mariadb=True) == "22007"
    assert sqlstate_of(3141, mariadb=False) != sqlstate_of(3141, mariadb=True) == "HY000"


def test_a_condition_is_what_show_warnings_lists() -> None:
    session = session_of()
    plain = condition(session, 1062, "23000", "twice")
    assert plain == ("Error", 1062, "twice")
    assert not isinstance(plain, Condition)
    odd = condition(session, 1062, "45000", "twice")
    assert odd == plain
    assert told(session, odd)["RETURNED_SQLSTATE"] == "45000"
    lost = condition(session, 15009, "25000", "lost")
    assert not isinstance(lost, Condition)
    assert told(session, lost)["RETURNED_SQLSTATE"] == "25000"
    signalled = Condition.of(("Warning", 1642, "x"), "01234", {"TABLE_NAME": "t", "CLASS_ORIGIN": ""})
    found = told(session, signalled)
    assert {found[item] for item in ITEMS} == {"", "t", "ISO 9075"}
    assert (found["TABLE_NAME"], found["CLASS_ORIGIN"], found["MYSQL_ERRNO"]) == ("t", "", 1642)


def get(session: Any, sql: str) -> None:
    run(session, Kind.DIAGNOSTICS, sql)


def test_get_diagnostics_changes_nothing_but_variables() -> None:
    session = session_of()
    session.warnings = [("Warning", 1265, "cut"), ("Error", 1062, "twice")]
    session.affected_rows = 7
    get(session, "GET CURRENT DIAGNOSTICS @N = NUMBER, @`r w` = ROW_COUNT")
    get(session, "GET DIAGNOSTICS CONDITION @N @state = RETURNED_SQLSTATE, @text = MESSAGE_TEXT")
    assert session.user_variables == {"n": b"2", "r w": b"7", "state": b"'23000'", "text": b"'twice'"}
    assert session.affected_rows == 7
    get(session, "GET DIAGNOSTICS CONDITION 3 @state = RETURNED_SQLSTATE")
    assert session.warnings[2:] == [("Error", 1758, "Invalid condition number")]
    for number in ("1e30", "9" * 40, f"'{'9' * 5000}'", "'02x'", "1.5", "' 2'"):
        get(session, f"GET DIAGNOSTICS CONDITION {number} @found = MYSQL_ERRNO")
        assert session.user_variables.pop("found", None) == (
            None if "9" in number or "e" in number else b"1062"
        )
    assert session.user_variables["state"] == b"'23000'"
    with pytest.raises(SluiceError) as caught:
        get(session, "GET STACKED DIAGNOSTICS @n = NUMBER")
    assert caught.value.number == 3004


def test_mariadb_10_is_greeted_as_it_greets() -> None:
    assert greeted_version("10.11.19-MariaDB") == "5.5.5-10.11.19-MariaDB-Sluice"
    assert greeted_version("11.4.2-MariaDB") == "11.4.2-MariaDB-Sluice"
    assert greeted_version("9.7.4") == "9.7.4-Sluice"
    assert greeted_plugin("10.11.19-MariaDB") == "mysql_native_password"
    assert greeted_plugin("9.7.4") == "caching_sha2_password"
