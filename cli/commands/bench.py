"""`clusterctl bench ...`: the project's own load generators, in cli.bench."""

import argparse
import importlib


def run(args: argparse.Namespace) -> int:
    """`args.rest`: everything after `bench`, for cli.bench's own parser (where -f is known too)."""
    status: int = importlib.import_module("cli.bench").main(args.rest, args.file)
    return status
