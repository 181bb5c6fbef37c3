import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from router.vindexes import MultiColumnVindex
from router.vschema import (
    AmbiguousTableError,
    Keyspace,
    TableType,
    UnknownKeyspaceError,
    UnknownTableError,
    VSchema,
    VSchemaError,
    parse,
)

DATA = Path(__file__).parent / "data"


@pytest.fixture
def commerce() -> Keyspace:
    return parse("commerce", (DATA / "commerce.vschema.json").read_bytes())


@pytest.fixture
def product() -> Keyspace:
    return parse("product", (DATA / "product.vschema.json").read_text())


@pytest.fixture
def vschema(commerce: Keyspace, product: Keyspace) -> VSchema:
    return VSchema([commerce, product])


def sharded(**tables: Mapping[str, Any]) -> dict[str, Any]:
    return {"sharded": True, "vindexes": {"hash": {"type": "hash"}}, "tables": tables}


def by_hash(column: str = "id") -> dict[str, Any]:
    return {"column_vindexes": [{"column": column, "name": "hash"}]}


def test_primary_vindex(commerce: Keyspace) -> None:
    primary = commerce.tables["customer"].primary
    assert primary is not None
    assert (primary.name, primary.columns, primary.lookup, primary.owned) == (
        "hash",
        ("customer_id",),
        False,
        False,
    )
    assert primary.vindex is commerce.vindexes["hash"]
    corder = commerce.tables["corder"]
    assert [one.columns for one in corder.column_vindexes] == [("customer_id",), ("sku",)]
    assert [(one.lookup, one.owned) for one in corder.column_vindexes] == [(False, False), (True, True)]


def test_multi_column_primary_vindex(commerce: Keyspace) -> None:
    primary = commerce.tables["stay"].primary
    assert primary is not None
    assert isinstance(primary.vindex, MultiColumnVindex)
    assert primary.columns == ("country", "id")


def test_columns(commerce: Keyspace) -> None:
    customer = commerce.tables["customer"]
    assert customer.authoritative
    assert [(column.name, column.type) for column in customer.columns] == [
        ("customer_id", "INT64"),
        ("Email", "VARCHAR"),
    ]
    assert customer.column("EMAIL") is customer.columns[1]
    assert customer.column("phone") is None


def test_tables_without_a_vindex(commerce: Keyspace) -> None:
    assert commerce.tables["product"].type is TableType.REFERENCE
    assert commerce.tables["product"].primary is None
    assert commerce.tables["audit"].pinned == b"\x80"
    assert commerce.lookup_tables == ("product.corder_lookup",)


def test_writes_that_lookup_vindexes_follow_or_forbid(commerce: Keyspace) -> None:
    assert commerce.tables["customer"].unsupported_write_reason() is None
    corder = commerce.tables["corder"]
    assert corder.unsupported_write_reason() is None
    (owned,) = corder.owned()
    assert owned.name == "corder_lookup"
    assert corder.owned(frozenset(("price",))) == ()
    assert corder.owned(frozenset(("price", *owned.columns))) == (owned,)
    document = {
        "sharded": True,
        "vindexes": {"l": {"type": "lookup_unique", "params": {"table": "x"}, "owner": "other"}},
        "tables": {"t": {"column_vindexes": [{"column": "a", "name": "l"}]}},
    }
    keyspace = parse("k", document)
    reason = keyspace.tables["t"].unsupported_write_reason()
    assert reason is not None
    assert reason[0] == "writing to k.t, whose primary vindex l is a lookup vindex"
    assert keyspace.warnings == ("vindexes.l.owner: table other does not use this vindex",)


def test_an_unsharded_keyspace_has_every_table_and_no_vindexes() -> None:
    keyspace = parse("u", {"vindexes": {"hash": {"type": "hash"}}, "tables": {"t": by_hash()}})
    assert keyspace.tables["t"].primary is None
    assert keyspace.warnings == ("vindexes: no effect, the keyspace is not sharded",)
    other = keyspace.find_table("anything")
    assert other is not None
    assert (other.keyspace, other.sharded, other.primary) == ("u", False, None)
    assert parse("u", "{}").sharded is False


def test_find_table(vschema: VSchema) -> None:
    assert vschema.find_table("commerce", "customer").keyspace == "commerce"
    assert vschema.find_table(None, "customer").keyspace == "commerce"
    assert vschema.find_table("product", "whatever").keyspace == "product"
    with pytest.raises(UnknownTableError, match=r"commerce\.whatever"):
        vschema.find_table("commerce", "whatever")
    with pytest.raises(UnknownTableError, match="in no keyspace's VSchema"):
        vschema.find_table(None, "whatever")
    with pytest.raises(UnknownKeyspaceError, match="nowhere"):
        vschema.find_table("nowhere", "customer")


def test_table_names_keep_their_case(vschema: VSchema) -> None:
    with pytest.raises(UnknownTableError):
        vschema.find_table("commerce", "Customer")


def test_a_reference_table_steps_back_behind_its_source(vschema: VSchema) -> None:
    assert vschema.find_table(None, "product").keyspace == "product"
    source = vschema.source_of(vschema.find_table("commerce", "product"))
    assert source is not None
    assert (source.keyspace, source.name) == ("product", "product")
    assert vschema.source_of(vschema.find_table("commerce", "customer")) is None


def test_ambiguous_names() -> None:
    both = VSchema([parse("a", sharded(t=by_hash())), parse("b", sharded(t=by_hash()))])
    with pytest.raises(AmbiguousTableError, match=r"several keyspaces \(a, b\)"):
        both.find_table(None, "t")
    assert both.find_table("b", "t").keyspace == "b"
    explicit = VSchema(
        [
            parse("a", sharded(t=by_hash())),
            parse("b", {**sharded(t=by_hash()), "requireExplicitRouting": True}),
        ]
    )
    assert explicit.find_table(None, "t").keyspace == "a"


def test_a_single_keyspace_needs_no_name() -> None:
    assert VSchema([parse("u", {})]).find_table(None, "implicit").keyspace == "u"
    with pytest.raises(UnknownTableError):
        VSchema([parse("s", sharded(t=by_hash()))]).find_table(None, "implicit")


def test_sequences(vschema: VSchema) -> None:
    for table, sequence in (("customer", "customer_seq"), ("corder", "corder_seq")):
        found = vschema.sequence_of(vschema.find_table("commerce", table))
        assert found is not None
        assert (found.keyspace, found.name) == ("product", sequence)
    assert vschema.sequence_of(vschema.find_table("commerce", "newsletter")) is None
    assert vschema.problems() == ()


def test_problems_across_keyspaces(commerce: Keyspace) -> None:
    lines = VSchema([commerce]).problems()
    assert lines == (
        "sequence of table commerce.customer: Unknown keyspace 'product'",
        (
            "sequence of table commerce.corder: Table 'corder_seq' is in no keyspace's VSchema: name its keyspace, "
            "or USE it"
        ),
        "source of reference table commerce.product: Unknown keyspace 'product'",
    )
    no_sequence = VSchema([commerce, parse("product", {"tables": {"corder_seq": {}}})])
    with pytest.raises(VSchemaError, match=r'product\.customer_seq is not of type "sequence"'):
        no_sequence.sequence_of(commerce.tables["customer"])
    with pytest.raises(VSchemaError, match="corder_seq is not of type"):
        no_sequence.sequence_of(commerce.tables["corder"])


def test_quoted_sequence_names() -> None:
    table = {**by_hash(), "auto_increment": {"column": "ID", "sequence": "`a.b`.`c``d`"}}
    auto_increment = parse("k", sharded(t=table)).tables["t"].auto_increment
    assert auto_increment is not None
    assert (auto_increment.column, auto_increment.sequence_keyspace, auto_increment.sequence) == (
        "id",
        "a.b",
        "c`d",
    )


def test_what_is_not_used_is_kept() -> None:
    document = {
        "sharded": True,
        "foreignKeyMode": "managed",
        "multi_tenant_spec": {"tenant_id_column_name": "tenant", "tenant_id_column_type": "INT64"},
        "vindexes": {"hash": {"type": "hash", "params": {"table": "t"}}},
        "tables": {
            "t": {
                "column_vindexes": [{"column": "id", "name": "hash", "vindex": None}],
                "columns": [
                    {"name": "e", "type": "ENUM", "values": ["a"], "collationName": "utf8mb4_bin", "size": 1}
                ],
            }
        },
    }
    keyspace = parse("k", json.dumps(document))
    assert keyspace.foreign_key_mode == "managed"
    assert (keyspace.tenant_column, keyspace.tenant_column_type) == ("tenant", "INT64")
    assert keyspace.warnings == (
        "vindexes.hash.params.table: no effect, vindexes of type hash do not know it",
    )
    (column,) = keyspace.tables["t"].columns
    assert (column.values, column.collation_name, column.size) == (("a",), "utf8mb4_bin", 1)


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ("{", "VSchema of keyspace k is not JSON"),
        ("[]", "the document: expected an object, not a list"),
        ('{"tables": {"t": {}, "t": {}}}', 'key "t" is there twice'),
        ({"shard": True}, "VSchema of keyspace k: shard: unknown key"),
        (
            {"foreign_key_mode": "managed", "foreignKeyMode": "managed"},
            "foreignKeyMode: the same key is there as",
        ),
        ({"sharded": "yes"}, "sharded: expected true or false, not a string"),
        ({"tables": {"t": {"colum_vindexes": []}}}, r"tables\.t\.colum_vindexes: unknown key"),
        ({"tables": {"t": []}}, r"tables\.t: expected an object, not a list"),
        ({"vindexes": {"v": {}}}, r"vindexes\.v\.type: missing"),
        ({"vindexes": {"v": {"type": "md5"}}}, r'vindexes\.v: unknown vindex type "md5"'),
        (
            {"vindexes": {"v": {"type": "hash", "params": {"a": 1}}}},
            r"params\.a: expected a string, not an integer",
        ),
        (sharded(t={}), r"tables\.t\.column_vindexes: missing, and the keyspace is sharded"),
        (
            sharded(t={"column_vindexes": [{"name": "x", "column": "a"}]}),
            r'\[0\]\.name: there is no vindex "x"',
        ),
        (sharded(t={"column_vindexes": [{"name": "hash"}]}), r"\[0\]: give one of column and columns"),
        (
            sharded(t={"column_vindexes": [{"name": "hash", "column": "a", "columns": ["b"]}]}),
            r"\[0\]: give one of column and columns",
        ),
        (
            sharded(t={"column_vindexes": [{"name": "hash", "columns": ["a", "b"]}]}),
            "hash takes one column, not 2",
        ),
        (
            sharded(t={"column_vindexes": [{"name": "hash", "columns": ["a", "A"]}]}),
            "a column is named twice",
        ),
        (
            sharded(t={"column_vindexes": [{"name": "hash", "columns": [1]}]}),
            r"columns\[0\]: expected a string",
        ),
        (sharded(t={"type": "sequence"}), "a sequence lives in an unsharded keyspace"),
        (sharded(t={"type": "view"}), 'type: "view" is neither "sequence" nor "reference"'),
        (sharded(t={"pinned": "8"}), 'pinned: "8" is no keyspace id'),
        (sharded(t={**by_hash(), "source": "a.b"}), "only reference tables have a source"),
        (sharded(t={"type": "reference", "source": "b"}), "must name its keyspace"),
        (sharded(t={**by_hash(), "auto_increment": {"column": "a"}}), r"auto_increment\.sequence: missing"),
        (sharded(t={**by_hash(), "auto_increment": {"sequence": "a"}}), r"auto_increment\.column: missing"),
        (
            sharded(t={**by_hash(), "auto_increment": {"column": "a", "sequence": "a.b.c"}}),
            r'"a\.b\.c" is not a table name',
        ),
        (
            sharded(t={**by_hash(), "columns": [{"name": "a"}, {"name": "A"}]}),
            r'columns\[1\]: column "A" is there',
        ),
        (sharded(t={**by_hash(), "columns": [{"type": "INT64"}]}), r"columns\[0\]\.name: missing"),
        (
            sharded(t={**by_hash(), "columns": [{"name": "a", "type": "BIGINT"}]}),
            '"BIGINT" is no column type',
        ),
        ({"foreign_key_mode": "on"}, 'foreign_key_mode: "on" is none of disallow'),
        ({"multi_tenant_spec": {"column": "a"}}, r"multi_tenant_spec\.column: unknown key"),
        (
            {
                "sharded": True,
                "vindexes": {"l": {"type": "lookup"}},
                "tables": {"t": {"column_vindexes": [{"name": "l", "column": "a"}]}},
            },
            "must be unique; l is not",
        ),
        (
            {
                "sharded": True,
                "vindexes": {"l": {"type": "lookup_unique", "owner": "t"}},
                "tables": {"t": {"column_vindexes": [{"name": "l", "column": "a"}]}},
            },
            "l cannot be owned by the table",
        ),
        (
            {
                "sharded": True,
                "vindexes": {"m": {"type": "multicol", "params": {"column_count": "2"}}},
                "tables": {"t": {"column_vindexes": [{"name": "m", "column": "a"}]}},
            },
            "m takes 2 columns, not 1",
        ),
        (
            {
                "sharded": True,
                "vindexes": {
                    "h": {"type": "hash"},
                    "m": {"type": "multicol", "params": {"column_count": "2"}},
                },
                "tables": {
                    "t": {
                        "column_vindexes": [
                            {"name": "h", "column": "a"},
                            {"name": "m", "columns": ["a", "b"]},
                        ]
                    }
                },
            },
            r"column_vindexes\[1\]: m takes several columns, so it must be the first vindex",
        ),
    ],
)
def test_errors_name_the_place(document: str | dict[str, Any], error: str) -> None:
    with pytest.raises(VSchemaError, match=error):
        parse("k", document)


def test_source_problems() -> None:
    own = parse("k", sharded(t={"type": "reference", "source": "k.u"}, u=by_hash()))
    assert VSchema([own]).problems() == ("source of reference table k.t: k.u is in the same keyspace",)
    copy = parse("k", sharded(t={"type": "reference", "source": "l.t"}))
    chain = parse("l", sharded(t={"type": "reference", "source": "m.t"}))
    assert (
        "source of reference table k.t: l.t is a sequence, or a copy itself"
        in VSchema([copy, chain]).problems()
    )
