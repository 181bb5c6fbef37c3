"""Ports of local servers that only Sluice itself connects to: chosen free, and kept from one `up` to the next."""

import json
import socket
from contextlib import ExitStack
from pathlib import Path

from cli.layout import write_whole


def assign(path: Path, names: list[str]) -> dict[str, int]:
    """A port on 127.0.0.1 for each of `names`: the one remembered in `path` if it is free now, else a free one.

    Remembers them. All are free at the same moment, so no two names get the same.
    """
    try:
        known: dict[str, int] = {str(k): int(v) for k, v in json.loads(path.read_text("utf-8")).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        known = {}
    with ExitStack() as held:
        found = {
            name: held.enter_context(_listen(known[name])) for name in names if _is_free(known.get(name, 0))
        }
        for name in names:
            if name not in found:
                found[name] = held.enter_context(_listen(0))
        ports = {name: found[name].getsockname()[1] for name in names}
    write_whole(path, json.dumps({**known, **ports}))
    return ports


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
