"""`clusterctl explain "SQL"`: the tier of its plan and why not a lower one, its shards, what each of them is sent.

Planned here, with the router's own planner and the VSchema that is live in etcd; nothing is executed and no
connection to a MySQL is used. Shards come from the router's own code, so they are those that it would take.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from typing import Any, cast

from cli import topology
from cli.commands.explain_move import explained_move
from cli.errors import DONE, FAILED, CommandError, UsageError
from cli.target import Target, find
from controlplane.topo import layout as keys
from controlplane.topo.store import Store
from core.errors import ErrorCode, SluiceError, fail, not_supported
from core.keyrange import ShardMap
from core.limits import LimitTable
from router.execute.finish import finish_text
from router.execute.route import chooser_links, chooser_one, shard_of
from router.execute.values import number_of, render, value_of
from router.gateway import Link
from router.plan.finish_text import quoted
from router.plan.planner import plan
from router.plan.plans import (
    ColumnsRead,
    DdlPlan,
    DmlPlan,
    Finish,
    FinishPlan,
    InsertPlan,
    InsertRow,
    Kind,
    MovePlan,
    PlanError,
    Planned,
    SelectPlan,
    SessionPlan,
    SubstitutePlan,
)
from router.sql.lex import lex
from router.sql.normalise import Dialect, literal_value, normalise, split_statements
from router.statements.refused import refusal_of
from router.view import ClusterView, KeyspaceView
from router.vindexes.base import Vindex
from router.vschema import Keyspace, VSchema, VSchemaError, parse

_SEQUENCE_SPOT = b"<next id>"
_OWNED = "rows of its lookup vindexes are written in the same transaction"
_NOT_PLANNED = PlanError(0, "", "")


@dataclass(frozen=True, slots=True)
class _Shard:
    """Stands where the router has a link to a tablet."""

    keyspace: str
    shard: str
    ready: bool = True


@dataclass(frozen=True, slots=True)
class Explained:
    """What is shown of one statement."""

    statement: str
    kind: str
    tier: str
    why: tuple[str, ...]
    reserve: str
    shards: tuple[tuple[str, str, str], ...]
    """(keyspace, shard, text sent)."""
    notes: tuple[str, ...]
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        sent = [{"keyspace": k, "shard": s, "sql": sql} for k, s, sql in self.shards]
        return {
            "statement": self.statement,
            "kind": self.kind,
            "tier": self.tier,
            "why": list(self.why),
            "reserve": self.reserve,
            "shards": sent,
            "notes": list(self.notes),
            "error": self.error,
        }


def run(args: argparse.Namespace) -> int:
    """Exit status 1 where the router would refuse the statement."""
    target = find(args.file)
    view = load_view(target)
    users = target.config.users
    database = (
        args.keyspace or (users[0].default_keyspace if users else "") or target.config.keyspaces[0].name
    )
    try:
        keyspace, shard = view.check_database(database)
    except SluiceError as error:
        raise UsageError(f"--keyspace: {error.message}") from None
    statements = split_statements(args.sql.encode())
    if not statements:
        raise UsageError("there is no statement")
    found = [explain(view, statement, keyspace, shard) for statement in statements]
    if args.json:
        print(json.dumps([one.to_dict() for one in found], indent=1))
    else:
        for one in found:
            show(one, database)
    for one in found:
        if one.error:
            print(f"clusterctl: {one.error}", file=sys.stderr)
            return FAILED
    return DONE


def load_view(target: Target) -> ClusterView:
    """The cluster as a router worker sees it, with the live VSchema."""

    async def work(store: Store) -> dict[str, Any]:
        records, _ = await store.list(keys.VSCHEMA)
        return {keys.last(key): record.value for key, record in records.items()}

    documents = topology.ask(target, work)
    parsed = []
    for keyspace in target.config.keyspaces:
        try:
            parsed.append(parse(keyspace.name, documents.get(keyspace.name, {})))
        except VSchemaError as error:
            raise CommandError(str(error)) from None
    return make_view({k.name: k.shards for k in target.config.keyspaces}, parsed)


def make_view(shards: dict[str, tuple[str, ...]], parsed: list[Keyspace]) -> ClusterView:
    """A view whose links only know their names."""
    views = {}
    for keyspace in parsed:
        names = shards[keyspace.name]
        links = {name: cast(Link, _Shard(keyspace.name, name)) for name in names}
        views[keyspace.name] = KeyspaceView(keyspace.name, keyspace.sharded, ShardMap(names), links)
    return ClusterView(1, views, VSchema(parsed), LimitTable([]), "", 0)


def explain(view: ClusterView, sql: bytes, keyspace: str, shard: str) -> Explained:
    """One statement, as the router would run it in a session on `keyspace` (and `shard`, if any)."""
    text = sql.decode("utf-8", "replace")
    normalised = normalise(sql)
    try:
        lex(normalised.key.decode("utf-8", "surrogateescape"), literals=normalised.literals)
    except SluiceError as error:
        return _refused(text, Planned(_NOT_PLANNED, "refused"), error)
    planned = plan(normalised.key.decode("utf-8", "surrogateescape"), keyspace, view.vschema, shard=shard)
    try:
        kind, links, notes = _sent(planned, view, sql, normalised.literals, shard)
    except SluiceError as error:
        return _refused(text, planned, error)
    sent = tuple((one.keyspace, one.shard, said.decode("utf-8", "replace")) for one, said in links)
    tier = "write" if isinstance(planned.plan, PlanError) else planned.tier  # its columns are known by then
    return Explained(text, kind, tier, planned.why, planned.reserve, sent, tuple(notes))


def _refused(text: str, planned: Planned, error: SluiceError) -> Explained:
    refused = f"error {error.number} ({error.sqlstate}): {error.message}"
    return Explained(text, "error", "refused", planned.why, planned.reserve, (), (), refused)


_Sent = tuple[str, list[tuple[Link, bytes]], list[str]]


def _sent(planned: Planned, view: ClusterView, sql: bytes, literals: tuple[bytes, ...], shard: str) -> _Sent:
    """Kind, (shard, text) of each shard, notes. Raises SluiceError where the router would refuse."""
    made = planned.plan
    match made:
        case PlanError(columns=ColumnsRead() as columns):
            table = f"{columns.keyspace}.{columns.table}"
            return "insert", [], [f"a server names the columns of {table}; then it is planned with them"]
        case PlanError():
            raise _error(made)
        case FinishPlan():
            return _finished(made.finish, view, literals)
        case MovePlan():
            return explained_move(made.move, view, literals)
        case SelectPlan() | DmlPlan():
            return _select_or_dml(made, view, sql, literals, shard)
        case InsertPlan():
            return _insert(made, view, sql, literals)
        case DdlPlan():
            whole = view.keyspace(made.keyspace)
            links = (whole.by_shard[shard],) if shard else whole.links
            notes = ["an open transaction is committed first"] if made.commits else []
            return "ddl", [(link, sql) for link in links], notes
        case SessionPlan():
            refusal = refusal_of(sql, Dialect.DEFAULT) if made.kind is Kind.OTHER else None
            if refusal is not None:
                raise refusal
            return "session", [], [f"{made.kind.value}: the session itself handles it"]
        case SubstitutePlan():
            spots = ", ".join(sorted({spot[1] for spot in made.spots}))
            where = "answered in the router" if made.local is not None else "then planned with their values"
            return "select", [], [f"reads of the session: {spots}; {where}"]


def _error(made: PlanError) -> SluiceError:
    text = made.text
    if made.views is not None:
        text += ". Where the shards have a view of that name, it is read as the view's query."
    return SluiceError(ErrorCode("PLAN", made.number, made.sqlstate, False, text, ""), text)


def _select_or_dml(
    made: SelectPlan | DmlPlan, view: ClusterView, sql: bytes, literals: tuple[bytes, ...], shard: str
) -> _Sent:
    kind = "select" if isinstance(made, SelectPlan) else "write"
    notes = [f"by vindex {made.chooser.vindex} of {made.chooser.keyspace}"] if made.chooser.vindex else []
    if isinstance(made, DmlPlan) and made.owned and not shard:
        notes.append(_OWNED)
    one = chooser_one(made.chooser, view, shard)(literals)
    if one is not None:
        return kind, [(one, sql)], [*notes, "the text goes as it came, packets come back as they are"]
    links = chooser_links(made.chooser, view)(literals)
    if made.lookup is not None:
        notes.append(
            f"one shard, several or all of these: those that vindex {made.lookup.vindex} names for the values"
        )
        if made.refusal is not None:
            return (
                kind,
                [(link, sql) for link in links],
                [*notes, f"where they are several: {made.refusal[0]}"],
            )
    if isinstance(made, SelectPlan) and made.finish is not None:
        return _finished(made.finish, view, literals)
    if isinstance(made, DmlPlan) and made.move is not None:
        return explained_move(made.move, view, literals)
    if made.refusal is not None:
        error = not_supported(*made.refusal)
        if made.unread:
            error.message += " Where MySQL finds a syntax error in it, the answer is MySQL's: error 1064."
        raise error
    if isinstance(made, DmlPlan):
        return kind, [(link, sql) for link in links], [*notes, "one transaction over these shards"]
    text = sql
    if made.merge is not None:
        merge = made.merge
        limit, offset = number_of(merge.limit, literals), number_of(merge.offset, literals)
        if made.sql is not None:
            text = render(made.sql, literals, (b"%d" % ((limit or 0) + (offset or 0)),))
        steps = [
            ("grouped", bool(merge.grouped or merge.group)),
            ("distinct", merge.distinct),
            ("merge-sorted", bool(merge.order)),
            (f"limited to {limit}", limit is not None),
        ]
        done = [name for name, on in steps if on] or ["concatenated"]
        notes.append(f"in the router: {', '.join(done)}")
    return kind, [(link, text) for link in links], notes


def _finished(finish: Finish, view: ClusterView, literals: tuple[bytes, ...]) -> _Sent:
    """As `router.execute.finish` does; the columns of the tables, which it asks the servers for, stay unnamed."""
    sent: list[tuple[Link, bytes]] = []
    for part in finish.parts:
        where = b" WHERE " + render(part.where, literals) if part.where is not None else b""
        columns = b"<every column>" if part.whole else b"<the columns it names>"
        text = b"SELECT " + columns + b" FROM " + quoted(part.table) + where + b" LIMIT <max_memory_rows + 1>"
        if part.again:
            continue
        sent += [(link, text) for link in chooser_links(part.chooser, view)(literals)]
    final = finish_text(finish, literals).decode("utf-8", "replace")
    loaded = [f"the rows of {part.keyspace}.{part.table} become {part.name}" for part in finish.parts]
    return "select", sent, [*loaded, f"finished on one server of {finish.keyspace}: {final}"]


def _insert(made: InsertPlan, view: ClusterView, sql: bytes, literals: tuple[bytes, ...]) -> _Sent:
    """As `router.execute.insert` groups rows, but no ids are taken from the sequence."""
    keyspace = view.keyspace(made.keyspace)
    vindex = view.vschema.keyspaces[made.keyspace].vindexes[made.vindex] if made.vindex else None
    by_link: dict[Link, list[bytes]] = {}
    later: list[bytes] = []
    for row in made.rows:
        wants = made.sequence is not None and _wants_id(row, literals)
        text = render(row.text, literals, (_spot(row, literals, wants),))
        if vindex is None:
            by_link.setdefault(keyspace.links[0], []).append(text)
            continue
        if wants and made.sequence_fills_vindex:
            later.append(text)
            continue
        assert isinstance(vindex, Vindex)
        value = value_of(row.vindex_value, literals) if row.vindex_value is not None else None
        link = shard_of(keyspace, vindex, value) if value is not None else None
        if link is None:
            raise fail("VINDEX_VALUE", vindex=vindex.name, value=value, reason="no shard can hold this row")
        by_link.setdefault(link, []).append(text)
    fills = made.sequence is not None and any(_wants_id(row, literals) for row in made.rows)
    head, tail = render(made.head, literals), render(made.tail, literals)
    sent = [
        (one, head + made.separator.join(by_link[one]) + tail) for one in keyspace.links if one in by_link
    ]
    notes = [f"by vindex {made.vindex} of {made.keyspace}"] if made.vindex else []
    if made.owned:
        notes.append(_OWNED)
    if len(sent) == 1 and not fills:
        return "insert", [(sent[0][0], sql)], [*notes, "the text goes as it came"]
    if made.sequence is not None and fills:
        notes.append(f"ids come from the sequence {'.'.join(made.sequence)}")
    if later:
        rows = (head + made.separator.join(later) + tail).decode("utf-8", "replace")
        notes.append(f"the id decides on the shard of each row of: {rows}")
    return "insert", sent, notes


def _wants_id(row: InsertRow, literals: tuple[bytes, ...]) -> bool:
    given = row.sequence_value
    return given is None or literal_value(literals[given.index]) in (None, 0)


def _spot(row: InsertRow, literals: tuple[bytes, ...], wants: bool) -> bytes:
    if wants:
        return _SEQUENCE_SPOT
    return literals[row.sequence_value.index] if row.sequence_value is not None else b"NULL"


def show(found: Explained, database: str) -> None:
    """For a person. Why it is refused, stderr says."""
    lines = [("statement", found.statement), ("database", database)]
    lines.append(("plan", "refused" if found.error else f"{found.kind}, tier {found.tier}"))
    lines += [("why", line) for line in found.why if line not in found.error]
    if found.reserve:
        lines.append(("reserved", f"the session holds a connection: {found.reserve}"))
    lines += [("note", line) for line in found.notes]
    for label, text in lines:
        print(f"{label:10} {_indented(text, 11)}")
    for keyspace, shard, sql in found.shards:
        print(f"{keyspace}/{shard}: {_indented(sql, len(keyspace) + len(shard) + 3)}")


def _indented(text: str, columns: int) -> str:
    """Text of several lines, all beginning where the first one does."""
    return ("\n" + " " * columns).join(text.splitlines())
