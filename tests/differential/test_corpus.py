"""The whole corpus on both sides, against the expectations."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.differential.__main__ import summary
from tests.differential.expectations import differences
from tests.differential.place import Sides
from tests.differential.run import Runner

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[Sides]:
    made = Sides(tmp_path)
    try:
        yield made
    finally:
        made.close()


def test_answers_are_those_of_one_mysql(sides: Sides) -> None:
    found = {name: verdict for name, _, verdict in Runner(sides).all()}
    summary(found)
    lines = differences(found)
    assert not lines, "\n".join(["run `python -m tests.differential --write` when these are meant:", *lines])
