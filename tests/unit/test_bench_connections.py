"""What the connections bench makes of its samples."""

from xml.etree import ElementTree

from cli.bench.arguments import parse
from cli.bench.connection import Place
from cli.bench.connections_opener import Share
from cli.bench.connections_picture import Curve, svg


def test_the_picture_is_well_formed_and_inside_its_frame() -> None:
    curves = [
        Curve("a & b", [(0, 0), (1, 5), (2, 1_000_000)]),
        Curve("nothing", []),
        Curve("one", [(3, 0.5)]),
    ]
    root = ElementTree.fromstring(svg("held <most>", curves, [(1.5, "all are open")]))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for line in root.iter("{http://www.w3.org/2000/svg}polyline"):
        for pair in line.attrib["points"].split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height


def test_source_addresses_differ_and_stay_on_the_loopback() -> None:
    place = Place("router", "127.0.0.1", 3306, "u", "p", "d")
    sources = {Share(number, place, 1, 0.0, 1).source for number in range(1000)}
    assert len(sources) == 1000
    assert all(source.startswith("127.1.") and not source.endswith((".0", ".255")) for source in sources)


def test_arguments() -> None:
    args = parse(["connections", "--workers", "63", "--per-worker", "16000", "--live-qps", "500"], None)
    assert (args.workers, args.per_worker, args.live_qps) == (63, 16000, 500.0)
