"""Which cases are not equal yet, and why: `expected.json`, case id to "KIND: reason".

Invariant: the list only shrinks. A listed case that is equal, and an equal case that is not any more, both fail.
"""

import json
from pathlib import Path
from typing import Final

from tests.differential.compare import EQUAL, WRONG, Verdict

FILE: Final = Path(__file__).with_name("expected.json")


def read() -> dict[str, str]:
    found: dict[str, str] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def write(found: dict[str, Verdict]) -> None:
    """Replaces the file by what was found."""
    listed = {name: f"{v.kind}: {v.reason}" for name, v in sorted(found.items()) if v.kind != EQUAL}
    FILE.write_text(json.dumps(listed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _gist(listed: str) -> tuple[str, str]:
    """The kind, and of a refusal its error's number: the wording may change."""
    kind, _, reason = listed.partition(": ")
    number = reason.partition(":")[0]
    return kind, number if number.isdigit() else ""


def differences(found: dict[str, Verdict]) -> list[str]:
    """A line for each case that is not as the file says, and for each wrong answer, whatever it says."""
    listed = read()
    lines = [f"{name}: wrong: {verdict.reason}" for name, verdict in found.items() if verdict.kind == WRONG]
    for name, verdict in found.items():
        expected = listed.get(name, EQUAL)
        if _gist(expected) != _gist(f"{verdict.kind}: {verdict.reason}"):
            lines.append(f"{name}: expected {expected}, found {verdict.kind}: {verdict.reason}")
    lines += [f"{name}: listed, but no such case" for name in listed.keys() - found.keys()]
    return lines
