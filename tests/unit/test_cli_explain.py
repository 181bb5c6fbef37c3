"""`clusterctl explain` on the demo's VSchema: shards, tier, what each shard is sent."""

from importlib import resources

import pytest

from cli.commands.explain import Explained, explain, make_view, show
from router.view import ClusterView
from router.vschema import parse

SHARDS = {"commerce": ("-80", "80-"), "main": ("-",)}


@pytest.fixture(scope="module")
def view() -> ClusterView:
    demo = resources.files("cli") / "demo"
    return make_view(SHARDS, [parse(k, (demo / f"{k}.vschema.json").read_bytes()) for k in SHARDS])


def ask(view: ClusterView, sql: str, shard: str = "") -> Explained:
    return explain(view, sql.encode(), "commerce", shard)


def shards(found: Explained) -> list[str]:
    return [f"{keyspace}/{shard}" for keyspace, shard, _ in found.shards]


def test_one_shard_gets_the_text_as_it_came(view: ClusterView) -> None:
    sql = "SELECT  /* mine */ * FROM customer WHERE customer_id = 3"
    found = ask(view, sql)
    assert (found.tier, found.shards) == ("route", (("commerce", "-80", sql),))


@pytest.mark.parametrize(("customer", "shard"), [(1, "-80"), (2, "-80"), (3, "-80"), (4, "80-")])
def test_shards_are_those_of_vitess(view: ClusterView, customer: int, shard: str) -> None:
    assert shards(ask(view, f"DELETE FROM orders WHERE customer_id = {customer}")) == [f"commerce/{shard}"]


def test_a_scatter_says_what_the_router_does(view: ClusterView) -> None:
    found = ask(view, "SELECT name FROM customer ORDER BY name LIMIT 3")
    assert found.tier == "merge"
    assert shards(found) == ["commerce/-80", "commerce/80-"]
    assert "in the router: merge-sorted, limited to 3" in found.notes
    assert any("no value for the sharding column" in line for line in found.why)


def test_a_target_shard_takes_everything(view: ClusterView) -> None:
    sql = "SELECT ROW_NUMBER() OVER (ORDER BY name) FROM customer"
    assert ask(view, sql, "80-").shards == (("commerce", "80-", sql),)


def test_a_refusal_names_the_construct(view: ClusterView) -> None:
    found = ask(view, "SELECT ROW_NUMBER() OVER (ORDER BY name) FROM customer FOR UPDATE")
    assert found.tier == "refused"
    assert found.error.startswith("error 1235 (42000): Sluice does not support window functions")
    assert found.shards == ()


def test_what_is_fetched_and_finished(view: ClusterView) -> None:
    found = ask(
        view,
        "SELECT c.name, p.name FROM customer c JOIN customer p ON p.name = c.name WHERE c.customer_id = 4",
    )
    assert (found.tier, found.error) == ("finish", "")
    assert shards(found) == ["commerce/80-", "commerce/-80", "commerce/80-"]
    fetched = (
        "SELECT <the columns it names> FROM `customer` WHERE `customer_id` = 4 LIMIT <max_memory_rows + 1>"
    )
    assert found.shards[0][2] == fetched
    assert "`sluice_finish_0` c JOIN `sluice_finish_1` p" in found.notes[-1]


def test_rows_of_an_insert_go_to_their_shards(view: ClusterView) -> None:
    found = ask(
        view,
        "INSERT INTO customer (customer_id, name, email, country) VALUES (1,'a','b','DE'), (4,'c','d','DE')",
    )
    assert shards(found) == ["commerce/-80", "commerce/80-"]
    assert "'a'" in found.shards[0][2]
    assert "'c'" not in found.shards[0][2]


def test_an_insert_for_one_shard_is_not_rewritten(view: ClusterView) -> None:
    sql = "INSERT INTO  customer (customer_id, name, email, country) VALUES (1,'a','b','DE')"
    assert ask(view, sql).shards == (("commerce", "-80", sql),)


def test_an_id_that_is_not_known_yet(view: ClusterView) -> None:
    found = ask(view, "INSERT INTO customer (name, email, country) VALUES ('a', 'b', 'DE')")
    assert found.shards == ()
    assert "ids come from the sequence main.customer_seq" in found.notes
    assert found.notes[-1] == (
        "the id decides on the shard of each row of: "
        "INSERT INTO customer (name, email, country, `customer_id`) VALUES ('a', 'b', 'DE', <next id>)"
    )


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELCT 1", "error 1064 (42000): You have an error in your SQL syntax"),
        ("SELECT 'a', (1", "near '' at line 1"),
        ("PURGE BINARY LOGS TO 'a'", "error 1235 (42000): Sluice does not support PURGE BINARY"),
        (
            "SELECT *\n\nFRO customer",
            "near 'customer' at line 3). Write it more simply. Where MySQL finds a syntax",
        ),
    ],
)
def test_what_the_router_would_refuse(view: ClusterView, sql: str, said: str) -> None:
    found = ask(view, sql)
    assert (found.tier, found.shards) == ("refused", ())
    assert said in found.error


def test_what_a_server_is_asked_first(view: ClusterView) -> None:
    found = ask(view, "INSERT INTO customer VALUES (1, 'a', 'b', 'DE')")
    assert (found.tier, found.why, found.error, found.notes) == (
        "write",
        ("its columns are asked for first",),
        "",
        ("a server names the columns of commerce.customer; then it is planned with them",),
    )
    assert "it is read as the view's query" in ask(view, "SELECT * FROM some_view").error


def test_lines_of_a_statement_begin_below_each_other(
    view: ClusterView, capsys: pytest.CaptureFixture[str]
) -> None:
    show(ask(view, "SELECT 1\nFROM orders\nWHERE customer_id = 4"), "commerce")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["statement  SELECT 1", " " * 11 + "FROM orders", " " * 11 + "WHERE customer_id = 4"]
    assert lines[-3:] == [
        "commerce/80-: SELECT 1",
        " " * 14 + "FROM orders",
        " " * 14 + "WHERE customer_id = 4",
    ]


def test_what_a_person_sees(view: ClusterView, capsys: pytest.CaptureFixture[str]) -> None:
    show(ask(view, "SELECT 1 FROM orders WHERE customer_id = 4"), "commerce")
    assert capsys.readouterr().out.splitlines() == [
        "statement  SELECT 1 FROM orders WHERE customer_id = 4",
        "database   commerce",
        "plan       select, tier route",
        "why        one value of the sharding column",
        "note       by vindex hash of commerce",
        "note       the text goes as it came, packets come back as they are",
        "commerce/80-: SELECT 1 FROM orders WHERE customer_id = 4",
    ]


def test_a_write_that_reads_first(view: ClusterView) -> None:
    found = ask(view, "INSERT INTO orders (customer_id, sku) SELECT LENGTH(name), 'x' FROM customer")
    assert (found.tier, found.error, found.kind) == ("move", "", "insert")
    assert shards(found) == ["commerce/-80", "commerce/80-"]
    assert found.notes[0].endswith("shared locks: SELECT LENGTH(name), 'x' FROM customer")
    assert found.notes[-1] == "ids come from the sequence main.orders_seq"
