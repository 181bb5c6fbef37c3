"""The memory of one local MySQL: how the budget is divided, and how many connections it bears.

A server starts with exactly these buffers (cli/local/mysql.py). What the flavours need beside them was measured
with MySQL 9.7.4 and MariaDB 10.11: resident memory after start with a full buffer pool, and what 200 connections
added that had run point reads, joins and sorts. All 200 sorting at once took 0.6 MiB each on MySQL, 1.7 MiB on
MariaDB. Not in the sum: one packet of up to max_allowed_packet that a connection may hold for a moment.
"""

from dataclasses import dataclass
from typing import Final

from cli.local.binaries import Flavour
from cli.local.errors import LocalServerError

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

TEMPTABLE_BYTES: Final = 16 * MIB
"""What MySQL may use for temporary tables beside one block of TMP_TABLE_BYTES a connection, which each keeps once it
had one; the rest goes to disk. Without a block of its own for each connection, MySQL 9.7 fails recursive common table
expressions with error 1146."""

DIRECT_CONNECTIONS: Final = 4
"""Beyond pool_size: for `clusterctl` while it sets up, and for people who look at the shard itself."""

BASE_BYTES: Final[dict[Flavour, int]] = {"mysql": 160 * MIB + TEMPTABLE_BYTES, "mariadb": 64 * MIB}
"""The server itself: code, dictionary, caches, log buffer."""

THREAD_BYTES: Final[dict[Flavour, int]] = {"mysql": 384 * KIB, "mariadb": 256 * KIB}
"""A connection that ran ordinary statements: what it touches of its stack, network buffer, open tables."""


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """What a server needs at its worst, and how that sum comes about, to be shown to a person."""

    needed_bytes: int
    explanation: str
    largest_pool_size: int
    """The largest pool_size that the given memory bears; 0 where it bears none."""
    smallest_memory_bytes: int
    """The smallest memory that bears the given pool_size."""
    smallest_pool_bytes: int
    """The buffer pool's part of it."""


def max_connections(pool_size: int) -> int:
    """The server's own max_connections for a pool of `pool_size`."""
    return pool_size + DIRECT_CONNECTIONS


def buffer_pool_bytes(memory_bytes: int) -> int:
    """innodb_buffer_pool_size for a budget: a quarter of it, so that most is left for connections."""
    return max(_POOL_MIN_BYTES, memory_bytes // 4 // _POOL_STEP_BYTES * _POOL_STEP_BYTES)


def temptable_bytes(connections: int) -> int:
    """MySQL's temptable_max_ram for a server with that many connections."""
    return TEMPTABLE_BYTES + connections * TMP_TABLE_BYTES


def connection_bytes(flavour: Flavour) -> int:
    """One connection at its worst: its thread and every buffer it may fill in one ordinary statement."""
    buffers = SORT_BUFFER_BYTES + JOIN_BUFFER_BYTES + READ_BUFFER_BYTES + READ_RND_BUFFER_BYTES
    return THREAD_BYTES[flavour] + buffers + TMP_TABLE_BYTES


def memory_need(pool_size: int, flavour: Flavour, memory_bytes: int) -> MemoryNeed:
    """What `pool_size` connections and the global buffers need of a budget of `memory_bytes`."""
    pool = buffer_pool_bytes(memory_bytes)
    base = BASE_BYTES[flavour]
    each = connection_bytes(flavour)
    connections = max_connections(pool_size)
    needed = base + pool + connections * each
    explanation = (
        f"{_mib(base)} for the server itself + {_mib(pool)} buffer pool"
        f" + {connections} connections x {_exact_mib(each)} MiB = {_mib(needed)}"
    )
    largest = (memory_bytes - base - pool) // each - DIRECT_CONNECTIONS
    # The buffer pool grows with the budget, a step for four: the least step that leaves enough for the rest.
    rest = -(-(base + connections * each) // MIB) * MIB
    smallest_pool = _POOL_MIN_BYTES
    while buffer_pool_bytes(rest + smallest_pool) > smallest_pool:
        smallest_pool += _POOL_STEP_BYTES
    return MemoryNeed(needed, explanation, max(0, largest), rest + smallest_pool, smallest_pool)


def check_memory(pool_size: int, flavour: Flavour, memory_bytes: int) -> None:
    """Raises LocalServerError, saying which number to change, where the budget does not bear `pool_size`."""
    need = memory_need(pool_size, flavour, memory_bytes)
    if need.needed_bytes <= memory_bytes:
        return
    lower = f"lower [tablet] pool_size to {need.largest_pool_size} or " if need.largest_pool_size >= 3 else ""
    raise LocalServerError(
        f"[tablet] pool_size {pool_size} does not fit [mysql] memory {_mib(memory_bytes)}:"
        f" {need.explanation}; {lower}raise [mysql] memory to"
        f" {need.smallest_memory_bytes // MIB}MiB, of which the buffer pool takes"
        f" {need.smallest_pool_bytes // MIB} MiB"
    )


def _exact_mib(size_bytes: int) -> str:
    return f"{size_bytes / MIB:.3f}".rstrip("0").rstrip(".")


def _mib(size_bytes: int) -> str:
    return f"{-(-size_bytes // MIB)} MiB"
