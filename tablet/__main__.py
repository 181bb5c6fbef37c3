"""`python -m tablet -f cluster.toml --keyspace K --shard S --listen ENDPOINT`: one tablet beside one MySQL.

Exit status: 0 after SIGTERM, 1 where it cannot serve (one line on stderr), 2 wrong use or configuration.
"""

import argparse
import gc
import logging
import os
import stat
import sys
from pathlib import Path

import uvloop

from core.config import Config, ConfigError, Dsn, load
from core.forkserver import GC_THRESHOLDS
from tablet.daemon.process import Identity, StartError, TabletProcess


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tablet", description="The tablet of one shard.")
    parser.add_argument("-f", "--file", type=Path, required=True, help="cluster.toml")
    parser.add_argument("--keyspace", required=True)
    parser.add_argument("--shard", required=True)
    parser.add_argument("--listen", required=True, metavar="ENDPOINT", help="ipc:///path or tcp://host:port")
    parser.add_argument("--dsn-file", type=Path, help="file of mode 0600 with one mysql:// line")
    parser.add_argument("--alias", help="name in the topology (default KEYSPACE-SHARD)")
    parser.add_argument(
        "--etcd", action="append", default=[], metavar="HOST:PORT", help="instead of [etcd] endpoints"
    )
    arguments = parser.parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("mysql.connector").setLevel(logging.WARNING)  # it tells each plugin it loads
    try:
        config = load(arguments.file)
        dsn = _dsn(config, arguments.keyspace, arguments.shard, arguments.dsn_file)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    identity = Identity(
        arguments.keyspace,
        arguments.shard,
        arguments.alias or f"{arguments.keyspace}-{arguments.shard}",
        arguments.listen,
    )
    etcd = tuple(arguments.etcd) or config.etcd.endpoints
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        uvloop.run(_run(config, dsn, identity, etcd))
    except StartError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


async def _run(config: Config, dsn: Dsn, identity: Identity, etcd: tuple[str, ...]) -> None:
    await TabletProcess(config, dsn, identity, etcd).run()


def _dsn(config: Config, keyspace: str, shard: str, dsn_file: Path | None) -> Dsn:
    """Where this shard's MySQL is. Raises ConfigError."""
    spec = next((k for k in config.keyspaces if k.name == keyspace), None)
    if spec is None:
        raise ConfigError(f"--keyspace: the configuration has no keyspace '{keyspace}'")
    if shard not in spec.shards:
        raise ConfigError(f"--shard: keyspace '{keyspace}' has no shard '{shard}'")
    external = spec.external_dsn(shard)
    if external is not None:
        return external
    if dsn_file is None:
        raise ConfigError(f"--dsn-file is missing: {keyspace}/{shard} has no external MySQL")
    try:
        mode = os.stat(dsn_file).st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise ConfigError(f"--dsn-file: others can read {dsn_file}; set its mode to 0600")
        text = dsn_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"--dsn-file: {error}") from None
    return Dsn.parse(text, "--dsn-file")


if __name__ == "__main__":
    sys.exit(main())
