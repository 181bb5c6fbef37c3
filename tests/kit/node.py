"""Programs of tests/clients/node, each of which does its own checks."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

_HOME: Final = Path(__file__).resolve().parents[1] / "clients" / "node"


def run_node(script: str, package: str, options: Mapping[str, Any]) -> None:
    """Runs `script` with `options` as its argument; it must say that it is done. Fails where `package` is missing."""
    node = shutil.which("node")
    if node is None or not (_HOME / "node_modules" / package).is_dir():
        pytest.fail(f"node with {package} is missing: run scripts/setup.sh test", pytrace=False)
    ran = subprocess.run(
        [node, script, json.dumps(options)],
        cwd=_HOME,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.splitlines()[-1] == "done"
