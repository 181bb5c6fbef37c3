"""JSON in and out of etcd, and what a read gives back."""

import json
import logging
from dataclasses import dataclass
from typing import Any

from controlplane.topo.errors import TopoError

_log = logging.getLogger(__name__)

Value = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """A key's value and the revision of etcd at which it was written last."""

    value: Value
    mod_revision: int


def encode(key: str, value: Value) -> bytes:
    """Raises TopoError if `value` is no JSON object."""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise TopoError(f"{key}: the value is not JSON: {error}") from None


def decode(key: str, data: bytes) -> Value:
    """An object written by hand that is no JSON reads as an empty one: one bad key must not stop a watch, and
    what needs a field of it says so (`records`)."""
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        _log.warning("%s: not a JSON object: %r", key, data[:100])
        return {}
    return value


def increment(prefix: bytes) -> bytes:
    """The first key behind all that begin with `prefix` (etcd's range end)."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes((head[-1] + 1,)) if head else b"\0"
