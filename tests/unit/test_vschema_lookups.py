"""What `vschema apply` says of tables that lookup vindexes need."""

from typing import Any, cast

import pytest

from cli.commands import vschema_lookups
from cli.target import Target
from router.vschema import VSchema, parse

THERE = {
    ("k", "person"): {"id", "email", "team"},
    ("main", "by_email"): {"email", "keyspace_id"},
    ("main", "by_team"): {"team", "kid"},
}
UNIQUE = {("main", "by_email"): {"email"}}


class Servers:
    """Tables as if on servers."""

    def __init__(self, target: Target) -> None:
        del target

    def columns(self, keyspace: str, table: str) -> frozenset[str] | str | None:
        if table == "down":
            return "no connection"
        found = THERE.get((keyspace, table))
        return frozenset(found) if found is not None else None

    def is_unique(self, keyspace: str, table: str, columns: tuple[str, ...]) -> bool:
        return UNIQUE.get((keyspace, table), set()) == set(columns)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("column", "params", "said"),
    [
        ("email", {"table": "main.by_email", "from": "email", "to": "keyspace_id"}, ""),
        (
            "email",
            {"table": "main.by_mail", "from": "email", "to": "x"},
            "CREATE TABLE main.by_mail, which is not there",
        ),
        (
            "email",
            {"table": "main.by_email", "from": "email", "to": "kid"},
            "main.by_email has no column kid",
        ),
        (
            "mail",
            {"table": "main.by_email", "from": "email", "to": "keyspace_id"},
            "k.person has no column mail",
        ),
        (
            "team",
            {"table": "main.by_team", "from": "team", "to": "kid"},
            "main.by_team has no unique key of team",
        ),
        ("email", {"table": "main.by_email"}, "give its params from and to"),
        (
            "email",
            {"table": "main.by_email", "from": "email,x", "to": "y"},
            "from has 2 columns, person has 1",
        ),
        ("email", {"table": "by_email", "from": "email", "to": "x"}, "add by_email to its VSchema"),
        (
            "email",
            {"table": "main.down", "from": "email", "to": "x"},
            "could not be looked at: no connection",
        ),
    ],
)
def test_each_lack_is_named(monkeypatch: Any, column: str, params: dict[str, str], said: str) -> None:
    monkeypatch.setattr(vschema_lookups, "_Servers", Servers)
    document = {
        "sharded": True,
        "vindexes": {
            "hash": {"type": "hash"},
            "v": {"type": "consistent_lookup_unique", "params": params, "owner": "person"},
        },
        "tables": {
            "person": {"column_vindexes": [{"column": "id", "name": "hash"}, {"column": column, "name": "v"}]}
        },
    }
    whole = VSchema([parse("k", document), parse("main", {})])
    lines = vschema_lookups.notes(cast("Target", None), whole, "k")
    assert len(lines) == bool(said)
    assert all(line.startswith("note: vindex v: ") and said in line for line in lines)
