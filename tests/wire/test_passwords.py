"""Known answers: those of MySQL's own functions and of hashcat's published examples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import fast
from wire.passwords import (
    Account,
    Decoys,
    account_from_hash,
    account_from_password,
    caching_sha2_hash,
    native_hash,
    parse_sha_crypt,
)
from wire.scramble import (
    check_native,
    check_sha2,
    make_nonce,
    mask_password,
    native_scramble,
    native_stage2,
    sha2_digest,
    sha2_scramble,
    sha_crypt,
    unmask_password,
)

NONCE = bytes(range(1, 21))
HASHCAT_7401 = (
    "0x24412430303524F9CC98CE08892924F50A213B6BC571A2C11778C5"
    "625479393559393965414D45316477456B484F41316E64484742577A2E3162785353526B7554584647562F"
)


def test_native_hash_is_that_of_mysql() -> None:
    # SELECT PASSWORD('password') on MySQL 5.7; hashcat's mode 300 example
    assert native_hash("password") == "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"
    assert native_hash("hashcat") == "*FCF7C1B8749CF99D88E5F34271D636178FB5D130"


def test_sha_crypt_vectors() -> None:
    # Drepper's own for "Unix crypt using SHA-256", as glibc's crypt(3) answers them
    assert sha_crypt(b"Hello world!", b"saltstring", 5000) == b"5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"
    assert (
        sha_crypt(b"Hello world!", b"saltstringsaltst", 10000)
        == b"3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"
    )


def test_caching_sha2_hash_known_answer() -> None:
    account = account_from_hash(HASHCAT_7401)
    assert account.crypt is not None
    assert account.crypt.rounds == 5000
    assert not account.matches(b"hashcat1")
    assert account.sha2 is None
    assert account.matches(b"hashcat")
    assert account.sha2 == sha2_digest(b"hashcat")
    assert account.matches(b"hashcat")
    assert not account.matches(b"wrong")
    assert not account.matches(b"")


def test_caching_sha2_hash_roundtrip() -> None:
    text = caching_sha2_hash("päss", NONCE)
    assert len(text) == 70
    assert text.startswith("$A$005$")
    assert account_from_hash(text).matches("päss".encode())
    assert account_from_hash("0x" + text.encode("latin-1").hex()).matches("päss".encode())
    crypt = account_from_hash(text).crypt
    assert crypt is not None
    assert parse_sha_crypt(crypt.encode()) == crypt


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        "*123",
        "*" + "g" * 40,
        "$A$005$short",
        "$A$005$" + "x" * 64,
        "0xzz",
        "$A$ZZZ$" + "x" * 63,
        "$A$000$" + "x" * 63,
        "$5$" + "x" * 67,
        "ä€" * 35,
    ],
)
def test_what_is_no_hash(text: str) -> None:
    with pytest.raises(ValueError, match="a password hash is"):
        account_from_hash(text)


def test_an_account_has_the_plugins_it_has_hashes_for() -> None:
    both = ("caching_sha2_password", "mysql_native_password")
    assert account_from_password("x").plugins() == both
    assert account_from_password("").plugins() == both
    assert account_from_password("").empty
    assert account_from_hash(native_hash("x")).plugins() == both[1:]
    assert account_from_hash(HASHCAT_7401).plugins() == both[:1]


@fast
@given(st.binary(min_size=1, max_size=60), st.binary(max_size=60), st.binary(min_size=20, max_size=20))
def test_scrambles_prove_only_their_own_password(password: bytes, other: bytes, random: bytes) -> None:
    nonce = make_nonce(random)
    assert len(nonce) == 20
    assert not set(nonce) & {0, 0x24}
    assert max(nonce) < 128
    assert check_native(native_scramble(password, nonce), nonce, native_stage2(password))
    assert check_sha2(sha2_scramble(password, nonce), nonce, sha2_digest(password))
    assert unmask_password(mask_password(password, nonce), nonce) == password
    if other != password:
        assert not check_native(native_scramble(other, nonce), nonce, native_stage2(password))
        assert not check_sha2(sha2_scramble(other, nonce), nonce, sha2_digest(password))
    assert not check_native(other, nonce, native_stage2(password))
    assert not check_sha2(other, nonce, sha2_digest(password))


def test_decoys_are_stable_and_look_like_accounts_there_are() -> None:
    native = account_from_hash(native_hash("x"))
    crypt = account_from_hash(HASHCAT_7401)
    decoys = Decoys(b"secret", [native, crypt])
    looks = {decoys.account(f"user{i}").plugins() for i in range(50)}
    assert looks == {native.plugins(), crypt.plugins()}
    for i in range(20):
        one, again = decoys.account(f"user{i}"), Decoys(b"secret", [crypt, native]).account(f"user{i}")
        assert (one.native, one.sha2, one.crypt) == (again.native, again.sha2, again.crypt)
        assert not one.matches(b"x")
    # an empty password is no kind: a decoy would let nobody in anyway
    assert Decoys(b"secret", [Account()]).account("u").plugins() == account_from_password("x").plugins()


def test_the_cache_outlives_a_configuration_read_again() -> None:
    old = account_from_hash(HASHCAT_7401)
    assert old.matches(b"hashcat")
    assert account_from_hash(HASHCAT_7401).with_cached(old).sha2 == old.sha2
    assert account_from_hash(caching_sha2_hash("hashcat", NONCE)).with_cached(old).sha2 is None
