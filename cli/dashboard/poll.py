"""Asks the router, the local supervisor's file and etcd, in a thread of its own.

Invariants: nothing here can hold the dashboard up; each question has a timeout; who does not answer is asked again
a second later.
"""

import base64
import http.client
import json
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from cli import state as states
from cli.dashboard.figures import Sample, parse
from cli.dashboard.view import Process, Surroundings
from cli.errors import CommandError
from cli.target import Target, endpoints
from controlplane.topo import layout
from core.config import parse_address
from core.rpc import messages

INTERVAL_S: Final = 1.0
TIMEOUT_S: Final = 2.0
ETCD_EVERY: Final = 3
"""Samples for one question to etcd."""
_ANSWER_MAX_BYTES: Final = 16 * 1024 * 1024

Seen = Callable[[Sample | str, Surroundings], None]
"""Takes the sample, or why there is none."""


class Poller:
    """Calls `seen` once a second, in its thread, until `stop`."""

    def __init__(self, target: Target, seen: Seen) -> None:
        self._target = target
        self._seen = seen
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dashboard", daemon=True)
        self._leader: tuple[str | None, tuple[str, ...]] = (None, ())
        self._asked = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Does not wait for a question that is open."""
        self._end.set()

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._end.is_set():
            found = self.once()
            if self._end.is_set():
                return
            self._seen(*found)
            now_s = time.monotonic()
            due_s = max(due_s + INTERVAL_S, now_s)
            self._end.wait(due_s - now_s)

    def once(self) -> tuple[Sample | str, Surroundings]:
        """One round of questions."""
        sample: Sample | str
        try:
            sample = parse(get_json(*router_address(self._target), "/debug/cluster"))
        except (OSError, ValueError, http.client.HTTPException) as error:
            sample = reason(error)
        if self._asked % ETCD_EVERY == 0:
            self._leader = control_plane(self._target)
        self._asked += 1
        leader, problems = self._leader
        return sample, Surroundings(local_processes(self._target), leader, problems)


def router_address(target: Target) -> tuple[str, int]:
    host, port = parse_address(target.config.router.http, "[router] http")
    return ("127.0.0.1" if host in ("0.0.0.0", "::") else host), port


def get_json(host: str, port: int, path: str, body: bytes | None = None) -> Any:
    """The parsed answer to a GET, or a POST of `body`. OSError, ValueError or HTTPException where there is none."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET" if body is None else "POST", path, body)
        answer = connection.getresponse()
        text = answer.read(_ANSWER_MAX_BYTES)
        if answer.status != 200:
            raise ValueError(f"HTTP status {answer.status}")
    finally:
        connection.close()
    return json.loads(text)


def reason(error: Exception) -> str:
    """Why there was no answer, for a person."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return f"nothing came within {TIMEOUT_S:g} s"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error) or type(error).__name__


def local_processes(target: Target) -> tuple[Process, ...]:
    """What `clusterctl up` keeps here; empty where it was not it that started the cluster."""
    state = states.read(target.layout) if target.layout.is_ours() else None
    if state is None:
        return ()
    return tuple(
        Process(p.name, p.role, p.state if p.is_running() else messages.DEAD, p.said) for p in state.processes
    )


def control_plane(target: Target) -> tuple[str | None, tuple[str, ...]]:
    """The leader's id (empty: none leads; None: etcd cannot be asked) and the problems that it sees.

    Over etcd's JSON gateway: a gRPC channel would be a lot for two small keys.
    """
    try:
        where = endpoints(target)
    except CommandError:
        return None, ()
    base = layout.base(target.config.cluster.name)
    for endpoint in where:
        try:
            host, port = parse_address(endpoint, "[etcd] endpoints")
            leader = _get_record(host, port, base + layout.LEADER)
            health = _get_record(host, port, base + layout.HEALTH)
        except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
            continue
        problems = health.get("problems") or ()
        return str(leader.get("id", "")), tuple(str(problem) for problem in problems) if leader else ()
    return None, ()


def _get_record(host: str, port: int, key: str) -> dict[str, Any]:
    question = json.dumps({"key": base64.b64encode(key.encode()).decode()}).encode()
    kvs = get_json(host, port, "/v3/kv/range", question).get("kvs", [])
    return dict(json.loads(base64.b64decode(kvs[0]["value"]))) if kvs else {}
