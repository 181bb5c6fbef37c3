"""What of a session stored programs read or set, and the statements that may run such a program.

A session's user variables, its LAST_INSERT_ID() and CONNECTION_ID() live in its router; a program would find those of
the connection, which are another session's, and what it sets would be gone. So the tablet sends such a statement back
(NEEDS_VARIABLES, with the names), and the router sends it again as `router/execute/program_variables.py` tells.

    a program                         counts as reading
    names `@x`, or one of `_STATE`    that
    ROW_COUNT(), before its own       that (`program_counts.py`)
    names another program             what that does, and so on; a view is a program, too
    writes a table with triggers      what these do
    prepares a text                   whatever any program does

A view also makes a read one that must not be shared, where what it says is not the same for everybody (`varies`).

Invariant: what cannot be told from a statement's text counts as running a program. Not seen: names of variables with a
blank or a comma, DEFAULT and CHECK clauses, and views inside views whose names are not ASCII.
"""

import re
from collections.abc import Container, Iterable, Mapping
from hashlib import blake2b
from typing import Final

from core.rpc.messages import F_INSERT_ID, F_WRITE, NEEDS_CONNECTION_ID, NEEDS_INSERT_ID
from tablet.statements.program_counts import counts_read
from tablet.statements.program_sets import variables_set

_COMMENTS: Final = rb"(?:\s+|/\*.*?\*/|--[^\n]*(?:\n|\Z)|#[^\n]*(?:\n|\Z))*"
_FLAGS: Final = re.IGNORECASE | re.DOTALL
_CALL: Final = re.compile(_COMMENTS + rb"call\b", _FLAGS)
_RUNS: Final = re.compile(
    _COMMENTS
    + rb"(?:\(|(?:select|insert|update|delete|replace|with|do|load|values|set|table|call)\b"
    + rb"|create\s+(?:or\s+replace\s+)?(?:temporary\s+)?table\b)",
    _FLAGS,
)
_FIRES: Final = re.compile(_COMMENTS + rb"(?:insert|update|delete|replace|load|with)\b", _FLAGS)
_VARIABLE: Final = re.compile(
    rb"(?<![@\w$])@(?:`((?:[^`\s,]|``)+)`|'((?:[^'\s,]|'')+)'|\"((?:[^\"\s,]|\"\")+)\"|([\w$.\x80-\xff]+))"
)
_QUOTES: Final = (b"`", b"'", b'"', b"`")
_STATE: Final = (
    (
        re.compile(rb"\blast_insert_id\b|@@(?:(?:session|local)\s*\.\s*)?`?identity\b", re.IGNORECASE),
        NEEDS_INSERT_ID,
    ),
    (
        re.compile(rb"\bconnection_id\b|@@(?:(?:session|local)\s*\.\s*)?`?pseudo_thread_id\b", re.IGNORECASE),
        NEEDS_CONNECTION_ID,
    ),
)
_VARIES: Final = "\0"
"""Among the needs, while they are learnt: two at the same moment may differ."""
_SETS: Final = "\1"
"""Before the names of session variables that are SET, among the needs while they are learnt."""
_AUTOCOMMIT: Final = "\2"
"""A program that reads @@autocommit."""
_READS_AUTOCOMMIT: Final = re.compile(rb"@@(?:(?:session|local)\s*\.\s*)?`?autocommit\b", re.IGNORECASE)
_MARKS: Final = (_VARIES, _SETS, _AUTOCOMMIT)
_VARYING: Final = re.compile(
    rb"\b(?:uuid|uuid_short|rand|random_bytes|sleep|benchmark|sysdate|now|curdate|curtime|current_\w+|localtime\w*|utc_\w+"
    rb"|unix_timestamp|user|session_user|system_user|row_count|found_rows|database|schema|\w+_lock|release_all_locks"
    rb"|nextval|lastval|load_file)\s*\(|\bcurrent_user\b|\bvalue for\b",
    re.IGNORECASE,
)
_PREPARES: Final = re.compile(rb"\b(?:prepare|immediate)\b", re.IGNORECASE)
_WORD: Final = re.compile(rb"[\w$\x80-\xff]+")
_PLAIN: Final = re.compile(rb"[\w$]+\Z")
_NOTHING: Final[frozenset[str]] = frozenset()

Rows = list[list[bytes | None]]
Needs = dict[bytes, frozenset[str]]
"""Of programs, by their names in lower case."""


class ProgramNeeds:
    """Of one MySQL; `learn` replaces what was known."""

    def __init__(self) -> None:
        self.any = False
        """Whether a program uses anything at all."""
        self.sets_any = False
        """Whether a program SETs a session variable."""
        self._many = False
        self._uses = self._sets = self._autocommit = _Reach([], {}, _NOTHING)
        self._variables: Container[str] = ()
        self._varying: _Finder | None = None
        self._seen = b""

    def forget(self, variables: Container[str]) -> None:
        """Another server, whose session variables these are."""
        self._variables = variables
        self._seen = b""

    def learn(self, rows: Rows, *, many: bool) -> None:
        """`rows` of kind, name (of a trigger: its table), -, body. `many`: not all are there."""
        seen = blake2b(repr(rows).encode()).digest()
        if seen == self._seen:
            return
        self._seen = seen
        programs = [
            _Program(row[0] or b"", (row[1] or b"").lower(), row[3] or b"", self._variables) for row in rows
        ]
        everything = _NOTHING.union(*(one.needs for one in programs))
        self._many = many
        found = _closed(programs, everything)
        varying = {one.name: found[one] for one in programs if one.kind == b"view" and _VARIES in found[one]}
        self._varying = _Finder(varying) if varying else None
        self._uses = _Reach(programs, found, frozenset(one for one in everything if one[:1] not in _MARKS))
        self._sets = _Reach(programs, found, frozenset(one for one in everything if one[:1] == _SETS))
        self._autocommit = _Reach(programs, found, everything & {_AUTOCOMMIT})
        self.any = self._uses.any
        self.sets_any = self._sets.any

    def varies(self, sql: bytes) -> bool:
        """Whether a read, which its router takes to be the same for all at the same moment, is not: it names a view
        with a clock, a random number, a function, or something of the session."""
        return self._varying is not None and (self._many or bool(self._varying.found(sql)))

    def of(self, sql: bytes, flags: int, tables: object) -> str:
        """What the programs need that `sql` may run, with commas between. Ask `any` first, which is cheap."""
        needs = self._uses.of(sql, flags, tables, many=self._many)
        if not needs or (flags & F_INSERT_ID and len(needs) == 1 and NEEDS_INSERT_ID in needs):
            return ""
        return ",".join(sorted(needs))

    def sets(self, sql: bytes, flags: int, tables: object) -> frozenset[str]:
        """The session variables that the programs may SET which `sql` may run. Ask `sets_any` first."""
        return frozenset(one[1:] for one in self._sets.of(sql, flags, tables, many=self._many))

    def reads_autocommit(self, sql: bytes, flags: int, tables: object) -> bool:
        """Whether programs that `sql` may run ask for @@autocommit."""
        reach = self._autocommit
        return reach.any and bool(reach.of(sql, flags, tables, many=self._many))


class _Reach:
    """Which of `wanted` the programs need that a statement may run."""

    __slots__ = ("_all", "_called", "_read", "_written", "any")

    def __init__(
        self, programs: "list[_Program]", found: "dict[_Program, frozenset[str]]", wanted: frozenset[str]
    ) -> None:
        kinds: dict[bytes, Needs] = {b"function": {}, b"procedure": {}, b"trigger": {}, b"view": {}}
        for one in programs:
            of_kind = kinds.setdefault(one.kind, {})
            of_kind[one.name] = of_kind.get(one.name, _NOTHING) | (found[one] & wanted)
        self._all = wanted
        self.any = bool(wanted)
        self._called = _Finder(kinds[b"procedure"])
        self._read = _Finder(_used(kinds[b"function"], kinds[b"view"]))
        self._written = _Finder(_used(kinds[b"trigger"], _through_views(programs, kinds[b"trigger"])))

    def of(self, sql: bytes, flags: int, tables: object, *, many: bool) -> frozenset[str]:
        """`many`: more programs than are known."""
        if many:
            return self._all if _RUNS.match(sql) else _NOTHING
        needs = self._read.found(sql) if _RUNS.match(sql) else _NOTHING
        if flags & F_WRITE:
            if tables is None and _CALL.match(sql):
                needs |= self._called.found(sql, self._all)
            elif _FIRES.match(sql):
                needs |= self._written.found(sql)
        return needs


class _Program:
    """What one program says."""

    __slots__ = ("kind", "name", "needs", "prepares", "words")

    def __init__(self, kind: bytes, name: bytes, body: bytes, session: Container[str]) -> None:
        """`session`: names of session variables."""
        self.kind = kind
        self.name = name
        variables = (
            part.replace(quote * 2, quote).decode("utf-8", "replace").lower()
            for groups in _VARIABLE.findall(body)
            for quote, part in zip(_QUOTES, groups, strict=True)
            if part
        )
        state = [name for pattern, name in _STATE if pattern.search(body)]
        if kind == b"function" or (kind == b"view" and (state or _VARYING.search(body))):
            state.append(_VARIES)
        state += counts_read(body)
        if _READS_AUTOCOMMIT.search(body):
            state.append(_AUTOCOMMIT)
        sets = (_SETS + name for name in variables_set(body, session))
        self.needs = frozenset((*variables, *state, *sets))
        self.prepares = _PREPARES.search(body) is not None
        self.words = frozenset(_WORD.findall(body.lower()))


def _closed(programs: list[_Program], everything: frozenset[str]) -> dict[_Program, frozenset[str]]:
    """What each needs, with what it runs. A name that is no plain word may stand anywhere."""
    found = {one: everything if one.prepares else one.needs for one in programs}
    names: dict[bytes, list[_Program]] = {}
    for one in programs:
        names.setdefault(one.name, []).append(one)
    odd = [one for one in programs if not _PLAIN.match(one.name)]
    runs = {
        one: [
            other
            for other in (*odd, *(other for word in one.words & names.keys() for other in names[word]))
            if not (one.kind == b"view" and other.kind == b"trigger")
        ]
        for one in programs
    }
    changed = True
    while changed:
        changed = False
        for one, others in runs.items():
            needs = found[one].union(*(found[other] for other in others))
            if needs != found[one]:
                found[one] = needs
                changed = True
    return found


def _through_views(programs: list[_Program], triggers: Needs) -> Needs:
    """Views that a table with triggers may be written through."""
    found: Needs = {}
    views = [one for one in programs if one.kind == b"view"]
    changed = True
    while changed:
        changed = False
        for one in views:
            known = found.get(one.name, _NOTHING)
            needs = known.union(
                *(
                    needs
                    for written in (triggers, found)
                    for name, needs in written.items()
                    if name in one.words or not _PLAIN.match(name)
                )
            )
            if needs != known:
                found[one.name] = needs
                changed = True
    return found


def _used(*found: Needs) -> Needs:
    """All of them that need something."""
    together: Needs = {}
    for one in found:
        for name, needs in one.items():
            if needs:
                together[name] = together.get(name, _NOTHING) | needs
    return together


class _Finder:
    """Finds names of programs in a statement, and what they need."""

    __slots__ = ("_always", "_needs", "_pattern")

    def __init__(self, needs: Mapping[bytes, frozenset[str]]) -> None:
        odd = [name for name in needs if not name.isascii() or b"`" in name]
        self._always: frozenset[str] = _NOTHING.union(*(needs[name] for name in odd))
        """How a client spells these is not known."""
        self._needs = needs
        self._pattern = _any_of(name for name in needs if name not in odd)

    def found(self, sql: bytes, otherwise: frozenset[str] = _NOTHING) -> frozenset[str]:
        """`otherwise`: where it names none of them."""
        if self._pattern is None:
            return self._always or otherwise
        names = {name.lower() for name in self._pattern.findall(sql)}
        if not names:
            return self._always or otherwise
        return self._always.union(*(self._needs[name] for name in names))


def _any_of(names: Iterable[bytes]) -> re.Pattern[bytes] | None:
    found = b"|".join(re.escape(name) for name in sorted(names))
    return re.compile(rb"(?<![\w$])(?:" + found + rb")(?![\w$])", re.IGNORECASE) if found else None
