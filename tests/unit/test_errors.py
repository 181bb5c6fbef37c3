"""The error table: generated docs are current, and every name that the code uses is in it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import CODES, fail

ROOT = Path(__file__).parents[2]
PACKAGES = ("core", "wire", "router", "tablet", "controlplane", "cli")


def calls_of_fail() -> list[tuple[str, str, set[str] | None]]:
    """(place, name, keywords) of every fail("NAME", ...) in the code; keywords None where ** hides some."""
    found: list[tuple[str, str, set[str] | None]] = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call) or not node.args:
                    continue
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                first = node.args[0]
                if name == "fail" and isinstance(first, ast.Constant) and isinstance(first.value, str):
                    known: set[str] | None = {one.arg for one in node.keywords if one.arg}
                    if any(one.arg is None for one in node.keywords):
                        known = None
                    found.append((f"{path.relative_to(ROOT)}:{node.lineno}", first.value, known))
    return found


def test_docs_are_what_the_table_says() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "core.errors"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert (ROOT / "docs/errors.md").read_text() == printed


def test_every_name_exists_and_gets_what_its_text_needs() -> None:
    calls = calls_of_fail()
    assert len(calls) > 50
    wrong = []
    for place, name, keywords in calls:
        if name not in CODES:
            wrong.append(f"{place}: {name} is not in the table")
        elif keywords is not None:
            try:
                fail(name, **dict.fromkeys(keywords, 1))
            except Exception as error:
                wrong.append(f"{place}: {name}: {error!r}")
    assert wrong == []


def test_unknown_name_is_an_error() -> None:
    with pytest.raises(KeyError):
        fail("NO_SUCH_ERROR")
