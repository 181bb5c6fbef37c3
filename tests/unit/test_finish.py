"""Statements that one server finishes: what is fetched, what runs, and what is not tried."""

import pytest

from router.engine.copying import (
    CannotCopyError,
    copied_columns,
    fetch_text,
    inserts,
)
from router.engine.narrowing import definition, needed, temporary_table
from router.plan.planner import plan
from router.plan.plans import Choice, Finish, FinishPlan, SelectPlan
from router.sql.normalise import normalise
from tests.unit.data.plans.generate import template, vschema

SCHEMA = vschema()


def finish_of(query: str, keyspace: str = "user") -> Finish | None:
    made = plan(normalise(query.encode()).key.decode(), keyspace, SCHEMA).plan
    if isinstance(made, FinishPlan):
        return made.finish
    assert isinstance(made, SelectPlan)
    return made.finish


def fetched(query: str, keyspace: str = "user") -> list[tuple[str, str, str]]:
    """Table, choice and condition of each part."""
    found = finish_of(query, keyspace)
    assert found is not None
    return [
        (part.table, part.chooser.choice.value, template(part.where) if part.where is not None else "")
        for part in found.parts
    ]


def test_conditions_on_a_table_alone_go_to_its_shards() -> None:
    assert fetched(
        "select * from user u join music m on m.col = u.col where u.id = 5 and m.user_id in (1, 2) and u.col > -3 "
        "and u.col + 1 = 2 and m.a = u.b and name = 'x' and u.x like 'a%'"
    ) == [
        ("user", Choice.EQUAL.value, "`id` = {0} AND `col` > -{3}"),
        ("music", Choice.IN.value, "`user_id` IN ({1}, {2})"),
    ]


def test_conditions_that_decide_on_rows_filled_with_null_stay() -> None:
    assert fetched(
        "select * from user u left join music m on m.col = u.col where m.user_id = 1 and 2 < u.col"
    ) == [
        ("user", "scatter", "`col` > {1}"),
        ("music", "scatter", ""),
    ]
    assert fetched(
        "select * from user u right join music m on m.col = u.col where u.col = 1 and m.col = 2"
    ) == [
        ("user", "scatter", ""),
        ("music", "scatter", ""),
    ]


def test_a_column_without_its_table_is_pushed_only_where_it_can_be_no_other() -> None:
    assert fetched("select count(distinct name) from user where col between 1 and 2") == [
        ("user", "scatter", "`col` BETWEEN {0} AND {1}")
    ]
    assert fetched(
        "select 1 from user where col in (select col from music where name = 1 and music.a = 2)"
    ) == [
        ("user", "scatter", ""),
        ("music", "scatter", "`a` = {2}"),
    ]


@pytest.mark.parametrize(
    ("query", "sql"),
    [
        (
            "select u.col, music.* from user u, music where music.col = u.col",
            "select u.col, music.* from `sluice_finish_0` u, `sluice_finish_1` AS `music` where music.col = u.col",
        ),
        (
            "select count(distinct `user`.col) from `user` use index (x)",
            "select count(distinct `user`.col) from `sluice_finish_0` AS `user` use index (x)",
        ),
        (
            "select 'user', (select max(col) from music where col <> 'a`b') from user.user /* user */ limit 2",
            (
                "select {0}, (select max(col) from `sluice_finish_1` AS `music` where col <> {1}) AS "
                "`(select max(col) from music where col <> <0>)`  from `sluice_finish_0` AS `user` /* user */ limit {2}"
            ),
        ),
        (
            "select main.unsharded.id, user.col from user join main.unsharded on main.unsharded.id = user.user.col",
            (
                "select unsharded.id, user.col from `sluice_finish_0` AS `user` join `sluice_finish_1` AS `unsharded` "
                "on unsharded.id = user.user.col"
            ),
        ),
        (
            "with user as (select 1 from music group by col) select count(distinct 1) from user join user b",
            (
                "with `user` as (select 1 from `sluice_finish_0` AS `music` group by col), `sluice_cte_1` as "
                "(select 1 from `sluice_finish_1` AS `music` group by col) "
                "select count(distinct {1}) from user join `sluice_cte_1` b"
            ),
        ),
    ],
)
def test_names_are_replaced_and_nothing_else(query: str, sql: str) -> None:
    found = finish_of(query)
    assert found is not None
    if "with" not in query:
        assert template(found.sql) == sql
    else:
        assert template(found.sql).replace("{0}", "1") == sql.replace("{0}", "1")


@pytest.mark.parametrize(
    "query",
    [
        "select * from user u join music m on m.col = u.col for update",
        "select own_function(u.col) from user u join music m on m.col = u.col",
        "select * from (select (select max(col) from music), (select min(col) from music) from user) t",
        "select sql_calc_found_rows u.col from user u join music m on m.col = u.col",
    ],
)
def test_what_is_not_tried(query: str) -> None:
    assert finish_of(query) is None


def test_locks_and_sequences_stay_refused() -> None:
    made = plan("select * from user join main.seq", "user", SCHEMA)
    assert made.tier == "refused"


# ---- copying


def test_columns_and_their_literals() -> None:
    columns = copied_columns(
        [
            [b"id", b"bigint unsigned", b"NO", b"PRI", None, b"auto_increment"],
            [b"f`l", b"float", b"YES", b"", None, b""],
            [b"ts", b"timestamp(3)", b"YES", b"", None, b"DEFAULT_GENERATED"],
            [b"vc", b"varchar(20)", b"YES", b"", None, b""],
            [b"en", b"enum('a','b')", b"YES", b"", None, b""],
            [b"gen", b"int", b"YES", b"", None, b"VIRTUAL GENERATED"],
            [b"pt", b"vector(3)", b"YES", b"", None, b""],
        ]
    )
    assert [one.name for one in columns] == ["id", "f`l", "ts", "vc", "en", "pt"]
    assert not columns[-1].fetch
    assert fetch_text("t", columns, b"a = 1", 9) == (
        b"SELECT `id`, `f``l` * 1e0, UNIX_TIMESTAMP(`ts`), CAST(`vc` AS BINARY), `en` + 0 FROM `t` WHERE a = 1 LIMIT 9"
    )
    rows = [
        [b"18446744073709551615", b"-1.5e-10", b"1792888200.123", b"'\\\xff", b"2"],
        [b"1", b"-0", b"0.000", b"", None],
    ]
    assert list(inserts("x", columns, rows)) == [
        (
            b"INSERT INTO `x` (`id`, `f``l`, `ts`, `vc`, `en`) VALUES "
            b"(18446744073709551615,-1.5e-10,'2026-10-25 00:30:00.123000',x'275cff',2),"
            b"(1,-0e0,'0000-00-00 00:00:00',x'',NULL)"
        )
    ]
    with pytest.raises(CannotCopyError):
        list(inserts("x", columns, [[b"1); DROP TABLE x", None, None, None, None]]))


def test_the_temporary_table_has_columns_and_keys_but_nothing_that_it_cannot_have() -> None:
    created = (
        b"CREATE TABLE `t` (\n  `id` bigint NOT NULL AUTO_INCREMENT,\n"
        b"  `g` int GENERATED ALWAYS AS (`id` + 1) VIRTUAL,\n  PRIMARY KEY (`id`),\n"
        b"  FULLTEXT KEY `f` (`a`),\n  KEY `k` (`g`),\n"
        b"  CONSTRAINT `fk` FOREIGN KEY (`g`) REFERENCES `u` (`id`)\n"
        b") ENGINE=InnoDB AUTO_INCREMENT=5 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='x'\n"
        b"/*!50100 PARTITION BY HASH (`id`) */"
    )
    whole = definition(created)
    assert temporary_table(whole, "sluice_finish_3", frozenset(("id", "g"))) == (
        b"CREATE TEMPORARY TABLE `sluice_finish_3` (\n  `id` bigint NOT NULL AUTO_INCREMENT,\n"
        b"  `g` int GENERATED ALWAYS AS (`id` + 1) VIRTUAL,\n  PRIMARY KEY (`id`),\n  KEY `k` (`g`)\n"
        b") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
    )
    with pytest.raises(CannotCopyError):
        definition(b"CREATE ALGORITHM=UNDEFINED VIEW `v` AS select 1")


WIDE = definition(
    b"CREATE TABLE `w` (\n  `id` bigint NOT NULL AUTO_INCREMENT,\n  `tenant` int NOT NULL,\n"
    b"  `a` int DEFAULT NULL,\n  `b` varchar(9) DEFAULT (concat(`a`,',')),\n  `c` int,\n  `place` vector(3),\n"
    b"  `2nd` int,\n  `d e` int,\n  `g` int GENERATED ALWAYS AS (`c` + 1) STORED,\n  `h` int /*!80023 INVISIBLE */,\n"
    b"  `v1` int,\n  `v2` int,\n  KEY `v` (`v2`,`v1`),\n"
    b"  PRIMARY KEY (`tenant`,`id`),\n  KEY `auto` (`id`),\n  KEY `k` (`c`,`place`),\n  UNIQUE KEY `u` (`h`)\n"
    b") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
)
COPIED = copied_columns(
    [
        (name.encode(), b"vector(3)" if name == "place" else b"int", b"", b"", b"", b"")
        for name in WIDE.columns
    ]
)
ALWAYS = {"2nd", "d e", "id", "tenant"}
"""Names that are not told apart, and the primary key."""


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        ((), set()),
        (("a", "select"), {"a"}),
        (("b",), {"a", "b"}),  # its default names a
        (("g",), {"g", "c"}),
        (("c",), {"c"}),  # but not a key with one that cannot be copied
        (("v1",), {"v1", "v2"}),  # a key is there whole
        (("place", "a"), {"place", "a"}),
        (("v",), {"v1", "v2"}),  # an index hint
        (("u", "h"), {"h"}),
    ],
)
def test_columns_that_are_needed(names: tuple[str, ...], columns: set[str]) -> None:
    assert needed(WIDE, COPIED, names) == columns | ALWAYS


def test_names_that_may_mean_others_need_all() -> None:
    for names in (("_rowid",), ("\u00e4",)):
        assert needed(WIDE, COPIED, names) == set(WIDE.columns)


def test_a_narrow_table_has_its_keys_and_a_column_that_is_seen() -> None:
    assert temporary_table(WIDE, "x", frozenset(("tenant", "id"))).split(b"\n")[1:-1] == [
        b"  `id` bigint NOT NULL AUTO_INCREMENT,",
        b"  `tenant` int NOT NULL,",
        b"  PRIMARY KEY (`tenant`,`id`),",
        b"  KEY `auto` (`id`)",
    ]
    assert temporary_table(WIDE, "x", frozenset()).split(b"\n")[1:-1] == [b"  `sluice_row` tinyint"]
    assert temporary_table(WIDE, "x", frozenset("h")).split(b"\n")[1:-1] == [
        b"  `h` int /*!80023 INVISIBLE */,",
        b"  `sluice_row` tinyint,",
        b"  UNIQUE KEY `u` (`h`)",
    ]


@pytest.mark.parametrize(
    ("query", "whole"),
    [
        ("select count(*), u.a from user u join music m on m.col = u.col", [False, False]),
        ("select u.* from user u join music m on m.col = u.col", [True, False]),
        ("select * from user u join music m on m.col = u.col", [True, True]),
        ("select x.* from (select a from user) x join music m on m.col = x.a", [False, False]),
        ("select a from (select * from user) x join music m on m.col = x.a", [True, False]),
        ("select a from user u where exists (select * from music m where m.col = u.col)", [False, False]),
        (
            "select a from user u where exists (select * from music m where m.col = u.col limit 1)",
            [False, True],
        ),
        ("select a from user u where a in (select max(m.b) from music m)", [False, False]),
        ("select a from user natural join music", [True, True]),
        ("with x as (select * from user) select a from x join music m on m.col = x.a", [True, False]),
        ("select a from user union select * from music", [False, True]),
    ],
)
def test_tables_of_which_all_columns_are_needed(query: str, whole: list[bool]) -> None:
    found = finish_of(query)
    assert found is not None
    named = {part.table: part.whole for part in found.parts}
    assert [named["user"], named["music"]] == whole


def test_a_table_whose_text_is_a_columns_name_keeps_its_name() -> None:
    found = finish_of("select x.* from (select id, (select max(b) from music) from user) x")
    assert found is not None
    assert {part.name: part.table for part in found.parts} == {"sluice_finish_0": "user", "music": "music"}
    assert template(found.sql) == (
        "select x.* from (select id, (select max(b) from music) from `sluice_finish_0` AS `user`) x"
    )
    found = finish_of("select a, (select max(b) from music) from user union select c, 1 from user_extra")
    assert found is not None
    assert [part.name for part in found.parts] == ["sluice_finish_0", "sluice_finish_1", "music"]


@pytest.mark.parametrize(
    ("query", "sql"),
    [
        (
            (
                "with w (x) as (select a from user), v as (select x from w where x in (select x from w)) "
                "select (select count(*) from v), w.x from w where 5 = x"
            ),
            (
                "with `w` (x) as (select a from `sluice_finish_0` AS `user`), `sluice_cte_2` (x) as (select a from "
                "`sluice_finish_1` AS `user`), `sluice_cte_3` (x) as (select a from `sluice_finish_2` AS `user`), "
                "`v` as (select x from `sluice_cte_2` AS `w` where x in (select x from `sluice_cte_3` AS `w`)) "
                "select (select count(*) from v), w.x from w where {0} = x"
            ),
        ),
        (
            (
                "with recursive t as (select min(a) c from user union all select c + 1 from t where c < 5) "
                "select * from t join t u on u.c = t.c"
            ),
            (
                "with recursive `t` as (select min(a) c from `sluice_finish_0` AS `user` union all select c + {0} "
                "from t where c < {1}), `sluice_cte_1` as (select min(a) c from `sluice_finish_1` AS `user` union all "
                "select c + {0} from `sluice_cte_1` AS `t` where c < {1}) "
                "select * from t join `sluice_cte_1` u on u.c = t.c"
            ),
        ),
        (  # each copy might break ties in its own way
            "with w as (select a from user limit 3) select w.a from w join w v on w.a = v.a",
            "with w as (select a from `sluice_finish_0` AS `user` limit {0}) select w.a from w join w v on w.a = v.a",
        ),
    ],
)
def test_a_cte_that_is_named_twice_is_there_twice(query: str, sql: str) -> None:
    found = finish_of(query)
    assert found is not None
    assert template(found.sql) == sql
    assert all(part.again in ("", found.parts[0].name) for part in found.parts)
    assert [part.again for part in found.parts].count("") == 1
