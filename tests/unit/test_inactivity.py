"""Sessions that have set wait_timeout, on a clock that is moved by hand."""

from types import SimpleNamespace
from typing import Any

import pytest

from router.clients import inactivity
from router.clients.inactivity import LOOK_S, Inactivity


class Client:
    """As much of a parked session as is looked at."""

    def __init__(self, variables: dict[str, str] | None, since_s: float) -> None:
        self.session = SimpleNamespace(variables=variables)
        self.since_s = since_s
        self.told: list[Any] = []

    def close(self) -> None:
        self.told.append("closed")

    def refuse(self, error: Any) -> None:
        self.told.append(error.number)


class Place:
    def __init__(self, flavour: str = "mysql") -> None:
        self.now_s = 1000.0
        self.calls: list[Any] = []
        self.server = {"flavour": flavour}
        self.connections: dict[int, Client] = {}
        self.loop = SimpleNamespace(call_later=lambda _, call: self.calls.append(call))
        self.inactivity = Inactivity(self)  # type: ignore[arg-type]

    def perf_counter(self) -> float:
        return self.now_s

    def add(self, number: int, variables: dict[str, str] | None) -> Client:
        client = self.connections[number] = Client(variables, self.now_s)
        self.inactivity.watch(number)
        return client

    def pass_s(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.now_s += 0.25
            calls, self.calls = self.calls, []
            for call in calls:
                call()


@pytest.fixture(autouse=True)
def _clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inactivity, "Parked", Client)


@pytest.mark.parametrize(("flavour", "said"), [("mysql", 4031), ("mariadb", "closed")])
def test_who_is_silent_for_long_enough_is_closed(flavour: str, said: object) -> None:
    place = Place(flavour)
    client = place.add(1, {"wait_timeout": "5"})
    place.pass_s(4.5)
    assert client.told == []
    place.pass_s(1.5)
    assert client.told == [said]
    place.pass_s(60)
    assert client.told == [said]
    assert place.calls == []


def test_a_statement_begins_the_time_anew() -> None:
    place = Place()
    client = place.add(1, {"wait_timeout": "5"})
    place.pass_s(3)
    client.since_s = place.now_s
    place.pass_s(4.75)
    assert client.told == []
    place.pass_s(2)
    assert client.told == [4031]


def test_a_shorter_time_counts_at_once_and_a_longer_one_too() -> None:
    place = Place()
    client = place.add(1, {"wait_timeout": "100000"})
    client.session.variables = {"wait_timeout": "2"}
    place.inactivity.watch(1)
    place.pass_s(1)
    client.session.variables = {"wait_timeout": str(int(LOOK_S) + 100)}
    place.inactivity.watch(1)
    place.pass_s(LOOK_S)
    assert client.told == []
    place.pass_s(LOOK_S)
    assert client.told == [4031]


def test_who_left_or_took_it_back_is_forgotten() -> None:
    place = Place()
    gone, stays = place.add(1, {"wait_timeout": "2"}), place.add(2, {"wait_timeout": "2"})
    place.add(3, None)
    del place.connections[1]
    place.inactivity.forget(1)
    stays.session.variables = None
    place.pass_s(10)
    assert gone.told == stays.told == []
    assert place.calls == []
