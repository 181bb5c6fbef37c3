"""The dashboard on a real terminal: the alternate screen, keys, the size of the window.

Invariant: however it ends, the terminal is left as it was found.
"""

import contextlib
import os
import queue
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from dataclasses import replace
from types import FrameType
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live

from cli.dashboard.figures import Sample
from cli.dashboard.frame import render
from cli.dashboard.poll import INTERVAL_S, Poller
from cli.dashboard.text import ASCII, UNICODE, Glyphs
from cli.dashboard.view import Model, Surroundings, View
from cli.target import Target

TICK_S: Final = 0.25
ONCE_SIZE: Final = (100, 30)
"""Of `--once` where no terminal and no COLUMNS and LINES tell another."""

_Seen = tuple[Sample | str, Surroundings]


def make_console(*, no_color: bool) -> Console:
    """NO_COLOR holds as well; https://no-color.org."""
    return Console(no_color=True if no_color else None, highlight=False, markup=False, emoji=False)


def glyphs_of(console: Console) -> Glyphs:
    return UNICODE if console.encoding.lower().startswith("utf") else ASCII


def show_once(target: Target, console: Console) -> bool:
    """One frame on stdout, of two samples so that there are rates; whether the router answered."""
    width, height = console.size if console.is_terminal else _size_of_environment()
    model = _model(target)
    poller = Poller(target, lambda *_: None)
    _take(model, poller.once())
    if model.view.silent_since_s is None:
        time.sleep(INTERVAL_S * 1.1)
        _take(model, poller.once())
    lines = render(replace(model.view, now_s=time.time()), width, height, glyphs_of(console))
    for line in lines:
        console.print(line, soft_wrap=True)
    return model.view.silent_since_s is None


def _size_of_environment() -> tuple[int, int]:
    """COLUMNS and LINES, as other programs take them."""

    def number(name: str, default: int) -> int:
        text = os.environ.get(name, "")
        return int(text) if text.isdigit() and int(text) > 0 else default

    return number("COLUMNS", ONCE_SIZE[0]), number("LINES", ONCE_SIZE[1])


def _model(target: Target) -> Model:
    return Model(target.config.router.http, target.config.cluster.name, time.time())


def _take(model: Model, seen: _Seen) -> None:
    found, around = seen
    if isinstance(found, str):
        model.miss(found, around, time.time())
    else:
        model.take(found, around, time.time())


def show(target: Target, console: Console, quits: str = "quit") -> None:
    """Until somebody presses q or Ctrl-C, or SIGTERM comes. `quits`: what that does, for the person."""
    glyphs = glyphs_of(console)
    has_keys = sys.stdin.isatty()
    model = _model(target)
    frozen: View | None = None
    news: queue.SimpleQueue[_Seen] = queue.SimpleQueue()
    poller = Poller(target, lambda found, around: news.put((found, around)))

    def frame() -> RenderableType:
        shown = frozen or replace(model.view, now_s=time.time())
        # The size is asked anew each time: a window that changed shows with the next tick.
        width, height = console.size
        return Group(*render(replace(shown, keys=has_keys, quits=quits), width, height, glyphs))

    with _ended_by_sigterm(), _keys_unbuffered(has_keys), contextlib.suppress(KeyboardInterrupt):
        poller.start()
        try:
            with Live(
                frame(), console=console, screen=True, auto_refresh=False, vertical_overflow="crop"
            ) as live:
                while True:
                    for key in _pressed(has_keys):
                        if key in ("q", "Q"):
                            return
                        if key in ("p", "P"):
                            frozen = None if frozen else replace(model.view, now_s=time.time(), paused=True)
                    while not news.empty():
                        _take(model, news.get())
                    live.update(frame(), refresh=True)
        finally:
            poller.stop()


def _pressed(has_keys: bool) -> str:
    """The keys of the last TICK_S; waits that long where there is none."""
    if not has_keys:
        time.sleep(TICK_S)
        return ""
    readable, _, _ = select.select([sys.stdin.fileno()], [], [], TICK_S)
    if not readable:
        return ""
    pressed = os.read(sys.stdin.fileno(), 64)
    if not pressed:  # the terminal hung up
        raise KeyboardInterrupt
    # An arrow key is an escape sequence that may end in any letter.
    return "" if pressed.startswith(b"\x1b") else pressed.decode("ascii", "ignore")


@contextlib.contextmanager
def _keys_unbuffered(has_keys: bool) -> Iterator[None]:
    if not has_keys:
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    def end(number: int, at: FrameType | None) -> None:
        del number, at
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
