"""What a statement needs of its user: nothing too little, whatever it is written like."""

import pytest

from core.users import ADMIN, DDL, READ, ROUTINE, WRITE, Grants, RoleError, grants_of, parse_role, privileges
from router.plan.needs import EVERYWHERE, beyond, needs_of
from router.sql.dialect import Dialect
from router.sql.normalise import normalise
from router.vschema import VSchema, parse

SCHEMA = VSchema(
    [
        parse("shop", {"tables": {"t": {}, "u": {}}}),
        parse("vault", {"tables": {"secret": {}}}),
    ]
)


def needs(sql: str, keyspace: str = "shop") -> set[tuple[str, int]]:
    key = normalise(sql.encode()).key.decode("utf-8", "surrogateescape")
    return {(need.keyspace, need.rights) for need in needs_of(key, keyspace, SCHEMA)}


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select 1", set()),
        ("select * from t", {("shop", READ)}),
        ("select * from vault.secret", {("vault", READ)}),
        ("select * from t where id in (select id from vault . `secret`)", {("shop", READ), ("vault", READ)}),
        ("with x as (select * from vault.secret) select * from x", {("vault", READ)}),
        (
            "select * from t union select * from VAULT.secret",
            {("shop", READ), ("VAULT", READ), ("vault", READ)},
        ),
        ("select * from t for update", {("shop", READ), ("shop", WRITE)}),
        ("select f(1)", {("shop", WRITE)}),
        ("select vault.f(1)", {("vault", WRITE), ("vault", READ)}),
        ("select 1 into outfile 'x'", {(EVERYWHERE, ADMIN), ("shop", READ)}),
        ("select load_file('/etc/passwd')", {(EVERYWHERE, ADMIN)}),
        ("insert into t (a, b) values (1, 2)", {("shop", WRITE)}),
        ("insert ignore into vault.secret values (1)", {("vault", WRITE)}),
        ("insert t values (1)", {("shop", WRITE)}),
        ("replace into t select * from vault.secret", {("shop", WRITE), ("shop", READ), ("vault", READ)}),
        (
            "insert into t values ((select max(id) from vault.secret))",
            {("shop", WRITE), ("shop", READ), ("vault", READ)},
        ),
        ("update t set a = 1", {("shop", WRITE), ("shop", READ)}),
        ("delete from t where id = 1", {("shop", WRITE), ("shop", READ)}),
        ("create table n (id int)", {("shop", DDL)}),
        ("truncate t", {("shop", DDL)}),
        ("truncate vault.secret", {("vault", DDL)}),
        ("create temporary table n (id int)", {("shop", WRITE)}),
        ("drop table t", {("shop", DDL)}),
        ("create database if not exists vault character set utf8mb4", {("vault", DDL)}),
        ("alter schema collate utf8mb4_bin", {("shop", DDL)}),
        ("drop /*! database */ vault", {("shop", DDL), ("vault", DDL)}),
        ("drop database mysql", {("mysql", DDL | ADMIN)}),
        ("analyze table t", {("shop", READ), ("shop", WRITE)}),
        ("load data local infile 'x' into table t", {("shop", WRITE)}),
        ("call p(1)", {("shop", WRITE)}),
        ("call vault.p(1)", {("vault", WRITE)}),
        ("set @x = (select max(id) from vault.secret)", {("shop", READ), ("vault", READ)}),
        ("do (select 1 from vault.secret)", {("shop", READ), ("vault", READ)}),
        ("show tables where 1 in (select id from vault.secret)", {("shop", READ), ("vault", READ)}),
        ("show engine innodb status", {("shop", ADMIN)}),
        ("show engines", set()),
        ("lock tables t read", {("shop", READ)}),
        ("lock tables t write, vault.secret read", {("shop", READ | WRITE), ("vault", READ | WRITE)}),
        ("begin", set()),
        ("xa start 'x'", {("shop", WRITE)}),
        ("xa recover convert xid", {("shop", ADMIN)}),
        ("set names utf8mb4", set()),
        ("select * from information_schema.tables", {("shop", 0)}),
        ("select * from information_schema.processlist", {(EVERYWHERE, ADMIN)}),
        ("select * from mysql.user", {(EVERYWHERE, ADMIN)}),
        ("select 1 from MYSQL . `user`", {(EVERYWHERE, ADMIN)}),
        ("select 1 from mysql.time_zone limit 1", {("shop", 0)}),
        ("update mysql.user set a = 1", {(EVERYWHERE, ADMIN)}),
        ("select * from performance_schema.events_statements_history", {(EVERYWHERE, ADMIN)}),
        ("select * from otherdb.t", {("otherdb", READ)}),
    ],
)
def test_needs(sql: str, expected: set[tuple[str, int]]) -> None:
    assert needs(sql) >= expected
    assert {k for k, _ in needs(sql)} == {k for k, _ in expected}
    if not sql.startswith(("select vault", "insert into t values ((", "lock")):
        assert needs(sql) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "create procedure p() begin select 1; end",
        "create definer = current_user trigger x before insert on t for each row set new.a = 1",
        "create event e on schedule every 1 day do delete from t",
        "alter procedure p comment 'x'",
    ],
)
def test_programs_run_as_the_tablet_so_they_need_more(sql: str) -> None:
    assert ("shop", ROUTINE) in needs(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "select 1 /*! union select password from vault.secret */",
        "select 1 /*!50000 union select password from vault.secret */",
        "select 1 /*M!100000 union select password from vault.secret */ from t",
        # what one server skips must not hide from us what it reads behind it
        "select 1 /*!99999 -- */ /*!50000 union select password from vault.secret */",
        "select 1 /*!99999 # */ /*!50000 union select password from vault.secret */",
        "select 1 /*!99999 ' */ /*!50000 union select password from vault.secret */ /*!99999 ' */",
        "select 1 /*!99999 /* ` */ */ union select password from vault.secret /*!99999 ` */",
        "update t /*!99999 -- */ /*!50000 , vault.secret */ set a = 1",
    ],
)
def test_executable_comments_are_read(sql: str) -> None:
    assert ("vault", READ) in needs(sql)


def test_a_text_with_very_many_versions_is_an_administrators() -> None:
    sql = "select 1 " + " ".join(f"/*!{number} {number} */" for number in range(50000, 50020))
    assert (("shop", ADMIN)) in needs(sql)


def test_what_cannot_be_read_counts_as_touching_everything_it_may_name() -> None:
    assert needs("select * from t match_recognize (vault.x)") >= {("shop", READ), ("vault", READ)}
    assert needs("handler t open", "") == {(EVERYWHERE, READ)}


def test_without_a_default_a_table_is_looked_up() -> None:
    assert needs("select * from secret", "") == {("vault", READ)}
    assert needs("insert into secret values (1)", "") == {("vault", WRITE)}
    assert needs("select * from information_schema.tables", "") == {(EVERYWHERE, 0)}


@pytest.mark.parametrize(
    ("sql", "number", "said"),
    [
        ("select * from vault.secret", 1142, "SELECT command denied to user 'u'@'h' for table 'secret'"),
        ("insert into t values (1)", 1142, "INSERT command denied to user 'u'@'h' for table 't'"),
        ("drop table t", 1142, "DROP command denied to user 'u'@'h' for table 't'"),
        ("call p()", 1370, "execute command denied to user 'u'@'h' for routine 'shop.p'"),
        (
            "flush tables",
            1227,
            "Access denied; you need (at least one of) the RELOAD privilege(s) for this operation",
        ),
        (
            "lock instance for backup",
            1227,
            "Access denied; you need (at least one of) the BACKUP_ADMIN privilege(s) for this operation",
        ),
        (
            "backup stage start",
            1227,
            "Access denied; you need (at least one of) the RELOAD privilege(s) for this operation",
        ),
        ("lock tables t write", 1044, "Access denied for user 'u'@'h' to database 'shop'"),
    ],
)
def test_refusals_are_worded_as_mysql_does(sql: str, number: int, said: str) -> None:
    grants = grants_of(["read:shop"])
    key = normalise(sql.encode()).key.decode()
    refused = [need.refusal("u", "h") for need in needs_of(key, "shop", SCHEMA) if not need.met_by(grants)]
    assert (refused[0].number, refused[0].message) == (number, said)


def test_who_may_do_nearly_all_is_asked_for_the_rest_only() -> None:
    usual = grants_of(["read", "write", "ddl"])
    for sql in ("select * from vault.secret", "create procedure p() begin select 1; end", "call p()"):
        assert beyond(normalise(sql.encode()).key.decode(), "shop", SCHEMA, Dialect.DEFAULT, usual) == ()
    for sql in ("select * from mysql.user", "flush tables", "select 1 into outfile 'x'"):
        assert beyond(normalise(sql.encode()).key.decode(), "shop", SCHEMA, Dialect.DEFAULT, usual)
    assert beyond("select * from mysql.user", "shop", SCHEMA, Dialect.DEFAULT, grants_of(["admin"])) == ()


def test_roles() -> None:
    grants = grants_of(["read", "write:shop", "admin:vault"])
    assert grants.of("shop") == READ | WRITE
    assert grants.of("SHOP") == READ | WRITE
    assert grants.of("other") == READ
    assert grants.of("vault") & (ADMIN | ROUTINE | DDL) == ADMIN | ROUTINE | DDL
    assert not grants.of(EVERYWHERE) & ADMIN
    assert not grants_of(["ddl:shop"]).of("shop") & ROUTINE
    assert grants_of(["ddl"]).of("shop") & ROUTINE
    assert not Grants().sees("shop")
    assert str(parse_role("read:*")) == "read"
    for wrong in ("reed", "read:", "", "READ"):
        with pytest.raises(RoleError):
            parse_role(wrong)
    assert privileges(0) == "USAGE"
    assert privileges(READ) == "SELECT, SHOW VIEW"
