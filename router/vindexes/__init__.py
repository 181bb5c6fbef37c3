"""Vindexes: from a column's value to the keyspace id whose shard holds the row. One family a file.

`create(type, name, params)` makes what a VSchema names. See `base` for the contract all of them keep.
"""

from router.vindexes.base import (
    AnyVindex,
    MultiColumnVindex,
    Value,
    Vindex,
    VindexError,
    VindexParamError,
)
from router.vindexes.lookup import Lookup
from router.vindexes.registry import create, known_types, unknown_params

__all__ = [
    "AnyVindex",
    "Lookup",
    "MultiColumnVindex",
    "Value",
    "Vindex",
    "VindexError",
    "VindexParamError",
    "create",
    "known_types",
    "unknown_params",
]
