"""The tables of a frame: router workers, shards, limits, last errors. Pure: figures in, lines out.

Each takes how many lines it may have, its heading among them, and gives no more. Where not all rows fit, those that
need a look stay, and one line sums up the rest.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from rich.text import Text

from cli import invocation
from cli.dashboard import text as t
from cli.dashboard.figures import ErrorLine, LimitUse, Tablet, Worker
from cli.dashboard.health import state
from cli.dashboard.rates import Rates, total
from cli.dashboard.text import Column, Glyphs, count, duration
from cli.dashboard.view import View
from core.rpc import messages

_WORKER_HEADS = (
    Column("WORKER", right=False),
    Column("state", right=False),
    Column("clients"),
    Column("active"),
    Column("waiting"),
    Column("half-open", drop=3),
    Column("in tx", drop=2),
    Column("queries/s"),
    Column("p50"),
    Column("p95", drop=1),
    Column("p99"),
    Column("errors/s"),
)


def workers(view: View, width: int, rows: int, glyphs: Glyphs) -> list[Text]:
    """A line a worker and their sum; where they do not fit, the sum and the worst few."""
    found = view.sample.workers if view.sample is not None else ()
    rates = view.workers or {}
    if not found:
        return _none("WORKER", "no worker runs", rows)
    shown: Sequence[Worker] = found
    table: list[list[Text | str]] = []
    if len(found) > 1:
        if rows < len(found) + 2:
            shown = sorted(found, key=lambda w: _worker_rank(w, rates.get(w.name)))[: max(0, rows - 2)]
        table.append(_all_workers(found, rates, glyphs))
    table += [_worker(w, rates.get(w.name), glyphs) for w in shown]
    return t.columns(_WORKER_HEADS, table, width, glyphs.ellipsis)[:rows]


def _worker_rank(worker: Worker, rates: Rates | None) -> tuple[bool, float, float, int]:
    """The worst sorts first."""
    errors = rates.errors if rates else 0.0
    p99_s = (rates.latency_s(99) if rates else None) or 0.0
    return worker.state == messages.SERVING, -errors, -p99_s, -worker.active


def _worker(worker: Worker, rates: Rates | None, glyphs: Glyphs) -> list[Text | str]:
    return [
        worker.name,
        state(worker.state),
        *_worker_figures([worker], rates, glyphs),
    ]


def _all_workers(found: Sequence[Worker], rates: Mapping[str, Rates], glyphs: Glyphs) -> list[Text | str]:
    up = sum(w.state == messages.SERVING for w in found)
    word = Text(f"{up} up", t.GOOD if up == len(found) else t.BAD)
    known = list(rates.values())
    figures = _worker_figures(found, total(known) if known else None, glyphs)
    return [Text(f"all {len(found)}", "bold"), word, *figures]


def _worker_figures(found: Sequence[Worker], rates: Rates | None, glyphs: Glyphs) -> list[Text | str]:
    waiting = sum(w.waiting for w in found)
    none = glyphs.none
    return [
        count(sum(w.clients for w in found)),
        count(sum(w.active for w in found)),
        Text(count(waiting), t.WARN if waiting else ""),
        count(sum(w.half_open for w in found)),
        count(sum(w.transactions for w in found)),
        count(rates.queries) if rates else none,
        duration(rates.latency_s(50) if rates else None, none),
        duration(rates.latency_s(95) if rates else None, none),
        duration(rates.latency_s(99) if rates else None, none),
        Text(count(rates.errors), t.BAD if rates.errors else "") if rates else none,
    ]


_SHARD_HEADS = (
    Column("SHARD", right=False),
    Column("state", right=False),
    Column("pool in use", right=False),
    Column("wait"),
    Column("tx", drop=3),
    Column("reserved", drop=2),
    Column("shared/s", drop=4),
    Column("set.hit", drop=5),
    Column("queries/s"),
    Column("p50", drop=1),
    Column("p99"),
    Column("threads"),
)
"""shared/s: reads answered from another's execution; set.hit: borrows that found a connection with their settings;
threads: MySQL's own Threads_connected."""

_BAR_WIDTHS: Final = (10, 8, 6, 4)
"""A shorter bar is better than a column less."""


def shards(view: View, width: int, rows: int, glyphs: Glyphs) -> list[Text]:
    """A line a shard, in order of name; where they do not fit, the busiest and the sum of the rest."""
    found = view.sample.tablets if view.sample is not None else ()
    rates = view.tablets or {}
    if not found:
        return _none("SHARD", "no shard is registered", rows)
    shown: Sequence[Tablet] = found
    rest: Sequence[Tablet] = ()
    if rows < len(found) + 1:
        ranked = sorted(found, key=lambda tablet: _shard_rank(tablet, rates.get(tablet.alias)))
        room = max(0, rows - 2)
        shown, rest = ranked[:room], ranked[room:]
    rest_rates = [rates[tablet.alias] for tablet in rest if tablet.alias in rates]
    for bar_width in _BAR_WIDTHS:
        table = [_shard(tablet, rates.get(tablet.alias), bar_width, glyphs) for tablet in shown]
        if rest:
            table.append(_rest(rest, rest_rates, bar_width, glyphs))
        if t.fits(_SHARD_HEADS, table, width):
            break
    return t.columns(_SHARD_HEADS, table, width, glyphs.ellipsis)[:rows]


def _shard_rank(tablet: Tablet, rates: Rates | None) -> tuple[bool, bool, int, float, float, str]:
    """What needs a look first, then load."""
    return (
        tablet.state == messages.SERVING,
        tablet.threads_connected <= tablet.pool_size,
        -tablet.waiting,
        -(tablet.in_use / tablet.pool_size if tablet.pool_size else 0.0),
        -(rates.queries if rates else 0.0),
        tablet.shard,
    )


def _shard(tablet: Tablet, rates: Rates | None, bar_width: int, glyphs: Glyphs) -> list[Text | str]:
    if tablet.state != messages.SERVING:
        return [tablet.shard, state(tablet.state), *[glyphs.none] * (len(_SHARD_HEADS) - 2)]
    return [tablet.shard, state(tablet.state), *_shard_figures([tablet], rates, bar_width, glyphs)]


def _rest(rest: Sequence[Tablet], rates: Sequence[Rates], bar_width: int, glyphs: Glyphs) -> list[Text | str]:
    serving = [tablet for tablet in rest if tablet.state == messages.SERVING]
    word = Text(f"{len(serving)} up", t.GOOD if len(serving) == len(rest) else t.BAD)
    figures = _shard_figures(serving, total(rates) if rates else None, bar_width, glyphs)
    return [Text(f"{len(rest)} others", "italic"), word, *figures]


def _shard_figures(
    found: Sequence[Tablet], rates: Rates | None, bar_width: int, glyphs: Glyphs
) -> list[Text | str]:
    in_use, size = sum(tab.in_use for tab in found), sum(tab.pool_size for tab in found)
    waiting = sum(tab.waiting for tab in found)
    threads = sum(tab.threads_connected for tab in found)
    above = any(tab.threads_connected > tab.pool_size for tab in found)
    none = glyphs.none
    hits = rates.settings_hit_percent if rates else None
    full = Text(
        f"{t.bar(in_use, size, bar_width, glyphs)} {in_use}/{size}",
        t.BAD if waiting else t.WARN if size and in_use >= 0.9 * size else t.GOOD,
    )
    return [
        full,
        Text(count(waiting), t.BAD if waiting else ""),
        count(sum(tab.transactions for tab in found)),
        count(sum(tab.reserved for tab in found)),
        count(rates.consolidated) if rates else none,
        none if hits is None else f"{hits:.0f}%",
        count(rates.queries) if rates else none,
        duration(rates.latency_s(50) if rates else None, none),
        duration(rates.latency_s(99) if rates else None, none),
        # The sign tells it without colours, too.
        Text(f"{threads}/{size}" + ("!" if above else ""), t.BAD if above else ""),
    ]


_LIMIT_HEADS = (
    Column("LIMIT", right=False),
    Column("of", right=False),
    Column("in use", right=False),
    Column("waiting"),
    Column("refused"),
    Column("mode", right=False),
)


def limits(view: View, width: int, rows: int, glyphs: Glyphs) -> list[Text]:
    """A line a limit, the fullest first."""
    found = view.sample.limits if view.sample is not None else ()
    if not found:
        return _none("LIMIT", f"none is set ({invocation.name()} limits set SCOPE KEY=VALUE)", rows)
    ranked = sorted(
        found, key=lambda use: (-(use.used / use.limit if use.limit else 1.0), use.scope, use.key)
    )
    room = rows - 1 if rows > len(ranked) else max(0, rows - 2)
    table: list[list[Text | str]] = [_limit(use, glyphs) for use in ranked[:room]]
    if ranked[room:]:
        table.append([Text(f"{len(ranked) - room} others, less full", "italic"), "", "", "", "", ""])
    return t.columns(_LIMIT_HEADS, table, width, glyphs.ellipsis)[:rows]


def _limit(use: LimitUse, glyphs: Glyphs) -> list[Text | str]:
    full = use.used >= use.limit
    return [
        t.plain(use.scope),
        use.key,
        Text(
            f"{t.bar(use.used, use.limit, 10, glyphs)} {count(use.used)}/{count(use.limit)}",
            t.BAD if full else t.WARN if use.used >= 0.9 * use.limit else t.GOOD,
        ),
        Text(count(use.waiting), t.WARN if use.waiting else ""),
        Text(count(use.refused), t.BAD if use.refused and not use.dry_run else ""),
        Text("dry run", t.WARN) if use.dry_run else "enforced",
    ]


def errors(view: View, width: int, rows: int, glyphs: Glyphs) -> list[Text]:
    """The cluster's own first, then those of clients' statements, each the newest first; equal ones, which a router and
    several shards tell alike, are one with their number. Long texts go on in further lines."""
    found = view.sample.errors if view.sample is not None else ()
    if not found or rows < 2:
        return _none("LAST ERRORS", "none" if not found else f"{len(found)}: the window is too low", rows)
    merged: dict[tuple[int, str], list[ErrorLine]] = {}
    # What the cluster is short of comes before what clients wrote wrongly, however many of those there are.
    for error in sorted(found, key=lambda error: not _operational(error.number)):
        merged.setdefault((error.number, error.text), []).append(error)
    places = {key: _places(same) for key, same in merged.items()}
    where_width = min(20, max(map(len, places.values())))
    indent = 8 + 2 + where_width + 2 + 5 + 2
    lines = [Text("LAST ERRORS", t.HEAD)]
    for (number, text), same in merged.items():
        where = places[number, text]
        left = rows - len(lines)
        if left <= 0:
            break
        most = max(Counter(error.where for error in same).values())
        times = f" (x{most})" if most > 1 else ""
        wrapped = t.wrap(t.plain(text) + times, max(10, width - indent), min(3, left), glyphs.ellipsis)
        shown = t.cut(t.plain(where), where_width, glyphs.ellipsis)
        lines.append(
            Text.assemble(
                (f"{t.clock(same[0].when_s)}  ", t.DIM),
                f"{shown:<{where_width}}  ",
                (f"{number:>5}  ", t.BAD),
                wrapped[0],
            )
        )
        lines += [Text(" " * indent + more) for more in wrapped[1:]]
    return lines


_OPERATIONAL: Final = frozenset({1040, 1053, 1203, 1205, 1213, 1226, 3024})
"""Of MySQL's numbers: full, stopping, waited too long. From 15000 on they are the cluster's own."""


def _operational(number: int) -> bool:
    return number >= 15000 or number in _OPERATIONAL


def _places(same: Sequence[ErrorLine]) -> str:
    """Where it was told, and at how many places more."""
    names = list(dict.fromkeys(error.where for error in same))
    return names[0] + (f" +{len(names) - 1}" if len(names) > 1 else "")


def _none(head: str, text: str, rows: int) -> list[Text]:
    return [Text.assemble((head, t.HEAD), (f"  {text}", t.DIM))][:rows]
