"""The arguments of `clusterctl bench`."""

import argparse
from collections.abc import Callable, Sequence

from cli.bench.workload import MODES
from cli.main import Parser


def parse(rest: Sequence[str], file: str | None) -> argparse.Namespace:
    """Exits by itself on --help (0) and wrong use (2)."""
    common = Parser(add_help=False)
    common.add_argument("-f", "--file", default=file, metavar="FILE", help="the cluster's file")
    common.add_argument("--keyspace", default="", help="default: the first one of one shard")
    common.add_argument("--user", default="", help="default: the first one with a plain password")
    common.add_argument("--password", default=None, help="default: as in the cluster's file")
    common.add_argument("--json", default="", metavar="FILE", help="write the figures there (-: to stdout)")
    one_shard = Parser(add_help=False)
    one_shard.add_argument("--shard", default="", help="default: the keyspace's only one")
    parser = Parser(prog="clusterctl bench", description="Load generators.", allow_abbrev=False)
    benches = parser.add_subparsers(
        dest="bench", metavar="oltp|memory|connections|overload", required=True, parser_class=Parser
    )

    oltp = benches.add_parser(
        "oltp",
        parents=[common, one_shard],
        allow_abbrev=False,
        help="the same load direct and through the router",
        description="Runs the same load on one shard's MySQL and through the router, in turn, and compares them.",
    )
    oltp.add_argument("--clients", type=_number(int, 1), default=32, metavar="N")
    oltp.add_argument("--seconds", type=_number(float, 0.1), default=10.0, metavar="S", help="in each place")
    oltp.add_argument("--slices", type=_number(int, 1), default=5, metavar="N", help="that S is divided into")
    oltp.add_argument("--rows", type=_number(int, 1), default=10_000, metavar="N")
    oltp.add_argument("--statement", choices=("text", "prepared"), default="text")
    oltp.add_argument("--mode", choices=MODES, default="point")
    oltp.add_argument("--processes", type=_number(int, 1), default=1, metavar="N", help="of the generator")
    oltp.add_argument("--seed", type=_number(int, 0), default=1, metavar="N")
    oltp.add_argument("--no-single", action="store_true", help="leave out the phase of one client")
    oltp.add_argument(
        "--profiles",
        type=_number(int, 1),
        default=0,
        metavar="N",
        help="compare clients that SET nothing with clients of N different settings, both through the router",
    )
    oltp.add_argument("--keep", action="store_true", help="leave the table there")
    oltp.add_argument("--sysbench", action="store_true", help="let sysbench make the load (mode point)")

    memory = benches.add_parser(
        "memory",
        parents=[common],
        allow_abbrev=False,
        help="what an idle client costs the router",
        description="Opens idle clients and measures what the router's workers grow by.",
    )
    memory.add_argument("--clients", type=_number(int, 1), default=5000, metavar="N")
    memory.add_argument(
        "--settle", type=_number(float, 0), default=2.0, metavar="S", help="wait before measuring"
    )
    many = benches.add_parser(
        "connections",
        parents=[common, one_shard],
        allow_abbrev=False,
        help="very many connections, verified and held, with live queries beside",
        description="Opens workers x per-worker connections, asks one SELECT on each, holds them, closes them.",
    )
    many.add_argument(
        "--workers", type=_number(int, 1), default=4, metavar="N", help="processes that connect"
    )
    many.add_argument(
        "--per-worker", type=_number(int, 1), default=2500, metavar="M", help="connections of each"
    )
    many.add_argument("--ramp", type=_number(float, 0), default=10.0, metavar="S", help="to open them in")
    many.add_argument("--hold", type=_number(float, 0), default=20.0, metavar="S", help="to hold them for")
    many.add_argument(
        "--live-qps", type=_number(float, 0), default=100.0, metavar="Q", help="queries a second"
    )
    many.add_argument(
        "--live-sql", default="SELECT {n}", help="its first column must be n (default: SELECT {n})"
    )
    many.add_argument(
        "--live-keys", type=_number(int, 1), default=1_000_000, metavar="N", help="n goes from 1 to N"
    )
    many.add_argument("--picture", default="", metavar="FILE", help="draw the run: FILE.svg and FILE.png")
    over = benches.add_parser(
        "overload",
        parents=[common, one_shard],
        allow_abbrev=False,
        help="what is left of the throughput under many times the load",
        description="Measures the best throughput of one pool, then goodput at a multiple of it.",
    )
    over.add_argument("--clients", type=_number(int, 1), default=1000, metavar="N")
    over.add_argument("--times", type=_number(float, 1), default=10.0, metavar="X", help="of the best rate")
    over.add_argument("--seconds", type=_number(float, 1), default=10.0, metavar="S", help="of each phase")
    over.add_argument(
        "--query-ms", type=_number(float, 1), default=20.0, metavar="MS", help="that a statement takes"
    )
    over.add_argument(
        "--deadline",
        type=_number(float, 0),
        default=0.0,
        metavar="S",
        help="later answers are no good (default: [tablet] queue_timeout_ms)",
    )
    args = parser.parse_args(rest)
    if args.bench == "oltp" and args.sysbench:
        if args.profiles:
            oltp.error("--profiles needs the own generator, not --sysbench")
        if args.mode != "point":
            oltp.error(f"--sysbench runs oltp_point_select; --mode {args.mode} is the own generator's")
        if args.seconds / args.slices < 1:
            oltp.error("--sysbench needs slices of a second at least: raise --seconds or lower --slices")
    return args


def _number(kind: type[int] | type[float], least: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = kind(-1)
        if not least <= value < 1e9:
            raise argparse.ArgumentTypeError(f"'{text}' is not a number from {least:g}")
        return value

    return read
