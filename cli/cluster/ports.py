"""Ports of local servers that only Sluice itself connects to: chosen free, and kept from one `up` to the next.

Chosen below the range the kernel takes ports of outgoing connections from: there, a port that is free now may be
some client's the moment after, or when its server starts again.
"""

import json
import random
import socket
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from cli.layout import write_whole

_FIRST: Final = 20_000
_TRIES: Final = 200
_OUTGOING: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def assign(path: Path, names: list[str], reserved: Collection[int] = ()) -> dict[str, int]:
    """A port on 127.0.0.1 for each of `names`: the one remembered in `path` if it is free now, else a free one.

    Remembers them. All are free at the same moment, so no two names get the same; none is in `reserved`, the ports
    that others of the cluster will listen on.
    """
    try:
        known: dict[str, int] = {str(k): int(v) for k, v in json.loads(path.read_text("utf-8")).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        known = {}
    with ExitStack() as held:
        found = {
            name: held.enter_context(_listen(known[name]))
            for name in names
            if known.get(name, 0) not in reserved and _is_free(known.get(name, 0))
        }
        for name in names:
            if name not in found:
                found[name] = held.enter_context(_listen_anywhere(reserved))
        ports = {name: found[name].getsockname()[1] for name in names}
    write_whole(path, json.dumps({**known, **ports}))
    return ports


def _listen_anywhere(reserved: Collection[int]) -> socket.socket:
    try:
        end = int(_OUTGOING.read_text("ascii").split()[0])
    except (OSError, ValueError, IndexError):
        end = 0
    for _ in range(_TRIES if end > _FIRST else 0):
        port = random.randrange(_FIRST, end)
        if port not in reserved and _is_free(port):
            return _listen(port)
    with ExitStack() as passed_over:
        while (listener := _listen(0)).getsockname()[1] in reserved:
            passed_over.enter_context(listener)
    return listener


def _is_free(port: int) -> bool:
    if not port:
        return False
    try:
        _listen(port).close()
    except OSError:
        return False
    return True


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(1)
    except OSError:
        listener.close()
        raise
    return listener
