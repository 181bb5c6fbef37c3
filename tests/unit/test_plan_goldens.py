"""Every golden's plan is what the planner makes today. Regenerate: see data/plans/README.md."""

import json
from typing import Any

import pytest

from tests.unit.data.plans.generate import FILES, planned, vschema

SCHEMA = vschema()
CASES = [(path.stem, case) for path in FILES for case in json.loads(path.read_text())]


@pytest.mark.parametrize(
    ("name", "case"), CASES, ids=[f"{name}:{case['query'][:60]}" for name, case in CASES]
)
def test_golden(name: str, case: dict[str, Any]) -> None:
    assert planned(case["query"], case["keyspace"], SCHEMA) == case["plan"]


def test_there_are_enough() -> None:
    assert len(CASES) >= 120
    assert len({(case["query"], case["keyspace"]) for _, case in CASES}) == len(CASES)
