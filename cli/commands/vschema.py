"""`clusterctl vschema get KEYSPACE` and `vschema apply KEYSPACE FILE`: live, no restart.

Invariant: what is broken, or would break another keyspace, is never written.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from cli import topology
from cli.cluster.preflight import parse_vschema, read_vschema
from cli.commands.vschema_lookups import notes as lookup_notes
from cli.errors import DONE, CommandError, UsageError
from cli.target import Target, find
from controlplane.topo import layout as keys
from controlplane.topo.store import Store
from router import vschema
from router.vschema import VSchema, VSchemaError


def run(args: argparse.Namespace) -> int:
    target = find(args.file)
    if args.action == "get":
        return get(target, args.keyspace)
    return apply(target, args.keyspace, Path(args.vschema_file))


def get(target: Target, keyspace: str) -> int:
    """Prints the VSchema as JSON."""
    found = topology.ask(target, _all)
    if keyspace not in found:
        raise CommandError(_unknown(target, keyspace, list(found)))
    print(json.dumps(found[keyspace], indent=2, ensure_ascii=False))
    return DONE


def apply(target: Target, keyspace: str, path: Path) -> int:
    """Replaces the VSchema and says what changed."""
    raw = read_vschema(path)
    known = {k.name: len(k.shards) for k in target.config.keyspaces}
    if keyspace not in known:
        raise UsageError(_unknown(target, keyspace, list(known)))
    new = parse_vschema(keyspace, known[keyspace], raw)
    before = topology.view_version(target)

    async def work(store: Store) -> tuple[dict[str, Any], VSchema]:
        found = await _all(store)
        others = []
        for name, document in found.items():
            if name != keyspace:
                try:
                    others.append(vschema.parse(name, document))
                except VSchemaError:
                    continue  # broken before: not this change's fault
        had = VSchema(others).problems()
        wrong = [p for p in VSchema([*others, new]).problems() if p not in had]
        if wrong:
            raise UsageError(f"{path.name}: {wrong[0]}")
        await store.put(keys.vschema(keyspace), json.loads(raw))
        return found.get(keyspace, {}), VSchema([*others, new])

    old, whole = topology.ask(target, work)
    changed = changes(old, json.loads(raw))
    for line in (*changed, *new.warnings, *lookup_notes(target, whole, keyspace)):
        print(line)
    heard = topology.wait_heard(target, before) if changed else "nothing changed"
    print(f"VSchema of {keyspace}: {heard}")
    return DONE


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What differs, a line each: `+ table orders`, `- vindex hash`, `~ table customer`."""
    lines = []
    for kind, what in (("vindexes", "vindex"), ("tables", "table")):
        before, after = old.get(kind) or {}, new.get(kind) or {}
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                sign = "+" if name not in before else "-" if name not in after else "~"
                lines.append(f"{sign} {what} {name}")
    rest = {k for k in {*old, *new} - {"vindexes", "tables"} if old.get(k) != new.get(k)}
    lines += [f"~ {key}: {old.get(key)!r} -> {new.get(key)!r}" for key in sorted(rest)]
    return lines


async def _all(store: Store) -> dict[str, dict[str, Any]]:
    """The VSchema of each keyspace that has one."""
    records, _ = await store.list(keys.VSCHEMA)
    return {keys.last(key): record.value for key, record in records.items()}


def _unknown(target: Target, keyspace: str, known: list[str]) -> str:
    name = target.config.cluster.name
    return f"cluster {name} has no VSchema of keyspace '{keyspace}'; it has: {', '.join(known) or 'none'}"
