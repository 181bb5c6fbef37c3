"""Which cases are not equal yet, and why: `expected.json`, case id to "KIND: reason".

Invariant: the list only shrinks. A listed case that is equal, and an equal case that is not any more, both fail.
"""

import json
from pathlib import Path
from typing import Final

from tests.differential.compare import EQUAL, Verdict

FILE: Final = Path(__file__).with_name("expected.json")


def read() -> dict[str, str]:
    found: dict[str, str] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def write(found: dict[str, Verdict]) -> None:
    """Replaces the file by what was found."""
    listed = {name: f"{v.kind}: {v.reason}" for name, v in sorted(found.items()) if v.kind != EQUAL}
    FILE.write_text(json.dumps(listed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def differences(found: dict[str, Verdict]) -> list[str]:
    """A line for each case that is not as the file says."""
    listed = read()
    lines = []
    for name, verdict in found.items():
        expected = listed.get(name, EQUAL).partition(":")[0]
        if expected != verdict.kind:
            lines.append(f"{name}: expected {expected}, found {verdict.kind}: {verdict.reason}")
    lines += [f"{name}: listed, but no such case" for name in listed.keys() - found.keys()]
    return lines
