"""Plans as JSON that a person can review, and the command that writes the goldens anew."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from router.plan.moves import ChangeMove, InsertMove, Move, SeveralChanges, query_of
from router.plan.planner import plan
from router.plan.plans import (
    HIDDEN,
    Bind,
    Chooser,
    DdlPlan,
    DmlPlan,
    Finish,
    FinishPlan,
    InsertPlan,
    Merge,
    MovePlan,
    OrderKey,
    PlanError,
    Planned,
    SelectPlan,
    SessionPlan,
    SubstitutePlan,
    Template,
)
from router.sql.normalise import normalise
from router.vschema import VSchema, parse

HERE = Path(__file__).parent
FILES = sorted(path for path in HERE.glob("*_cases.json"))


def vschema() -> VSchema:
    return VSchema([parse(name, (HERE / f"{name}.vschema.json").read_text()) for name in ("user", "main")])


def planned(query: str, keyspace: str, schema: VSchema) -> dict[str, Any]:
    """The plan of a query as the goldens hold it."""
    keyspace, _, shard = keyspace.partition(":")
    key = normalise(query.encode()).key.decode("utf-8", "surrogateescape")
    return describe(plan(key, keyspace, schema, shard=shard))


def describe(made: Planned) -> dict[str, Any]:
    found: dict[str, Any] = {"tier": made.tier}
    if made.reserve:
        found["reserve"] = made.reserve
    value = made.plan
    if isinstance(value, PlanError):
        found["error"] = f"{value.number} {value.text}"
        if value.columns is not None:
            found["columns"] = template(value.columns.sql)
        return found
    found["kind"] = type(value).__name__.removesuffix("Plan").lower()
    if isinstance(value, FinishPlan):
        found["finish"] = finish(value.finish)
    if isinstance(value, MovePlan) or (isinstance(value, DmlPlan) and value.move is not None):
        found["move"] = move(value.move)
    if isinstance(value, SessionPlan):
        found["kind"] = value.kind.value
    elif isinstance(value, (SelectPlan, DmlPlan)):
        found["shards"] = chooser(value.chooser)
        found["tables"] = list(value.tables) if value.tables is not None else None
        if isinstance(value, SelectPlan):
            flags = [flag for flag in ("consolidate", "locking", "writes") if getattr(value, flag)]
            if flags:
                found["flags"] = " ".join(flags)
            if value.sql is not None:
                found["sql"] = template(value.sql)
            if value.merge is not None:
                found["merge"] = merge(value.merge)
            if value.finish is not None:
                found["finish"] = finish(value.finish)
        if isinstance(value, DmlPlan) and value.copies:
            found["flags"] = "copies"
        if isinstance(value, DmlPlan) and value.owned:
            found["owned"] = {one.table: template(one.rows) for one in value.owned}
        if value.refusal is not None:
            found["refusal"] = list(value.refusal)
    elif isinstance(value, DdlPlan):
        found["shards"] = f"all of {value.keyspace}"
    elif isinstance(value, InsertPlan):
        found.update(insert(value))
    elif isinstance(value, SubstitutePlan):
        found["sql"] = template(value.template)
        found["spots"] = [" ".join(spot) for spot in value.spots]
        if value.local is not None:
            found["local"] = {column.name: " ".join(map(str, column.value)) for column in value.local}
            if value.limit is not None:
                found["limit"] = bind(value.limit)
    return found


def bind(value: Bind | int | None) -> str:
    if isinstance(value, Bind):
        return f"{'-' if value.negative else ''}?{value.index}"
    return "NULL" if value is None else str(value)


def chooser(value: Chooser) -> str:
    text = f"{value.choice.value} {value.keyspace}"
    if value.vindex:
        text += f" {value.vindex}({', '.join(map(bind, value.values))})"
    return text + (f" by {value.columns}" if value.columns > 1 else "")


def template(value: Template) -> str:
    return "".join(
        piece.decode("utf-8", "surrogateescape")
        if isinstance(piece, bytes)
        else f"{{{piece}}}"
        if piece >= 0
        else f"<{-1 - piece}>"
        for piece in value.pieces
    )


def position(value: int) -> str:
    return f"h{value - HIDDEN}" if value >= HIDDEN else str(value)


def key(value: OrderKey) -> str:
    text = position(value.column)
    if value.weight >= 0:
        text += f" weight {position(value.weight)}"
    if value.pad >= 0:
        text += f" pad {position(value.pad)}"
    return text + (" desc" if value.descending else "")


def merge(value: Merge) -> dict[str, Any]:
    found: dict[str, Any] = {"visible": value.visible, "hidden": value.hidden}
    for name in ("order", "group", "distinct_weights"):
        if getattr(value, name):
            found[name] = [key(one) for one in getattr(value, name)]
    if value.aggregates:
        found["aggregates"] = [
            f"{one.op} {position(one.column)}"
            + (f" extra {position(one.extra)}" if one.extra >= 0 else "")
            + (f" weight {position(one.weight)}" if one.weight >= 0 else "")
            for one in value.aggregates
        ]
    for name in ("grouped", "distinct"):
        if getattr(value, name):
            found[name] = True
    for name in ("limit", "offset"):
        if getattr(value, name) is not None:
            found[name] = bind(getattr(value, name))
    if value.names:
        found["names"] = {str(at): name for at, name in value.names}
    return found


def finish(value: Finish) -> dict[str, Any]:
    parts = {
        part.name: f"{part.keyspace}.{part.table}, {chooser(part.chooser)}"
        + (f", {template(part.where)}" if part.where is not None else "")
        for part in value.parts
    }
    return {"on": value.keyspace, "tables": parts, "sql": template(value.sql)}


def move(value: Move | None) -> dict[str, Any]:
    if isinstance(value, SeveralChanges):
        return {"changes": [move(one) for one in value.changes]}
    if isinstance(value, ChangeMove):
        change: dict[str, Any] = {
            "of": f"{value.keyspace}.{value.table}",
            "query": template(query_of([value])),
        }
        change["change"] = template(value.head) + " WHERE ..." + template(value.tail)
        for name in ("self_read", "copies"):
            if getattr(value, name):
                change[name] = True
        return change
    assert isinstance(value, InsertMove)
    found: dict[str, Any] = {"query": template(value.query), "columns": list(value.columns)}
    if value.computed is not None:
        found["rows"] = [
            [template(one) if isinstance(one, Template) else f"value {one}" for one in row]
            for row in value.computed.rows
        ]
    found["into"] = template(value.insert.head) + "..." + template(value.insert.tail)
    for name in ("key", "generated"):
        if getattr(value, name) >= 0:
            found[name] = getattr(value, name)
    if value.copies:
        found["copies"] = True
    return found


def insert(value: InsertPlan) -> dict[str, Any]:
    found: dict[str, Any] = {"table": f"{value.keyspace}.{value.table}", "head": template(value.head)}
    found["rows"] = [
        f"{template(row.text)} vindex {bind(row.vindex_value)} given {bind(row.sequence_value)}"
        for row in value.rows
    ]
    for field in fields(value):
        if field.name in ("vindex", "sequence_fills_vindex") and getattr(value, field.name):
            found[field.name] = getattr(value, field.name)
    if value.tail.pieces:
        found["tail"] = template(value.tail)
    if value.sequence is not None:
        found["sequence"] = ".".join(value.sequence)
    return found


def main() -> None:
    schema = vschema()
    for path in FILES:
        cases = json.loads(path.read_text())
        for case in cases:
            case["plan"] = planned(case["query"], case["keyspace"], schema)
        lines = (json.dumps(case, ensure_ascii=False, indent=1) for case in cases)
        path.write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
