"""One login, from greeting to verdict, as a state machine without I/O: payloads in, actions out.

Invariants
- `Authenticated` is given once at most, and only after a proof of the account's password.
- A refusal is final: whatever comes after it raises, and so does everything after `Authenticated`.
- Nothing but the greeting and packets of the authentication itself is sent before the verdict; the OK packet is
  not ours to send, since whoever has the verdict may still refuse (database, limits).
- An unknown user goes the same way, byte for byte, as a known one with a wrong password (see `Decoys`).
- Over an open channel a password is accepted only encrypted by RSA, and of an account with `require_tls` none is.

`TRANSITIONS` is the whole machine; a change that it does not list is a bug and raises RuntimeError.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from wire.answers import err_payload
from wire.compression import ZSTD_LEVELS
from wire.constants import (
    CLIENT_COMPRESS,
    CLIENT_PLUGIN_AUTH,
    CLIENT_SSL,
    CLIENT_ZSTD_COMPRESSION_ALGORITHM,
    NATIVE_PASSWORD,
    SCRAMBLE_LENGTH,
)
from wire.errors import ClientProtocolError, bad_handshake, out_of_order
from wire.login_actions import Action, Authenticated, LoginSettings, Refused, Send, UpgradeTls
from wire.login_request import (
    LoginRequest,
    auth_more_data,
    auth_switch_request,
    greeting,
    is_ssl_request,
    parse_change_user,
    parse_login,
)
from wire.packets import frame
from wire.passwords import Account
from wire.scramble import check_native, check_sha2, make_nonce, unmask_password

MAX_LOGIN_BYTES: Final = 128 * 1024
"""What a `PacketReader` should accept before a login is through: names, a proof, 64 KiB of attributes."""

FAST_AUTH_DONE: Final = b"\x03"
_FULL_AUTH: Final = b"\x04"
_PUBLIC_KEY_PLEASE: Final = b"\x02"
_EMPTY: Final = (b"", b"\0")


class State(Enum):
    NEW = "new"
    REQUEST = "login or TLS request awaited"
    TLS = "TLS handshake under way"
    TLS_REQUEST = "login awaited over TLS"
    SWITCHED = "answer to an auth switch awaited"
    FULL = "password, or request for the RSA key, awaited"
    ENCRYPTED = "encrypted password awaited"
    DONE = "authenticated"
    FAILED = "refused"


_VERDICT = frozenset((State.DONE, State.FAILED))
TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.NEW: frozenset((State.REQUEST, State.SWITCHED, State.FAILED)),
    State.REQUEST: frozenset((State.TLS, State.SWITCHED, State.FULL)) | _VERDICT,
    State.TLS: frozenset((State.TLS_REQUEST, State.FAILED)),
    State.TLS_REQUEST: frozenset((State.SWITCHED, State.FULL)) | _VERDICT,
    State.SWITCHED: frozenset((State.FULL,)) | _VERDICT,
    State.FULL: frozenset((State.ENCRYPTED,)) | _VERDICT,
    State.ENCRYPTED: _VERDICT,
    State.DONE: frozenset(),
    State.FAILED: frozenset(),
}


@dataclass(slots=True)
class Login:
    """One client's login. `host` is what the message of a refusal shows; `secure`: TLS or a unix socket.

    Call `start` and send what it gives, or `change_user` for a client already in; then `receive` each payload.
    """

    settings: LoginSettings
    find_account: Callable[[str], Account | None]
    host: str
    connection_id: int = 0
    secure: bool = False
    state: State = field(init=False, default=State.NEW)
    _nonce: bytes = field(init=False, default=b"")
    _sequence: int = field(init=False, default=0)
    _caps: int = field(init=False, default=0)
    _account: Account | None = field(init=False, default=None)
    _plugin: str = field(init=False, default="")
    _request: LoginRequest | None = field(init=False, default=None)
    _using_password: bool = field(init=False, default=False)
    _actions: list[Action] = field(init=False, default_factory=list)

    def greeted(self, nonce: bytes) -> None:
        """In place of `start`: the greeting went out already, with that nonce (`wire.greetings`)."""
        self._to(State.REQUEST)
        self._nonce = nonce
        self._sequence = 1
        self._caps = self.settings.caps | (CLIENT_SSL if self.settings.tls else 0)

    def start(self) -> bytes:
        """The greeting, as a packet."""
        self._to(State.REQUEST)
        self._new_nonce()
        settings = self.settings
        self._caps = settings.caps | (CLIENT_SSL if settings.tls else 0)
        payload = greeting(
            settings.server_version,
            self.connection_id,
            self._nonce,
            self._caps,
            settings.charset,
            settings.status,
            settings.default_plugin,
        )
        return self._framed(payload)

    @property
    def nonce(self) -> bytes:
        """The last one sent: `change_user` wants it."""
        return self._nonce

    def change_user(self, payload: bytes, sequence: int, caps: int, nonce: bytes) -> list[Action]:
        """Begins anew with a COM_CHANGE_USER of a client that logged in with `caps`; `nonce` is that login's.

        Clients that know plugins are answered with an auth switch, which repeats the nonce: libmariadb proves the
        password for the one it knows, whatever the switch says, and MySQL too takes it. A refusal ends the session,
        as in MySQL.
        """
        self._nonce = nonce
        self._sequence = (sequence + 1) & 0xFF
        self._caps = caps
        return self._guarded(Login._on_change_user, payload)

    def receive(self, payload: bytes, sequence: int) -> list[Action]:
        """What to do about a payload of the client. Raises ClientProtocolError only after a verdict."""
        if self.state in _VERDICT:
            raise bad_handshake()
        if sequence != self._sequence:
            return [self._refuse(out_of_order())]
        self._sequence = (sequence + 1) & 0xFF
        handler = _HANDLERS.get(self.state)
        if handler is None:  # before the greeting, or in the clear while TLS is due
            return [self._refuse(bad_handshake())]
        return self._guarded(handler, payload)

    def tls_started(self) -> None:
        """The TLS handshake is done: everything from now on came through it."""
        self._to(State.TLS_REQUEST)
        self.secure = True

    def refuse(self, number: int, sqlstate: str, text: str) -> Refused:
        """Ends the login from outside: time is up, too many connections."""
        return self._refuse(ClientProtocolError(number, sqlstate, text))

    # --- one handler a state ---------------------------------------------------------------------------------

    def _on_request(self, payload: bytes) -> None:
        if is_ssl_request(payload):
            if not self._caps & CLIENT_SSL:
                raise bad_handshake()
            self._to(State.TLS)
            self._actions.append(UpgradeTls())
            return
        request = parse_login(payload)
        if request.caps & CLIENT_SSL and not self.secure:
            raise bad_handshake()
        self._on_login(request)

    def _on_tls_request(self, payload: bytes) -> None:
        self._on_login(parse_login(payload))

    def _on_login(self, request: LoginRequest) -> None:
        if self.settings.require_tls and not self.secure:
            raise ClientProtocolError(
                3159,
                "HY000",
                "Connections using insecure transport are prohibited while --require_secure_transport=ON.",
            )
        self._caps &= request.caps
        if self._wants_zstd() and request.zstd_level not in ZSTD_LEVELS:
            raise ClientProtocolError(3923, "HY000", "Invalid zstd compression level for algorithm 'zstd'.")
        self._choose(request)
        if request.plugin == self._plugin:
            self._check(request.auth_response)
        else:
            self._using_password = request.auth_response not in _EMPTY
            self._switch()

    def _on_change_user(self, payload: bytes) -> None:
        request = parse_change_user(payload, self._caps)
        self._choose(request)
        self._using_password = request.auth_response not in _EMPTY
        if not self._caps & CLIENT_PLUGIN_AUTH and self._plugin == NATIVE_PASSWORD:
            self._to(State.SWITCHED)  # it knows no other plugin, and has proved its password already
            self._check(request.auth_response)
            return
        self._switch()

    def _on_switched(self, payload: bytes) -> None:
        self._check(payload)

    def _on_full(self, payload: bytes) -> None:
        if self.secure:
            self._verdict(payload[:-1] if payload.endswith(b"\0") else payload)
        elif payload == _PUBLIC_KEY_PLEASE and self.settings.rsa_key is not None:
            self._to(State.ENCRYPTED)
            self._send(auth_more_data(self.settings.rsa_key().public_pem))
        else:
            self._on_encrypted(payload)

    def _on_encrypted(self, payload: bytes) -> None:
        masked = self.settings.rsa_key().decrypt(payload) if self.settings.rsa_key is not None else None
        self._verdict(unmask_password(masked, self._nonce) if masked is not None else None)

    # --- steps they share ------------------------------------------------------------------------------------

    def _wants_zstd(self) -> bool:
        """Of a client that offers both algorithms, MySQL takes zlib."""
        return (
            self._caps & (CLIENT_COMPRESS | CLIENT_ZSTD_COMPRESSION_ALGORITHM)
            == CLIENT_ZSTD_COMPRESSION_ALGORITHM
        )

    def _choose(self, request: LoginRequest) -> None:
        """Settles whose hashes are looked at, and by which plugin."""
        self._request = request
        account = self.find_account(request.user)
        self._account = account if account is not None else self.settings.decoys.account(request.user)
        plugins = self._account.plugins()
        if request.plugin in plugins:
            self._plugin = request.plugin
        elif self.settings.default_plugin in plugins:
            self._plugin = self.settings.default_plugin
        else:
            self._plugin = plugins[0]

    def _switch(self) -> None:
        if not self._caps & CLIENT_PLUGIN_AUTH:
            raise ClientProtocolError(
                1251,
                "08004",
                "Client does not support authentication protocol requested by server; consider upgrading MySQL client",
            )
        if self.state is not State.NEW:
            self._new_nonce()
        self._to(State.SWITCHED)
        self._send(auth_switch_request(self._plugin, self._nonce))

    def _check(self, response: bytes) -> None:
        account = self._account
        assert account is not None
        self._using_password = response not in _EMPTY
        if not self._using_password:
            if not account.empty or account.decoy:
                raise self._denied()
            self._authenticated()
        elif self._plugin == NATIVE_PASSWORD:
            if (
                account.native is None
                or not check_native(response, self._nonce, account.native)
                or account.decoy
            ):
                raise self._denied()
            self._authenticated()
        elif len(response) != 32:
            raise self._denied()
        elif (
            account.sha2 is not None and check_sha2(response, self._nonce, account.sha2) and not account.decoy
        ):
            self._send(auth_more_data(FAST_AUTH_DONE))
            self._authenticated()
        else:
            # as MySQL does even where the cache says no: so the cache tells nothing about who is known
            self._to(State.FULL)
            self._send(auth_more_data(_FULL_AUTH))

    def _verdict(self, password: bytes | None) -> None:
        assert self._account is not None
        if password is None or len(password) > 1024 or not self._account.matches(password):
            raise self._denied()
        self._authenticated()

    def _authenticated(self) -> None:
        request = self._request
        assert request is not None
        assert self._account is not None
        if self._account.require_tls and not self.secure:
            raise self._denied()
        self._to(State.DONE)
        self._actions.append(
            Authenticated(
                request.user,
                request.database,
                self._caps,
                request.charset,
                request.attributes,
                self._plugin,
                request.max_packet_bytes,
                self._sequence,
                request.zstd_level if self._wants_zstd() else 0,
            )
        )

    def _denied(self) -> ClientProtocolError:
        user = self._request.user if self._request is not None else ""
        using = "YES" if self._using_password else "NO"
        return ClientProtocolError(
            1045, "28000", f"Access denied for user '{user:.80}'@'{self.host}' (using password: {using})"
        )

    def _guarded(self, handler: Callable[[Login, bytes], None], payload: bytes) -> list[Action]:
        try:
            handler(self, payload)
        except ClientProtocolError as error:
            self._actions.append(self._refuse(error))
        actions, self._actions = self._actions, []
        return actions

    def _refuse(self, error: ClientProtocolError) -> Refused:
        self._to(State.FAILED)
        self._account = None
        data = self._framed(err_payload(error.number, error.sqlstate, error.text))
        return Refused(error.number, error.sqlstate, error.text, data)

    def _send(self, payload: bytes) -> None:
        self._actions.append(Send(self._framed(payload)))

    def _framed(self, payload: bytes) -> bytes:
        packet = frame(payload, self._sequence)
        self._sequence = (self._sequence + 1) & 0xFF
        return packet

    def _new_nonce(self) -> None:
        self._nonce = make_nonce(self.settings.random_bytes(SCRAMBLE_LENGTH))

    def _to(self, state: State) -> None:
        if state not in TRANSITIONS[self.state]:
            raise RuntimeError(f"a login does not go from {self.state.name} to {state.name}")
        self.state = state


_HANDLERS: Final[dict[State, Callable[[Login, bytes], None]]] = {
    State.REQUEST: Login._on_request,
    State.TLS_REQUEST: Login._on_tls_request,
    State.SWITCHED: Login._on_switched,
    State.FULL: Login._on_full,
    State.ENCRYPTED: Login._on_encrypted,
}
