"""How the router's main process and its workers find each other."""

from types import SimpleNamespace
from typing import Any

import pytest

from core.rpc import messages as m
from router.daemon.main import RouterMain, WorkerState

Event = tuple[str, int, int, int]


@pytest.fixture
def main() -> Any:
    made: Any = RouterMain.__new__(RouterMain)
    made.sent = []
    made.told = []
    made.workers = {slot: WorkerState(slot, f"r.{slot}") for slot in range(2)}
    made.successors = {}
    made.succession = SimpleNamespace(retiring={}, exited=lambda pid: None)
    made.drained = SimpleNamespace(order=None)
    made.topology = SimpleNamespace(snapshot={"a": 1}, version=7)
    made.serving = SimpleNamespace(send=lambda identity, record: made.sent.append((identity, record)))
    made.forks = SimpleNamespace(events=lambda: [made.told.pop(0)] if made.told else [])
    made.loop = SimpleNamespace(time=lambda: 0.0)
    made.stopping = True  # nobody is started in the place of one that ends
    made._early = {}
    made._gone = lambda worker: setattr(worker, "pid", 0)
    return made


SNAPSHOT = (b"r.1.42", (m.SNAPSHOT, 7, {"a": 1}))


@pytest.mark.parametrize("worker_first", [False, True])
def test_a_worker_gets_the_snapshot_whoever_speaks_first(main: Any, worker_first: bool) -> None:
    def worker() -> None:
        main._on_record(b"r.1.42", [m.ATTACH, "r.1", 42])

    def fork_server() -> None:
        main.told.append(("started", 1, 42, 0))
        main._on_fork_events()

    for speak in (worker, fork_server) if worker_first else (fork_server, worker):
        assert main.sent == []
        speak()
    assert main.sent == [SNAPSHOT]
    assert main.workers[1].identity == b"r.1.42"
    assert not main._early


def test_one_that_ended_before_it_was_told_of_is_forgotten(main: Any) -> None:
    main._on_record(b"r.1.42", [m.ATTACH, "r.1", 42])
    main.told.append(("exited", 1, 42, 1))
    main._on_fork_events()
    assert not main._early
    assert main.sent == []
