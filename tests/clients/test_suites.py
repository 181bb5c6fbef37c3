"""Suites of drivers and ORMs: what passes on the plain server passes through the router.

`differences.toml` lists what does not, with the reason. It may only shrink: an entry that passes fails here too.
"""

import tomllib
from pathlib import Path
from typing import Final

import pytest

from cli.local import Flavour
from tests.clients import go_suite
from tests.clients.place import Place
from tests.clients.suites import SUITES, Suite, differences, outcome

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

_KNOWN: Final = tomllib.loads(Path(__file__).with_name("differences.toml").read_text())


def known(suite: str, flavour: Flavour) -> list[str]:
    """The tests of the suite of that name that are listed as different on `flavour`."""
    return sorted(
        test
        for entry in _KNOWN["difference"]
        if suite in entry["suites"] and flavour in entry["flavours"]
        for test in entry["tests"]
    )


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_suite(suite: Suite, place: Place, tmp_path: Path) -> None:
    plain = outcome(suite, place, place.server, tmp_path)
    routed = outcome(suite, place, place.router, tmp_path)
    print(f"{suite.name}: {sum(how == 'passed' for how in plain.values())} pass on the plain server")
    assert sum(how == "passed" for how in plain.values()) > 40
    assert differences(plain, routed) == known(suite.name, place.flavour)


@pytest.mark.skipif(not go_suite.available(), reason="there is no Go; scripts/setup.sh clients installs it")
def test_go_driver(place: Place, tmp_path: Path) -> None:
    plain = go_suite.outcome(place, place.server, tmp_path)
    routed = go_suite.outcome(place, place.router, tmp_path)
    print(f"{go_suite.NAME}: {sum(how == 'passed' for how in plain.values())} pass on the plain server")
    assert sum(how == "passed" for how in plain.values()) > 200
    assert differences(plain, routed) == known(go_suite.NAME, place.flavour)
