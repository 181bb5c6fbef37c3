"""`clusterctl limits list|set|unset`: admission limits, live within a second, no restart.

Invariants: what cannot be is never written; two people who change one limit at once do not undo each other, since
a change is written only over the record it was made from.
"""

import argparse
import json
from typing import Any

from cli import topology
from cli.commands.status import router_view
from cli.errors import DONE, CommandError, UsageError
from cli.target import Target, find
from controlplane.topo import layout as keys
from controlplane.topo.store import Store
from controlplane.topo.values import Record
from core.limits import Limit, LimitError, Scope, parse_assignments, parse_scope

_TRIES = 8


def run(args: argparse.Namespace) -> int:
    target = find(args.file)
    if args.action == "list":
        return show(target, args.json)
    try:
        scope = parse_scope(args.scope)
        if args.action == "unset":
            return unset(target, scope)
        parse_assignments(args.values, Limit(connections=1, concurrency=1))  # wrong use, whatever etcd holds
    except LimitError as error:
        raise UsageError(str(error)) from None
    return set_(target, scope, args.values)


def show(target: Target, as_json: bool) -> int:
    """All limits; with what the router says is in use, where it answers."""

    async def work(store: Store) -> dict[str, Record]:
        return (await store.list(keys.LIMITS))[0]

    records = {key.removeprefix(keys.LIMITS): r.value for key, r in topology.ask(target, work).items()}
    if as_json:
        print(json.dumps(records, indent=1))
        return DONE
    used = _in_use(target)
    for scope, value in sorted(records.items()):
        print(f"{scope:<32} {_text(value)}{used.get(scope, '')}")
    if not records:
        print("no limits are set")
    return DONE


def _in_use(target: Target) -> dict[str, str]:
    view = router_view(target.config.router.http) or {}
    found: dict[str, str] = {}
    for rule in view.get("limits", []):
        if isinstance(rule, dict) and {"scope", "key", "used"} <= rule.keys():
            scope = str(rule["scope"])
            found[scope] = found.get(scope, "") + f"  [{rule['key']} in use: {rule['used']}]"
    return found


def set_(target: Target, scope: Scope, assignments: list[str]) -> int:
    """Makes the scope's limit, or changes what is named of it."""
    check_scope(target, scope)
    key = keys.limit(str(scope))
    before = topology.view_version(target)

    async def work(store: Store) -> tuple[dict[str, Any], dict[str, Any]]:
        await _check_user(target, scope, store)
        for _ in range(_TRIES):
            record = await store.get(key)
            try:
                old = Limit.from_json(record.value) if record is not None else None
            except LimitError:
                old = None  # written by hand and broken: replaced
            new = parse_assignments(assignments, old).to_json()
            if await store.swap(key, new, record.mod_revision if record is not None else 0):
                return (record.value if record is not None else {}), new
        raise CommandError(f"the limit of {scope} is being changed by others; try again")

    try:
        had, has = topology.ask(target, work)
    except LimitError as error:
        raise UsageError(str(error)) from None
    heard = topology.wait_heard(target, before) if had != has else "nothing changed"
    print(f"{scope}: {_text(has)}; {heard}")
    return DONE


def unset(target: Target, scope: Scope) -> int:
    """Removes the scope's limit; it is no error where there is none."""
    before = topology.view_version(target)

    async def work(store: Store) -> bool:
        return await store.delete(keys.limit(str(scope)))

    if topology.ask(target, work):
        print(f"{scope}: not limited; {topology.wait_heard(target, before)}")
    else:
        print(f"{scope} had no limit")
    return DONE


def _text(value: dict[str, Any]) -> str:
    try:
        return str(Limit.from_json(value))
    except LimitError as error:
        return f"broken record: {error}"


def check_scope(target: Target, scope: Scope) -> None:
    """Raises UsageError for a keyspace or shard that the cluster does not have; users are etcd's to know."""
    shards = {k.name: k.shards for k in target.config.keyspaces}
    if scope.keyspace and scope.keyspace not in shards:
        raise UsageError(f"{scope}: there is no keyspace '{scope.keyspace}'; known: {', '.join(shards)}")
    if scope.shard and scope.shard not in shards[scope.keyspace]:
        has = ", ".join(shards[scope.keyspace])
        raise UsageError(f"{scope}: keyspace {scope.keyspace} has no shard '{scope.shard}'; it has {has}")


async def _check_user(target: Target, scope: Scope, store: Store) -> None:
    """Raises UsageError for a user that neither the file nor etcd has."""
    if not scope.user:
        return
    record = await store.get(keys.user(scope.user))
    in_file = scope.user in {u.name for u in target.config.users}
    if record.value.get("removed") if record is not None else not in_file:
        raise UsageError(
            f"{scope}: there is no user '{scope.user}'; {target.command('users list')} shows them"
        )
