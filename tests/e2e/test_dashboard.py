"""`clusterctl dashboard` on a real cluster: one frame for scripts, and the live one on a terminal."""

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.kit.cluster import Cluster

pytestmark = pytest.mark.e2e

ALTERNATE_ON, ALTERNATE_OFF = b"\x1b[?1049h", b"\x1b[?1049l"


PLAIN = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}


def argv(cluster: Cluster, *more: str) -> list[str]:
    return [sys.executable, "-m", "cli.main", "dashboard", *more, "-f", str(cluster.home / "cluster.toml")]


def test_one_frame_for_scripts(cluster: Cluster) -> None:
    ran = subprocess.run(
        argv(cluster, "--once"),
        capture_output=True,
        text=True,
        timeout=30,
        stdin=subprocess.DEVNULL,
        env=PLAIN,
    )
    assert ran.returncode == 0, ran.stderr
    assert "\x1b" not in ran.stdout
    lines = ran.stdout.splitlines()
    assert len(lines) == 30
    assert f"e2e-{cluster.flavour} ● up" in lines[0]
    assert "etcd ok" in lines[1]
    assert "leader " in lines[1]
    for shard in ("commerce/-80", "commerce/80-", "main/-"):
        (row,) = [line for line in lines if line.startswith(shard + " ")]
        assert row.split()[1] == "up"
        # Direct connections of other tests count among MySQL's threads until the tablet looks again.
        assert row.split()[-1].rstrip("!").endswith(f"/{cluster.pool_size}")
    assert len([line for line in lines if line.startswith("router-")]) >= cluster.workers


def test_a_size_from_the_environment(cluster: Cluster) -> None:
    ran = subprocess.run(
        argv(cluster, "--once"), capture_output=True, text=True, timeout=30,
        env={**PLAIN, "COLUMNS": "80", "LINES": "24"},
    )  # fmt: skip
    lines = ran.stdout.splitlines()
    assert len(lines) == 24
    assert max(map(len, lines)) <= 80


class Screen:
    """A process on a terminal of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", terminal: int) -> None:
        self.process = process
        self.terminal = terminal
        self.seen = b""

    def read(self, timeout_s: float) -> bool:
        readable, _, _ = select.select([self.terminal], [], [], timeout_s)
        if not readable:
            return False
        try:
            data = os.read(self.terminal, 65536)
        except OSError:  # the other end is closed
            return False
        self.seen += data
        return bool(data)

    def wait_for(self, text: str, timeout_s: float = 20) -> None:
        """Until `text` was shown after the last call."""
        deadline_s = time.monotonic() + timeout_s
        while text.encode() not in self.seen:
            assert time.monotonic() < deadline_s, f"{text!r} was not shown: {self.seen[-3000:]!r}"
            self.read(0.2)
        self.seen = b""

    def press(self, key: str) -> None:
        os.write(self.terminal, key.encode())

    def end(self, timeout_s: float = 10) -> int:
        deadline_s = time.monotonic() + timeout_s
        while self.process.poll() is None:
            assert time.monotonic() < deadline_s, "it does not end"
            self.read(0.1)
        while self.read(0):
            pass
        return self.process.returncode


@contextmanager
def on_terminal(command: list[str], **env: str) -> Iterator[Screen]:
    outer, inner = pty.openpty()
    termios.tcsetwinsize(inner, (30, 100))
    process = subprocess.Popen(
        command, stdin=inner, stdout=inner, stderr=inner, start_new_session=True,
        env={**PLAIN, "TERM": "xterm-256color", **env},
    )  # fmt: skip
    screen = Screen(process, outer)
    try:
        yield screen
        # However it ended: lines and echo are as they were.
        assert termios.tcgetattr(inner)[3] & (termios.ICANON | termios.ECHO) == termios.ICANON | termios.ECHO
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(inner)
        os.close(outer)


def test_live_pauses_and_quits(cluster: Cluster) -> None:
    with on_terminal(argv(cluster)) as screen:
        screen.wait_for("commerce/-80")
        screen.press("p")
        screen.wait_for("PAUSED")
        screen.press("p")
        screen.wait_for("p pause")
        screen.press("q")
        assert screen.end() == 0
        assert ALTERNATE_OFF in screen.seen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_live_ends_by_signals(cluster: Cluster, number: signal.Signals) -> None:
    with on_terminal(argv(cluster, "--no-color")) as screen:
        screen.wait_for("commerce/-80")
        screen.process.send_signal(number)
        assert screen.end() == 0
        assert ALTERNATE_OFF in screen.seen


def test_live_colours(cluster: Cluster) -> None:
    for more, env, coloured in (([], {}, True), (["--no-color"], {}, False), ([], {"NO_COLOR": "1"}, False)):
        with on_terminal(argv(cluster, *more), **env) as screen:
            while b"commerce/-80" not in screen.seen:
                assert screen.read(20)
            shown = screen.seen
            assert ALTERNATE_ON in shown
            assert (b"\x1b[32m" in shown) is coloured
            screen.press("q")
            assert screen.end() == 0


def test_live_survives_a_silent_router(cluster: Cluster) -> None:
    """It tells of the silence, and goes on by itself."""
    (router,) = cluster.pids("router")
    with on_terminal(argv(cluster)) as screen:
        screen.wait_for("nothing is known to be wrong")
        os.kill(router, signal.SIGSTOP)
        try:
            screen.wait_for("no answer from the router")
        finally:
            os.kill(router, signal.SIGCONT)
        screen.wait_for("nothing is known to be wrong", 60)
        screen.press("q")
        assert screen.end() == 0
