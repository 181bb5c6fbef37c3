"""Statements of the session's own: what is pure of them, and SET, savepoints and the like on a session without a
cluster."""

from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import SluiceError
from router import statements
from router.plan.plans import Kind, LocalColumn
from router.sessions.session import Session
from router.sql.dialect import Dialect
from router.sql.executable import read_by_server
from router.statements import assignments, prepare, savepoints, transactions, use
from router.statements.assignments import (
    CharacterSet,
    Names,
    SystemVariable,
    TransactionCharacteristics,
    UserVariable,
)
from router.statements.explain import explained
from router.statements.filtering import derived, like_pattern
from router.statements.passing import with_status
from router.statements.words import Words, unwrapped
from router.variables.verified import Verified
from wire.answers import ok_packet, parse_ok
from wire.constants import CLIENT_DEPRECATE_EOF, SERVER_STATUS_IN_TRANS
from wire.packets import iterate_payloads
from wire.results import text_result


class FakeConnection:
    id = 7
    caps = 0
    host = "10.0.0.1"

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def done(self) -> None: ...

    def close(self) -> None:
        self.closed = True


DEFAULTS = {
    "sql_mode": "STRICT_TRANS_TABLES",
    "foreign_key_checks": "ON",
    "time_zone": "SYSTEM",
    "wait_timeout": "28800",
    "interactive_timeout": "28800",
    "max_allowed_packet": "1024",
    "transaction_isolation": "REPEATABLE-READ",
    "sql_log_bin": "ON",
    "autocommit": "ON",
    "completion_type": "NO_CHAIN",
    "last_insert_id": "0",
    "profiling": "OFF",
    "version": "9.7.4",
}


def session_of(defaults: dict[str, str] | None = None) -> Any:
    worker = SimpleNamespace(
        server={
            "flavour": "mysql",
            "version": "9.7.4",
            "variables": DEFAULTS if defaults is None else defaults,
        },
        view=None,
        verified=Verified(),
        intern=lambda text: text,
        stats=SimpleNamespace(
            queries=0, latency=SimpleNamespace(add=lambda s: None), note_error=lambda n, t: None
        ),
        transaction_mode=lambda session: (session.variables or {}).get("transaction_mode", "multi"),
        admission=SimpleNamespace(limits_queries=False),
        rights=SimpleNamespace(is_admin=lambda session: True),
        transactions=0,
    )
    return Session(worker, FakeConnection(), "app", 0)  # type: ignore[arg-type]


def run(session: Any, kind: Kind, sql: str) -> None:
    statements.run(session, kind, sql.encode())


def number_of(session: Any, kind: Kind, sql: str) -> int:
    with pytest.raises(SluiceError) as caught:
        run(session, kind, sql)
    return caught.value.number


# ---- reading


@pytest.mark.parametrize(
    ("sql", "inner"),
    [
        (b"/*!40101 SET NAMES utf8 */", b" SET NAMES utf8 "),
        (b" /*! SET @a=1 */ ; ", b" SET @a=1 "),
        (b"/*M!100616 SET @a=1 */", b" SET @a=1 "),
        (b"SET @a=1 /*!40101 , @b=2 */", b"SET @a=1 /*!40101 , @b=2 */"),
        (b"/*!40101 SET @a=1 */ /*!40101 x */", b"/*!40101 SET @a=1 */ /*!40101 x */"),
    ],
)
def test_a_statement_in_an_executable_comment(sql: bytes, inner: bytes) -> None:
    assert unwrapped(sql) == inner


@pytest.mark.parametrize(
    ("sql", "version", "read"),
    [
        (b"/*!40101 SET @a=1 */", "9.7.4-Sluice", b"SET @a=1"),
        (b"/*!99999 SET @a=1 */", "9.7.4", b""),
        (b"/*!999999\\- enable the sandbox mode */", "10.11.19-MariaDB", b""),
        (b"/*!50503 SET @a=1 */", "10.11.19-MariaDB", b"SET @a=1"),
        (b"/*!80000 SET @a=1 */", "10.11.19-MariaDB", b""),
        (b"/*M!100616 SET @a=1 */", "10.11.19-MariaDB", b"SET @a=1"),
        (b"/*M! SET @a=1 */", "9.7.4", b""),
        (b"/*!40101 SET */ /*!40101 @a=1*/", "9.7.4", b"SET @a=1"),
        (b"SET @a=1/*!40102 ,@b=2 *//*!99999 ,@c=3 */,@d=4", "9.7.4", b"SET @a=1 ,@b=2 ,@d=4"),
        (b"/*!99999 SET /* inner */ x */ SET @a='/*!40101 x */'", "9.7.4", b"SET @a='/*!40101 x */'"),
        (b"/*!99999 it's */ SET @a=1 /*!40101 ,@b='*/' */", "9.7.4", b"SET @a=1 ,@b='*/'"),
        (b"/*!99999 /* /* */ x */ SET @a=1", "10.11.19-MariaDB", b"SET @a=1"),
        (b"SELECT 7 /*!40101 + /*!99999 1 */ + 1 */", "10.11.19-MariaDB", b"SELECT 7 + + 1"),
        (b"/*!50003 SET /* inner */ @a=1 */", "9.7.4", b"SET /* inner */ @a=1"),
    ],
)
def test_what_a_server_reads_of_executable_comments(sql: bytes, version: str, read: bytes) -> None:
    assert read_by_server(sql, version, Dialect.DEFAULT).split() == read.split()


def parse_set(sql: str) -> list[assignments.Assignment]:
    return assignments.parse(Words(sql.encode()))


def test_set_is_taken_apart() -> None:
    found = parse_set(
        "SET @a = 1, @`B c` := f(1, 2), autocommit = 0, SESSION sql_mode = 'x', @@time_zone = '+00:00',"
        " @@local.foo.bar = 1, NAMES utf8 COLLATE utf8_bin"
    )
    shapes = [(type(one), getattr(one, "scope", ""), getattr(one, "name", "")) for one in found]
    assert shapes == [
        (UserVariable, "", "a"),
        (UserVariable, "", "b c"),
        (SystemVariable, "session", "autocommit"),
        (SystemVariable, "session", "sql_mode"),
        (SystemVariable, "", "time_zone"),
        (SystemVariable, "session", "foo.bar"),
        (Names, "", ""),
    ]
    assert found[-1] == Names("utf8", "utf8_bin")


def test_set_of_character_sets_and_transactions() -> None:
    assert parse_set("SET NAMES DEFAULT") == [Names("", "")]
    assert parse_set("SET NAMES 'latin1'") == [Names("latin1", "")]
    assert parse_set("SET CHARACTER SET utf8mb4") == [CharacterSet("utf8mb4")]
    assert parse_set("SET CHARSET DEFAULT") == [CharacterSet("")]
    assert parse_set("SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY") == [
        TransactionCharacteristics("", "READ-COMMITTED", True)
    ]
    assert parse_set("SET SESSION TRANSACTION READ WRITE") == [
        TransactionCharacteristics("session", "", False)
    ]


@pytest.mark.parametrize(
    ("sql", "number"),
    [
        ("SET GLOBAL TRANSACTION READ ONLY", 1235),
        ("SET PASSWORD = 'x'", 1235),
        ("SET ROLE admin", 1235),
        ("SET STATEMENT x=1 FOR SELECT 1", 1235),  # MySQL has none
        ("SET", 1064),
        ("SET a", 1064),
        ("SET a = ", 1064),
        ("SET a = 1,", 1064),
        ("SET TRANSACTION ISOLATION LEVEL FAST", 1064),
    ],
)
def test_set_refuses(sql: str, number: int) -> None:
    with pytest.raises(SluiceError) as caught:
        parse_set(sql)
    assert caught.value.number == number


@pytest.mark.parametrize(
    ("sql", "text", "snapshot"),
    [
        ("BEGIN", "START TRANSACTION", False),
        ("begin work", "START TRANSACTION", False),
        ("START TRANSACTION READ ONLY", "START TRANSACTION READ ONLY", False),
        (
            "START TRANSACTION READ WRITE, WITH CONSISTENT SNAPSHOT",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ WRITE",
            True,
        ),
    ],
)
def test_begin(sql: str, text: str, snapshot: bool) -> None:
    assert transactions.parse_begin(Words(sql.encode())) == (text, snapshot)


def test_endings() -> None:
    def ending(sql: str) -> tuple[bool | None, bool | None]:
        found = transactions.parse_ending(Words(sql.encode()))
        return found.chain, found.release

    assert ending("COMMIT") == (None, None)
    assert ending("COMMIT WORK AND CHAIN") == (True, None)
    assert ending("ROLLBACK AND NO CHAIN RELEASE") == (False, True)
    assert ending("COMMIT NO RELEASE") == (None, False)
    for wrong in ("COMMIT AND", "COMMIT AND CHAIN RELEASE", "COMMIT x"):
        with pytest.raises(SluiceError):
            ending(wrong)


def test_use() -> None:
    assert use.parse(b"USE commerce;", Dialect.DEFAULT) == "commerce"
    assert use.parse(b"use commerce:-80@primary", Dialect.DEFAULT) == "commerce:-80@primary"
    assert use.parse(b"USE `a``b`", Dialect.DEFAULT) == "a`b"
    assert use.parse(b'USE "a""b"', Dialect.ANSI_QUOTES) == 'a"b'
    assert use.parse(b'USE "a"', Dialect.DEFAULT) is None
    assert use.parse(b"USE", Dialect.DEFAULT) is None
    assert use.parse(b"USE a b", Dialect.DEFAULT) is None


def test_what_explain_explains() -> None:
    assert explained(Words(b"EXPLAIN SELECT * FROM t WHERE a = 'x'")) == b"SELECT * FROM t WHERE a = 'x'"
    assert explained(Words(b"DESC FORMAT=JSON DELETE FROM t")) == b"DELETE FROM t"
    assert explained(Words(b"DESCRIBE t")) is None
    assert explained(Words(b"DESC ks.t col")) is None


def test_like() -> None:
    assert like_pattern("com%").fullmatch("Commerce")
    assert like_pattern("a_c").fullmatch("abc")
    assert not like_pattern(r"a\_c").fullmatch("abc")
    assert not like_pattern("a.c").fullmatch("abc")


def test_rows_for_a_server_to_filter() -> None:
    sql = derived(("Database",), [("it's",), (None,)])
    assert sql == b"SELECT * FROM (SELECT 'it''s' AS `Database` UNION ALL SELECT NULL) AS answer"
    assert b"LIMIT 0" in derived(("a", "b"), [])


@pytest.mark.parametrize("caps", [0, CLIENT_DEPRECATE_EOF])
def test_the_status_of_a_whole_answer_is_the_sessions(caps: int) -> None:
    for whole in (text_result(["a"], [["x"]], caps, 2), ok_packet(1, status=2, caps=caps)):
        changed = with_status(whole, caps, 3)
        assert len(changed) == len(whole)
        *_, last = iterate_payloads(changed)
        status = last[3] if last[0] == 0xFE and not caps else parse_ok(last).status
        assert status & SERVER_STATUS_IN_TRANS


# ---- SET on a session


def test_defaults_cost_nothing() -> None:
    session = session_of()
    run(
        session, Kind.SET, "SET sql_mode = 'strict_trans_tables', foreign_key_checks = ON, time_zone = system"
    )
    run(session, Kind.SET, "SET @@session.sql_log_bin = 1, wait_timeout = 28800")
    assert session.settings_text == ""
    assert session.warnings is None
    assert len(session.connection.written) == 2


def test_a_value_seen_before_is_not_asked_for_again() -> None:
    session = session_of()
    session.worker.verified.put("sql_mode", "'ansi'", "'ANSI_QUOTES,ANSI'")
    run(session, Kind.SET, "SET sql_mode = 'ansi'")
    assert session.settings_text == "sql_mode='ANSI_QUOTES,ANSI'"
    assert session.dialect is Dialect.ANSI_QUOTES
    run(session, Kind.SET, "SET sql_mode = DEFAULT")
    assert session.settings_text == ""
    assert session.dialect is Dialect.DEFAULT


def test_a_value_that_was_cut_warns() -> None:
    session = session_of()
    session.worker.verified.put("max_sort_length", "1", "4")
    run(session, Kind.SET, "SET max_sort_length = 1")
    assert session.settings_text == "max_sort_length=4"
    assert session.warnings == [("Warning", 1292, "Truncated incorrect max_sort_length value: '1'")]


def test_all_or_nothing() -> None:
    session = session_of()
    assert number_of(session, Kind.SET, "SET @a = 1, NAMES latin1, autocommit = 0, version = 'x'") == 1238
    assert session.user_variables is None
    assert session.settings is None
    assert session.autocommit
    assert session.connection.written == []


@pytest.mark.parametrize(
    ("sql", "number"),
    [
        ("SET max_allowed_packet = 5", 1621),
        ("SET autocommit = 7", 1231),
        ("SET GLOBAL sql_mode = ''", 1235),
        ("SET PERSIST sql_mode = ''", 1235),
        ("SET @@global.key_cache_age_threshold = 500, @a = 1", 1235),
        ("SET transaction_mode = 'x'", 1231),
        ("SET NAMES nosuch", 1115),
        ("SET last_insert_id = 'a'", 1232),
        ("SET transaction_isolation = 'x'", 1231),
    ],
)
def test_set_answers_with(sql: str, number: int) -> None:
    assert number_of(session_of(), Kind.SET, sql) == number


def test_ignored_variables_warn_and_read_back() -> None:
    session = session_of()
    run(session, Kind.SET, "SET interactive_timeout = 5")
    assert [code for _, code, _ in session.warnings] == [1235]
    assert statements.value_of_spot(session, ("variable", "interactive_timeout")) == b"5"
    run(session, Kind.SET, "SET interactive_timeout = DEFAULT")
    assert statements.value_of_spot(session, ("variable", "session.interactive_timeout")) == b"28800"


def test_wait_timeout_reads_back_and_is_watched() -> None:
    session = session_of()
    watched: list[int] = []
    session.worker.inactivity = SimpleNamespace(watch=watched.append)
    run(session, Kind.SET, "SET wait_timeout = 5")
    assert session.warnings is None
    assert statements.value_of_spot(session, ("variable", "wait_timeout")) == b"5"
    assert watched == [session.id]
    run(session, Kind.SET, "SET wait_timeout = DEFAULT")
    assert statements.value_of_spot(session, ("variable", "session.wait_timeout")) == b"28800"


def test_user_variables() -> None:
    session = session_of()
    run(
        session,
        Kind.SET,
        r"""SET @a = -5, @b = "it's", @c = NULL, @d = x'41', @E = 1.50, @f = 'a\nb', @h = @b""",
    )
    run(session, Kind.SET, "SET @a = -6, @g = @b, @a = @a")  # each expression sees what was before
    held = session.user_variables
    assert held == {
        "a": b"-5",
        "b": b"'it''s'",
        "d": b"_binary x'41'",
        "e": b"1.50",
        "f": b"'a\nb'",
        "g": b"'it''s'",
    }
    assert statements.value_of_spot(session, ("user_variable", "A")) == b"-5"
    assert statements.value_of_spot(session, ("user_variable", "none")) == b"NULL"


def test_transaction_characteristics() -> None:
    session = session_of()
    run(session, Kind.SET, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY")
    run(session, Kind.SET, "SET @@transaction_isolation = 'READ-COMMITTED'")
    assert session.next_transaction == [
        "SET TRANSACTION READ ONLY",
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
    ]
    run(session, Kind.BEGIN, "START TRANSACTION READ WRITE")
    assert session.tx.begin == [
        "SET TRANSACTION READ ONLY",
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "START TRANSACTION READ WRITE",
    ]
    assert session.next_transaction is None
    assert number_of(session, Kind.SET, "SET TRANSACTION READ ONLY") == 1568
    session.worker.verified.put("transaction_isolation", "'SERIALIZABLE'", "'SERIALIZABLE'")
    run(session, Kind.SET, "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    assert session.settings_text == "transaction_isolation='SERIALIZABLE'"
    run(session, Kind.SET, "SET transaction_isolation = 'repeatable-read'")
    assert session.settings_text == ""


def test_an_unsafe_character_set_is_read_back_though_no_tablet_hears_of_it() -> None:
    session = session_of()
    run(session, Kind.SET, "SET NAMES gbk")
    assert session.codec == "gbk"
    assert session.settings_text == "character_set_results='gbk',collation_connection='gbk_chinese_ci'"
    assert statements.value_of_spot(session, ("variable", "character_set_client")) == b"'gbk'"
    run(session, Kind.SET, "SET NAMES utf8mb4")
    assert session.codec is None
    assert session.settings_text == ""


def test_login_charsets() -> None:
    session = session_of()
    statements.initial_charset_settings(session, 255)
    assert session.settings_text == ""
    statements.initial_charset_settings(session, 45)
    assert session.settings_text == "collation_connection='utf8mb4_general_ci'"
    statements.initial_charset_settings(session, 8)
    assert session.settings["character_set_client"] == "'latin1'"


# ---- reads


def test_what_only_a_server_knows_stays_in_the_statement() -> None:
    session = session_of()
    assert statements.value_of_spot(session, ("variable", "global.read_only")) == b"@@global.read_only"
    assert statements.value_of_spot(session, ("variable", "timestamp")) == b"@@timestamp"
    assert not statements.is_local(session, [LocalColumn("x", ("variable", "timestamp"))])
    assert statements.is_local(session, [LocalColumn("x", ("variable", "version_comment"))])
    assert not statements.is_local(session_of({}), [LocalColumn("x", ("variable", "sql_mode"))])


def test_a_local_result() -> None:
    session = session_of()
    session.last_insert_id = 9
    columns = [
        LocalColumn("a", ("variable", "version")),
        LocalColumn("b", ("function", "last_insert_id")),
        LocalColumn("c", ("function", "user")),
        LocalColumn("d", ("function", "database")),
        LocalColumn("e", ("literal", 0)),
    ]
    packets = statements.local_result(session, columns, [b"'x'"])
    payloads = list(iterate_payloads(packets))
    assert payloads[-2] == b"\x0c9.7.4-Sluice\x019\x0capp@10.0.0.1\xfb\x01x"


# ---- savepoints


def test_savepoints_follow_mysql() -> None:
    held = savepoints.added(savepoints.added(savepoints.added([], "a"), "b"), "c")
    assert held == [b"SAVEPOINT `a`", b"SAVEPOINT `b`", b"SAVEPOINT `c`"]
    assert savepoints.added(held, "A") == [b"SAVEPOINT `b`", b"SAVEPOINT `c`", b"SAVEPOINT `A`"]
    assert savepoints.rolled_back(held, "B") == held[:2]
    assert savepoints.released(held, "b") == held[:1]
    for function in (savepoints.rolled_back, savepoints.released):
        with pytest.raises(SluiceError) as caught:
            function(held, "z")
        assert caught.value.number == 1305


def test_savepoints_without_a_shard() -> None:
    session = session_of()
    run(session, Kind.SAVEPOINT, "SAVEPOINT a")
    assert session.tx is None
    assert number_of(session, Kind.ROLLBACK_TO, "ROLLBACK TO a") == 1305
    run(session, Kind.BEGIN, "BEGIN")
    run(session, Kind.SAVEPOINT, "SAVEPOINT a")
    run(session, Kind.SAVEPOINT, "SAVEPOINT `b`")
    run(session, Kind.ROLLBACK_TO, "ROLLBACK WORK TO SAVEPOINT a")
    assert session.tx.savepoints == [b"SAVEPOINT `a`"]
    run(session, Kind.RELEASE_SAVEPOINT, "RELEASE SAVEPOINT A")
    assert session.tx.savepoints == []
    run(session, Kind.COMMIT, "COMMIT")
    assert session.tx is None


def test_a_lost_transaction_takes_only_rollback() -> None:
    session = session_of()
    run(session, Kind.BEGIN, "BEGIN")
    session.tx.lose("test")
    for kind, sql in ((Kind.COMMIT, "COMMIT"), (Kind.BEGIN, "BEGIN"), (Kind.SAVEPOINT, "SAVEPOINT a")):
        assert number_of(session, kind, sql) == 15009
    run(session, Kind.ROLLBACK, "ROLLBACK")
    assert session.tx is None


def test_completion_type_chains_and_releases() -> None:
    session = session_of()
    run(session, Kind.SET, "SET completion_type = CHAIN")
    run(session, Kind.BEGIN, "START TRANSACTION READ ONLY")
    run(session, Kind.COMMIT, "COMMIT")
    assert session.tx.begin == ["START TRANSACTION READ ONLY"]
    run(session, Kind.SET, "SET completion_type = 2")
    run(session, Kind.ROLLBACK, "ROLLBACK")
    assert session.tx is None
    assert session.connection.closed


# ---- text PREPARE


def test_prepare_binds_values_as_literals() -> None:
    session = session_of()
    session.named = {"p": b"SELECT ?, '?' /* ? */ LIMIT ?"}
    text = prepare.bound(session, session.named["p"], [b"'a'", b"5"])
    assert text == b"SELECT  'a'  AS `?` , '?' /* ? */ LIMIT  5 "
    with pytest.raises(SluiceError) as caught:
        prepare.bound(session, session.named["p"], [b"1"])
    assert caught.value.number == 1210
    assert number_of(session, Kind.EXECUTE, "EXECUTE P") == 1210
    run(session, Kind.DEALLOCATE, "DROP PREPARE P")
    assert number_of(session, Kind.EXECUTE, "EXECUTE p") == 1243


# ---- refusals


@pytest.mark.parametrize(
    ("kind", "sql", "number"),
    [
        (Kind.LOCK_TABLES, "LOCK t", 1064),
        (Kind.FLUSH, "FLUSH", 1064),
        (Kind.XA, "XA START 'a'", 1046),
        (Kind.XA, "XA STOP 'a'", 1064),
        (Kind.LOAD_DATA, "LOAD DATA INFILE 'x' INTO TABLE t", 1235),
        (Kind.OTHER, "HANDLER t PEEK", 1064),
        (Kind.OTHER, "BACKUP all", 1064),
        (Kind.OTHER, "SHUTDOWN", 1235),
        (Kind.OTHER, "FROBNICATE", 1064),
        (Kind.EMPTY, " ; ", 1065),
        (Kind.SHOW, "SHOW CREATE USER x", 1235),
    ],
)
def test_refused(kind: Kind, sql: str, number: int) -> None:
    assert number_of(session_of(), kind, sql) == number


def test_unlock_tables_with_nothing_locked() -> None:
    session = session_of()
    run(session, Kind.UNLOCK_TABLES, "UNLOCK TABLES")
    payload = next(iterate_payloads(session.connection.written[0]))
    assert payload[0] == 0
