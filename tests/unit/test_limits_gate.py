"""What passes the gate, waits before it, or is refused, over two workers of a router."""

import pytest

from core.clock import FakeClock
from core.errors import SluiceError
from core.limits import Gate, Limit, LimitTable, SharedCounters, SlotTable, to_snapshot
from core.limits.table import Rules


class Workers:
    """Two gates on one set of counters."""

    def __init__(self, **limits: Limit) -> None:
        self.counters = SharedCounters(16, 2)
        self.slots = SlotTable(self.counters)
        self.clock = FakeClock()
        self.gates = [Gate(self.counters, worker, self.clock) for worker in range(2)]
        self.table = self.compile(limits)

    def compile(self, limits: dict[str, Limit]) -> LimitTable:
        named = {name.replace("_", ":", 1): limit for name, limit in limits.items()}
        return LimitTable.from_snapshot(to_snapshot(named, {}, ["r"], "r", self.slots))

    def query(self, user: str = "app") -> Rules:
        return self.table.for_query(user, "commerce", "-80")

    def held(self) -> int:
        return sum(self.counters.total(slot) for slot in range(16))


def never(error: SluiceError | None) -> None:
    raise AssertionError(f"answered: {error}")


def test_over_the_limit_is_refused_at_once() -> None:
    w = Workers(keyspace_commerce=Limit(concurrency=2))
    assert w.gates[0].enter(w.query(), never) is None
    assert w.gates[1].enter(w.query(), never) is None
    with pytest.raises(SluiceError) as caught:
        w.gates[0].enter(w.query(), never)
    assert caught.value.code.name == "LIMIT_CONCURRENCY"
    assert "keyspace:commerce concurrency = 2 is reached: 2 queries run" in caught.value.message
    w.gates[1].leave(w.query())
    assert w.gates[0].enter(w.query(), never) is None
    assert w.gates[0].refused == {"keyspace:commerce concurrency": 1}


def test_a_users_limits_are_error_1226() -> None:
    w = Workers(user_app=Limit(concurrency=0, connections=1))
    with pytest.raises(
        SluiceError, match=r"'concurrency' resource \(current value: 0; 0 queries run"
    ) as caught:
        w.gates[0].enter(w.query(), never)
    assert caught.value.number == 1226
    w.gates[0].login(w.table.for_login("app"))
    with pytest.raises(SluiceError, match=r"'max_user_connections' resource \(current value: 1\)") as caught:
        w.gates[1].login(w.table.for_login("app"))
    assert caught.value.number == 1226
    w.gates[1].login(w.table.for_login("other"))


def test_a_refusal_holds_nothing() -> None:
    w = Workers(cluster=Limit(concurrency=5), user_app=Limit(concurrency=0))
    with pytest.raises(SluiceError):
        w.gates[0].enter(w.query(), never)
    assert w.held() == 0


def test_dry_run_counts_and_lets_pass() -> None:
    w = Workers(user_app=Limit(concurrency=1, dry_run=True))
    for _ in range(3):
        assert w.gates[0].enter(w.query(), never) is None
    assert w.gates[0].would_refuse == {"user:app concurrency": 2}
    assert w.held() == 3
    for _ in range(3):
        w.gates[0].leave(w.query())
    assert w.held() == 0


def test_waiting_is_first_in_first_out_and_bounded_over_workers() -> None:
    w = Workers(keyspace_commerce=Limit(concurrency=1, queue=2, queue_ms=100))
    answers: list[tuple[str, SluiceError | None]] = []
    assert w.gates[0].enter(w.query(), never) is None
    assert w.gates[0].enter(w.query(), lambda e: answers.append(("first", e))) is not None
    assert w.gates[1].enter(w.query(), lambda e: answers.append(("second", e))) is not None
    with pytest.raises(SluiceError, match="2 of queue = 2 wait already"):
        w.gates[0].enter(w.query(), never)
    w.gates[0].leave(w.query())
    assert answers == [("first", None)]
    w.gates[1].tick()
    assert answers == [("first", None)]
    w.gates[0].leave(w.query())
    w.gates[1].tick()
    assert answers == [("first", None), ("second", None)]
    w.gates[1].leave(w.query())
    assert w.held() == 0
    assert w.gates[0].waiting == w.gates[1].waiting == 0


def test_a_newcomer_does_not_overtake() -> None:
    w = Workers(keyspace_commerce=Limit(concurrency=1, queue=5))
    order: list[int] = []
    assert w.gates[1].enter(w.query(), never) is None
    w.gates[0].enter(w.query(), lambda e: order.append(1))
    w.gates[1].leave(w.query())  # room, which gate 0 has not noticed yet
    assert w.gates[0].enter(w.query(), lambda e: order.append(2)) is not None
    w.gates[0].tick()
    assert order == [1]
    w.gates[0].leave(w.query())
    assert order == [1, 2]


def test_waiting_ends_at_queue_ms() -> None:
    w = Workers(keyspace_commerce=Limit(concurrency=1, queue=5, queue_ms=100))
    errors: list[SluiceError | None] = []
    w.gates[0].enter(w.query(), never)
    w.gates[0].enter(w.query(), errors.append)
    w.clock.advance(0.099)
    w.gates[0].tick()
    assert not errors
    w.clock.advance(0.001)
    w.gates[0].tick()
    assert len(errors) == 1
    assert "waited 100 ms" in str(errors[0])
    w.gates[0].leave(w.query())
    assert w.held() == 0


def test_who_is_gone_leaves_the_line() -> None:
    w = Workers(keyspace_commerce=Limit(concurrency=1, queue=5))
    w.gates[0].enter(w.query(), never)
    waiter = w.gates[0].enter(w.query(), never)
    assert waiter is not None
    assert w.gates[0].forget(waiter)
    assert not w.gates[0].forget(waiter)
    w.gates[0].leave(w.query())
    assert w.held() == 0


def test_statements_that_end_at_once_do_not_recurse() -> None:
    w = Workers(keyspace_commerce=Limit(concurrency=1, queue=3000, queue_ms=10_000))
    gate, rules, answered = w.gates[0], w.query(), []

    def run(error: SluiceError | None) -> None:
        answered.append(error)
        gate.leave(rules)

    gate.enter(rules, never)
    for _ in range(3000):
        gate.enter(rules, run)
    gate.leave(rules)
    assert answered == [None] * 3000
    assert w.held() == 0


def test_a_new_snapshot_reaches_who_waits() -> None:
    w = Workers(keyspace_commerce=Limit(concurrency=1, queue=5))
    answers: list[SluiceError | None] = []
    rules = w.query()
    w.gates[0].enter(rules, never)
    w.gates[0].enter(rules, answers.append)
    w.gates[0].enter(rules, answers.append)
    w.gates[0].renew(w.compile({"keyspace_commerce": Limit(concurrency=2, queue=5)}))
    assert answers == [None]
    w.gates[0].renew(w.compile({}))
    assert answers == [None, None]
    assert w.gates[0].waiting == 0


def test_a_connection_that_moves() -> None:
    w = Workers(
        user_app=Limit(connections=5),
        keyspace_commerce=Limit(connections=1),
        keyspace_other=Limit(connections=0),
    )
    held = w.table.for_login("app", "commerce")
    w.gates[0].login(held)
    with pytest.raises(SluiceError) as caught:
        w.gates[0].move(held, w.table.for_login("app", "other"))
    assert caught.value.code.name == "LIMIT_CONNECTIONS"
    assert w.held() == 2
    nowhere = w.table.for_login("app")
    w.gates[0].move(held, nowhere)
    assert w.held() == 1
    with pytest.raises(SluiceError):
        w.gates[0].move(nowhere, w.table.for_login("app", "other"))
    w.gates[0].leave(nowhere)
    assert w.held() == 0


def test_open_connections_count_when_a_limit_comes_later() -> None:
    w = Workers()
    held: list[Rules] = [()] * 3
    later = w.compile({"user_app": Limit(connections=2)})
    for index in range(3):
        w.gates[0].recount(held[index], later.for_login("app"))
    with pytest.raises(SluiceError):
        w.gates[1].login(later.for_login("app"))
    assert w.held() == 3
