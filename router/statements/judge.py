"""A server's judgement on the values that a SET wants: what it takes, and what it keeps of it.

Whatever must be asked is collected in `Changes.ask` and settled by `verify`, in one statement for all of a SET.
"""

from dataclasses import dataclass, field
from typing import Final

from core.errors import SluiceError, fail
from router.sessions.session import Session
from router.sessions.transaction_tracker import GTIDS, TRANSACTION_INFO, turned
from router.sessions.where import any_link
from router.sql.dialect import Dialect, dialect_of
from router.statements.passing import ask as ask_server
from router.statements.result import checked, rows_of
from router.variables import literals as lit
from router.variables.coupled import roots
from router.variables.reading import CHARSETS, default_text, is_mariadb
from router.variables.table import HARMLESS, SESSION_ONLY, known
from router.variables.types import typed

_OF_EACH_SESSION: Final = frozenset(
    [
        "timestamp",
        "rand_seed1",
        "rand_seed2",
        "insert_id",
        "pseudo_thread_id",
        "character_set_database",
        "collation_database",
    ]
)
_CASE_MATTERS: Final = frozenset(("innodb_ft_user_stopword_table", "default_master_connection"))
_ON: Final = frozenset(("1", "ON", "TRUE"))
_OFF: Final = frozenset(("0", "OFF", "FALSE"))


@dataclass(slots=True)
class Changes:
    """What a SET does besides the values it changed already. `ask`: settings a server must still judge."""

    ask: dict[str, str] = field(default_factory=dict)
    pins: dict[str, tuple[str, bool]] = field(default_factory=dict)
    """Variables of one connection: the literal, and whether it is the server's default."""
    warnings: list[tuple[str, int, str]] = field(default_factory=list)
    autocommit: bool | None = None


async def verify(session: Session, changes: Changes) -> None:
    """Has a server judge what it must, and puts what it keeps into the settings. Raises SluiceError."""
    if not changes.ask:
        return
    asked, changes.ask = changes.ask, {}
    coupled = [name for name in asked if roots(name)]
    plain = [name for name in asked if name not in CHARSETS and name not in coupled]
    names = [*plain, *dict.fromkeys(root for name in coupled for root in roots(name))]
    # the values are read back in utf8mb4, whatever the client wants
    judged = {
        k: v for k, v in (session.settings or {}).items() if k not in ("character_set_results", *coupled)
    }
    if CHARSETS.isdisjoint(asked):
        judged = {name: literal for name, literal in judged.items() if name not in CHARSETS}
    # a variable that changes others is set behind them, as the client did
    text = ",".join([f"{k}={judged[k]}" for k in sorted(judged)] + [f"{k}={asked[k]}" for k in coupled])
    defaults = [f"@@global.{name}" if _has_global(name) else "NULL" for name in names]
    columns = ",".join([*(f"@@session.{name}" for name in names), *defaults]) or "1"
    answer = await ask_server(session, any_link(session), b"SELECT " + columns.encode(), settings=text)
    rows = rows_of(checked(answer))
    cells = rows.rows[0]
    kept = {
        name: lit.cell_literal(rows.columns[at], cells[at]).decode("utf-8", "surrogateescape")
        for at, name in enumerate(names)
    }
    unchanged = {
        name for at, name in enumerate(names) if cells[at] is not None and cells[at] == cells[len(names) + at]
    }
    for name in plain:
        found = "DEFAULT" if name in unchanged else kept[name]
        session.worker.verified.put(name, asked[name], found)
        take(session, name, asked[name], found, changes)
    for name in coupled:
        _take_coupled(session, name, asked[name], kept, unchanged, changes)


def take(session: Session, name: str, asked: str, kept: str, changes: Changes) -> None:
    """The server keeps `kept` where `asked` was wanted."""
    if kept == "DEFAULT":
        session.set_setting(name, None)
        settle(session, name)
        return
    if asked != "DEFAULT":
        _note_cut(name, asked, kept, changes)
    default = asked == "DEFAULT" or is_default(session, name, kept.encode("utf-8", "surrogateescape"))
    session.set_setting(name, None if default else kept)
    settle(session, name)


def _take_coupled(
    session: Session, name: str, asked: str, kept: dict[str, str], unchanged: set[str], changes: Changes
) -> None:
    """The servers keep `kept` of all that `name` can have changed: the settings say all of it, or nothing."""
    own = roots(name)
    session.set_setting(name, None)
    for root in own:
        session.set_setting(root, None if unchanged.issuperset(own) else kept[root])
    if name in kept and asked != "DEFAULT":
        _note_cut(name, asked, kept[name], changes)


def _note_cut(name: str, asked: str, kept: str, changes: Changes) -> None:
    wanted = lit.parsed(asked.encode("utf-8", "surrogateescape"))
    held = lit.parsed(kept.encode("utf-8", "surrogateescape"))
    if isinstance(wanted, int) and isinstance(held, int) and wanted != held:
        changes.warnings.append(("Warning", 1292, f"Truncated incorrect {name} value: '{wanted}'"))


def _has_global(name: str) -> bool:
    return name in known() and name not in SESSION_ONLY


def settle(session: Session, name: str) -> None:
    """What follows in the router from a setting's new value."""
    if name == "sql_mode":
        mode = lit.parsed((session.settings or {}).get(name, "NULL").encode("utf-8", "surrogateescape"))
        text = mode if isinstance(mode, str) else default_text(session, name) or ""
        session.dialect = dialect_of(text) if text else Dialect.DEFAULT
    elif name in (TRANSACTION_INFO, GTIDS):
        turned(session, name)


def is_default(session: Session, name: str, literal: bytes) -> bool:
    """Whether the value is what every server has anyway."""
    if name in HARMLESS:
        try:
            return boolean(name, literal) == bool(HARMLESS[name])
        except SluiceError:
            return False
    text = default_text(session, name)
    if text is None or name in _OF_EACH_SESSION:
        return False
    default = typed(name, text, mariadb=is_mariadb(session))
    wanted = lit.parsed(literal)
    if isinstance(default, int) and isinstance(wanted, str):
        return default in (0, 1) and wanted.upper() in (_ON if default else _OFF)
    if isinstance(default, str) and isinstance(wanted, str):
        if name == "sql_mode":
            return set(default.upper().split(",")) == set(wanted.upper().replace(" ", "").split(","))
        return default == wanted or (name not in _CASE_MATTERS and default.casefold() == wanted.casefold())
    return default == wanted


def text_of(name: str, literal: bytes) -> str:
    found = lit.parsed(literal)
    if isinstance(found, str):
        return found
    if found is None or isinstance(found, bytes):
        raise wrong(name, literal)
    return str(found)


def boolean(name: str, literal: bytes) -> bool:
    text = text_of(name, literal).upper()
    if text in _ON:
        return True
    if text in _OFF:
        return False
    raise wrong(name, literal)


def wrong(name: str, literal: bytes) -> Exception:
    found = lit.parsed(literal)
    return fail("WRONG_VALUE_FOR_VAR", name=name, value="NULL" if found is None else found)
