"""Character sets of a session: what SET NAMES, SET CHARACTER SET and the login make of its settings.

The base state of a tablet's connection is what `SET NAMES utf8mb4` gives, with the server's own default collation of
utf8mb4. A session's settings hold only what differs from it.

Invariant: statements reach tablets in a character set whose multi-byte characters hold no ASCII byte. Of the others
(gbk, big5, sjis, cp932, gb18030) the router makes UTF-8 first (`python_codec`), so their character_set_client never
becomes a setting; results still come in the client's character set.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from core.errors import fail

BASE_CHARSET: Final = "utf8mb4"

DEFAULT_COLLATIONS: Final[dict[str, tuple[int, str]]] = {
    "armscii8": (32, "armscii8_general_ci"),
    "ascii": (11, "ascii_general_ci"),
    "big5": (1, "big5_chinese_ci"),
    "binary": (63, "binary"),
    "cp1250": (26, "cp1250_general_ci"),
    "cp1251": (51, "cp1251_general_ci"),
    "cp1256": (57, "cp1256_general_ci"),
    "cp1257": (59, "cp1257_general_ci"),
    "cp850": (4, "cp850_general_ci"),
    "cp852": (40, "cp852_general_ci"),
    "cp866": (36, "cp866_general_ci"),
    "cp932": (95, "cp932_japanese_ci"),
    "dec8": (3, "dec8_swedish_ci"),
    "eucjpms": (97, "eucjpms_japanese_ci"),
    "euckr": (19, "euckr_korean_ci"),
    "gb18030": (248, "gb18030_chinese_ci"),
    "gb2312": (24, "gb2312_chinese_ci"),
    "gbk": (28, "gbk_chinese_ci"),
    "geostd8": (92, "geostd8_general_ci"),
    "greek": (25, "greek_general_ci"),
    "hebrew": (16, "hebrew_general_ci"),
    "hp8": (6, "hp8_english_ci"),
    "keybcs2": (37, "keybcs2_general_ci"),
    "koi8r": (7, "koi8r_general_ci"),
    "koi8u": (22, "koi8u_general_ci"),
    "latin1": (8, "latin1_swedish_ci"),
    "latin2": (9, "latin2_general_ci"),
    "latin5": (30, "latin5_turkish_ci"),
    "latin7": (41, "latin7_general_ci"),
    "macce": (38, "macce_general_ci"),
    "macroman": (39, "macroman_general_ci"),
    "sjis": (13, "sjis_japanese_ci"),
    "swe7": (10, "swe7_swedish_ci"),
    "tis620": (18, "tis620_thai_ci"),
    "ucs2": (35, "ucs2_general_ci"),
    "ujis": (12, "ujis_japanese_ci"),
    "utf16": (54, "utf16_general_ci"),
    "utf16le": (56, "utf16le_general_ci"),
    "utf32": (60, "utf32_general_ci"),
    "utf8mb3": (33, "utf8mb3_general_ci"),
    "utf8mb4": (45, "utf8mb4_general_ci"),
}
"""Default collation of each character set: MySQL and MariaDB agree but for utf8mb4, where the server is asked."""

_OTHER_IDS: Final[dict[int, str]] = {
    46: "utf8mb4_bin",
    47: "latin1_bin",
    48: "latin1_general_ci",
    65: "ascii_bin",
    83: "utf8mb3_bin",
    84: "big5_bin",
    87: "gbk_bin",
    88: "sjis_bin",
    96: "cp932_bin",
    192: "utf8mb3_unicode_ci",
    224: "utf8mb4_unicode_ci",
    246: "utf8mb4_unicode_520_ci",
    249: "gb18030_bin",
    250: "gb18030_unicode_520_ci",
    255: "utf8mb4_0900_ai_ci",
}
"""Ids that clients announce, for a server whose list of collations is not known."""

_SINCE_0900: Final = re.compile(r"(?:[89]|\d\d+)\.(?!.*mariadb)", re.I)
"""Versions of servers whose utf8mb4 is utf8mb4_0900_ai_ci where nothing else is said."""
_CODECS: Final = {"gbk": "gbk", "big5": "big5", "sjis": "shift_jis", "cp932": "cp932", "gb18030": "gb18030"}
_NOT_FOR_CLIENTS: Final = frozenset(("ucs2", "utf16", "utf16le", "utf32"))
_RESULT_CODECS: Final = {
    **_CODECS,
    "ascii": "ascii",
    "binary": "utf-8",
    "cp1250": "cp1250",
    "cp1251": "cp1251",
    "cp1256": "cp1256",
    "cp1257": "cp1257",
    "cp850": "cp850",
    "cp852": "cp852",
    "cp866": "cp866",
    "eucjpms": "euc_jp",
    "euckr": "euc_kr",
    "gb2312": "gb2312",
    "greek": "iso8859-7",
    "hebrew": "iso8859-8",
    "koi8r": "koi8-r",
    "koi8u": "koi8-u",
    "latin1": "cp1252",
    "latin2": "iso8859-2",
    "latin5": "iso8859-9",
    "latin7": "iso8859-13",
    "ucs2": "utf-16-be",
    "ujis": "euc_jp",
    "utf16": "utf-16-be",
    "utf16le": "utf-16-le",
    "utf32": "utf-32-be",
    "utf8mb3": "utf-8",
    "utf8mb4": "utf-8",
}


def greeted_charset(server_version: str) -> int:
    """The collation id of utf8mb4 in the greeting of a server of that version: PHP takes it as its own."""
    return 255 if _SINCE_0900.match(server_version) else 45


def canonical(charset: str) -> str:
    """A character set's name in lower case, `utf8` as utf8mb3."""
    name = charset.lower()
    return "utf8mb3" if name == "utf8" else name


def python_codec(charset: str) -> str | None:
    """Python's codec for statements in `charset` where they must become UTF-8 before they are read, else None."""
    return _CODECS.get(canonical(charset))


def result_codec(charset: str) -> str:
    """Python's codec for text that the router itself sends in `charset`; UTF-8 where there is none."""
    return _RESULT_CODECS.get(canonical(charset), "utf-8")


def charset_of(collation: str) -> str:
    """The character set that a collation belongs to, by its name; empty when that is not one we know."""
    name = canonical(collation.partition("_")[0])
    return name if name in DEFAULT_COLLATIONS else ""


_Collations = tuple[dict[int, str], frozenset[str]]
_last: tuple[Mapping[Any, Any], _Collations] = ({}, ({}, frozenset()))


def _collations(told: Mapping[Any, Any]) -> _Collations:
    """By id, and all names. Many drivers SET NAMES at each login, and what the server told stays the same object."""
    global _last
    if told is not _last[0]:
        by_id = {int(number): str(pair[0]) for number, pair in told.items()}
        _last = (told, (by_id, frozenset(by_id.values())))
    return _last[1]


class ServerCharsets:
    """What the server behind (`worker.server`) says of collations; falls back on the tables above."""

    def __init__(self, server: Mapping[str, Any]) -> None:
        variables: Mapping[str, str] = server.get("variables") or {}
        flavour = str(server.get("flavour", "")).lower()
        self.base_collation: str = (
            server.get("collation")
            or variables.get("collation_connection")
            or ("utf8mb4_general_ci" if flavour == "mariadb" else "utf8mb4_0900_ai_ci")
        )
        """The collation of a fresh connection after SET NAMES utf8mb4."""
        self.database_collation: str = variables.get("collation_database") or self.base_collation
        self._by_id, self._names = _collations(server.get("collations") or {})

    def default_collation(self, charset: str) -> str:
        """Raises UNKNOWN_CHARSET."""
        name = canonical(charset)
        if name == BASE_CHARSET:
            return self.base_collation
        found = DEFAULT_COLLATIONS.get(name)
        if found is None:
            raise fail("UNKNOWN_CHARSET", charset=charset)
        return found[1]

    def by_id(self, number: int) -> str | None:
        """The collation of that id; None when the server does not have it, or nobody knows."""
        if self._by_id:
            return self._by_id.get(number)
        if number in _OTHER_IDS:
            return _OTHER_IDS[number]
        return next((name for one, name in DEFAULT_COLLATIONS.values() if one == number), None)

    def id_of(self, charset: str) -> int:
        """A collation id that announces `charset` in column definitions."""
        found = DEFAULT_COLLATIONS.get(canonical(charset))
        return found[0] if found is not None else DEFAULT_COLLATIONS[BASE_CHARSET][0]

    def certain(self, collation: str) -> bool:
        """Whether the server surely has this collation, so that it need not be asked."""
        if self._names:
            return collation in self._names
        if collation == self.base_collation:
            return True
        return any(
            name == collation for charset, (_, name) in DEFAULT_COLLATIONS.items() if charset != BASE_CHARSET
        )


def names(charset: str, collation: str, server: ServerCharsets) -> dict[str, str | None]:
    """The settings of `SET NAMES charset [COLLATE collation]`; None takes a setting away.

    Raises UNKNOWN_CHARSET, COLLATION_CHARSET (1253), WRONG_VALUE_FOR_VAR (a character set that no client can use).
    """
    charset = canonical(charset)
    default = server.default_collation(charset)
    if charset in _NOT_FOR_CLIENTS:
        raise fail("WRONG_VALUE_FOR_VAR", name="character_set_client", value=charset)
    if collation:
        collation = collation.lower()
        if collation.startswith("utf8_"):
            collation = "utf8mb3_" + collation[5:]
        if charset_of(collation) not in ("", charset):
            raise fail("COLLATION_CHARSET", collation=collation, charset=charset)
    return {
        "character_set_client": client_setting(charset),
        "character_set_results": _unless_base(charset, BASE_CHARSET),
        "collation_connection": _unless_base(collation or default, server.base_collation),
    }


def character_set(charset: str, server: ServerCharsets) -> dict[str, str | None]:
    """The settings of `SET CHARACTER SET charset`: the connection's collation becomes the database's."""
    return {
        **names(charset, "", server),
        "collation_connection": _unless_base(server.database_collation, server.base_collation),
    }


def client_setting(charset: str) -> str | None:
    """character_set_client as a setting: nothing for those which the router converts."""
    charset = canonical(charset)
    if charset in _NOT_FOR_CLIENTS:
        raise fail("WRONG_VALUE_FOR_VAR", name="character_set_client", value=charset)
    if charset not in DEFAULT_COLLATIONS:
        raise fail("UNKNOWN_CHARSET", charset=charset)
    return None if charset in _CODECS else _unless_base(charset, BASE_CHARSET)


def _unless_base(name: str, base: str) -> str | None:
    return None if name == base else f"'{name}'"
