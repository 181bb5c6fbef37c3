"""Which statements may run stored programs that use what a session has, and what they use of it."""

import pytest

from core.rpc.messages import F_INSERT_ID, F_WRITE
from tablet.statements.program_needs import ProgramNeeds, Rows

AUDIT: Rows = [
    [b"function", b"area", b"0", b""],
    [b"function", b"place", b"0", b"RETURN @place"],
    [b"view", b"maps", b"0", b"select `shop`.`orders`.`id` AS `id` from `shop`.`orders`"],
    [b"trigger", b"orders", b"0", b"SET NEW.by_whom = @App_User, @n := @`my n` + @@sql_mode"],
]


def known(*rows: list[bytes | None], many: bool = False) -> ProgramNeeds:
    needs = ProgramNeeds()
    needs.learn([*rows], many=many)
    return needs


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"SET @a = 1; SET @B=@a + @@global.x", "a,b"),
        (b"SELECT 1 INTO @`c d`, @`e`, @'f', @\"g\", @h.i$j", "e,f,g,h.i$j"),
        (b"SET @`i``j` = 1, @'k`l''m' = 2", "i`j,k`l'm"),
        (b"SET x = 'me@example.org'", ""),
        ("SET @größe = 1".encode(), "größe"),
        (b"", ""),
        (None, ""),
    ],
)
def test_names(body: bytes | None, names: str) -> None:
    assert known([b"procedure", b"p", b"0", body]).of(b"CALL p()", F_WRITE, None) == names


@pytest.mark.parametrize(
    ("sql", "flags", "needed"),
    [
        (b"INSERT INTO orders VALUES (1)", F_WRITE, True),
        (b"/* a */ insert into `shop`.`Orders` values (1)", F_WRITE, True),
        (b"UPDATE maps SET a = 1", F_WRITE, True),  # a view of the table, perhaps
        (b"LOAD DATA LOCAL INFILE 'x' INTO TABLE orders", F_WRITE, True),
        (b"INSERT INTO orders_2 VALUES (1)", F_WRITE, False),
        (b"SELECT * FROM orders", 0, False),
        (b"SELECT area(1)", 0, False),
        (b"(SELECT * FROM maps)", 0, False),
        (b"CREATE TABLE t AS SELECT place()", F_WRITE, True),
        (b"SELECT place()", 0, True),
        (b"DROP FUNCTION area", F_WRITE, False),
        (b"CREATE TABLE orders (id INT)", F_WRITE, False),
        (b"SELECT * FROM orders FOR UPDATE", F_WRITE, False),
        (b"ALTER TABLE orders ADD x INT", F_WRITE, False),
        (b"COMMIT", F_WRITE, False),
    ],
)
def test_needed(sql: bytes, flags: int, needed: bool) -> None:
    assert bool(known(*AUDIT).of(sql, flags, ["t"])) is needed


def test_a_call_of_a_procedure_that_nobody_knows_runs_anything() -> None:
    needs = known(
        *AUDIT, [b"procedure", b"p", b"0", b"SELECT 1"], [b"procedure", b"q", b"0", b"SELECT place()"]
    )
    assert needs.of(b"-- a\nCALL other()", F_WRITE, None) == "app_user,n,place"
    assert needs.of(b"CALL p()", F_WRITE, None) == ""
    assert needs.of(b"CALL `shop`.q(1)", F_WRITE, None) == "place"
    assert needs.of(b"CALL p(place())", F_WRITE, None) == "place"


def test_a_program_needs_what_those_need_that_it_runs() -> None:
    needs = known(
        *AUDIT,
        [b"procedure", b"writes", b"0", b"INSERT INTO Orders VALUES (1)"],
        [b"function", b"outer_one", b"0", b"BEGIN CALL writes(); RETURN LAST_INSERT_ID(); END"],
        [b"procedure", b"any", b"0", b"PREPARE s FROM @text"],
        [b"view", b"ids", b"0", b"select last_insert_id() AS `last_insert_id()`"],
        [b"view", b"deep", b"0", b"select `a`.`ids`.`x` from `a`.`ids`"],
    )
    assert needs.of(b"SELECT outer_one()", 0, ()) == "LAST_INSERT_ID(),app_user,n"
    assert needs.of(b"CALL any()", F_WRITE, None) == "LAST_INSERT_ID(),app_user,n,place,text"
    assert needs.of(b"SELECT * FROM deep", 0, ["deep"]) == "LAST_INSERT_ID()"
    assert needs.of(b"UPDATE maps SET id = 3", F_WRITE, ["maps"]) == "app_user,n"
    assert needs.of(b"SELECT * FROM maps", 0, ["maps"]) == ""


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"RETURN last_insert_id ( )", "LAST_INSERT_ID()"),
        (b"SET x = @@identity, y = @@session.last_insert_id", "LAST_INSERT_ID()"),
        (b"SET x = CONNECTION_ID()", "CONNECTION_ID()"),
        (b"SET x = @@pseudo_thread_id, y = @x", "CONNECTION_ID(),x"),
        (b"SELECT identity FROM t", ""),
    ],
)
def test_session_state(body: bytes, names: str) -> None:
    needs = known([b"trigger", b"t", b"0", body])
    assert needs.of(b"INSERT INTO t VALUES (1)", F_WRITE, ["t"]) == names


def test_who_is_told_of_ids_anyway_is_not_sent_back_for_them() -> None:
    needs = known(
        [b"procedure", b"p", b"0", b"SELECT LAST_INSERT_ID()"], [b"procedure", b"q", b"0", b"SELECT @a"]
    )
    assert needs.of(b"CALL p()", F_WRITE | F_INSERT_ID, None) == ""
    assert needs.of(b"CALL other()", F_WRITE | F_INSERT_ID, None) == "LAST_INSERT_ID(),a"


def test_nothing_is_needed_where_no_program_uses_any() -> None:
    quiet = known(AUDIT[0], [b"trigger", b"orders", b"0", b""])
    assert not quiet.any
    assert not quiet.of(b"INSERT INTO orders VALUES (area(1))", F_WRITE, ["orders"])


def test_more_programs_than_can_be_known() -> None:
    assert known(*AUDIT, many=True).of(b"SELECT 1", 0, ())
    assert known(*AUDIT, [b"function", "größe".encode(), b"0", b"RETURN @a"]).of(b"SELECT 1", 0, ()) == "a"


@pytest.mark.parametrize(
    ("definition", "varies"),
    [
        (b"select `shop`.`orders`.`id` AS `id` from `shop`.`orders`", False),
        (b"select uuid() AS `uuid()`", True),
        (b"select current_timestamp() AS `now`", True),
        (b"select `shop`.`area`(1) AS `a`", True),
        (b"select `user`.`name` AS `rand` from `shop`.`user`", False),
        (b"select nextval(`shop`.`s`) AS `n`", True),
    ],
)
def test_reads_of_views_that_are_not_the_same_for_all(definition: bytes, varies: bool) -> None:
    needs = known(
        AUDIT[0],
        [b"view", b"inner_one", b"0", definition],
        [b"view", b"v", b"0", b"select `shop`.`inner_one`.`x`"],
    )
    assert not needs.any
    assert needs.varies(b"SELECT * FROM v") is varies
    assert not needs.varies(b"SELECT * FROM w")
    assert not known(AUDIT[0]).varies(b"SELECT * FROM v")


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"SET time_zone = '+00:00', @x = 1, SESSION Sort_Buffer_Size = 9", "sort_buffer_size,time_zone"),
        (
            b"BEGIN UPDATE t SET time_zone = 1; IF a THEN SET @@local.time_zone := 'x'; END IF; END",
            "time_zone",
        ),
        (b"BEGIN UPDATE t SET time_zone = 1; SET GLOBAL sort_buffer_size = 1; SET x = 1; END", ""),
        (b"BEGIN DECLARE EXIT HANDLER FOR NOT FOUND /* ! */ SET time_zone = 'x'; END", "time_zone"),
        (
            b"BEGIN PREPARE s FROM 'SET `time_zone` = 1'; SET NAMES latin1; END",
            "character_set_results,lc_messages,time_zone",
        ),
        (b"BEGIN SET SESSION TRANSACTION READ ONLY; END", "tx_isolation"),
        (b"SET TRANSACTION READ ONLY", ""),
        (b"BEGIN SET STATEMENT time_zone = 1 FOR SELECT 1; SET sql_mode = ''; END", ""),
        (b"CALL other()", "lc_messages"),
    ],
)
def test_variables_that_programs_set(body: bytes, names: str) -> None:
    needs = ProgramNeeds()
    needs.forget(
        ("time_zone", "sort_buffer_size", "character_set_results", "tx_isolation", "lc_messages", "sql_mode")
    )
    other = [b"procedure", b"other", b"0", b"SET lc_messages = 'de_DE'"]
    needs.learn([[b"procedure", b"p", b"0", body], [b"function", b"f", b"0", b"RETURN 1"], other], many=False)
    assert needs.sets_any
    assert ",".join(sorted(needs.sets(b"CALL p()", F_WRITE, None))) == names
    assert not needs.sets(b"SELECT f()", 0, None)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"RETURN ROW_COUNT()", "ROW_COUNT()"),
        (b"SELECT FOUND_ROWS(), row_count ( )", "FOUND_ROWS(),ROW_COUNT()"),
        (b"BEGIN DECLARE n INT; SET n = 1; RETURN ROW_COUNT(); END", "ROW_COUNT()"),
        (b"BEGIN UPDATE t SET a = 1; RETURN ROW_COUNT(); END", ""),
        (b"BEGIN SELECT FOUND_ROWS(); SELECT ROW_COUNT(); END", "FOUND_ROWS()"),
        (b"BEGIN IF n THEN UPDATE t SET a = 1; END IF; SELECT ROW_COUNT(); END", "ROW_COUNT()"),
        (
            b"BEGIN DECLARE EXIT HANDLER FOR NOT FOUND ROLLBACK; UPDATE t SET a = 1; SELECT ROW_COUNT(); END",
            "",
        ),
        (b"BEGIN DECLARE EXIT HANDLER FOR NOT FOUND ROLLBACK; SELECT ROW_COUNT(); END", "ROW_COUNT()"),
        (b"SELECT my_row_count, row_count", ""),
    ],
)
def test_counts_of_the_statement_before(body: bytes, names: str) -> None:
    assert known([b"procedure", b"p", b"0", body]).of(b"CALL p()", F_WRITE, None) == names
