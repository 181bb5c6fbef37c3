"""`clusterctl`: arguments in, exit status out. 0 done, 1 failed, 2 wrong use or configuration.

Invariants: the first line on stderr says what is wrong; no command's module is imported before the arguments are
known to be right, so `--help` and mistakes are instant.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from cli.errors import FAILED, WRONG_USE, CommandError

COMMANDS: Final = {
    "up": "start what is missing; without a file: a two-shard demo",
    "down": "stop what runs under data_dir",
    "status": "every process and its state",
    "restart": "replace the workers of the router without dropping idle clients",
    "drain": "let the clients of this machine's router leave, and no new ones in",
    "dashboard": "the terminal dashboard",
    "vschema": "read or replace a keyspace's VSchema, live",
    "limits": "read or change admission limits, live",
    "users": "list, make, change or remove users, live",
    "plan": "settings and machine for so many clients and queries",
    "explain": "which shards, which plan, what each shard is sent",
    "bench": "load generators: bench --help",
}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in the first line, how it is used in the next ones."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{self.prog}: {message}\n{self.format_usage()}")
        sys.exit(WRONG_USE)


def build_parser() -> Parser:
    """All commands and their arguments."""
    common = Parser(add_help=False)
    # SUPPRESS: a -f before the command must not be overwritten by the default of the one after it.
    common.add_argument(
        "-f",
        "--file",
        default=argparse.SUPPRESS,
        metavar="FILE",
        help="the cluster's file (default: ./cluster.toml, else the demo)",
    )
    parser = Parser(
        prog="clusterctl",
        description="Runs and operates a Sluice cluster: sharded MySQL behind one address.",
        parents=[common],
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    made = {
        name: commands.add_parser(name, help=text, description=text, parents=[common], allow_abbrev=False)
        for name, text in COMMANDS.items()
        if name != "bench"
    }
    # Its own parser reads what follows, so that this one need not know the load generators.
    bench = commands.add_parser("bench", help=COMMANDS["bench"], add_help=False, prefix_chars="\0")
    bench.add_argument("rest", nargs=argparse.REMAINDER)

    made["up"].add_argument("--detach", action="store_true", help="return once every process serves")
    made["up"].add_argument(
        "--dashboard", action="store_true", help="show the dashboard once every process serves"
    )
    made["down"].add_argument("--purge", action="store_true", help="delete the data too")
    made["status"].add_argument("--json", action="store_true", help="for programs")

    made["restart"].add_argument("what", choices=["routers"], metavar="routers", help="what to restart")

    made["drain"].add_argument(
        "--grace",
        type=float,
        default=30.0,
        metavar="S",
        help="idle clients may stay for so long (default 30)",
    )
    made["drain"].add_argument(
        "--limit",
        type=float,
        default=30.0,
        metavar="S",
        help="then transactions may take so long (default 30)",
    )
    made["drain"].add_argument("--undo", action="store_true", help="let clients in again")
    made["drain"].add_argument("--id", default="router-1", metavar="ID", help="where roles run alone")

    made["dashboard"].add_argument("--once", action="store_true", help="print one frame and end")
    made["dashboard"].add_argument("--no-color", action="store_true", help="no colours (as with NO_COLOR)")

    vschema = made["vschema"].add_subparsers(
        dest="action", metavar="get|apply", required=True, parser_class=Parser
    )
    get = vschema.add_parser("get", parents=[common], help="print it as JSON")
    get.add_argument("keyspace", metavar="KEYSPACE")
    apply = vschema.add_parser("apply", parents=[common], help="replace it by a file's")
    apply.add_argument("keyspace", metavar="KEYSPACE")
    apply.add_argument("vschema_file", metavar="FILE")

    limits = made["limits"].add_subparsers(
        dest="action", metavar="list|set|unset", required=True, parser_class=Parser
    )
    listing = limits.add_parser("list", parents=[common], help="print all limits")
    listing.add_argument("--json", action="store_true", help="for programs")
    set_ = limits.add_parser("set", parents=[common], help="make or change the limit of a scope")
    set_.add_argument(
        "scope", metavar="SCOPE", help="cluster, keyspace:NAME, shard:KEYSPACE/SHARD or user:NAME"
    )
    set_.add_argument(
        "values",
        nargs="+",
        metavar="KEY=VALUE",
        help="connections=N: open at once; concurrency=N: statements that run at once; queue=N: statements over it that"
        " may wait in a router (default 0: refused at once); queue_ms=N: for so long (default 1000); dry_run=true:"
        " count, refuse nothing; KEY=none: not limited",
    )
    unset = limits.add_parser("unset", parents=[common], help="remove the limit of a scope")
    unset.add_argument("scope", metavar="SCOPE")

    users = made["users"].add_subparsers(
        dest="action",
        metavar="list|add|password|grant|revoke|set|remove|reset",
        required=True,
        parser_class=Parser,
    )
    listing = users.add_parser("list", parents=[common], help="print all users and their roles")
    listing.add_argument("--json", action="store_true", help="for programs")
    for name, text in (
        ("add", "make a user"),
        ("password", "give a user another password"),
        ("grant", "give a user roles: read, write, ddl, admin, each for all keyspaces or as read:KEYSPACE"),
        ("revoke", "take roles away"),
        ("set", "change what is not a role: TLS, connections, default keyspace"),
        ("remove", "remove a user; its sessions end"),
        ("reset", "take a user as cluster.toml has it: what was changed live is undone"),
    ):
        action = users.add_parser(name, parents=[common], help=text, description=text)
        action.add_argument("user", metavar="USER")
        if name in ("add", "password"):
            secret = action.add_mutually_exclusive_group()
            secret.add_argument(
                "--password-file", metavar="FILE", help="its first line; - for standard input"
            )
            secret.add_argument("--password-hash", metavar="HASH", help="*HEX or $A$..., as MySQL stores it")
        if name in ("grant", "revoke"):
            action.add_argument("roles", nargs="+", metavar="ROLE[:KEYSPACE]")
        if name in ("revoke", "remove"):
            action.add_argument(
                "--force", action="store_true", help="also of the last one with admin everywhere"
            )
        if name == "add":
            action.add_argument(
                "--roles", nargs="+", default=[], metavar="ROLE[:KEYSPACE]", help="default: none"
            )
        if name in ("add", "set"):
            action.add_argument("--require-tls", choices=["on", "off"], help="refuse logins without TLS")
            action.add_argument("--max-connections", type=int, metavar="N", help="0: not limited")
            action.add_argument("--default-keyspace", metavar="KEYSPACE")

    plan = made["plan"]
    plan.add_argument("--clients", type=int, required=True, metavar="N", help="connections held")
    plan.add_argument("--qps", type=float, required=True, metavar="Q", help="queries/s of all of them")
    plan.add_argument("--query-ms", type=float, required=True, metavar="MS", help="time of a query on MySQL")
    plan.add_argument(
        "--memory", metavar="SIZE", help="of the machine, for example 24GiB (default: this one's)"
    )
    plan.add_argument("--shards", type=int, default=1, metavar="N")
    plan.add_argument("--cores", type=int, default=0, metavar="N", help="default: this machine's")
    plan.add_argument(
        "--descriptors", type=int, default=0, metavar="N", help="of a process; default: as here"
    )
    plan.add_argument("--flavour", choices=["mysql", "mariadb"], default="mysql")
    plan.add_argument("--mysql-elsewhere", action="store_true", help="MySQLs and tablets have other machines")
    plan.add_argument("--json", action="store_true", help="for programs")

    made["explain"].add_argument("sql", metavar="SQL")
    made["explain"].add_argument(
        "-k", "--keyspace", default="", help="as if after USE (default: the first user's)"
    )
    made["explain"].add_argument("--json", action="store_true", help="for programs")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point; returns the exit status (argparse exits by itself on --help and wrong use)."""
    args = build_parser().parse_args(argv)
    args.file = getattr(args, "file", None)
    try:
        command = importlib.import_module(f"cli.commands.{args.command}")
        status: int = command.run(args)
    except CommandError as error:
        print(f"clusterctl: {error}", file=sys.stderr)
        return error.status
    except BrokenPipeError:
        # The reader of our output went away (`clusterctl status | head`): keep the interpreter from saying so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        # A full disk, a mount that went away, rights that changed: no fault of ours, so no traceback.
        where = f"{error.filename}: " if error.filename is not None else ""
        print(f"clusterctl: {where}{error.strerror or error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("clusterctl: interrupted", file=sys.stderr)
        return FAILED
    return status


if __name__ == "__main__":
    sys.exit(main())
