"""`clusterctl dashboard`: the terminal dashboard of cli.dashboard."""

import argparse
import importlib

from cli.target import Target, find_started


def run(args: argparse.Namespace) -> int:
    return show(find_started(args.file), once=args.once, no_color=args.no_color)


def show(target: Target, *, once: bool = False, no_color: bool = False, quits: str = "quit") -> int:
    """Returns when the person leaves it, or after one frame."""
    dashboard = importlib.import_module("cli.dashboard")
    status: int = dashboard.run(target, once=once, no_color=no_color, quits=quits)
    return status
