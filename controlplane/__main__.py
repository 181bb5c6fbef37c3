"""`python -m controlplane -f cluster.toml`: the control plane's daemon. Several may run; one leads.

Exit status: 0 after SIGTERM, 1 where it fails, 2 wrong use or configuration.
"""

import argparse
import logging
import os
import socket
import sys
from pathlib import Path

import uvloop

from controlplane.daemon.process import ControlPlane
from controlplane.topo import layout
from controlplane.topo.errors import TopoError
from core.config import Config, ConfigError, load


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m controlplane", description="Sluice's control plane.")
    parser.add_argument("-f", "--file", type=Path, default=Path("cluster.toml"), help="the cluster's file")
    parser.add_argument("--id", default="", help="name in the topology (default: host and pid)")
    arguments = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s controlplane %(message)s", stream=sys.stderr
    )
    own_id = arguments.id or f"{socket.gethostname()}-{os.getpid()}"
    try:
        config = load(arguments.file)
        if not config.etcd.endpoints:
            raise ConfigError(
                "[etcd] endpoints is empty: name an etcd (host:port), or let clusterctl up start one"
            )
        layout.controlplane(own_id)
        layout.base(config.cluster.name)
    except (ConfigError, TopoError) as error:
        print(f"controlplane: {error}", file=sys.stderr)
        return 2
    try:
        uvloop.run(_run(config, own_id))
    except TopoError as error:
        print(f"controlplane: {error}", file=sys.stderr)
        return 2
    return 0


async def _run(config: Config, own_id: str) -> None:
    await ControlPlane(config, own_id).run()


if __name__ == "__main__":
    sys.exit(main())
