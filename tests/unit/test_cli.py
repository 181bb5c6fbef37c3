"""clusterctl without a cluster: arguments, which cluster is meant, checks before the start, files it writes."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from cli import state as states
from cli.cluster import display, orphans, ports, preflight, specs
from cli.cluster.preflight import check_port
from cli.cluster.runner import is_locked, take_lock
from cli.commands import down, limits, status
from cli.commands.users import everyone, loses_last_admin
from cli.errors import CommandError, UsageError
from cli.invocation import name_for
from cli.layout import Layout, layout_of
from cli.main import main
from cli.state import ClusterState, ProcessState, Step
from cli.target import DEMO_FILES, Target, copy_demo, endpoints, find, to_toml, write_effective
from controlplane.topo.records import UserRecord
from core.config import load
from core.limits import parse_scope
from core.process import Identity, identify
from wire.passwords import native_hash

FILE = """
[cluster]
name = "shop"

[router]
mysql = "127.0.0.1:15306"

[[users]]
name = "app"
password = "it's"
default_keyspace = "commerce"

[[keyspaces]]
name = "commerce"
vschema = "v.json"
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def target(tmp_path: Path) -> Target:
    (tmp_path / "v.json").write_text("{}")
    (tmp_path / "cluster.toml").write_text(FILE)
    return find(None)


def state_of(target: Target) -> ClusterState:
    return ClusterState("shop", "127.0.0.1:15306", "127.0.0.1:15380", str(target.config.path), "")


# ---- arguments


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["start"], "invalid choice: 'start'"),
        (["up", "--detached"], "unrecognized arguments: --detached"),
        (["vschema"], "required: get|apply"),
        (["vschema", "get"], "required: KEYSPACE"),
        (["limits", "set", "user:app"], "required: KEY=VALUE"),
        (["explain"], "required: SQL"),
        (["status", "-f"], "expected one argument"),
    ],
)
def test_wrong_use_is_said_in_the_first_line(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[0]


def test_help_imports_no_command() -> None:
    code = "import sys, cli.main as m\ntry: m.main(['--help'])\nexcept SystemExit: pass\nprint(sorted(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = ran.stdout.splitlines()[-1]
    for module in ("cli.cluster", "rich", "zmq", "mysql", "asyncio", "router"):
        assert f"'{module}'" not in loaded


@pytest.mark.parametrize(
    "argv", [["-f", "x.toml", "status"], ["status", "-f", "x.toml"], ["up", "-f", "x.toml"]]
)
def test_a_missing_file(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert capsys.readouterr().err == "clusterctl: x.toml does not exist\n"


def test_a_broken_file_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cluster.toml").write_text("[cluster]\nnam = 'x'\n")
    assert main(["up"]) == 2
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("clusterctl: cluster.toml: unknown key 'nam' in [cluster]")
    assert not (tmp_path / ".sluice").exists()


# ---- how to type it


def test_hints_name_a_command_that_works_here(tmp_path: Path) -> None:
    script = tmp_path / "clone/.venv/bin/clusterctl"
    assert name_for(script, None, str(tmp_path)) == "clusterctl"  # no script: a source tree
    script.parent.mkdir(parents=True)
    script.touch()
    assert name_for(script, None, str(tmp_path / "clone")) == ".venv/bin/clusterctl"
    assert name_for(script, None, str(tmp_path / "clone/.venv/lib")) == str(script)
    assert name_for(script, "/usr/bin/true", str(tmp_path / "clone")) == ".venv/bin/clusterctl"
    link = tmp_path / "clusterctl"
    link.symlink_to(script)
    assert name_for(script, str(link), str(tmp_path)) == "clusterctl"


# ---- which cluster


def test_a_file_here_is_taken_before_the_demo(target: Target) -> None:
    assert target.config.cluster.name == "shop"
    assert not target.is_demo
    assert target.file_option == ""


def test_another_file_is_named_in_hints(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/c.toml").write_text(FILE.replace('vschema = "v.json"', ""))
    found = find("x/c.toml")
    assert found.file_option == " -f x/c.toml"
    assert found.layout.data_dir == tmp_path / "x/.sluice"


def test_the_demo_lies_here(tmp_path: Path) -> None:
    found = find(None)
    assert found.is_demo
    assert found.layout.data_dir == tmp_path / ".sluice"
    assert not (tmp_path / ".sluice").exists()
    preflight.check_vschemas(found.config)


def test_the_demo_is_copied_and_found_again(tmp_path: Path) -> None:
    found = find(None)
    found.layout.create()
    copied = copy_demo(found)
    assert copied.config.data_dir == tmp_path / ".sluice"
    assert {name for name in DEMO_FILES if (tmp_path / ".sluice" / name).exists()} == set(DEMO_FILES)
    assert find(None).config.path == tmp_path / ".sluice/cluster.toml"
    assert find(None).layout == found.layout


def test_processes_read_a_file_with_absolute_paths(target: Target, tmp_path: Path) -> None:
    target.layout.create()
    written = load(write_effective(target, ("127.0.0.1:2379",)))
    assert written.etcd.endpoints == ("127.0.0.1:2379",)
    assert written.data_dir == tmp_path / ".sluice"
    assert written.keyspaces[0].vschema == str(tmp_path / "v.json")
    assert written.users == target.config.users
    assert written.path.stat().st_mode & 0o077 == 0
    assert endpoints(target) == ("127.0.0.1:2379",)


def test_no_etcd_before_the_first_up(target: Target) -> None:
    with pytest.raises(CommandError, match=r"run .*clusterctl up"):
        endpoints(target)


@pytest.mark.parametrize(
    "raw",
    [
        {"a": {"b": 'x"\\\n\u00e9\x7f', "c": 1, "d": 1.5, "e": True, "f": ["x", "y"], "g": []}},
        {"k": [{"n": "a", "e": [{"s": "-80"}, {"s": "80-"}]}, {"n": "b"}], "c": {}},
    ],
)
def test_toml_comes_back_as_it_was(raw: dict[str, object]) -> None:
    assert tomllib.loads(to_toml(raw)) == raw


# ---- before the start


def test_an_occupied_port(target: Target) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(
            CommandError, match=rf"^\[router\] mysql = 127.0.0.1:{port}: the port is in use"
        ) as caught:
            check_port("[router] mysql", ("127.0.0.1", port))
    assert caught.value.status == 1
    check_port("[router] mysql", ("127.0.0.1", port))


def test_a_port_of_another_cluster() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]

        def greet() -> None:
            with holder.accept()[0] as client:
                client.sendall(b"\x20\0\0\0\x0a10.11.6-MariaDB-Sluice\0")

        greeter = threading.Thread(target=greet)
        greeter.start()
        with pytest.raises(CommandError, match="in use by another Sluice cluster; stop it or"):
            check_port("[router] mysql", ("127.0.0.1", port))
        greeter.join()


def test_an_address_of_another_machine() -> None:
    with pytest.raises(UsageError, match="does not have that address"):
        check_port("[router] http", ("192.0.2.1", 4000))


def write(tmp_path: Path, text: str) -> Target:
    (tmp_path / "v.json").write_text("{}")
    (tmp_path / "cluster.toml").write_text(text)
    return find(None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FILE.replace("15306", "0"), "[router] mysql: port 0 names no port"),
        (FILE.replace("15306", "15380"), "[router] mysql and [router] http both have port 15380"),
        (FILE + "[tablet]\npool_size = 5000\n", "[tablet] pool_size 5000 does not fit [mysql] memory"),
        (FILE + "[mysql]\nmemory = '8MiB'\n", "raise [mysql] memory to"),
    ],
)
def test_wrong_numbers(text: str, said: str, tmp_path: Path) -> None:
    target = write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        preflight.check_file(target)
    assert said in str(caught.value)
    assert not (tmp_path / ".sluice").exists()


@pytest.mark.parametrize(
    ("data_dir", "said"),
    [
        ("/etc/passwd/x", "/etc/passwd is a file"),
        ("n" * 300, "a name in it has 300 bytes"),
        ("/tmp/" + "/".join(["d" * 100] * 43), "it has 4347 bytes"),
        ("/tmp/" + "/".join(["d" * 100] * 6), "too long: a MySQL takes paths of at most 512 bytes"),
    ],
)
def test_a_data_dir_that_cannot_be(
    data_dir: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "v.json").write_text("{}")
    (tmp_path / "cluster.toml").write_text(FILE.replace('"shop"', f'"shop"\ndata_dir = "{data_dir}"'))
    assert main(["up"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("clusterctl: cluster.toml: [cluster] data_dir: ")
    assert said in line


def test_rows_of_other_shards_start_nothing(target: Target) -> None:
    target.layout.create()
    (target.layout.mysql("commerce", "-40") / "data").mkdir(parents=True)
    target.layout.mysql("commerce", "40-").mkdir()  # never initialised: no rows
    with pytest.raises(UsageError, match=r"file has shards -, but .* holds the rows of -40; .* resharding"):
        preflight.check_data_dir(target)
    (target.layout.mysql("commerce", "-40") / "data").rename(target.layout.mysql("commerce", "40-") / "x")
    preflight.check_data_dir(target)


def test_budgets_beyond_the_machine(tmp_path: Path) -> None:
    config = write(tmp_path, FILE + "[mysql]\nmemory = '20GiB'\n").config
    assert preflight.check_budgets(config, 64 << 30) == ""
    assert "1 local MySQL of 20GiB may take 20.0 GiB; this machine has 24.0 GiB" in preflight.check_budgets(
        config, 24 << 30
    )
    with pytest.raises(UsageError, match=r"memory 20GiB is more than this machine has \(16\.0 GiB\)"):
        preflight.check_budgets(config, 16 << 30)


def test_a_full_disk_starts_nothing(target: Target) -> None:
    preflight.check_disk(target, 300 << 20)
    with pytest.raises(
        CommandError, match=r"\[cluster\] data_dir: .* needs 295 MiB more, its disk has 200 MiB left"
    ):
        preflight.check_disk(target, 200 << 20)
    target.layout.create()
    (target.layout.etcd / "data").mkdir(parents=True)
    (target.layout.mysql("commerce", "-") / "data").mkdir(parents=True)
    preflight.check_disk(target, 1 << 20)
    with pytest.raises(CommandError, match="has 0 MiB left"):
        preflight.check_disk(target, (1 << 20) - 1)


def test_no_mysql_binary(tmp_path: Path, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cluster.toml").write_text(FILE + "[mysql]\nbinary = 'nosuchmysqld'\n")
    with pytest.raises(CommandError, match="'nosuchmysqld'") as caught:
        preflight.check_file(find(None))
    assert caught.value.status == 2
    (tmp_path / "cluster.toml").write_text(FILE + "[mysql]\nbinary = '/bin/ls'\n")
    with pytest.raises(UsageError, match=r"^\[mysql\] binary: .*/ls is no MySQL server"):
        preflight.check_file(find(None))


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "expected an object"),
        ('{"shard": true}', "shard"),
        ("{}", '"sharded": true'),
    ],
)
def test_a_broken_vschema(document: str, said: str, tmp_path: Path) -> None:
    target = write(tmp_path, FILE + 'shards = ["-80", "80-"]\n')
    (tmp_path / "v.json").write_text(document)
    with pytest.raises(UsageError) as caught:
        preflight.check_file(target)
    assert said in str(caught.value)
    assert "commerce" in str(caught.value)


def test_a_directory_of_somebody_else(target: Target, tmp_path: Path) -> None:
    (tmp_path / ".sluice").mkdir()
    (tmp_path / ".sluice/thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="holds files that are not of Sluice"):
        preflight.check_file(target)


def test_purge_keeps_a_directory_of_somebody_else(
    target: Target, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".sluice").mkdir()
    (tmp_path / ".sluice/thesis.tex").write_text("x")
    assert main(["down", "--purge"]) == 1
    assert "not a data directory of Sluice" in capsys.readouterr().err
    assert (tmp_path / ".sluice/thesis.tex").exists()


# ---- ports, lock, state


def test_ports_are_kept_while_they_are_free(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = ports.assign(file, ["a", "b", "c"])
    assert len(set(first.values())) == 3
    assert ports.assign(file, ["c", "a", "b"]) == first
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", first["b"]))
        holder.listen()
        second = ports.assign(file, ["a", "b"])
    assert second["a"] == first["a"]
    assert second["b"] != first["b"]
    assert json.loads(file.read_text())["c"] == first["c"]


def test_no_port_that_another_will_listen_on(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = ports.assign(file, ["a", "b"])
    again = ports.assign(file, ["a", "b"], {first["a"]})
    assert again["b"] == first["b"]
    assert again["a"] not in first.values()


def test_ports_of_a_broken_file(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text("{")
    assert ports.assign(tmp_path / "ports.json", ["a"])["a"] > 0


def test_asking_for_the_lock_takes_it_from_nobody(target: Target) -> None:
    assert not is_locked(target.layout)
    target.layout.create()
    assert not is_locked(target.layout)
    lock = take_lock(target.layout)
    assert lock is not None
    assert is_locked(target.layout)
    os.close(lock)
    with target.layout.lock.open() as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        assert not is_locked(target.layout)
        assert take_lock(target.layout) is None


def test_up_says_at_once_what_keeps_dying(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    target.layout.create()
    state = state_of(target)
    state.phase, state.supervisor = states.SERVING, identify(os.getpid())
    state.processes = [ProcessState("mysqld-commerce--", "mysqld", "", "commerce", "-", said="[ERROR] full")]
    state.write(target.layout)
    lock = take_lock(target.layout)
    assert lock is not None
    try:
        assert main(["up"]) == 1
    finally:
        os.close(lock)
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("clusterctl: mysqld-commerce-- keeps dying")
    assert said[1] == "[ERROR] full"


def test_one_lock_a_data_dir(target: Target) -> None:
    target.layout.create()
    lock = take_lock(target.layout)
    assert lock is not None
    assert take_lock(target.layout) is None
    os.close(lock)
    again = take_lock(target.layout)
    assert again is not None
    os.close(again)


def test_state_comes_back_as_it_was(target: Target) -> None:
    target.layout.create()
    written = state_of(target)
    written.supervisor = identify(os.getpid())
    written.steps = [Step("etcd", "etcd at x", "done", "note", 0.5)]
    written.processes = [
        ProcessState("etcd", "etcd", "127.0.0.1:1", "", "", "SERVING", Identity(1, 2, "b"), 3, 4),
        ProcessState("tablet-a--", "tablet", "ipc:///x", "a", "-"),
    ]
    written.write(target.layout)
    assert states.read(target.layout) == written


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 99}', '{"version": 1}'])
def test_a_state_that_cannot_be_read(text: str, target: Target) -> None:
    target.layout.create()
    target.layout.state.write_text(text)
    assert states.read(target.layout) is None


# ---- status and down


def test_status_before_the_first_up(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "cluster": "shop",
        "mysql": "127.0.0.1:15306",
        "http": "127.0.0.1:15380",
        "processes": [],
    }
    assert main(["status"]) == 1
    assert "nothing runs under" in capsys.readouterr().err


def test_status_tells_an_orderly_stop_from_a_crash(
    target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    target.layout.create()
    state = state_of(target)
    state.processes = [ProcessState("etcd", "etcd", "127.0.0.1:1", "", "", "SERVING", Identity(1, 2, "b"))]
    for phase, rows, said in (
        (states.STOPPED, 0, ": it was stopped in order;"),
        (states.SERVING, 3, "; start it"),
    ):
        state.phase = phase
        state.write(target.layout)
        assert main(["status"]) == 1
        shown = capsys.readouterr()
        assert len(shown.out.splitlines()) == rows
        assert said in shown.err
        assert main(["status", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["processes"][0]["state"] == "DEAD"
    write_effective(target, ("127.0.0.1:1",))
    for command in (["limits", "list"], ["users", "list"], ["explain", "SELECT 1"]):
        assert main(command) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("clusterctl: nothing runs under ")


def test_who_can_log_in(target: Target) -> None:
    config = target.config
    same = {"native": native_hash("it's"), "default_keyspace": "commerce"}
    assert display.connect_command(config, {"app": same}) == display.connect_command(config, {})
    assert display.connect_command(config, {"app": {"native": "*0"}}).endswith(" -u app -p commerce")
    gone = {"app": {"removed": True}}
    assert display.connect_command(config, {**gone, "dba": {"native": "*0"}}).endswith(" -u dba -p commerce")
    assert display.connect_command(config, gone) == ""


def test_the_last_admin_is_not_taken_away_by_the_way(target: Target) -> None:
    app = UserRecord("app", "*1", "", roles=("admin",))
    gone, less = replace(app, removed=True), replace(app, roles=("read",))
    for live, last in (({}, True), ({"dba": UserRecord("dba", "*1", "", roles=("admin",)).to_json()}, False)):
        users = everyone(target.config, live)
        assert loses_last_admin("app", app, gone, users) is last
        assert loses_last_admin("app", app, less, users) is last
    assert not loses_last_admin("app", less, gone, [])
    assert not loses_last_admin("app", app, replace(app, max_connections=3), [])


def test_no_password_at_the_prompt(
    target: Target, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def end(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", end)
    assert main(["users", "add", "report"]) == 1
    assert capsys.readouterr().err == "clusterctl: no password was given; nothing was changed\n"


def test_limits_of_what_there_is(target: Target) -> None:
    limits.check_scope(target, parse_scope("shard:commerce/-"))
    limits.check_scope(target, parse_scope("cluster"))
    for scope, said in (("keyspace:comerce", "known: commerce"), ("shard:commerce/-80", "it has -")):
        with pytest.raises(UsageError, match=said):
            limits.check_scope(target, parse_scope(scope))


def test_status_believes_the_kernel_not_the_file(target: Target) -> None:
    own = identify(os.getpid())
    assert own is not None
    state = state_of(target)
    state.processes = [
        ProcessState("a", "tablet", "ipc:///a", "k", "-", "SERVING", own),
        ProcessState(
            "b",
            "tablet",
            "ipc:///b",
            "k",
            "-",
            "SERVING",
            Identity(own.pid, own.start_ticks - 1, own.boot_id),
        ),
        ProcessState("c", "tablet", "ipc:///c", "k", "-", "NOT_SERVING", None, 9, 9, "", "out of memory"),
    ]
    found = status.describe(target, state)["processes"]
    assert [p["state"] for p in found] == ["SERVING", "DEAD", "NOT_SERVING"]
    assert found[2]["said"] == "out of memory"
    assert set(status.KEYS) <= set(found[0])


def test_down_of_nothing(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down"]) == 0
    assert main(["down", "--purge"]) == 0
    assert capsys.readouterr().out.count("nothing runs under") == 2


def test_a_file_that_was_spoilt_since_stops_nobody_from_stopping(
    target: Target, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text(FILE + "\nbogus = 1\n")
    assert main(["down"]) == 2  # nothing was ever started
    target.layout.create()
    target.layout.effective.write_text(FILE.replace("v.json", str(tmp_path / "v.json")))
    assert main(["down"]) == 0
    assert main(["up"]) == 2
    assert main(["down", "-f", "nosuch.toml"]) == 2
    assert "bogus" in capsys.readouterr().err


def test_purge_deletes_all(target: Target, tmp_path: Path) -> None:
    target.layout.create()
    (tmp_path / ".sluice/mysql/commerce.-").mkdir(parents=True)
    (tmp_path / ".sluice/mysql/commerce.-/ibdata1").write_text("x")
    assert main(["down", "--purge"]) == 0
    assert not (tmp_path / ".sluice").exists()
    assert (tmp_path / "cluster.toml").exists()


def test_purge_does_not_follow_links(target: Target, tmp_path: Path) -> None:
    target.layout.create()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/keep").write_text("x")
    (tmp_path / ".sluice/link").symlink_to(tmp_path / "elsewhere")
    down.purge(target)
    assert (tmp_path / "elsewhere/keep").exists()


def test_orphans_are_stopped_only_when_they_are_surely_ours(target: Target) -> None:
    target.layout.create()
    data_dir = str(target.layout.data_dir)
    code = "import time; print('up', flush=True); time.sleep(60)"
    with (
        subprocess.Popen(
            [sys.executable, "-c", code, data_dir], stdout=subprocess.PIPE, process_group=0
        ) as ours,
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, process_group=0) as stranger,
    ):
        assert ours.stdout is not None
        assert stranger.stdout is not None
        ours.stdout.readline()
        stranger.stdout.readline()
        try:
            first, second = identify(ours.pid), identify(stranger.pid)
            assert first is not None
            assert second is not None
            state = state_of(target)
            wrong = Identity(first.pid, first.start_ticks - 1, first.boot_id)
            state.processes = [ProcessState("x", "etcd", "", "", "", identity=wrong)]
            assert orphans.find(state, target.layout) == []
            state.processes = [
                ProcessState("a", "etcd", "", "", "", identity=first),
                ProcessState("b", "tablet", "", "", "", identity=second),
            ]
            said: list[str] = []
            assert orphans.stop(state, target.layout, said.append) == 1
            assert said == [f"stopping a (pid {ours.pid}), left by an earlier run"]
            assert ours.wait() == -signal.SIGTERM
            assert stranger.poll() is None
        finally:
            ours.kill()
            stranger.kill()


# ---- what is shown and how processes are run


def test_how_to_connect_comes_last(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    display.show_ready(target, foreground=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "cluster shop serves"
    assert lines[-1].split(None, 1) == [
        "connect",
        """mysql -h 127.0.0.1 -P 15306 -u app '-pit'"'"'s' commerce""",
    ]


def test_plain_progress_is_a_line_a_change(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    state = state_of(target)
    state.steps = [Step("etcd", "etcd at x:1"), Step("router", "router")]
    with display.Lines() as lines:
        lines.update(state)
        state.steps[0].state = "running"
        lines.update(state)
        lines.update(state)
        state.steps[0] = Step("etcd", "etcd at x:1", "done", "x:1", 0.52)
        state.steps[1].state = "failed"
        lines.update(state)
    assert capsys.readouterr().out.splitlines() == [
        "starting  etcd at x:1",
        "ready     etcd at x:1 (0.5 s)",
        "failed    router",
    ]


def test_bars_stand_still_and_long_notes_come_beneath(
    target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    state = state_of(target)
    long = "VSchema of commerce differs from /tmp/x/commerce.vschema.json: what is live is kept [sic]"
    state.steps = [
        Step("etcd", "etcd at 127.0.0.1:1"),
        Step("topology", "topology"),
        Step("router", "router at 127.0.0.1:15306, HTTP at 127.0.0.1:15380"),
    ]
    with display.Bars(width=120) as bars:
        for step, note in zip(state.steps, ("127.0.0.1:1", long, "x"), strict=True):
            step.state = "running"
            bars.update(state)
            step.state, step.note = "done", note
            bars.update(state)
    lines = capsys.readouterr().out.splitlines()
    shown = [line for line in lines if "0:00:0" in line][-4:]
    assert len({line.index("0:00:0") for line in shown}) == 1
    assert all(len(line) <= 120 for line in shown)
    assert " ".join(lines).endswith(f"topology: {long}")


def test_command_lines(target: Target) -> None:
    layout = Layout(Path("/d"))
    shard = specs.Shard("commerce", "-80", 1, None)
    spec = specs.tablet_spec(layout, shard, Path("/d/mysql/commerce.-80/tablet.dsn"))
    assert spec.name == "tablet-commerce--80"
    assert spec.argv[1:] == (
        *("-P", "-m", "tablet", "-f", "/d/run/cluster.toml", "--keyspace", "commerce", "--shard=-80"),
        *("--listen", "ipc:///d/run/tablet-commerce--80.sock", "--alias", "tablet-commerce--80"),
        *("--dsn-file", "/d/mysql/commerce.-80/tablet.dsn"),
    )
    assert specs.port_names(target.config) == ["etcd", "etcd-peer", "mysqld-commerce--"]


def test_layout_of_a_path_with_dots(tmp_path: Path) -> None:
    assert layout_of(tmp_path / "a/../b").data_dir == tmp_path / "b"
