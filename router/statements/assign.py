"""One assignment of a SET carried out on the session: each variable by the rule of its class.

Literals come in the form of `router.variables.literals`; b"DEFAULT" is the word DEFAULT. What a server must judge is
left to `judge.py`.
"""

from typing import Final

from core.errors import fail, not_supported
from router.sessions.session import Session
from router.sessions.tracking import SCHEMA, STATE_CHANGE, SYSTEM_VARIABLES
from router.sessions.transaction_tracker import GTIDS, TRANSACTION_INFO
from router.statements.assignments import (
    Assignment,
    CharacterSet,
    Names,
    SystemVariable,
    TransactionCharacteristics,
    UserVariable,
)
from router.statements.judge import Changes, boolean, is_default, settle, take, text_of, wrong
from router.statements.pinned_set import is_pinned
from router.variables import charsets
from router.variables import literals as lit
from router.variables.charsets import ServerCharsets
from router.variables.coupled import canonical, roots
from router.variables.privileged import MAY_STAY, privilege_to_set
from router.variables.reading import CHARSETS, default_text, is_mariadb
from router.variables.table import OURS, WAIT_TIMEOUT, Class, rule_of

_DEFAULT: Final = b"DEFAULT"
_A_YEAR_S: Final = 31_536_000
_SECONDS: Final = frozenset(("interactive_timeout", "net_read_timeout", "net_write_timeout", WAIT_TIMEOUT))
_READ_ONLY_IN_SESSIONS: Final = frozenset(("max_allowed_packet", "max_user_connections", "net_buffer_length"))
"""They have a value of their own in each session, for reading."""
_ISOLATION: Final = frozenset(("READ-UNCOMMITTED", "READ-COMMITTED", "REPEATABLE-READ", "SERIALIZABLE"))
_COMPLETION: Final = ("NO_CHAIN", "CHAIN", "RELEASE")
_ON: Final = frozenset(("1", "ON", "TRUE"))
_OFF: Final = frozenset(("0", "OFF", "FALSE"))


def value(session: Session, one: UserVariable | SystemVariable, literal: bytes, changes: Changes) -> None:
    """Gives the variable this value. Raises SluiceError."""
    if isinstance(one, UserVariable):
        if literal == _DEFAULT:
            raise fail("SYNTAX", message="A user variable has no DEFAULT")
        _set_user_variable(session, one.name, literal)
        return
    if one.scope not in ("", "session"):
        raise not_supported(f"{one.scope.upper()} here", "Use SET GLOBAL.")
    mariadb = is_mariadb(session)
    name = canonical(one.name, mariadb=mariadb)
    literal = given = _as_text(literal)
    if literal != _DEFAULT and (
        is_default(session, name, literal)
        or (name == "pseudo_thread_id" and lit.parsed(literal) == session.id)
    ):
        literal = _DEFAULT
    privilege = privilege_to_set(one.name, mariadb=mariadb)
    if (
        privilege
        and not (literal == _DEFAULT and name in MAY_STAY)
        and not session.worker.rights.is_admin(session)
    ):
        raise fail("PRIVILEGE", privilege=privilege)
    rule = rule_of(name)
    if rule.kind is not Class.SETTING and not _exists(session, one.name):
        raise fail("UNKNOWN_SYSTEM_VARIABLE", name=one.name)
    if rule.kind is Class.ROUTER:
        _router(session, one.scope, name, literal, changes)
    elif rule.kind is Class.SETTING:
        _setting(session, name, literal, changes)
    elif rule.kind is Class.RESERVE:
        default = literal == _DEFAULT
        if not default or is_pinned(session, name):
            changes.pins[name] = (given.decode("utf-8", "surrogateescape"), default)
    elif literal == _DEFAULT and not rule.read_only:
        if session.variables and name in session.variables:
            _keep(session, name, None)
    elif rule.kind is Class.IGNORED:
        _keep(session, name, _within(session, name, literal, changes))
        changes.warnings.append(("Warning", 1235, f"SET {name} has no effect. {rule.reason}"))
    elif name in _READ_ONLY_IN_SESSIONS:
        raise fail("SESSION_VARIABLE_READ_ONLY", name=name)
    elif rule.read_only:
        raise fail("VARIABLE_READ_ONLY", name=name)
    else:
        raise not_supported(f"SET {name}", rule.reason)


def _as_text(literal: bytes) -> bytes:
    """A string that is binary, as all are of a client with SET NAMES binary: the servers read words out of it, too."""
    if not literal.startswith(b"_binary"):
        return literal
    found = lit.parsed(literal)
    try:
        return lit.value_literal(found.decode()) if isinstance(found, bytes) else literal
    except UnicodeDecodeError:
        return literal


def other(session: Session, one: Assignment, changes: Changes) -> None:
    """Carries out NAMES, CHARACTER SET or TRANSACTION. Raises SluiceError."""
    server = ServerCharsets(session.worker.server)
    if isinstance(one, Names):
        _charset_settings(session, one.charset or charsets.BASE_CHARSET, one.collation, server, changes)
    elif isinstance(one, CharacterSet):
        charset = one.charset or charsets.BASE_CHARSET
        _apply_charsets(session, charset, charsets.character_set(charset, server), server, changes)
    else:
        assert isinstance(one, TransactionCharacteristics)
        if one.isolation:
            _isolation(session, one.scope, one.isolation, changes)
        if one.read_only is not None:
            _read_only(session, one.scope, one.read_only, changes)


def login_charset(session: Session, collation_id: int) -> None:
    """A session's first settings, from the collation a client announced at login; one that the server does not have
    leaves the server's default. The lexical rules are those of the server's own sql_mode."""
    settle(session, "sql_mode")
    server = ServerCharsets(session.worker.server)
    collation = server.by_id(collation_id)
    charset = charsets.charset_of(collation) if collation else ""
    if collation and charset:
        _charset_settings(session, charset, collation, server, Changes())


def ignore_space(session: Session) -> None:
    """The client logged in with CLIENT_IGNORE_SPACE: as if sql_mode had it."""
    modes = default_text(session, "sql_mode")
    if modes is not None and "IGNORE_SPACE" not in modes:
        session.set_setting("sql_mode", f"'{','.join(('IGNORE_SPACE', modes)).rstrip(',')}'")


# ---- classes


def _exists(session: Session, name: str) -> bool:
    """Whether the server has the variable, as far as is known: SHOW VARIABLES tells of all that a session can set."""
    known = session.worker.server.get("variables")
    return not known or name in known or name in OURS


def _setting(session: Session, name: str, literal: bytes, changes: Changes) -> None:
    if roots(name):
        if literal != _DEFAULT or any(roots(held) == roots(name) for held in session.settings or ()):
            changes.ask.pop(name, None)  # the order counts
            _ask(session, name, literal.decode("utf-8", "surrogateescape"), changes)
        return
    if literal == _DEFAULT:
        known = (
            default_text(session, name) is not None
            or session.worker.verified.get(name, "DEFAULT") is not None
        )
        if not known and not (session.settings and name in session.settings):
            _ask(session, name, "DEFAULT", changes)  # does it exist at all?
            return
        session.set_setting(name, None)
        settle(session, name)
        return
    text = literal.decode("utf-8", "surrogateescape")
    kept = session.worker.verified.get(name, text)
    if kept is None:
        _ask(session, name, text, changes)
    else:
        take(session, name, text, kept, changes)


def _within(session: Session, name: str, literal: bytes, changes: Changes) -> str:
    """The value that the server would keep of a variable without effect. Raises UNKNOWN_SYSTEM_VARIABLE where it has
    none, WRONG_TYPE_FOR_VAR."""
    if name not in (session.worker.server.get("variables") or {}):
        raise fail("UNKNOWN_SYSTEM_VARIABLE", name=name)
    if name not in _SECONDS:
        return literal.decode("utf-8", "surrogateescape")
    found = lit.parsed(literal)
    if not isinstance(found, int):
        raise fail("WRONG_TYPE_FOR_VAR", name=name)
    kept = min(max(found, 1), _A_YEAR_S)
    if kept != found:
        changes.warnings.append(("Warning", 1292, f"Truncated incorrect {name} value: '{found}'"))
    return str(kept)


def _ask(session: Session, name: str, text: str, changes: Changes) -> None:
    session.set_setting(name, text)
    changes.ask[name] = text


def _set_user_variable(session: Session, name: str, literal: bytes) -> None:
    held = dict(session.user_variables or {})
    if literal == lit.NULL:
        held.pop(name, None)
    else:
        held[name] = literal
    session.user_variables = held or None


def _keep(session: Session, name: str, text: str | None) -> None:
    held = dict(session.variables or {})
    if text is None:
        held.pop(name, None)
    else:
        held[name] = text
    session.variables = held or None


# ---- variables that the router acts by


def _router(session: Session, scope: str, name: str, literal: bytes, changes: Changes) -> None:
    if name in CHARSETS:
        _one_charset(session, name, literal, changes)
    elif name == GTIDS and session.tx is not None and not is_mariadb(session):
        raise fail("NOT_IN_TRANSACTION", name=name)
    elif name in ("sql_mode", "sql_select_limit", TRANSACTION_INFO, GTIDS):
        _setting(session, name, literal, changes)
    elif name == "autocommit":
        changes.autocommit = True if literal == _DEFAULT else boolean(name, literal)
    elif name == WAIT_TIMEOUT:
        _keep(session, name, None if literal == _DEFAULT else _within(session, name, literal, changes))
        if literal != _DEFAULT:
            session.worker.inactivity.watch(session.id)
    elif name == "completion_type":
        _completion(session, literal)
    elif name == "transaction_mode":
        _transaction_mode(session, literal)
    elif name in (SCHEMA, STATE_CHANGE):
        wanted = None if literal == _DEFAULT else "1" if boolean(name, literal) else "0"
        _keep(session, name, wanted)
    elif name == SYSTEM_VARIABLES:
        _tracked_variables(session, literal, changes)
    elif name in ("transaction_isolation", "tx_isolation"):
        _isolation_variable(session, scope, literal, changes)
    elif name in ("transaction_read_only", "tx_read_only"):
        _read_only(session, scope, literal != _DEFAULT and boolean(name, literal), changes)
    elif name in ("last_insert_id", "identity"):
        session.last_insert_id = 0 if literal == _DEFAULT else _whole(name, literal)


def _whole(name: str, literal: bytes) -> int:
    found = lit.parsed(literal)
    if isinstance(found, int) and found >= 0:
        return found
    raise fail("WRONG_TYPE_FOR_VAR", name=name)


def _completion(session: Session, literal: bytes) -> None:
    if literal == _DEFAULT:
        _keep(session, "completion_type", None)
        return
    text = text_of("completion_type", literal).upper()
    chosen = _COMPLETION[int(text)] if text in ("0", "1", "2") else text
    if chosen not in _COMPLETION:
        raise wrong("completion_type", literal)
    _keep(session, "completion_type", None if chosen == "NO_CHAIN" else f"'{chosen}'")


def _transaction_mode(session: Session, literal: bytes) -> None:
    if literal == _DEFAULT:
        _keep(session, "transaction_mode", None)
        return
    mode = text_of("transaction_mode", literal).lower()
    if mode not in ("single", "multi"):
        raise wrong("transaction_mode", literal)
    _keep(session, "transaction_mode", mode)


def _tracked_variables(session: Session, literal: bytes, changes: Changes) -> None:
    """MySQL warns of names that it does not know and keeps the text; MariaDB refuses them and sorts the others."""
    if literal == _DEFAULT:
        _keep(session, SYSTEM_VARIABLES, None)
        return
    found = lit.parsed(literal)
    mariadb = is_mariadb(session)
    if found is None and not mariadb:
        _keep(session, SYSTEM_VARIABLES, "NULL")
        return
    if found is None:
        raise wrong(SYSTEM_VARIABLES, literal)
    if not isinstance(found, str):
        raise fail("WRONG_TYPE_FOR_VAR", name=SYSTEM_VARIABLES)
    names = [name.strip() for name in found.split(",") if name.strip()]
    if names == ["*"] or (mariadb and "*" in names):
        _keep(session, SYSTEM_VARIABLES, "'*'")
        return
    for name in names:
        if name.lower() not in (session.worker.server.get("variables") or {}):
            if mariadb:
                raise fail("UNKNOWN_SYSTEM_VARIABLE", name=name)
            warning = f"{name} is not a valid system variable and will be ignored."
            changes.warnings.append(("Warning", 1231, warning))
    text = ",".join(sorted({name.lower() for name in names})) if mariadb else found
    _keep(session, SYSTEM_VARIABLES, lit.value_literal(text).decode())


def _isolation_variable(session: Session, scope: str, literal: bytes, changes: Changes) -> None:
    name = "tx_isolation" if is_mariadb(session) else "transaction_isolation"
    if literal == _DEFAULT and scope == "session":
        _forget_next(session, "SET TRANSACTION ISOLATION")
        session.set_setting(name, None)
        return
    text = (default_text(session, name) or "" if literal == _DEFAULT else text_of(name, literal)).upper()
    if text in ("0", "1", "2", "3"):
        text = ("READ-UNCOMMITTED", "READ-COMMITTED", "REPEATABLE-READ", "SERIALIZABLE")[int(text)]
    if text not in _ISOLATION:
        raise wrong(name, literal)
    _isolation(session, scope, text, changes)


def _isolation(session: Session, scope: str, level: str, changes: Changes) -> None:
    if scope != "session":
        _next_transaction(session, f"SET TRANSACTION ISOLATION LEVEL {level.replace('-', ' ')}")
        return
    _forget_next(session, "SET TRANSACTION ISOLATION")
    name = "tx_isolation" if is_mariadb(session) else "transaction_isolation"
    literal = f"'{level}'".encode()
    _setting(session, name, _DEFAULT if is_default(session, name, literal) else literal, changes)


def _read_only(session: Session, scope: str, read_only: bool, changes: Changes) -> None:
    if scope != "session":
        _next_transaction(session, f"SET TRANSACTION READ {'ONLY' if read_only else 'WRITE'}")
        return
    _forget_next(session, "SET TRANSACTION READ")
    name = "tx_read_only" if is_mariadb(session) else "transaction_read_only"
    literal = b"1" if read_only else b"0"
    _setting(session, name, _DEFAULT if is_default(session, name, literal) else literal, changes)


def _next_transaction(session: Session, statement: str) -> None:
    if session.tx is not None:
        raise fail("TRANSACTION_OPEN")
    _forget_next(session, " ".join(statement.split()[:3]))
    session.next_transaction = [*(session.next_transaction or []), statement]


def _forget_next(session: Session, subject: str) -> None:
    """The session's own value counts for the next transaction too, as the servers have it."""
    kept = [one for one in session.next_transaction or [] if not one.startswith(subject)]
    session.next_transaction = kept or None


# ---- character sets


def _charset_settings(
    session: Session, charset: str, collation: str, server: ServerCharsets, changes: Changes
) -> None:
    _apply_charsets(session, charset, charsets.names(charset, collation, server), server, changes)


def _apply_charsets(
    session: Session, charset: str, wanted: dict[str, str | None], server: ServerCharsets, changes: Changes
) -> None:
    _client_charset(session, charset)
    for name, setting in wanted.items():
        session.set_setting(name, setting)
    collation = wanted["collation_connection"]
    if collation is not None and not server.certain(collation.strip("'")):
        changes.ask["collation_connection"] = collation


def _client_charset(session: Session, charset: str) -> None:
    """The client's own charset where the router converts it: kept to be read back."""
    session.codec = charsets.python_codec(charset)
    _keep(session, "character_set_client", f"'{charsets.canonical(charset)}'" if session.codec else None)


def _one_charset(session: Session, name: str, literal: bytes, changes: Changes) -> None:
    server = ServerCharsets(session.worker.server)
    if name == "character_set_results" and literal == lit.NULL:
        session.set_setting(name, "NULL")
        return
    number = lit.parsed(literal) if literal != _DEFAULT else None
    if isinstance(number, int) and (found := server.by_id(number)) is not None:  # as mysqlbinlog writes them
        literal = f"'{found if name == 'collation_connection' else charsets.charset_of(found)}'".encode()
    if name == "collation_connection":
        collation = server.base_collation if literal == _DEFAULT else text_of(name, literal).lower()
        session.set_setting(name, None if collation == server.base_collation else f"'{collation}'")
        if not server.certain(collation):
            changes.ask[name] = f"'{collation}'"
        return
    charset = charsets.BASE_CHARSET if literal == _DEFAULT else charsets.canonical(text_of(name, literal))
    collation = server.default_collation(charset)
    if name == "character_set_client":
        session.set_setting(name, charsets.client_setting(charset))
        _client_charset(session, charset)
    elif name == "character_set_results":
        session.set_setting(name, None if charset == charsets.BASE_CHARSET else f"'{charset}'")
    else:
        session.set_setting(
            "collation_connection", None if collation == server.base_collation else f"'{collation}'"
        )
