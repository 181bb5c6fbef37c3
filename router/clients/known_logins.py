"""Logins like one that was seen before: what follows from a login packet is looked up, but for the proof.

The packets of equal clients differ in the proof of the password alone. So the packet without it is a key, and what it
leads to (the parsed request, the settings and limits a session begins with, the OK packet) is found and not made: a
login costs three hashes instead of a parser, a state machine and a session.

Invariants:
- This way only says yes. Whatever is not a right proof of a known login goes the way of `wire.login`, which refuses.
- The proof is checked each time, against the account's hash of this moment and this connection's own nonce.
- What was learned holds for one view of the cluster and one server behind it: `forget` when either changes.
"""

from typing import TYPE_CHECKING, Final

from core.errors import SluiceError
from router.clients import commands
from router.clients.connection import Connection
from router.clients.parked import NOTHING_MORE, Profile, more_of, values_of
from router.sessions.session import Session
from wire.answers import ok_packet
from wire.constants import CACHING_SHA2_PASSWORD, CLIENT_COMPRESS, CLIENT_SSL, NATIVE_PASSWORD
from wire.constants import CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA as LENENC_PROOF
from wire.constants import CLIENT_SECURE_CONNECTION as COUNTED_PROOF
from wire.constants import CLIENT_ZSTD_COMPRESSION_ALGORITHM as CLIENT_ZSTD
from wire.errors import WireError
from wire.login import FAST_AUTH_DONE
from wire.login_actions import Authenticated
from wire.login_request import LoginRequest, auth_more_data, parse_login
from wire.packets import frame
from wire.passwords import Account
from wire.scramble import check_native, check_sha2

if TYPE_CHECKING:
    from router.workers.worker import Worker

MAX_KNOWN: Final = 1024
"""Connection attributes may differ in each client (its process number): then little is gained, and nothing lost."""
MAX_PACKET_BYTES: Final = 2048
_USER_AT: Final = 36
_SEQUENCE: Final = 1
VERDICT_SEQUENCE: Final = _SEQUENCE + 1
"""Of what a client is sent next: an ERR comes at once, without what the plugin says before an OK."""
_ELSEWHERE: Final = CLIENT_SSL | CLIENT_COMPRESS | CLIENT_ZSTD


class Known:
    """What a login packet leads to once its proof is right."""

    __slots__ = ("answer", "pid", "profile", "sha2", "user")

    def __init__(self, user: str, sha2: bool, profile: Profile, answer: bytes, pid: int) -> None:
        self.user = user
        self.sha2 = sha2
        self.profile = profile
        self.pid = pid
        self.answer = answer
        """What the client is sent: OK, and before it what the plugin says."""


class KnownLogins:
    """See the module."""

    __slots__ = ("_known", "_worker")

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self._known: dict[bytes, Known] = {}

    def forget(self) -> None:
        self._known.clear()

    def proved(self, data: bytes, nonce: bytes) -> Known | None:
        """What a client's first bytes lead to, if they are one login packet with a right proof. None: whatever else
        they are, `wire.login` must say."""
        size = len(data)
        if (
            not _USER_AT < size <= MAX_PACKET_BYTES
            or data[3] != _SEQUENCE
            or size - 4 != data[0] | data[1] << 8
        ):
            return None
        end = data.find(b"\0", _USER_AT)
        proof_at = end + 2
        if end < 0 or proof_at >= size:
            return None
        rest_at = proof_at + data[proof_at - 1]
        proof = data[proof_at:rest_at]
        key = data[:proof_at] + data[rest_at:]
        known = self._known.get(key)
        if known is None:
            known = self._learn(key, data[4:], proof, nonce)
            if known is None:
                return None
        account = self._worker.accounts.find(known.user)
        if account is not None and _is_right(account, known.sha2, proof, nonce):
            return known
        return None

    def _learn(self, key: bytes, payload: bytes, proof: bytes, nonce: bytes) -> Known | None:
        """None where the packet is none of those that this way is for, or its proof is wrong."""
        worker = self._worker
        try:
            request = parse_login(payload)
        except WireError:
            return None
        account = worker.accounts.find(request.user)
        settings = worker.login_settings
        sha2 = request.plugin == CACHING_SHA2_PASSWORD
        if (
            account is None
            or settings.require_tls
            or request.caps & _ELSEWHERE
            or not request.caps & (LENENC_PROOF | COUNTED_PROOF)
            or request.auth_response != proof
            or not (sha2 or request.plugin == NATIVE_PASSWORD)
            or not _is_right(account, sha2, proof, nonce)
        ):
            return None
        begun = self._begin(request, settings.caps & request.caps)
        if begun is None:
            return None
        profile, pid = begun
        sequence = VERDICT_SEQUENCE + sha2
        status = settings.status if profile.autocommit else 0
        answer = ok_packet(sequence, status=status, caps=profile.caps)
        if sha2:
            answer = frame(auth_more_data(FAST_AUTH_DONE), sequence - 1) + answer
        known = Known(request.user, sha2, profile, answer, pid)
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[key] = known
        return known

    def _begin(self, request: LoginRequest, caps: int) -> tuple[Profile, int] | None:
        """Profile and process number of a session that begins with this request; None where it would not begin, or
        would not be plain."""
        worker = self._worker
        verdict = Authenticated(
            request.user, request.database, caps, request.charset, request.attributes, request.plugin,
            request.max_packet_bytes, 0,
        )  # fmt: skip
        connection = Connection(worker, "")
        connection.caps, connection.charset = caps, request.charset
        session = Session(worker, connection, request.user, caps)
        try:
            commands.start_session(session, verdict)
        except SluiceError:
            return None
        if more_of(session) != NOTHING_MORE:
            return None
        return worker.parking.intern(values_of(session, connection)), session.pid


def _is_right(account: Account, sha2: bool, proof: bytes, nonce: bytes) -> bool:
    """Whether the proof is that of an account with a password (one without has no proof) that needs no TLS."""
    if account.decoy or account.require_tls:
        return False
    if sha2:
        return account.sha2 is not None and check_sha2(proof, nonce, account.sha2)
    return account.native is not None and check_native(proof, nonce, account.native)
