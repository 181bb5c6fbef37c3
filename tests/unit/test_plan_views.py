"""A view is made only where one MySQL has all that it reads."""

import pytest

from router.plan.planner import plan
from router.plan.plans import DdlPlan, PlanError
from router.vschema import VSchema, parse

_VSCHEMA = VSchema(
    [
        parse("shop", {"sharded": True, "vindexes": {"h": {"type": "hash"}}, "tables": {}}),
        parse("main", {"tables": {}}),
    ]
)


@pytest.mark.parametrize(
    "sql",
    [
        "create view shop.v as select 1",
        "create or replace algorithm = merge sql security definer view shop.v as select 1",
        "alter view shop.v as select 1",
        "create view main.v as select * from shop.t",
        "create definer = current_user view main.v as select * from shop.t",
    ],
)
def test_a_view_over_several_mysqls_is_refused(sql: str) -> None:
    made = plan(sql, "shop", _VSCHEMA).plan
    assert isinstance(made, PlanError)
    assert made.number == 1235


@pytest.mark.parametrize(
    "sql",
    [
        "create view main.v as select * from main.t",
        "drop view shop.v",
        "create table main.v (view int)",
    ],
)
def test_other_ddl_goes_on(sql: str) -> None:
    assert isinstance(plan(sql, "shop", _VSCHEMA).plan, DdlPlan)


def test_a_definer_does_not_hide_what_a_view_reads() -> None:
    own = "create algorithm = temptable definer = current_user sql security invoker view v as select * from t"
    assert isinstance(plan(own, "main", _VSCHEMA).plan, DdlPlan)
    other = plan(own.replace("from t", "from shop.t"), "main", _VSCHEMA).plan
    assert isinstance(other, PlanError)
