"""`clusterctl up`, `status`, `down` as a person runs them: real processes, all of them.

One small cluster (one shard) for most tests, so that they start in seconds; the demo once, whole.
"""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

from cli.layout import layout_of
from core.process import command_line, identify
from tests.kit.servers import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

CLUSTERCTL = [sys.executable, "-m", "cli.main"]


class Here:
    """A directory with a cluster.toml, and clusterctl in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mysql, self.http = free_port(), free_port()
        self.env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "NO_COLOR": "1"}

    def write(self, more: str = "", shards: str = '["-"]') -> None:
        (self.path / "shop.sql").write_text("CREATE TABLE t (id BIGINT PRIMARY KEY, v VARCHAR(20));\n")
        (self.path / "shop.json").write_text("{}")
        (self.path / "cluster.toml").write_text(
            f"""
[cluster]
name = "e2e"
[router]
mysql = "127.0.0.1:{self.mysql}"
http = "127.0.0.1:{self.http}"
workers = 1
[tablet]
pool_size = 4
[mysql]
memory = "400MiB"
[[users]]
name = "app"
password = "secret"
default_keyspace = "shop"
[[keyspaces]]
name = "shop"
shards = {shards}
vschema = "shop.json"
schema = "shop.sql"
{more}"""
        )

    def run(self, *argv: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*CLUSTERCTL, *argv],
            cwd=self.path,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def start(self, *argv: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*CLUSTERCTL, *argv], cwd=self.path, env=self.env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0,
        )  # fmt: skip

    def status(self) -> dict[str, Any]:
        ran = self.run("status", "--json")
        assert ran.returncode == 0, ran.stderr
        found: dict[str, Any] = json.loads(ran.stdout)
        return found

    def processes(self) -> dict[str, dict[str, Any]]:
        return {p["name"]: p for p in self.status()["processes"]}

    def left_over(self) -> list[str]:
        """Command lines of everything that still runs for this directory, clusterctl aside."""
        data_dir = str(layout_of(self.path / ".sluice").data_dir)
        pids = [int(p) for p in os.listdir("/proc") if p.isdigit() and int(p) != os.getpid()]
        lines = [command_line(pid) for pid in pids if identify(pid) is not None]
        return [line for line in lines if data_dir in line]

    def connect(self) -> "pymysql.Connection[Any]":
        return pymysql.connect(
            host="127.0.0.1", port=self.mysql, user="app", password="secret", database="shop"
        )


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    one = Here(tmp_path)
    one.write()
    yield one
    one.run("down", "--purge")
    assert one.left_over() == []


def wait_for(condition: Callable[[], bool], timeout_s: float) -> float:
    """Seconds until `condition()` held."""
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < timeout_s, "it did not happen in time"
        time.sleep(0.05)
    return time.monotonic() - began_s


# ---- nothing may start


def test_an_occupied_port_starts_nothing(here: Here) -> None:
    with socket.create_server(("127.0.0.1", here.mysql)):
        ran = here.run("up", "--detach")
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[0].startswith(
        f"clusterctl: [router] mysql = 127.0.0.1:{here.mysql}: the port is in use"
    )
    assert not (here.path / ".sluice").exists()


def test_a_wrong_file_starts_nothing(here: Here) -> None:
    here.write(shards='["-80"]')
    ran = here.run("up", "--detach")
    assert ran.returncode == 2
    assert "[[keyspaces]] shop shards" in ran.stderr.splitlines()[0]
    assert not (here.path / ".sluice").exists()


def test_a_pool_that_the_memory_does_not_bear_starts_nothing(here: Here) -> None:
    text = (here.path / "cluster.toml").read_text()
    (here.path / "cluster.toml").write_text(text.replace("pool_size = 4", "pool_size = 4000"))
    ran = here.run("up", "--detach")
    assert ran.returncode == 2
    assert "[tablet] pool_size 4000" in ran.stderr.splitlines()[0]
    assert not (here.path / ".sluice").exists()


def test_no_mysql_starts_nothing(here: Here) -> None:
    text = (here.path / "cluster.toml").read_text()
    (here.path / "cluster.toml").write_text(text.replace("[mysql]", '[mysql]\nbinary = "nosuchmysqld"'))
    ran = here.run("up")
    assert ran.returncode == 2
    assert "nosuchmysqld" in ran.stderr.splitlines()[0]
    assert not (here.path / ".sluice").exists()


def test_a_start_that_fails_leaves_nothing_running_and_may_be_mended(here: Here) -> None:
    (here.path / "shop.sql").write_text(
        "CREATE TABLE t (id BIGINT PRIMARY KEY);\nCREATE TABLE u (x NONSENSE);\n"
    )
    ran = here.run("up", "--detach")
    assert ran.returncode == 1
    assert "schema shop.sql, statement 2" in ran.stderr.splitlines()[0]
    assert here.left_over() == []
    assert {p["state"] for p in here.status()["processes"]} == {"DEAD"}
    here.write()
    ran = here.run("up", "--detach")
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("after_s", [0.05, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_while_it_starts(here: Here, after_s: float, number: signal.Signals) -> None:
    with here.start("up") as process:
        time.sleep(after_s)
        process.send_signal(number)
        process.communicate(timeout=90)
    assert here.left_over() == []


# ---- a life


def test_detach_status_again_and_down(here: Here) -> None:
    ran = here.run("up", "--detach")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1].split(None, 1) == [
        "connect",
        f"mysql -h 127.0.0.1 -P {here.mysql} -u app -psecret shop",
    ]
    status = here.status()
    assert {k: status[k] for k in ("cluster", "mysql", "http")} == {
        "cluster": "e2e",
        "mysql": f"127.0.0.1:{here.mysql}",
        "http": f"127.0.0.1:{here.http}",
    }
    roles = [p["role"] for p in status["processes"]]
    assert roles == ["etcd", "mysqld", "controlplane", "tablet", "router", "router-worker"]
    for process in status["processes"]:
        assert process["state"] == "SERVING", process
        assert identify(process["pid"]) is not None
    names = {p["name"]: p for p in status["processes"]}
    assert names["tablet-shop--"]["address"].startswith("ipc:///")
    assert (names["tablet-shop--"]["keyspace"], names["tablet-shop--"]["shard"]) == ("shop", "-")

    with here.connect() as cnx, cnx.cursor() as cursor:
        cursor.execute("INSERT INTO t VALUES (1, 'kept')")
        cnx.commit()

    again = here.run("up", "--detach")
    assert again.returncode == 0, again.stderr
    assert "runs already" in again.stdout
    assert again.stdout.splitlines()[-1] == ran.stdout.splitlines()[-1]
    assert [p["pid"] for p in here.status()["processes"]] == [p["pid"] for p in status["processes"]]

    down = here.run("down")
    assert down.returncode == 0, down.stderr
    assert here.left_over() == []
    assert {p["state"] for p in here.status()["processes"]} == {"DEAD"}
    assert here.run("down").returncode == 0

    assert here.run("up", "--detach").returncode == 0
    with here.connect() as cnx, cnx.cursor() as cursor:
        cursor.execute("SELECT v FROM t WHERE id = 1")
        assert cursor.fetchone() == ("kept",)
    purge = here.run("down", "--purge")
    assert purge.returncode == 0, purge.stderr
    assert not (here.path / ".sluice").exists()


def test_foreground_on_a_terminal_until_ctrl_c(here: Here) -> None:
    ours, theirs = pty.openpty()
    env = {**here.env, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(
        [*CLUSTERCTL, "up"], cwd=here.path, env=env, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    ) as process:  # fmt: skip
        os.close(theirs)
        said = b""
        while b"connect" not in said:
            said += os.read(ours, 65536)
        assert here.status()["processes"][0]["state"] == "SERVING"
        process.send_signal(signal.SIGINT)
        try:
            while chunk := os.read(ours, 65536):
                said += chunk
        except OSError:  # the terminal's other end is closed: the process has ended
            pass
        assert process.wait(60) == 0, said.decode(errors="replace")
    os.close(ours)
    assert here.left_over() == []
    assert b"-psecret shop" in said


@pytest.mark.parametrize("name", ["tablet-shop--", "mysqld-shop--", "etcd", "controlplane", "router"])
def test_what_is_killed_serves_again_within_five_seconds(here: Here, name: str) -> None:
    assert here.run("up", "--detach").returncode == 0
    before = here.processes()[name]["pid"]
    os.kill(before, signal.SIGKILL)

    def back() -> bool:
        now = here.processes()[name]
        return now["pid"] != before and now["state"] == "SERVING"

    assert wait_for(back, 15) < 8  # started within 5 s; a status command takes a part of one

    def answers() -> bool:
        try:
            with here.connect() as cnx, cnx.cursor() as cursor:
                cursor.execute("SELECT COUNT(*) FROM t")
                return cursor.fetchone() is not None
        except pymysql.err.Error:
            return False

    wait_for(answers, 10)


def test_after_a_killed_supervisor_up_clears_away_and_starts(here: Here) -> None:
    assert here.run("up", "--detach").returncode == 0
    state = json.loads((here.path / ".sluice/run/state.json").read_text())
    os.kill(state["supervisor"]["pid"], signal.SIGKILL)
    ran = here.run("up", "--detach")
    assert ran.returncode == 0, ran.stderr
    assert {p["state"] for p in here.status()["processes"]} == {"SERVING"}


def test_after_a_killed_supervisor_down_stops_the_rest(here: Here) -> None:
    assert here.run("up", "--detach").returncode == 0
    state = json.loads((here.path / ".sluice/run/state.json").read_text())
    os.kill(state["supervisor"]["pid"], signal.SIGKILL)
    assert here.run("down").returncode == 0
    assert here.left_over() == []


# ---- live changes


def test_vschema_get_and_apply(here: Here) -> None:
    assert here.run("up", "--detach").returncode == 0
    assert json.loads(here.run("vschema", "get", "shop").stdout) == {}
    (here.path / "new.json").write_text('{"tables": {"seq": {"type": "sequence"}}}')
    ran = here.run("vschema", "apply", "shop", "new.json")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["+ table seq", "VSchema of shop: in effect in the router"]
    assert json.loads(here.run("vschema", "get", "shop").stdout) == {"tables": {"seq": {"type": "sequence"}}}
    (here.path / "bad.json").write_text('{"tables": {"seq": {"typ": "sequence"}}}')
    ran = here.run("vschema", "apply", "shop", "bad.json")
    assert ran.returncode == 2
    assert "typ" in ran.stderr.splitlines()[0]
    assert here.run("vschema", "get", "nosuch").returncode == 1
    assert here.run("vschema", "apply", "nosuch", "new.json").returncode == 2


def test_limits_and_explain(here: Here) -> None:
    assert here.run("up", "--detach").returncode == 0
    assert here.run("limits", "list").stdout == "no limits are set\n"
    ran = here.run("limits", "set", "user:app", "connections=2")
    assert (ran.returncode, ran.stdout) == (0, "user:app: connections=2; in effect in the router\n"), (
        ran.stderr
    )
    ran = here.run("limits", "set", "user:app", "concurrency=1", "dry_run=true")
    assert ran.stdout.startswith("user:app: connections=2 concurrency=1 dry_run=true; ")
    assert json.loads(here.run("limits", "list", "--json").stdout) == {
        "user:app": {"connections": 2, "concurrency": 1, "dry_run": True}
    }
    for wrong in (("usr:app", "connections=1"), ("user:app", "connection=1"), ("user:app", "connections=x")):
        assert here.run("limits", "set", *wrong).returncode == 2
    assert here.run("limits", "unset", "user:app").stdout.startswith("user:app: not limited; ")
    assert here.run("limits", "unset", "user:app").stdout == "user:app had no limit\n"

    explained = json.loads(here.run("explain", "--json", "SELECT * FROM t WHERE id = 1").stdout)
    assert [(one["tier"], one["shards"]) for one in explained] == [
        ("route", [{"keyspace": "shop", "shard": "-", "sql": "SELECT * FROM t WHERE id = 1"}])
    ]
    assert here.run("explain", "-k", "nosuch", "SELECT 1").returncode == 2


# ---- the demo


@pytest.mark.slow
def test_the_demo(tmp_path: Path) -> None:
    """Without a file: its ports are fixed, so it is tried only where they are free."""
    for port in (15306, 15380):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                pytest.skip(f"port {port} is in use here")
    here = Here(tmp_path)
    try:
        ran = here.run("up", "--detach", timeout_s=200)
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.splitlines()[-1].endswith("mysql -h 127.0.0.1 -P 15306 -u app -papp commerce")
        with pymysql.connect(
            host="127.0.0.1", port=15306, user="app", password="app", database="commerce"
        ) as cnx:
            cursor = cnx.cursor()
            cursor.execute("SELECT COUNT(*) FROM customer")
            assert cursor.fetchone() == (10,)
            cursor.execute("SELECT COUNT(*) FROM orders")
            assert cursor.fetchone() == (30,)
            each = []
            for shard in ("-80", "80-"):
                cursor.execute(f"USE `commerce:{shard}`")
                cursor.execute("SELECT COUNT(*) FROM customer")
                each.append(cursor.fetchone()[0])
            assert sum(each) == 10
            assert min(each) > 0
            cursor.execute("USE commerce")
            cursor.execute(
                "INSERT INTO customer (name, email, country) VALUES ('New', 'n@example.com', 'DE')"
            )
            assert cursor.lastrowid >= 1000
            cnx.commit()
        assert here.run("down").returncode == 0
        assert here.run("up", "--detach", timeout_s=200).returncode == 0
    finally:
        here.run("down", "--purge")
    assert here.left_over() == []
