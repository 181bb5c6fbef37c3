"""A view is made only where one MySQL has all that it reads."""

import pytest

from router.plan.planner import plan
from router.plan.plans import DdlPlan, PlanError
from router.plan.views import derived_table
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
        "create view shop.v as select * from main.t",
        "create or replace algorithm = merge sql security definer view shop.v as select 1 from main.t",
        "alter view shop.v as select 1 from main.t",
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
        "create view shop.v as select 1",
        "create or replace algorithm = merge sql security definer view shop.v as select * from shop.t",
        "alter view shop.v as select 1",
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


def test_what_may_be_a_view_stands_for_its_query() -> None:
    made = plan(
        "select v.a, x.* from v join shop.w as x on v.a = x.a where x.b = ? limit 3", "shop", _VSCHEMA
    ).plan
    assert isinstance(made, PlanError)
    assert made.number == 1146
    assert made.views is not None
    assert made.views.views == (("shop", "v", "v"), ("shop", "w", "x"))
    assert made.views.sql.pieces == (b"select v.a, x.* from ", -1, b" join ", -2, b" on v.a = x.a where x.b = ", 0,
                                     b" limit 3")  # fmt: skip


@pytest.mark.parametrize(
    "sql",
    [
        "select * from v for update",
        "select shop.v.a + 1 from v",
        "update v set a = 1",
        "select * from main.nothing where a in (select a from nowhere.v)",
    ],
)
def test_what_a_derived_table_cannot_stand_for_is_no_view(sql: str) -> None:
    made = plan(sql, "shop", _VSCHEMA).plan
    assert isinstance(made, PlanError)
    assert made.views is None


def test_a_derived_table_has_no_keyspace() -> None:
    made = plan(
        "select shop.v.a, b as shop from shop.v where shop.v.c = ? and v.b = ?", "shop", _VSCHEMA
    ).plan
    assert isinstance(made, PlanError)
    assert made.views is not None
    text = b"".join(b"<%d>" % one if isinstance(one, int) else one for one in made.views.sql.pieces)
    assert text == b"select v.a, b as shop from <-1> where v.c = <0> and v.b = <1>"


def test_the_text_of_a_view() -> None:
    assert derived_table(b"select 1", "a`b", b"") == b"(select 1) AS `a``b`"
    assert derived_table(b"select 1", "v", b" (`x`)") == b"(select 1) AS `v` (`x`)"
