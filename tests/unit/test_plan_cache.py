"""The plan cache never passes its bound, and keeps what is used."""

import random
from typing import Any

from router.plan_cache import OVERHEAD_BYTES, PlanCache


def runner(name: str) -> Any:
    return name


def test_bound_holds_and_bytes_are_counted_right() -> None:
    chance = random.Random(3)
    cache = PlanCache(100_000)
    for _ in range(3000):
        key = b"k%d" % chance.randrange(300) * chance.choice([1, 1, 50, 900])
        if chance.random() < 0.3:
            cache.get(key)
        else:
            cache.put(key, runner("r"))
        assert cache.size_bytes <= cache.max_bytes
        assert cache.size_bytes == sum(entry.size_bytes for entry in cache.entries.values())
    assert cache.evictions


def test_what_is_used_survives_a_burst() -> None:
    cache = PlanCache(20 * OVERHEAD_BYTES)
    cache.put(b"always", runner("always"))
    for number in range(500):
        kept = cache.get(b"always")
        assert kept is not None
        assert kept.runner == "always"
        cache.put(b"once %d" % number, runner("once"))


def test_all_used_still_evicts() -> None:
    cache = PlanCache(10 * OVERHEAD_BYTES)
    for number in range(9):
        cache.put(b"%d" % number, runner("r"))
        cache.get(b"%d" % number)
    for number in range(20):
        cache.put(b"new %d" % number, runner("r"))
    assert cache.size_bytes <= cache.max_bytes


def test_too_large_is_not_kept_and_replacing_counts_once() -> None:
    cache = PlanCache(10 * OVERHEAD_BYTES)
    cache.put(b"x" * 9000, runner("large"))
    assert cache.get(b"x" * 9000) is None
    cache.put(b"a", runner("1"))
    size = cache.size_bytes
    cache.put(b"a", runner("2"))
    kept = cache.get(b"a")
    assert kept is not None
    assert (kept.runner, cache.size_bytes) == ("2", size)


def test_a_cache_too_small_for_anything_keeps_nothing() -> None:
    cache = PlanCache(OVERHEAD_BYTES)
    cache.put(b"a", runner("1"))
    assert not cache.entries
