"""`python -m router -f cluster.toml`: the router's main process.

Order matters: configuration, then everything that is shared by fork (keys, counters, imported modules), then the
fork server, and only then loops, threads, gRPC and ZeroMQ.
"""

import argparse
import logging
import sys
from pathlib import Path

from core.config import Config, ConfigError, load
from core.forkserver import ForkServer, die_with_parent
from router.workers.boot import Boot, make_boot, workers_needed
from router.workers.worker import run as run_worker


def main() -> int:
    """Exit status: 0 stopped in order, 1 failed, 2 wrong configuration."""
    parser = argparse.ArgumentParser(prog="python -m router", description="The router of a Sluice cluster.")
    parser.add_argument("-f", "--file", type=Path, default=Path("cluster.toml"), help="the cluster's file")
    parser.add_argument("--id", default="router-1", help="this router's name in the cluster")
    parser.add_argument(
        "--number", type=int, default=1, help="this router's number, 1 to 255, part of connection ids"
    )
    parser.add_argument("--with-parent", action="store_true", help="end when the starting process ends")
    arguments = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s router %(message)s", stream=sys.stderr
    )
    if arguments.with_parent:
        die_with_parent()
    try:
        config = load(arguments.file)
        boot = make_boot(config, arguments.id, arguments.number)
    except ConfigError as error:
        print(f"router: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"router: {error}", file=sys.stderr)
        return 1
    return _serve(config, boot)


def _serve(config: Config, boot: Boot) -> int:
    server = ForkServer(lambda slot, tag, sock: run_worker(boot, slot, tag, sock), boot.address, boot.backlog)
    from router.daemon.main import run as run_main  # loads gRPC's module: only the main process needs it

    return run_main(config, boot, server, workers_needed(config))


if __name__ == "__main__":
    sys.exit(main())
