"""Which statements a lookup table routes, how its column must compare, and the order of COMMITs."""

import asyncio
from typing import Any

import pytest

from router.execute.isolation import each_read_is_fresh
from router.execute.lookup_links import _fits, _keeps_together, _kind_of
from router.plan.planner import plan
from router.plan.plans import Bind, DmlPlan, LookupRoute, SelectPlan
from router.sessions.holding import open_transaction
from router.sessions.transaction import Transaction
from router.sql.normalise import normalise
from router.vindexes import create
from router.vschema import VSchema, parse
from tests.unit.data.plans.generate import vschema
from tests.unit.fake_tablets import FakeTablet, make_session

SCHEMA = vschema()
EMAIL, ADDRESS, MANY = "email_user_map", "address_user_map", "non_planable_user_map"


def route(query: str, *, spread: bool = False, schema: VSchema = SCHEMA) -> LookupRoute | None:
    made = plan(normalise(query.encode()).key.decode(), "user", schema, spread=spread).plan
    assert isinstance(made, (SelectPlan, DmlPlan)), made
    return made.lookup


@pytest.mark.parametrize(
    ("query", "vindex", "values"),
    [
        ("select * from user_metadata where email = 'a'", EMAIL, 1),
        ("select count(*) from user_metadata m where 'a' = m.Email and md5 = 3", EMAIL, 1),
        ("select * from user_metadata where email in ('a', 'b', null)", EMAIL, 3),
        ("select * from user_metadata where (email, md5) in (('a', 1), ('b', 2))", EMAIL, 2),
        ("select * from user_metadata where email = 'a' or email = 'b'", EMAIL, 2),
        ("select * from user_metadata where non_planable = 'a'", MANY, 1),
        ("select * from user_metadata where non_planable = 'a' and address in (1, 2)", ADDRESS, 2),
        ("select m.md5 from user u join user_metadata m on m.user_id = u.id where m.email = 'a'", EMAIL, 1),
        ("select m.md5 from user_metadata m left join user u on m.user_id = u.id and u.id > 3 where m.email = 'a'",
         EMAIL, 1),
        ("select row_number() over (order by md5) from user_metadata where email = 'a'", EMAIL, 1),
        ("update user_metadata set md5 = 1 where email = 'a'", EMAIL, 1),
        ("delete from user_metadata where address = 'x' and md5 > 1", ADDRESS, 1),
    ],
)  # fmt: skip
def test_values_of_its_column_route(query: str, vindex: str, values: int) -> None:
    found = route(query)
    assert found is not None
    assert (found.table, found.vindex, len(found.values)) == ("user_metadata", vindex, values)


@pytest.mark.parametrize(
    "query",
    [
        "select * from user_metadata where user_id = 1 and email = 'a'",  # one shard is known
        "select * from user_metadata where email = 'a' or md5 = 1",
        "select * from user_metadata where email like 'a'",
        "select * from user_metadata where email > 'a'",
        "select * from user_metadata where not email = 'a'",
        "select * from user_metadata where lower(email) = 'a'",
        "select * from user_metadata where email = concat('a')",
        "select * from user_metadata where email = 'a' collate utf8mb4_bin",
        "select * from user_metadata where email <=> null",
        # a value that only follows through another column, of whatever type
        "select u.id from user u join user_metadata m on m.user_id = u.id and m.email = u.name where u.name = 'a'",
        # rows of the other side come without one
        "select u.id from user u left join user_metadata m on m.user_id = u.id and m.email = 'a'",
        # rows that may lie on other shards
        "select u.id from user u join user_metadata m on m.md5 = u.id where m.email = 'a'",
        "select 1 from user_metadata where email = 'a' and md5 in (select id from user)",
        "update user_metadata set md5 = 1 where email = 'a' limit 1",  # its rows are found first
        "select * from user_metadata where email = 'a' union all select * from user_metadata",
    ],
)
def test_nothing_else_does(query: str) -> None:
    assert route(query) is None


def test_all_shards_are_asked_where_values_do_not_tell() -> None:
    assert route("select * from user_metadata where email = 'a'", spread=True) is None


@pytest.mark.parametrize(
    "query",
    [
        "select r.a, (select max(u.col) from user u where u.id = 'x') from ref r",
        "select x.c from (select count(*) c from user where id = 'x') x",
    ],
)
def test_one_value_is_not_one_shard_where_values_do_not_tell(query: str) -> None:
    key = normalise(query.encode()).key.decode()
    for spread in (False, True):
        made = plan(key, "user", SCHEMA, spread=spread).plan
        assert isinstance(made, SelectPlan)
        assert (made.refusal is not None, made.merge is not None) == (spread, False)


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("lookup_unique", {"write_only": "true"}),
        ("lookup_unicodeloosemd5_hash", {}),
        ("lookup", {"from": "a,b"}),
    ],
)
def test_lookup_tables_that_do_not_route(kind: str, params: dict[str, str]) -> None:
    document = {
        "sharded": True,
        "vindexes": {
            "hash": {"type": "hash"},
            "l": {"type": kind, "params": {"table": "l", "from": "a", "to": "k", **params}, "owner": "t"},
        },
        "tables": {
            "t": {"column_vindexes": [{"column": "id", "name": "hash"}, {"column": "a", "name": "l"}]},
            "l": {"column_vindexes": [{"column": "a", "name": "hash"}]},
        },
    }
    assert route("select * from t where a = 1", schema=VSchema([parse("user", document)])) is None


def test_values_are_binds() -> None:
    assert route("select * from user_metadata where md5 = 5 and address = -3") == LookupRoute(
        "user_metadata", "address", ADDRESS, (Bind(1, True),)
    )


@pytest.mark.parametrize(
    ("owner", "entry", "kind"),
    [
        ((b"bigint", b""), (b"bigint unsigned", b""), "integer"),
        ((b"int(11)", b""), (b"tinyint(4)", b""), "integer"),
        ((b"varchar(20)", b"c"), (b"varchar(20)", b"c"), "c"),
        ((b"varchar(20)", b"c"), (b"varchar(30)", b"c"), "c"),
        ((b"varchar(20)", b"c"), (b"varchar(19)", b"c"), ""),
        ((b"varchar(20)", b"c"), (b"varchar(20)", b"d"), ""),
        ((b"varchar(20)", b"c"), (b"char(20)", b"c"), ""),
        ((b"varchar(20)", b"c"), (b"varbinary(20)", b""), ""),
        ((b"varbinary(20)", b""), (b"varbinary(20)", b""), "binary"),
        ((b"bigint", b""), (b"varchar(20)", b"c"), ""),
        ((b"decimal(10,0)", b""), (b"decimal(10,0)", b""), ""),
        ((b"enum('a')", b"c"), (b"enum('a')", b"c"), ""),
        ((b"", b""), (b"", b""), ""),
    ],
)
def test_columns_that_compare_alike(
    owner: tuple[bytes, bytes], entry: tuple[bytes, bytes], kind: str
) -> None:
    assert _kind_of(owner, entry) == kind


def test_literals_are_of_the_columns_kind() -> None:
    assert _fits("integer", 5)
    assert not _fits("integer", "5")  # '5a' is 5, too
    assert _fits("c", "5")
    assert not _fits("c", 5)  # equals '5', '05', '5.0'


def test_a_sharded_lookup_table_keeps_equal_values_together() -> None:
    loose, xx = create("unicode_loose_md5", "l", {}), create("xxhash", "x", {})
    assert _keeps_together(xx, "integer", [1, 2])  # type: ignore[arg-type]
    assert _keeps_together(xx, "binary", ["a"])  # type: ignore[arg-type]
    assert not _keeps_together(xx, "utf8mb4_0900_ai_ci", ["a"])  # type: ignore[arg-type]
    assert _keeps_together(loose, "utf8mb4_0900_ai_ci", ["a"])  # type: ignore[arg-type]
    assert not _keeps_together(loose, "utf8mb4_general_ci", ["a"])  # type: ignore[arg-type]
    assert not _keeps_together(loose, "utf8mb4_0900_ai_ci", ["ä"])  # type: ignore[arg-type]


async def _order() -> None:
    a, b, c = (FakeTablet(shard=name).welcome().link for name in ("-40", "40-80", "80-"))
    tx = Transaction(["BEGIN"])
    for at, link in enumerate((a, b, c), 1):
        tx.note(link, at)
    assert tx.in_order() == [a, b, c]
    tx.note_entries(c, gone=False)
    assert tx.in_order() == [c, a, b]
    tx.note_entries(a, gone=True)
    tx.note_entries(a, gone=False)
    assert tx.in_order() == [c, b, a]
    tx.commits_before(b, c)
    assert tx.in_order() == [b, c, a]
    tx.commits_before(a, b)
    assert tx.in_order() == [a, b, c]
    tx.commits_before(c, a)  # a circle has no right order, but an order
    assert sorted(tx.in_order(), key=id) == sorted([a, b, c], key=id)


def test_entries_come_before_rows_and_go_after_them() -> None:
    asyncio.run(_order())


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
@pytest.mark.parametrize(
    ("default", "own", "following", "fresh"),
    [
        ("REPEATABLE-READ", None, None, False),
        ("SERIALIZABLE", None, None, False),
        (None, None, None, False),  # not known
        ("READ-COMMITTED", None, None, True),
        ("REPEATABLE-READ", "'READ-COMMITTED'", None, True),
        ("REPEATABLE-READ", "'READ-UNCOMMITTED'", None, True),
        ("READ-COMMITTED", "'REPEATABLE-READ'", None, False),
        ("READ-COMMITTED", "'READ-COMMITTED'", "SERIALIZABLE", False),
        ("REPEATABLE-READ", "'REPEATABLE-READ'", "READ COMMITTED", True),
    ],
)
def test_reads_are_fresh_where_the_level_surely_says_so(
    flavour: str, default: str | None, own: str | None, following: str | None, fresh: bool
) -> None:
    loop = asyncio.new_event_loop()
    try:
        session: Any = make_session(loop)[0]
        name = "tx_isolation" if flavour == "mariadb" else "transaction_isolation"
        variables = {} if default is None else {name: default}
        session.worker.server = {"flavour": flavour, "variables": variables}
        session.set_setting(name, own)
        if following is not None:
            session.next_transaction = [f"SET TRANSACTION ISOLATION LEVEL {following}"]
        assert each_read_is_fresh(session) == fresh  # of the transaction to come, and once it is open
        open_transaction(session)
        assert each_read_is_fresh(session) == fresh
        session.set_setting(name, "'READ-COMMITTED'" if own is None else None)
        assert each_read_is_fresh(session) == (fresh and following is not None)
    finally:
        loop.close()
