"""Stored programs of the MySQL behind: what they may leave in a session without its answer telling.

A procedure, function or trigger can SET variables or take a lock in the session that runs it. Session trackers tell
of it, but not always. Measured on MySQL 9.7 and MariaDB 10.11, without CLIENT_DEPRECATE_EOF:

    the statement ends with           MySQL                              MariaDB
    OK                                told                               told
    rows                              told by the next OK only           a status flag says that something changed
    ERR                               told by the next OK only           never told
    GET_LOCK, one-shot SET            never told                         never told
    TRANSACTION, whatever the end

Hence this file knows which programs there are, and `doubt` says what a statement's end leaves open: KNOWN, ASK (a
COM_PING fetches what MySQL has not told yet) or RESET. Invariants: what is not known counts as there (before the
first look, while a program is being made, where the server does not show bodies); a CALL always counts.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from core.errors import SluiceError, fail
from core.rpc.messages import F_PARTIAL, F_VARIABLES, F_WRITE
from tablet.backend.server import Answer
from tablet.statements.aggregates import LOADED_SQL, Aggregates
from tablet.statements.program_needs import ProgramNeeds
from wire.scan import ERR, RESULTSET

KNOWN: Final = 0
ASK: Final = 1
RESET: Final = 2

LOOK_EVERY_S: Final = 30.0
"""Programs that others make past this tablet are seen after that long; those made through it at once."""
MAX_NAMES: Final = 2000
"""With more programs and views than that, every statement is taken to use one."""

_SYSTEM: Final = "('sys', 'mysql', 'information_schema', 'performance_schema')"
_HIDDEN: Final = "REGEXP 'get_lock|call'"
MAX_BODY: Final = 6000
"""Characters of a program that names nothing of a session; a longer one counts as if it ran all others."""


_NAMED: Final = (
    "@|last_insert_id|connection_id|fetch +group|(session|local|names|character set|charset) "
    "|time_zone|_len|_checks|_isolation|_only|_timeout|_size|_limit"
)


def _body(column: str) -> str:
    uses = f"LENGTH({column}) <= {MAX_BODY} OR LOWER({column}) REGEXP '{_NAMED}'"
    return f"IF({uses}, {column}, CONCAT(LEFT({column}, {MAX_BODY}), ' PREPARE'))"


LOOK_SQL: Final = (
    f"SELECT LOWER(ROUTINE_TYPE), ROUTINE_NAME, ROUTINE_DEFINITION IS NULL OR LOWER(ROUTINE_DEFINITION) {_HIDDEN},"
    f" {_body('ROUTINE_DEFINITION')} FROM information_schema.ROUTINES"
    f" WHERE ROUTINE_TYPE IN ('FUNCTION', 'PROCEDURE') AND ROUTINE_SCHEMA NOT IN {_SYSTEM}"
    f" UNION ALL SELECT 'trigger', EVENT_OBJECT_TABLE, LOWER(ACTION_STATEMENT) {_HIDDEN},"
    f" {_body('ACTION_STATEMENT')} FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA NOT IN {_SYSTEM}"
    f" UNION ALL SELECT 'view', TABLE_NAME, 0, {_body('VIEW_DEFINITION')} FROM information_schema.VIEWS"
    f" WHERE TABLE_SCHEMA NOT IN {_SYSTEM} LIMIT {MAX_NAMES + 1}"
)
"""Kind, name (of a trigger: its table), whether it may take locks or run programs that do, body."""

_COMMENTS: Final = rb"(?:\s+|/\*.*?\*/|--[^\n]*(?:\n|\Z)|#[^\n]*(?:\n|\Z))*"
_CALL: Final = re.compile(_COMMENTS + rb"call\b", re.IGNORECASE | re.DOTALL)
_PLAIN: Final = re.compile(
    _COMMENTS + rb"\(?" + _COMMENTS + rb"(?:select|insert|update|delete|replace|with)\b",
    re.IGNORECASE | re.DOTALL,
)
_MAKES: Final = re.compile(
    rb"\b(?:create|alter)\b.{0,300}?\b(?:function|procedure|package|trigger|view)\b|\brename\b.{0,300}?\btables?\b",
    re.IGNORECASE | re.DOTALL,
)


class Programs:
    """Of one MySQL. `run` is the admin lane's."""

    def __init__(self, run: Callable[[str, Callable[[Answer], None]], None]) -> None:
        self._run = run
        self._pending = False
        self._changes = 0
        """What a look finds that began before the latest of them counts for nothing."""
        self._waiting: list[Callable[[], None]] = []
        self.needs = ProgramNeeds()
        self._aggregates = Aggregates()
        self.judging = False
        """Whether `refusal` could say anything."""
        self._look_at_s = 0.0
        self._names: re.Pattern[bytes] | None = None
        self._all = True
        self._triggers = True
        self._locking = True
        self.mariadb = False
        self.variables: Mapping[str, str] = {}
        self.watching = True
        """Whether `doubt` could say anything but KNOWN for statements that are no CALL."""

    def forget(self, *, mariadb: bool, variables: Mapping[str, str] | None = None) -> None:
        """MySQL was reached, perhaps another one. `variables`: of its sessions, and their values at first."""
        self.mariadb = mariadb
        self.variables = variables or {}
        self.needs.forget(self.variables)
        self._ask_loaded()
        self._change()

    @property
    def triggers(self) -> bool:
        """Whether a write may run a trigger."""
        return self._triggers

    def note(self, sql: bytes) -> bool:
        """A statement whose tables are not known begins or ends: whether it may make a program. Call it both times."""
        if not _MAKES.search(sql, 0, 4096):
            return False
        self._change()
        return True

    def look(self, then: Callable[[], None]) -> None:
        """Looks at once; `then` when what there is is known, or MySQL cannot be asked."""
        self._waiting.append(then)
        if not self._pending:
            self._look()

    def sweep(self, now_s: float) -> None:
        """Looks where it is time to."""
        if now_s >= self._look_at_s and not self._pending:
            self._look_at_s = now_s + LOOK_EVERY_S
            self._ask_loaded()
            self._look()

    def doubt(self, sql: bytes, flags: int, kind: int, tables: object) -> int:
        """What is open after `sql` has ended with `kind`: KNOWN, ASK or RESET."""
        if flags & F_WRITE and tables is None and _CALL.match(sql):
            return RESET
        if not self.watching:
            return KNOWN
        triggered = self._triggers and flags & F_WRITE != 0
        if self._locking and (triggered or self._is_named(sql)):
            return RESET
        if kind == ERR:
            return (
                RESET if self.mariadb and (triggered or not _PLAIN.match(sql) or self._is_named(sql)) else ASK
            )
        return ASK if kind == RESULTSET and not self.mariadb and self._is_named(sql) else KNOWN

    def _is_named(self, sql: bytes) -> bool:
        """Whether `sql` may name a program. Asked where it matters only: of 30 MB of text that takes seconds, in which
        the tablet serves nobody."""
        return self._all or (self._names is not None and self._names.search(sql) is not None)

    def refusal(self, sql: bytes, flags: int, tables: object) -> SluiceError | None:
        """Why its router may not have `sql` run as it was sent. Ask `judging` first."""
        if flags & F_PARTIAL and (refused := self._aggregates.refusal(sql)):
            return refused
        if self.needs.any and not flags & F_VARIABLES and (names := self.needs.of(sql, flags, tables)):
            return fail("NEEDS_VARIABLES", names=names)
        return None

    # -- looking

    def _change(self) -> None:
        self._changes += 1
        self._all = self._triggers = self._locking = self.watching = True
        self._look_at_s = 0.0

    def _ask_loaded(self) -> None:
        def answered(answer: Answer) -> None:
            if not answer.lost and answer.error is None:
                self._aggregates.learn_loaded(row[0] or b"" for row in answer.rows)
                self.judging = self.needs.any or self._aggregates.any

        self._run(LOADED_SQL, answered)

    def _look(self) -> None:
        changes = self._changes
        self._pending = True

        def answered(answer: Answer) -> None:
            self._pending = False
            failed = answer.lost or answer.error is not None
            if changes == self._changes and not failed:
                self.learn(answer.rows)
            elif self._waiting and not failed:
                self._look()
                return
            waiting, self._waiting = self._waiting, []
            for then in waiting:
                then()

        self._run(LOOK_SQL, answered)

    def learn(self, rows: list[list[bytes | None]]) -> None:
        """What LOOK_SQL says."""
        self.needs.learn(rows, many=len(rows) > MAX_NAMES)
        functions = [row for row in rows if row[0] == b"function"]
        self._aggregates.learn((row[1] or b"", row[3] or b"") for row in functions)
        self.judging = self.needs.any or self._aggregates.any
        triggers = [row for row in rows if row[0] == b"trigger"]
        self._triggers = bool(triggers)
        self._locking = any(row[2] != b"0" for row in (*functions, *triggers))
        names = [row[1] or b"" for row in rows if row[0] in (b"function", b"view")] if functions else []
        self._all = len(rows) > MAX_NAMES or any(not name.isascii() or b"`" in name for name in names)
        if names and not self._all:
            found = b"|".join(re.escape(name) for name in sorted(set(names)))
            self._names = re.compile(rb"(?<![\w$])(?:" + found + rb")(?![\w$])", re.IGNORECASE)
        else:
            self._names = None
        self.watching = bool(functions or triggers or self._all)
