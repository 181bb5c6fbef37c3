"""Pure: which processes a cluster has on this machine, in which order they start, and their command lines.

Order: etcd and the MySQLs, then control plane and tablets, then the router; stopping goes the other way round,
so that no process loses what it still needs to end in order.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from cli.layout import Layout
from cli.local import Account, EtcdServer, MysqldBinary, MysqlServer, max_connections, socket_path
from cli.local.etcd import etcd_argv
from cli.local.mysql import start_argv
from core.config import Config, Dsn, parse_address
from core.supervise import ProcessSpec

LAYERS: Final = (("etcd",), ("mysqld",), ("controlplane", "tablet"), ("router",))
"""Roles in the order of their start."""

GRACE_S: Final = {"etcd": 10.0, "mysqld": 60.0, "controlplane": 5.0, "tablet": 10.0, "router": 15.0}
"""From SIGTERM to SIGKILL; a MySQL writes its buffers out."""

START_S: Final = {"etcd": 60.0, "mysqld": 180.0, "controlplane": 90.0, "tablet": 90.0, "router": 90.0}
"""How long `up` waits for one of that role to serve: a MySQL may have a crash to recover from, and thirty tablets that
start at once on two cores need half a minute."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard: its tablet, and its MySQL, local (`dsn` is None) or external."""

    keyspace: str
    name: str
    number: int
    """From 1, over the whole cluster."""
    dsn: Dsn | None

    @property
    def label(self) -> str:
        return f"{self.keyspace}-{self.name}"

    @property
    def alias(self) -> str:
        return f"tablet-{self.label}"

    @property
    def mysqld(self) -> str:
        return f"mysqld-{self.label}"


def shards(config: Config) -> list[Shard]:
    """All shards of all keyspaces, in the order of the file."""
    pairs = [(keyspace, shard) for keyspace in config.keyspaces for shard in keyspace.shards]
    return [
        Shard(keyspace.name, shard, number, keyspace.external_dsn(shard))
        for number, (keyspace, shard) in enumerate(pairs, 1)
    ]


def port_names(config: Config) -> list[str]:
    """What needs a port of its own: names for `ports.assign`."""
    names = [] if config.etcd.endpoints else ["etcd", "etcd-peer"]
    return names + [shard.mysqld for shard in shards(config) if shard.dsn is None]


def configured_ports(config: Config) -> set[int]:
    """The ports that the configuration itself names, which no local server may be given."""
    return {parse_address(text, "[router]")[1] for text in (config.router.mysql, config.router.http)}


def etcd_server(layout: Layout, binary: Path, ports: dict[str, int]) -> EtcdServer:
    return EtcdServer(binary, layout.etcd, ports["etcd"], ports["etcd-peer"])


def mysql_server(
    config: Config, layout: Layout, binary: MysqldBinary, shard: Shard, ports: dict[str, int]
) -> MysqlServer:
    return MysqlServer(
        binary=binary,
        home=layout.mysql(shard.keyspace, shard.name),
        port=ports[shard.mysqld],
        max_connections=max_connections(config.tablet.pool_size),
        memory_bytes=config.mysql.memory_bytes,
        server_id=shard.number,
    )


def etcd_spec(layout: Layout, server: EtcdServer) -> ProcessSpec:
    return ProcessSpec(
        "etcd", "etcd", tuple(etcd_argv(server)), layout.log("etcd"), layout.run, server.endpoint,
        grace_s=GRACE_S["etcd"],
    )  # fmt: skip


def mysqld_spec(layout: Layout, server: MysqlServer, shard: Shard) -> ProcessSpec:
    return ProcessSpec(
        name=shard.mysqld,
        role="mysqld",
        argv=tuple(start_argv(server)),
        log=layout.log(shard.mysqld),
        cwd=server.home,
        address=f"127.0.0.1:{server.port}",
        keyspace=shard.keyspace,
        shard=shard.name,
        grace_s=GRACE_S["mysqld"],
        own_log=server.log,
    )


def controlplane_spec(layout: Layout) -> ProcessSpec:
    return ProcessSpec(
        "controlplane", "controlplane", _python("controlplane", layout), layout.log("controlplane"), layout.run,
        grace_s=GRACE_S["controlplane"],
    )  # fmt: skip


def tablet_spec(layout: Layout, shard: Shard, dsn_file: Path | None) -> ProcessSpec:
    """`dsn_file` holds the address and password of a local MySQL; an external one stands in the cluster's file."""
    endpoint = f"ipc://{socket_path(layout.run, shard.alias + '.sock')}"
    argv = [*_python("tablet", layout), "--keyspace", shard.keyspace, f"--shard={shard.name}"]
    argv += ["--listen", endpoint, "--alias", shard.alias]
    if dsn_file is not None:
        argv += ["--dsn-file", str(dsn_file)]
    return ProcessSpec(
        name=shard.alias,
        role="tablet",
        argv=tuple(argv),
        log=layout.log(shard.alias),
        cwd=layout.run,
        address=endpoint,
        keyspace=shard.keyspace,
        shard=shard.name,
        grace_s=GRACE_S["tablet"],
    )


def router_spec(layout: Layout, config: Config) -> ProcessSpec:
    return ProcessSpec(
        "router", "router", _python("router", layout), layout.log("router"), layout.run, config.router.mysql,
        grace_s=GRACE_S["router"],
    )  # fmt: skip


def local_dsn(account: Account, database: str) -> str:
    """The address of a local shard for its tablet; `core.config.Dsn.parse` reads it."""
    user, password, name = (quote(part, safe="") for part in (account.user, account.password, database))
    return f"mysql://{user}:{password}@127.0.0.1/{name}?socket={quote(str(account.socket), safe='/')}"


def _python(module: str, layout: Layout) -> tuple[str, ...]:
    # -P: a folder in the working directory must not stand in for one of our packages.
    return (sys.executable, "-P", "-m", module, "-f", str(layout.effective))
