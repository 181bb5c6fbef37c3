"""One place for all suites of a flavour."""

from collections.abc import Iterator

import pytest

from cli.local import Flavour
from tests.clients.place import Place, opened
from tests.kit.servers import Templates


@pytest.fixture(scope="session")
def place(
    tmp_path_factory: pytest.TempPathFactory, templates: Templates, flavour: Flavour
) -> Iterator[Place]:
    with opened(tmp_path_factory.mktemp(f"clients-{flavour}"), flavour, templates) as found:
        yield found
