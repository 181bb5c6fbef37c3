"""Sessions between requests over HTTP: what travels, signed, and who is let in."""

import json
from base64 import b64encode
from types import SimpleNamespace
from typing import Any

import pytest

from core.config import Router
from router.http import connection
from router.http import session as states
from router.http import token as tokens
from router.http.proof import Refused, matches, parse_basic, user_of
from router.http.session import STATE_BYTES, restore, shrink, state_of
from router.http.straggler import may_commit, rolls_back
from router.http.token import TokenError, Tokens
from router.sessions.session import Session
from router.sql.dialect import Dialect
from wire.passwords import Account, Decoys, account_from_hash, account_from_password, caching_sha2_hash

KEY = bytes(range(32))
TOKENS = Tokens(KEY, "demo")
VALUES = {"keyspace": "commerce", "settings": {"time_zone": "'+05:00'"}, "odd": "\udcff"}

NOT_KEPT = {
    # who it is, and what it is made with
    "id", "user", "worker", "connection", "multi_statements", "connect_attributes", "pid",
    # follows from the others
    "settings_text", "tracker",
    # COM_STMT_PREPARE is not spoken over HTTP
    "statements", "next_statement",
    # held on tablets: then the session itself is kept
    "tx", "reserved",
    # the running statement's
    "attributes", "binary", "implicit", "link", "owed_bytes", "request", "resend", "rules", "sent_bytes", "several",
    "source", "started_s", "statement", "task",
}  # fmt: skip
KEPT = {slot for _, slot, _ in states._PLAIN} | {slot for _, slot in states._BYTES}
OTHERS = {"dialect", "flags", "warnings"}


def test_every_slot_of_a_session_travels_or_is_known_not_to() -> None:
    assert set(Session.__slots__) == KEPT | OTHERS | NOT_KEPT


def session(**values: Any) -> Session:
    worker = SimpleNamespace(intern=lambda text: text, server={}, view=None)
    connection = SimpleNamespace(id=1, caps=0)
    made = Session(worker, connection, "app", 0)  # type: ignore[arg-type]
    for name, value in values.items():
        setattr(made, name, value)
    return made


def test_a_session_comes_back_as_it_was() -> None:
    before = session(
        keyspace="commerce", shard="-80", scope="commerce:-80", autocommit=False, next_transaction=["READ ONLY"],
        last_insert_id=1 << 63, affected_rows=7, found_rows=9, settings={"time_zone": "'+05:00'", "a": "'\udcff'"},
        variables={"wait_timeout": "1"}, user_variables={"v": b"'\xff\x00'"}, named={"s": b"SELECT '\xc3\xbc'"},
        dialect=Dialect.ANSI_QUOTES, flags=5, warnings=[("Note", 1, "w")],
    )  # fmt: skip
    values = TOKENS.read("app", json.loads(TOKENS.make("app", state_of(before), {"autocommit": False})))
    after = session()
    restore(after, values)
    for slot in KEPT | OTHERS:
        assert getattr(after, slot) == getattr(before, slot), slot
    assert after.settings_text == "a='\udcff',time_zone='+05:00'"


def test_a_fresh_session_is_next_to_nothing() -> None:
    assert set(state_of(session())) == {"flags"}


def test_what_is_large_stays_behind_and_is_named() -> None:
    large = "x" * STATE_BYTES
    values = state_of(session(keyspace="main", settings={"time_zone": "'+05:00'"}, named={"s": b"SELECT 1"},
                              user_variables={"v": large.encode()}))  # fmt: skip
    assert shrink(values) == "user variables"
    assert set(values) == {"keyspace", "settings", "named", "flags"}
    values = state_of(session(keyspace="main", dialect=Dialect.ANSI_QUOTES, settings={"sql_mode": large}))
    assert shrink(values) == "settings (SET)"
    assert (values["keyspace"], values["dialect"]) == ("main", Dialect.ANSI_QUOTES.value)
    many = state_of(session(warnings=[("Warning", 1, "w" * 500)] * 1000))
    assert shrink(many) == ""
    assert 0 < len(many["warnings"]) < 1000


@pytest.mark.parametrize(
    ("text", "does"),
    [
        (b"ROLLBACK", True),
        (b"/* x */ rollback work", True),
        (b"ROLLBACK AND CHAIN", True),
        (b"ROLLBACK TO SAVEPOINT a", False),
        (b"ROLLBACK WORK TO a", False),
        (b"COMMIT", False),
        (b"SELECT 'ROLLBACK'", False),
        (b"", False),
    ],
)
def test_what_may_run_after_its_transaction(text: bytes, does: bool) -> None:
    assert rolls_back(text, Dialect.DEFAULT) is does


def test_what_may_commit() -> None:
    for text in (b"COMMIT", b"/**/SELECT 1", b"TRUNCATE t", b"BEGIN", b""):
        assert may_commit(text)
    for text in (b"SELECT 1", b" insert into t values (1)", b"DELETE FROM t"):
        assert not may_commit(text)


def test_tokens_are_bound_to_user_cluster_and_key() -> None:
    token = json.loads(TOKENS.make("app", VALUES, {"autocommit": True}))
    assert token["vitessSession"]["autocommit"] is True
    assert TOKENS.read("app", token) == VALUES
    for reader, user in (
        (TOKENS, "other"),
        (Tokens(KEY, "demo2"), "app"),
        (Tokens(KEY[::-1], "demo"), "app"),
    ):
        with pytest.raises(TokenError, match="signature"):
            reader.read(user, token)
    state = b64encode(b'{"keyspace":"main"}').decode()
    with pytest.raises(TokenError, match="signature"):
        TOKENS.read("app", {**token, "vitessSession": {"state": state}})


EMPTY = {"state": "e30="}


@pytest.mark.parametrize(
    "token",
    [
        None,
        5,
        "x",
        [],
        {},
        {"signature": 1, "vitessSession": EMPTY},
        {"signature": "AA==", "vitessSession": 1},
        {"signature": "no base64", "vitessSession": EMPTY},
        {"signature": "", "vitessSession": {"state": "ü"}},
    ],
)
def test_what_is_no_token(token: Any) -> None:
    with pytest.raises(TokenError):
        TOKENS.read("app", token)


def basic(text: str) -> str:
    return "Basic " + b64encode(text.encode()).decode()


def test_basic() -> None:
    assert parse_basic(basic("app:se'c:ret%40ü")) == ("app", "se'c:ret%40ü")
    for header in ("", "Bearer x", "Basic", "Basic !", basic("no colon"), basic(":x"), "Basic /w=="):
        with pytest.raises(Refused) as caught:
            parse_basic(header)
        assert caught.value.code == "UNAUTHENTICATED"


CRYPT = caching_sha2_hash("right", b"a" * 20)


@pytest.mark.parametrize(
    "account",
    [
        account_from_password("right"),
        account_from_hash(CRYPT),
        Account(native=account_from_password("right").native),
    ],
)
def test_passwords(account: Account) -> None:
    for _ in range(2):  # the second time from the cache
        assert matches(account, b"right")
        assert not matches(account, b"wrong")
        assert not matches(account, b"")
        assert not matches(account, b"right" * 1000)


def test_empty_passwords_and_decoys() -> None:
    assert matches(Account(), b"")
    assert not matches(Account(), b"x")
    decoys = Decoys(b"s", (account_from_password("right"),))
    for password in (b"", b"x", b"right"):
        assert not matches(decoys.account("nobody"), password)


def worker(account: Account, *, require_tls: bool = False) -> Any:
    accounts = SimpleNamespace(find={"app": account}.get, decoys=Decoys(b"s", (account,)))
    stats = SimpleNamespace(logins_refused=0, note_error=lambda number, text: None)
    boot = SimpleNamespace(config=SimpleNamespace(router=Router(require_tls=require_tls)))
    return SimpleNamespace(accounts=accounts, stats=stats, boot=boot)


def test_who_is_let_in() -> None:
    plain = worker(account_from_password("right"))
    assert user_of(plain, basic("app:right"), "1.2.3.4") == "app"
    for who in ("app:wrong", "nobody:right"):
        with pytest.raises(Refused, match=r"Access denied for user '\w+'@'1.2.3.4'.*errno 1045") as caught:
            user_of(plain, basic(who), "1.2.3.4")
        assert caught.value.code == "UNAUTHENTICATED"
    assert plain.stats.logins_refused == 2


def test_who_needs_tls_is_told_so_and_only_with_the_right_password() -> None:
    account = account_from_password("right")
    account.require_tls = True
    for secure in (worker(account), worker(account_from_password("right"), require_tls=True)):
        with pytest.raises(Refused, match="require_tls") as caught:
            user_of(secure, basic("app:right"), "h")
        assert caught.value.code == "PERMISSION_DENIED"
        with pytest.raises(Refused, match="Access denied"):
            user_of(secure, basic("app:wrong"), "h")


def test_values_of_another_form_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_VALUES", 2)
    token = json.loads(TOKENS.make("app", VALUES, {}))
    monkeypatch.undo()
    with pytest.raises(TokenError, match="another version"):
        TOKENS.read("app", token)


def test_what_a_worker_collects_is_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_ANSWERS_BYTES", 200_000)
    answers = connection.Answers()
    assert answers.holds(1, 100_000)
    assert answers.holds(1, 150_000)
    assert answers.holds(2, 10_000)  # a small one
    assert not answers.holds(3, 70_000)
    answers.ends(3)
    answers.ends(1)
    assert answers.holds(3, 190_000)
    for number in range(5):
        answers.ends(number)
    assert answers.size_bytes == 0
