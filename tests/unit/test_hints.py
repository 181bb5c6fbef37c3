"""SET_VAR hints: which variables stay on the server, and what is planned where some must not be set."""

from types import SimpleNamespace
from typing import Any

import pytest

from router.execute.hints import with_hints
from router.plan.planner import plan
from router.plan.plans import SubstitutePlan
from tests.unit.test_plan_rules import SCHEMA


@pytest.mark.parametrize(
    ("name", "substituted"),
    [
        ("sql_mode", False),
        ("max_execution_time", False),
        ("SESSION.Sort_Buffer_Size", False),
        ("sql_select_limit", False),
        ("last_insert_id", True),
        ("autocommit", True),
        ("identity", True),
        ("warning_count", True),
        ("insert_id", True),
    ],
)
def test_only_settings_are_read_where_a_hint_sets_them(name: str, substituted: bool) -> None:
    hinted = name.rpartition(".")[2]
    made = plan(f"SELECT /*+ SET_VAR({hinted}=1) */ @@{name}", "user", SCHEMA).plan
    assert isinstance(made, SubstitutePlan) is substituted


class _Session:
    several = None
    warnings = None

    def __init__(self, admin: bool) -> None:
        self.worker = SimpleNamespace(
            server={"flavour": "mysql"}, rights=SimpleNamespace(is_admin=lambda _: admin)
        )
        self.planned: list[bytes] = []

    def run_text(self, sql: bytes) -> None:
        self.planned.append(sql)


@pytest.mark.parametrize("admin", [True, False])
def test_a_hint_that_must_go_is_in_no_plan(admin: bool) -> None:
    ran: list[bytes] = []

    class Own:
        def run(self, session: Any, sql: bytes, literals: Any, params: Any) -> None:
            ran.append(sql)

    sql = b"INSERT /*+ SET_VAR(bulk_insert_buffer_size=0) */ INTO t VALUES (1)"
    session: Any = _Session(admin)
    with_hints(Own(), sql).run(session, sql, (), None)
    assert ran == ([sql] if admin else [])
    blank = b" " * len(b"/*+ SET_VAR(bulk_insert_buffer_size=0) */")
    assert session.planned == ([] if admin else [b"INSERT " + blank + b" INTO t VALUES (1)"])
    assert (session.several is None) is admin
