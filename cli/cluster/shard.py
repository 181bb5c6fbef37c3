"""What one shard's MySQL needs before a tablet can serve it: data directory, account, database, schema, users.

Blocking calls, each idempotent; the runner gives them a thread. Errors are CommandErrors.
"""

from pathlib import Path

from cli.cluster import external, specs
from cli.cluster.specs import Shard
from cli.errors import CommandError
from cli.layout import Layout, write_whole
from cli.local import (
    DirectUser,
    LocalServerError,
    MysqlServer,
    SchemaRun,
    create_database,
    create_users,
    ensure_account,
    initialise,
    run_schema,
)
from core.config import Config, Keyspace


def initialise_local(server: MysqlServer) -> None:
    """Makes the data directory where there is none."""
    try:
        initialise(server)
    except LocalServerError as error:
        raise CommandError(str(error)) from None


def prepare_local(config: Config, server: MysqlServer, shard: Shard) -> tuple[Path, str]:
    """For a server that runs: the file with its address for the tablet, and a note for the person starting it."""
    keyspace = keyspace_of(config, shard)
    notes = []
    try:
        account = ensure_account(server)
        create_database(server, shard.keyspace)
        if keyspace.schema:
            ran = run_schema(server, shard.keyspace, config.resolve(keyspace.schema))
            notes += [f"{keyspace.schema}: {ran.value}"] if ran is not SchemaRun.ALREADY else []
        users = [DirectUser(u.name, u.password, u.password_hash) for u in config.users]
        left_out = create_users(server, users, shard.keyspace)
        if left_out:
            notes.append(
                f"no direct login for {', '.join(left_out)}: {server.binary.flavour} cannot use the hash"
            )
    except LocalServerError as error:
        raise CommandError(f"{shard.mysqld}: {error}") from None
    dsn_file = server.home / "tablet.dsn"
    write_whole(dsn_file, specs.local_dsn(account, shard.keyspace) + "\n")
    return dsn_file, "; ".join(notes)


def prepare_external(config: Config, layout: Layout, shard: Shard) -> str:
    """Runs the keyspace's schema on an external shard, once; returns a note."""
    keyspace = keyspace_of(config, shard)
    if not keyspace.schema:
        return ""
    item = next(e for e in keyspace.external if e.shard == shard.name)
    ran = external.run_schema(layout, keyspace.name, item, config.resolve(keyspace.schema))
    return f"{keyspace.schema}: ran" if ran else ""


def keyspace_of(config: Config, shard: Shard) -> Keyspace:
    return next(k for k in config.keyspaces if k.name == shard.keyspace)
