"""What `vschema apply` says has changed, and external shards' schema that runs once."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.cluster import external
from cli.commands.vschema import changes
from cli.errors import CommandError
from cli.layout import Layout
from core.config import Dsn, External

EXTERNAL = External("-", Dsn("u", "p", "db", 3306, "shop"))


def test_changes_are_a_line_each() -> None:
    old = {
        "sharded": False,
        "tables": {"a": {}, "b": {"type": "reference"}},
        "vindexes": {"h": {"type": "hash"}},
    }
    new = {
        "sharded": True,
        "tables": {"b": {}, "c": {}},
        "vindexes": {"h": {"type": "hash"}, "x": {"type": "xxhash"}},
    }
    assert changes(old, new) == [
        "+ vindex x",
        "- table a",
        "~ table b",
        "+ table c",
        "~ sharded: False -> True",
    ]
    assert changes(old, old) == []


class Server:
    """Answers like a connection of mysql.connector; `fails_at` is the number of the statement it refuses."""

    def __init__(self, fails_at: int = 0) -> None:
        self.fails_at = fails_at
        self.ran: list[str] = []

    def cmd_query_iter(self, text: bytes) -> Any:
        import mysql.connector

        for number, statement in enumerate(text.decode().strip().rstrip(";").split(";"), 1):
            if number == self.fails_at:
                raise mysql.connector.Error(msg="Table 't' already exists", errno=1050)
            self.ran.append(statement.strip())
            yield {"affected_rows": 0}

    def close(self) -> None:
        pass


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout(tmp_path / "data")
    found.create()
    (tmp_path / "s.sql").write_text("CREATE TABLE t (a INT);\nCREATE TABLE u (a INT);\n")
    return found


def run(layout: Layout, server: Server, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(external, "connect", lambda dsn: server)
    return external.run_schema(layout, "shop", EXTERNAL, layout.data_dir.parent / "s.sql")


def test_an_external_schema_runs_once(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    assert run(layout, server, monkeypatch)
    assert not run(layout, server, monkeypatch)
    assert server.ran == ["CREATE TABLE t (a INT)", "CREATE TABLE u (a INT)"]


def test_tables_that_are_there_already_are_an_error_and_it_may_be_run_again(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        CommandError, match=r"statement 1: Table 't' already exists; if the tables are there"
    ) as caught:
        run(layout, Server(fails_at=1), monkeypatch)
    assert "p@" not in str(caught.value)
    assert run(layout, Server(), monkeypatch)


def test_a_schema_that_ran_in_part_is_never_taken_for_done(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CommandError, match="statement 2"):
        run(layout, Server(fails_at=2), monkeypatch)
    with pytest.raises(CommandError, match="ran only in part") as caught:
        run(layout, Server(), monkeypatch)
    marker = next(layout.run.glob("schema-*.json"))
    assert str(marker) in str(caught.value)
    marker.write_text(json.dumps({"state": "done"}))
    assert not run(layout, Server(), monkeypatch)
