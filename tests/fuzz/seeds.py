"""Where fuzzing begins: what real clients and servers said, kept in `seeds.json` as hexadecimal by target."""

import json
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("seeds.json")


@cache
def _all() -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(_FILE.read_text())
    return found


def seeds_of(target: str) -> list[bytes]:
    return [bytes.fromhex(one) for one in _all().get(target, [])]
