"""Several shards' answers to one SELECT become the answer of one MySQL holding all rows: the merge engine, no I/O.

The caller asks the shards (text protocol, all without F_DEPRECATE_EOF) and feeds what they send. Contract with the
planner:

- `order`: every shard's rows come sorted by it, unless `grouped` with an order that does not begin with exactly the
  group columns: then groups are hashed and sorted here, at most `max_rows` of them.
- every column in `order`, `group`, `distinct_weights`, min and max has a `weight` (and `pad`) unless it is known to be
  numeric: the planner knows no types, `router.engine.keys` decides when the shards say them.
- LIMIT of the shards' text is limit + offset without offset (none at all if grouped); here both are applied.
- DISTINCT and hidden columns: the shards may send equal rows with different weights; they are made one here.

Invariants: the header goes out when the headers of all shards are there and agree, so an error that comes first is
the whole answer; the first error ends the answer, also in the midst of rows; after `finished` nothing is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from core.errors import CODES, SluiceError
from router.engine.aggregates import Combiner, combiners
from router.engine.grouping import HashedGroups, StreamedGroups
from router.engine.header import common_columns
from router.engine.keys import KeyOf, order_key
from router.engine.output import ClientFlavour, Output, Packets
from router.engine.reader import ResultReader, Stage
from router.engine.streams import OrderedStream, PacketStream, RowStream, Sink, Stream, distinct, writing
from router.plan.plans import Bind, Merge, OrderKey
from wire.answers import Err, err_payload, parse_err
from wire.columns import Column
from wire.errors import WireError, broken_answer

NOT_SUPPORTED = CODES["NOT_SUPPORTED"].number


class MergeRun:
    """One merge, fed until `finished`.

    `limit` and `offset` are the resolved values of the plan's; they may be left out where the plan has integers.
    `max_rows`: what may be held (groups, distinct rows). `enum_weights`: the servers are MySQL, whose weight of an
    ENUM is its index, not MariaDB, where it is that of its text. ValueError for a LIMIT that is still a bind.
    """

    __slots__ = (
        "_client",
        "_finish",
        "_max_rows",
        "_may_give_up",
        "_merge",
        "_output",
        "_readers",
        "_stream",
        "_warnings",
        "done_early",
        "enum_weights",
        "error",
        "finished",
        "given_up",
        "status",
    )

    def __init__(
        self,
        merge: Merge | None,
        shards: int,
        client: ClientFlavour,
        max_rows: int,
        *,
        limit: int | None = None,
        offset: int | None = None,
        enum_weights: bool = True,
        may_give_up: bool = False,
    ) -> None:
        """`may_give_up`: where the shards' types cannot be merged, nothing is sent, and `given_up` says so."""
        if merge is not None:
            limit = _resolved(merge.limit) if limit is None else limit
            offset = _resolved(merge.offset) if offset is None else offset
        self._merge = merge
        self._client = client
        self._max_rows = max_rows
        self._output = Output(client, limit, offset or 0)
        self._readers = [ResultReader() for _ in range(shards)]
        self._stream: Stream | None = None
        self._finish: Callable[[], None] | None = None
        self.enum_weights = enum_weights
        self._may_give_up = may_give_up
        self.given_up = False
        self.finished = False
        self.done_early = False
        """LIMIT was reached before the shards ended: `open_shards` may be cancelled, or left to run out."""
        self.error: Err | None = None
        self.status = 0
        """Status flags as the client got them."""
        self._warnings = 0

    # ---- what the caller asks

    @property
    def header_sent(self) -> bool:
        """The client has something already: an error can no longer be answered by trying again."""
        return self._output.header_sent

    @property
    def rows_sent(self) -> int:
        """For FOUND_ROWS()."""
        return self._output.rows_sent

    @property
    def warnings(self) -> int:
        return self._warnings

    def open_shards(self) -> list[int]:
        """Shards whose last chunk has not come: after `finished`, those to CANCEL."""
        return [index for index, reader in enumerate(self._readers) if not reader.last]

    def wants(self, shard: int) -> bool:
        """The merge stands still until more of this shard comes."""
        if self.finished:
            return False
        reader = self._readers[shard]
        if self._stream is None:
            return not reader.has_header
        return not reader.at_end and self._stream.waits_for(shard)

    def credits(self) -> list[tuple[int, int]]:
        """CREDITs to send now, as (shard, bytes): to be called when the client's socket takes more. A shard whose
        rows wait for another shard's gets none."""
        return [
            (index, grant) for index, reader in enumerate(self._readers) if (grant := reader.take_credit())
        ]

    # ---- input

    def feed(self, shard: int, data: bytes, last: bool) -> list[Packets]:
        """A chunk of a shard's answer; gives the packets for the client, in order. Never raises for bad data or an
        unsupported type: that becomes the ERR packet that ends the answer, and `error`."""
        reader = self._readers[shard]
        if self.finished:
            reader.feed(data, last)
            return []
        try:
            reader.feed(data, last)
            self._step(shard)
        except WireError as error:
            self._fail(err_payload(error.number, error.sqlstate, error.text))
        except SluiceError as error:
            if self._may_give_up and error.number == NOT_SUPPORTED and not self.header_sent:
                self.give_up()
                return []
            self._fail(err_payload(error.number, error.sqlstate, error.message))
        return self._output.take()

    def give_up(self) -> None:
        """Ends without a word to the client, who has none of it yet."""
        self.given_up = True
        self._close()

    def fail(self, number: int, sqlstate: str, text: str) -> list[Packets]:
        """Ends the answer with an error that no MySQL sent (a FAIL record, a kill, a time limit)."""
        if self.finished:
            return []
        self._fail(err_payload(number, sqlstate, text))
        return self._output.take()

    def _step(self, shard: int) -> None:
        reader = self._readers[shard]
        if self._stream is None:
            if reader.stage is Stage.ERROR or not all(one.has_header for one in self._readers):
                self._check_errors()
                return
            self._open()
            for index in range(len(self._readers)):
                self._advance(index)
        else:
            self._advance(shard)
        if self._check_errors():
            return
        if self._output.full:
            self.done_early = bool(self.open_shards())
            self._end()
        elif all(one.at_end for one in self._readers):
            if self._finish is not None:
                self._finish()
            self._end()

    def _advance(self, shard: int) -> None:
        if self._stream is not None and not self._output.full:
            self._stream.advance(shard)

    def _check_errors(self) -> bool:
        for reader in self._readers:
            if reader.error_payload is not None:
                self._fail(reader.error_payload)
                return True
        return False

    def _end(self) -> None:
        ended = [reader for reader in self._readers if reader.at_end] or self._readers
        self._warnings = sum(reader.warnings for reader in ended)
        self.status = self._client.merged_status(ended[-1].status)
        self._output.end(ended[-1].status, self._warnings)
        self._close()

    def _fail(self, payload: bytes) -> None:
        self.error = parse_err(payload)
        self._output.error(payload)
        self._close()

    def _close(self) -> None:
        self.finished = True
        self._stream = None
        self._finish = None
        for reader in self._readers:
            reader.discard()

    # ---- opening: all headers are there

    def _open(self) -> None:
        readers = self._readers
        if any(reader.ok is not None for reader in readers):
            raise broken_answer("an OK packet where a result set is due")
        columns, definitions = common_columns([(reader.columns, reader.raw_columns) for reader in readers])
        merge = self._merge or Merge(visible=len(columns))
        if merge.visible < 0:
            merge = merge.resolved(len(columns))
        if not 0 < merge.visible <= len(columns):
            raise broken_answer("fewer columns than the plan asked for")
        hidden = merge.visible < len(columns)
        sink = writing(self._output, merge.visible, hidden)
        folds = combiners(
            columns,
            merge.aggregates,
            increment=self._client.div_precision_increment,
            enum_weights=self.enum_weights,
        )
        for combiner, aggregate in zip(folds, merge.aggregates, strict=True):
            if combiner.column != columns[aggregate.column]:
                columns[aggregate.column] = combiner.column
                definitions[aggregate.column] = combiner.column.encode()
        order = self._keys(columns, merge.order) if merge.order else None
        if merge.distinct:
            sink = self._distinct(columns, merge, sink)
        if merge.grouped:
            self._stream = self._grouped(columns, merge, folds, order, sink)
        elif order is not None:
            self._stream = OrderedStream(readers, self._output, len(columns), order, sink)
        elif merge.distinct or hidden:
            self._stream = RowStream(readers, self._output, len(columns), sink)
        else:
            self._stream = PacketStream(readers, self._output)
        self._header(columns, definitions, merge)

    def _keys(self, columns: Sequence[Column], order: Sequence[OrderKey]) -> KeyOf:
        return order_key(columns, order, enum_weights=self.enum_weights)

    def _distinct(self, columns: Sequence[Column], merge: Merge, sink: Sink) -> Sink:
        if merge.exact:
            return distinct(sink, lambda values: tuple(values), self._max_rows, False)
        weights = {key.column: key for key in merge.distinct_weights}
        keys = [weights.get(at, OrderKey(at)) for at in range(merge.visible)]
        forget = bool(merge.order) and all(key.column < merge.visible for key in merge.order)
        return distinct(sink, self._keys(columns, keys), self._max_rows, forget)

    def _grouped(
        self,
        columns: Sequence[Column],
        merge: Merge,
        folds: Sequence[Combiner],
        order: KeyOf | None,
        sink: Sink,
    ) -> Stream:
        readers, output = self._readers, self._output
        group = {key.column for key in merge.group}
        prefix = merge.order[: len(group)]
        if group and {key.column for key in prefix} == group:
            # what follows the group columns in ORDER BY cannot matter: no two groups are equal in them
            streamed = StreamedGroups(folds, sink)
            self._finish = streamed.finish
            return OrderedStream(readers, output, len(columns), self._keys(columns, prefix), streamed.add)
        key_of = self._keys(columns, merge.group) if merge.group else None
        hashed = HashedGroups(folds, sink, key_of, order, self._max_rows)
        # DISTINCT drops rows after the sort, so how many the client wants says nothing of how many to sort
        wanted = self._max_rows if merge.distinct else min(output.wanted_rows, self._max_rows)
        self._finish = lambda: hashed.finish(wanted, output)
        return RowStream(readers, output, len(columns), hashed.add)

    def _header(self, columns: list[Column], definitions: list[bytes], merge: Merge) -> None:
        for at, name in merge.names:
            columns[at] = replace(columns[at], name=name.encode("utf-8", "surrogateescape"))
            definitions[at] = columns[at].encode()
        self._output.header(columns[: merge.visible], definitions[: merge.visible], self._readers[-1].status)


def _resolved(value: Bind | int | None) -> int | None:
    if isinstance(value, Bind):
        raise ValueError("LIMIT and OFFSET must be given as integers when the plan has binds")
    return value
