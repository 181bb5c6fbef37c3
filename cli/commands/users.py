"""`clusterctl users list|add|password|grant|revoke|set|remove|reset`: users of the cluster, live within a second.

Changes are records in etcd, which stand in the place of cluster.toml's user of that name from then on.

Invariants: a password is never an argument (others see those), never printed, and never written but as what the two
plugins check; what cannot be is not written; two people who change one user at once do not undo each other.
"""

import argparse
import getpass
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from cli import invocation, topology
from cli.errors import DONE, CommandError, UsageError
from cli.target import Target, find
from controlplane.topo import layout as keys
from controlplane.topo.errors import TopoError
from controlplane.topo.records import UserRecord
from controlplane.topo.store import Store
from controlplane.topo.values import Record
from core.config import Config, User
from core.users import RoleError, grants_of, parse_role
from wire.passwords import account_from_hash, caching_sha2_hash_hex, native_hash
from wire.scramble import make_nonce

_TRIES: Final = 8
ADMIN: Final = "admin"
_SALT_BYTES: Final = 20

Change = Callable[[UserRecord | None], UserRecord]


def run(args: argparse.Namespace) -> int:
    """Raises UsageError, CommandError."""
    target = find(args.file)
    if args.action == "list":
        return show(target, args.json)
    if args.action == "reset":
        return _reset(target, args.user)
    change = _removed if args.action == "remove" else _CHANGES[args.action](target.config, args)
    return _change(target, args.user, change, force=getattr(args, "force", False))


# ---- what is there


@dataclass(frozen=True, slots=True)
class Shown:
    """A user as `list` shows it. `source`: `cluster.toml`, or `etcd`."""

    name: str
    source: str
    roles: tuple[str, ...]
    require_tls: bool
    max_connections: int
    default_keyspace: str
    plugins: tuple[str, ...]


def everyone(config: Config, live: dict[str, Any]) -> list[Shown]:
    """The users of the file and of etcd's records by name, as routers take them."""
    found = {user.name: _shown(record_of(user), "cluster.toml") for user in config.users}
    for name, value in live.items():
        try:
            record = UserRecord.from_json(keys.user(name), value)
        except TopoError:
            found[name] = Shown(name, "etcd: broken record, locked out", (), False, 0, "", ())
            continue
        if record.removed:
            found.pop(name, None)
        else:
            found[name] = _shown(record, "etcd")
    return [found[name] for name in sorted(found)]


def _shown(record: UserRecord, source: str) -> Shown:
    plugins = [name for name, has in (("native", record.native), ("caching_sha2", record.sha2)) if has]
    return Shown(
        record.name,
        source,
        record.roles,
        record.require_tls,
        record.max_connections,
        record.default_keyspace,
        tuple(plugins) or ("empty password",),
    )


def show(target: Target, as_json: bool) -> int:
    """All users, without anything of their passwords but which plugins can check them."""

    async def work(store: Store) -> dict[str, Record]:
        return (await store.list(keys.USERS))[0]

    live = {key.removeprefix(keys.USERS): r.value for key, r in topology.ask(target, work).items()}
    found = everyone(target.config, live)
    if as_json:
        print(json.dumps([{f: getattr(one, f) for f in Shown.__slots__} for one in found], indent=1))
        return DONE
    for one in found:
        more = [f"default {one.default_keyspace}"] if one.default_keyspace else []
        more += ["TLS required"] if one.require_tls else []
        more += [f"at most {one.max_connections} connections"] if one.max_connections else []
        print(f"{one.name:<20} {' '.join(one.roles) or '-':<28} {one.source:<13} {', '.join(more)}".rstrip())
    if not found:
        print("there are no users: nobody can log in")
    return DONE


# ---- changes


def record_of(user: User) -> UserRecord:
    """A user of the file as a record; its password becomes what checks it."""
    native = sha2 = ""
    if user.password_hash is not None:
        native, sha2 = _verifiers_of_hash(user.password_hash, f"[[users]] {user.name} password_hash")
    elif user.password:
        native, sha2 = _verifiers(user.password)
    return UserRecord(
        name=user.name,
        native=native,
        sha2=sha2,
        empty_password=not native and not sha2,
        default_keyspace=user.default_keyspace,
        roles=user.roles,
        require_tls=user.require_tls,
        max_connections=user.max_connections,
    )


def _verifiers(password: str) -> tuple[str, str]:
    """What mysql_native_password and caching_sha2_password check; empty for an empty password."""
    if not password:
        return "", ""
    return native_hash(password), caching_sha2_hash_hex(password, make_nonce(os.urandom(_SALT_BYTES)))


def _verifiers_of_hash(password_hash: str, key: str) -> tuple[str, str]:
    """One of the two is empty. Raises UsageError."""
    try:
        account = account_from_hash(password_hash)
    except ValueError as error:
        raise UsageError(f"{key}: {error}") from None
    if account.native is not None:
        return "*" + account.native.hex().upper(), ""
    assert account.crypt is not None
    return "", "0x" + account.crypt.encode().hex().upper()


def _password(args: argparse.Namespace) -> tuple[str, str]:
    """The verifiers of the password that is given, asked for where none is. Raises UsageError, CommandError."""
    if args.password_hash is not None:
        return _verifiers_of_hash(args.password_hash, "--password-hash")
    if args.password_file is not None:
        return _verifiers(_first_line(args.password_file))
    if not sys.stdin.isatty():
        raise UsageError("where is the password? give --password-file FILE (- for standard input)")
    try:
        first = getpass.getpass(f"password of {args.user}: ")
        if first != getpass.getpass("once more: "):
            raise CommandError("the two passwords differ; nothing was changed")
    except EOFError:
        raise CommandError("no password was given; nothing was changed") from None
    return _verifiers(first)


def _first_line(file: str) -> str:
    try:
        text = sys.stdin.readline() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"--password-file {file} cannot be read: {error}") from None
    return text.partition("\n")[0].rstrip("\r")


def _roles(config: Config, roles: list[str]) -> tuple[str, ...]:
    """Raises UsageError."""
    known = {keyspace.name for keyspace in config.keyspaces}
    found = []
    for text in roles:
        try:
            role = parse_role(text)
        except RoleError as error:
            raise UsageError(str(error)) from None
        if role.keyspace and role.keyspace not in known:
            raise UsageError(
                f"{text}: there is no keyspace '{role.keyspace}'; known: {', '.join(sorted(known))}"
            )
        found.append(str(role))
    return tuple(dict.fromkeys(found))


def _options(config: Config, args: argparse.Namespace) -> dict[str, Any]:
    """What --require-tls, --max-connections and --default-keyspace change. Raises UsageError."""
    changes: dict[str, Any] = {}
    if args.require_tls is not None:
        changes["require_tls"] = args.require_tls == "on"
    if args.max_connections is not None:
        if args.max_connections < 0:
            raise UsageError("--max-connections is 0 (not limited) or more")
        changes["max_connections"] = args.max_connections
    if args.default_keyspace is not None:
        if args.default_keyspace and args.default_keyspace not in {k.name for k in config.keyspaces}:
            raise UsageError(f"--default-keyspace: there is no keyspace '{args.default_keyspace}'")
        changes["default_keyspace"] = args.default_keyspace
    return changes


def _add(config: Config, args: argparse.Namespace) -> Change:
    roles, options = _roles(config, args.roles), _options(config, args)
    native, sha2 = _password(args)

    def change(old: UserRecord | None) -> UserRecord:
        if old is not None:
            raise CommandError(f"the user '{args.user}' exists; change it with users password, grant, set")
        return UserRecord(args.user, native, sha2, not native and not sha2, roles=roles, **options)

    return change


def _new_password(config: Config, args: argparse.Namespace) -> Change:
    del config
    native, sha2 = _password(args)
    return lambda old: replace(
        _existing(old, args.user), native=native, sha2=sha2, empty_password=not native and not sha2
    )


def _grant(config: Config, args: argparse.Namespace) -> Change:
    roles = _roles(config, args.roles)

    def change(old: UserRecord | None) -> UserRecord:
        user = _existing(old, args.user)
        return replace(user, roles=tuple(dict.fromkeys((*user.roles, *roles))))

    return change


def _revoke(config: Config, args: argparse.Namespace) -> Change:
    roles = _roles(config, args.roles)

    def change(old: UserRecord | None) -> UserRecord:
        user = _existing(old, args.user)
        missing = [role for role in roles if role not in user.roles]
        if missing:
            has = " ".join(user.roles) or "none"
            raise CommandError(f"the user '{args.user}' has no role {missing[0]} to take away (has: {has})")
        return replace(user, roles=tuple(role for role in user.roles if role not in roles))

    return change


def _set(config: Config, args: argparse.Namespace) -> Change:
    options = _options(config, args)
    if not options:
        raise UsageError("nothing to set; give --require-tls, --max-connections or --default-keyspace")
    return lambda old: replace(_existing(old, args.user), **options)


def _removed(old: UserRecord | None) -> UserRecord:
    if old is None:
        raise CommandError("there is no such user")
    # the record stays, since cluster.toml may name the user too
    return UserRecord(old.name, "", "", removed=True)


def _existing(old: UserRecord | None, name: str) -> UserRecord:
    if old is None:
        raise CommandError(f"there is no user '{name}'; {invocation.name()} users list shows them")
    return old


_CHANGES: Final[dict[str, Callable[[Config, argparse.Namespace], Change]]] = {
    "add": _add,
    "password": _new_password,
    "grant": _grant,
    "revoke": _revoke,
    "set": _set,
}


def _reset(target: Target, name: str) -> int:
    """Deletes etcd's record, so that the file's user of that name counts again. Raises UsageError."""
    of_file = next((user for user in target.config.users if user.name == name), None)
    if of_file is None:
        raise UsageError(
            f"{target.config.path.name} has no user '{name}'; users remove takes one of etcd away"
        )
    before = topology.view_version(target)

    async def work(store: Store) -> bool:
        return await store.delete(keys.user(name))

    heard = topology.wait_heard(target, before) if topology.ask(target, work) else "nothing changed"
    print(f"{name}: as {target.config.path.name} has it, roles {' '.join(of_file.roles) or 'none'}; {heard}")
    return DONE


def loses_last_admin(name: str, old: UserRecord, new: UserRecord, all_users: list[Shown]) -> bool:
    """Whether after the change nobody has admin everywhere any more, though `name` had."""
    if ADMIN not in old.roles or (ADMIN in new.roles and not new.removed):
        return False
    return not any(ADMIN in one.roles for one in all_users if one.name != name)


def _change(target: Target, name: str, change: Change, *, force: bool = False) -> int:
    """Writes what `change` makes of the user as it is. Raises CommandError, UsageError."""
    try:
        key = keys.user(name)
    except TopoError as error:
        raise UsageError(str(error)) from None
    of_file = next((record_of(user) for user in target.config.users if user.name == name), None)
    before = topology.view_version(target)

    async def work(store: Store) -> tuple[UserRecord, bool]:
        for _ in range(_TRIES):
            found = await store.get(key)
            old = of_file
            if found is not None:
                old = UserRecord.from_json(key, found.value)
                if old.removed:
                    old = None
            new = change(old)
            grants_of(new.roles)
            if old is not None and not force:
                live = {
                    k.removeprefix(keys.USERS): r.value for k, r in (await store.list(keys.USERS))[0].items()
                }
                if loses_last_admin(name, old, new, everyone(target.config, live)):
                    raise CommandError(
                        f"'{name}' is the last user with admin everywhere: grant it to another one first, or --force"
                    )
            if found is not None and found.value == new.to_json():
                return new, False
            if await store.swap(key, new.to_json(), found.mod_revision if found is not None else 0):
                return new, True
        raise CommandError(f"the user '{name}' is being changed by others; try again")

    new, changed = topology.ask(target, work)
    heard = topology.wait_heard(target, before) if changed else "nothing changed"
    what = "removed" if new.removed else f"roles {' '.join(new.roles) or 'none'}"
    print(f"{name}: {what}; {heard}")
    if of_file is not None:
        undo = target.command(f"users reset {name}")
        how = "keeps it out" if new.removed else "counts"
        print(
            f"note: {target.config.path.name} names '{name}' too; the record in etcd {how}, {undo} undoes it"
        )
    if not new.removed and not new.roles:
        print(f"note: without roles it may do nothing: {target.command(f'users grant {name} ROLE')}")
    return DONE
