"""node's mysql2, in text and prepared, with and without TLS: tests/clients/node/check.js does the work."""

import pytest

from tests.kit.cluster import Cluster
from tests.kit.node import run_node

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("tls", [False, True])
def test_mysql2(cluster: Cluster, tls: bool) -> None:
    cluster.clear("everything", "customer", "counter")
    options = cluster.connect_kwargs()
    if tls:
        options["ssl"] = {"rejectUnauthorized": False}
    run_node("check.js", "mysql2", options)
    cluster.clear("everything", "customer", "counter")
