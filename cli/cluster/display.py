"""What `up` shows: bars and spinners on a terminal, one line a step elsewhere; and how to connect, in the end."""

import os
import shlex
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol

from cli.cluster import logins
from cli.state import ClusterState, Step
from cli.target import Target
from core.config import Config, parse_address


class Display(AbstractContextManager["Display"], Protocol):
    """Shows the steps of a start; `update` may be called as often as one likes."""

    def update(self, state: ClusterState) -> None: ...


def make() -> Display:
    return Bars() if sys.stdout.isatty() and os.environ.get("TERM") != "dumb" else Lines()


class Lines:
    """One line when a step begins and one when it ends."""

    def __init__(self) -> None:
        self._shown: dict[str, str] = {}

    def update(self, state: ClusterState) -> None:
        for step in state.steps:
            if step.state == self._shown.get(step.name):
                continue
            if step.state == "waiting":
                continue
            if step.state == "running":
                print(f"starting  {step.text}", flush=True)
            elif step.state == "done":
                print(f"ready     {step.text}{_note(step)} ({step.seconds:.1f} s)", flush=True)
            else:
                print(f"failed    {step.text}", flush=True)
            self._shown[step.name] = step.state

    def __enter__(self) -> "Lines":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class Bars:
    """A line a step, and one bar over all. Columns stand still; what a line has no room for is told beneath, whole."""

    def __init__(self, width: int | None = None) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, width=width)
        self._progress: Any = None
        self._all: Any = None
        self._room = 0
        self._tasks: dict[str, Any] = {}
        self._shown: dict[str, str] = {}
        self._long: list[str] = []

    def _begin(self, state: ClusterState) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.table import Column

        title = f"cluster {state.cluster}"
        text = max(len(title), *(len(step.text) + 2 for step in state.steps))
        # spinner, time, and a blank between columns
        bar = min(24, max(6, self._console.width - text - 14))
        self._room = self._console.width - text - bar - 14
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}", table_column=Column(min_width=text, no_wrap=True)),
            BarColumn(bar_width=bar),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}", table_column=Column(no_wrap=True)),
            console=self._console,
        )
        self._progress.start()
        self._all = self._progress.add_task(f"[bold]{escape(title)}", total=len(state.steps), note="")

    def update(self, state: ClusterState) -> None:
        if self._progress is None and state.steps:
            self._begin(state)
        progress = self._progress
        for step in state.steps:
            if step.state == self._shown.get(step.name) or step.state == "waiting":
                continue
            self._shown[step.name] = step.state
            text = escape(step.text)
            if step.name not in self._tasks:
                self._tasks[step.name] = progress.add_task(text, total=None, note="")
            task = self._tasks[step.name]
            if step.state == "done":
                note = step.note if step.note not in step.text else ""
                if len(note) > self._room:
                    # The path of a tablet's socket is `status`' to tell.
                    self._long += [f"{step.text}: {note}"] if not note.startswith("ipc://") else []
                    note = ""
                progress.update(task, total=1, completed=1, note=escape(note))
            elif step.state == "failed":
                progress.update(task, description=f"[red]✗ {text}", total=1, completed=0)
                progress.stop_task(task)
        if self._all is not None:
            progress.update(self._all, completed=sum(s.state == "done" for s in state.steps))

    def __enter__(self) -> "Bars":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
        for note in self._long:
            self._console.print(note, style="dim", markup=False)
        self._long.clear()


def escape(text: str) -> str:
    """`[` begins markup in rich."""
    return text.replace("[", "\\[")


def _note(step: Step) -> str:
    return f": {step.note}" if step.note and step.note not in step.text else ""


def connect_command(config: Config, live: Mapping[str, Mapping[str, Any]]) -> str:
    """The command line of the mysql client that reaches this cluster; empty where nobody can log in.

    `live`: etcd's records of users, which count more than the file's.
    """
    found = logins.login(config, live)
    if found is None:
        return ""
    user, keyspace = found
    host, port = parse_address(config.router.mysql, "[router] mysql")
    words = ["mysql", "-h", "127.0.0.1" if host in ("0.0.0.0", "::") else host, "-P", str(port)]
    return shlex.join([*words, *user, keyspace or config.keyspaces[0].name])


def hints(target: Target, *, foreground: bool) -> list[tuple[str, str]]:
    """What to do next, how to connect last."""
    connect = connect_command(target.config, logins.live_users(target))
    last = (
        ("connect", connect)
        if connect
        else ("note", f"nobody can log in: {target.command('users add USER')}")
    )
    return [
        ("data", str(target.layout.data_dir)),
        ("stop", "Ctrl-C" if foreground else target.command("down")),
        ("status", target.command("status")),
        ("dashboard", target.command("dashboard")),
        last,
    ]


def show_ready(target: Target, *, foreground: bool, already: bool = False) -> None:
    """The last lines of `up`."""
    title = f"cluster {target.config.cluster.name} {'runs already' if already else 'serves'}"
    found = hints(target, foreground=foreground)
    if not sys.stdout.isatty():
        print(title)
        for name, text in found:
            print(f"  {name:<10}{text}")
        sys.stdout.flush()
        return
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for name, text in found:
        table.add_row(f"[dim]{name}", f"[bold]{text}" if name == "connect" else text)
    Console(highlight=False).print(Panel(table, title=f"[green]{title}", title_align="left", expand=False))
