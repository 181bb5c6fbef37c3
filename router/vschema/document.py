"""From Vitess's VSchema JSON of one keyspace to `Keyspace`.

Everything that Vitess knows is read, or kept where we have no use for it (source: proto/vschema.proto, v23; keys may
be written in snake_case or camelCase, as protojson takes both). What it does not know is an error that names the
path: a misspelt key must not change how rows are placed. A null is an absent key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

from router.vindexes import AnyVindex, Lookup, MultiColumnVindex, VindexParamError, create, unknown_params
from router.vschema.records import (
    AutoIncrement,
    Column,
    ColumnVindex,
    Keyspace,
    Table,
    TableType,
    VSchemaError,
)

_T = TypeVar("_T")

_COLUMN_TYPES: Final = re.compile(
    r"NULL_TYPE|U?INT(8|16|24|32|64)|FLOAT(32|64)|DECIMAL|BIT|TIMESTAMP|DATE|TIME|DATETIME|YEAR|CHAR|VARCHAR|TEXT"
    r"|BINARY|VARBINARY|BLOB|ENUM|SET|TUPLE|ROW_TUPLE|GEOMETRY|JSON|VECTOR|EXPRESSION|HEXNUM|HEXVAL|BITNUM|RAW"
)
_FOREIGN_KEY_MODES: Final = frozenset(("unspecified", "disallow", "unmanaged", "managed"))


def parse(name: str, document: str | bytes | Mapping[str, Any]) -> Keyspace:
    """The VSchema of keyspace `name`, from its JSON text or from the object read from it.

    Raises VSchemaError naming the place that is wrong.
    """
    if isinstance(document, (str, bytes)):
        try:
            document = json.loads(document, object_pairs_hook=_no_duplicates)
        except (ValueError, RecursionError) as error:
            raise VSchemaError(f"VSchema of keyspace {name} is not JSON: {error}") from None
    try:
        return _keyspace(name, _Object("", document))
    except _InvalidError as error:
        raise VSchemaError(f"VSchema of keyspace {name}: {error}") from None


class _InvalidError(Exception):
    """`path: what is wrong there`."""


class _Object:
    """A JSON object whose keys are taken out one by one, so that what is left over at the end is unknown."""

    __slots__ = ("_left", "path")

    def __init__(self, path: str, value: object) -> None:
        if not isinstance(value, dict):
            raise _InvalidError(f"{path or 'the document'}: expected an object, not {_kind(value)}")
        self.path: Final = path
        self._left: dict[str, tuple[str, object]] = {}
        for key, one in value.items():
            if one is None:
                continue
            if _snake(key) in self._left:
                raise _InvalidError(f"{self.at(key)}: the same key is there as {self._left[_snake(key)][0]}")
            self._left[_snake(key)] = (key, one)

    def at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def take(self, key: str, kind: type[_T], default: _T) -> _T:
        """The value of `key`, which must be of type `kind`."""
        written, value = self._left.pop(key, (key, default))
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise _InvalidError(f"{self.at(written)}: expected {_KINDS[kind]}, not {_kind(value)}")
        return value

    def has(self, key: str) -> bool:
        return key in self._left

    def strings(self, key: str) -> tuple[str, ...]:
        values = self.take(key, list, [])
        for i, value in enumerate(values):
            if not isinstance(value, str):
                raise _InvalidError(f"{self.at(key)}[{i}]: expected a string, not {_kind(value)}")
        return tuple(values)

    def objects(self, key: str) -> list[_Object]:
        return [_Object(f"{self.at(key)}[{i}]", one) for i, one in enumerate(self.take(key, list, []))]

    def named(self, key: str) -> dict[str, _Object]:
        """An object whose keys are names, and whose values are objects."""
        values: dict[str, Any] = self.take(key, dict, {})
        return {
            name: _Object(f"{self.at(key)}.{name}", {} if one is None else one)
            for name, one in values.items()
        }

    def done(self) -> None:
        for written, _ in self._left.values():
            raise _InvalidError(f"{self.at(written)}: unknown key")


def _keyspace(name: str, document: _Object) -> Keyspace:
    sharded = document.take("sharded", bool, False)
    warnings: list[str] = []
    vindexes: dict[str, AnyVindex] = {}
    owners: dict[str, str] = {}
    types: dict[str, str] = {}
    for vindex_name, entry in document.named("vindexes").items():
        made, types[vindex_name], owners[vindex_name] = _vindex(vindex_name, entry, warnings)
        vindexes[vindex_name] = made
    tables = {
        table_name: _table(name, sharded, table_name, entry, vindexes, owners)
        for table_name, entry in document.named("tables").items()
    }
    for vindex_name, owner in owners.items():
        if owner and sharded and not _uses(tables.get(owner), vindex_name):
            warnings.append(f"vindexes.{vindex_name}.owner: table {owner} does not use this vindex")
    if not sharded and vindexes:
        warnings.append("vindexes: no effect, the keyspace is not sharded")
    explicit = document.take("require_explicit_routing", bool, False)
    mode = document.take("foreign_key_mode", str, "unspecified")
    if mode not in _FOREIGN_KEY_MODES:
        raise _InvalidError(f'foreign_key_mode: "{mode}" is none of {", ".join(sorted(_FOREIGN_KEY_MODES))}')
    tenant = _Object("multi_tenant_spec", document.take("multi_tenant_spec", dict, {}))
    tenant_column = tenant.take("tenant_id_column_name", str, "")
    tenant_column_type = _column_type(tenant, "tenant_id_column_type")
    tenant.done()
    document.done()
    return Keyspace(
        name,
        sharded,
        MappingProxyType(tables),
        MappingProxyType(vindexes),
        explicit,
        tuple(warnings),
        mode,
        tenant_column,
        tenant_column_type,
        MappingProxyType(types),
    )


def _vindex(name: str, entry: _Object, warnings: list[str]) -> tuple[AnyVindex, str, str]:
    """The vindex, its type, and its owner."""
    kind = entry.take("type", str, "")
    if not kind:
        raise _InvalidError(f"{entry.at('type')}: missing")
    params: dict[str, str] = entry.take("params", dict, {})
    for key, value in params.items():
        if not isinstance(value, str):
            raise _InvalidError(f"{entry.at('params')}.{key}: expected a string, not {_kind(value)}")
    owner = entry.take("owner", str, "")
    entry.done()
    try:
        vindex = create(kind, name, params)
    except VindexParamError as error:
        raise _InvalidError(f"{entry.path}: {error}") from None
    warnings.extend(
        f"{entry.at('params')}.{param}: no effect, vindexes of type {kind} do not know it"
        for param in unknown_params(kind, params)
    )
    return vindex, kind, owner


def _table(
    keyspace: str,
    sharded: bool,
    name: str,
    entry: _Object,
    vindexes: Mapping[str, AnyVindex],
    owners: Mapping[str, str],
) -> Table:
    kind_text = entry.take("type", str, "")
    try:
        kind = TableType(kind_text)
    except ValueError:
        raise _InvalidError(
            f'{entry.at("type")}: "{kind_text}" is neither "sequence" nor "reference"'
        ) from None
    source = None
    if entry.has("source"):
        source = _qualified(entry, "source", need_keyspace=True)
        if kind is not TableType.REFERENCE:
            raise _InvalidError(f"{entry.at('source')}: only reference tables have a source")
    pinned = _pinned(entry)
    if kind is TableType.SEQUENCE and sharded and pinned is None:
        raise _InvalidError(f"{entry.at('type')}: a sequence lives in an unsharded keyspace, or is pinned")
    column_vindexes = tuple(
        _column_vindex(name, i, one, vindexes, owners)
        for i, one in enumerate(entry.objects("column_vindexes"))
    )
    if sharded and kind is TableType.TABLE and pinned is None and not column_vindexes:
        raise _InvalidError(f"{entry.at('column_vindexes')}: missing, and the keyspace is sharded")
    auto_increment = None
    if entry.has("auto_increment"):
        auto_increment = _auto_increment(
            _Object(entry.at("auto_increment"), entry.take("auto_increment", dict, {}))
        )
    columns = tuple(map(_column, entry.objects("columns")))
    seen = set[str]()
    for i, column in enumerate(columns):
        if column.name.lower() in seen:
            raise _InvalidError(f'{entry.at("columns")}[{i}]: column "{column.name}" is there already')
        seen.add(column.name.lower())
    authoritative = entry.take("column_list_authoritative", bool, False)
    entry.done()
    if not sharded or kind is not TableType.TABLE or pinned is not None:
        column_vindexes = ()
    return Table(
        name=name,
        keyspace=keyspace,
        sharded=sharded,
        type=kind,
        primary=column_vindexes[0] if column_vindexes else None,
        column_vindexes=column_vindexes,
        auto_increment=auto_increment,
        columns=columns,
        authoritative=authoritative,
        pinned=pinned if sharded else None,
        source=source,
    )


def _column_vindex(
    table: str, position: int, entry: _Object, vindexes: Mapping[str, AnyVindex], owners: Mapping[str, str]
) -> ColumnVindex:
    name = entry.take("name", str, "")
    vindex = vindexes.get(name)
    if vindex is None:
        raise _InvalidError(f'{entry.at("name")}: there is no vindex "{name}"')
    column, columns = entry.take("column", str, ""), entry.strings("columns")
    entry.done()
    if bool(column) == bool(columns):
        raise _InvalidError(f"{entry.path}: give one of column and columns")
    columns = tuple(one.lower() for one in columns or (column,))
    if len(set(columns)) < len(columns):
        raise _InvalidError(f"{entry.path}: a column is named twice")
    lookup = isinstance(vindex, Lookup)
    owned = lookup and owners[name] == table
    if isinstance(vindex, MultiColumnVindex):
        if position:
            raise _InvalidError(f"{entry.path}: {name} takes several columns, so it must be the first vindex")
        if len(columns) != vindex.column_count:
            raise _InvalidError(
                f"{entry.path}: {name} takes {vindex.column_count} columns, not {len(columns)}"
            )
    elif len(columns) > 1 and not lookup:
        raise _InvalidError(f"{entry.path}: {name} takes one column, not {len(columns)}")
    if position == 0 and not vindex.unique:
        raise _InvalidError(
            f"{entry.path}: the first vindex places the rows, so it must be unique; {name} is not"
        )
    if position == 0 and owned:
        raise _InvalidError(
            f"{entry.path}: the first vindex places the rows; {name} cannot be owned by the table"
        )
    return ColumnVindex(name, columns, vindex, owned)


def _auto_increment(entry: _Object) -> AutoIncrement:
    column = entry.take("column", str, "")
    if not column:
        raise _InvalidError(f"{entry.at('column')}: missing")
    keyspace, sequence = _qualified(entry, "sequence")
    entry.done()
    return AutoIncrement(column.lower(), keyspace, sequence)


def _column(entry: _Object) -> Column:
    name = entry.take("name", str, "")
    if not name:
        raise _InvalidError(f"{entry.at('name')}: missing")
    column = Column(
        name,
        _column_type(entry, "type"),
        entry.take("invisible", bool, False),
        entry.take("default", str, ""),
        entry.take("collation_name", str, ""),
        entry.take("size", int, 0),
        entry.take("scale", int, 0),
        entry.take("nullable", bool, True),
        entry.strings("values"),
    )
    entry.done()
    return column


def _column_type(entry: _Object, key: str) -> str:
    name = entry.take(key, str, "").upper()
    if name and not _COLUMN_TYPES.fullmatch(name):
        raise _InvalidError(f'{entry.at(key)}: "{name}" is no column type of Vitess (INT64, VARCHAR, ...)')
    return name


def _pinned(entry: _Object) -> bytes | None:
    text = entry.take("pinned", str, "")
    if not text:
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise _InvalidError(f'{entry.at("pinned")}: "{text}" is no keyspace id in hexadecimal') from None


_NAME: Final = r"(?:`((?:[^`]|``)+)`|([^`.]+))"
_QUALIFIED: Final = re.compile(rf"(?:{_NAME}\.)?{_NAME}")


def _qualified(entry: _Object, key: str, need_keyspace: bool = False) -> tuple[str, str]:
    """`keyspace.table` or `table`, with backticks where needed."""
    text = entry.take(key, str, "")
    match = _QUALIFIED.fullmatch(text)
    if match is None:
        raise _InvalidError(
            f'{entry.at(key)}: "{text}" is not a table name' if text else f"{entry.at(key)}: missing"
        )
    parts = [
        quoted.replace("``", "`") if quoted else plain or ""
        for quoted, plain in (match.group(1, 2), match.group(3, 4))
    ]
    if need_keyspace and not parts[0]:
        raise _InvalidError(f'{entry.at(key)}: "{text}" must name its keyspace, as in keyspace.table')
    return parts[0], parts[1]


def _uses(table: Table | None, vindex: str) -> bool:
    return table is not None and any(one.name == vindex for one in table.column_vindexes)


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match[1].lower(), key)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f'key "{next(key for key in keys if keys.count(key) > 1)}" is there twice')
    return result


_KINDS: Final[Mapping[type, str]] = {
    str: "a string",
    bool: "true or false",
    int: "an integer",
    dict: "an object",
    list: "a list",
}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "a number" if isinstance(value, float) else "null")
