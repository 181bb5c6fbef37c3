"""MariaDB's extended metadata: column definitions in the form that each end has negotiated, and how that is settled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.login_client import CAPS, login_payload
from tests.wire.strategies import cut, cuts, fast
from tests.wire.test_scan import outcome, run
from wire import scan
from wire.answers import err_payload
from wire.columns import Column, in_form, parse_column
from wire.constants import (
    CLIENT_DEPRECATE_EOF,
    CLIENT_MYSQL,
    CLIENT_PROTOCOL_41,
    MARIADB_CLIENT_EXTENDED_METADATA,
    SERVER_CAPABILITIES,
    SERVER_MORE_RESULTS_EXISTS,
    TYPE_BLOB,
)
from wire.errors import ServerProtocolError
from wire.login_request import greeted_caps, greeting, parse_login, with_mariadb_caps
from wire.packets import frame
from wire.repeated import MAX_FITTED, RepeatedScanner
from wire.results import prepare_result, text_result
from wire.scan import ResultScanner

EXTENDED = MARIADB_CLIENT_EXTENDED_METADATA
JSON = b"\x01\x04json"
columns = st.builds(
    Column,
    name=st.binary(max_size=300),
    org_name=st.sampled_from((b"", b"o" * 250, b"o" * 251, b"o" * 70000)),
    type=st.just(TYPE_BLOB),
    extended=st.sampled_from((b"", JSON, b"x" * 12, b"x" * 300)),
)


def _caps(extended: bool, deprecate: bool = False) -> int:
    return (EXTENDED if extended else 0) | (CLIENT_DEPRECATE_EOF if deprecate else 0)


@fast
@given(columns)
def test_a_definition_in_each_form(column: Column) -> None:
    with_it = column.encode()
    plain = in_form(with_it, False)
    assert in_form(with_it, True) == with_it
    assert in_form(plain, False) == plain
    assert parse_column(with_it) == column
    assert parse_column(plain).extended is None
    assert parse_column(in_form(plain, True)).extended == b""
    for broken in (plain[:-1], b"", b"\x03def"):
        with pytest.raises(ServerProtocolError):
            in_form(broken, True)


@fast
@given(st.data(), st.lists(columns, min_size=1, max_size=4), st.booleans(), st.booleans(), cuts)
def test_answers_are_given_the_clients_form(
    data: st.DataObject, definitions: list[Column], server: bool, deprecate: bool, places: list[int]
) -> None:
    """Text rows, a second result, an ERR in place of the end, COM_STMT_PREPARE; in any cut, and by both scanners."""
    if not server:  # whose definitions have nothing more to tell
        definitions = [parse_column(in_form(column.encode(), False)) for column in definitions]
    rows = [[b"v"] * len(definitions)] * data.draw(st.integers(0, 3))
    several, broken = data.draw(st.booleans()), data.draw(st.booleans())

    def answer(extended: bool, deprecate: bool) -> bytes:
        caps = _caps(extended, deprecate)
        sequence = 1
        out = b""
        if several:
            out = text_result(definitions, rows, caps, SERVER_MORE_RESULTS_EXISTS | 2)
            sequence = len(definitions) + len(rows) + (3 if deprecate else 4)
        whole = text_result(definitions, rows, caps, 2, sequence)
        if broken:
            size = 11 if deprecate else 9
            whole = whole[:-size] + frame(err_payload(1317, "70100", "killed"), whole[3 - size])
        return out + whole

    repeated = RepeatedScanner(extended=server)
    for client in (not server, server, not server, None):
        wanted = answer(server if client is None else client, deprecate)
        for chunks in ([answer(server, False)], cut(answer(server, False), places)):
            general = ResultScanner(extended=server)
            for scanner in (general, repeated):
                scanner.begin(scan.QUERY, deprecate, client_extended=client)
                assert run(scanner, chunks) == wanted
            assert outcome(general) == outcome(repeated)
        general.begin(scan.PREPARE, deprecate, client_extended=client)
        sent = prepare_result(7, definitions[:2], definitions, _caps(server))
        form = server if client is None else client
        assert run(general, cut(sent, places)) == prepare_result(
            7, definitions[:2], definitions, _caps(form, deprecate)
        )


def test_many_heads_are_known_and_never_taken_for_another() -> None:
    scanners = [RepeatedScanner(extended=True) for _ in range(2)]
    for _ in range(2):
        for number in range(MAX_FITTED + 20):
            column = Column(b"c%d" % (number % (MAX_FITTED + 5)), extended=JSON if number % 2 else b"")
            rows = [[b"%d" % number]] * (number % 3)
            scanner, deprecate, form = scanners[number % 2], number % 4 < 2, number % 8 < 4
            scanner.begin(scan.QUERY, deprecate, client_extended=form)
            done, out = scanner.feed(text_result([column], rows, EXTENDED))
            assert done
            assert out == text_result([column], rows, _caps(form, deprecate))
            assert (scanner.row_count, scanner.column_count) == (len(rows), 1)


def test_capabilities_of_mariadb_in_greeting_and_login() -> None:
    nonce = bytes(range(1, 21))
    said = greeting("11.0-MariaDB", 7, nonce, SERVER_CAPABILITIES | EXTENDED, 45, 2, "mysql_native_password")
    assert greeted_caps(said) == EXTENDED
    at = said.index(b"\0") + 14
    assert not said[at] & CLIENT_MYSQL
    mysql = greeting("9.7.0", 7, nonce, SERVER_CAPABILITIES, 45, 2, "caching_sha2_password")
    assert mysql[at] & CLIENT_MYSQL or greeted_caps(mysql) == 0
    assert greeted_caps(mysql) == 0
    for login in (login_payload("u", b"x" * 20, "p", CAPS), login_payload("u", b"", "p", CAPS)[:32]):
        changed = with_mariadb_caps(login, EXTENDED)
        assert len(changed) == len(login)
        if len(login) > 32:
            assert parse_login(changed).caps == CAPS | EXTENDED
            assert parse_login(login).caps == CAPS
    assert with_mariadb_caps(b"\x01" * 32, EXTENDED) == b"\x01" * 32
    # a client that calls itself MySQL's has nothing of MariaDB's to say
    loud = bytearray(with_mariadb_caps(login_payload("u", b"", "p", CAPS), EXTENDED))
    loud[0] |= CLIENT_MYSQL
    assert parse_login(bytes(loud)).caps == CAPS | CLIENT_MYSQL
    assert CAPS & CLIENT_PROTOCOL_41
