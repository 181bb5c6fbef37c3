"""Vitess's vectors (unicode_test.go, unicodeloosemd5_test.go, unicodeloosexxhash_test.go), and keys that Go's collate
package gave for random texts."""

import unicodedata
from pathlib import Path

import pytest

from router.vindexes import VindexError, create
from router.vindexes.base import Vindex
from router.vindexes.collation import CollationError, RootCollation, root_collation

DATA = Path(__file__).parent / "data"


def vindex(kind: str) -> Vindex:
    made = create(kind, "v", {})
    assert isinstance(made, Vindex)
    return made


@pytest.fixture(scope="module")
def collation() -> RootCollation:
    return root_collation()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Test", b"\x18\x16\x16L\x17\xf3\x18\x16"),
        ("TEST", b"\x18\x16\x16L\x17\xf3\x18\x16"),
        ("Te\u0301st", b"\x18\x16\x16L\x17\xf3\x18\x16"),
        ("Tést", b"\x18\x16\x16L\x17\xf3\x18\x16"),
        ("Bést", b"\x16\x05\x16L\x17\xf3\x18\x16"),
        (" Test", b"\x01\t\x18\x16\x16L\x17\xf3\x18\x16"),
        ("Test\t", b"\x18\x16\x16L\x17\xf3\x18\x16\x01\x00"),
        ("TéstLooong", b"\x18\x16\x16L\x17\xf3\x18\x16\x17\x11\x17q\x17q\x17q\x17O\x16\x91"),
        ("T", b"\x18\x16"),
        ("", b""),
    ],
)
def test_key(collation: RootCollation, text: str, key: bytes) -> None:
    assert collation.key(text) == key


@pytest.mark.parametrize(
    ("value", "md5", "xxhash"),
    [
        ("Test", "0b5edbb401fd7524393690491d64f1f5", "42d21361087a4c07"),
        ("TEST", "0b5edbb401fd7524393690491d64f1f5", "42d21361087a4c07"),
        ("Te\u0301st", "0b5edbb401fd7524393690491d64f1f5", "42d21361087a4c07"),
        ("Tést", "0b5edbb401fd7524393690491d64f1f5", "42d21361087a4c07"),
        ("Test ", "0b5edbb401fd7524393690491d64f1f5", "42d21361087a4c07"),
        ("Bést", "c2b2332e4f73d00741026249706f2fb6", "926975b9ce2ec316"),
        (" Test", "a2e3515c7e8df1ffd2ccfc11c6b19dd1", "4fcb8be34ec05775"),
        ("Test\t", "82456dd87a9c7a02b1c2056b5abaa272", "20af87fc36e3fd51"),
        ("TéstLooong", "9683e12b80430cd453f5dfdfba81c9a5", "d3ea873942b484a7"),
        ("T", "ac0f9179f51db87fe8ecc0cf40cab97a", "f81c3be2d501fe18"),
        (None, "d41d8cd98f00b204e9800998ecf8427e", "99e9d85137db46ef"),
    ],
)
def test_digests(value: str | None, md5: str, xxhash: str) -> None:
    for kind, expected in (("unicode_loose_md5", md5), ("unicode_loose_xxhash", xxhash)):
        found = vindex(kind).keyspace_id(value)
        assert found is not None
        assert found.hex() == expected
        if value is not None:
            assert vindex(kind).keyspace_id(value.encode()) == found


def test_keys_equal_those_of_go(collation: RootCollation) -> None:
    lines = (DATA / "collation_keys.txt").read_text().splitlines()
    assert len(lines) == 600
    for line in lines:
        text, _, key = line.partition("\t")
        assert collation.key(bytes.fromhex(text).decode()).hex() == key, line


def test_canonically_equal_texts_have_one_key(collation: RootCollation) -> None:
    for text in ("Ünïcödé", "Ångström", "ёжик", "й", "한국어", "が", "ﬁ", "ﷺ"):
        assert collation.key(text) == collation.key(unicodedata.normalize("NFD", text))


def test_contractions(collation: RootCollation) -> None:
    assert collation.key("l·l") == collation.key("ll")  # Catalan
    assert collation.key("й") != collation.key("и")  # a letter of its own
    assert collation.key("и\u0301") == collation.key("и")  # only stressed
    assert collation.key("и\u0327\u0306") == collation.key("й")  # a mark of another class between
    assert collation.key("เก") == collation.key("ก") + collation.key(
        "เ"
    )  # Thai vowels follow their consonant


def test_implicit_weights(collation: RootCollation) -> None:
    assert collation.key("一") == bytes.fromhex("814e00")  # U+4E00 + 0x10000
    assert collation.key("\u3400") == bytes.fromhex("823400")
    assert collation.key("\U0001f900") == bytes.fromhex("86f900")  # younger than the table: + 0x50000


@pytest.mark.parametrize(
    "value", [b"\x99\xeb\x9d\x18\xa4G\x84\x04]", b"D\x86\x15\xbb", b"\xed\xa0\x80", "\ud800"]
)
@pytest.mark.parametrize("kind", ["unicode_loose_md5", "unicode_loose_xxhash"])
def test_invalid_text_is_refused(kind: str, value: bytes | str) -> None:
    with pytest.raises(VindexError, match="not valid U"):
        vindex(kind).keyspace_id(value)


def test_too_many_marks_are_refused_only_where_their_order_matters(collation: RootCollation) -> None:
    assert collation.key("a" + "\u0301" * 100) == collation.key("a")
    text = "a" + "\u0363\u0301" * 16
    with pytest.raises(CollationError, match="more than 30 combining marks"):
        collation.key(text)
    with pytest.raises(VindexError, match="more than 30 combining marks"):
        vindex("unicode_loose_md5").keyspace_id(text)


def test_numbers_count_as_their_text() -> None:
    md5 = vindex("unicode_loose_md5")
    assert md5.keyspace_id(42) == md5.keyspace_id("42")


def test_the_cache_is_bounded(collation: RootCollation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.vindexes.collation._CACHED_CHARACTERS", 50)
    text = "".join(map(chr, range(0x4E00, 0x4F00)))
    expected = b"".join((code + 0x810000).to_bytes(3, "big") for code in range(0x4E00, 0x4F00))
    assert collation.key(text) == expected
    assert len(collation._keys) <= 50
