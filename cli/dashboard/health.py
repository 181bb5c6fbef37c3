"""The head of a frame: what cluster this is, whether it is well, and if not, what is wrong. Pure."""

from collections.abc import Iterable

from rich.text import Text

from cli.dashboard import text as t
from cli.dashboard.figures import LABELS, Sample
from cli.dashboard.text import Glyphs, clock, count, plain, span
from cli.dashboard.view import View
from core.rpc import messages

_STYLES = {
    messages.SERVING: t.GOOD,
    messages.STARTING: t.WARN,
    messages.DRAINING: t.WARN,
    messages.NOT_SERVING: t.BAD,
    messages.DEAD: t.BAD,
}


_DOWN = frozenset({messages.NOT_SERVING, messages.DEAD})
NO_ROUTER = "no router is registered"
"""The leader's word, which comes seconds after a router's first answer."""


def state(name: str) -> Text:
    """`SERVING` as a word in its colour."""
    return Text(LABELS.get(name, name.lower() or "unknown"), _STYLES.get(name, t.BAD))


def title(view: View, width: int, glyphs: Glyphs) -> Text:
    """Name, state, address, uptime; at the right end the time."""
    sample = view.sample
    left = Text.assemble((" SLUICE ", "reverse bold"))
    if view.paused:
        left.append(" PAUSED ", "reverse yellow")
    if sample is None:
        left.append(f" {view.address} ")
        word = Text("no answer", t.BAD) if view.silent_since_s is not None else Text("asking", t.WARN)
    else:
        left.append(f" {sample.cluster} ", "bold")
        word = Text("no answer", t.BAD) if view.silent_since_s is not None else _whole(sample)
    left.append(f"{glyphs.dot} ", word.style)
    left.append_text(word)
    if sample is not None:
        left.append("  applications: ", t.DIM)
        left.append(sample.mysql)
        left.append("  up ", t.DIM)
        left.append(span(sample.uptime_s))
    right = Text.assemble(" ", clock(view.now_s))
    space = width - left.cell_len - right.cell_len
    if space < 1:
        return Text(t.cut(left.plain, width, glyphs.ellipsis))
    return Text.assemble(left, " " * space, right)


def _whole(sample: Sample) -> Text:
    """The router's state, which is not the cluster's where a shard or a worker does not serve."""
    parts = {tablet.state for tablet in sample.tablets} | {worker.state for worker in sample.workers}
    if sample.state == messages.SERVING and parts & _DOWN:
        return Text("up in part", t.BAD)
    return state(sample.state)


def facts(view: View, width: int) -> Text:
    """etcd, control plane, processes, clients; the last ones are left out where there is no room."""
    parts: list[Text] = []
    sample, around = view.sample, view.around
    if sample is not None and view.silent_since_s is None:
        parts.append(_fact("etcd", "ok" if sample.etcd else "no answer", t.GOOD if sample.etcd else t.BAD))
    if around.leader is not None:
        parts.append(_fact("leader", plain(around.leader) or "none", t.GOOD if around.leader else t.BAD))
    if around.processes:
        up = sum(p.state == messages.SERVING for p in around.processes)
        every = len(around.processes)
        parts.append(_fact("processes", f"{up} of {every} up", t.GOOD if up == every else t.BAD))
    if sample is not None and view.silent_since_s is None:
        clients = f"{count(sample.clients)} of {sample.max_connections:,}"
        nearly = sample.clients >= 0.9 * sample.max_connections > 0
        parts.append(_fact("clients", clients, t.WARN if nearly else ""))
        up = sum(tablet.state == messages.SERVING for tablet in sample.tablets)
        every = len(sample.tablets)
        parts.append(_fact("shards", f"{up} of {every} up", t.GOOD if up == every else t.BAD))
        parts.append(_fact("topology", str(sample.topology_version), ""))
    line = Text()
    for part in parts:
        if line.cell_len + part.cell_len + 3 > width:
            break
        line.append("   " if line else " ")
        line.append_text(part)
    return line


def _fact(name: str, value: str, style: str) -> Text:
    return Text.assemble((f"{name} ", t.DIM), (value, style))


def alerts(view: View) -> list[str]:
    """What a person should look at, the worst first; empty: nothing is known to be wrong."""
    found: list[str] = []
    if view.silent_since_s is not None:
        since = f"since {clock(view.silent_since_s)} ({span(view.now_s - view.silent_since_s)})"
        found.append(f"no answer from the router at {view.address} {since}: {plain(view.silence)}")
        if view.sample is not None:
            found.append("the figures below are from before that")
    if view.sample is not None and view.sample.cluster != view.cluster:
        found.append(
            f"this is cluster '{plain(view.sample.cluster)}', not '{view.cluster}': its router has the address"
        )
    for process in view.around.processes:
        if process.state != messages.SERVING:
            said = plain(_cause(process.said))
            word = LABELS.get(process.state, process.state.lower())
            found.append(f"{process.name} is {word}" + (f": {said}" if said else ""))
    if view.sample is not None and view.silent_since_s is None:
        found += _of_sample(view.sample)
    if view.around.leader == "":
        found.append("no control plane leads: limits are not divided, nobody watches health")
    answers = view.sample is not None and view.silent_since_s is None
    found += [plain(problem) for problem in view.around.problems if not (answers and problem == NO_ROUTER)]
    return _once(found)


def _cause(said: str) -> str:
    """One line of a log's: the first error of a MySQL, without its time; else the last line, as of a traceback."""
    lines = said.strip().splitlines() or [""]
    error = next((line for line in lines if "[ERROR]" in line), "")
    return error[error.index("[ERROR]") :] if error else lines[-1]


def _of_sample(sample: Sample) -> list[str]:
    found = []
    if not sample.etcd:
        found.append("etcd does not answer: what is known goes on serving, changes are not seen")
    for tablet in sample.tablets:
        if tablet.state != messages.SERVING:
            found.append(f"shard {tablet.shard}: tablet {tablet.alias} is {state(tablet.state).plain}")
        elif tablet.threads_connected > tablet.pool_size > 0:
            found.append(
                f"shard {tablet.shard}: {tablet.threads_connected} threads are connected to MySQL, the cap is"
                f" {tablet.pool_size}: others than the tablet connect to it"
            )
    found += [
        f"worker {worker.name} is {state(worker.state).plain}"
        for worker in sample.workers
        if worker.state != messages.SERVING
    ]
    if not sample.tablets:
        found.append("no shard is known yet")
    return found


def _once(lines: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(lines))


def alert_lines(view: View, width: int, most: int, glyphs: Glyphs) -> list[Text]:
    """`alerts` in at most `most` lines of the frame; how many more there are is told in the last one."""
    found = alerts(view)
    if not found:
        word = "nothing is known to be wrong" if view.sample is not None else "no answer yet"
        return [Text(f" {word}", t.DIM)]
    lines: list[str] = []
    for index, alert in enumerate(found):
        left = most - len(lines)
        if left <= 0:
            break
        more = f" (and {len(found) - index - 1} more)" if index < len(found) - 1 else ""
        if left == 1 and more:
            lines.append(t.cut(alert, width - 3 - len(more), glyphs.ellipsis) + more)
        else:
            lines += t.wrap(alert, width - 3, min(left, 2), glyphs.ellipsis)
    return [Text(f" ! {line}", t.BAD) for line in lines]


def sparks(view: View, width: int, rows: int, glyphs: Glyphs) -> list[Text]:
    """Queries a second, clients and p99 over time: a line each, or all three in one."""
    points = view.history
    last = points[-1] if points else None
    series: list[tuple[str, list[float | None], str]] = [
        ("queries/s", [p.queries for p in points], _count(last.queries if last else None, glyphs)),
        ("clients", [p.clients for p in points], _count(last.clients if last else None, glyphs)),
        ("p99", [p.p99_s for p in points], t.duration(last.p99_s if last else None, glyphs.none)),
    ]
    if rows >= len(series):
        return [
            Text.assemble(
                (f" {name:<9} ", t.DIM),
                (f"{value:>7} ", "bold"),
                (t.spark(values, width - 19, glyphs), "cyan"),
            )
            for name, values, value in series
        ]
    share = width // len(series)
    line = Text()
    for name, values, value in series:
        label = f" {name} "
        graph = t.spark(values, share - len(label) - 8, glyphs)
        line.append(label, t.DIM).append(f"{value:<7}", "bold").append(graph, "cyan").append(" ")
    line.truncate(width)
    return [line]


def _count(value: float | None, glyphs: Glyphs) -> str:
    return glyphs.none if value is None else count(value)
