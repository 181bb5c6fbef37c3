"""`clusterctl drain`: this machine's router takes no new clients, and those that it has leave. `--undo` ends that.

It returns once nobody is connected any more. The router goes on to run, so that `clusterctl status` and /healthz (503)
say how it is; take it out of the load balancer first, stop it afterwards.
"""

import argparse
import asyncio
import os
import time
from typing import Any, Final

from cli.commands.status import router_view
from cli.errors import DONE, CommandError, UsageError
from cli.target import Target, find_started
from core.rpc import messages as m
from core.rpc.dealer import Dealer
from core.rpc.messages import Record
from core.rpc.zeromq import make_context
from router.workers.boot import control_endpoint

ANSWER_S: Final = 5.0
MARGIN_S: Final = 10.0


def run(args: argparse.Namespace) -> int:
    """Raises UsageError; CommandError where no router answers, or clients are left in the end."""
    target = find_started(args.file)
    if args.grace < 0 or args.limit < 0:
        raise UsageError("--grace and --limit are seconds, 0 or more")
    endpoint = control_endpoint(target.config, args.id)
    what = "undrain" if args.undo else "drain"
    answers = asyncio.run(_ask(endpoint, what, {"grace_s": args.grace, "limit_s": args.limit}))
    if answers is None:
        raise CommandError(f"no router {args.id} runs here; {target.command('up')} starts it")
    if args.undo:
        print(f"{args.id} takes clients again")
        return DONE
    print(
        f"{args.id} takes no new clients; idle ones leave within {args.grace:g} s, transactions within"
        f" {args.limit:g} s more",
        flush=True,
    )
    _follow(target, time.monotonic() + args.grace + args.limit + MARGIN_S)
    print(
        f"nobody is connected to {args.id} any more; {target.command('drain --undo')} lets clients in again"
    )
    return DONE


def _follow(target: Target, deadline_s: float) -> None:
    told = -1
    while True:
        view = router_view(target.config.router.http)
        if view is None:
            raise CommandError(f"the router does not answer any more; see {target.command('status')}")
        clients = int(view["router"]["clients"])
        if not clients:
            return
        who = "1 client is" if clients == 1 else f"{clients} clients are"
        if clients != told:
            told = clients
            print(f"{who} left", flush=True)
        if time.monotonic() > deadline_s:
            raise CommandError(f"{who} still connected; see the router's log")
        time.sleep(0.2)


async def _ask(endpoint: str, what: str, values: dict[str, Any]) -> list[Any] | None:
    """The workers' answers; None where no router answers."""
    if not os.path.exists(endpoint.removeprefix("ipc://")):
        return None
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[list[Any]] = loop.create_future()

    def on_record(record: Record) -> None:
        if record[0] == m.ANSWER and not answered.done():
            answered.set_result(record[2].get("answers", []))

    context = make_context()
    dealer = Dealer(
        loop,
        context,
        endpoint,
        f"clusterctl-{os.getpid()}".encode(),
        on_record,
        lambda: dealer.send((m.ASK, 1, what, values)),
        lambda reason: None,
    )
    try:
        return await asyncio.wait_for(answered, ANSWER_S)
    except TimeoutError:
        return None
    finally:
        dealer.close()
        context.destroy(linger=0)
