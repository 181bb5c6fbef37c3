"""Vitess's published vectors (go/vt/vtgate/vindexes/*_test.go), and what we accept beyond them."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from core.keyrange import prefix_range
from router.vindexes import (
    Lookup,
    MultiColumnVindex,
    Value,
    Vindex,
    VindexError,
    VindexParamError,
    create,
    known_types,
    unknown_params,
)


def single(kind: str, **params: str) -> Vindex:
    vindex = create(kind, "v", params)
    assert isinstance(vindex, Vindex)
    return vindex


def multi(kind: str, **params: str) -> MultiColumnVindex:
    vindex = create(kind, "v", params)
    assert isinstance(vindex, MultiColumnVindex)
    return vindex


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, "166b40b44aba4bd6"),
        (2, "06e7ea22ce92708f"),
        (3, "4eb190c9a2fa169c"),
        (4, "d2fd8867d50d2dfe"),
        (5, "70bb023c810ca87a"),
        (6, "f098480ac4c4be71"),
        (0, "8ca64de9c1b123a7"),
        (11, "aefc44491cfe474c"),
        (0x100000000000000, "0d9f279ba5d87260"),
        (0x800000000000000, "20b9e767b2fb1456"),
        (2**64 - 1, "355550b2150e2451"),
    ],
)
def test_hash(value: int, expected: str) -> None:
    vindex = single("hash")
    wanted = bytes.fromhex(expected)
    assert vindex.keyspace_id(value) == wanted
    assert vindex.keyspace_id(str(value)) == wanted
    assert vindex.keyspace_id(f" {value}\t".encode()) == wanted
    assert vindex.keyspace_id(f"+00{value}") == wanted
    assert vindex.keyspace_id(Decimal(value)) == wanted
    assert vindex.keyspace_id(Decimal(f"{value}.00")) == wanted


def test_hash_of_negative_numbers_is_of_the_two_s_complement() -> None:
    vindex = single("hash")
    assert vindex.keyspace_id(-1) == vindex.keyspace_id(2**64 - 1)
    assert vindex.keyspace_id("-1") == vindex.keyspace_id(-1)
    assert vindex.keyspace_id(-(2**63)) == vindex.keyspace_id(2**63)
    assert vindex.keyspace_id(True) == vindex.keyspace_id(1)


INTEGER_TYPES = [
    ("hash", {}),
    ("numeric", {}),
    ("reverse_bits", {}),
    ("numeric_static_map", {"json": "{}"}),
]


@pytest.mark.parametrize(("kind", "params"), INTEGER_TYPES)
@pytest.mark.parametrize(
    "value", [None, 2**64, -(2**63) - 1, "9" * 30, "9" * 5000, Decimal("1.5"), Decimal("1e1000000")]
)
def test_integer_vindexes_no_shard(kind: str, params: dict[str, str], value: Value) -> None:
    assert single(kind, **params).keyspace_id(value) is None


@pytest.mark.parametrize(("kind", "params"), INTEGER_TYPES)
@pytest.mark.parametrize(
    "value", ["", " ", "aa", "1x", "1.0", "1e3", "0x10", "--1", b"\xff", "\u0661", Decimal("NaN")]
)
def test_integer_vindexes_refuse(kind: str, params: dict[str, str], value: Value) -> None:
    with pytest.raises(VindexError, match="is not a"):
        single(kind, **params).keyspace_id(value)


def test_refusals_tell_the_value_in_short() -> None:
    with pytest.raises(VindexError) as caught:
        single("hash").keyspace_id("x" * 1000)
    assert caught.value.reason == "it is not an integer"
    assert len(caught.value.value) == 64
    with pytest.raises(VindexError, match="type float"):
        single("hash").keyspace_id(1.5)  # type: ignore[arg-type]
    with pytest.raises(VindexError, match="type float"):
        single("xxhash").keyspace_id(1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", range(1, 9))
def test_numeric(value: int) -> None:
    assert single("numeric").keyspace_id(value) == bytes(7) + bytes((value,))
    assert single("numeric").keyspace_id(str(value)) == bytes(7) + bytes((value,))


@pytest.mark.parametrize("kind", ["numeric", "reverse_bits"])
def test_negative_numbers_are_in_no_shard(kind: str) -> None:
    assert single(kind).keyspace_id(-1) is None
    assert single(kind).keyspace_id("-1") is None


@pytest.mark.parametrize(
    ("value", "first"), [(1, 0x80), (2, 0x40), (3, 0xC0), (4, 0x20), (5, 0xA0), (6, 0x60)]
)
def test_reverse_bits(value: int, first: int) -> None:
    assert single("reverse_bits").keyspace_id(value) == bytes((first,)) + bytes(7)


def test_reverse_bits_end_to_end() -> None:
    assert single("reverse_bits").keyspace_id(2**63) == bytes(7) + b"\x01"
    assert single("reverse_bits").keyspace_id(0x0102030405060708) == bytes.fromhex("10e060a020c04080")


def test_numeric_static_map(tmp_path: Path) -> None:
    file = tmp_path / "map.json"
    file.write_text(json.dumps({"3": 2}))
    for vindex in (
        single("numeric_static_map", json='{"3": 2}'),
        single("numeric_static_map", json_path=str(file)),
    ):
        ids = [vindex.keyspace_id(value) for value in (1, 2, 3, 4)]
        assert ids == [bytes(7) + bytes((value,)) for value in (1, 2, 2, 4)]


def test_numeric_static_map_with_fallback() -> None:
    vindex = single("numeric_static_map", json='{"1": 2}', fallback_type="xxhash")
    assert vindex.keyspace_id(1) == bytes(7) + b"\x02"
    assert vindex.keyspace_id(2) == single("xxhash").keyspace_id(2)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("test1", "d01ab7e4d6978f0b"),
        ("test2", "87eb11714c0a0e89"),
        ("testaverylongvaluetomakesurethisworks", "81d8c38e0d850e6a"),
        (1, "d46405367612b4b7"),
        (None, "99e9d85137db46ef"),
        (-1, "d8e2a6a7c8c7623d"),
        (18446744073709551615, "477cfa8d6d8f1f8d"),
        (9223372036854775807, "b37eb01f7bffafd8"),
        (-9223372036854775808, "102c27ddb26a609e"),
    ],
)
def test_xxhash(value: Value, expected: str) -> None:
    found = single("xxhash").keyspace_id(value)
    assert found is not None
    assert found.hex() == expected
    if isinstance(value, int):
        assert single("xxhash").keyspace_id(str(value)) == found


def test_binary_md5() -> None:
    vindex = single("binary_md5")
    test = vindex.keyspace_id("Test")
    assert test == b"\x0c\xbcf\x11\xf5T\x0b\xd0\x80\x9a8\x8d\xc9Za["
    assert vindex.keyspace_id(b"Test") == test
    assert vindex.keyspace_id("TEST") == b"\x03;\xd9K\x11h\xd7\xe4\xf0\xd6D\xc3\xc9^5\xbf"
    assert vindex.keyspace_id("TEst") != test


def test_binary() -> None:
    vindex = single("binary")
    for value in (b"test", b"test2", b"\x00\x01\xff", b""):
        assert vindex.keyspace_id(value) == value
    assert vindex.keyspace_id("é") == b"\xc3\xa9"
    assert vindex.keyspace_id(Decimal("1.50")) == b"1.50"
    assert vindex.keyspace_id(Decimal("1E+3")) == b"1000"
    assert vindex.keyspace_id(None) == b""
    with pytest.raises(VindexError, match="Unicode"):
        vindex.keyspace_id("\ud800")


def test_null() -> None:
    assert {single("null").keyspace_id(value) for value in (1, "x", None)} == {b"\0"}


def test_cfc() -> None:
    assert single("cfc").keyspace_id(b"abcdef") == b"abcdef"
    vindex = single("cfc", hash="md5", offsets="[2,4]")
    md5 = single("binary_md5").keyspace_id

    def piece(text: bytes) -> bytes:
        digest = md5(text)
        assert digest is not None
        return digest[: len(text)]

    assert vindex.keyspace_id(b"abcdef") == piece(b"ab") + piece(b"cd") + piece(b"ef")
    assert vindex.keyspace_id(b"abcd") == piece(b"ab") + piece(b"cd")
    with pytest.raises(VindexError, match="needs 4"):
        vindex.keyspace_id(b"abc")


@pytest.mark.parametrize(
    ("values", "expected"),
    [((1, 1, 1), "166b40166b40166b"), ((255, 1, 1), "254e88166b40166b"), ((256, 1, 1), "dd7c0b166b40166b")],
)
def test_multicol(values: tuple[int, ...], expected: str) -> None:
    vindex = multi("multicol", column_count="3")
    assert (vindex.cost, vindex.column_count, vindex.partial) == (3, 3, True)
    assert vindex.row_keyspace_id(values) == bytes.fromhex(expected)
    for length in (1, 2, 3):
        prefix = bytes.fromhex(expected)[: (3, 6, 8)[length - 1]]
        assert vindex.prefix(values[:length]) == prefix_range(prefix)


def test_multicol_refuses() -> None:
    vindex = multi("multicol", column_count="3")
    with pytest.raises(VindexError):
        vindex.row_keyspace_id(("abcd", 256, 256))
    with pytest.raises(VindexError, match="2 values"):
        vindex.row_keyspace_id((1, 1))
    assert vindex.row_keyspace_id((1, None, 1)) is None
    assert vindex.prefix((None,)) is None


def test_multicol_pads_short_columns_but_the_last() -> None:
    vindex = multi("multicol", column_count="2", column_bytes="4", column_vindex="binary,binary")
    assert vindex.row_keyspace_id((b"ab", b"c")) == b"ab\0\0c"
    assert vindex.row_keyspace_id((b"abcdef", b"123456")) == b"abcd1234"


def test_region_experimental() -> None:
    one, two = multi("region_experimental", region_bytes="1"), multi("region_experimental", region_bytes="2")
    # Vitess: region_experimental_test.go
    assert one.row_keyspace_id((1, 1)) == b"\x01\x16k@\xb4J\xbaK\xd6"
    assert one.row_keyspace_id((255, 1)) == b"\xff\x16k@\xb4J\xbaK\xd6"
    assert one.row_keyspace_id((256, 1)) == b"\x00\x16k@\xb4J\xbaK\xd6"
    assert two.row_keyspace_id((256, 1)) == b"\x01\x00\x16k@\xb4J\xbaK\xd6"
    assert two.row_keyspace_id((0x10000, 1)) == b"\x00\x00\x16k@\xb4J\xbaK\xd6"
    assert str(one.prefix((1,))) == "01-02"
    assert str(one.prefix((255,))) == "ff-"


def test_region_json(tmp_path: Path) -> None:
    file = tmp_path / "regions.json"
    file.write_text('{"us": 1, "in": 258}')
    vindex = multi("region_json", region_map=str(file), region_bytes="2")
    assert vindex.row_keyspace_id((1, "us")) == b"\x00\x01\x16k@\xb4J\xbaK\xd6"
    assert vindex.row_keyspace_id((1, b"in")) == b"\x01\x02\x16k@\xb4J\xbaK\xd6"
    assert vindex.row_keyspace_id((1, "fr")) is None
    with pytest.raises(VindexError, match="both"):
        vindex.prefix((1,))


def test_lookup_is_recognised_and_does_not_route() -> None:
    vindex = create(
        "consistent_lookup_unique", "by_name", {"table": "ks.t", "from": "a, b", "to": "keyspace_id"}
    )
    assert isinstance(vindex, Lookup)
    assert (vindex.functional, vindex.unique, vindex.cost) == (False, True, 10)
    assert (vindex.table, vindex.columns, vindex.target) == ("ks.t", ("a", "b"), "keyspace_id")
    with pytest.raises(VindexError, match="by_name is a lookup vindex"):
        vindex.keyspace_id(1)


@pytest.mark.parametrize(
    ("kind", "params", "error"),
    [
        ("no_such", {}, 'unknown vindex type "no_such"; known are binary, binary_md5'),
        ("numeric_static_map", {}, 'one of the parameters "json" and "json_path"'),
        (
            "numeric_static_map",
            {"json": "{}", "json_path": "x"},
            'one of the parameters "json" and "json_path"',
        ),
        ("numeric_static_map", {"json": "[1]"}, "not a JSON object"),
        ("numeric_static_map", {"json": "{"}, "not JSON"),
        ("numeric_static_map", {"json": '{"a": 1}'}, 'key "a"'),
        ("numeric_static_map", {"json": '{"1": -1}'}, '"1" must map to an unsigned integer'),
        ("numeric_static_map", {"json_path": "/no/such/file"}, "cannot read /no/such/file"),
        ("numeric_static_map", {"json": "{}", "fallback_type": "lookup"}, 'type "lookup" cannot be a part'),
        ("cfc", {"hash": "sha1"}, "xxhash64"),
        ("cfc", {"hash": "md5"}, "rising"),
        ("cfc", {"hash": "md5", "offsets": "[4,2]"}, "rising"),
        ("multicol", {}, "column_count"),
        ("multicol", {"column_count": "0"}, "1 to 8"),
        ("multicol", {"column_count": "9"}, "1 to 8"),
        ("multicol", {"column_count": "3", "column_bytes": "1,2,3,4"}, "more numbers"),
        ("multicol", {"column_count": "3", "column_bytes": "100,200,300"}, "8 bytes"),
        ("multicol", {"column_count": "3", "column_vindex": "binary,binary,binary,binary"}, "more vindexes"),
        ("multicol", {"column_count": "3", "column_vindex": "binary,binary,null"}, '"null" cannot be a part'),
        ("multicol", {"column_count": "3", "column_vindex": "binary,binary,cfc"}, '"cfc" cannot be a part'),
        ("multicol", {"column_count": "3", "column_vindex": "binary,,lookup"}, '"lookup" cannot be a part'),
        ("region_experimental", {"region_bytes": "3"}, 'must be "1" or "2"'),
        ("region_json", {"region_bytes": "1"}, "region_map"),
    ],
)
def test_wrong_parameters(kind: str, params: dict[str, str], error: str) -> None:
    with pytest.raises(VindexParamError, match=error):
        create(kind, "v", params)


def test_multicol_shares_out_what_is_left_of_eight_bytes() -> None:
    vindex = multi("multicol", column_count="3", column_bytes=",4", column_vindex="binary,binary,binary")
    assert vindex.row_keyspace_id((b"abcdefgh", b"ABCDEFGH", b"12345678")) == b"abABCD12"


def test_unknown_params_are_named() -> None:
    assert unknown_params("hash", {"table": "t"}) == ("table",)
    assert unknown_params("lookup", {"table": "t", "from": "a", "to": "b"}) == ()
    assert unknown_params("multicol", {"column_count": "1", "hello": "world"}) == ()


def test_costs_and_uniqueness_are_vitess_s() -> None:
    costs = {
        "numeric": 0,
        "binary": 0,
        "null": 100,
        "lookup": 20,
        "lookup_unique": 10,
        "consistent_lookup": 20,
    }
    for kind, cost in costs.items():
        assert create(kind, "v", {}).cost == cost
    for kind in (
        "hash",
        "xxhash",
        "binary_md5",
        "reverse_bits",
        "unicode_loose_md5",
        "unicode_loose_xxhash",
        "cfc",
    ):
        vindex = create(kind, "v", {})
        assert (vindex.name, vindex.cost, vindex.unique, vindex.functional) == ("v", 1, True, True)
    assert len(known_types()) == 23
