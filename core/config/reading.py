"""From the file's text to a Config: known keys, right types, all required ones; then what `checks` asks for."""

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from core.config.checks import check
from core.config.texts import ConfigError
from core.config.values import Cluster, Config, Dsn, Etcd, External, Keyspace, Mysql, Router, Tablet, User

_T = TypeVar("_T")

_SECTIONS: Final = {
    "cluster": "[cluster]",
    "etcd": "[etcd]",
    "router": "[router]",
    "tablet": "[tablet]",
    "mysql": "[mysql]",
    "users": "[[users]]",
    "keyspaces": "[[keyspaces]]",
}


def load(path: Path) -> Config:
    """Reads and checks `path`. Raises ConfigError; touches nothing else."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    return from_dict(raw, path)


def from_dict(raw: Mapping[str, Any], path: Path) -> Config:
    """A Config from the parsed file. Raises ConfigError."""
    for name, value in raw.items():
        if name not in _SECTIONS:
            what = "section" if isinstance(value, dict | list) else "key"
            raise ConfigError(
                f"unknown {what} '{name}'; the file's sections are {', '.join(_SECTIONS.values())}"
            )
    config = Config(
        path=path.absolute(),
        cluster=_section(Cluster, raw.get("cluster", {}), "[cluster]"),
        etcd=_section(Etcd, raw.get("etcd", {}), "[etcd]"),
        router=_section(Router, raw.get("router", {}), "[router]"),
        tablet=_section(Tablet, raw.get("tablet", {}), "[tablet]"),
        mysql=_section(Mysql, raw.get("mysql", {}), "[mysql]"),
        users=tuple(_section(User, u, f"[[users]] {i + 1}") for i, u in _tables(raw, "users")),
        keyspaces=tuple(_keyspace(k, i) for i, k in _tables(raw, "keyspaces")),
    )
    check(config)
    return config


def _tables(raw: Mapping[str, Any], key: str) -> list[tuple[int, Mapping[str, Any]]]:
    value = raw.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ConfigError(f"{key} is a list of tables: write [[{key}]]")
    return list(enumerate(value))


def _known(raw: Mapping[str, Any], known: set[str], where: str) -> None:
    for key in raw:
        if key not in known:
            raise ConfigError(f"unknown key '{key}' in {where}; known: {', '.join(sorted(known))}")


_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "str": (str,),
    "str | None": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "tuple[str, ...]": (list,),
}
_NAMES: Final = {
    "str": "a string",
    "str | None": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "tuple[str, ...]": "a list of strings",
}


def _section(cls: type[_T], raw: Any, where: str) -> _T:
    """An instance of the dataclass `cls` from a TOML table: known keys, right types, all required ones."""
    if not isinstance(raw, dict):
        raise ConfigError(f"{where} is a table")
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    _known(raw, set(known), where)
    values: dict[str, Any] = {}
    for name, spec in known.items():
        if name not in raw:
            if spec.default is MISSING and spec.default_factory is MISSING:
                raise ConfigError(f"{where}: key '{name}' is missing")
            continue
        value = raw[name]
        kind = str(spec.type if isinstance(spec.type, str) else _type_name(spec.type))
        if not isinstance(value, _TYPES[kind]) or isinstance(value, bool) is not (kind == "bool"):
            raise ConfigError(f"{where} {name} is {_NAMES[kind]}, not {value!r}")
        if isinstance(value, list):
            if not all(isinstance(item, str) for item in value):
                raise ConfigError(f"{where} {name} is {_NAMES[kind]}, not {value!r}")
            value = tuple(value)
        values[name] = value
    return cls(**values)


def _type_name(annotation: Any) -> str:
    return (
        annotation.__name__
        if isinstance(annotation, type) and "[" not in str(annotation)
        else str(annotation)
    )


def _keyspace(raw: Mapping[str, Any], index: int) -> Keyspace:
    where = f"[[keyspaces]] {raw.get('name', index + 1)}"
    plain = {key: value for key, value in raw.items() if key != "external"}
    _known(raw, {f.name for f in fields(Keyspace)}, where)
    external = []
    for i, item in _tables(raw, "external"):
        spot = f"{where} external {i + 1}"
        _known(item, {"shard", "dsn"}, spot)
        for key in ("shard", "dsn"):
            if not isinstance(item.get(key), str):
                raise ConfigError(f"{spot}: key '{key}' is missing or not a string")
        dsn = Dsn.parse(item["dsn"], f"{spot} dsn")
        if not dsn.database:
            raise ConfigError(
                f"{spot} dsn: the database is missing: mysql://USER:PASSWORD@HOST:PORT/DATABASE"
            )
        external.append(External(item["shard"], dsn))
    keyspace = _section(Keyspace, plain, where)
    return replace(keyspace, external=tuple(external))
