"""Choosers against vindexes: one shard where the value says so, all where MySQL may find the row anywhere, and for an
INSERT an error instead."""

from collections.abc import Iterator
from typing import Any

import pytest

from core.errors import SluiceError
from router.execute.insert import InsertRunner
from router.execute.route import chooser_links, chooser_one
from router.gateway import Link
from router.plan.plans import Bind, Choice, Chooser, InsertPlan, InsertRow, Template
from router.view import ClusterView, build
from router.vindexes.base import Vindex
from tests.unit.fake_tablets import FakeTablet

SHARDS = ("-40", "40-80", "80-c0", "c0-")
VSCHEMA = {
    "sharded": True,
    "vindexes": {"hash": {"type": "hash"}, "text": {"type": "unicode_loose_xxhash"}},
    "tables": {"t": {"column_vindexes": [{"column": "id", "name": "hash"}]}},
}


def snapshot(**changes: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "keyspaces": {
            "ks": {"shards": {shard: f"ipc://{shard}" for shard in SHARDS}, "vschema": VSCHEMA},
            "one": {"shards": {"-": "ipc://one"}, "vschema": {}},
        },
        "limits": [],
        "server_version": "8.0.0",
        **changes,
    }


class Opened:
    """Opens links of fake tablets, and keeps them."""

    def __init__(self) -> None:
        self.links: list[Link] = []

    def __call__(self, keyspace: str, shard: str, endpoint: str) -> Link:
        tablet = FakeTablet(keyspace, shard)
        tablet.link.endpoint = endpoint
        self.links.append(tablet.welcome().link)
        return tablet.link


@pytest.fixture
def opened() -> Opened:
    return Opened()


@pytest.fixture
def view(opened: Opened) -> Iterator[ClusterView]:
    return build(snapshot(), None, opened, 1_000_000)


def equal(*binds: Bind | None, vindex: str = "hash") -> Chooser:
    choice = Choice.EQUAL if len(binds) == 1 else Choice.IN
    return Chooser(choice, "ks", vindex, binds)


def shard_by_vindex(view: ClusterView, value: int, vindex: str = "hash") -> str:
    made = view.vschema.keyspaces["ks"].vindexes[vindex]
    assert isinstance(made, Vindex)
    keyspace_id = made.keyspace_id(value)
    assert keyspace_id is not None
    return view.keyspace("ks").shard_map.shard_for(keyspace_id)


def test_one_value_is_one_shard(view: ClusterView) -> None:
    choose = chooser_one(equal(Bind(0)), view)
    seen = set()
    for value in range(200):
        link = choose([b"%d" % value])
        assert link is not None
        assert link.shard == shard_by_vindex(view, value)
        seen.add(link.shard)
    assert seen == set(SHARDS)


def test_a_negative_value_and_one_as_text(view: ClusterView) -> None:
    link = chooser_one(equal(Bind(0, True)), view)([b"5"])
    assert link is not None
    assert link.shard == shard_by_vindex(view, -5)
    text = chooser_one(equal(Bind(0)), view)([b"'17'"])
    assert text is None or text.shard == shard_by_vindex(view, 17)


@pytest.mark.parametrize("literal", [b"'abc'", b"1.5e0", b"b'101'"])
def test_what_cannot_be_mapped_is_looked_for_everywhere(view: ClusterView, literal: bytes) -> None:
    assert chooser_one(equal(Bind(0)), view)([literal]) is None
    links = chooser_links(equal(Bind(0)), view)([literal])
    assert [link.shard for link in links] == list(SHARDS)


def test_a_number_against_a_text_vindex_goes_everywhere(view: ClusterView) -> None:
    chooser = equal(Bind(0), vindex="text")
    assert chooser_one(chooser, view)([b"5"]) is None
    assert len(chooser_links(chooser, view)([b"5"])) == 4
    assert chooser_one(chooser, view)([b"'5'"]) is not None


@pytest.mark.parametrize("literal", [b"NULL", b"1.5", b"99999999999999999999999"])
def test_what_matches_nothing_goes_to_one_shard_for_its_columns(view: ClusterView, literal: bytes) -> None:
    assert chooser_one(equal(None), view)([]) is not None
    assert chooser_one(equal(Bind(0)), view)([literal]) is not None
    assert chooser_links(equal(Bind(0)), view)([literal]) == ()


def test_in_takes_the_shards_of_its_values_in_key_range_order(view: ClusterView) -> None:
    chooser = equal(Bind(0), Bind(1), Bind(2))
    for first in range(40):
        values = [first, first + 100, first + 1000]
        wanted = {shard_by_vindex(view, value) for value in values}
        literals = [b"%d" % value for value in values]
        links = chooser_links(chooser, view)(literals)
        assert [link.shard for link in links] == [shard for shard in SHARDS if shard in wanted]
        one = chooser_one(chooser, view)(literals)
        assert (one is None) == (len(wanted) > 1)
    assert len(chooser_links(chooser, view)([b"1", b"'x'", b"3"])) == 4


def test_scatter_unsharded_and_system(view: ClusterView) -> None:
    scatter = Chooser(Choice.SCATTER, "ks")
    assert chooser_one(scatter, view)([]) is None
    assert len(chooser_links(scatter, view)([])) == 4
    link = chooser_one(Chooser(Choice.SCATTER, "one"), view)([])
    assert link is not None
    assert link.keyspace == "one"
    assert chooser_one(Chooser(Choice.ANY, "information_schema"), view)([]) is not None


def test_a_target_shard_is_kept_and_one_that_is_gone_is_an_error(view: ClusterView) -> None:
    link = chooser_one(Chooser(Choice.UNSHARDED, "ks"), view, "80-c0")([])
    assert link is not None
    assert link.shard == "80-c0"
    with pytest.raises(SluiceError) as failure:
        chooser_one(Chooser(Choice.UNSHARDED, "ks"), view, "80-")
    assert failure.value.number == 1049


class Recorder:
    """A session that only says where a statement would go."""

    link: Link | None = None
    started = False

    def forward(self, link: Link, flags: int, tables: Any, sql: bytes, extra: Any) -> None:
        self.link = link

    def start(self, steps: Any) -> None:
        steps.close()
        self.started = True

    worker = None


def insert(view: ClusterView, rows: int = 1) -> InsertRunner:
    made = tuple(InsertRow(Template((b"(", at, b")")), Bind(at)) for at in range(rows))
    plan = InsertPlan("ks", "t", ("t",), Template((b"insert into t values ",)), made, Template(()), "hash")
    return InsertRunner(plan, view)


def test_an_insert_goes_where_its_row_belongs(view: ClusterView) -> None:
    session: Any = Recorder()
    insert(view).run(session, b"...", [b"17"], None)
    assert session.link.shard == shard_by_vindex(view, 17)


@pytest.mark.parametrize("literal", [b"'abc'", b"1.5", b"NULL", b"99999999999999999999999"])
def test_an_insert_of_what_cannot_be_mapped_is_refused(view: ClusterView, literal: bytes) -> None:
    session: Any = Recorder()
    with pytest.raises(SluiceError):
        insert(view).run(session, b"...", [literal], None)
    with pytest.raises(SluiceError):
        insert(view, 2).run(session, b"...", [b"1", literal], None)
    assert session.link is None
    assert not session.started


# ---- views


def test_links_are_carried_over_and_go_where_their_tablet_goes(view: ClusterView, opened: Opened) -> None:
    changed = snapshot()
    changed["keyspaces"]["ks"]["shards"]["c0-"] = "ipc://moved"
    del changed["keyspaces"]["one"]
    new = build(changed, view, opened, 1_000_000)
    assert new.keyspace("ks").by_shard["-40"] is view.keyspace("ks").by_shard["-40"]
    moved = new.keyspace("ks").by_shard["c0-"]
    assert moved is view.keyspace("ks").by_shard["c0-"]
    assert (moved.endpoint, moved.ready) == ("ipc://moved", False)
    assert [link.closed for link in view.keyspace("ks").links] == [False, False, False, False]
    assert view.keyspace("one").links[0].closed


def test_a_snapshot_that_cannot_be_used_changes_nothing(view: ClusterView, opened: Opened) -> None:
    changed = snapshot()
    changed["keyspaces"]["ks"]["shards"] = {"-40": "ipc://-40", "40-80": "ipc://elsewhere"}
    before = len(opened.links)
    with pytest.raises(Exception, match="80"):
        build(changed, view, opened, 1_000_000)
    assert not any(link.closed for link in view.keyspace("ks").links)
    assert [link.closed for link in opened.links[before:]] == [True] * (len(opened.links) - before)


def test_databases_as_clients_write_them(view: ClusterView) -> None:
    assert view.check_database("ks") == ("ks", "")
    assert view.check_database("ks:-40@primary") == view.check_database("ks/-40") == ("ks", "-40")
    assert view.check_database("MySQL") == ("mysql", "")
    for wrong in ("none", "ks:80-", "ks@bogus", "mysql:-40"):
        with pytest.raises(SluiceError, match=f"^Unknown database '{wrong}'$"):
            view.check_database(wrong)
    with pytest.raises(SluiceError, match="Use ks, or ks@primary"):
        view.check_database("ks@replica")
