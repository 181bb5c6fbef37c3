"""Writes a cluster's file into etcd: `python -m cli.cluster.seed FILE`, a short-lived process of `up`.

What it prints is shown as the step's note, or as the error where it ends with status 1.
"""

import asyncio
import json
import sys
from pathlib import Path

from controlplane.topo import layout
from controlplane.topo.errors import TopoError
from controlplane.topo.seed import seed
from controlplane.topo.store import Store
from core import config as configuration
from core.config import Config


async def _run(config: Config) -> None:
    store = Store.connect(config.etcd.endpoints, config.cluster.name)
    try:
        written = await seed(store, config)
        for keyspace in config.keyspaces:
            key = layout.vschema(keyspace.name)
            record = await store.get(key) if keyspace.vschema and key not in written else None
            if record is not None and record.value != json.loads(
                config.resolve(keyspace.vschema).read_bytes()
            ):
                print(
                    f"VSchema of {keyspace.name} differs from {keyspace.vschema}: what is live is kept"
                    f" (clusterctl vschema apply {keyspace.name} {keyspace.vschema} replaces it)"
                )
    finally:
        await store.close()


def main(argv: list[str]) -> int:
    config = configuration.load(Path(argv[0]))
    try:
        asyncio.run(_run(config))
    except TopoError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
