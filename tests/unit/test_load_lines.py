"""Rows of a LOAD DATA: whatever the format, wherever pieces are cut, the fast way finds what the exact one does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import SluiceError
from router.engine.load_fields import FieldReader, Format, field_value
from router.engine.load_lines import LineSplitter, Row
from tests.wire.strategies import fast

FORMATS = {
    "tsv": Format(),
    "csv": Format(b",", b'"', b"\\", b"", b"\n"),
    "excel": Format(b",", b'"', b'"', b"", b"\r\n"),
    "bare": Format(b"|", b"", b"", b"", b"\n"),
    "quoted, no escape": Format(b";", b"'", b"", b"", b"\n"),
    "started": Format(b",", b"", b"\\", b"x>", b"\n"),
    "long ends": Format(b"ab", b'"', b"\\", b"", b"ac"),
    "long ends that double": Format(b"||", b'"', b'"', b"^", b"|;|"),
}


def exactly(data: bytes, format: Format, columns: int, wanted: tuple[int, ...], skip: int) -> list[Row]:
    splitter = LineSplitter(format, columns, wanted, skip)
    splitter._kept = data
    return list(splitter.end())


def in_pieces(
    data: bytes, cuts: list[int], format: Format, columns: int, wanted: tuple[int, ...], skip: int
) -> list[Row]:
    splitter = LineSplitter(format, columns, wanted, skip)
    rows: list[Row] = []
    at = 0
    for cut in [*sorted(cuts), len(data)]:
        rows += splitter.feed(data[at:cut])
        at = cut
    return [*rows, *splitter.end()]


@settings(fast, max_examples=400)
@given(st.data())
def test_any_text(data: st.DataObject) -> None:
    format = data.draw(st.sampled_from(list(FORMATS.values())))
    pieces = [
        format.field_end,
        format.line_end,
        format.field_end[:1],
        format.line_end[:1],
        b"N",
        b"NULL",
        b"z",
    ]
    pieces += [piece for piece in (format.enclosed, format.escape, format.line_start) if piece]
    text = b"".join(data.draw(st.lists(st.sampled_from(pieces), max_size=40)))
    columns = data.draw(st.integers(1, 4))
    wanted = tuple(sorted(data.draw(st.sets(st.integers(0, columns - 1), max_size=2))))
    skip = data.draw(st.integers(0, 2))
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=5))
    expected = exactly(text, format, columns, wanted, skip)
    found = in_pieces(text, cuts, format, columns, wanted, skip)
    assert found == expected
    for row in expected:
        for span in row.spans:
            assert span is None or 0 <= span[0] <= span[1] <= len(row.raw)


@pytest.mark.parametrize(
    ("format", "raw", "value"),
    [
        ("tsv", rb"a\tb\\c\0\Z\q", b"a\tb\\c\0\x1aq"),
        ("tsv", rb"\N", None),
        ("tsv", b"NULL", b"NULL"),
        ("csv", b"NULL", None),
        ("csv", b'"NULL"', b"NULL"),
        ("csv", b'"a ""b"" c"', b'a "b" c'),
        ("csv", b'"a\nb"', b"a\nb"),
        ("csv", b'a "b" c', b'a "b" c'),
        ("excel", b'"fie""ld"', b'fie"ld'),
        ("bare", b"a\\n", b"a\\n"),
        ("csv", b'""', b""),
        ("csv", b"", b""),
    ],
)
def test_values(format: str, raw: bytes, value: bytes | None) -> None:
    assert field_value(raw, FORMATS[format]) == value


def test_lines_of_the_manual() -> None:
    data = b'1,"a string",100.20\n2,"a string containing a , comma",102.20\n3,"a string containing a "" quote",102.20\n'
    rows = in_pieces(data, [7, 30], FORMATS["csv"], 3, (0, 1), 0)
    assert [[row.raw[a:b] for a, b in filter(None, row.spans)] for row in rows] == [
        [b"1", b'"a string"'],
        [b"2", b'"a string containing a , comma"'],
        [b"3", b'"a string containing a "" quote"'],
    ]


def test_too_few_and_too_many_fields() -> None:
    rows = in_pieces(b"1\n\n1\t2\t3\t4\n", [], FORMATS["tsv"], 2, (1,), 0)
    assert [row.spans for row in rows] == [(None,), (None,), ((2, 3),)]
    assert b"".join(row.raw for row in rows) == b"1\n\n1\t2\t3\t4\n"


def test_starting_by_skips_what_lies_before() -> None:
    rows = in_pieces(b"junk x>1,2\nnothing\nx>3,4\n", [], FORMATS["started"], 2, (0,), 0)
    assert [row.raw[row.body :] for row in rows] == [b"1,2\n", b"3,4\n"]


def test_a_row_has_a_longest_length() -> None:
    splitter = LineSplitter(FORMATS["tsv"], 2, (0,), max_row_bytes=1000)
    with pytest.raises(SluiceError) as caught:
        list(splitter.feed(b"x" * 1002))
    assert caught.value.number == 1153


def test_the_reader_says_where_fields_are() -> None:
    reader = FieldReader(b'a,"b",c', FORMATS["csv"])
    fields = [reader.next_field() for _ in range(4)]
    assert [(f.start, f.end, f.value) for f in fields if f] == [(0, 1, b"a"), (2, 5, b"b"), (6, 7, b"c")]
