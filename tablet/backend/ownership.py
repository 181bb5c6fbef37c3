"""Whose MySQL it is: at most one tablet serves a database of a MySQL, so that no two pools add up beyond the cap.

    guard                                      keeps apart
    a file lock beside the ipc socket          two tablets at one address of one host; TCP refuses the second itself
    `tablets/*` in etcd                        tablets that both see etcd, no connection more (`daemon/registration.py`)
    GET_LOCK, held by the admin lane           all: MySQL itself decides, and lets go when that connection ends

Invariants
- A tablet opens no connection of its pool, and kills nothing, before its admin lane has the lock.
- One that finds the lock with another ends; its connections are killed by the one that has it (`daemon/leftover.py`).
- A tablet that does not get it waits in STARTING: no router is welcomed, nothing is registered over the other's record.

Where the server has no GET_LOCK (Galera), etcd and the file lock are all there is; the log says so.
"""

import asyncio
import fcntl
import os
from hashlib import sha1
from typing import Final

Rows = list[list[bytes | None]]

IDLE_S: Final = 15
"""wait_timeout of the admin lane, which asks something each second: after that a tablet that stands still, or whose
host is gone, has lost its MySQL."""
BUSY_RETRY_S: Final = 1.0
"""Between tries for a lock that another has; sooner in the first second, for a tablet that was killed just now."""
CONTESTED_S: Final = IDLE_S + 5.0
"""So long the lock may be with a thread of our own number: MySQL has not heard yet that it is gone. Longer, and the
number is a rival's, of a MySQL that was started anew."""
NOT_OURS: Final = 0
"""In place of MySQL's error number: another tablet has the lock."""

_MAX_NAME: Final = 64
_PREFIX: Final = "sluice/"
_PREDECESSOR_S: Final = 10.0
"""A tablet that was told to stop needs so long to end."""


def lock_name(database: str) -> str:
    """At most 64 characters, as MySQL wants."""
    name = _PREFIX + database
    return name if len(name) <= _MAX_NAME else _PREFIX + sha1(database.encode()).hexdigest()


def lock_sql(database: str, wait_s: int) -> str:
    """Takes the lock, if it is free within `wait_s`; `read_lock` reads the answer."""
    name = lock_name(database).replace("'", "''").replace("\\", "\\\\")
    return f"SELECT GET_LOCK('{name}', {wait_s}), IS_USED_LOCK('{name}')"


def read_lock(rows: Rows) -> tuple[bool, int]:
    """Whether the lock is ours now, and the thread of MySQL that has it (0: nobody any more)."""
    if not rows:
        return False, 0
    got, holder = rows[0]
    return got == b"1", int(holder or 0)


async def claim_endpoint(endpoint: str) -> int:
    """Locks an ipc address for the life of this process (the kernel lets go); the descriptor to keep, or -1.

    ZeroMQ would take the socket's file away from a living tablet without a word. OSError with a text for people
    where another process has it, and goes on having it for 10 s.
    """
    path = endpoint.removeprefix("ipc://")
    if path == endpoint or path.startswith("@"):
        return -1
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + _PREDECESSOR_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if loop.time() < deadline_s:
                await asyncio.sleep(0.05)
                continue
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise OSError(f"another tablet (pid {holder or 'unknown'}) is there and does not end") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor
