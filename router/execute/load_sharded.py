"""LOAD DATA LOCAL into a sharded table, or one whose ids a sequence gives: lines to their shards.

The router cuts the client's file into lines as MySQL does (`engine.load_lines`), looks at the sharding column and at
the generated one, and sends each shard the lines that are its own as LOAD DATA LOCAL of batches, with the same clauses.

Invariants
- A line goes as it came, but for the id that a sequence gives; a line whose shard is not certain ends the statement.
- All batches are one statement: in a transaction of their own, or behind a savepoint a shard in the session's.
- Kept here: BATCH_BYTES a shard, MAX_KEPT_BYTES over all, and what `ClientFile` and one line may hold. While a shard
  works the client is not read from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from core.errors import SluiceError, fail, not_supported
from core.rpc import messages as m
from router.call import TabletError
from router.engine.affected import combine_oks
from router.engine.load_fields import field_value
from router.engine.load_lines import LineSplitter, Row
from router.execute.route import shard_of
from router.execute.write import ok_of, set_savepoint, undo
from router.gateway import Link
from router.sessions import holding
from router.sessions.client_file import ClientFile
from router.sessions.commit import commit
from router.sessions.session import Session
from router.statements.result import checked
from router.variables.charsets import python_codec
from router.view import ClusterView
from router.vindexes.base import Vindex
from router.vschema import Table, TableType
from wire.answers import Ok, parse_err
from wire.columns import parse_column
from wire.packets import iterate_payloads

if TYPE_CHECKING:
    from router.statements.load_statement import LoadStatement

BATCH_BYTES: Final = 1 << 20
MAX_KEPT_BYTES: Final = 8 << 20
_TURN_ROWS: Final = 1000
"""Rows read in one turn of the event loop: about 3 ms."""
_UTF8: Final = frozenset(("", "utf8", "utf8mb3", "utf8mb4", "binary", "ascii"))


class _Batch:
    """The lines of one shard, whole when MySQL asks for them."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def wanted(self, link: Link, request: int, name: bytes) -> None:
        del name
        link.send_file(request, self._data)
        link.send_file(request, b"")

    def taken(self, size_bytes: int) -> None:
        pass


class ShardedLoad:
    """One LOAD DATA LOCAL under way."""

    def __init__(
        self, session: Session, load: LoadStatement, table: Table, sequence: Table | None, view: ClusterView
    ) -> None:
        """Raises SluiceError for what cannot be done."""
        _check(load, table)
        self._session = session
        self._load = load
        self._format = load.format()
        self._table = table
        self._sequence = sequence
        self._keyspace = view.keyspace(table.keyspace)
        self._everywhere = table.sharded and table.type is TableType.REFERENCE
        vindex = table.primary.vindex if table.primary is not None else None
        assert vindex is None or isinstance(vindex, Vindex)
        self._vindex = vindex
        self._key = table.primary.columns[0] if table.primary is not None else ""
        self._id = table.auto_increment.column if sequence is not None and table.auto_increment else ""
        self._kept: dict[Link, list[bytes]] = {link: [] for link in self._keyspace.links}
        self._sizes: dict[Link, int] = dict.fromkeys(self._keyspace.links, 0)
        self._text = b""
        self._appended = False
        self._wanted: tuple[int, ...] = ()
        self._rows = 0
        self._insert_id = 0
        self._codec: str | None = None
        self._codec_known = load.charset in _UTF8 and load.charset != ""
        self._own = False
        self._undoing: list[Link] = []
        self._oks: dict[Link, Ok] = {}

    async def run(self) -> None:
        """Runs it as the session's statement, and answers. Raises SluiceError."""
        session = self._session
        file = ClientFile(session.connection)
        splitter = LineSplitter(self._format, await self._arrange(), self._wanted, self._load.skip_lines)
        links = self._keyspace.links
        if session.worker.admission.limits_queries:
            shards = tuple(link.shard for link in links)
            await session.worker.admission.enter(session, links[0].keyspace, shards)
        self._own = session.tx is None and session.autocommit
        if self._own and session.reserved:
            raise not_supported(
                "LOAD DATA into a sharded table in a session that holds a reserved connection",
                "SHOW PINS says what holds it; end that first.",
            )
        if self._own:
            holding.open_transaction(session)
            session.implicit = True
        try:
            file.ask(self._load.name)
            while chunk := await file.read():
                await self._take(splitter.feed(chunk))
            await self._take(splitter.end())
            for link in links:
                await self._flush(link)
            if self._own:
                await commit(session)
        except SluiceError:
            await undo(session, self._own, self._undoing)
            await file.drain()
            raise
        finally:
            if self._own and session.tx is not None:
                holding.transaction_over(session)
            session.implicit = False
        self._answer()

    def _answer(self) -> None:
        oks = list(self._oks.values())[: 1 if self._everywhere else None]
        if not oks:
            self._session.ok(info=b"Records: 0  Deleted: 0  Skipped: 0  Warnings: 0")
            return
        total = combine_oks(oks, status=self._session.status)
        if self._insert_id:
            self._session.last_insert_id = self._insert_id
        self._session.ok(total.affected_rows, self._insert_id, total.warnings, total.info)

    # ---- what each shard is told

    async def _arrange(self) -> int:
        """Decides on the statement of each shard; returns the number of fields of a line. Raises SluiceError."""
        load = self._load
        if load.targets is None:
            names = await self._columns()
            written = None
        else:
            names = ["" if target.variable else target.name for target in load.targets]
            written = [target.written for target in load.targets]
        count = len(names)
        if self._key and self._key != self._id and self._key not in names:
            raise _refused(f"without its sharding column {self._key}", f"Give {self._key} a field.")
        wanted = {names.index(name) for name in (self._key, self._id) if name in names}
        self._wanted = tuple(sorted(wanted))
        self._key_spot = self._wanted.index(names.index(self._key)) if self._key in names else -1
        self._id_spot = self._wanted.index(names.index(self._id)) if self._id in names else -1
        if self._id and self._id not in names:
            self._appended = True
            assert written is not None  # without a list, every column has a field
            written = [b"`" + self._id.encode().replace(b"`", b"``") + b"`", *written]
        self._text = load.head
        if written is not None:
            self._text += b" (" + b", ".join(written) + b")"
        if load.assignments:
            self._text += b" SET " + load.assignments
        return count

    async def _columns(self) -> list[str]:
        """All columns that have a field, in order."""
        table = self._table
        if table.authoritative:
            return [column.name.lower() for column in table.columns if not column.invisible]
        name = b"`" + table.name.replace("`", "``").encode() + b"`"
        session = self._session
        answer = await session.worker.calls.execute(
            self._keyspace.links[0], b"SELECT * FROM " + name + b" LIMIT 0", user=session.user
        )
        payloads = list(iterate_payloads(checked(answer).data))
        columns = [parse_column(payload) for payload in payloads[1 : 1 + payloads[0][0]]]
        return [column.name.decode("utf-8", "replace").lower() for column in columns]

    # ---- lines

    async def _take(self, rows: Iterator[Row]) -> None:
        while some := list(islice(rows, _TURN_ROWS)):
            await self._place(some)
            for link in self._keyspace.links:
                if self._sizes[link] >= BATCH_BYTES:
                    await self._flush(link)
            while sum(self._sizes.values()) >= MAX_KEPT_BYTES:
                await self._flush(max(self._sizes, key=self._sizes.__getitem__))
            await asyncio.sleep(0)

    async def _place(self, rows: list[Row]) -> None:
        wanting = [self._wants_id(row) for row in rows] if self._id else []
        number = 0
        if any(wanting):
            assert self._sequence is not None
            number = await self._session.worker.sequences.take(
                self._sequence.keyspace, self._sequence.name, sum(wanting)
            )
            self._insert_id = self._insert_id or number
        for at, row in enumerate(rows):
            self._rows += 1
            raw, given = row.raw, None
            if wanting and wanting[at]:
                given = number
                number += 1
                raw = self._with_id(row, given)
            elif self._appended:
                raise AssertionError("every line wants an id")
            for link in await self._links(row, given):
                self._kept[link].append(raw)
                self._sizes[link] += len(raw)

    def _value(self, row: Row, spot: int) -> bytes | None:
        """A field's value; None for NULL. Raises NOT_SUPPORTED where the line does not have the field."""
        span = row.spans[spot]
        if span is None:
            name = self._key if spot == self._key_spot else self._id
            raise _refused(
                f"a line (row {self._rows + 1}) that has no field for {name}", "Complete the line."
            )
        return field_value(row.raw[span[0] : span[1]], self._format)

    def _wants_id(self, row: Row) -> bool:
        """Whether the sequence gives this row's id: no field, NULL or 0, as for AUTO_INCREMENT."""
        if self._id_spot < 0:
            return True
        value = self._value(row, self._id_spot)
        if value is None:
            return True
        if value[:1] in b"123456789":  # b"" too: MySQL takes it for 0
            return not value
        try:
            return float(value) == 0
        except ValueError:
            return False

    def _with_id(self, row: Row, number: int) -> bytes:
        raw = row.raw
        if self._id_spot < 0:
            return raw[: row.body] + b"%d" % number + self._format.field_end + raw[row.body :]
        span = row.spans[self._id_spot]
        assert span is not None
        return raw[: span[0]] + b"%d" % number + raw[span[1] :]

    async def _links(self, row: Row, given: int | None) -> Iterable[Link]:
        keyspace = self._keyspace
        if self._everywhere:
            return keyspace.links
        if self._vindex is None:
            return keyspace.links[:1]
        value: int | bytes | str | None = given if self._key == self._id else None
        if value is None:
            value = self._value(row, self._key_spot)
            if isinstance(value, bytes) and not value.isascii():
                value = await self._decoded(value)
        link = None if value is None else shard_of(keyspace, self._vindex, value)
        if link is None:
            shown = "NULL" if value is None else str(value)
            raise fail(
                "VINDEX_VALUE",
                vindex=self._vindex.name,
                value=shown,
                reason=f"no shard can hold row {self._rows} of the file",
            )
        return (link,)

    async def _decoded(self, value: bytes) -> bytes | str:
        """A key that is not ASCII, in UTF-8. Raises SYNTAX where the file's character set does not have it."""
        if not self._codec_known:
            self._codec_known = True
            charset = self._load.charset or await self._default_charset()
            if charset not in _UTF8:
                self._codec = python_codec(charset) or charset
        if self._codec is None:
            return value
        try:
            return value.decode(self._codec)
        except (UnicodeDecodeError, LookupError):
            raise _refused(
                f"a sharding column in a character set it cannot read ({self._codec})",
                "Convert the file to utf8mb4 and say CHARACTER SET utf8mb4.",
            ) from None

    async def _default_charset(self) -> str:
        session = self._session
        answer = await session.worker.calls.execute(
            self._keyspace.links[0], b"SELECT @@character_set_database", user=session.user
        )
        return "" if answer.failed else list(iterate_payloads(answer.data))[3][1:].decode()

    # ---- batches

    async def _flush(self, link: Link) -> None:
        """Sends what is kept for a shard. Raises SluiceError, also for MySQL's own error."""
        if not self._sizes[link]:
            return
        data = b"".join(self._kept[link])
        self._kept[link].clear()
        self._sizes[link] = 0
        session = self._session
        if not self._own and link not in self._undoing:
            await set_savepoint(session, link)
            self._undoing.append(link)
        answer = await session.worker.calls.in_session(
            session,
            link,
            self._text,
            flags=m.F_WRITE | m.F_INFILE,
            tables=(self._table.name,),
            file=_Batch(data),
        )
        if answer.failed:
            error = parse_err(answer.last_payload())
            raise TabletError(error.number, error.sqlstate, error.text, answer.handle)
        ok = ok_of(answer)
        before = self._oks.get(link)
        self._oks[link] = ok if before is None else combine_oks((before, ok))


def _refused(construct: str, instead: str) -> SluiceError:
    return not_supported(f"LOAD DATA into a sharded table {construct}", instead)


def _check(load: LoadStatement, table: Table) -> None:
    """Raises NOT_SUPPORTED for what this way cannot do."""
    reason = table.unsupported_write_reason()
    if reason is not None:
        raise not_supported(*reason)
    if table.owned():
        raise _refused("that owns a lookup vindex", "INSERT the rows.")
    if load.unread:
        raise _refused(f"with {load.unread}", "Leave that clause out.")
    if load.xml:
        raise _refused("from XML", "Use LOAD DATA.")
    if table.sharded and table.type is TableType.REFERENCE and table.source is not None:
        raise _refused(f"that is a copy ({table.name})", "Load the table it is a copy of.")
    if table.sharded and table.type is not TableType.REFERENCE:
        if table.primary is None or len(table.primary.columns) > 1:
            kind = "pinned" if table.primary is None else "of several columns"
            raise _refused(
                f"whose sharding key is {kind}",
                f"Use a target shard, USE `{table.keyspace}:SHARD` (SHOW SHARDS).",
            )
        if table.primary.columns[0] in load.assigned:
            raise _refused(f"with SET of its sharding column {table.primary.columns[0]}", "Give it a field.")
    generated = table.auto_increment.column if table.auto_increment is not None else ""
    if generated and generated in load.assigned:
        raise _refused(
            f"with SET of {generated}, which a sequence fills", "Give it a field, or leave it out."
        )
    if load.computes:
        raise _refused(f"with {load.computes} in SET", "Compute it in the file.")
    named = {target.name for target in load.targets or () if target.variable}
    foreign = sorted(load.read_variables - named)
    if foreign:
        raise _refused(f"with the session's user variable @{foreign[0]} in SET", "Write its value instead.")
