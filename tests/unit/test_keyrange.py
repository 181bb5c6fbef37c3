import random

import pytest

from core.keyrange import (
    FULL_RANGE,
    KeyRange,
    KeyRangeError,
    ShardMap,
    partition_error,
    prefix_range,
)


@pytest.mark.parametrize(
    ("name", "start", "end", "written"),
    [
        ("-", b"", b"", "-"),
        ("0", b"", b"", "-"),
        ("-80", b"", b"\x80", "-80"),
        ("40-80", b"\x40", b"\x80", "40-80"),
        ("c0-", b"\xc0", b"", "c0-"),
        ("1080-1100", b"\x10\x80", b"\x11", "1080-11"),
        ("00-80", b"", b"\x80", "-80"),
    ],
)
def test_parse_and_format(name: str, start: bytes, end: bytes, written: str) -> None:
    key_range = KeyRange.parse(name)
    assert (key_range.start, key_range.end) == (start, end)
    assert str(key_range) == written
    assert KeyRange.parse(written) == key_range


@pytest.mark.parametrize(
    "name", ["", "80", "8-", "-8", "80-40", "40-40", "-00", "zz-", "-80-", "-C0", "4 0-", " -80", "1"]
)
def test_parse_refuses(name: str) -> None:
    with pytest.raises(KeyRangeError, match="shard name"):
        KeyRange.parse(name)


def test_contains() -> None:
    key_range = KeyRange.parse("40-80")
    assert key_range.contains(b"\x40")
    assert key_range.contains(b"\x7f\xff\xff")
    assert not key_range.contains(b"\x80")
    assert not key_range.contains(b"\x3f\xff")
    assert FULL_RANGE.contains(b"")
    assert not key_range.contains(b"")


@pytest.mark.parametrize(
    ("names", "error"),
    [
        (["-"], None),
        (["0"], None),
        (["-80", "80-"], None),
        (["80-", "-80"], None),
        (["-40", "40-80", "80-c0", "c0-"], None),
        (["-4000", "40-"], None),
        ([], "no shards are named"),
        (["-80"], "no shard holds key range 80-"),
        (["80-"], "no shard holds key range -80"),
        (["-40", "80-"], "no shard holds key range 40-80"),
        (["-80", "40-"], 'shards "-80" and "40-" overlap: both hold key range 40-80'),
        (["-", "80-"], 'shards "-" and "80-" overlap: both hold key range 80-'),
        (["-80", "-80", "80-"], 'shards "-80" and "-80" overlap: both hold key range -80'),
        (["-80", "80"], 'shard name "80" is not a key range: expected START-END such as "-80" or "40-80"'),
    ],
)
def test_partition_error(names: list[str], error: str | None) -> None:
    assert partition_error(names) == error
    if error is not None:
        with pytest.raises(KeyRangeError):
            ShardMap(names)


def test_shard_map_agrees_with_ranges() -> None:
    generator = random.Random(4)
    for _ in range(60):
        bounds = sorted(
            {
                generator.randbytes(generator.choice((1, 1, 2, 3))).rstrip(b"\0")
                for _ in range(generator.randrange(9))
            }
            - {b""}
        )
        names = [str(KeyRange(a, b)) for a, b in zip([b"", *bounds], [*bounds, b""], strict=True)]
        shards = ShardMap(generator.sample(names, len(names)))
        assert list(shards.names) == names
        probes = [b"", *bounds, *(bound + b"\0" for bound in bounds), *(bound[:-1] for bound in bounds)]
        probes += [generator.randbytes(generator.randrange(9)) for _ in range(200)]
        for probe in probes:
            holders = [name for name in names if KeyRange.parse(name).contains(probe)]
            assert holders == [shards.shard_for(probe)]


def test_shard_map_keeps_names_as_given() -> None:
    shards = ShardMap(["8000-", "00-80"])
    assert shards.names == ("00-80", "8000-")
    assert shards.shard_for(b"\x80") == "8000-"
    assert shards.range_of("8000-") == KeyRange(b"\x80", b"")
    assert len(shards) == 2
    with pytest.raises(KeyError):
        shards.range_of("80-")


def test_shards_in() -> None:
    shards = ShardMap(["-40", "40-80", "80-c0", "c0-"])
    assert shards.shards_in(KeyRange.parse("40-80")) == ("40-80",)
    assert shards.shards_in(KeyRange.parse("30-81")) == ("-40", "40-80", "80-c0")
    assert shards.shards_in(FULL_RANGE) == shards.names


@pytest.mark.parametrize(
    ("prefix", "written"),
    [
        (b"", "-"),
        (b"\x16\x6b", "166b-166c"),
        (b"\x16\xff", "16ff-17"),
        (b"\xff", "ff-"),
        (b"\x16\0", "16-1601"),
        (b"\0", "-01"),
    ],
)
def test_prefix_range(prefix: bytes, written: str) -> None:
    key_range = prefix_range(prefix)
    assert str(key_range) == written
    assert key_range.contains(prefix + b"\xff")
