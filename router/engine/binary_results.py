"""Several results of a CALL, text ones (classic EOF flavour), as the client of a prepared statement gets them.

Invariant: what ends the answer, an OK or an ERR packet, passes as it is, but for its number.
"""

from __future__ import annotations

from dataclasses import replace

from router.engine.output import ClientFlavour, Output
from wire.answers import is_eof, parse_eof
from wire.columns import parse_column
from wire.constants import ERR_HEADER, OK_HEADER
from wire.packets import iterate_payloads, read_lenenc_int


def binary_results(data: bytes, client: ClientFlavour) -> bytes:
    """The whole answer for `client`. Raises ServerProtocolError."""
    output = Output(replace(client, more_results=True, ended=None), None, 0)
    payloads = iterate_payloads(data)
    for first in payloads:
        if first[0] in (OK_HEADER, ERR_HEADER):
            output.error(first)  # the end, in place of a result
            continue
        definitions = [next(payloads) for _ in range(read_lenenc_int(first, 0)[0])]
        status = parse_eof(next(payloads)).status
        output.header([parse_column(one) for one in definitions], definitions, status)
        for row in payloads:
            if is_eof(row):
                end = parse_eof(row)
                output.end(end.status, end.warnings)
                output.sequence = (output.sequence + 1) & 0xFF  # it is not the answer's end
                break
            if row[0] == ERR_HEADER:
                output.error(row)
                break
            output.row(row)
    return b"".join(output.take())
