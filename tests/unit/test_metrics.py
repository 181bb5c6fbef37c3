"""/metrics is Prometheus's text format, whatever is missing or odd in the figures."""

import re

from router.daemon.metrics import prometheus

HISTOGRAM = {"p50_s": 0.001, "p95_s": 0.002, "p99_s": 0.003, "total_s": 1.5, "count": 10}
CLUSTER = {
    "router": {"max_connections": 100, "clients": 3, "etcd": True},
    "workers": [
        {"name": "r.0", "queries": 7, "connections_total": 2, "latency": HISTOGRAM, "state": "SERVING"},
        {"name": "r.1"},
    ],
    "tablets": [
        {"keyspace": "ks", "shard": "-80", "alias": 'a"\\\n', "state": "SERVING", "pool_size": 20,
         "query_time": HISTOGRAM},
        {"keyspace": "ks", "shard": "80-", "state": "NOT_SERVING", "open": None},
    ],
    "limits": [{"scope": "user:app", "key": "concurrency", "limit": 5, "used": 1}],
}  # fmt: skip
LINE = re.compile(r'^[a-z_]+(\{([a-z]+="([^"\\\n]|\\["\\n])*",?)*\})? [-+0-9.e]+$')


def test_every_line_is_of_the_format_and_no_family_stands_twice() -> None:
    text = prometheus(CLUSTER)
    assert text.endswith("\n")
    families = []
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            families.append(line.split()[2])
        elif not line.startswith("# HELP "):
            assert LINE.match(line), line
    assert len(families) == len(set(families))


def test_values_and_labels() -> None:
    text = prometheus(CLUSTER)
    assert 'sluice_worker_queries_total{worker="r.0"} 7\n' in text
    assert 'sluice_worker_connections_total{worker="r.0"} 2\n' in text
    assert "sluice_router_etcd_up 1\n" in text
    assert 'sluice_tablet_serving{keyspace="ks",shard="80-",tablet=""} 0\n' in text
    assert r'tablet="a\"\\\n"' in text
    assert 'sluice_worker_query_seconds{worker="r.0",quantile="0.99"} 0.003\n' in text
    assert 'sluice_limit_used{scope="user:app",key="concurrency"} 1\n' in text


def test_an_empty_cluster_has_a_page() -> None:
    router = {"max_connections": 1, "clients": 0, "etcd": False}
    text = prometheus({"router": router, "workers": [], "tablets": [], "limits": []})
    assert "sluice_router_etcd_up 0\n" in text
    assert "sluice_tablet" not in text
