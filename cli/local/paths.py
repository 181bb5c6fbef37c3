"""Where sockets go, and the last lines of a log.

A unix socket's path holds at most 107 bytes on Linux; data directories may be deeper than that.
"""

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Final

from cli.local.errors import LocalServerError

_SOCKET_PATH_MAX: Final = 107
"""sun_path of unix(7) is 108 bytes, the last one a zero."""


def socket_path(data_dir: Path, name: str) -> Path:
    """The unix socket `name` of what lives in `data_dir`: inside it, or in a short directory under /tmp.

    The same arguments always give the same path. Creates the directory under /tmp (mode 0700). Raises
    LocalServerError where that directory belongs to somebody else, or where `name` itself is too long.
    """
    data_dir = Path(os.path.abspath(data_dir))
    inside = data_dir / name
    if len(os.fsencode(inside)) <= _SOCKET_PATH_MAX:
        return inside
    key = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    short = Path("/tmp") / f"sluice-{os.getuid()}-{key}"
    if len(os.fsencode(short / name)) > _SOCKET_PATH_MAX:
        raise LocalServerError(f"the socket name '{name}' is too long: a unix socket's path has 107 bytes")
    short.mkdir(mode=0o700, exist_ok=True)
    # /tmp is everybody's: a directory made by another user could swap our socket for theirs.
    status = short.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise LocalServerError(f"{short} is not a private directory of this user: remove it and start again")
    return short / name


_STARTS: Final = re.compile(r"\bstarting\b.* as process \d+", re.IGNORECASE)
"""How a MySQL's and a MariaDB's log begin a run."""


def cause(log: str, lines: int) -> str:
    """Why the last run in `log` ended: its first errors where a MySQL names any, else its last lines.

    The last words of a MySQL are `[ERROR] Aborting` among notes; what led to it stands above.
    """
    said = log.splitlines()
    began = max((i for i, line in enumerate(said) if _STARTS.search(line)), default=0)
    errors = [e for e in said[began:] if "[ERROR]" in e and not e.rstrip().endswith("Aborting")]
    return "\n".join(errors[:lines] or said[began:][-lines:])


def log_cause(path: Path, lines: int = 3) -> str:
    """`cause` of a log file; empty where there is none."""
    return cause(log_tail(path, 1000), lines)


def log_tail(path: Path, lines: int = 10) -> str:
    """The last `lines` lines of a log, for an error message; empty where there is none."""
    try:
        with path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - 16384))
            text = log.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
