"""What the planner's rules share: the statement, where it runs by default, and how a plan is worded."""

from __future__ import annotations

from dataclasses import dataclass

from router.plan.block import Block
from router.plan.names import SYSTEM_SCHEMAS, table_of, tables_in
from router.plan.plans import Choice, Chooser, PlanError, Planned, Template
from router.sql.lex import BIND, NAME, WORD, Lexed, Lexeme
from router.sql.parse import ParseError, exp, parse
from router.vschema import Table, VSchema


@dataclass(slots=True)
class Statement:
    """A statement to plan. `keyspace`: the session's default, empty for none. `shard`: the session's target shard,
    empty for none. `tree`: None when sqlglot cannot read it; `unreadable` says why."""

    lexed: Lexed
    keyspace: str
    shard: str
    vschema: VSchema
    tree: exp.Expr | None = None
    unreadable: str = ""
    spread: bool = False
    """Do not route by values: one of them has no shard of its own, and equal rows may lie on any."""

    @property
    def text(self) -> str:
        return self.lexed.text

    @property
    def lexemes(self) -> list[Lexeme]:
        return self.lexed.lexemes

    def read(self) -> exp.Expr | None:
        """Parses, once."""
        if self.tree is None and not self.unreadable:
            try:
                self.tree = parse(self.lexed)
            except ParseError as error:
                self.unreadable = str(error) or "syntax"
        return self.tree

    def words(self) -> set[str]:
        return {lexeme.text for lexeme in self.lexemes if lexeme.kind is WORD}

    def sharded(self, keyspace: str) -> bool:
        found = self.vschema.keyspaces.get(keyspace)
        return found is not None and found.sharded


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables a statement names. `keyspaces` in order of appearance; `system`: some are MySQL's own."""

    tables: tuple[Table, ...]
    system: bool

    @property
    def keyspaces(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(table.keyspace for table in self.tables))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(table.name for table in self.tables))


def tables_of(statement: Statement, tree: exp.Expr) -> Tables:
    """Raises SluiceError for names that mean nothing."""
    found: list[Table] = []
    system = False
    for node in tables_in(tree):
        table = table_of(node, statement.keyspace, statement.vschema)
        if table is None:
            system = True
        else:
            found.append(table)
    return Tables(tuple(found), system)


def names_other_keyspace(statement: Statement, *, system: bool = True) -> bool:
    """Whether some `x.` in the text may name a keyspace, or (`system`) a schema of MySQL's own, that is not the
    default."""
    lexemes = statement.lexemes
    for at, lexeme in enumerate(lexemes[:-1]):
        if lexeme.kind not in (WORD, NAME) or lexemes[at + 1].text != "." or lexeme.raw == statement.keyspace:
            continue
        if lexeme.raw in statement.vschema.keyspaces or (system and lexeme.raw.lower() in SYSTEM_SCHEMAS):
            return True
    return False


def chooser_of(statement: Statement, block: Block, keyspace: str) -> Chooser:
    """The shards a block needs."""
    if block.free:
        return Chooser(Choice.ANY, keyspace)
    if statement.spread or block.values is None or block.vindex is None or block.vindex.lookup:
        return Chooser(Choice.SCATTER, keyspace)
    values = tuple(bind for key in block.values for bind in key)
    choice = Choice.EQUAL if len(block.values) == 1 else Choice.IN
    return Chooser(choice, keyspace, block.vindex.name, values, len(block.vindex.columns))


def template(text: str, lexemes: list[Lexeme], start: int, end: int) -> tuple[bytes | int, ...]:
    """The pieces of a stretch of the statement."""
    pieces: list[bytes | int] = []
    for lexeme in lexemes:
        if lexeme.kind is BIND and start <= lexeme.start < end:
            if lexeme.start > start:
                pieces.append(encoded(text[start : lexeme.start]))
            pieces.append(lexeme.bind)
            start = lexeme.end
    if end > start:
        pieces.append(encoded(text[start:end]))
    return tuple(pieces)


def whole(statement: Statement) -> Template:
    return Template(template(statement.text, statement.lexemes, 0, len(statement.text)))


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def refused(number: int, sqlstate: str, text: str, *why: str) -> Planned:
    return Planned(PlanError(number, sqlstate, text), "refused", tuple(why))
