"""The main process's own links to all tablets: figures for /metrics and the dashboard, news of dead workers."""

import time
from typing import Any, Final

from core.rpc import messages as m
from core.rpc.dealer import Dealer
from core.rpc.messages import Record
from core.rpc.zeromq import Loop

FRESH_S: Final = 3.0
"""Figures older than that are shown as stale: the tablet does not answer."""


class _Watched:
    __slots__ = ("alias", "dealer", "endpoint", "figures", "heard_s", "record", "welcomed")

    def __init__(self, alias: str, record: dict[str, Any]) -> None:
        self.alias = alias
        self.record = record
        self.endpoint: str = record["endpoint"]
        self.figures: dict[str, Any] = {}
        self.heard_s = 0.0
        self.welcomed = False
        self.dealer: Dealer | None = None


class TabletWatch:
    """Follows the tablets of the topology; `describe` is what they last said."""

    def __init__(self, loop: Loop, context: Any, name: str) -> None:
        self._loop = loop
        self._context = context
        self._name = f"{name}.main"
        self._watched: dict[str, _Watched] = {}
        self._requests = 0

    def follow(self, tablets: dict[str, dict[str, Any]]) -> None:
        """The topology's tablets, by alias."""
        for alias, record in tablets.items():
            known = self._watched.get(alias)
            if known is not None and known.endpoint == record["endpoint"]:
                known.record = record
                continue
            if known is not None and known.dealer is not None:
                known.dealer.close()
            watched = self._watched[alias] = _Watched(alias, record)
            self._dial(watched)

    def _dial(self, watched: _Watched) -> None:
        def on_down(reason: str) -> None:
            del reason
            watched.welcomed = False
            self._dial(watched)

        def on_up() -> None:
            if watched.dealer is not None:
                watched.dealer.send((m.HELLO, m.VERSION, self._name))

        identity = f"{self._name}.{watched.alias}".encode()
        watched.dealer = Dealer(
            self._loop,
            self._context,
            watched.endpoint,
            identity,
            lambda record: self._on_record(watched, record),
            on_up,
            on_down,
        )

    def _on_record(self, watched: _Watched, record: Record) -> None:
        if record[0] == m.STATS_REPLY:
            watched.figures = record[2]
            watched.heard_s = time.monotonic()
        elif record[0] == m.WELCOME:
            watched.welcomed = True
        elif record[0] == m.REFUSED and watched.welcomed and watched.dealer is not None:
            watched.welcomed = False  # it has forgotten us: we were silent too long
            watched.dealer.send((m.HELLO, m.VERSION, self._name))

    def tick(self) -> None:
        """Once a second: asks every tablet for its figures."""
        for watched in self._watched.values():
            if watched.dealer is not None and watched.welcomed:
                self._requests += 1
                watched.dealer.send((m.PING, int(time.monotonic() * 1000)))
                watched.dealer.send((m.STATS, self._requests))

    def peer_gone(self, peer: str) -> None:
        """Tells every tablet that the worker process `peer` is dead."""
        for watched in self._watched.values():
            if watched.dealer is not None and watched.welcomed:
                watched.dealer.send((m.PEER_GONE, peer))

    def describe(self) -> list[dict[str, Any]]:
        """A dict a tablet: what it registered, its figures, and whether they are fresh."""
        now = time.monotonic()
        return [
            {
                **watched.record,
                **watched.figures,
                "state": (
                    watched.figures.get("state", m.STARTING)
                    if watched.welcomed and now - watched.heard_s < FRESH_S
                    else m.STARTING
                    if watched.welcomed
                    else m.NOT_SERVING
                ),
            }
            for watched in self._watched.values()
        ]

    def close(self) -> None:
        for watched in self._watched.values():
            if watched.dealer is not None:
                watched.dealer.close()
