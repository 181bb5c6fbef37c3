"""The project's own load generators. `oltp`: the same load direct and through the router; `memory`: what an idle
client costs; `connections`: very many connections, verified, held, with live queries beside; `overload`: goodput
at many times the load that one pool bears.

The way of a run: `places` finds both ends, `table` makes the rows, `fleet` starts `generator` processes that drive
`connection`s with the statements of `workload`; `results` makes figures of their slices.
"""

import argparse
from collections.abc import Sequence

from cli.bench.arguments import parse
from cli.target import find


def main(rest: Sequence[str], file: str | None) -> int:
    """`rest`: what follows `clusterctl bench`; `file`: that of a -f before it."""
    args: argparse.Namespace = parse(rest, file)
    target = find(args.file)
    # Imported late: --help and mistakes are instant.
    if args.bench == "memory":
        from cli.bench import memory

        return memory.run(target, args)
    if args.bench == "connections":
        from cli.bench import connections

        return connections.run(target, args)
    if args.bench == "overload":
        from cli.bench import overload

        return overload.run(target, args)
    from cli.bench import oltp

    return oltp.run(target, args)
