"""Where the load goes: one shard's MySQL itself, and the router, as the same user on the same rows."""

from dataclasses import dataclass

from cli import state as states
from cli.bench.connection import Place
from cli.cluster import specs
from cli.errors import CommandError, UsageError
from cli.target import Target
from core.config import Config, Keyspace, parse_address
from core.process import is_alive


@dataclass(frozen=True, slots=True)
class Places:
    keyspace: str
    shard: str
    direct: Place
    router: Place
    targeted: Place
    """The router with the shard as the connection's database, for a table that the VSchema does not know."""


def find(target: Target, keyspace: str, shard: str, user: str, password: str | None) -> Places:
    """`keyspace` empty: the first one of one shard. Raises UsageError, CommandError."""
    config = target.config
    chosen = _keyspace(config, keyspace, shard)
    name = _shard(chosen, shard)
    user, password = _user(config, user, password)
    host, port = parse_address(config.router.mysql, "[router] mysql")
    host = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    router = Place("router", host, port, user, password, chosen.name)
    targeted = Place("router", host, port, user, password, f"{chosen.name}:{name}")
    return Places(chosen.name, name, _direct(target, chosen, name, user, password), router, targeted)


def router_place(target: Target, keyspace: str, user: str, password: str | None) -> Place:
    """The router alone."""
    config = target.config
    user, password = _user(config, user, password)
    host, port = parse_address(config.router.mysql, "[router] mysql")
    name = keyspace or next((u.default_keyspace for u in config.users if u.name == user), "")
    host = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return Place("router", host, port, user, password, name or config.keyspaces[0].name)


def _keyspace(config: Config, name: str, shard: str) -> Keyspace:
    if not name:
        for keyspace in config.keyspaces:
            if len(keyspace.shards) == 1:
                return keyspace
        raise UsageError("every keyspace has several shards: name one with --keyspace and --shard")
    for keyspace in config.keyspaces:
        if keyspace.name == name:
            if len(keyspace.shards) > 1 and not shard:
                raise UsageError(
                    f"keyspace {name} has the shards {', '.join(keyspace.shards)}: name one, such as"
                    f" --shard={keyspace.shards[0]}"
                )
            return keyspace
    known = ", ".join(k.name for k in config.keyspaces)
    raise UsageError(f"there is no keyspace '{name}'; known: {known}")


def _shard(keyspace: Keyspace, shard: str) -> str:
    if shard and shard not in keyspace.shards:
        raise UsageError(
            f"keyspace {keyspace.name} has no shard '{shard}'; it has {', '.join(keyspace.shards)}"
        )
    return shard or keyspace.shards[0]


def _user(config: Config, user: str, password: str | None) -> tuple[str, str]:
    if user:
        known = next((u for u in config.users if u.name == user), None)
        if password is None and known is not None:
            password = known.password
        if password is None:
            raise UsageError(f"the password of '{user}' does not stand in the cluster's file: add --password")
        return user, password
    for one in config.users:
        if one.password is not None:
            return one.name, one.password if password is None else password
    raise UsageError(
        "no user of the cluster's file has a plain password: name one with --user and --password"
    )


def _direct(target: Target, keyspace: Keyspace, shard: str, user: str, password: str) -> Place:
    dsn = keyspace.external_dsn(shard)
    if dsn is not None:
        if dsn.tls == "required":
            raise UsageError(
                f"the MySQL of {keyspace.name}/{shard} wants TLS, which the bench does not speak:"
                " choose another keyspace"
            )
        return Place("direct", dsn.host, dsn.port, dsn.user, dsn.password, dsn.database or keyspace.name)
    state = states.read(target.layout) if target.layout.is_ours() else None
    wanted = next(s for s in specs.shards(target.config) if (s.keyspace, s.name) == (keyspace.name, shard))
    for process in state.processes if state is not None else ():
        if process.name == wanted.mysqld and process.identity is not None and is_alive(process.identity):
            host, port = parse_address(process.address, wanted.mysqld)
            return Place("direct", host, port, user, password, keyspace.name)
    raise CommandError(
        f"the MySQL of {keyspace.name}/{shard} does not run under {target.layout.data_dir}:"
        f" {target.command('up')} starts it"
    )
