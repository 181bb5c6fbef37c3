"""The types of vindexes a VSchema may name, and how each is made from its parameters.

Parameters are strings, as in Vitess. Wrong ones raise VindexParamError; ones that the type does not know are allowed,
as in Vitess, and named by `unknown_params` so that they can be warned of.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from router.vindexes import lookup
from router.vindexes.base import AnyVindex, MultiColumnVindex, Vindex, VindexParamError
from router.vindexes.integers import Hash, Numeric, NumericStaticMap, ReverseBits
from router.vindexes.lookup import Lookup
from router.vindexes.multicolumn import MultiCol, RegionExperimental, RegionJSON
from router.vindexes.octets import (
    Binary,
    BinaryMD5,
    ConcatenatedFixedWidth,
    Null,
    XXHash,
    md5_digest,
    xxhash_digest,
)
from router.vindexes.unicode_loose import unicode_loose_md5, unicode_loose_xxhash

Params = Mapping[str, str]

_LOOKUP_PARAMS: Final = frozenset(
    [
        "table",
        "from",
        "to",
        "autocommit",
        "write_only",
        "ignore_nulls",
        "batch_lookup",
        "read_lock",
        "no_verify",
        "multi_shard_autocommit",
        "cost",
    ]
)


def create(kind: str, name: str, params: Params) -> AnyVindex:
    """The vindex of type `kind`. `name`: as the VSchema calls it. Raises VindexParamError."""
    entry = _TYPES.get(kind)
    if entry is None:
        raise VindexParamError(f'unknown vindex type "{kind}"; known are {", ".join(known_types())}')
    make, _ = entry
    return make(name, params)


def known_types() -> tuple[str, ...]:
    return tuple(sorted(_TYPES))


def unknown_params(kind: str, params: Params) -> tuple[str, ...]:
    """The names of parameters that the type `kind` does not know."""
    if kind == "multicol":  # hands what it does not know to the vindexes of its columns
        return ()
    return tuple(sorted(params.keys() - _TYPES[kind][1]))


def _numeric_static_map(name: str, params: Params) -> Vindex:
    inline, path = params.get("json"), params.get("json_path")
    if (inline is None) == (path is None):
        raise VindexParamError('needs one of the parameters "json" and "json_path"')
    table: dict[int, int] = {}
    for key, mapped in _json_numbers("json_path" if inline is None else "json", inline, path).items():
        if not (key.isascii() and key.isdecimal() and int(key) < 2**64):
            raise VindexParamError(f'key "{key}" of the map is no unsigned 64-bit integer')
        table[int(key)] = mapped
    fallback = params.get("fallback_type")
    return NumericStaticMap(
        name, table, None if fallback is None else _hashing("fallback_type", fallback, {})
    )


def _cfc(name: str, params: Params) -> Vindex:
    digest_name = params.get("hash", "")
    if not digest_name:
        return ConcatenatedFixedWidth(name)
    digest = {"md5": md5_digest, "xxhash64": xxhash_digest}.get(digest_name)
    if digest is None:
        raise VindexParamError(f'parameter "hash" must be "md5" or "xxhash64", not "{digest_name}"')
    try:
        offsets = json.loads(params.get("offsets", ""))
    except ValueError:
        offsets = None
    if (
        not isinstance(offsets, list)
        or not offsets
        or not all(type(offset) is int and offset > 0 for offset in offsets)
        or any(offsets[i] >= offsets[i + 1] for i in range(len(offsets) - 1))
    ):
        raise VindexParamError(
            'parameter "offsets" must be rising positive integers in brackets, such as "[2,4]"'
        )
    return ConcatenatedFixedWidth(name, digest, offsets)


def _multicol(name: str, params: Params) -> MultiColumnVindex:
    own = ("column_count", "column_bytes", "column_vindex")
    count = _integer(params, "column_count")
    if not 1 <= count <= 8:
        raise VindexParamError(f'parameter "column_count" must be 1 to 8, not {count}')
    kinds = [part.strip() for part in params.get("column_vindex", "").split(",")]
    if len(kinds) > count:
        raise VindexParamError('parameter "column_vindex" names more vindexes than there are columns')
    rest = {key: value for key, value in params.items() if key not in own}
    kinds += [""] * (count - len(kinds))
    vindexes = [_hashing("column_vindex", kind or "hash", rest) for kind in kinds]
    return MultiCol(name, list(zip(vindexes, _column_bytes(params, count), strict=True)))


def _column_bytes(params: Params, count: int) -> list[int]:
    """Bytes of each column; what is not given shares the rest of 8, the first columns getting more."""
    texts = params.get("column_bytes", "").split(",")
    if len(texts) > count:
        raise VindexParamError('parameter "column_bytes" has more numbers than there are columns')
    sizes: list[int | None] = [None] * count
    for i, text in enumerate(texts):
        if text:
            sizes[i] = _integer({"column_bytes": text}, "column_bytes")
    remaining = 8 - sum(size for size in sizes if size is not None)
    pending = sizes.count(None)
    if pending > remaining:
        raise VindexParamError('parameter "column_bytes": all columns together have 8 bytes')
    result: list[int] = []
    for size in sizes:
        if size is None:
            size = -(-remaining // pending)
            remaining -= size
            pending -= 1
        result.append(size)
    return result


def _region_experimental(name: str, params: Params) -> MultiColumnVindex:
    return RegionExperimental(name, _region_bytes(params))


def _region_json(name: str, params: Params) -> MultiColumnVindex:
    path = params.get("region_map")
    if path is None:
        raise VindexParamError('needs the parameter "region_map"')
    return RegionJSON(name, _json_numbers("region_map", None, path), _region_bytes(params))


def _region_bytes(params: Params) -> int:
    size = params.get("region_bytes", "")
    if size not in ("1", "2"):
        raise VindexParamError(f'parameter "region_bytes" must be "1" or "2", not "{size}"')
    return int(size)


def _lookup(kind: str, cost: int, unique: bool, name: str, params: Params) -> Vindex:
    if kind == "lookup_cost":
        cost = _integer(params, "cost")
    return Lookup(kind, name, params, cost, unique)


def _hashing(param: str, kind: str, params: Params) -> Vindex:
    """A vindex of one column that computes: what other vindexes may be made of."""
    if kind in ("null", "cfc", "multicol") or kind in lookup.TYPES or kind.startswith("region_"):
        raise VindexParamError(f'parameter "{param}": a vindex of type "{kind}" cannot be a part of another')
    made = create(kind, kind, params)
    assert isinstance(made, Vindex)
    return made


def _integer(params: Params, param: str) -> int:
    text = params.get(param, "")
    if not (text.isascii() and text.isdecimal()) or len(text) > 9:
        raise VindexParamError(f'parameter "{param}" must be a positive integer, not "{text}"')
    return int(text)


def _json_numbers(param: str, inline: str | None, path: str | None) -> dict[str, int]:
    """A JSON object of unsigned integers, given inline or in a file."""
    try:
        text = Path(path).read_text(encoding="utf-8") if path is not None else inline or ""
    except (OSError, ValueError) as error:
        raise VindexParamError(f'parameter "{param}": cannot read {path}: {error}') from None
    try:
        table = json.loads(text)
    except ValueError as error:
        raise VindexParamError(f'parameter "{param}" is not JSON: {error}') from None
    if not isinstance(table, dict):
        raise VindexParamError(f'parameter "{param}" is not a JSON object')
    for key, number in table.items():
        if type(number) is not int or not 0 <= number < 2**64:
            raise VindexParamError(
                f'parameter "{param}": "{key}" must map to an unsigned integer, not {number!r}'
            )
    return table


def _plain(make: Callable[[str], Vindex]) -> tuple[Callable[[str, Params], AnyVindex], frozenset[str]]:
    return lambda name, params: make(name), frozenset()


_TYPES: Final[Mapping[str, tuple[Callable[[str, Params], AnyVindex], frozenset[str]]]] = {
    # type: (maker, parameters it knows)
    "hash": _plain(Hash),
    "numeric": _plain(Numeric),
    "reverse_bits": _plain(ReverseBits),
    "binary": _plain(Binary),
    "binary_md5": _plain(BinaryMD5),
    "xxhash": _plain(XXHash),
    "null": _plain(Null),
    "unicode_loose_md5": _plain(unicode_loose_md5),
    "unicode_loose_xxhash": _plain(unicode_loose_xxhash),
    "numeric_static_map": (_numeric_static_map, frozenset(("json", "json_path", "fallback_type"))),
    "cfc": (_cfc, frozenset(("hash", "offsets"))),
    "multicol": (_multicol, frozenset()),
    "region_experimental": (_region_experimental, frozenset(("region_bytes",))),
    "region_json": (_region_json, frozenset(("region_bytes", "region_map"))),
    **{
        kind: (partial(_lookup, kind, cost, unique), _LOOKUP_PARAMS)
        for kind, (cost, unique) in lookup.TYPES.items()
    },
}
