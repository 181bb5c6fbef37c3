"""Real client libraries against `wire`: each plugin, with and without TLS, and what follows a login."""

import datetime
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mysql.connector
import MySQLdb  # type: ignore[import-untyped]
import pymysql  # type: ignore[import-untyped]
import pytest

from tests.wire.test_login import rsa_key
from tests.wire.tiny_server import TinyServer
from wire.constants import CACHING_SHA2_PASSWORD, NATIVE_PASSWORD
from wire.login import Login
from wire.login_actions import Authenticated, LoginSettings
from wire.passwords import (
    Account,
    Decoys,
    account_from_hash,
    account_from_password,
    caching_sha2_hash,
    native_hash,
)
from wire.tls import ensure_certificate, server_context


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return ensure_certificate(tmp_path_factory.mktemp("tls"), datetime.datetime.now(datetime.UTC))


@pytest.fixture(params=["open", "tls"])
def tls(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "tls")


@pytest.fixture(params=[CACHING_SHA2_PASSWORD, NATIVE_PASSWORD])
def server(request: pytest.FixtureRequest, certificate: tuple[Path, Path], tls: bool) -> Iterator[TinyServer]:
    known: dict[str, Account] = {
        "plain": account_from_password("s3cret"),
        "native": account_from_hash(native_hash("s3cret")),
        "crypt": account_from_hash(caching_sha2_hash("s3cret", bytes(range(1, 21)))),
    }
    settings = LoginSettings(
        "8.4.0-Sluice", Decoys(b"k"), default_plugin=request.param, tls=tls, rsa_key=rsa_key
    )
    ids = itertools.count(1)
    context = server_context(*certificate) if tls else None
    with TinyServer(lambda: Login(settings, known.get, "localhost", next(ids)), context) as running:
        yield running


def by_pymysql(port: int, user: str, password: str, tls: bool) -> Any:
    extra: dict[str, Any] = {"ssl": {"check_hostname": False}} if tls else {"ssl_disabled": True}
    return pymysql.connect(
        host="127.0.0.1", port=port, user=user, password=password, database="shop", **extra
    )


def by_connector(port: int, user: str, password: str, tls: bool) -> Any:
    return mysql.connector.connect(
        host="127.0.0.1",
        port=port,
        user=user,
        password=password,
        database="shop",
        ssl_disabled=not tls,
        use_pure=True,
    )


def by_mysqlclient(port: int, user: str, password: str, tls: bool) -> Any:
    return MySQLdb.connect(
        host="127.0.0.1",
        port=port,
        user=user,
        password=password,
        database="shop",
        ssl_mode="REQUIRED" if tls else "DISABLED",
    )


CLIENTS: dict[str, Callable[[int, str, str, bool], Any]] = {
    "pymysql": by_pymysql,
    "connector": by_connector,
    "mysqlclient": by_mysqlclient,
}


@pytest.mark.parametrize("user", ["plain", "native", "crypt"])
@pytest.mark.parametrize("name", CLIENTS)
def test_login_and_queries(server: TinyServer, tls: bool, name: str, user: str) -> None:
    if name == "connector" and user == "crypt" and not tls:
        # it sends the password in the clear over an open channel; MySQL refuses that too
        with pytest.raises(mysql.connector.errors.ProgrammingError, match="Access denied"):
            CLIENTS[name](server.port, user, "s3cret", tls)
        return
    for _ in range(2):  # the second login of `crypt` is the fast one
        connection = CLIENTS[name](server.port, user, "s3cret", tls)
        cursor = connection.cursor()
        cursor.execute("select 1")
        assert list(cursor.fetchall()) == [(user, 2**63 - 1), (None, 8)]
        connection.close()
    assert server.tls == [tls, tls]
    verdict = server.logins[0]
    assert isinstance(verdict, Authenticated)
    assert (verdict.user, verdict.database) == (user, "shop")


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("user", ["plain", "native", "crypt", "nobody"])
def test_a_wrong_password(server: TinyServer, tls: bool, name: str, user: str) -> None:
    with pytest.raises(Exception, match=f"Access denied for user '{user}'@'localhost'") as caught:
        CLIENTS[name](server.port, user, "wrong", tls)
    assert caught.value.args[0] == 1045


def test_prepared_statements_and_change_user(server: TinyServer, tls: bool) -> None:
    connection = by_connector(server.port, "plain", "s3cret", tls)
    cursor = connection.cursor(prepared=True)
    for values in ((1, "a", None), (2, "b", 1.5)):
        cursor.execute("select ?, ?, ?", values)
        assert cursor.fetchall() == [tuple(None if v is None else str(v) for v in values)]
    cursor.close()
    connection.cmd_change_user("native", "s3cret", "other")
    connection.cmd_reset_connection()
    connection.close()
    last = server.logins[-1]
    assert isinstance(last, Authenticated)
    assert (last.user, last.database) == ("native", "other")
