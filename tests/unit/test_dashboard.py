"""Frames of the dashboard, rendered to text as a terminal would show them."""

import io
import re
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from cli.dashboard.figures import parse
from cli.dashboard.frame import render
from cli.dashboard.text import ASCII
from cli.dashboard.view import Model, Process, Surroundings, View
from tests.unit.dashboard_samples import CLOCK_S, cluster, limit, tablet, worker

LEADS = Surroundings(leader="cp-1")
LONG = "Table 'commerce.a_table_with_quite_a_long_name' does not exist on this shard; " * 6


def frame(view: View, width: int = 100, height: int = 30, *, color: bool = False) -> list[str]:
    """The lines of a frame on a terminal of that size, checked to fit it."""
    out = io.StringIO()
    console = Console(
        file=out, width=width, height=height, record=True, no_color=not color,
        force_terminal=True, color_system="standard", legacy_windows=False,
    )  # fmt: skip
    lines = render(view, width, height)
    assert len(lines) == height
    for line in lines:
        console.print(line, soft_wrap=True)
    text = console.export_text().split("\n")[:-1]
    assert len(text) == height
    assert max(cell_len(line) for line in text) <= width
    assert bool(re.search("\x1b\\[[0-9;]*3[1-6]m", out.getvalue())) is color
    return text


def seen(*samples: dict[str, Any], around: Surroundings = LEADS) -> Model:
    """A model that took these samples, a second apart."""
    model = Model("127.0.0.1:15380", "demo", CLOCK_S)
    for second, sample in enumerate(samples):
        model.take(parse(sample), around, CLOCK_S + second)
    return model


def row(lines: list[str], first: str) -> list[str]:
    """The words of the line that begins with `first`."""
    (line,) = [line for line in lines if line.startswith(first + " ")]
    return line.split()


def at(second: float, **more: Any) -> dict[str, Any]:
    return cluster(
        [worker(at_s=second, rate=1000), worker("r1.1", at_s=second, rate=500)],
        [tablet(at_s=second, rate=900), tablet(shard="80-", at_s=second), tablet("main", "-", at_s=second)],
        **more,
    )


def test_a_healthy_cluster_shows_everything_at_100x30() -> None:
    lines = frame(seen(at(10), at(11), around=Surroundings(leader="cp-1")).view)
    text = "\n".join(lines)
    assert "demo ● up" in lines[0]
    assert "etcd ok" in lines[1]
    assert "leader cp-1" in lines[1]
    assert "clients 40 of 10,000" in lines[1]
    assert "nothing is known to be wrong" in lines[2]
    assert row(lines, "all 2")[2:] == [
        "2", "up", "40", "6", "0", "2", "4", "1,500", "1.02ms", "1.02ms", "1.02ms", "0",
    ]  # fmt: skip
    assert row(lines, "r1.1")[7] == "500"
    assert row(lines, "commerce/-80") == [
        "commerce/-80", "up", "██░░░░░░░░", "4/16", "0", "2", "1", "10", "90%", "900", "512us", "512us", "9/16",
    ]  # fmt: skip
    assert "user:app" in text
    assert "3/10" in text
    assert "LAST ERRORS  none" in text
    assert "…" not in text


def test_colours_are_there_when_wanted() -> None:
    frame(seen(at(10), at(11)).view, color=True)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 10), (40, 5), (200, 70), (100, 30)])
def test_every_size_is_filled_exactly(width: int, height: int) -> None:
    lines = frame(seen(at(10), at(11)).view, width, height)
    assert "SLUICE" in lines[0]


def test_80x24_keeps_what_matters() -> None:
    lines = frame(seen(at(10), at(11)).view, 80, 24)
    head = row(lines, "SHARD")
    assert {"pool", "wait", "queries/s", "p99", "threads"} <= set(head)
    assert "set.hit" not in head
    assert row(lines, "commerce/-80")[-1] == "9/16"


def test_a_dead_tablet_is_told_first() -> None:
    broken = cluster(tablets=[tablet(), tablet(shard="80-", state="NOT_SERVING")])
    lines = frame(seen(broken).view)
    assert "● up in part" in lines[0]
    assert "shard commerce/80-: tablet tablet-commerce-80- is down" in lines[2]
    assert "shards 1 of 2 up" in lines[1]
    assert row(lines, "commerce/80-")[:3] == ["commerce/80-", "down", "–"]


def test_threads_above_the_cap_are_marked_without_colour_too() -> None:
    lines = frame(seen(cluster(tablets=[tablet(mysql_threads_connected=17)])).view)
    assert row(lines, "commerce/-80")[-1] == "17/16!"
    assert "17 threads are connected to MySQL, the cap is 16" in lines[2]


def test_64_workers_are_summed_up_with_the_worst() -> None:
    def sample(second: float) -> dict[str, Any]:
        return cluster(
            [
                worker(f"r1.{n}", second, rate=10, clients=15_000, errors=int(second) * (n == 33))
                | ({"state": "DEAD", "pid": 0} if n == 40 else {})
                for n in range(64)
            ]
        )

    lines = frame(seen(sample(10), sample(11)).view)
    assert row(lines, "all 64")[:5] == ["all", "64", "63", "up", "960k"]
    names = [line.split()[0] for line in lines if line.startswith("r1.")]
    assert names[:2] == ["r1.40", "r1.33"]
    assert len(names) <= 8
    assert "worker r1.40 is dead" in lines[2]


def test_many_shards_are_ranked_by_need_then_load() -> None:
    def sample(second: float) -> dict[str, Any]:
        many = [tablet(shard=f"s{n:02}", at_s=second, rate=n) for n in range(64)]
        many[5] |= {"state": "NOT_SERVING"}
        many[6] |= {"waiting": 3, "in_use": 16}
        return cluster(tablets=many)

    lines = frame(seen(sample(10), sample(11)).view)
    names = [line.split()[0] for line in lines if line.startswith("commerce/")]
    assert names[:4] == ["commerce/s05", "commerce/s06", "commerce/s63", "commerce/s62"]
    assert any(line.startswith(f"{64 - len(names)} others") for line in lines)


def test_long_errors_go_on_in_further_lines_and_cannot_steer_the_terminal() -> None:
    errors = [
        [CLOCK_S, 15001, LONG],
        [CLOCK_S - 1, 1064, "\x1b[2J\nsyntax"],
        [CLOCK_S - 2, 1064, "\x1b[2J\nsyntax"],
    ]
    on_tablet = [{"when": CLOCK_S - 3, "number": 3024, "text": "killed"}]
    sample = cluster([worker(last_errors=errors)], [tablet(last_errors=on_tablet)])
    lines = frame(seen(sample).view)
    text = "\n".join(lines)
    start = next(i for i, line in enumerate(lines) if "15001" in line)
    assert "this shard; Table" in lines[start + 1]
    assert lines[start + 2].endswith("…")
    assert re.search(r"r1\.0 +1064 +\[2J syntax \(x2\)", text)
    assert "\x1b" not in text
    assert "commerce/-80   3024  killed" in text
    assert text.index("3024  killed") < text.index("[2J syntax")  # the cluster's own come first


def test_one_error_of_many_places_is_told_once() -> None:
    text = "Unknown column 'x' in 'SELECT'"
    told = [{"when": CLOCK_S, "number": 1054, "text": text}]
    tablets = [tablet(last_errors=told), tablet(shard="80-", last_errors=told)]
    lines = frame(seen(cluster([worker(last_errors=[[CLOCK_S + 1, 1054, text]])], tablets)).view)
    (line,) = [line for line in lines if text in line]
    assert "r1.0 +2" in line


def test_an_idle_worker_makes_no_gap() -> None:
    idle = [worker(at_s=10)]
    model = seen(cluster(idle), cluster(idle))
    assert [point.queries for point in model.view.history] == [None, 0.0]


def test_what_q_does_is_told() -> None:
    view = replace(seen(at(10), at(11)).view, keys=True, quits="quit and stop the cluster", paused=True)
    lines = frame(view)
    assert " q quit and stop the cluster   p go on" in lines[-1]
    assert lines[0].startswith(" SLUICE  PAUSED ")


def test_the_leader_comes_later_than_the_router() -> None:
    around = Surroundings(leader="cp-1", problems=("no router is registered", "shard x: down"))
    text = "\n".join(frame(seen(at(10), at(11), around=around).view))
    assert "no router is registered" not in text
    assert "shard x: down" in text


def test_an_empty_cluster() -> None:
    lines = frame(seen(cluster([], [], [], state="STARTING")).view)
    text = "\n".join(lines)
    assert "● starting" in lines[0]
    assert "no shard is known yet" in text
    assert "no worker runs" in text
    assert "LIMIT  none is set" in text


def test_a_router_that_never_answered() -> None:
    model = Model("127.0.0.1:15380", "demo", CLOCK_S)
    frame(model.view)
    model.miss("connection refused", Surroundings(leader=None), CLOCK_S)
    lines = frame(model.view, color=True)
    assert "no answer" in lines[0]
    assert "no answer from the router at 127.0.0.1:15380 since" in "\n".join(lines)


def test_silence_keeps_the_last_figures_and_an_answer_ends_it() -> None:
    model = seen(at(10), at(11))
    dead = Surroundings((Process("router", "router", "DEAD", "Traceback\nOSError: boom"),), leader="cp-1")
    model.miss("connection refused", dead, CLOCK_S + 5)
    model.miss("connection refused", dead, CLOCK_S + 9)
    lines = frame(model.view)
    text = "\n".join(lines)
    assert "(4s)" in text
    assert "the figures below are from before that" in text
    assert "router is dead: OSError: boom" in text
    assert row(lines, "all 2")[4] == "40"
    model.take(parse(at(12)), LEADS, CLOCK_S + 10)
    assert "nothing is known to be wrong" in frame(model.view)[2]
    assert [point.clients for point in model.view.history] == [40, 40, None, None, 40]


def test_without_unicode() -> None:
    lines = render(seen(at(10), at(11)).view, 100, 30, ASCII)
    assert all(line.plain.isascii() for line in lines)


def test_limits_with_use_refusals_and_dry_run() -> None:
    rules = [
        limit(used=10, of=10, waiting=4),
        limit("keyspace:commerce", used=1, of=5, dry_run=True, key="connections"),
    ]
    workers = [
        worker(refused={"user:app concurrency": 7}, would_refuse={"keyspace:commerce connections": 2}),
        worker("r1.1", refused={"user:app concurrency": 1}),
    ]
    lines = frame(seen(cluster(workers, limits=rules)).view)
    assert row(lines, "user:app")[-4:] == ["10/10", "4", "8", "enforced"]
    assert row(lines, "keyspace:commerce")[-5:] == ["1/5", "0", "2", "dry", "run"]


def test_the_router_of_another_cluster() -> None:
    model = Model("127.0.0.1:15380", "mine", CLOCK_S)
    model.take(parse(at(10)), LEADS, CLOCK_S)
    assert "this is cluster 'demo', not 'mine'" in frame(model.view)[2]


def test_not_a_router() -> None:
    with pytest.raises(ValueError, match="not a Sluice router"):
        parse({"hello": "world"})
