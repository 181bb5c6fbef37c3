"""What the connections bench makes of its samples."""

from xml.etree import ElementTree

import pytest

from cli.bench.arguments import parse
from cli.bench.connection import Place
from cli.bench.connections_opener import Seen, Share
from cli.bench.connections_panels import Latency, Sample, percentiles, phases, picture
from cli.bench.connections_picture import svg
from cli.bench.connections_png import png
from cli.bench.connections_replies import Replies
from cli.bench.protocol import Login, ServerRefused
from core.config import User
from router.sessions.accounts import Accounts
from wire.constants import CACHING_SHA2_PASSWORD, NATIVE_PASSWORD
from wire.greetings import Greetings
from wire.login_actions import LoginSettings
from wire.packets import frame


def samples() -> list[Sample]:
    return [
        Sample(
            float(second),
            min(second, 60) * 1000,
            18 if second % 7 else 0,
            second * 900,
            second * 1000,
            70 <= second < 80,
        )
        for second in range(120)
    ]


LATENCIES: list[Latency] = [(n / 10, 0.001 + (n % 97) / 1000, True) for n in range(1200)]
FOUND = {
    "held": 60000, "threads_connected_max": 18, "ramp_s": 60.0, "wrong": 0, "refused": 0, "lost": 0, "cores": 2,
}  # fmt: skip


def test_the_picture_is_well_formed_and_inside_its_frame() -> None:
    for latencies in (LATENCIES, []):
        drawn = picture(FOUND, samples(), latencies, 48)
        root = ElementTree.fromstring(svg(drawn))
        lines = list(root.iter("{http://www.w3.org/2000/svg}polyline"))
        assert len(lines) > 10
        for line in lines:
            for pair in line.attrib["points"].split():
                x, y = map(float, pair.split(","))
                assert 0 <= x <= drawn.width
                assert 0 <= y <= drawn.height
        data = png(drawn)
        assert data.startswith(b"\x89PNG")
        assert data[16:24] == (2 * drawn.width).to_bytes(4, "big") + (2 * drawn.height).to_bytes(4, "big")


def test_a_run_without_samples_has_a_picture() -> None:
    assert svg(picture({**FOUND, "ramp_s": 0.0}, [Sample(0.0, 0)], [], 48)).startswith("<svg")


def test_phases_and_their_percentiles() -> None:
    spans = phases(samples(), 60.0)
    assert [span.name for span in spans] == ["ramp", "hold", "restart of all workers", "hold"]
    assert spans[0].end_s == spans[1].begin_s == 60.0
    assert (spans[2].begin_s, spans[2].end_s) == (70.0, 80.0)
    assert percentiles([(1.0, 0.001, True), (2.0, 0.003, True)], spans[:1]) == (3.0, 3.0)
    assert percentiles([], spans) == (None, None)


def test_what_was_seen_is_not_taken_for_another_number() -> None:
    seen = Seen()
    assert seen.answer(11) is None
    seen.learn(17, b"head 17 column \x0217")
    assert seen.answer(42) == b"head 42 column \x0242"
    assert seen.answer(7) is None


def test_source_addresses_differ_and_stay_on_the_loopback() -> None:
    place = Place("router", "127.0.0.1", 3306, "u", "p", "d")
    sources = {Share(number, place, 1, 0.0, 1).source(1) for number in range(1000)}
    assert len(sources) == 1000
    one = Share(3, place, 20_000, 0.0, 100)
    assert {one.source(100 + n) for n in range(0, 20_000, 100)} == {f"127.{n}.0.4" for n in range(1, 6)}
    assert all(source.startswith("127.1.") and not source.endswith((".0", ".255")) for source in sources)


def test_arguments() -> None:
    args = parse(["connections", "--workers", "63", "--per-worker", "16000", "--live-qps", "500"], None)
    assert (args.workers, args.per_worker, args.live_qps) == (63, 16000, 500.0)


@pytest.mark.parametrize("plugin", [CACHING_SHA2_PASSWORD, NATIVE_PASSWORD])
def test_replies_without_a_parser_are_those_of_the_parser(plugin: str) -> None:
    place = Place("router", "127.0.0.1", 3306, "app", "secret", "shop")
    decoys = Accounts([User("app", "secret", None, "shop")], b"decoys").decoys
    greetings = Greetings(LoginSettings("9.7.0-Sluice", decoys, default_plugin=plugin, tls=True))
    replies = Replies(place, greetings.packet(1, greetings.nonce()))
    for number in range(2, 50):
        greeting = greetings.packet(number, greetings.nonce())
        by_parser = Login(place.user, place.password, place.database).receive(greeting[4:])
        assert by_parser is not None
        assert replies.reply(greeting) == frame(by_parser, 1)
        assert replies.reply(greeting[:-1]) is None
        assert replies.reply(greeting + b"\0") is None
        assert replies.reply(greeting.replace(b"9.7.0", b"9.7.1")) is None
    with pytest.raises((ServerRefused, ValueError)):
        Replies(place, frame(b"\xff\x10\x04Too many connections"))
