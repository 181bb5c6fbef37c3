"""PlanetScale's driver for JavaScript against the router's HTTP API: tests/clients/node/serverless.js does the work.

What that driver does not do is asked here; what becomes of sessions in a restart stands with the restarts.
"""

import http.client
import json
import urllib.request

import pytest

from tests.kit.cluster import PASSWORD, USER, Cluster, wait_for
from tests.kit.http_sql import PATH, HttpSql, HttpSqlError
from tests.kit.node import run_node

pytestmark = pytest.mark.e2e


def test_planetscale_database(cluster: Cluster) -> None:
    cluster.clear("everything", "customer", "counter")
    options = {"http": f"127.0.0.1:{cluster.http}", "user": USER, "password": PASSWORD}
    run_node("serverless.js", "@planetscale/database", options)
    cluster.clear("everything", "customer", "counter")


def running(cluster: Cluster, text: str) -> list[int]:
    """Connection ids that run a statement with this text."""
    return [int(row[0]) for row in cluster.query("SHOW PROCESSLIST") if text in (row[7] or "") and row[4] == "Query"
            and "PROCESSLIST" not in row[7]]  # fmt: skip


def test_a_client_that_goes_away_takes_its_statement_with_it(cluster: Cluster) -> None:
    client = HttpSql(cluster)
    client.execute("BEGIN")
    client.execute("INSERT INTO counter (id, owner) VALUES (901, 1)")
    client.send("SELECT SLEEP(60), 'gone soon' FROM counter")
    wait_for(lambda: running(cluster, "gone soon"), 20, "the statement does not run")
    client.close()
    wait_for(lambda: not running(cluster, "gone soon"), 20, "the statement goes on without its client")
    assert cluster.query("SELECT COUNT(*) FROM counter WHERE id = 901") == [(0,)]
    with pytest.raises(HttpSqlError, match=r"its client went away.*\(errno 15009\)"):
        client.execute("SELECT 1 FROM counter")
    client.execute("ROLLBACK")
    assert client.execute("SELECT COUNT(*) FROM counter WHERE id = 901") == [("0",)]
    client.close()


def aside(client: HttpSql, cluster: Cluster) -> HttpSql:
    """Another request in the same session, as a client sends that does not wait."""
    other = HttpSql(cluster)
    other.session = client.session
    return other


def test_requests_for_a_transaction_that_is_over_do_not_run(cluster: Cluster) -> None:
    cluster.clear("counter")
    client = HttpSql(cluster)
    client.execute("SELECT GET_LOCK('straggler', 5)")  # the session goes on without its transaction
    client.execute("BEGIN")
    client.execute("INSERT INTO counter (id, owner) VALUES (901, 1)")
    late = aside(client, cluster)
    assert client.execute("ROLLBACK") == []
    for statement in ("INSERT INTO counter (id, owner) VALUES (902, 1)", "COMMIT", "BEGIN"):
        with pytest.raises(HttpSqlError, match=r"an earlier request ended it.*\(errno 15040\)"):
            late.execute(statement)
    assert late.execute("ROLLBACK") == []
    assert cluster.query("SELECT COUNT(*) FROM counter") == [(0,)]
    # one that another transaction has followed
    client.execute("BEGIN")
    late = aside(client, cluster)
    client.execute("COMMIT AND CHAIN")
    with pytest.raises(HttpSqlError, match=r"\(errno 15040\)"):
        late.execute("INSERT INTO counter (id, owner) VALUES (903, 1)")
    client.execute("INSERT INTO counter (id, owner) VALUES (904, 1)")
    late = aside(client, cluster)
    client.execute("SELECT RELEASE_LOCK('straggler')")
    client.execute("COMMIT")
    # the session is over: COMMIT once more, as if its reply had been lost
    for _ in range(2):
        with pytest.raises(HttpSqlError, match=r"an earlier request ended it.*\(errno 15040\)"):
            late.execute("COMMIT")
    assert late.execute("ROLLBACK") == []
    assert late.execute("SELECT id FROM counter") == [("904",)]
    late.execute("BEGIN")
    late.execute("DELETE FROM counter WHERE id = 904")
    assert late.execute("COMMIT RELEASE") == []
    assert late.execute("SELECT id FROM counter") == []


def test_a_request_that_waited_for_a_killed_session_has_not_run(cluster: Cluster) -> None:
    client = HttpSql(cluster)
    client.execute("BEGIN")
    client.execute("INSERT INTO counter (id, owner) VALUES (905, 1)")
    waiting = aside(client, cluster)
    client.send("SELECT SLEEP(60), 'waited for' FROM counter")
    wait_for(lambda: running(cluster, "waited for"), 20, "the statement does not run")
    waiting.send("INSERT INTO counter (id, owner) VALUES (906, 1)")
    for number in running(cluster, "waited for"):
        cluster.query(f"KILL {number}")
    told = json.load(waiting._http.getresponse())
    assert "(errno 15009)" in told["error"]["message"]
    assert "session" not in told
    assert cluster.query("SELECT COUNT(*) FROM counter WHERE id IN (905, 906)") == [(0,)]
    waiting.close()
    client.close()


def test_a_lost_large_session_keeps_its_database(cluster: Cluster) -> None:
    client = HttpSql(cluster)
    client.execute("USE main")
    client.execute("SET time_zone = '+05:00', @big = REPEAT('x', 70000)")
    client.execute("BEGIN")
    ((number,),) = client.execute("SELECT CONNECTION_ID()")
    cluster.query(f"KILL {number}")
    with pytest.raises(HttpSqlError, match=r"\(errno 15009\)"):
        client.execute("SELECT 1 FROM dual")
    with pytest.raises(HttpSqlError, match=r"user variables.*\(errno 15040\)"):
        client.execute("ROLLBACK")
    assert client.execute("SELECT DATABASE(), @@time_zone, @big") == [("main", "+05:00", None)]


def test_killed_counted_and_bounded(cluster: Cluster) -> None:
    client = HttpSql(cluster)
    client.send("SELECT SLEEP(60), 'killed soon'")
    wait_for(lambda: running(cluster, "killed soon"), 20, "the statement does not run")
    for number in running(cluster, "killed soon"):
        cluster.query(f"KILL QUERY {number}")
    reply = json.load(client._http.getresponse())
    assert reply.get("error", {}).get("code") == "CANCELED" or reply["result"]["rows"], reply
    with urllib.request.urlopen(f"http://127.0.0.1:{cluster.http}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    counted = next(line for line in lines if line.startswith("sluice_router_http_requests_total"))
    assert int(counted.rpartition(" ")[2]) >= 1
    assert any(line.startswith("sluice_worker_http_sessions{") for line in lines)
    # a body that is said to be too large is not waited for
    asked = http.client.HTTPConnection("127.0.0.1", cluster.http, timeout=20)
    asked.putrequest("POST", f"{PATH}Execute")
    for name, value in {**client.headers, "Content-Length": str(1 << 30)}.items():
        asked.putheader(name, value)
    asked.endheaders()
    refused = asked.getresponse()
    assert (refused.status, json.load(refused)["code"]) == (429, "resource_exhausted")
    asked.close()
    client.close()
