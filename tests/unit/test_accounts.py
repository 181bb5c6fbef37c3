"""Users of the file and of etcd as one; what etcd holds of a password; who is asked at a cached plan."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.commands.users import everyone, record_of
from controlplane.topo.records import UserRecord
from core.config import ConfigError, User, from_dict
from core.errors import SluiceError
from core.users import READ
from router.plan.planner import plan
from router.plan.plans import PlanError
from router.sessions.accounts import Accounts
from router.sessions.rights import Rights
from router.vschema import VSchema, parse
from wire.passwords import caching_sha2_hash, native_hash
from wire.scramble import make_nonce

FILE = (User("app", password="se'cret"), User("old", password_hash=native_hash("x"), roles=("read:shop",)))
SCHEMA = VSchema([parse("shop", {"tables": {"t": {}}}), parse("vault", {"tables": {"secret": {}}})])


def accounts(live: dict[str, Any] | None = None) -> Accounts:
    return Accounts(FILE, b"k").renewed(live or {})


def test_a_record_holds_no_password_and_checks_it_by_both_plugins() -> None:
    record = record_of(FILE[0])
    assert "cret" not in str(record.to_json())
    account = accounts({"app": record.to_json()}).find("app")
    assert account is not None
    assert account.native is not None
    assert set(account.plugins()) == {"caching_sha2_password", "mysql_native_password"}
    assert account.matches(b"se'cret")
    assert not account.matches(b"secret")


def test_hashes_of_the_file_become_records() -> None:
    salt = make_nonce(bytes(range(20)))
    for hashed in (native_hash("x"), caching_sha2_hash("x", salt)):
        record = record_of(User("u", password_hash=hashed))
        assert bool(record.native) is hashed.startswith("*")
        assert bool(record.sha2) is hashed.startswith("$")
        assert not record.empty_password
    assert record_of(User("u", password="")).empty_password


def test_etcd_stands_in_the_place_of_the_file() -> None:
    record = UserRecord("app", native_hash("new"), "", roles=("read:shop",), require_tls=True)
    removed = UserRecord("old", "", "", removed=True)
    found = accounts({"app": record.to_json(), "old": removed.to_json()})
    account, grants = found.find("app"), found.grants("app")
    assert account is not None
    assert account.require_tls
    assert grants is not None
    assert grants.of("shop") == READ
    assert found.find("old") is None
    assert found.grants("old") is None
    assert accounts().find("old") is not None


@pytest.mark.parametrize(
    "broken",
    [
        {"name": "app"},
        {"name": "app", "native": "", "sha2": ""},
        {"name": "app", "native": "*12", "sha2": ""},
        {"name": "app", "native": native_hash("x"), "sha2": "", "roles": ["reed"]},
    ],
)
def test_a_broken_record_locks_its_user_out(broken: dict[str, Any]) -> None:
    found = accounts({"app": broken})
    assert found.find("app") is None
    assert found.grants("app") is None


def test_a_password_that_stays_keeps_its_cache() -> None:
    record = record_of(FILE[0]).to_json()
    first = accounts({"app": record})
    account = first.find("app")
    assert account is not None
    assert account.matches(b"se'cret")
    again = first.renewed({"app": {**record, "roles": ["read"]}}).find("app")
    assert again is not None
    assert again is not account
    assert again.sha2 == account.sha2 is not None


def test_list_shows_whose_word_counts() -> None:
    raw = {
        "users": [{"name": "app", "password": "a"}, {"name": "gone", "password": "b"}],
        "keyspaces": [{"name": "shop"}],
    }
    live = {
        "app": UserRecord("app", "*x", "", roles=("read",)).to_json(),
        "gone": UserRecord("gone", "", "", removed=True).to_json(),
        "odd": {"name": "odd"},
    }
    shown = {one.name: one for one in everyone(from_dict(raw, Path("cluster.toml")), live)}
    assert sorted(shown) == ["app", "odd"]
    assert (shown["app"].source, shown["app"].roles) == ("etcd", ("read",))
    assert "broken" in shown["odd"].source


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"roles": ["reed"]}, "'reed' is no role"),
        ({"roles": ["read:nosuch"]}, "there is no keyspace 'nosuch'"),
        ({"roles": "read"}, "a list of strings"),
        ({"require_tls": "yes"}, "true or false"),
        ({"max_connections": -1}, "max_connections must be 0"),
        ({"max_connections": True}, "a whole number"),
    ],
)
def test_the_file_is_checked(wrong: dict[str, Any], said: str) -> None:
    raw = {"users": [{"name": "app", "password": "a", **wrong}], "keyspaces": [{"name": "shop"}]}
    with pytest.raises(ConfigError, match=said):
        from_dict(raw, Path("cluster.toml"))


def session(user: str, keyspace: str = "shop") -> Any:
    return SimpleNamespace(
        user=user,
        keyspace=keyspace,
        dialect=SimpleNamespace(ansi_quotes=False),
        connection=SimpleNamespace(host="h"),
    )


def test_users_share_plans_and_never_verdicts() -> None:
    rights = Rights(Accounts(FILE, b"k"))
    key = b"select * from vault.secret"
    kept = rights.needs(session("app"), key, SCHEMA)  # as the plan of the one who may keeps it
    rights.check(session("app"), kept)
    with pytest.raises(SluiceError) as caught:
        rights.check(session("old"), kept)
    assert caught.value.number == 1142


def test_what_everybody_may_is_not_asked() -> None:
    rights = Rights(Accounts(FILE, b"k"))
    assert rights.renew({"old": UserRecord("old", "", "", True, roles=("read",)).to_json()})
    assert rights.needs(session("app"), b"select * from vault.secret", SCHEMA) == ()
    assert not rights.renew({"old": UserRecord("old", "", "", True, roles=("read",)).to_json()})


def test_a_session_of_a_removed_user_is_refused_everything() -> None:
    rights = Rights(Accounts(FILE, b"k"))
    rights.renew({"old": UserRecord("old", "", "", removed=True).to_json()})
    rights.trust_nobody(True)
    with pytest.raises(SluiceError) as caught:
        rights.check(session("old"), rights.needs(session("old"), b"select * from t", SCHEMA))
    assert caught.value.number == 15030


def test_what_is_no_statement_needs_nothing_and_its_plan_says_why() -> None:
    rights = Rights(Accounts(FILE, b"k"))
    rights.renew({"old": UserRecord("old", "", "", removed=True).to_json()})
    rights.trust_nobody(True)
    assert rights.needs(session("old"), b"select (1", SCHEMA) == ()
    made = plan("select (1", "shop", SCHEMA).plan
    assert isinstance(made, PlanError)
    assert made.number == 1064


def test_databases() -> None:
    rights = Rights(Accounts(FILE, b"k"))
    old = session("old")
    rights.check_database(old, "shop", "shop")
    rights.check_database(old, "information_schema", "information_schema")
    for name in ("vault", "mysql"):
        with pytest.raises(SluiceError, match=f"to database '{name}'"):
            rights.check_database(old, name, name)
        assert not rights.sees(old, name)
    assert rights.sees(session("app"), "mysql")
    assert rights.is_admin(session("app"))  # the file writes no roles for this one
    assert not rights.is_admin(old)
