"""What kind of statement a text is, from its first words: no parsing."""

from __future__ import annotations

from enum import Enum
from typing import Final

from router.plan.plans import Kind
from router.sql.lex import VARIABLE, WORD, Lexeme


class Verb(Enum):
    """Statements that the planner plans; all others belong to the session (`Kind`)."""

    SELECT = "select"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    DDL = "ddl"
    ADMIN = "admin"  # ANALYZE, CHECK, CHECKSUM, OPTIMIZE, REPAIR TABLE: answers with rows
    ACCOUNT = "account"  # users and rights: not a matter of the shards


_FIRST: Final[dict[str, Verb | Kind]] = {
    "SELECT": Verb.SELECT,
    "WITH": Verb.SELECT,
    "VALUES": Verb.SELECT,
    "TABLE": Verb.SELECT,
    "(": Verb.SELECT,
    "INSERT": Verb.INSERT,
    "REPLACE": Verb.INSERT,
    "UPDATE": Verb.UPDATE,
    "DELETE": Verb.DELETE,
    "CREATE": Verb.DDL,
    "ALTER": Verb.DDL,
    "DROP": Verb.DDL,
    "TRUNCATE": Verb.DDL,
    "RENAME": Verb.DDL,
    "ANALYZE": Verb.ADMIN,
    "CHECK": Verb.ADMIN,
    "CHECKSUM": Verb.ADMIN,
    "OPTIMIZE": Verb.ADMIN,
    "REPAIR": Verb.ADMIN,
    "GRANT": Verb.ACCOUNT,
    "REVOKE": Verb.ACCOUNT,
    "BEGIN": Kind.BEGIN,
    "START": Kind.BEGIN,
    "COMMIT": Kind.COMMIT,
    "ROLLBACK": Kind.ROLLBACK,
    "SAVEPOINT": Kind.SAVEPOINT,
    "RELEASE": Kind.RELEASE_SAVEPOINT,
    "SET": Kind.SET,
    "USE": Kind.USE,
    "SHOW": Kind.SHOW,
    "KILL": Kind.KILL,
    "EXPLAIN": Kind.EXPLAIN,
    "DESCRIBE": Kind.EXPLAIN,
    "DESC": Kind.EXPLAIN,
    "LOCK": Kind.LOCK_TABLES,
    "UNLOCK": Kind.UNLOCK_TABLES,
    "PREPARE": Kind.PREPARE,
    "EXECUTE": Kind.EXECUTE,
    "DEALLOCATE": Kind.DEALLOCATE,
    "CALL": Kind.CALL,
    "LOAD": Kind.LOAD_DATA,
    "DO": Kind.DO,
    "FLUSH": Kind.FLUSH,
    "XA": Kind.XA,
    "GET": Kind.DIAGNOSTICS,
}
_ACCOUNT_OBJECTS: Final = frozenset(("USER", "ROLE"))


def classify(lexemes: list[Lexeme]) -> Verb | Kind:
    """The kind of a statement; `Kind.OTHER` for what is not in the table (HANDLER, INSTALL, CHANGE ...)."""
    if not lexemes:
        return Kind.OTHER
    first = lexemes[0].text
    found = _FIRST.get(first, Kind.OTHER)
    second = lexemes[1].text if len(lexemes) > 1 else ""
    if found is Verb.SELECT and first in ("WITH", "("):
        return _behind_ctes(lexemes) if first == "WITH" else found
    if first == "ROLLBACK" and any(lexeme.text == "TO" for lexeme in lexemes[1:3]):
        return Kind.ROLLBACK_TO
    if first == "DROP" and second == "PREPARE":
        return Kind.DEALLOCATE
    if first in ("CREATE", "ALTER", "DROP", "RENAME") and second in _ACCOUNT_OBJECTS:
        return Verb.ACCOUNT
    if first == "START" and second != "TRANSACTION":
        return Kind.OTHER
    if first == "ANALYZE" and second not in ("TABLE", "LOCAL", "NO_WRITE_TO_BINLOG"):
        return Kind.EXPLAIN  # MariaDB: ANALYZE SELECT ...
    if first == "SET" and second == "STATEMENT" and lexemes[1].kind is not VARIABLE:
        return Kind.SET
    return found


def _behind_ctes(lexemes: list[Lexeme]) -> Verb | Kind:
    """The statement a WITH belongs to: its first verb outside of parentheses."""
    for lexeme in lexemes[1:]:
        if lexeme.depth == 0 and lexeme.kind is WORD:
            verb = _FIRST.get(lexeme.text)
            if verb in (Verb.SELECT, Verb.UPDATE, Verb.DELETE) and lexeme.text != "WITH":
                assert verb is not None
                return verb
    return Verb.SELECT
