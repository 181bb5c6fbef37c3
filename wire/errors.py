"""The two error classes of the protocol, told apart by whose fault it was (as h11 does).

A `ClientProtocolError` is answered to the client with its number and SQLSTATE, after which the connection is
closed; a `ServerProtocolError` means that the state of a connection to MySQL is no longer known, so that
connection is closed and the query gets an error of ours. `CommandError` is the mild one: the packet was well
formed but asks for what cannot be; the client gets the error and keeps its connection.
"""

from __future__ import annotations


class WireError(Exception):
    """What went wrong, as MySQL would put it: `number`, `sqlstate` (5 characters), `text`."""

    def __init__(self, number: int, sqlstate: str, text: str) -> None:
        super().__init__(text)
        self.number = number
        self.sqlstate = sqlstate
        self.text = text

    def __reduce__(self) -> tuple[type[WireError], tuple[int, str, str]]:
        return type(self), (self.number, self.sqlstate, self.text)


class ClientProtocolError(WireError):
    """The client broke the protocol: answer with this error, then close."""


class CommandError(ClientProtocolError):
    """A well-formed command that asks for something impossible: answer with this error and go on."""


class ServerProtocolError(WireError):
    """The MySQL server broke the protocol as we know it: close that connection, it cannot be trusted."""


def packet_too_large() -> ClientProtocolError:
    return ClientProtocolError(1153, "08S01", "Got a packet bigger than 'max_allowed_packet' bytes")


def out_of_order() -> ClientProtocolError:
    return ClientProtocolError(1156, "08S01", "Got packets out of order")


def bad_handshake() -> ClientProtocolError:
    return ClientProtocolError(1043, "08S01", "Bad handshake")


def malformed(what: str) -> ClientProtocolError:
    """MySQL's ER_MALFORMED_PACKET, naming the part that does not parse."""
    return ClientProtocolError(1835, "HY000", f"Malformed communication packet: {what}")


def broken_answer(what: str) -> ServerProtocolError:
    """CR_MALFORMED_PACKET with what is wrong in it; number of the client library, since we are the client."""
    return ServerProtocolError(2027, "HY000", f"Malformed packet from MySQL: {what}")
