"""The terminal dashboard: what a cluster does now, once a second, from its router's /debug/cluster.

The way of a figure: `poll` asks, `figures` reads, `rates` takes differences, `view` holds what a frame shows,
`frame` lays out `health` and `sections` as lines of `text`, `terminal` puts them on the screen. All but `poll` and
`terminal` are pure.
"""

from cli.dashboard.terminal import make_console, show, show_once
from cli.errors import DONE, FAILED
from cli.target import Target


def run(target: Target, *, once: bool = False, no_color: bool = False, quits: str = "quit") -> int:
    """Shows `target` until the person leaves, or one frame: with `once`, or where stdout is no terminal.

    `quits` tells what leaving does. Exit status 1 where the router does not answer to that one frame.
    """
    console = make_console(no_color=no_color)
    if once or not console.is_terminal:
        return DONE if show_once(target, console) else FAILED
    show(target, console, quits)
    return DONE
