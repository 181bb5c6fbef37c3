"""What must be true before anything is started: first of the file, then of the machine. No check leaves a trace.

Wrong configuration is a UsageError (status 2); a machine that is not ready (port taken, no MySQL) is a
CommandError (status 1).
"""

import errno
import os
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cli import figures
from cli.cluster import external, room
from cli.errors import CommandError, UsageError
from cli.layout import Layout
from cli.local import LocalServerError, MysqldBinary, check_memory, find_etcd, find_mysqld
from cli.target import Target
from core.config import Config, Keyspace, parse_address
from router import vschema
from router.vschema import Keyspace as VSchemaKeyspace
from router.vschema import VSchema, VSchemaError
from router.workers.boot import workers_needed

_ETCD_TIMEOUT_S: Final = 3.0
_GREETING_S: Final = 1.0

_MYSQL_HOME_MAX_BYTES: Final = 360
"""FN_REFLEN of MySQL and MariaDB is 512; the longest file under a home, a table's with a long name, takes 150."""

_NEW_MYSQL_BYTES: Final = 170 << 20
"""Of a MySQL 9.7 that was just initialised: 90 MiB, and 64 MiB of redo log. A MariaDB takes half."""
_NEW_ETCD_BYTES: Final = 124 << 20
"""Two segments of its log."""
_RUN_BYTES: Final = 1 << 20
"""For logs and what lies under run/."""


@dataclass(frozen=True, slots=True)
class Servers:
    """The server binaries that this cluster needs; None where all of that kind are external."""

    etcd: Path | None
    mysqld: MysqldBinary | None


def check_file(target: Target) -> Servers:
    """What does not depend on what runs now. Raises UsageError or CommandError: one line that says what to do."""
    check_data_dir(target)
    check_addresses(target.config)
    check_vschemas(target.config)
    return find_servers(target.config)


def check_machine(target: Target) -> None:
    """Ports, etcd and the external MySQLs, as they are now. Raises UsageError or CommandError."""
    config = target.config
    kernel = room.read_kernel()
    warnings = room.warnings(config.router.max_connections, workers_needed(config), kernel)
    if over := check_budgets(config, kernel.memory_bytes):
        warnings.insert(0, over)
    for warning in warnings:
        print(f"note: {warning}", file=sys.stderr)
    for key, address in check_addresses(config):
        check_port(key, address)
    check_disk(target, _free_bytes(target.layout.data_dir))
    check_etcd(config)
    for keyspace in config.keyspaces:
        for item in keyspace.external:
            external.check(keyspace.name, item, config.tablet.pool_size)


def check_data_dir(target: Target) -> None:
    layout = target.layout
    if layout.data_dir.exists() and not layout.data_dir.is_dir():
        raise UsageError(f"[cluster] data_dir: {layout.data_dir} is a file; name a directory")
    if layout.is_foreign():
        raise UsageError(
            f"[cluster] data_dir: {layout.data_dir} holds files that are not of Sluice; name an empty or new directory"
        )
    parent = layout.data_dir
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise UsageError(f"[cluster] data_dir: {parent} is a file, so {layout.data_dir} cannot be in it")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UsageError(f"[cluster] data_dir: {parent} is not writable for this user")
    for keyspace in target.config.keyspaces:
        local = [shard for shard in keyspace.shards if keyspace.external_dsn(shard) is None]
        longest = max((len(os.fsencode(layout.mysql(keyspace.name, shard))) for shard in local), default=0)
        if longest > _MYSQL_HOME_MAX_BYTES:
            raise UsageError(
                f"[cluster] data_dir: {longest - _MYSQL_HOME_MAX_BYTES} bytes too long: a MySQL takes paths"
                " of at most 512 bytes, its own files included"
            )
        check_shards(layout, keyspace)


def check_disk(target: Target, free_bytes: int) -> None:
    """Raises CommandError where the disk of data_dir has no room for what is to be made there."""
    layout = target.layout
    need = _RUN_BYTES
    if not target.config.etcd.endpoints and not (layout.etcd / "data").is_dir():
        need += _NEW_ETCD_BYTES
    for keyspace in target.config.keyspaces:
        for shard in keyspace.shards:
            home = layout.mysql(keyspace.name, shard)
            if keyspace.external_dsn(shard) is None and not (home / "data").is_dir():
                need += _NEW_MYSQL_BYTES
    if free_bytes < need:
        raise CommandError(
            f"[cluster] data_dir: {layout.data_dir} needs {need >> 20} MiB more, its disk has {free_bytes >> 20} MiB"
            " left: free some, or name a directory on another disk"
        )


def _free_bytes(path: Path) -> int:
    """What this user may still write to the disk of `path`, which need not exist yet."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def check_shards(layout: Layout, keyspace: Keyspace) -> None:
    """Raises UsageError where data_dir holds rows of other shards than those that the file names."""
    homes = [
        home for home in (layout.data_dir / "mysql").glob(f"{keyspace.name}.*") if (home / "data").is_dir()
    ]
    there = {home.name.removeprefix(f"{keyspace.name}.") for home in homes}
    if there - set(keyspace.shards):
        raise UsageError(
            f"[[keyspaces]] {keyspace.name}: the file has shards {', '.join(keyspace.shards)}, but {layout.data_dir}"
            f" holds the rows of {', '.join(sorted(there))}; changing shards needs resharding. Put the old shards back"
            " into the file, or start a new cluster in another [cluster] data_dir"
        )


def check_addresses(config: Config) -> list[tuple[str, tuple[str, int]]]:
    """The addresses that this cluster listens on, with the keys that name them."""
    found = []
    for key, text in (("[router] mysql", config.router.mysql), ("[router] http", config.router.http)):
        address = parse_address(text, key)
        if address[1] == 0:
            raise UsageError(f"{key}: port 0 names no port; choose one from 1 to 65535")
        found.append((key, address))
    if found[0][1][1] == found[1][1][1]:
        raise UsageError(f"[router] mysql and [router] http both have port {found[0][1][1]}; choose two")
    return found


def check_port(key: str, address: tuple[str, int]) -> None:
    """Raises CommandError where `address` cannot be listened on now."""
    host, port = address
    try:
        family, kind, proto, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise UsageError(f"{key} = {host}:{port}: {error.strerror}") from None
    with socket.socket(family, kind, proto) as probe:
        # What a server sets: connections in TIME_WAIT do not count, another listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(where)
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                other = "another Sluice cluster" if _is_sluice(where) else "another program"
                raise CommandError(
                    f"{key} = {host}:{port}: the port is in use by {other}; stop it or choose another port"
                ) from None
            why = {
                errno.EADDRNOTAVAIL: "this machine does not have that address",
                errno.EACCES: "this user may not listen on that port; choose one above 1023",
            }.get(error.errno or 0, error.strerror)
            raise UsageError(f"{key} = {host}:{port}: {why}") from None


def _is_sluice(where: Any) -> bool:
    """Whether a router of some other cluster greets there."""
    try:
        with socket.create_connection(where[:2], _GREETING_S) as client:
            client.settimeout(_GREETING_S)
            return b"-Sluice" in client.recv(256)
    except OSError:
        return False


def check_etcd(config: Config) -> None:
    """Raises CommandError where none of the configured endpoints can be connected to."""
    why = ""
    for endpoint in config.etcd.endpoints:
        try:
            socket.create_connection(parse_address(endpoint, "[etcd] endpoints"), _ETCD_TIMEOUT_S).close()
            return
        except OSError as error:
            why = error.strerror or str(error)
    if why:
        raise CommandError(f"[etcd] endpoints: no connection to {', '.join(config.etcd.endpoints)}: {why}")


def find_servers(config: Config) -> Servers:
    """The binaries for what runs locally; checks that MySQL's memory bears the pool."""
    local_mysql = any(k.external_dsn(shard) is None for k in config.keyspaces for shard in k.shards)
    try:
        mysqld = find_mysqld(_binary(config)) if local_mysql else None
    except LocalServerError as error:
        if config.mysql.binary:
            text = str(error)
            raise UsageError(text if text.startswith("[") else f"[mysql] binary: {text}") from None
        raise CommandError(str(error)) from None
    try:
        etcd = None if config.etcd.endpoints else find_etcd()
    except LocalServerError as error:
        raise CommandError(str(error)) from None
    if mysqld is not None:
        try:
            check_memory(config.tablet.pool_size, mysqld.flavour, config.mysql.memory_bytes)
        except LocalServerError as error:
            raise UsageError(str(error)) from None
    return Servers(etcd, mysqld)


def check_budgets(config: Config, machine_bytes: int) -> str:
    """A warning where the local MySQLs' budgets go beyond the machine's memory, else empty.

    Raises UsageError where not even one of them fits.
    """
    each = config.mysql.memory_bytes
    count = sum(k.external_dsn(shard) is None for k in config.keyspaces for shard in k.shards)
    if count and each > machine_bytes:
        raise UsageError(
            f"[mysql] memory {config.mysql.memory} is more than this machine has ({machine_bytes / 2**30:.1f} GiB);"
            f" {count} local {'MySQL takes' if count == 1 else 'MySQLs take'} as much each: lower it"
        )
    if count * each > machine_bytes * figures.MEMORY_USE:
        return (
            f"[mysql] memory: {count} local {'MySQL' if count == 1 else 'MySQLs'} of {config.mysql.memory} may take"
            f" {count * each / 2**30:.1f} GiB; this machine has {machine_bytes / 2**30:.1f} GiB: lower it"
        )
    return ""


def _binary(config: Config) -> str:
    binary = config.mysql.binary
    return str(config.resolve(binary)) if "/" in binary else binary


def check_vschemas(config: Config) -> None:
    """Raises UsageError where a VSchema's file is broken, or names what no keyspace has."""
    parsed = []
    for keyspace in config.keyspaces:
        if keyspace.vschema:
            raw = read_vschema(config.resolve(keyspace.vschema))
            parsed.append(parse_vschema(keyspace.name, len(keyspace.shards), raw))
    # A keyspace without a file may get its VSchema live; only with all of them at hand are names surely wrong.
    problems = VSchema(parsed).problems() if len(parsed) == len(config.keyspaces) else ()
    if problems:
        raise UsageError(problems[0])


def read_vschema(path: Path) -> bytes:
    """The text of a VSchema's file. Raises UsageError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def parse_vschema(keyspace: str, shards: int, raw: bytes) -> VSchemaKeyspace:
    """The VSchema as the router understands it. Raises UsageError naming the place that is wrong."""
    try:
        parsed = vschema.parse(keyspace, raw)
    except VSchemaError as error:
        raise UsageError(str(error)) from None
    if shards > 1 and not parsed.sharded:
        raise UsageError(
            f'VSchema of keyspace {keyspace}: it has {shards} shards, so "sharded": true must stand there'
        )
    return parsed
