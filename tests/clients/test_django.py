"""Django through the router says what it says on the plain server."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.place import Place

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]


def _said(place: Place, port: int) -> str:
    place.empty()
    ran = subprocess.run(
        [sys.executable, "-m", "tests.clients.django_smoke", str(port)],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_django(place: Place) -> None:
    assert _said(place, place.router) == _said(place, place.server)
