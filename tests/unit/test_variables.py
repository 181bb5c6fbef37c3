"""The variables' table, values and character sets, without a server."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import SluiceError
from router.variables.__main__ import markdown
from router.variables.charsets import (
    ServerCharsets,
    character_set,
    charset_of,
    client_setting,
    greeted_charset,
    names,
    python_codec,
)
from router.variables.literals import cell_literal, parsed, text_literal, value_literal
from router.variables.table import Class, known, rule_of
from router.variables.types import typed
from router.variables.verified import MAX_VERIFIED, Verified
from wire.columns import Column, text_column
from wire.constants import CHARSET_BINARY, TYPE_DOUBLE, TYPE_LONGLONG, TYPE_NEWDECIMAL, TYPE_VAR_STRING

MYSQL = ServerCharsets({"flavour": "mysql", "collation": "utf8mb4_0900_ai_ci"})
MARIADB = ServerCharsets({"flavour": "mariadb"})


def test_docs_are_generated_from_the_table() -> None:
    docs = Path(__file__).parents[2] / "docs" / "variables.md"
    assert docs.read_text() == markdown(), "run: python -m router.variables > docs/variables.md"


def test_every_rule_but_settings_says_why() -> None:
    for name, rule in known().items():
        assert name == name.lower()
        assert rule.reason or rule.kind is Class.SETTING or rule.read_only, name
    assert rule_of("no_such_variable").kind is Class.SETTING


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("autocommit", "ON", 1),
        ("foreign_key_checks", "OFF", 0),
        ("event_scheduler", "ON", "ON"),
        ("max_allowed_packet", "67108864", 67108864),
        ("long_query_time", "10.000000", 10.0),
        ("version", "9.7.4", "9.7.4"),
        ("ssl_ca", "", None),
        ("init_connect", "", ""),
        ("pseudo", "-1", -1),
    ],
)
def test_what_show_prints_becomes_what_select_gives(name: str, text: str, value: object) -> None:
    assert typed(name, text) == value


def test_innodb_doublewrite_is_boolean_on_mariadb_only() -> None:
    assert typed("innodb_doublewrite", "ON") == "ON"
    assert typed("innodb_doublewrite", "ON", mariadb=True) == 1


@given(
    st.one_of(
        st.none(),
        st.integers(-(2**63), 2**64),
        st.text(),
        st.binary(),
        st.floats(allow_nan=False, allow_infinity=False),
    )
)
def test_a_literal_means_its_value(value: int | float | str | bytes | None) -> None:
    literal = value_literal(value)
    assert parsed(literal) == value
    assert literal.isascii()
    assert b"\\" not in literal


def test_literals_of_other_character_sets_keep_their_bytes() -> None:
    literal = text_literal(b"\xe9", "latin1")
    assert literal == b"_latin1 x'e9'"
    assert parsed(literal) == "é"
    assert parsed(text_literal("б".encode("cp1251"), "cp1251")) == "б"


def test_cells_become_literals_of_their_type() -> None:
    assert cell_literal(Column(b"a", TYPE_LONGLONG, CHARSET_BINARY), b"5") == b"5"
    assert cell_literal(Column(b"a", TYPE_NEWDECIMAL, CHARSET_BINARY), b"1.50") == b"1.50"
    assert cell_literal(Column(b"a", TYPE_DOUBLE, CHARSET_BINARY), b"1000") == b"1000e0"
    assert cell_literal(Column(b"a", TYPE_VAR_STRING, CHARSET_BINARY), b"\xff") == b"_binary x'ff'"
    assert cell_literal(text_column("a"), b"it's") == b"'it''s'"
    assert cell_literal(text_column("a"), None) == b"NULL"
    assert parsed(b"1.50") == Decimal("1.50")


def test_names_of_the_base_takes_all_settings_away() -> None:
    gone = {"character_set_client": None, "character_set_results": None, "collation_connection": None}
    assert names("utf8mb4", "", MYSQL) == gone
    assert names("UTF8MB4", "utf8mb4_0900_ai_ci", MYSQL) == gone
    assert names("utf8mb4", "", MARIADB) == gone
    assert names("utf8mb4", "utf8mb4_0900_ai_ci", MARIADB) == {
        **gone,
        "collation_connection": "'utf8mb4_0900_ai_ci'",
    }


def test_names_of_another_character_set() -> None:
    assert names("latin1", "", MYSQL) == {
        "character_set_client": "'latin1'",
        "character_set_results": "'latin1'",
        "collation_connection": "'latin1_swedish_ci'",
    }
    assert names("utf8", "utf8_bin", MYSQL)["collation_connection"] == "'utf8mb3_bin'"
    assert character_set("latin1", MYSQL)["collation_connection"] is None


def test_statements_in_unsafe_character_sets_reach_tablets_as_utf8() -> None:
    wanted = names("gbk", "", MYSQL)
    assert wanted["character_set_client"] is None
    assert wanted["character_set_results"] == "'gbk'"
    assert python_codec("GBK") == "gbk"
    assert python_codec("latin1") is None


@pytest.mark.parametrize(
    ("charset", "collation", "number"),
    [("nosuch", "", 1115), ("utf8mb4", "latin1_bin", 1253), ("utf16", "", 1231)],
)
def test_names_refuses(charset: str, collation: str, number: int) -> None:
    with pytest.raises(SluiceError) as caught:
        names(charset, collation, MYSQL)
    assert caught.value.number == number


def test_collations_by_id() -> None:
    assert MYSQL.by_id(8) == "latin1_swedish_ci"
    assert MYSQL.by_id(45) == "utf8mb4_general_ci"
    assert MYSQL.by_id(9999) is None
    told = ServerCharsets({"collations": {300: ["x_ci", "x"]}})
    assert told.by_id(300) == "x_ci"
    assert told.by_id(8) is None
    assert charset_of("utf8_general_ci") == "utf8mb3"
    assert charset_of("uca1400_ai_ci") == ""
    assert client_setting("utf8mb4") is None


def test_verified_values_are_bounded() -> None:
    verified = Verified()
    for number in range(MAX_VERIFIED + 10):
        verified.put("x", str(number), "1")
    assert verified.get("x", "0") is None
    assert verified.get("x", str(MAX_VERIFIED + 9)) == "1"


@pytest.mark.parametrize(
    ("version", "collation"),
    [
        ("9.7.0", 255),
        ("8.0.36-0ubuntu0.22.04.1", 255),
        ("5.7.44-log", 45),
        ("10.11.19-MariaDB-0+deb12u1", 45),
        ("5.5.5-10.6.1-MariaDB", 45),
    ],
)
def test_clients_are_greeted_with_the_collation_of_their_server(version: str, collation: int) -> None:
    assert greeted_charset(version) == collation
