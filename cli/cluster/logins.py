"""Who can log in to a cluster that runs: users of its file, and of etcd in their place, for the hint how to connect.

Asks etcd's JSON gateway, since a gRPC channel has no place in a supervisor; where it does not answer, the file counts.
"""

import base64
import http.client
import json
from collections.abc import Mapping
from typing import Any, Final

from cli.errors import CommandError
from cli.target import Target, endpoints
from controlplane.topo import layout as keys
from core.config import Config, parse_address
from wire.passwords import native_hash

_TIMEOUT_S: Final = 2.0


def live_users(target: Target) -> dict[str, Mapping[str, Any]]:
    """etcd's records of users by name; empty where etcd does not answer."""
    prefix = (keys.base(target.config.cluster.name) + keys.USERS).encode()
    # A prefix ends before the same key with its last byte raised by one.
    end = prefix[:-1] + bytes([prefix[-1] + 1])
    question = json.dumps({"key": _b64(prefix), "range_end": _b64(end)})
    try:
        host, port = parse_address(endpoints(target)[0], "[etcd] endpoints")
        connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        try:
            connection.request("POST", "/v3/kv/range", question)
            found = json.loads(connection.getresponse().read()).get("kvs", [])
        finally:
            connection.close()
        records = {base64.b64decode(kv["key"]): json.loads(base64.b64decode(kv["value"])) for kv in found}
    except (CommandError, OSError, ValueError, KeyError, http.client.HTTPException):
        return {}
    return {key.removeprefix(prefix).decode(): value for key, value in records.items()}


def login(config: Config, live: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], str] | None:
    """Options of the mysql client for somebody who can log in, and their keyspace; None where nobody can.

    The file's users first; a password that only etcd has is asked for.
    """
    for user in config.users:
        record = live.get(user.name)
        if record is None:
            return ["-u", user.name, "-p" + (user.password or "")], user.default_keyspace
        if not record.get("removed"):
            same = user.password and record.get("native") == native_hash(user.password)
            words = ["-u", user.name, f"-p{user.password}" if same else "-p"]
            return words, str(record.get("default_keyspace", ""))
    for name, record in sorted(live.items()):
        if not record.get("removed"):
            return ["-u", name, "-p"], str(record.get("default_keyspace", ""))
    return None


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
