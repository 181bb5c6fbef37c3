"""A slice of the fuzzing for every run of the tests: the captures, changed in ways that are the same everywhere."""

from random import Random

import pytest

from tests.fuzz.seeds import seeds_of
from tests.fuzz.targets import TARGETS

RUNS = {"login": 5000, "lines": 6000}
_MARKS = (
    b"\0",
    b"\xff",
    b"\xfb",
    b"\xfc\xff\xff",
    b"\xfd\xff\xff\xff",
    b"\xfe" + b"\xff" * 8,
    b"\xff\xff\xff\0",
)


def changed(seed: bytes, chance: Random) -> bytes:
    data = bytearray(seed)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(data) + 1)
        kind = chance.randrange(5)
        if kind == 0 and at < len(data):
            data[at] = chance.randrange(256)
        elif kind == 1:
            data[at:at] = chance.choice(_MARKS)
        elif kind == 2:
            del data[at : at + chance.randrange(1, 9)]
        elif kind == 3:
            data[at:at] = data[at : at + chance.randrange(1, 33)]
        elif at < len(data):
            data[at] ^= 1 << chance.randrange(8)
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_changed_captures(name: str) -> None:
    target, chance = TARGETS[name], Random(f"sluice {name}")
    seeds = seeds_of(name)
    for seed in [*seeds, b"", b"\0"]:
        target(seed)
    for _ in range(RUNS.get(name, 12_000)):
        target(changed(chance.choice(seeds), chance))
