"""Writes a cluster's file into etcd: `python -m cli.cluster.seed FILE`, a short-lived process of `up`.

What it prints is shown as the step's note, or as the error where it ends with status 1.
"""

import asyncio
import sys
from pathlib import Path

from controlplane.topo.errors import TopoError
from controlplane.topo.seed import seed
from controlplane.topo.store import Store
from core import config as configuration
from core.config import Config


async def _run(config: Config) -> None:
    store = Store.connect(config.etcd.endpoints, config.cluster.name)
    try:
        await seed(store, config)
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
