"""The texts of refusals: which limit, how full it is, how long the wait was."""

from dataclasses import dataclass

from core.config import Tablet as TabletConfig
from core.errors import SluiceError, fail
from tablet.pool.admission import HOLD, Refusal, Waiter


@dataclass(frozen=True, slots=True)
class Figures:
    """The pool as it is at the moment of a refusal."""

    waiting: int
    in_use: int
    held: int
    hold_limit: int
    last_wait_s: float
    last_refusal: str
    """What MySQL said to the last connect, if it refused and no connection is open."""


class Refusals:
    """Makes the errors of one tablet."""

    def __init__(self, config: TabletConfig, keyspace: str, shard: str) -> None:
        self._config = config
        self._where = {"keyspace": keyspace, "shard": shard}

    def unavailable(self, reason: str) -> SluiceError:
        return fail("TABLET_UNAVAILABLE", reason=reason, waited_ms=0, **self._where)

    def draining(self) -> SluiceError:
        return fail("DRAINING", what=f"the tablet of {self._where['keyspace']}/{self._where['shard']} stops")

    def backend_refused(self, reason: str) -> SluiceError:
        return fail("BACKEND_REFUSED", reason=reason, **self._where)

    def at_the_door(self, refusal: Refusal, figures: Figures) -> SluiceError:
        """A newcomer may not even wait."""
        if refusal is Refusal.FULL:
            return fail(
                "QUEUE_FULL",
                waiting=figures.waiting,
                limit=self._config.queue_size,
                in_use=figures.in_use,
                pool_size=self._config.pool_size,
                **self._where,
            )
        return fail(
            "OVERLOADED",
            waited_ms=int(figures.last_wait_s * 1000),
            target_ms=self._config.queue_timeout_ms // 2,
            waiting=figures.waiting,
            **self._where,
        )

    def timed_out(self, waiter: Waiter, now_s: float, figures: Figures) -> SluiceError:
        """Somebody waited in vain."""
        waited_ms = int((now_s - waiter.queued_s) * 1000)
        if waiter.lane & HOLD and figures.held >= figures.hold_limit:
            return fail(
                "RESERVED_FULL",
                held=figures.held,
                limit=figures.hold_limit,
                waited_ms=waited_ms,
                **self._where,
            )
        if figures.last_refusal:
            return self.backend_refused(figures.last_refusal)
        return fail(
            "QUEUE_TIMEOUT",
            waited_ms=waited_ms,
            waiting=figures.waiting + 1,
            in_use=figures.in_use,
            pool_size=self._config.pool_size,
            limit_ms=self._config.queue_timeout_ms,
            **self._where,
        )
