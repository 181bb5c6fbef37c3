"""The connector up to the end of a login, with the capabilities that a tablet's connections have.

Beside `connection.py` the only file that touches mysql.connector and its private attributes. MariaDB's own capabilities
are nothing that it knows of: a MariaDB says them in the last four of the bytes that a greeting has reserved, and hears
them at the same place of the TLS request and the login, where both ends leave CLIENT_MYSQL out. So the greeting is
looked at on its way in, and those two packets are changed on their way out.

Invariant: `extended` says what the server and the login have both said, which is what its answers will be.
"""

from typing import Any, Final

import mysql.connector
from mysql.connector.aio.connection import MySQLConnection

from wire.constants import (
    CLIENT_DEPRECATE_EOF,
    CLIENT_FOUND_ROWS,
    CLIENT_LOCAL_FILES,
    CLIENT_MULTI_RESULTS,
    CLIENT_MULTI_STATEMENTS,
    CLIENT_MYSQL,
    CLIENT_OPTIONAL_RESULTSET_METADATA,
    CLIENT_PS_MULTI_RESULTS,
    CLIENT_QUERY_ATTRIBUTES,
    CLIENT_SESSION_TRACK,
    CLIENT_SSL,
    MARIADB_CLIENT_EXTENDED_METADATA,
    MARIADB_CLIENT_STMT_BULK_OPERATIONS,
)
from wire.login_request import greeted_caps, with_mariadb_caps

_UNWANTED: Final = (
    CLIENT_DEPRECATE_EOF | CLIENT_MULTI_STATEMENTS | CLIENT_OPTIONAL_RESULTSET_METADATA | CLIENT_FOUND_ROWS
)
_WANTED: Final = (
    CLIENT_LOCAL_FILES
    | CLIENT_MULTI_RESULTS
    | CLIENT_PS_MULTI_RESULTS
    | CLIENT_QUERY_ATTRIBUTES
    | CLIENT_SESSION_TRACK
)
_WANTED_OF_MARIADB: Final = MARIADB_CLIENT_EXTENDED_METADATA | MARIADB_CLIENT_STMT_BULK_OPERATIONS
_HEADER_BYTES: Final = 4


class Login(MySQLConnection):
    """One login."""

    found_rows = False
    tls_required = False
    extended = False
    """MARIADB_CLIENT_EXTENDED_METADATA is negotiated."""
    _own_caps = 0
    """MariaDB's own capabilities, as both ends have them."""

    async def _do_handshake(self) -> None:
        socket: Any = self._socket
        read = socket.read
        heard: list[bytes] = []

        async def listen(*args: Any) -> Any:
            packet = await read(*args)
            heard.append(bytes(packet[_HEADER_BYTES:]))
            return packet

        socket.read = listen
        try:
            await super()._do_handshake()
        finally:
            del socket.read
        greeting: Any = self._handshake
        offered: int = greeting["capabilities"]
        if self.tls_required and not offered & CLIENT_SSL:
            raise mysql.connector.InterfaceError("tls=required, but this MySQL offers no TLS", errno=2026)
        if not offered & CLIENT_SSL:
            self._ssl_disabled = True  # else the connector takes apart a cipher that is not there
        flags = self._client_flags & ~(_UNWANTED | _WANTED) | (_WANTED & offered)
        self._own_caps = greeted_caps(heard[0]) & _WANTED_OF_MARIADB
        self.extended = self._own_caps & MARIADB_CLIENT_EXTENDED_METADATA != 0
        if self._own_caps:
            flags &= ~CLIENT_MYSQL
        self._client_flags = flags | (CLIENT_FOUND_ROWS if self.found_rows else 0)

    async def _do_auth(self) -> None:
        if not self._own_caps:
            await super()._do_auth()
            return
        socket: Any = self._socket
        write = socket.write

        async def say(payload: bytes, *args: Any) -> None:
            await write(with_mariadb_caps(bytes(payload), self._own_caps), *args)

        socket.write = say
        try:
            await super()._do_auth()
        finally:
            del socket.write

    async def _post_connection(self) -> None:
        """Nothing: the base state is set by one statement of ours."""
