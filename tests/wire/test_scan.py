"""The scanner against answers built by `wire.results`, which other tests hold to the documentation."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import cells, cut, cuts, fast, renumber
from wire import scan
from wire.answers import SessionChanges, eof_packet, err_payload, ok_payload
from wire.columns import text_column
from wire.constants import (
    CLIENT_DEPRECATE_EOF,
    CLIENT_SESSION_TRACK,
    MAX_PAYLOAD,
    SERVER_MORE_RESULTS_EXISTS,
    SERVER_STATUS_CURSOR_EXISTS,
    SERVER_STATUS_IN_TRANS,
)
from wire.errors import ServerProtocolError
from wire.packets import frame, iterate_payloads, packet_count
from wire.results import field_list_result, prepare_result, text_result
from wire.rows import text_row
from wire.scan import ResultScanner

AUTOCOMMIT = 2
COLUMN = text_column("c").encode()
OUTCOME = (
    "kind",
    "status_flags",
    "warnings",
    "affected_rows",
    "last_insert_id",
    "info",
    "row_count",
    "result_count",
    "error_number",
    "session_changes",
)


def run(scanner: ResultScanner, chunks: list[bytes]) -> bytes:
    """Feeds all chunks; only the last may end the answer."""
    out = []
    for index, chunk in enumerate(chunks):
        done, part = scanner.feed(chunk)
        assert done == (index == len(chunks) - 1)
        out.append(part)
    return b"".join(out)


def outcome(scanner: ResultScanner) -> list[object]:
    return [getattr(scanner, name) for name in OUTCOME]


def end(status: int, deprecate: bool, warnings: int = 0) -> bytes:
    body = status.to_bytes(2, "little")
    extra = warnings.to_bytes(2, "little")
    return b"\xfe\0\0" + body + extra if deprecate else b"\xfe" + extra + body


@dataclass
class Answer:
    """Payloads as MySQL sends them, and as the client must get them, without their sequence ids."""

    sent: list[bytes]
    wanted: list[bytes]


@st.composite
def answers(
    draw: st.DrawFn, deprecate: bool, set_: int, clear: int, track: bool, client_track: bool
) -> Answer:
    answer = Answer([], [])
    for index in range(count := draw(st.integers(1, 3))):
        more = SERVER_MORE_RESULTS_EXISTS if index < count - 1 else 0
        status = draw(st.sampled_from((0, 1, 2, 3, 0x22))) | more
        edited = status & ~clear | set_
        kind = draw(st.sampled_from(("ok", "rows", "rows", "err")))
        if kind == "ok":
            info = draw(st.binary(max_size=40))
            change = SessionChanges(schema="x") if track and draw(st.booleans()) else None
            caps = CLIENT_SESSION_TRACK if track else 0
            answer.sent.append(ok_payload(3, 1000, status, 2, info, change, caps))
            answer.wanted.append(ok_payload(3, 1000, edited, 2, info, change, caps if client_track else 0))
        elif kind == "err":
            answer.sent.append(err_payload(1064, "42000", "no"))
            answer.wanted.append(answer.sent[-1])
            return answer
        else:
            columns = draw(st.sampled_from((1, 2, 300)))
            names = bytes((columns,)) if columns < 251 else b"\xfc" + columns.to_bytes(2, "little")
            rows = [text_row([cell] * 2) for cell in draw(st.lists(cells, max_size=6))]
            head = [names] + [COLUMN] * columns
            broken = draw(st.integers(0, 5)) == 0
            tail = [err_payload(1317, "70100", "killed")] if broken else []
            answer.sent += [*head, end(status, False), *rows, *(tail or [end(status, False, 5)])]
            answer.wanted += head if deprecate else [*head, end(edited, False)]
            answer.wanted += [*rows, *(tail or [end(edited, deprecate, 5)])]
            if broken:
                return answer
    return answer


@fast
@given(
    st.data(),
    st.booleans(),
    st.sampled_from(((0, 0), (1, 2), (0x2000, 0))),
    st.booleans(),
    st.booleans(),
    cuts,
)
def test_any_answer_in_any_cut_becomes_what_the_client_wants(
    data: st.DataObject,
    deprecate: bool,
    masks: tuple[int, int],
    track: bool,
    client_track: bool,
    places: list[int],
) -> None:
    set_, clear = masks
    answer = data.draw(answers(deprecate, set_, clear, track, client_track))
    # ids of what is left out do not count: everything behind moves up
    sent, wanted = renumber(answer.sent), renumber(answer.wanted)
    whole, parts = ResultScanner(track), ResultScanner(track)
    for scanner in (whole, parts):
        scanner.begin(scan.QUERY, deprecate, client_track, set_, clear)
    assert run(whole, [sent]) == wanted
    assert run(parts, cut(sent, places)) == wanted
    assert outcome(whole) == outcome(parts)
    bytewise = ResultScanner(track)
    bytewise.begin(scan.QUERY, deprecate, client_track, set_, clear)
    assert run(bytewise, [bytes((byte,)) for byte in sent]) == wanted


def test_nothing_is_copied_when_nothing_changes() -> None:
    answer = text_result(["a"], [[b"1"]], 0)
    scanner = ResultScanner()
    scanner.begin()
    done, out = scanner.feed(answer)
    assert done
    assert out is answer
    assert (scanner.kind, scanner.row_count, scanner.column_count, scanner.status_flags) == (
        scan.RESULTSET,
        1,
        1,
        2,
    )


def test_converted_result_is_what_a_server_with_deprecate_eof_sends() -> None:
    rows = [[b"%d" % i, None] for i in range(700)]
    scanner = ResultScanner()
    scanner.begin(deprecate_eof=True)
    assert run(scanner, [text_result(["a", "b"], rows, 0, 0x22, warnings=3)]) == text_result(
        ["a", "b"], rows, CLIENT_DEPRECATE_EOF, 0x22, warnings=3
    )
    assert (scanner.row_count, scanner.warnings) == (700, 3)


@pytest.mark.parametrize("deprecate", [False, True])
@pytest.mark.parametrize("size", [MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 3, 2 * MAX_PAYLOAD])
@pytest.mark.parametrize("first", [b"\x00", b"\xfe", b"\xfd"])
def test_rows_of_16_mib(size: int, deprecate: bool, first: bytes) -> None:
    if size < MAX_PAYLOAD and first == b"\xfe":
        first = b"\xfc"
    row = first + b"\xff\xfe" * (size // 2)
    row = row[:size].ljust(size, b"\xfe")
    head = renumber([b"\x01", COLUMN])
    sequence = 4 + packet_count(size)
    sent = head + eof_packet(3, 2) + frame(row, 4) + frame(b"\x01x", sequence) + eof_packet(sequence + 1, 2)
    wanted = sent
    if deprecate:
        wanted = head + frame(row, 3) + frame(b"\x01x", sequence - 1) + frame(end(2, True), sequence)
    whole = ResultScanner()
    whole.begin(deprecate_eof=deprecate)
    assert run(whole, [sent]) == wanted
    assert whole.row_count == 2
    # cut around every header
    places = [
        len(head) + 9 + at
        for at in (0, 1, 3, 4, 5, 9, MAX_PAYLOAD + 3, MAX_PAYLOAD + 4, MAX_PAYLOAD + 5, size)
    ]
    parts = ResultScanner()
    parts.begin(deprecate_eof=deprecate)
    assert run(parts, cut(sent, [at for at in places if at < len(sent)])) == wanted
    assert parts.row_count == 2


@fast
@given(st.integers(0, 3), st.integers(0, 3), st.booleans(), cuts)
def test_prepare(parameters: int, columns: int, deprecate: bool, places: list[int]) -> None:
    definition = text_column("?")
    sent = prepare_result(77, [definition] * parameters, [definition] * columns, 0, warnings=1)
    wanted = prepare_result(
        77,
        [definition] * parameters,
        [definition] * columns,
        CLIENT_DEPRECATE_EOF if deprecate else 0,
        warnings=1,
    )
    scanner = ResultScanner()
    scanner.begin(scan.PREPARE, deprecate)
    assert run(scanner, cut(sent, places)) == wanted
    assert scanner.kind == scan.PREPARED
    assert (scanner.statement_id, scanner.parameter_count, scanner.column_count) == (77, parameters, columns)
    assert scanner.warnings == 1


def test_prepare_that_fails() -> None:
    scanner = ResultScanner()
    scanner.begin(scan.PREPARE, True)
    packet = frame(err_payload(1146, "42S02", "no table"), 1)
    assert scanner.feed(packet) == (True, packet)
    assert (scanner.kind, scanner.error_number, scanner.sqlstate, scanner.error_text) == (
        scan.ERR,
        1146,
        "42S02",
        "no table",
    )


def test_field_list_statistics_and_fetch() -> None:
    scanner = ResultScanner()
    column = text_column("a")
    scanner.begin(scan.ROWS_ONLY, True)
    assert run(scanner, [field_list_result([column], 0, 2)]) == field_list_result(
        [column], CLIENT_DEPRECATE_EOF, 2
    )
    scanner.begin(scan.STRING)
    packet = frame(b"Uptime: 1", 1)
    assert scanner.feed(packet) == (True, packet)
    assert scanner.info == b"Uptime: 1"


def test_a_cursor_of_a_procedure_is_none_of_the_answer() -> None:
    scanner = ResultScanner()
    scanner.begin(deprecate_eof=True)
    status = AUTOCOMMIT | SERVER_STATUS_CURSOR_EXISTS
    out = run(scanner, [renumber([b"\x01", COLUMN, end(status, False), b"\x011", end(status, False)])])
    assert out == renumber([b"\x01", COLUMN, b"\x011", end(status, True)])
    assert scanner.status_flags == status
    assert scanner.row_count == 1


def test_local_infile() -> None:
    scanner = ResultScanner()
    scanner.begin(deprecate_eof=True)
    request = frame(b"\xfb/tmp/file", 1)
    assert scanner.feed(request) == (True, request)
    assert (scanner.kind, scanner.filename) == (scan.LOCAL_INFILE, b"/tmp/file")
    scanner.resume_after_infile(4, 3)
    assert scanner.feed(frame(ok_payload(12), 4)) == (True, frame(ok_payload(12), 3))
    assert (scanner.kind, scanner.affected_rows) == (scan.OK, 12)
    with pytest.raises(RuntimeError):
        scanner.resume_after_infile(1, 1)


def test_commands_of_several_packets_shift_sequence_ids() -> None:
    scanner = ResultScanner()
    scanner.begin(first_sequence=2, client_first_sequence=1)
    answer = text_result(["a"], [[b"1"]] * 300, 0, sequence=2)
    assert run(scanner, cut(answer, [3, 40, 333, 1000])) == text_result(["a"], [[b"1"]] * 300, 0, sequence=1)


def test_status_flags_are_told_as_the_server_sent_them() -> None:
    scanner = ResultScanner()
    scanner.begin(status_set=SERVER_STATUS_IN_TRANS, status_clear=AUTOCOMMIT)
    assert run(scanner, [frame(ok_payload(status=AUTOCOMMIT), 1)]) == frame(ok_payload(status=1), 1)
    assert scanner.status_flags == AUTOCOMMIT


def test_session_changes_of_unknown_type_pass_to_a_client_that_tracks() -> None:
    payload = b"\0\0\0\x02\x40\0\0\0\x03\x63\x01x"
    scanner = ResultScanner(session_track=True)
    scanner.begin(client_session_track=True, status_set=1)
    assert run(scanner, [frame(payload, 1)]) == frame(b"\0\0\0\x03\x40\0\0\0\x03\x63\x01x", 1)
    assert scanner.session_changes[0].unknown_types == (0x63,)


def test_a_flag_that_announces_session_changes_where_none_are() -> None:
    """MariaDB sets it on connections without CLIENT_SESSION_TRACK; a client that tracks would read past the end."""
    scanner = ResultScanner()
    scanner.begin(deprecate_eof=True, client_session_track=True)
    out = run(scanner, [renumber([b"\x01", COLUMN, end(0x4022, False), end(0x4022, False)])])
    assert out == renumber([b"\x01", COLUMN, end(0x22, True)])
    scanner.begin(deprecate_eof=True, client_session_track=True)
    assert run(scanner, [frame(b"\0\0\0\x02\x40\0\0", 1)]) == frame(b"\0\0\0\x02\0\0\0", 1)


BROKEN = {
    "bytes behind the end": frame(ok_payload(), 1) + b"\0",
    "another answer": frame(ok_payload(), 1) + frame(ok_payload(), 1),
    "first sequence id": frame(ok_payload(), 2),
    "a row's sequence id": renumber([b"\x01", COLUMN, end(2, False), b"\x01a"]) + frame(b"\x01a", 9),
    "an id twice": renumber([b"\x01", COLUMN, end(2, False), b"\x01a"]) + frame(b"\x01a", 4),
    "EOF first": eof_packet(1, 2),
    "empty first packet": frame(b"", 1),
    "empty row": renumber([b"\x01", COLUMN, end(2, False), b""]),
    "EOF among definitions": renumber([b"\x02", COLUMN, end(2, False), COLUMN]),
    "a definition too many": renumber([b"\x01", COLUMN, COLUMN]),
    "no columns at all": renumber([b"\xfc\0\0"]),
    "column count with a tail": renumber([b"\x01\x01"]),
    "short OK": frame(b"\0\0\0", 1),
    "EOF of the wrong size": renumber([b"\x01", COLUMN, end(2, False), b"\xfe\0\0"]),
}


@pytest.mark.parametrize("stream", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("deprecate", [False, True])
def test_a_broken_server_is_given_up(stream: bytes, deprecate: bool) -> None:
    scanner = ResultScanner()
    scanner.begin(deprecate_eof=deprecate)
    with pytest.raises(ServerProtocolError):
        scanner.feed(stream)
    with pytest.raises(ServerProtocolError):
        scanner.feed(frame(ok_payload(), 1))
    with pytest.raises(RuntimeError):
        scanner.begin()


def test_what_nobody_asked_for() -> None:
    with pytest.raises(ServerProtocolError):
        ResultScanner().feed(frame(ok_payload(), 1))
    scanner = ResultScanner()
    scanner.begin()
    with pytest.raises(RuntimeError):
        scanner.begin()


@fast
@given(st.lists(st.binary(max_size=12), max_size=6), st.booleans(), st.sampled_from((0, 1, 2, 3)), cuts)
def test_noise_is_typed_and_any_cut_of_it_alike(
    payloads: list[bytes], deprecate: bool, command: int, places: list[int]
) -> None:
    stream = renumber(payloads)

    def verdict(chunks: list[bytes]) -> tuple[str, bytes]:
        scanner = ResultScanner()
        scanner.begin(command, deprecate)
        out = b""
        try:
            for chunk in chunks:
                out += scanner.feed(chunk)[1]
        except ServerProtocolError:
            return "broken", b""
        return "done" if scanner.done else "more", out

    assert (
        verdict([stream])[0] == verdict(cut(stream, places))[0] == verdict([bytes((b,)) for b in stream])[0]
    )


def test_big_results_hold_nothing_back() -> None:
    answer = text_result(["a"], [[b"x" * 5000]] * 50, 0)
    scanner = ResultScanner()
    scanner.begin(deprecate_eof=True)
    given_ = 0
    for at in range(0, len(answer), 1000):
        given_ += len(scanner.feed(answer[at : at + 1000])[1])
        assert min(at + 1000, len(answer)) - given_ < 30
    assert list(iterate_payloads(answer))
