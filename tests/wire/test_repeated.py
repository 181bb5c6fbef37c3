"""The scanner that knows the last answer's head gives what the general one gives, whatever came before."""

from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import cut, cuts, fast, renumber
from tests.wire.test_scan import answers, outcome, run
from wire import scan
from wire.answers import err_payload
from wire.constants import CLIENT_DEPRECATE_EOF
from wire.errors import ServerProtocolError
from wire.packets import frame
from wire.repeated import RepeatedScanner
from wire.results import text_result
from wire.scan import ResultScanner

MASKS = st.sampled_from(((0, 0), (0, 0), (1, 2)))


@fast
@given(st.data(), st.lists(st.tuples(st.booleans(), MASKS), min_size=2, max_size=4), st.booleans(), cuts)
def test_as_the_general_scanner(
    data: st.DataObject, flavours: list[tuple[bool, tuple[int, int]]], track: bool, places: list[int]
) -> None:
    answer = renumber(data.draw(answers(False, 0, 0, track, False)).sent)
    other = renumber(data.draw(answers(False, 0, 0, track, False)).sent)
    known, general = RepeatedScanner(track), ResultScanner(track)
    for deprecate, (set_, clear) in flavours:
        for sent in (answer, answer, other):
            for chunks in ([sent], cut(sent, places)):
                known.begin(scan.QUERY, deprecate, False, set_, clear)
                general.begin(scan.QUERY, deprecate, False, set_, clear)
                assert run(known, chunks) == run(general, chunks)
                assert outcome(known) == outcome(general)
                assert known.next_client_sequence == general.next_client_sequence
                if known.kind == scan.RESULTSET:
                    assert known.column_count == general.column_count


def test_rows_behind_a_known_head() -> None:
    scanner = RepeatedScanner()
    for deprecate in (False, True, False):
        for rows in ([], [[b"1", None]], [[None, b"x"]] * 700, [[b"2", b""]]):
            scanner.begin(scan.QUERY, deprecate)
            done, out = scanner.feed(text_result(["a", "b"], rows, 0, 0x22, warnings=3))
            caps = CLIENT_DEPRECATE_EOF if deprecate else 0
            assert done
            assert out == text_result(["a", "b"], rows, caps, 0x22, warnings=3)
            assert (scanner.row_count, scanner.column_count, scanner.warnings) == (len(rows), 2, 3)


def test_what_breaks_off_or_goes_wrong_behind_a_known_head() -> None:
    answer = text_result(["a"], [[b"1"], [b"2"]], 0)
    error = frame(err_payload(1317, "70100", "killed"), 6)
    for size in range(len(answer)):
        scanner = RepeatedScanner()
        scanner.begin()
        scanner.feed(answer)
        scanner.begin()
        assert run(scanner, [answer[:size], answer[size:]]) == answer
    scanner.begin()
    assert scanner.feed(answer[:-9] + error) == (True, answer[:-9] + error)
    assert scanner.kind == scan.ERR
    for broken in (answer + b"\0", answer[:-6] + b"\7" + answer[-5:]):
        general = ResultScanner()
        for one in (scanner, general):
            one.begin()
            try:
                one.feed(broken)
            except ServerProtocolError:
                continue
            raise AssertionError(broken)
        scanner = RepeatedScanner()
        scanner.begin()
        scanner.feed(answer)
