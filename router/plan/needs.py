"""Which rights a statement needs, by keyspace. Pure; asked before the statement is planned or sent anywhere.

It is found from the text alone, so that it holds whatever the planner makes of it, also an error: who may not read a
keyspace is not told which tables it has.

Invariants
- What cannot be told asks for more, never for less: a statement that sqlglot cannot read counts as touching its
  default keyspace and every keyspace that some `x.` in it may name; text in an executable comment counts as run and
  as not run.
- MySQL's own schemas: what every user of a MySQL may read is free to who has a right in the default keyspace (its
  server answers, and knows no other); the rest (accounts, other sessions' statements) is an administrator's.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from core.errors import SluiceError, fail
from core.users import ADMIN, DDL, READ, ROUTINE, WRITE, Grants
from router.plan.databases import database_statement
from router.plan.names import SYSTEM_SCHEMAS, tables_in
from router.plan.plans import Kind
from router.plan.purity import unknown_calls
from router.sql.classify import Verb, classify
from router.sql.dialect import Dialect
from router.sql.executable import readings
from router.sql.lex import MARK, NAME, WORD, Lexed, lex
from router.sql.parse import ParseError, exp, parse
from router.vschema import VSchema, VSchemaError

EVERYWHERE: Final = "*"


@dataclass(frozen=True, slots=True)
class Need:
    """`rights` in `keyspace` (EVERYWHERE: in all). How a refusal is worded: of a `table`, else of a `routine`, else of
    a `privilege`, else of the database. `rights` 0: any right at all."""

    keyspace: str
    rights: int
    command: str = ""
    table: str = ""
    routine: str = ""
    privilege: str = ""

    def met_by(self, grants: Grants) -> bool:
        held = grants.of(self.keyspace)
        return held & self.rights == self.rights if self.rights else bool(held)

    def refusal(self, user: str, host: str) -> SluiceError:
        """1142, 1370, 1227 or 1044 as MySQL words them."""
        if self.table:
            return fail("TABLE_ACCESS_DENIED", command=self.command, user=user, host=host, table=self.table)
        if self.routine:
            return fail(
                "ROUTINE_ACCESS_DENIED", command=self.command, user=user, host=host, routine=self.routine
            )
        if self.privilege:
            return fail("PRIVILEGE", privilege=self.privilege)
        if not self.rights and self.keyspace == EVERYWHERE:
            return fail("NO_DATABASE")
        return fail("DB_ACCESS_DENIED", user=user, host=host, database=self.keyspace)


Needs = tuple[Need, ...]

_PUBLIC: Final = {
    "information_schema": re.compile(
        r"(?!(?:processlist|innodb_\w+|user_statistics|client_statistics)\Z)\w*", re.I
    ),
    "performance_schema": re.compile(
        r"(?:session|global|persisted)_(?:variables|status|account_connect_attrs)|variables_(?:info|by_thread)|keywords",
        re.I,
    ),
    "mysql": re.compile(r"time_zone\w*|help_\w+", re.I),
    "sys": re.compile(r"version", re.I),
}
"""Of MySQL's own tables, those that every user may read."""
_ADMIN_SHOWS: Final = {
    "ENGINE": "PROCESS",
    "MUTEX": "PROCESS",
    "BINARY": "SUPER, REPLICATION CLIENT",
    "BINLOG": "REPLICATION SLAVE",
    "MASTER": "SUPER, REPLICATION CLIENT",
    "REPLICA": "SUPER, REPLICATION CLIENT",
    "REPLICAS": "REPLICATION SLAVE",
    "SLAVE": "SUPER, REPLICATION CLIENT",
    "RELAYLOG": "REPLICATION SLAVE",
}
_PROGRAMS: Final = frozenset(("PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE"))
_NAMES_TABLES: Final = frozenset(("FROM", "JOIN", "TABLE", "INTO"))
_READS: Final = frozenset(("SELECT", "FROM", "TABLE", "WITH"))
_DDL_WORDS: Final = {"TRUNCATE": "DROP", "RENAME": "ALTER, DROP"}
_NATIVE: Final = re.compile(r"(?:ST_|MBR|JSON_)", re.I)
"""Families of MySQL's own functions that `purity` does not list one by one."""
_MAX_READINGS: Final = 16
"""Of executable comments. A dump asks for two or three versions in a statement."""


_COMMON: Final = READ | WRITE | DDL | ROUTINE
_ADMIN_HINT: Final = re.compile(
    r"\b(?:mysql|sys|information_schema|performance_schema|outfile|dumpfile|load_file|engine|mutex|binary|binlog"
    r"|master|replicas?|slaves?|relaylog|flush|instance|backup|recover)\b|/\*M?!",
    re.I,
)
"""Words without which no statement needs ADMIN."""


def needs_of(text: str, keyspace: str, vschema: VSchema, dialect: Dialect = Dialect.DEFAULT) -> Needs:
    """What a normalised statement needs in a session whose default database is `keyspace` ("" for none). Raises
    SYNTAX for what is no statement."""
    lexed = lex(text, dialect)
    found = list(_Statement(lexed, keyspace, vschema).needs()) if lexed.lexemes else []
    if lexed.conditional:
        whole = readings(text.encode("utf-8", "surrogateescape"), dialect)
        for one in whole[:_MAX_READINGS]:
            try:
                inside = lex(one.decode("utf-8", "surrogateescape"), dialect)
                if inside.lexemes:
                    found += _Statement(inside, keyspace, vschema).needs()
            except SluiceError:  # what the server makes of it is not known here
                found.append(Need(keyspace or EVERYWHERE, ADMIN, privilege="SUPER"))
        if len(whole) > _MAX_READINGS:
            found.append(Need(keyspace or EVERYWHERE, ADMIN, privilege="SUPER"))
    return tuple(dict.fromkeys(found))


def beyond(text: str, keyspace: str, vschema: VSchema, dialect: Dialect, grants: Grants) -> Needs:
    """The needs of a statement that `grants` do not meet. Cheap where they hold all but admin, which few texts need."""
    if grants.is_complete:
        return ()
    if (
        grants.everywhere & _COMMON == _COMMON
        and keyspace.lower() not in SYSTEM_SCHEMAS
        and _ADMIN_HINT.search(text) is None
    ):
        return ()
    return tuple(need for need in needs_of(text, keyspace, vschema, dialect) if not need.met_by(grants))


class _Statement:
    """One reading of a text."""

    def __init__(self, lexed: Lexed, keyspace: str, vschema: VSchema) -> None:
        self._lexed = lexed
        self._lexemes = lexed.lexemes
        self._keyspace = keyspace
        self._vschema = vschema
        self._words = {one.text for one in lexed.lexemes if one.kind is WORD}

    def needs(self) -> Iterable[Need]:
        lexemes = self._lexemes
        if not lexemes:
            return
        verb = classify(lexemes)
        if "LOAD_FILE" in self._words or (
            "INTO" in self._words and not self._words.isdisjoint(("OUTFILE", "DUMPFILE"))
        ):
            yield Need(EVERYWHERE, ADMIN, privilege="FILE")
        if isinstance(verb, Verb):
            yield from self._of_verb(verb)
        else:
            yield from self._of_kind(verb)
        if verb in (Verb.SELECT, Kind.SET, Kind.DO, Kind.SHOW):
            yield from self._calls()

    def _of_verb(self, verb: Verb) -> Iterable[Need]:
        if verb is Verb.SELECT:
            yield from self._tables(READ, "SELECT")
            if any(
                one.text == "FOR" and after.text == "UPDATE"
                for one, after in zip(self._lexemes, self._lexemes[1:], strict=False)
            ):
                yield from self._tables(WRITE, "UPDATE")
        elif verb is Verb.INSERT:
            yield from self._insert()
        elif verb in (Verb.UPDATE, Verb.DELETE):
            yield from self._tables(WRITE, verb.name)
            yield from self._tables(READ, "SELECT")
        elif verb is Verb.ADMIN:
            yield from self._tables(READ, "SELECT")
            if not self._words & {"CHECK", "CHECKSUM"}:
                yield from self._tables(WRITE, "INSERT")
        elif verb is Verb.DDL:
            yield from self._ddl()

    def _of_kind(self, kind: Kind) -> Iterable[Need]:
        first = self._lexemes[0].text
        if kind is Kind.SHOW:
            for one in self._lexemes[1:4]:
                if one.kind is WORD and one.text in _ADMIN_SHOWS:
                    yield Need(self._keyspace or EVERYWHERE, ADMIN, privilege=_ADMIN_SHOWS[one.text])
                    break
                if one.text in ("LIKE", "WHERE", "FROM", "IN"):
                    break
            if "SELECT" in self._words:
                yield from self._tables(READ, "SELECT")
        elif kind in (Kind.SET, Kind.DO, Kind.CALL):
            if self._words & {"SELECT", "TABLE"}:
                yield from self._tables(READ, "SELECT")
            if kind is Kind.CALL:
                for keyspace in self._named() or [self._keyspace]:
                    yield Need(keyspace, WRITE, "execute", routine=self._called())
        elif kind is Kind.LOCK_TABLES and "INSTANCE" in self._words:
            yield Need(self._keyspace or EVERYWHERE, ADMIN, privilege="BACKUP_ADMIN")
        elif kind is Kind.LOCK_TABLES:
            for keyspace in {*self._named(), self._keyspace} - {""}:
                yield Need(keyspace, READ | (WRITE if "WRITE" in self._words else 0))
        elif kind is Kind.LOAD_DATA:
            yield from self._tables(WRITE, "INSERT")
            if "SELECT" in self._words:
                yield from self._tables(READ, "SELECT")
        elif kind is Kind.XA and "RECOVER" in self._words:
            yield Need(self._keyspace or EVERYWHERE, ADMIN, privilege="XA_RECOVER_ADMIN")
        elif kind is Kind.XA and self._keyspace:
            yield Need(self._keyspace, WRITE)
        elif kind is Kind.FLUSH or (kind is Kind.OTHER and first == "BACKUP"):
            yield Need(self._keyspace or EVERYWHERE, ADMIN, privilege="RELOAD")
        elif kind is Kind.OTHER and first == "BINLOG":
            yield Need(
                self._keyspace or EVERYWHERE, ADMIN, privilege="SUPER, BINLOG_ADMIN or REPLICATION_APPLIER"
            )
        elif kind is Kind.OTHER and first == "HANDLER":
            yield from self._tables(READ, "SELECT")

    def _insert(self) -> Iterable[Need]:
        """The target is written; what stands behind it may read anything."""
        lexemes = self._lexemes
        at = (
            next((i for i, one in enumerate(lexemes) if i and one.text == "INTO" and one.kind is WORD), 0) + 1
        )
        while at < len(lexemes) - 1 and lexemes[at].text in (
            "LOW_PRIORITY",
            "DELAYED",
            "HIGH_PRIORITY",
            "IGNORE",
        ):
            at += 1
        target = self._keyspace
        table = lexemes[at].raw if at < len(lexemes) else ""
        if at + 2 < len(lexemes) and lexemes[at + 1].text == ".":
            target, table = table, lexemes[at + 2].raw
        elif not target:
            target = self._owner(table)
        yield self._need(target, table, WRITE, lexemes[0].text)
        if any(one.kind is WORD and one.text in _READS for one in lexemes[at:]):
            yield from self._tables(READ, "SELECT")

    def _ddl(self) -> Iterable[Need]:
        first = self._lexemes[0].text
        of_database = database_statement(self._lexemes)
        if of_database is not None:
            name = of_database.name or self._keyspace
            system = name.lower() in SYSTEM_SCHEMAS and name not in self._vschema.keyspaces
            yield Need(name or EVERYWHERE, DDL | ADMIN if system else DDL)
            return
        head = [one.text for one in self._lexemes[1:16] if one.kind is WORD]
        if "TEMPORARY" in head[:2]:
            yield from self._tables(WRITE, first)
        else:
            command = "INDEX" if "INDEX" in head[:3] else _DDL_WORDS.get(first, first)
            command = "CREATE VIEW" if first == "CREATE" and "VIEW" in head else command
            yield from self._tables(DDL, command)
        if not _PROGRAMS.isdisjoint(head) and first in ("CREATE", "ALTER"):
            for keyspace in {*self._named(), self._keyspace} - {""}:
                yield Need(keyspace, ROUTINE)
        if "SELECT" in self._words or "LIKE" in self._words:
            yield from self._tables(READ, "SELECT")

    # ---- names

    def _tables(self, rights: int, command: str) -> Iterable[Need]:
        """`rights` on every table that the statement names, or may name."""
        nodes = self._nodes()
        found: dict[str, str] = {}
        reads = classify(self._lexemes) is Verb.SELECT
        if not nodes and not (nodes is not None and reads and self._words.isdisjoint(_NAMES_TABLES)):
            if self._keyspace:
                found[self._keyspace] = ""
            elif not self._named():
                found[EVERYWHERE] = ""
        for node in (
            nodes or ()
        ):  # those that sqlglot found; none where it read the statement as something else
            keyspace = node.db or self._keyspace or self._owner(node.name)
            if keyspace.lower() in SYSTEM_SCHEMAS:
                yield self._need(keyspace, node.name, rights, command)
            else:
                found.setdefault(keyspace, node.name)
        for keyspace in self._named():
            found.setdefault(keyspace, "")
        for keyspace, table in found.items():
            yield self._need(keyspace, table or self._first_name(), rights, command)
        yield from self._system_names(command)

    def _nodes(self) -> list[exp.Table] | None:
        """The tables of a statement that sqlglot can be trusted with; None of all others."""
        if not isinstance(classify(self._lexemes), Verb):
            return None
        try:
            return tables_in(parse(self._lexed))
        except (ParseError, RecursionError):
            return None

    def _need(self, keyspace: str, table: str, rights: int, command: str) -> Need:
        schema = keyspace.lower()
        if schema not in SYSTEM_SCHEMAS or keyspace in self._vschema.keyspaces:
            return Need(keyspace or EVERYWHERE, rights, command, table or "?")
        if rights == READ and _PUBLIC[schema].fullmatch(table):
            # who has no default keyspace would be answered by any server, with names of any keyspace
            known = self._keyspace and self._keyspace.lower() not in SYSTEM_SCHEMAS
            return Need(self._keyspace if known else EVERYWHERE, 0)
        if schema == "information_schema":
            return Need(EVERYWHERE, ADMIN, privilege="PROCESS")
        return Need(EVERYWHERE, ADMIN, command, table or "?")

    def _system_names(self, command: str) -> Iterable[Need]:
        """`mysql.user` and the like where sqlglot may not have seen a table in it."""
        for schema, table in self._pairs():
            if schema.lower() in SYSTEM_SCHEMAS and schema not in self._vschema.keyspaces:
                yield self._need(schema, table, READ, command)

    def _named(self) -> list[str]:
        """Keyspaces that some `x.` may name; a table's alias of the same name counts too."""
        known = {name.lower(): name for name in self._vschema.keyspaces}
        return list(dict.fromkeys(known[one.lower()] for one, _ in self._pairs() if one.lower() in known))

    def _pairs(self) -> Iterable[tuple[str, str]]:
        lexemes = self._lexemes
        for at, one in enumerate(lexemes[:-2]):
            if one.kind in (WORD, NAME) and lexemes[at + 1].text == "." and lexemes[at + 1].kind is MARK:
                yield one.raw, lexemes[at + 2].raw

    def _owner(self, table: str) -> str:
        """The keyspace of a table that is named alone in a session without a default."""
        try:
            return self._vschema.find_table(None, table).keyspace
        except VSchemaError:
            return ""

    def _first_name(self) -> str:
        return next((one.raw for one in self._lexemes[1:] if one.kind is NAME), "") or next(
            (
                after.raw
                for one, after in zip(self._lexemes, self._lexemes[1:], strict=False)
                if one.text in ("FROM", "TABLE", "INTO", "UPDATE", "JOIN") and after.raw
            ),
            "",
        )

    def _calls(self) -> Iterable[Need]:
        """Stored functions write what they like, so calling one needs the right to write."""
        lexemes = self._lexemes
        for at in unknown_calls(lexemes):
            if at and not _NATIVE.match(lexemes[at].raw):  # `DO (` is no call
                qualified = at >= 2 and lexemes[at - 1].text == "."
                keyspace = lexemes[at - 2].raw if qualified else self._keyspace or EVERYWHERE
                yield Need(keyspace, WRITE, "execute", routine=f"{keyspace}.{lexemes[at].raw}")

    def _called(self) -> str:
        """The procedure of a CALL."""
        names = [one.raw or one.text for one in self._lexemes[1:4]]
        return "".join(names[:3]) if names[1:2] == ["."] else f"{self._keyspace}.{''.join(names[:1])}"
