"""node's mysql2, in text and prepared, with and without TLS: tests/clients/node/check.js does the work."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kit.cluster import Cluster

pytestmark = pytest.mark.e2e

HOME = Path(__file__).resolve().parents[1] / "clients" / "node"


@pytest.mark.parametrize("tls", [False, True])
def test_mysql2(cluster: Cluster, tls: bool) -> None:
    node = shutil.which("node")
    if node is None or not (HOME / "node_modules" / "mysql2").is_dir():
        pytest.fail("node with mysql2 is missing: run scripts/setup.sh test", pytrace=False)
    cluster.clear("everything", "customer", "counter")
    options = cluster.connect_kwargs()
    if tls:
        options["ssl"] = {"rejectUnauthorized": False}
    ran = subprocess.run(
        [node, "check.js", json.dumps(options)],
        cwd=HOME,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.splitlines()[-1] == "done"
    cluster.clear("everything", "customer", "counter")
