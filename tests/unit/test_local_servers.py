"""What of cli/local is pure: which binary, which options, how much memory, where a socket goes."""

import stat
from pathlib import Path

import pytest

from cli.local import (
    EtcdServer,
    Flavour,
    LocalServerError,
    MysqldBinary,
    MysqlServer,
    check_memory,
    etcd_argv,
    find_mysqld,
    memory_need,
    socket_path,
    start_argv,
)
from cli.local.paths import cause

MIB = 1024 * 1024


def fake_mysqld(path: Path, line: str, status: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{line}'\nexit {status}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
@pytest.mark.parametrize("pool_size", [3, 16, 100, 5000])
def test_named_numbers_really_fit(flavour: Flavour, pool_size: int) -> None:
    enough = memory_need(pool_size, flavour, 128 * MIB).smallest_memory_bytes
    check_memory(pool_size, flavour, enough)
    with pytest.raises(LocalServerError, match=f"memory to {enough // MIB}MiB"):
        check_memory(pool_size, flavour, enough - MIB)
    for budget in (128 * MIB, 512 * MIB, 4096 * MIB):
        largest = memory_need(pool_size, flavour, budget).largest_pool_size
        if largest:
            check_memory(largest, flavour, budget)
            with pytest.raises(LocalServerError, match="does not fit"):
                check_memory(largest + 1, flavour, budget)


def test_refusal_names_both_numbers() -> None:
    with pytest.raises(
        LocalServerError, match=r"pool_size 5000 .* pool_size to 88 or raise \[mysql\] memory to"
    ):
        check_memory(5000, "mysql", 512 * MIB)


def test_default_budget_bears_the_default_pool() -> None:
    for flavour in ("mysql", "mariadb"):
        check_memory(16, flavour, 512 * MIB)


def test_mysqld_may_be_a_mariadb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_mysqld(tmp_path / "mysqld", "mysqld  Ver 10.11.6-MariaDB for debian-linux-gnu")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = find_mysqld()
    assert (found.flavour, found.version, found.path) == ("mariadb", "10.11.6-MariaDB", tmp_path / "mysqld")


def test_unpacked_one_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked = fake_mysqld(tmp_path / "servers" / "mysqld", "mysqld  Ver 9.7.4-2 for Linux on x86_64")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("cli.local.binaries._DAEMON_DIRS", "/nowhere")
    assert find_mysqld(unpacked=unpacked).flavour == "mysql"
    with pytest.raises(LocalServerError, match="make up"):
        find_mysqld(unpacked=tmp_path / "none")


def test_wrong_binary_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalServerError, match="is not an executable file"):
        find_mysqld(str(tmp_path / "none"))
    with pytest.raises(LocalServerError, match="no MySQL server that runs here: library missing"):
        find_mysqld(str(fake_mysqld(tmp_path / "broken", "library missing", 127)))


def test_the_cause_stands_before_the_last_words() -> None:
    log = """2026-11-21T08:00:00Z 0 [ERROR] [MY-1] [InnoDB] of an earlier run
2026-11-21T08:01:00Z 0 [System] [MY-010116] [Server] /usr/sbin/mysqld (mysqld 9.7.4) starting as process 4711
2026-11-21T08:01:00Z 1 [System] [MY-013576] [InnoDB] InnoDB initialization has started.
2026-11-21T08:01:01Z 1 [ERROR] [MY-012574] [InnoDB] Unable to lock ./ibdata1 error: 11
2026-11-21T08:01:02Z 1 [ERROR] [MY-010334] [Server] Failed to initialize DD Storage Engine
2026-11-21T08:01:02Z 0 [ERROR] [MY-010119] [Server] Aborting
2026-11-21T08:01:03Z 0 [System] [MY-010910] [Server] /usr/sbin/mysqld: Shutdown complete"""
    assert [line.rpartition("] ")[2] for line in cause(log, 6).splitlines()] == [
        "Unable to lock ./ibdata1 error: 11",
        "Failed to initialize DD Storage Engine",
    ]
    assert cause(log, 1).endswith("error: 11")
    assert cause("Starting MariaDB 10.11.6 source revision as process 7\na\nb\nc", 2) == "b\nc"
    assert cause("", 3) == ""


def test_short_socket_stays_in_place(tmp_path: Path) -> None:
    assert socket_path(Path("/srv/sluice"), "mysqld.sock") == Path("/srv/sluice/mysqld.sock")


def test_long_socket_goes_to_a_private_place(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 107)
    path = socket_path(deep, "mysqld.sock")
    try:
        assert path == socket_path(deep, "mysqld.sock")
        assert path != socket_path(tmp_path / ("y" * 107), "mysqld.sock")
        assert len(str(path)) <= 107
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        path.parent.chmod(0o755)
        with pytest.raises(LocalServerError, match="not a private directory"):
            socket_path(deep, "mysqld.sock")
    finally:
        path.parent.rmdir()
        socket_path(tmp_path / ("y" * 107), "mysqld.sock").parent.rmdir()


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_options(flavour: Flavour, tmp_path: Path) -> None:
    binary = MysqldBinary(Path("/usr/sbin/mysqld"), flavour, "1")
    argv = start_argv(MysqlServer(binary, tmp_path, 13306, 20, 512 * MIB, extra=("--long-query-time=1",)))
    assert argv[1] == "--no-defaults"  # must come first, or the system's option files are read
    assert argv[-1] == "--long-query-time=1"
    wanted = {"--bind-address=127.0.0.1", "--max-connections=20", "--skip-log-bin", "--local-infile=ON"}
    assert wanted | {"--innodb-flush-log-at-trx-commit=1"} <= set(argv)
    assert ("--mysqlx=OFF" in argv) == (flavour == "mysql")


@pytest.mark.parametrize(("used", "native"), [("1000", True), ("60000", False), ("", True)])
def test_native_aio_where_the_kernel_has_it(
    used: str, native: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "aio-nr").write_text(f"{used}\n")
    (tmp_path / "aio-max-nr").write_text("65536\n")
    monkeypatch.setattr("cli.local.mysql._KERNEL", tmp_path)
    argv = start_argv(MysqlServer(MysqldBinary(Path("mysqld"), "mysql", "9.7"), tmp_path, 1, 20, 512 * MIB))
    assert ("--innodb-use-native-aio=OFF" not in argv) == native


def test_etcd_syncs_unless_told_otherwise(tmp_path: Path) -> None:
    server = EtcdServer(Path("/usr/bin/etcd"), tmp_path / "etcd", 12379, 12380)
    assert "--unsafe-no-fsync" not in etcd_argv(server)
    assert "--listen-client-urls=http://127.0.0.1:12379" in etcd_argv(server)
