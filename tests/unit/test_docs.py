"""README and docs against the code: what they name exists, and what exists is named."""

import dataclasses
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cli.main import COMMANDS
from core import config
from core.errors import BY_NUMBER
from router.daemon import metrics
from router.vindexes.registry import known_types
from router.vschema import VSchema, parse

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def rows(section: str) -> dict[str, list[str]]:
    """First column to the others, of the tables under `## section`."""
    text = README.split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {cells[0]: cells[1:] for cells in lines if cells[0] not in ("key", "---")}


def test_every_key_of_the_file_is_in_the_table_with_its_default() -> None:
    table: dict[str, str] = {}
    for key, cells in rows("Configuration").items():
        if match := re.match(r"`\[(\w+)\] (\w+)`", key):
            for name in re.findall(r"`(?:\[\w+\] )?(\w+)`", key):
                table[f"{match[1]}.{name}"] = cells[0].strip('`"')
    expected: dict[str, str] = {}
    for name in ("cluster", "etcd", "router", "tablet", "mysql"):
        for field in dataclasses.fields(getattr(config, name.capitalize())):
            default: Any = field.default
            expected[f"{name}.{field.name}"] = (
                "[]" if default == () else str(default).lower() if isinstance(default, bool) else str(default)
            )
    assert table == expected


def test_every_command_is_in_the_table() -> None:
    text = " ".join(rows("Commands"))
    for command in COMMANDS:
        assert f"`clusterctl {command}" in text


def test_every_error_that_is_named_exists() -> None:
    for text in (README, OPERATIONS):
        for number in re.findall(r"\b(1[0-9]{3}|15[0-9]{3})\b", text):
            if 15000 < int(number) < 15100 or int(number) in (1045, 1235):
                assert int(number) in BY_NUMBER, number


def test_the_page_of_the_vschema_names_every_vindex_and_its_example_fits_the_demo() -> None:
    page = (ROOT / "docs" / "vschema.md").read_text(encoding="utf-8")
    for kind in known_types():
        assert f"`{kind}`" in page, kind
    sequence, table, lookup = (json.loads(one) for one in re.findall(r"```json\n(.*?)```", page, re.DOTALL))
    demo = {
        name: json.loads((ROOT / "cli" / "demo" / f"{name}.vschema.json").read_text(encoding="utf-8"))
        for name in ("commerce", "main")
    }
    demo["main"]["tables"] |= sequence
    demo["commerce"]["tables"] |= table
    demo["commerce"]["vindexes"] |= lookup
    second = {"column": "email", "name": "customer_by_email"}
    demo["commerce"]["tables"]["customer"]["column_vindexes"].append(second)
    made = VSchema([parse(name, document) for name, document in demo.items()])
    assert made.problems() == ()
    assert made.keyspaces["commerce"].warnings == ()


def test_every_metric_is_named() -> None:
    """A short name stands behind the whole one of its row: `sluice_tablet_open`, `_in_use`."""
    named: set[str] = set()
    for line in OPERATIONS.splitlines():
        found = re.findall(r"`((?:sluice)?_\w+)`", line)
        wholes = [name for name in found if name.startswith("sluice")]
        for name in found:
            if name.startswith("_"):
                role = "_".join(wholes[0].split("_")[:2])
                name = role + name
            named.add(name)
    expected = {f"sluice_worker_{name.removesuffix('_total')}_total" for name in metrics._WORKER_COUNTERS}
    expected |= {f"sluice_worker_{name}" for name in metrics._WORKER_GAUGES}
    expected |= {f"sluice_tablet_{name}_total" for name in metrics._TABLET_COUNTERS}
    expected |= {f"sluice_tablet_{name}" for name in metrics._TABLET_GAUGES}
    assert expected <= named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_of_this_machine_is_named(page: Path) -> None:
    assert "/work/" not in page.read_text(encoding="utf-8")


def test_the_readme_says_first_what_it_is() -> None:
    first = "\n".join(README.splitlines()[:40])
    for word in ("make up", "make test", "mysql -h 127.0.0.1 -P 15306 -u app -papp commerce", "**not**"):
        assert word in first


def test_the_changelog_has_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()
