"""A connection to a cluster's etcd for the length of one command, and whether its router has heard of a change."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from cli import state as states
from cli.commands.status import router_view
from cli.errors import CommandError
from cli.target import Target, endpoints
from controlplane.topo.errors import TopoError
from controlplane.topo.store import Store

_T = TypeVar("_T")

HEARD_S: Final = 3.0


def ask(target: Target, work: Callable[[Store], Awaitable[_T]]) -> _T:
    """What `work(store)` gives. Raises CommandError where etcd does not answer, in one line."""
    where = endpoints(target)
    if not target.config.etcd.endpoints and not _local_etcd_runs(target):
        raise CommandError(f"nothing runs under {target.layout.data_dir}; start it: {target.command('up')}")

    async def run() -> _T:
        store = Store.connect(where, target.config.cluster.name)
        try:
            return await work(store)
        finally:
            await store.close()

    # What it logs is for processes that go on without etcd; here the error says it all.
    log = logging.getLogger("controlplane.topo")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        return asyncio.run(run())
    except TopoError as error:
        raise CommandError(f"{error}; see {target.command('status')}") from None
    finally:
        log.setLevel(level)


def _local_etcd_runs(target: Target) -> bool:
    """As far as the supervisor's file tells: where it tells nothing, etcd is asked."""
    state = states.read(target.layout) if target.layout.is_ours() else None
    etcd = next((p for p in state.processes if p.role == "etcd"), None) if state is not None else None
    return etcd is None or etcd.is_running()


def view_version(target: Target) -> int | None:
    """The version of the topology that the router and all of its workers have; None where it does not answer."""
    view = router_view(target.config.router.http)
    if view is None:
        return None
    workers = [int(w.get("view", 0)) for w in view.get("workers", []) if w.get("pid")]
    return min([int(view["router"]["topology_version"]), *workers])


def wait_heard(target: Target, before: int | None) -> str:
    """Waits until the router has a newer topology than `before`; says how it went, for a person."""
    if before is None:
        return "the router does not answer now; it takes the change up when it runs"
    deadline_s = time.monotonic() + HEARD_S
    while time.monotonic() < deadline_s:
        version = view_version(target)
        if version is not None and version > before:
            return "in effect in the router"
        time.sleep(0.05)
    return "written; the router has not confirmed it yet"
