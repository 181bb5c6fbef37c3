"""What the admin lane asks a MySQL about itself, and the answers as values."""

from dataclasses import dataclass, field
from typing import Final

from tablet.backend.ownership import Rows
from wire.packets import iterate_payloads, read_lenenc_int
from wire.rows import split_text_row

STATUS_SQL: Final = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Threads_connected', 'Uptime')"
SERVER_SQL: Final = (
    "SELECT @@version, @@version_comment, @@max_connections, @@collation_connection, UNIX_TIMESTAMP()"
)
VARIABLES_SQL: Final = "SHOW SESSION VARIABLES"
COLLATIONS_SQL: Final = {
    "mysql": "SELECT id, collation_name, character_set_name FROM information_schema.collations",
    "mariadb": "SELECT id, full_collation_name, character_set_name"
    " FROM information_schema.collation_character_set_applicability",
}


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The MySQL behind, as it said at the last login of the admin lane."""

    version: str
    comment: str
    max_connections: int
    collation: str
    """What `SET NAMES utf8mb4` gives."""
    variables: dict[str, str] = field(default_factory=dict)
    """Session variables of a connection in its base state: name in lower case -> text as SHOW VARIABLES has it."""
    collations: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Collation id, as text -> (collation, character set)."""

    @property
    def flavour(self) -> str:
        return "mariadb" if "mariadb" in self.version.lower() else "mysql"


@dataclass(slots=True)
class Answer:
    """What became of a job: its packets, or MySQL's error, or `lost` when the lane broke down."""

    data: bytes
    error: tuple[int, str, str] | None
    lost: bool

    @property
    def rows(self) -> Rows:
        return [] if self.error else parse_rows(self.data)


def lost() -> Answer:
    """What a job gets that the lane cannot run, or whose fate is not known."""
    return Answer(b"", None, lost=True)


def texts(rows: Rows) -> list[list[str]]:
    """Rows as text, NULL as the empty one."""
    return [[(value or b"").decode("utf-8", "replace") for value in row] for row in rows]


def parse_rows(data: bytes) -> Rows:
    """The rows of one small text result set (EOF flavour); none of an OK packet."""
    payloads = list(iterate_payloads(data))
    if not payloads or payloads[0][0] in (0x00, 0xFF):
        return []
    columns = read_lenenc_int(payloads[0], 0)[0]
    return [split_text_row(payload, columns) for payload in payloads[columns + 2 : -1]]
