"""The restart policy on a fake clock, and the shell around it with small real processes."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.clock import FakeClock
from core.process import Identity, command_line, identify, is_alive, send_signal
from core.restart import (
    BACKOFF_MOST_S,
    HEALTHY_S,
    LOOP_DEATHS,
    TABLE,
    Action,
    Event,
    Phase,
    Policy,
)
from core.rpc import messages
from core.supervise import Child, ProcessSpec, rotate


def die(policy: Policy, clock: FakeClock) -> float:
    """Lets it exit and wait out its back-off; the back-off in seconds."""
    assert policy.on(Event.EXITED) is Action.WAIT
    delay_s = policy.due_s - clock.now_s()
    clock.advance(delay_s)
    assert policy.on(Event.DUE) is Action.SPAWN
    return delay_s


def started() -> tuple[Policy, FakeClock]:
    clock = FakeClock()
    policy = Policy(clock)
    assert policy.on(Event.START) is Action.SPAWN
    return policy, clock


def test_back_off_doubles_to_five_seconds() -> None:
    policy, clock = started()
    delays = [round(die(policy, clock), 3) for _ in range(9)]
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert policy.restarts == 9


def test_back_off_stays_bounded_for_ever() -> None:
    policy, clock = started()
    for _ in range(3000):
        assert die(policy, clock) <= BACKOFF_MOST_S + 1e-6  # a difference of floats


def test_thirty_seconds_of_serving_forget_earlier_deaths() -> None:
    policy, clock = started()
    for _ in range(6):
        die(policy, clock)
    policy.on(Event.READY)
    clock.advance(HEALTHY_S)
    assert die(policy, clock) == pytest.approx(0.1)
    assert policy.deaths == 1


def test_less_than_thirty_seconds_forget_nothing() -> None:
    policy, clock = started()
    die(policy, clock)
    policy.on(Event.READY)
    clock.advance(HEALTHY_S - 0.1)
    assert die(policy, clock) == pytest.approx(0.2)


def test_serving_is_counted_from_ready_and_not_from_the_last_probe() -> None:
    policy, clock = started()
    die(policy, clock)
    for _ in range(4):
        policy.on(Event.READY)
        clock.advance(HEALTHY_S / 4 + 0.1)
    assert die(policy, clock) == pytest.approx(0.1)


def test_a_crash_loop_is_not_serving_and_never_given_up() -> None:
    policy, clock = started()
    for _ in range(LOOP_DEATHS - 1):
        die(policy, clock)
        assert policy.state == messages.STARTING
    die(policy, clock)
    assert policy.looping
    assert policy.state == messages.NOT_SERVING
    policy.on(Event.EXITED)
    assert policy.state == messages.NOT_SERVING
    policy.on(Event.DUE)
    policy.on(Event.READY)
    assert policy.state == messages.SERVING
    assert not policy.looping


def test_states_of_one_life() -> None:
    policy, _ = started()
    seen = [policy.state]
    for event in (
        Event.UNREADY,
        Event.READY,
        Event.UNREADY,
        Event.READY,
        Event.STOP,
        Event.READY,
        Event.EXITED,
    ):
        policy.on(event)
        seen.append(policy.state)
    assert seen == [
        messages.STARTING,
        messages.STARTING,
        messages.SERVING,
        messages.NOT_SERVING,
        messages.SERVING,
        messages.DRAINING,
        messages.DRAINING,
        messages.DEAD,
    ]


def test_stop_terminates_and_a_second_stop_kills() -> None:
    policy, _ = started()
    assert policy.on(Event.STOP) is Action.TERMINATE
    assert policy.on(Event.STOP) is Action.KILL
    assert policy.on(Event.EXITED) is Action.FINISH
    assert policy.on(Event.STOP) is Action.NONE


def test_stop_during_back_off_starts_nothing() -> None:
    policy, _ = started()
    policy.on(Event.EXITED)
    assert policy.on(Event.STOP) is Action.FINISH
    with pytest.raises(KeyError):
        policy.on(Event.DUE)


def test_stop_before_start() -> None:
    policy = Policy(FakeClock())
    assert policy.on(Event.STOP) is Action.FINISH
    assert policy.phase is Phase.STOPPED


def test_every_phase_can_be_stopped_and_every_running_one_can_die() -> None:
    for phase in Phase:
        assert (phase, Event.STOP) in TABLE
    for phase in (Phase.STARTING, Phase.SERVING, Phase.UNREADY, Phase.STOPPING):
        assert (phase, Event.EXITED) in TABLE


# ---- the shell


async def always() -> bool:
    return True


def spec(tmp_path: Path, *argv: str, grace_s: float = 5.0) -> ProcessSpec:
    return ProcessSpec("it", "test", argv, tmp_path / "it.log", tmp_path, grace_s=grace_s)


class Changes:
    """Lets a test wait for a change of state instead of polling."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def tell(self) -> None:
        self._event.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._event.clear()
                await self._event.wait()


async def ended(pidfd: int) -> None:
    """Returns once the process behind `pidfd` has ended; closes it."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(pidfd, event.set)
    async with asyncio.timeout(10):
        await event.wait()
    loop.remove_reader(pidfd)
    os.close(pidfd)


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", "-c", code)


async def test_a_process_runs_serves_and_stops(tmp_path: Path) -> None:
    changes: list[str] = []
    child = Child(spec(tmp_path, "sleep", "60"), always, lambda: changes.append(child.state))
    child.start()
    assert await child.wait_serving(10)
    identity = child.identity
    assert identity is not None
    assert is_alive(identity)
    child.stop()
    await child.wait_stopped()
    assert not is_alive(identity)
    assert child.last_exit == -signal.SIGTERM
    assert changes == [messages.STARTING, messages.SERVING, messages.DRAINING, messages.DEAD]


async def test_what_is_killed_comes_back_with_another_pid(tmp_path: Path) -> None:
    changes = Changes()
    child = Child(spec(tmp_path, "sleep", "60"), always, changes.tell)
    child.start()
    assert await child.wait_serving(10)
    first = child.identity
    assert first is not None
    send_signal(first, signal.SIGKILL)
    await changes.until(lambda: child.identity != first and child.state == messages.SERVING)
    assert child.policy.restarts == 1
    child.stop()
    await child.wait_stopped()


async def test_one_that_ends_at_once_never_serves_and_its_words_are_kept(tmp_path: Path) -> None:
    async def never() -> bool:
        raise ConnectionRefusedError

    child = Child(spec(tmp_path, *python("import sys; sys.exit('no such table')")), never, lambda: None)
    child.start()
    assert not await child.wait_serving(10)
    assert child.last_exit == 1
    child.stop()
    await child.wait_stopped()
    assert "no such table" in child.spec.log.read_text()


async def test_a_program_that_does_not_exist(tmp_path: Path) -> None:
    changes = Changes()
    child = Child(spec(tmp_path, "/nonexistent/program"), always, changes.tell)
    child.start()
    await changes.until(lambda: child.last_exit is not None)
    assert child.last_exit == 127
    child.stop()
    await child.wait_stopped()
    assert "/nonexistent/program" in child.spec.log.read_text()


async def test_a_start_that_gives_no_process_counts_as_a_death(tmp_path: Path) -> None:
    one = ProcessSpec("it", "test", ("sleep", "60"), tmp_path / "it.log", tmp_path / "nosuch")
    child = Child(one, always, lambda: None)
    child.start()
    assert not await child.wait_serving(10)
    assert "nosuch" in child.spawn_error
    (tmp_path / "nosuch").mkdir()
    async with asyncio.timeout(10):
        while child.state != messages.SERVING:
            await child._next_change()
    child.stop()
    await child.wait_stopped()


async def test_one_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    code = "import signal,time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    one = spec(tmp_path, *python(code), grace_s=0.2)

    async def up() -> bool:
        return b"up" in one.log.read_bytes()

    child = Child(one, up, lambda: None)
    child.start()
    assert await child.wait_serving(10)
    child.stop()
    async with asyncio.timeout(5):
        await child.wait_stopped()
    assert child.last_exit == -signal.SIGKILL


async def test_its_children_go_with_it(tmp_path: Path) -> None:
    code = "import subprocess,time; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); time.sleep(60)"
    one = spec(tmp_path, *python(code))

    async def told() -> bool:
        return one.log.read_bytes().endswith(b"\n")

    child = Child(one, told, lambda: None)
    child.start()
    assert await child.wait_serving(10)
    grandchild = identify(int(one.log.read_text()))
    assert grandchild is not None
    pidfd = os.pidfd_open(grandchild.pid)
    child.stop()
    await child.wait_stopped()
    await ended(pidfd)
    assert not is_alive(grandchild)


def test_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    code = f"""
import asyncio, os, signal
from pathlib import Path
from core.supervise import Child, ProcessSpec
async def always(): return True
async def main():
    child = Child(ProcessSpec("it", "test", ("sleep", "60"), Path({str(tmp_path / "it.log")!r}), Path("/")), always,
                  lambda: None)
    child.start()
    await child.wait_serving(10)
    print(child.identity.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        child = identify(int(supervisor.stdout.readline()))
        assert child is not None
        pidfd = os.pidfd_open(child.pid)
        supervisor.kill()
    asyncio.run(ended(pidfd))
    assert not is_alive(child)


def test_an_identity_is_not_only_a_pid() -> None:
    own = identify(os.getpid())
    assert own is not None
    assert is_alive(own)
    assert "python" in command_line(own.pid)
    stranger = Identity(own.pid, own.start_ticks - 1, own.boot_id)
    assert not is_alive(stranger)
    assert not send_signal(stranger, signal.SIGKILL)
    assert Identity.from_dict(own.to_dict()) == own


def test_a_zombie_has_ended() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert identify(process.pid) is None
    process.wait()


def test_logs_rotate_when_there_is_something_in_them(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    rotate(log)
    for number in range(5):
        log.write_text(str(number))
        rotate(log)
        log.write_text("")
        rotate(log)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.log", "a.log.1", "a.log.2", "a.log.3"]
    assert (tmp_path / "a.log.1").read_text() == "4"
    assert (tmp_path / "a.log.3").read_text() == "2"
