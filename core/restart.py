"""When a process that died is started again, and what its state is called: the pure half of supervision.

`Policy` takes events and gives an action; time comes from the injected clock. The table stands below; what it does
not list is a bug.

Invariants:
- A process that died is started again after 0.1 s, and after twice as long each further time, 5 s at most; 30 s
  of serving forget what was before.
- It is never given up: a crash loop is shown, and tried again every 5 s.
"""

from enum import Enum, auto
from typing import Final

from core.clock import Clock
from core.rpc import messages

BACKOFF_FIRST_S: Final = 0.1
BACKOFF_MOST_S: Final = 5.0
HEALTHY_S: Final = 30.0
"""Serving for that long forgets earlier deaths."""
LOOP_DEATHS: Final = 5
"""That many deaths in a row, none after HEALTHY_S of serving, are called a crash loop."""


class Phase(Enum):
    IDLE = auto()
    STARTING = auto()
    SERVING = auto()
    UNREADY = auto()
    BACKOFF = auto()
    STOPPING = auto()
    STOPPED = auto()


class Event(Enum):
    START = auto()
    READY = auto()
    UNREADY = auto()
    EXITED = auto()
    DUE = auto()
    STOP = auto()


class Action(Enum):
    NONE = auto()
    SPAWN = auto()
    WAIT = auto()
    TERMINATE = auto()
    KILL = auto()
    FINISH = auto()


P, E, A = Phase, Event, Action
TABLE: Final[dict[tuple[Phase, Event], tuple[Phase, Action]]] = {
    (P.IDLE, E.START): (P.STARTING, A.SPAWN),
    (P.IDLE, E.STOP): (P.STOPPED, A.FINISH),
    (P.STARTING, E.READY): (P.SERVING, A.NONE),
    (P.STARTING, E.UNREADY): (P.STARTING, A.NONE),
    (P.STARTING, E.EXITED): (P.BACKOFF, A.WAIT),
    (P.STARTING, E.STOP): (P.STOPPING, A.TERMINATE),
    (P.SERVING, E.READY): (P.SERVING, A.NONE),
    (P.SERVING, E.UNREADY): (P.UNREADY, A.NONE),
    (P.SERVING, E.EXITED): (P.BACKOFF, A.WAIT),
    (P.SERVING, E.STOP): (P.STOPPING, A.TERMINATE),
    (P.UNREADY, E.READY): (P.SERVING, A.NONE),
    (P.UNREADY, E.UNREADY): (P.UNREADY, A.NONE),
    (P.UNREADY, E.EXITED): (P.BACKOFF, A.WAIT),
    (P.UNREADY, E.STOP): (P.STOPPING, A.TERMINATE),
    (P.BACKOFF, E.DUE): (P.STARTING, A.SPAWN),
    (P.BACKOFF, E.STOP): (P.STOPPED, A.FINISH),
    (P.STOPPING, E.READY): (P.STOPPING, A.NONE),
    (P.STOPPING, E.UNREADY): (P.STOPPING, A.NONE),
    (P.STOPPING, E.EXITED): (P.STOPPED, A.FINISH),
    (P.STOPPING, E.STOP): (P.STOPPING, A.KILL),  # asked twice: in a hurry
    (P.STOPPED, E.STOP): (P.STOPPED, A.NONE),
}

STATES: Final[dict[Phase, str]] = {
    P.IDLE: messages.DEAD,
    P.STARTING: messages.STARTING,
    P.SERVING: messages.SERVING,
    P.UNREADY: messages.NOT_SERVING,
    P.BACKOFF: messages.DEAD,
    P.STOPPING: messages.DRAINING,
    P.STOPPED: messages.DEAD,
}
"""What `clusterctl status` calls a phase."""


class Policy:
    """The pure half: feed it events, perform the action it returns."""

    __slots__ = ("_clock", "_serving_since_s", "deaths", "due_s", "phase", "restarts")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._serving_since_s: float | None = None
        self.phase = Phase.IDLE
        self.deaths = 0
        """Deaths in a row, since it last served for HEALTHY_S."""
        self.restarts = 0
        self.due_s = 0.0
        """In BACKOFF: when DUE is to be fed, on the clock."""

    def on(self, event: Event) -> Action:
        """Moves on. Raises KeyError for an event that cannot happen in this phase."""
        before = self.phase
        self.phase, action = TABLE[before, event]
        if self.phase is Phase.SERVING and self._serving_since_s is None:
            self._serving_since_s = self._clock.now_s()
        if action is Action.WAIT:
            self._die()
        elif action is Action.SPAWN and before is Phase.BACKOFF:
            self.restarts += 1
        return action

    def _die(self) -> None:
        now_s = self._clock.now_s()
        if self._serving_since_s is not None and now_s - self._serving_since_s >= HEALTHY_S:
            self.deaths = 0
        self._serving_since_s = None
        # The exponent is bounded so that a loop of weeks does not overflow a float.
        self.due_s = now_s + min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2.0 ** min(self.deaths, 16))
        self.deaths += 1

    @property
    def looping(self) -> bool:
        """Whether it keeps dying."""
        return self.deaths >= LOOP_DEATHS and self.phase is not Phase.SERVING

    @property
    def state(self) -> str:
        """One of the states of INTERFACE: a crash loop is NOT_SERVING, also between two attempts."""
        if self.looping and self.phase in (Phase.STARTING, Phase.BACKOFF):
            return messages.NOT_SERVING
        return STATES[self.phase]
