"""`clusterctl dashboard`: the terminal dashboard of cli.dashboard."""

import argparse
import importlib

from cli.target import Target, find


def run(args: argparse.Namespace) -> int:
    return show(find(args.file))


def show(target: Target) -> int:
    """Returns when the person leaves it."""
    status: int = importlib.import_module("cli.dashboard").run(target)
    return status
