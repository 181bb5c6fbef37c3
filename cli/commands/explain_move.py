"""What `clusterctl explain` says of a write that reads its rows first."""

from router.execute.values import render
from router.gateway import Link
from router.plan.moves import InsertMove, Move, SeveralChanges, query_of
from router.view import ClusterView

_LOOKUPS = "rows of its lookup vindexes are written in the same transaction"
_Said = tuple[str, list[tuple[Link, bytes]], list[str]]


def explained_move(move: Move, view: ClusterView, literals: tuple[bytes, ...]) -> _Said:
    """Kind, what each shard is sent, notes."""
    if isinstance(move, InsertMove):
        return _insert(move, view, literals)
    changes = move.changes if isinstance(move, SeveralChanges) else (move,)
    key = b"<primary key>"
    query = render(query_of(changes), literals, [key] * len(changes)).decode("utf-8", "replace")
    notes = [
        f"first, as a plan of its own, with locks: {query}",
        "then, in the same transaction, each shard's rows by their keys",
    ]
    sent: list[tuple[Link, bytes]] = []
    for one in changes:
        table = view.vschema.keyspaces[one.keyspace].find_table(one.table)
        if table is not None and table.owned(None if one.moved else one.changed):
            notes.append(_LOOKUPS)
        if one.moved:
            notes.append(f"rows of {one.table} that belong to other shards then are copied there and deleted")
        values = [f"<value of {column}>".encode() for column in one.fetched]
        text = (
            render(one.head, literals, values) + b" WHERE <primary key> IN (...)" + render(one.tail, literals)
        )
        sent += [(link, text) for link in view.keyspace(one.keyspace).links]
    return "write", sent, list(dict.fromkeys(notes))


def _insert(move: InsertMove, view: ClusterView, literals: tuple[bytes, ...]) -> _Said:
    insert = move.insert
    query = render(move.query, literals).decode("utf-8", "replace")
    notes = [f"first, as a plan of its own, with shared locks: {query}"]
    text = render(insert.head, literals) + b"<rows>" + render(insert.tail, literals)
    where = "to every shard" if move.copies else f"by vindex {insert.vindex}" if insert.vindex else ""
    notes.append(
        f"then, in the same transaction, its rows into {insert.keyspace}.{insert.table} {where}".rstrip()
    )
    if insert.sequence is not None:
        notes.append(f"ids come from the sequence {'.'.join(insert.sequence)}")
    if insert.owned:
        notes.append(_LOOKUPS)
    return "insert", [(link, text) for link in view.keyspace(insert.keyspace).links], notes
