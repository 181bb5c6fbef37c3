"""The opaque `session` of a reply: plain values, signed, bound to user and cluster. Pure.

    {"signature": base64 of HMAC-SHA256, "vitessSession": {"autocommit": true, "state": base64 of JSON}}

Only `state` is signed and read back; what stands beside it is for a person's eye. It is no secret: it holds nothing
that its client has not set or been told. All routers of a cluster share the key (`secrets/http` in etcd), so that any
worker of any router goes on with any session.
"""

import binascii
import json
from base64 import b64decode, b64encode
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as keyed_digest
from typing import Any, Final

_VERSION: Final = 1
_VALUES: Final = 1
"""The form of the values that travel: another is not read."""
MAX_TOKEN_BYTES: Final = 1 << 20


class TokenError(Exception):
    """What was presented is no session of this user and cluster; the message says why."""


class Tokens:
    """Makes and reads the sessions of one cluster."""

    __slots__ = ("_cluster", "_key")

    def __init__(self, key: bytes, cluster: str) -> None:
        self._key = key
        self._cluster = cluster

    def _signature(self, user: str, state: bytes) -> bytes:
        # lengths keep apart what stands behind each other
        names = json.dumps(["sluice http session", _VERSION, self._cluster, user]).encode()
        return keyed_digest(self._key, b"%d:%b%b" % (len(names), names, state), sha256)

    def make(self, user: str, values: dict[str, Any], shown: dict[str, Any]) -> bytes:
        """The JSON of a session that keeps `values`; `shown` is for people."""
        state = b64encode(encode({**values, "v": _VALUES}))
        session = {
            "signature": b64encode(self._signature(user, state)).decode(),
            "vitessSession": {**shown, "state": state.decode()},
        }
        return json.dumps(session, separators=(",", ":")).encode()

    def read(self, user: str, session: Any) -> dict[str, Any]:
        """The values that `make` was given. Raises TokenError."""
        try:
            signature = b64decode(session["signature"], validate=True)
            state = session["vitessSession"]["state"].encode("ascii")
        except (TypeError, KeyError, AttributeError, ValueError):
            raise TokenError("the session is not one that a router has given out") from None
        if len(state) > MAX_TOKEN_BYTES or not compare_digest(signature, self._signature(user, state)):
            raise TokenError(
                "the session's signature is not right: it was changed, or is another user's or cluster's"
            )
        try:
            values = decode(b64decode(state, validate=True))
        except (binascii.Error, ValueError) as error:
            raise TokenError(f"the session cannot be read: {error}") from None
        if values.pop("v", _VALUES) != _VALUES:
            raise TokenError("the session was made by another version of the router: begin without one")
        return values


def encode(values: dict[str, Any]) -> bytes:
    """Plain values as JSON; text may hold surrogates, which stand for bytes that are no UTF-8."""
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def decode(data: bytes) -> dict[str, Any]:
    found = json.loads(data.decode("utf-8", "surrogatepass"))
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found
